"""What the demo's tools promise: draws that follow their weights, and clocks that show the right instant."""

from datetime import date, datetime, timedelta

import numpy as np
import pytest

from examples.demo.clock import DemoWeek, history, local
from examples.demo.sampling import Choice, expand, running_total_within

LAST_WEEK = date(2026, 11, 9)


class TestWeeks:
    def test_weeks_follow_each_other_without_gap_over_a_change_of_clocks(self) -> None:
        weeks = history(LAST_WEEK, 26)
        assert [week.end for week in weeks[:-1]] == [week.start for week in weeks[1:]]
        lengths = {week.monday: (week.end - week.start) // 3_600 for week in weeks}
        assert lengths[date(2026, 10, 19)] == 169

    @pytest.mark.parametrize("monday", [date(2026, 3, 23), date(2026, 10, 19), date(2026, 11, 9)])
    def test_a_wall_clock_becomes_the_instant_it_shows(self, monday: date) -> None:
        noons = np.arange(7) * 86_400.0 + 43_200
        shown = local(DemoWeek(0, monday).instants(noons))
        assert shown.to_list() == [datetime(monday.year, monday.month, monday.day, 12) + timedelta(n) for n in range(7)]


class TestSampling:
    def test_a_choice_follows_the_weights_of_its_row(self) -> None:
        rng = np.random.default_rng(0)
        drawn = Choice([[1, 0, 3], [0, 1, 0]]).draw(rng, np.repeat([0, 1], 4_000))
        assert np.bincount(drawn[:4_000], minlength=3) / 4_000 == pytest.approx([0.25, 0, 0.75], abs=0.03)
        assert set(drawn[4_000:]) == {1}

    @pytest.mark.parametrize("weights", [[[0.0, 0.0]], [[1.0, -1.0]], [1.0, 2.0]])
    def test_weights_that_are_none_are_refused(self, weights: list) -> None:
        with pytest.raises(ValueError, match="weights"):
            Choice(weights)

    def test_totals_run_within_their_owner(self) -> None:
        owners, is_first = expand(np.array([2, 0, 3]))
        assert owners.tolist() == [0, 0, 2, 2, 2]
        assert is_first.tolist() == [True, False, True, False, False]
        assert running_total_within(np.array([9.0, 1, 9, 2, 3]), owners, is_first).tolist() == [0, 1, 0, 2, 5]

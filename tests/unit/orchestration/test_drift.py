"""When a delivery differs from those before it by more than chance and growth explain."""

from __future__ import annotations

import random

import pytest

from orchestration.ingest.drift import (
    UNUSUAL_NAME,
    Delivery,
    Retyped,
    columns_that_differ,
    compare,
    kind_of_values,
    missing_values_jump,
    size_jump,
)
from orchestration.workspace_settings import DriftSettings

LIMITS = DriftSettings()
USUAL = [1000, 1100, 950, 1050, 1020, 980]


class TestSize:
    @pytest.mark.parametrize("rows", [1000, 1400, 700])
    def test_a_usual_size_is_no_jump(self, rows: int) -> None:
        assert size_jump(rows, USUAL, LIMITS) is None

    @pytest.mark.parametrize("rows", [500, 2000, 0])
    def test_half_or_double_is_a_jump(self, rows: int) -> None:
        jump = size_jump(rows, USUAL, LIMITS)
        assert jump is not None
        assert (jump.now, jump.usual, jump.deliveries) == (rows, 1010, 6)

    def test_files_that_always_vary_may_go_on_varying(self) -> None:
        assert size_jump(400, [500, 3000, 900, 2000, 600, 1500], LIMITS) is None

    def test_a_first_file_with_all_history_sets_no_measure(self) -> None:
        assert size_jump(1000, [90_000, *USUAL], LIMITS) is None
        assert size_jump(500, [90_000, *USUAL], LIMITS) is not None

    def test_a_handful_of_files_is_no_history(self) -> None:
        assert size_jump(10, USUAL[:3], LIMITS) is None
        assert size_jump(10, USUAL[:4], LIMITS) is not None

    def test_small_files_vary_by_chance(self) -> None:
        assert size_jump(40, [20, 18, 21, 19, 20], LIMITS) is None

    def test_the_limits_are_the_workspaces(self) -> None:
        assert size_jump(2000, USUAL, DriftSettings(ratio=3)) is None
        assert size_jump(1400, USUAL, DriftSettings(ratio=1.1, deviations=2)) is not None

    def test_a_steady_company_gives_no_alarm_in_ten_years(self) -> None:
        """Weekly files of some 1,000 rows that vary by a tenth and grow by a third a year: 520 weeks, no jump."""
        chance = random.Random(1)
        sizes = [round(1000 * 1.33 ** (week / 52) * chance.gauss(1, 0.1)) for week in range(520)]
        jumps = [size_jump(rows, sizes[max(0, week - 12) : week], LIMITS) for week, rows in enumerate(sizes)]
        assert [jump for jump in jumps if jump] == []


class TestMissingValues:
    def test_a_usual_share_is_no_jump(self) -> None:
        assert missing_values_jump("email", 0.08, 1000, [0.05, 0.06, 0.04, 0.05], LIMITS) is None

    def test_many_more_or_fewer_are(self) -> None:
        for share in (0.3, 0.0):
            jump = missing_values_jump("email", share, 1000, [0.2, 0.15, 0.18, 0.17, 0.16], LIMITS)
            assert (jump is not None) == (share in (0.3, 0.0))

    def test_a_column_that_is_suddenly_empty_is(self) -> None:
        jump = missing_values_jump("email", 1.0, 1000, [0.05] * 4, LIMITS)
        assert jump is not None
        assert (jump.what, jump.now, jump.usual, jump.deliveries) == ("email", 1.0, 0.05, 4)

    def test_also_where_few_had_a_value(self) -> None:
        assert missing_values_jump("email", 1.0, 1000, [0.95] * 4, LIMITS) is not None
        assert missing_values_jump("email", 1.0, 100, [0.95] * 4, LIMITS) is None  # five values, which chance can lose
        assert missing_values_jump("email", 1.0, 1000, [0.95, 1.0, 0.95, 0.95], LIMITS) is None

    def test_few_rows_vary_by_chance(self) -> None:
        assert missing_values_jump("email", 0.65, 60, [0.5] * 6, LIMITS) is None
        assert missing_values_jump("email", 0.65, 6000, [0.5] * 6, LIMITS) is not None


class TestColumns:
    def test_new_missing_and_retyped(self) -> None:
        before = {"id": "numbers", "at": "dates", "note": "text", "old": "text"}
        now = {"id": "text", "at": "dates", "note": "numbers", "fresh": "flags"}
        assert columns_that_differ(before, now) == (("fresh",), ("old",), (Retyped("id", "numbers", "text"),))

    def test_upper_case_order_and_empty_columns_are_no_difference(self) -> None:
        before = {"id": "numbers", "At": "dates", "gone quiet": "numbers", "woken": "nothing"}
        assert columns_that_differ(
            before, {"WOKEN": "text", "AT": "dates", "ID": "numbers", "gone quiet": "nothing"}
        ) == (
            (),
            (),
            (),
        )

    def test_what_was_not_kept_is_not_compared(self) -> None:
        assert columns_that_differ({}, {"id": "numbers"}) == ((), (), ())

    def test_a_header_that_is_somebodys_data_is_not_told(self) -> None:
        new, _, _ = columns_that_differ({"id": "numbers"}, {"id": "numbers", "mia@example.com": "text"})
        assert new == (UNUSUAL_NAME,)

    @pytest.mark.parametrize(
        ("values", "kind"),
        [
            (["1", " -2.5e3 ", "", None], "numbers"),
            ([1, 2.5, None], "numbers"),
            (["2026-01-02", "2026-01-02T10:00:00Z", "02.01.2026"], "dates"),
            (["true", "No"], "flags"),
            ([True, False], "flags"),
            ([{"a": 1}, [1]], "objects"),
            (["1", "one"], "text"),
            ([1, {"a": 1}], "text"),
            (["", None], "nothing"),
            ([], "nothing"),
        ],
    )
    def test_what_a_column_holds(self, values: list[object], kind: str) -> None:
        assert kind_of_values(values) == kind


def test_the_first_delivery_is_compared_with_nothing() -> None:
    drift = compare(Delivery("a.csv", 10, {"id": "numbers"}), [], "orders", "orders", LIMITS)
    assert (drift.compared_with, drift.has_other_columns, drift.size, drift.missing_values) == (None, False, None, ())


def test_missing_values_are_compared_only_where_the_mapping_was_the_same() -> None:
    earlier = [Delivery(f"{n}.csv", 1000, {}, {"email": 0.0}, "old") for n in range(5)]
    now = Delivery("now.csv", 1000, {}, {"email": 1.0}, "new")
    assert compare(now, earlier, "people", "contacts", LIMITS).missing_values == ()
    same = [Delivery(each.file, each.rows, {}, each.missing, "new") for each in earlier]
    assert len(compare(now, same, "people", "contacts", LIMITS).missing_values) == 1

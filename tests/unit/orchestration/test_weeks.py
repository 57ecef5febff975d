"""Weeks are named by their Monday and end, exclusively, with the next one."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.weeks import Week, local_midnight

DAYS = st.dates(min_value=date(1970, 1, 12), max_value=date(2090, 1, 1))


def test_a_week_is_named_by_its_monday() -> None:
    week = Week.parse("2026-11-09")
    assert (week.key, week.as_of) == ("2026-11-09", date(2026, 11, 16))
    with pytest.raises(ValueError, match="2026-11-10 is not a Monday"):
        Week(date(2026, 11, 10))


@given(DAYS)
def test_every_day_is_in_exactly_one_week(day: date) -> None:
    week = Week.containing(day)
    assert week.monday <= day < week.as_of
    assert Week.ending(week.as_of) == week
    assert Week.parse(week.key) == week


@given(DAYS, st.integers(min_value=0, max_value=60))
def test_going_back_and_until_are_inverse(day: date, count: int) -> None:
    last = Week.containing(day)
    weeks = last.back(count).until(last)
    assert len(weeks) == count + 1
    assert weeks == sorted(weeks)
    assert weeks[-1] == last
    assert all(later.monday == earlier.as_of for earlier, later in pairwise(weeks))


@pytest.mark.parametrize(
    ("as_of", "utc"),
    [
        (date(2026, 3, 30), datetime(2026, 3, 29, 22)),  # the clock went forward on Sunday
        (date(2026, 3, 23), datetime(2026, 3, 22, 23)),
        (date(2026, 10, 26), datetime(2026, 10, 25, 23)),  # the clock went back on Sunday
        (date(2026, 10, 19), datetime(2026, 10, 18, 22)),
    ],
)
def test_a_week_ends_at_local_midnight_in_summer_and_winter(as_of: date, utc: datetime) -> None:
    assert Week.ending(as_of).as_of_at("Europe/Berlin") == utc


def test_the_week_of_a_clock_change_is_an_hour_shorter_or_longer() -> None:
    def hours(as_of: date) -> timedelta:
        week = Week.ending(as_of)
        return week.as_of_at("Europe/Berlin") - week.back(1).as_of_at("Europe/Berlin")

    assert hours(date(2026, 3, 30)) == timedelta(hours=167)
    assert hours(date(2026, 10, 26)) == timedelta(hours=169)
    assert hours(date(2026, 6, 1)) == timedelta(hours=168)


def test_a_midnight_that_the_clock_skips_is_the_first_moment_of_the_day() -> None:
    assert local_midnight(date(2018, 11, 4), "America/Sao_Paulo") == datetime(2018, 11, 4, 3)


@pytest.mark.parametrize(
    ("now", "key"),
    [
        (datetime(2026, 11, 15, 23, 59), "2026-11-02"),
        (datetime(2026, 11, 16, 0, 0), "2026-11-09"),
        (datetime(2026, 11, 22, 12, 0), "2026-11-09"),
        (datetime(2026, 1, 1, 12, 0), "2025-12-22"),
    ],
)
def test_the_last_complete_week_is_over(now: datetime, key: str) -> None:
    assert Week.last_complete(now).key == key


def test_monday_begins_where_the_company_is() -> None:
    moment = datetime(2026, 11, 15, 23, 30, tzinfo=UTC)
    assert Week.last_complete(moment.astimezone(ZoneInfo("Europe/Berlin"))).key == "2026-11-09"
    assert Week.last_complete(moment.astimezone(ZoneInfo("America/New_York"))).key == "2026-11-02"

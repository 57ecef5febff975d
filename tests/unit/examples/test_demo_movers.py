"""A planted move is in the data of its week, all of it; how much of it can be seen depends on how much people do."""

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from benchmarks.tracking_bound import Bound, measure_bound
from examples.demo.generate import generate_demo


def bound_of(folder: Path, people: int, events_per_person: float) -> Bound:
    generate_demo(folder, people=people, last_week=date(2026, 11, 9), events_per_person=events_per_person)
    return measure_bound(folder)


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Bound:
    return bound_of(tmp_path_factory.mktemp("usual") / "havelgrid", 1_500, 50)


def caught(bound: Bound, low: int, high: int) -> float:
    some = bound.movers.filter(pl.col("events").is_between(low, high))
    assert some.height > 20
    return float(some["caught"].to_numpy().mean())


def test_who_does_much_in_the_week_of_a_move_shows_it_and_who_does_nothing_does_not(usual: Bound) -> None:
    assert caught(usual, 5, 1_000) > 0.85
    assert caught(usual, 0, 0) < 0.15


def test_at_two_events_a_week_nobody_can_find_three_movers_in_four_in_the_same_week(usual: Bound) -> None:
    assert 1 < usual.movers["events"].to_numpy().mean() < 3
    assert (usual.movers["events"] == 0).mean() > 0.4  # type: ignore[operator]
    assert usual.changes.summary()["caught the same week"] < 0.4
    assert usual.at_once.summary()["caught the same week"] < 0.4
    assert usual.changes.summary()["spurious churn"] > 0.01


def test_at_twenty_events_a_week_they_can_be_found(tmp_path: Path) -> None:
    busy = bound_of(tmp_path / "havelgrid", 500, 500)
    assert busy.changes.summary()["caught the same week"] > 0.7
    assert busy.changes.summary()["spurious churn"] < 0.01

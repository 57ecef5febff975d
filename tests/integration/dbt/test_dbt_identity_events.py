"""What identities did within a week's windows is the same, however the week is come to."""

from __future__ import annotations

import random
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from dbt_company import VARIABLES
from dbt_warehouse import DbtWarehouse
from polars.testing import assert_frame_equal

FIRST_WEEK = date(2026, 3, 2)
WEEKS = [FIRST_WEEK + timedelta(days=7 * number) for number in range(3)]
MODELS = ("--select", "int_weeks", "stg_events", "int_identity_days", "int_identity_events")
TOTALS = "select * from intermediate.int_identity_events where as_of = '{}' order by all"
Event = dict[str, Any]


def random_events(seed: int) -> list[Event]:
    """What 120 visitors did in half a year, some of them hardly ever; one in ten comes days or weeks late."""
    draw, last = random.Random(seed), datetime.combine(WEEKS[-1], datetime.min.time())
    events: list[Event] = []
    for number in range(3000):
        visitor = int(120 * draw.random() ** 3)
        moment = last - timedelta(minutes=draw.randint(0, 180 * 24 * 60))
        delay = timedelta(days=draw.choice((0, 0, 0, 0, 0, 0, 0, 0, 0, draw.choice((2, 9, 30)))), hours=2)
        events.append(
            {
                "_row_number": number,
                "device_id": f"d{visitor}",
                "contact_id": f"c{visitor}" if visitor % 4 == 0 and draw.random() < 0.5 else None,
                "occurred_at": moment,
                "event_type": draw.choice(("page_view", "product_use", "search", "download")),
                "device_type": draw.choice(("mobile", "desktop")),
                "_delivered_at": moment + delay,
            }
        )
    return events


def local_day(moment: datetime) -> date:
    return moment.replace(tzinfo=ZoneInfo("UTC")).astimezone(ZoneInfo("Europe/Berlin")).date()


def counted_from(event: Event) -> date:
    """The day since which an event is known: a day's delay is none."""
    return max(local_day(event["occurred_at"]), local_day(event["_delivered_at"] - timedelta(hours=24)))


def deliver(warehouse: DbtWarehouse, events: list[Event], *corrected: date) -> None:
    """More events, and word of which parts of days they change."""
    with warehouse.connect() as connection:
        connection.register("events_to_add", pl.DataFrame(events, infer_schema_length=None))
        connection.execute("insert into raw.events by name select * from events_to_add")
    warehouse.delivered(
        *sorted({(str(local_day(event["occurred_at"])), str(event["_delivered_at"])) for event in events}),
        *((str(day), None) for day in corrected),
    )


def build(warehouse: DbtWarehouse, *weeks: date) -> str:
    """Build some weeks, and show the SQL that did it."""
    warehouse.run_for(*((str(week), f"{week - timedelta(days=1)} 23:00:00", True, True) for week in weeks))
    warehouse.dbt("run", *MODELS)
    with warehouse.connect() as connection:
        connection.execute("delete from raw.changed_days")
    models = warehouse.dbt_folder / "target" / "run" / "personae" / "models"
    return (models / "intermediate" / "int_identity_events.sql").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def week_by_week(tmp_path_factory: pytest.TempPathFactory, dbt_folder: Path) -> tuple[list[pl.DataFrame], list[bool]]:
    """Three weeks in a row, each after its delivery, and whether each went on from the one before.

    Before the last one a day comes again that the week before has counted.
    """
    warehouse, events = DbtWarehouse(tmp_path_factory.mktemp("week_by_week"), dbt_folder, VARIABLES), random_events(3)
    found, went_on, known = [], [], date.min
    for week in WEEKS:
        corrected = [week - timedelta(days=20)] if week == WEEKS[-1] else []
        deliver(warehouse, [event for event in events if known <= counted_from(event) < week], *corrected)
        sql = build(warehouse, week)
        found.append(warehouse.read(TOTALS.format(week)))
        went_on.append("as is_new" in sql)
        known = week
    return found, went_on


@pytest.fixture(scope="module")
def from_nothing(tmp_path_factory: pytest.TempPathFactory, dbt_folder: Path) -> list[pl.DataFrame]:
    """The same weeks at once, each counted from its thirteen weeks of days."""
    warehouse = DbtWarehouse(tmp_path_factory.mktemp("from_nothing"), dbt_folder, VARIABLES)
    deliver(warehouse, random_events(3))
    assert "as is_new" not in build(warehouse, *WEEKS)
    return [warehouse.read(TOTALS.format(week)) for week in WEEKS]


def test_a_week_goes_on_from_the_one_before_it_unless_what_that_had_counted_has_changed(
    week_by_week: tuple[list[pl.DataFrame], list[bool]],
) -> None:
    assert week_by_week[1] == [False, True, False]


def test_weeks_that_go_on_equal_those_counted_from_nothing(
    week_by_week: tuple[list[pl.DataFrame], list[bool]], from_nothing: list[pl.DataFrame]
) -> None:
    for one, other in zip(week_by_week[0], from_nothing, strict=True):
        assert_frame_equal(one, other)
        assert one.height > 30
    before, after = (set(totals["identity_id"]) for totals in week_by_week[0][:2])
    assert before - after, "somebody falls out of sight meanwhile"

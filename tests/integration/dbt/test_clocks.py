"""Local times near some days by addition, and local weeks, are those of the calendar, in every kind of time zone."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import duckdb
import pytest
from dbt_warehouse import DBT_PROJECT
from jinja2.sandbox import SandboxedEnvironment

from activation.answers import first_row


class MacroReturned(Exception):
    """What dbt's `return` does: a macro gives a value, not text."""


TIME_MACROS = (DBT_PROJECT / "macros" / "time.sql").read_text(encoding="utf-8")


def environment_of_macros(timezone: str, **others: Any) -> SandboxedEnvironment:
    """What dbt gives the macros that they ask for."""
    environment = SandboxedEnvironment()
    environment.globals.update(
        var={"timezone": timezone}.__getitem__,
        literal=lambda value: "'" + str(value).replace("'", "''") + "'",
        execute=True,
        **others,
    )
    return environment


def local_time_sql(connection: duckdb.DuckDBPyConnection, timezone: str, first_day: str, last_day: str) -> str:
    """What dbt makes of `local_time_near`."""

    def run_query(query: str) -> SimpleNamespace:
        return SimpleNamespace(rows=connection.execute(query).fetchall())

    def clock_offsets(*days: str) -> Any:
        try:
            macros.clock_offsets(*days)
        except MacroReturned as returned:
            return returned.args[0]
        raise AssertionError("nothing was returned")

    def give(value: Any) -> None:
        raise MacroReturned(value)

    environment = environment_of_macros(timezone, run_query=run_query, **{"return": give})
    macros: Any = environment.from_string(TIME_MACROS).module
    from_macros = environment.from_string(TIME_MACROS.replace("clock_offsets(first_day, last_day) if", "asked() if"))
    environment.globals["asked"] = lambda: clock_offsets(first_day, last_day)
    return str(from_macros.module.local_time_near(first_day, last_day, "instant"))  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("timezone", "first_day", "last_day", "asks_the_calendar"),
    [
        ("Europe/Berlin", "2026-03-27", "2026-03-30", False),
        ("Europe/Berlin", "2026-01-01", "2026-12-31", False),
        ("America/St_Johns", "2026-10-30", "2026-11-03", False),
        ("Australia/Lord_Howe", "2026-04-01", "2026-10-10", False),  # changes by half an hour
        ("Asia/Kathmandu", "2026-05-01", "2026-05-02", False),  # three quarters of an hour
        ("Pacific/Apia", "2011-12-29", "2011-12-31", False),  # one day never was
        ("Africa/Monrovia", "1972-01-05", "1972-01-09", True),  # 44 minutes and 30 seconds
        ("Europe/Berlin", "2020-01-01", "2026-01-01", True),
        ("UTC", "2026-03-27", "2026-03-30", False),
    ],
)
def test_an_addition_tells_what_the_calendar_tells(
    timezone: str, first_day: str, last_day: str, asks_the_calendar: bool
) -> None:
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        sql = local_time_sql(connection, timezone, first_day, last_day)
        off = first_row(
            connection,
            f"select count(*), count(*) filter ({sql} is distinct from timezone(?, timezone('UTC', instant))) "
            "from (select unnest(generate_series("
            "?::date - interval 4 day, ?::date + interval 4 day, interval 5 minute)) as instant)",
            [timezone, first_day, last_day],
        )
        assert off is not None and off[0] > 1000
        assert off[1] == 0
    assert ("timezone(" in sql) is asks_the_calendar


@pytest.mark.parametrize(
    "timezone",
    [
        "UTC",
        "Europe/Berlin",
        "Pacific/Kiritimati",
        "Etc/GMT+12",
        "Asia/Kathmandu",
        "America/St_Johns",
        "Africa/Monrovia",
    ],
)
def test_the_local_week_is_that_of_the_calendar(timezone: str) -> None:
    macros: Any = environment_of_macros(timezone).from_string(TIME_MACROS).module
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        instants, off, nulls = connection.execute(
            "select count(*), "
            "count(*) filter "
            "(week is distinct from date_trunc('week', timezone(?, timezone('UTC', instant)))::date), "
            f"count(*) filter (week is null) from (select *, {macros.local_week('instant')} as week from "
            "(select unnest(generate_series(timestamp '1971-12-20', '1972-02-20', interval 7 minute)) as instant "
            "union all select unnest(generate_series(timestamp '2026-03-01', '2026-04-20', interval 7 minute)) "
            "union all select null))",
            [timezone],
        ).fetchall()[0]
    assert (instants > 20_000, off, nulls) == (True, 0, 1)

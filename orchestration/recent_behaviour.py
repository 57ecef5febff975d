"""What people did in the week itself and in the four before, for the beliefs that persona membership rests on.

What belongs here: reading it. What it says of a persona stands in `ml/weekly_habits.py`.
"""

from __future__ import annotations

import duckdb
import polars as pl

from activation.answers import read_frame
from ml.people_order import hash_sample
from ml.weekly_habits import RecentBehaviour
from orchestration.sql import identifier
from orchestration.weeks import Week

WEEKS_BEFORE = 4
"""Weeks that habits are learned from: enough for small personas, few enough to follow what changes for everybody."""
LEARNED_FROM = 20_000
SAMPLE_SEED = 19
TYPES = ("page_views", "product_events", "searches", "downloads", "form_submits", "other_types")
"""What was done, where no events are counted by name; both would say the same twice."""
KINDS = {
    "time of day": ("night_events", "morning_events", "daytime_events", "evening_events"),
    "day": ("weekend_events", "weekday_events"),
    "device": ("mobile_events", "other_devices"),
}
TABLE = "int_identity_days"


def read_recent_behaviour(
    connection: duckdb.DuckDBPyConnection, people: pl.Series, week: Week, timezone: str
) -> RecentBehaviour | None:
    """What people did in `week` and before, as it was delivered by then.

    Args:
        connection: the warehouse.
        people: who is placed this week; of nobody else anything is read.
        week: the week.
        timezone: where weeks begin.

    Returns:
        The behaviour, or None where no events were counted.
    """
    columns = _counted(connection)
    if not columns or people.is_empty():
        return None
    this_week = _read(connection, columns, people, week, timezone, 0, 1)
    sampled = hash_sample(pl.DataFrame({"person_id": people}), LEARNED_FROM, SAMPLE_SEED)["person_id"]
    before = _read(connection, columns, sampled, week, timezone, 1, WEEKS_BEFORE + 1).sort("person_id", "week")
    if before.is_empty():
        return None
    named = [name for name in columns if name.startswith("named_")]
    amount = "sessions" if int(before["sessions"].sum()) else "events"
    kinds = {"what": [*named, "unnamed"] if named else TYPES, **KINDS}
    return RecentBehaviour(this_week, before, sampled, WEEKS_BEFORE, amount, kinds)


def _counted(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """The columns of the day table that count something; none where there is no such table."""
    rows = connection.execute(
        "select column_name from duckdb_columns() where schema_name = 'intermediate' and table_name = ? "
        "order by column_index",
        [TABLE],
    ).fetchall()
    names = [name for (name,) in rows]
    wanted = {"events", "sessions", *TYPES, *(one for parts in KINDS.values() for one in parts)}
    return [name for name in names if name in wanted or (name.startswith("named_") and name.endswith("_events"))]


def _read(
    connection: duckdb.DuckDBPyConnection,
    columns: list[str],
    people: pl.Series,
    week: Week,
    timezone: str,
    first: int,
    end: int,
) -> pl.DataFrame:
    """Counts of people by week, `first` to `end` (exclusive) weeks before; at (person, week), in no order.

    Added up here and not by the query, which would hold each sum in 16 bytes.
    """
    counted = ", ".join(f"d.{identifier(name)}" for name in columns)
    frame = read_frame(
        connection,
        f"""
        select i.person_id, cast((? - d.event_day - 1) // 7 as integer) as week, {counted}
        from intermediate.{TABLE} as d
        inner join intermediate.int_identities_resolved as i
            on i.identity_kind = case
                when d.contact_id is not null then 'contact' when d.user_id is not null then 'user' else 'device' end
            and i.identity_id = coalesce(d.contact_id, d.user_id, d.device_id)
            and i.valid_from < ? and coalesce(i.valid_to, timestamp '9999-12-31') >= ?
        semi join wanted as w on w.person_id = i.person_id
        where d.event_day >= ? - 7 * ? and d.event_day < ? - 7 * ?
            and (d.delivered_on is null or d.delivered_on < ?)
        """,
        [
            week.as_of,
            *[week.as_of_at(timezone)] * 2,
            *(week.as_of, end, week.as_of, first),
            week.as_of,
        ],
        wanted=pl.DataFrame({"person_id": people}),
    )
    return _with_rests(frame.group_by("person_id", "week").agg(pl.col(columns).cast(pl.Int64).sum()), columns)


def _with_rests(frame: pl.DataFrame, columns: list[str]) -> pl.DataFrame:
    """Add what is left of all events beside the columns that divide them."""

    def rest(parts: list[str]) -> pl.Expr:
        return (pl.col("events") - pl.sum_horizontal(parts)).clip(lower_bound=0)

    named = [name for name in columns if name.startswith("named_")]
    return frame.with_columns(
        other_types=rest(list(TYPES[:-1])),
        weekday_events=rest(["weekend_events"]),
        other_devices=rest(["mobile_events"]),
        unnamed=rest(named) if named else pl.col("events"),
    )

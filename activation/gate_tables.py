"""The tables the gate keeps and reads in the schema `activation`, and how a week's decisions are written down.

Here belongs what stays when a run is over. What is decided lies in temporary tables until then (`gate`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

import duckdb
import polars as pl

from activation.gate_terms import NOT_DECIDED, Terms

TABLES = """
create schema if not exists activation;
create table if not exists activation.audiences (
    as_of date not null, audience varchar not null, person_id ubigint not null, persona_id varchar,
    is_in boolean not null, reason varchar not null, consent_recorded_at timestamp
);
create table if not exists activation.audience_weeks (
    as_of date not null, audience varchar not null, position integer not null, description varchar,
    purpose varchar not null, channel varchar not null, destination varchar not null, mode varchar not null,
    experiment varchar, state varchar not null, state_reason varchar, values_as_of date not null,
    considered bigint not null, approved bigint not null, refused json not null, fields json not null,
    personal_fields json not null
);
create table if not exists activation.source_facts (as_of date not null, fact varchar not null, value double);
create table if not exists activation.experiment_people (
    experiment varchar not null, exclusion_group varchar, audience varchar not null, person_id ubigint not null,
    contact_id varchar, persona_id varchar not null, is_control boolean not null, share double not null,
    as_of date not null, assigned_at timestamp not null
);
create table if not exists activation.sync_suppressions (
    destination varchar not null, key varchar not null, reason varchar not null, suppressed_at timestamp,
    first_seen_at timestamp not null
);
create table if not exists activation.sync_tombstones (
    destination varchar not null, key varchar not null, erased_at timestamp not null
);
"""
"""What the gate keeps, and those tables of a sync that it reads; see `docs/activation.md` and `docs/sync.md`."""

KEY_TABLES = ("sync_suppressions", "sync_tombstones", "audiences", "audience_weeks", "experiment_people")


def make_tables(connection: duckdb.DuckDBPyConnection) -> set[str]:
    """Make the tables that are missing.

    Returns:
        Those that are missing still, because the warehouse is open for reading only: nothing is in them.
    """
    try:
        connection.execute(TABLES)
    except duckdb.InvalidInputException:
        there = connection.execute(
            "select schema_name || '.' || table_name from duckdb_tables() where schema_name = 'activation'"
        ).fetchall()
        return {f"activation.{name}" for name in KEY_TABLES} - {name for (name,) in there}
    return set()


def write_decisions(
    connection: duckdb.DuckDBPyConnection, as_of: date, as_of_at: datetime, terms: Sequence[Terms]
) -> None:
    """Write what was decided to `activation.audiences`, in the place of what was told of the week before.

    Whom chance put where is kept in `activation.experiment_people`, which only ever grows.
    """
    connection.execute("delete from activation.audiences where as_of = ?", [as_of])
    names = pl.DataFrame(
        {"audience": range(len(terms)), "key": [one.key for one in terms]},
        schema={"audience": pl.Int16, "key": pl.String},
    )
    connection.register("names", names.to_arrow())
    # An audience after the other, so that the table is in an order that tells where to look.
    connection.execute(
        f"""
        insert into activation.audiences
        select $as_of, k.key, p.person_id, j.persona_id, j.refusal is null,
            coalesce(j.refusal, g.consent_reason, '{NOT_DECIDED}'), g.consent_recorded_at
        from gate_judged as j
        inner join names as k on k.audience = j.audience
        inner join gate_people as p on p.person = j.person
        left join gate_permissions as g on g.permission = j.permission and g.person = j.person
        order by j.audience
        """,
        {"as_of": as_of},
    )
    if any(one.experiment for one in terms):
        connection.execute(
            """
            insert into activation.experiment_people
            select e.experiment, e.exclusion_group, k.key, p.person_id, g.contact_id, n.persona_id, n.is_control,
                e.share, $as_of, $at
            from gate_newcomers as n
            inner join gate_experiments as e on e.audience = n.audience
            inner join gate_people as p on p.person = n.person
            inner join gate_permissions as g on g.permission = n.permission and g.person = n.person
            inner join names as k on k.audience = n.audience
            where n.audience not in (select audience from gate_judged where refusal = 'audience_too_small')
            """,
            {"as_of": as_of, "at": as_of_at},
        )
    connection.unregister("names")

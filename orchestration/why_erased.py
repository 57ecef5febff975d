"""Of somebody who was erased: since when, and that every way in and out refuses them, tried while you wait.

What belongs here: each place that keeps erased people out, asked now, with the very code that it uses: ingest with a
row of theirs, the gate with somebody whom everything else allows, the engine of the sync with their key, every table.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime

import duckdb

from activation.answers import first_row
from activation.gate import Gate, Tables, Terms
from activation.sync.diff import ERASED_KEYS
from orchestration.erasure_keys import delivered_condition, erased_as
from orchestration.erasure_people import attached, find
from orchestration.erasure_plan import plan_erasure
from orchestration.workspace import Workspace

COLUMNS = ("contact_id", "user_id", "email", "order_id", "device_id")


@dataclass(frozen=True)
class Refusal:
    """One place that was tried.

    Attributes:
        place: which.
        refuses: whether it keeps them out.
        told: what was tried.
    """

    place: str
    refuses: bool
    told: str


@dataclass(frozen=True)
class Erasure:
    """What is known of somebody who was erased.

    Attributes:
        erased_at: when, in UTC.
        reference: what was written beside it for the record.
        refusals: the places, each tried now.
    """

    erased_at: datetime
    reference: str | None
    refusals: tuple[Refusal, ...]

    @property
    def holds(self) -> bool:
        """Whether every place refuses."""
        return all(one.refuses for one in self.refusals)

    def with_refusal(self, refusal: Refusal) -> Erasure:
        """The same with one more place that was tried."""
        return replace(self, refusals=(*self.refusals, refusal))


def erasure_of(connection: duckdb.DuckDBPyConnection, workspace: Workspace, value: str) -> Erasure | None:
    """Whether somebody was erased, and the places that refuse them; None where they were not.

    Args:
        connection: the warehouse; reading is enough. It is not used while tables are looked through.
        workspace: for the destinations that are declared.
        value: an address, contact id or login.
    """
    kinds = erased_as(connection, value)
    if not kinds:
        return None
    erased_at = min(kinds.values())
    row = first_row(
        connection,
        "select min(reference) from erasure.erasures where state = 'begun' and erasure_id in "
        "(select erasure_id from erasure.keys where erased_at = ?)",
        [erased_at],
    )
    columns = {"contact": "contact_id", "user": "user_id", "email": "email", "mailbox": "email"}
    refusals = [
        _at_ingest(connection, value, column)
        for column in dict.fromkeys(columns[kind] for kind in kinds if kind in columns)
    ]
    # What goes out is known by contact ids and by addresses as they are spelled.
    if "contact" in kinds or "email" in kinds:
        refusals += [_at_gate(connection, value), *_at_syncs(connection, workspace, value)]
    return Erasure(erased_at, row[0] if row else None, tuple(refusals))


def tables_without(workspace: Workspace, value: str) -> Refusal:
    """Look for somebody in every table; no connection to the warehouse may be open in this process."""
    with attached(workspace) as connection:
        find(connection, [value])
        rows = plan_erasure(connection, workspace).total
    return Refusal("tables", rows == 0, f"{rows:,} rows of theirs are in the warehouse")


def erasure_lines(erasure: Erasure) -> Iterator[str]:
    """The same as lines to print."""
    reference = f" ({erasure.reference})" if erasure.reference else ""
    every = "every way in and out refuses these keys" if erasure.holds else "NOT EVERY PLACE REFUSES THEM"
    yield f"Erased on {erasure.erased_at:%Y-%m-%d}{reference}: {every}, tried now"
    for one in erasure.refusals:
        yield f"  {'refuses' if one.refuses else 'LETS IN'}  {one.place}: {one.told}"
    yield "Of erased people hashes are kept, and nothing else: what was decided of them before cannot be told any more."


def _at_ingest(connection: duckdb.DuckDBPyConnection, value: str, given: str) -> Refusal:
    columns = ", ".join(f"{'$value' if name == given else 'null'}::varchar as {name}" for name in COLUMNS)
    connection.execute(f"create or replace temp table why_delivered as select {columns}", {"value": value})
    (refused,) = connection.execute(
        f"select {delivered_condition('why_delivered', COLUMNS)} from why_delivered"
    ).fetchall()[0]
    connection.execute("drop table temp.why_delivered")
    return Refusal("ingest", bool(refused), f"a row with this {given} was read, as a file would bring it")


def _at_gate(connection: duckdb.DuckDBPyConnection, value: str) -> Refusal:
    """Somebody whom the warehouse allows everything, under this address and this contact id."""
    as_of = date(2000, 1, 3)
    connection.execute(
        "create or replace temp table why_contactability as select $1::date as as_of, 1::ubigint as person_id, "
        "'tried' as purpose, 'email' as channel, $2::varchar as contact_id, $2::varchar as email, true as is_allowed, "
        "false as is_refused_by_now, 'granted' as decision_reason, null::timestamp as consent_recorded_at",
        [as_of, value],
    )
    connection.execute(
        "create or replace temp table why_identities (person_id ubigint, identity_kind varchar, identity_id varchar, "
        "valid_from timestamp, valid_to timestamp)"
    )
    connection.execute(
        "create or replace temp table why_contacts (contact_id varchar, email varchar, country varchar, "
        "is_deleted boolean, valid_from timestamp, valid_to timestamp)"
    )
    tables = Tables("why_contactability", "why_identities", "why_contacts", "why_contacts")
    gate = Gate(connection, as_of, datetime(2000, 1, 3), tables=tables)
    gate.consider(Terms("tried", "tried"), "true")
    decision = gate.judge()["tried"]
    gate.close()
    for name in ("why_contactability", "why_identities", "why_contacts"):
        connection.execute(f"drop table temp.{name}")
    return Refusal(
        "gate", decision.refused.get("erased") == 1, "somebody with this identifier and every consent was considered"
    )


def _at_syncs(connection: duckdb.DuckDBPyConnection, workspace: Workspace, value: str) -> Iterator[Refusal]:
    try:
        known = {name for (name,) in connection.execute("select destination from activation.sync_snapshot").fetchall()}
    except duckdb.CatalogException:
        known = set()
    for destination in sorted(known | set(workspace.activation_file.activation.destinations) | {"any other"}):
        row = first_row(
            connection,
            f"select count(*) from ({ERASED_KEYS}) where key in (sha256(trim($value)), sha256(lower(trim($value))))",
            {"destination": destination, "value": value},
        )
        name = "sync to any destination" if destination == "any other" else f"sync to {destination}"
        yield Refusal(name, bool(row and row[0]), "its key has a tombstone, which goes before whatever the gate says")

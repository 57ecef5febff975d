"""Why somebody is in an audience, or is not and will not be: consent, suppression, erasure, holdout, and what was
decided.

What belongs here: the lines of `personae why` on contact. Decisions are read from the tables of the gate; nothing is
decided anew. No address is told: whoever asks knows whom they ask for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import duckdb

from activation.gate_terms import REASONS
from activation.selection import Selection, compile_selection
from orchestration.audience_week import BLOCKED, NOT_DUE, told_of
from orchestration.weeks import Week
from orchestration.workspace import Workspace

LEDGER_SHOWN = 12


@dataclass(frozen=True)
class Somebody:
    """The person asked for, and the contacts they are known by."""

    person_id: str
    contacts: tuple[str, ...]


def in_words(reason: str) -> str:
    """A reason as the gate keeps it, in words where it has some."""
    return f"{reason}: {REASONS[reason]}" if reason in REASONS else reason


def permission_lines(connection: duckdb.DuckDBPyConnection, week: Week, person_id: str) -> Iterator[str]:
    """Whether somebody may be profiled at all, for whoever is in no persona."""
    rows = _rows(
        connection,
        "select is_allowed, decision_reason from intermediate.int_profiling_permissions "
        "where as_of = ? and person_id = ?",
        [week.as_of, person_id],
    )
    yield ""
    yield "Profiling"
    for row in rows:
        yield f"  {'may' if row['is_allowed'] else 'may not'} be profiled: {in_words(row['decision_reason'])}"
        if not row["is_allowed"]:
            yield "  whoever may not be profiled is in no persona and no audience, and is written to by none of them"


def audience_lines(
    connection: duckdb.DuckDBPyConnection, workspace: Workspace, week: Week, person_id: str
) -> Iterator[str]:
    """Everything on contact: consent, what speaks against, each audience, the experiments."""
    somebody = Somebody(person_id, _contacts(connection, week, workspace, person_id))
    yield from _consent_lines(connection, week, somebody)
    yield from _refusal_lines(connection, somebody)
    yield ""
    yield "Audiences"
    audiences = told_of(connection, week)
    if not audiences:
        yield "  none was judged this week"
    decided = (
        {
            row["audience"]: row
            for row in _rows(
                connection,
                "select * from activation.audiences where as_of = ? and person_id = ?",
                [week.as_of, person_id],
            )
        }
        if audiences
        else {}
    )
    for audience in audiences:
        yield from _audience_line(connection, workspace, week, person_id, audience, decided.get(audience["audience"]))
    yield from _experiment_lines(connection, person_id)


def _contacts(
    connection: duckdb.DuckDBPyConnection, week: Week, workspace: Workspace, person_id: str
) -> tuple[str, ...]:
    at = week.as_of_at(workspace.settings.timezone)
    rows = connection.execute(
        "select distinct identity_id from intermediate.int_identities_resolved where identity_kind = 'contact' "
        "and person_id = ? and valid_from < ? order by 1",
        [person_id, at],
    ).fetchall()
    return tuple(contact for (contact,) in rows)


def _consent_lines(connection: duckdb.DuckDBPyConnection, week: Week, somebody: Somebody) -> Iterator[str]:
    yield ""
    yield "Consent"
    decided = _rows(
        connection,
        "select * from intermediate.int_contactability where as_of = ? and person_id = ? order by purpose, channel",
        [week.as_of, somebody.person_id],
    )
    if not decided:
        yield "  no decision stands in the warehouse: they may not be profiled, or the last run was for another week"
    for row in decided:
        verb = "may" if row["is_allowed"] else "may not"
        since = f" (recorded {row['consent_recorded_at']:%Y-%m-%d})" if row["consent_recorded_at"] else ""
        yield (
            f"  {verb} be contacted over {row['channel']} for {row['purpose']}: "
            f"{in_words(row['decision_reason'])}{since}"
        )
        if row["is_refused_by_now"]:
            yield "    they have refused since, so they are not"
    statements = connection.execute(
        "select recorded_at, statement, purpose, channel from intermediate.int_consent_statements "
        "where list_contains(?, contact_id) order by recorded_at desc, statement limit ?",
        [list(somebody.contacts), LEDGER_SHOWN],
    ).fetchall()
    if not statements:
        yield "  the ledger holds no statement of theirs"
    for recorded_at, statement, purpose, channel in statements:
        yield f"    {recorded_at:%Y-%m-%d}  {statement}  {purpose or 'every purpose'}, {channel or 'every channel'}"


def _refusal_lines(connection: duckdb.DuckDBPyConnection, somebody: Somebody) -> Iterator[str]:
    """What speaks against contact beside consent: suppressions at destinations, and erasure."""
    keys = (
        "select sha256(lower(trim(email))) from staging.stg_contacts where list_contains($contacts, contact_id) "
        "and email is not null union select sha256(trim(email)) from staging.stg_contacts "
        "where list_contains($contacts, contact_id) and email is not null "
        "union select sha256(lower(trim(one))) from (select unnest($contacts) as one) "
        "union select sha256(trim(one)) from (select unnest($contacts) as one)"
    )
    parameters = {"contacts": list(somebody.contacts)}
    yield ""
    yield "Suppressions and erasure"
    try:
        suppressed = connection.execute(
            "select destination, reason, coalesce(suppressed_at, first_seen_at) from activation.sync_suppressions "
            f"where key in ({keys}) order by all",
            parameters,
        ).fetchall()
        erased = connection.execute(
            f"select destination, erased_at from activation.sync_tombstones where key in ({keys}) order by all",
            parameters,
        ).fetchall()
    except duckdb.CatalogException:
        suppressed, erased = [], []
    for destination, reason, since in suppressed:
        yield f"  {destination} suppresses them since {since:%Y-%m-%d}: {reason}"
    for destination, since in erased:
        yield f"  erased on {since:%Y-%m-%d}{'' if destination == '*' else f' for {destination}'}: they never come back"
    if not suppressed and not erased:
        yield "  none"


def _audience_line(
    connection: duckdb.DuckDBPyConnection,
    workspace: Workspace,
    week: Week,
    person_id: str,
    audience: dict[str, Any],
    decided: dict[str, Any] | None,
) -> Iterator[str]:
    name = audience["audience"]
    what = f"{name} ({audience['purpose']} over {audience['channel']}, to {audience['destination']})"
    if audience["state"] in (BLOCKED, NOT_DUE):
        why = "was held back" if audience["state"] == BLOCKED else "was not due"
        what += f", which {why} and stands from the week ending {audience['values_as_of']}"
    if decided is None:
        yield f"  not in {what}: they are not meant by it"
        yield from _unmet_lines(connection, workspace, week, person_id, name)
    elif decided["is_in"]:
        yield f"  in {what}: {in_words(decided['reason'])}"
    else:
        yield f"  not in {what}: {in_words(decided['reason'])}"


def _unmet_lines(
    connection: duckdb.DuckDBPyConnection, workspace: Workspace, week: Week, person_id: str, name: str
) -> Iterator[str]:
    """Which of the conditions that must all hold do not."""
    declared = workspace.activation_file.activation.audiences.get(name)
    if declared is None:
        return
    said = declared.people.model_dump(by_alias=True, exclude_defaults=True, mode="json")
    for key, value in said.items():
        compiled = compile_selection(Selection.model_validate({key: value}), week.as_of)
        try:
            row = connection.execute(
                f"select {compiled.sql} from (select $person as person_id) as p",
                {**compiled.parameters, "person": person_id},
            ).fetchone()
        except duckdb.CatalogException:
            row = (False,)
        if row is None or row[0] is not True:
            yield f"    does not hold: {key}: {_said(value)}"


def _said(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_said(one)}" for key, one in value.items() if one not in (None, [], ())) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_said(one) for one in value) + "]"
    return str(value)


def _experiment_lines(connection: duckdb.DuckDBPyConnection, person_id: str) -> Iterator[str]:
    try:
        rows = connection.execute(
            "select experiment, is_control, as_of from activation.experiment_people where person_id = ? order by all",
            [person_id],
        ).fetchall()
    except duckdb.CatalogException:
        return
    if rows:
        yield ""
        yield "Experiments"
    for experiment, is_control, as_of in rows:
        where = "kept out by chance, to measure what it brings about" if is_control else "among those who are reached"
        yield f"  {experiment}: {where}, since the week ending {as_of}"


def _rows(connection: duckdb.DuckDBPyConnection, query: str, values: list[Any]) -> list[dict[str, Any]]:
    result = connection.execute(query, values)
    names = [column[0] for column in result.description or []]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

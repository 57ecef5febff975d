"""Why somebody is in an audience, or is not and will not be: consent, suppression, erasure, holdout, and what was
decided.

What belongs here: what `personae why` tells on contact, as facts and as lines. Decisions are read from the tables of
the gate; nothing is decided anew. No address is told: whoever asks knows whom they ask for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import duckdb

from activation.answers import first_row
from activation.gate_terms import REASONS
from activation.selection import Selection, compile_selection
from orchestration.audience_week import BLOCKED, NOT_DUE, told_of
from orchestration.weeks import Week
from orchestration.why_delivery import KEYS, deliveries, delivery_lines, rows_of
from orchestration.workspace import Workspace

LEDGER_SHOWN = 12


@dataclass(frozen=True)
class Somebody:
    """The person asked for, and what they are known by.

    Attributes:
        person_id: in the week asked for.
        contacts: their contact ids.
        identifiers: by these a destination may know them: contact ids and addresses. They are never told.
        person_ids: what they were called in any week.
    """

    person_id: int
    contacts: tuple[str, ...]
    identifiers: tuple[str, ...] = ()
    person_ids: tuple[int, ...] = ()


def in_words(reason: str) -> str:
    """A reason as the gate keeps it, in words where it has some."""
    return f"{reason}: {REASONS[reason]}" if reason in REASONS else reason


def permission_lines(connection: duckdb.DuckDBPyConnection, week: Week, person_id: int) -> Iterator[str]:
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
    connection: duckdb.DuckDBPyConnection, workspace: Workspace, week: Week, person_id: int
) -> Iterator[str]:
    """Everything on contact: consent, what speaks against, each audience, what was sent, the experiments."""
    facts = contact_facts(connection, workspace, week, person_id)
    yield from _consent_lines(facts)
    yield from _refusal_lines(facts)
    yield ""
    yield "Audiences"
    if not facts["audiences"]:
        yield "  none was judged this week"
    for audience in facts["audiences"]:
        yield from _audience_lines(audience)
    yield from delivery_lines(facts["deliveries"])
    yield from _experiment_lines(facts)


def contact_facts(
    connection: duckdb.DuckDBPyConnection, workspace: Workspace, week: Week, person_id: int
) -> dict[str, Any]:
    """What is recorded of contact with somebody; nothing of it is decided anew, and no identifier is told.

    Returns:
        `profiling`, `consent` (the warehouse's decisions), `statements` (the ledger), `suppressions`, `erased`,
        `audiences` (each with `unmet` conditions and the `weeks` in which it was judged), `deliveries` (see
        `why_delivery`), `experiments`.
    """
    somebody = _somebody(connection, week, workspace, person_id)
    persons = list(somebody.person_ids)
    return {
        "profiling": rows_of(
            connection,
            "select is_allowed, decision_reason from intermediate.int_profiling_permissions "
            "where as_of = $as_of and person_id = $person",
            {"as_of": week.as_of, "person": person_id},
        ),
        "consent": rows_of(
            connection,
            "select purpose, channel, is_allowed, is_refused_by_now, decision_reason, consent_recorded_at "
            "from intermediate.int_contactability where as_of = $as_of and person_id = $person "
            "order by purpose, channel",
            {"as_of": week.as_of, "person": person_id},
        ),
        "statements": _statements(connection, somebody),
        **_refusals(connection, somebody),
        "audiences": list(_audiences(connection, workspace, week, person_id, persons)),
        "deliveries": deliveries(connection, somebody.identifiers, somebody.contacts),
        "experiments": rows_of(
            connection,
            "select experiment, is_control, as_of from activation.experiment_people "
            "where list_contains($persons::ubigint[], person_id) order by all",
            {"persons": persons},
        ),
    }


def _somebody(connection: duckdb.DuckDBPyConnection, week: Week, workspace: Workspace, person_id: int) -> Somebody:
    at = week.as_of_at(workspace.settings.timezone)
    contacts = [
        contact
        for (contact,) in connection.execute(
            "select distinct identity_id from intermediate.int_identities_resolved where identity_kind = 'contact' "
            "and person_id = ? and valid_from < ? order by 1",
            [person_id, at],
        ).fetchall()
    ]
    persons = connection.execute(
        "select distinct person_id from intermediate.int_identities_resolved where identity_kind = 'contact' "
        "and list_contains(?::varchar[], identity_id) order by 1",
        [contacts],
    ).fetchall()
    addresses = connection.execute(
        "select distinct email from staging.stg_contacts where list_contains(?::varchar[], contact_id) "
        "and email is not null order by 1",
        [contacts],
    ).fetchall()
    return Somebody(
        person_id,
        tuple(contacts),
        (*contacts, *(address for (address,) in addresses)),
        tuple(dict.fromkeys([person_id, *(one for (one,) in persons)])),
    )


def _statements(connection: duckdb.DuckDBPyConnection, somebody: Somebody) -> list[dict[str, Any]]:
    """What they said, the latest first, with where it was said as far as that was delivered."""
    return rows_of(
        connection,
        "select s.recorded_at, s.statement, s.purpose, s.channel, min(c.consent_source) as consent_source, "
        "min(c.text_version) as text_version from intermediate.int_consent_statements as s "
        "left join raw.consents as c on c.contact_id = s.contact_id and c.recorded_at = s.recorded_at "
        "and c.consent_state = s.statement where list_contains($contacts::varchar[], s.contact_id) "
        f"group by all order by s.recorded_at desc, s.statement limit {LEDGER_SHOWN}",
        {"contacts": list(somebody.contacts)},
    )


def _refusals(connection: duckdb.DuckDBPyConnection, somebody: Somebody) -> dict[str, list[dict[str, Any]]]:
    """What speaks against contact beside consent: suppressions at destinations, and erasure."""
    parameters = {"identifiers": list(somebody.identifiers)}
    return {
        "suppressions": rows_of(
            connection,
            "select destination, reason, coalesce(suppressed_at, first_seen_at) as since "
            f"from activation.sync_suppressions where key in ({KEYS}) order by all",
            parameters,
        ),
        "erased": rows_of(
            connection,
            "select destination, min(erased_at) as since from activation.sync_tombstones "
            f"where key in ({KEYS}) group by destination order by all",
            parameters,
        ),
    }


def _audiences(
    connection: duckdb.DuckDBPyConnection, workspace: Workspace, week: Week, person_id: int, persons: list[int]
) -> Iterator[dict[str, Any]]:
    """Each audience of the week with what was decided of them, and what in other weeks."""
    every_week = rows_of(
        connection,
        "select a.audience, a.as_of, a.is_in, a.reason, a.consent_recorded_at, w.state, w.values_as_of "
        "from activation.audiences as a left join activation.audience_weeks as w "
        "on w.as_of = a.as_of and w.audience = a.audience "
        "where list_contains($persons::ubigint[], a.person_id) order by a.audience, a.as_of",
        {"persons": persons},
    )
    for audience in told_of(connection, week):
        name = audience["audience"]
        weeks = [row for row in every_week if row["audience"] == name]
        decided = next((row for row in weeks if row["as_of"] == week.as_of), None)
        yield {
            **{key: audience[key] for key in ("audience", "purpose", "channel", "destination", "mode", "state")},
            "state_reason": audience["state_reason"],
            "values_as_of": audience["values_as_of"],
            "is_meant": decided is not None,
            "is_in": bool(decided and decided["is_in"]),
            "reason": decided["reason"] if decided else None,
            "unmet": [] if decided else list(_unmet(connection, workspace, week, person_id, name)),
            "weeks": [
                {key: row[key] for key in ("as_of", "is_in", "reason", "state", "consent_recorded_at")} for row in weeks
            ],
        }


def _consent_lines(facts: dict[str, Any]) -> Iterator[str]:
    yield ""
    yield "Consent"
    if not facts["consent"]:
        yield "  no decision stands in the warehouse: they may not be profiled, or the last run was for another week"
    for row in facts["consent"]:
        verb = "may" if row["is_allowed"] else "may not"
        since = f" (recorded {row['consent_recorded_at']:%Y-%m-%d})" if row["consent_recorded_at"] else ""
        yield (
            f"  {verb} be contacted over {row['channel']} for {row['purpose']}: "
            f"{in_words(row['decision_reason'])}{since}"
        )
        if row["is_refused_by_now"]:
            yield "    they have refused since, so they are not"
    if not facts["statements"]:
        yield "  the ledger holds no statement of theirs"
    for row in facts["statements"]:
        where = ", ".join(
            told
            for told in (
                f"from {row['consent_source']}" if row["consent_source"] else "",
                f"text {row['text_version']}" if row["text_version"] else "",
            )
            if told
        )
        yield (
            f"    {row['recorded_at']:%Y-%m-%d}  {row['statement']}  {row['purpose'] or 'every purpose'}, "
            f"{row['channel'] or 'every channel'}{f' ({where})' if where else ''}"
        )


def _refusal_lines(facts: dict[str, Any]) -> Iterator[str]:
    yield ""
    yield "Suppressions and erasure"
    for row in facts["suppressions"]:
        yield f"  {row['destination']} suppresses them since {row['since']:%Y-%m-%d}: {row['reason']}"
    for row in facts["erased"]:
        where = "" if row["destination"] == "*" else f" for {row['destination']}"
        yield f"  erased on {row['since']:%Y-%m-%d}{where}: they never come back"
    if not facts["suppressions"] and not facts["erased"]:
        yield "  none"


def _audience_lines(audience: dict[str, Any]) -> Iterator[str]:
    what = f"{audience['audience']} ({audience['purpose']} over {audience['channel']}, to {audience['destination']})"
    if audience["state"] in (BLOCKED, NOT_DUE):
        why = "was held back" if audience["state"] == BLOCKED else "was not due"
        what += f", which {why} and stands from the week ending {audience['values_as_of']}"
    if not audience["is_meant"]:
        yield f"  not in {what}: they are not meant by it"
        for condition in audience["unmet"]:
            yield f"    does not hold: {condition}"
    elif audience["is_in"]:
        yield f"  in {what}: {in_words(audience['reason'])}"
    else:
        yield f"  not in {what}: {in_words(audience['reason'])}"
    yield from _history_lines(audience["weeks"])


def _history_lines(weeks: list[dict[str, Any]]) -> Iterator[str]:
    """What was decided week by week, weeks with the same decision together; nothing where there is one only."""
    spans: list[list[Any]] = []
    for row in weeks:
        decision = (row["is_in"], row["reason"])
        if spans and spans[-1][0] == decision:
            spans[-1][2] = row["as_of"]
        else:
            spans.append([decision, row["as_of"], row["as_of"]])
    if len(weeks) < 2:
        return
    for (is_in, reason), first, last in spans[-LEDGER_SHOWN:]:
        when = f"week ending {first}" if first == last else f"weeks ending {first} to {last}"
        yield f"    {when}: {'in' if is_in else 'not in'}, {in_words(reason)}"


def _unmet(
    connection: duckdb.DuckDBPyConnection, workspace: Workspace, week: Week, person_id: int, name: str
) -> Iterator[str]:
    """Which of the conditions that must all hold do not."""
    declared = workspace.activation_file.activation.audiences.get(name)
    if declared is None:
        return
    said = declared.people.model_dump(by_alias=True, exclude_defaults=True, mode="json")
    for key, value in said.items():
        compiled = compile_selection(Selection.model_validate({key: value}), week.as_of)
        try:
            row = first_row(
                connection,
                f"select {compiled.sql} from (select $person::ubigint as person_id) as p",
                {**compiled.parameters, "person": person_id},
            )
        except duckdb.CatalogException:
            row = (False,)
        if row is None or row[0] is not True:
            yield f"{key}: {_said(value)}"


def _said(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_said(one)}" for key, one in value.items() if one not in (None, [], ())) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_said(one) for one in value) + "]"
    return str(value)


def _experiment_lines(facts: dict[str, Any]) -> Iterator[str]:
    if facts["experiments"]:
        yield ""
        yield "Experiments"
    for row in facts["experiments"]:
        where = "kept out by chance, to measure what it brings about"
        where = where if row["is_control"] else "among those who are reached"
        yield f"  {row['experiment']}: {where}, since the week ending {row['as_of']}"


def _rows(connection: duckdb.DuckDBPyConnection, query: str, values: list[Any]) -> list[dict[str, Any]]:
    result = connection.execute(query, values)
    names = [column[0] for column in result.description or []]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

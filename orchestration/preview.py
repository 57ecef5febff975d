"""`personae preview`: what an audience sends of the people of a persona, and how its texts read.

What belongs here: the lines that are shown. No person is: labels are the commonest of the persona's people in the
audience, personal attributes are their defaults.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import duckdb

from activation.answers import first_row
from activation.content import fill_in
from activation.fields import DEFAULT_FIELDS, is_personal, values_sql
from activation.sync.payload import quoted
from orchestration.audience_week import existing_tables
from orchestration.settings_file import nearest
from orchestration.weeks import Week
from orchestration.workspace import Workspace

OF_ONE_PERSON = ("person_id", "contact_id", "identifier", "consent_recorded_at")


class NothingToPreview(Exception):
    """There is no such audience, persona or week; the message says what there is instead."""


def preview(
    connection: duckdb.DuckDBPyConnection, workspace: Workspace, audience_name: str, persona: str, wanted: Week | None
) -> Iterator[str]:
    """Show what goes out of the people of a persona.

    Args:
        connection: The warehouse; reading is enough.
        workspace: The workspace, which declares the audience.
        audience_name: The audience.
        persona: Id or name of a persona.
        wanted: The week; the latest one that was run where none is given.

    Raises:
        NothingToPreview: No such audience, persona or week.
    """
    audiences = workspace.activation_file.activation.audiences
    if audience_name not in audiences:
        hint = nearest(audience_name, audiences) if audiences else "activation.yml declares none"
        raise NothingToPreview(f"there is no audience '{audience_name}'; {hint}")
    audience = audiences[audience_name]
    week = _week(connection, wanted)
    persona_id, persona_name = _persona(connection, week, persona)
    people = first_row(
        connection,
        "select count(*) from activation.audiences where as_of = ? and audience = ? and persona_id = ? and is_in",
        [week.as_of, audience_name, persona_id],
    )
    mapping = workspace.activation_file.mapping_of(audience, existing_tables(connection))
    told = [one.source for one in mapping.fields if not _is_hidden(one.source)]
    common = _commonest(connection, workspace, week, audience_name, persona_id, told)
    common |= {"persona_id": persona_id, "persona_name": persona_name}
    minimum = workspace.settings.minimum_cell
    count = int(people[0]) if people else 0
    yield f"{audience_name}, {persona_name} ({persona_id}), week {week.key}"
    yield f"  people: {count:,}" if count == 0 or count >= minimum else f"  people: fewer than {minimum}"
    yield f"  to: {audience.destination} ({audience.mode.value}), {audience.purpose} over {audience.channel}"
    yield f"  known there by: {audience.identified_by}"
    yield ""
    yield "Fields"
    for one in mapping.fields:
        if _is_hidden(one.source):
            kind = "a personal attribute" if is_personal(one.source) else "of one person"
            yield f"  {one.name}: {one.source}, {kind}; not shown"
        else:
            kind = "" if one.name in DEFAULT_FIELDS else f" (the commonest of {one.source})"
            yield f"  {one.name}: {_shown(common.get(one.source))}{kind}"
    for name, template in workspace.activation_file.templates.get(audience_name, {}).items():
        values = {one.name: common.get(one.source) for one in mapping.fields}
        yield ""
        yield f"{name} ({template.format})"
        yield from (f"  {line}" for line in fill_in(template, values).splitlines())


def _is_hidden(source: str) -> bool:
    return is_personal(source) or source in OF_ONE_PERSON


def _week(connection: duckdb.DuckDBPyConnection, wanted: Week | None) -> Week:
    try:
        rows = connection.execute("select distinct as_of from activation.audience_weeks order by 1").fetchall()
    except duckdb.CatalogException:
        rows = []
    weeks = [as_of for (as_of,) in rows]
    if not weeks:
        raise NothingToPreview("no audience was judged yet; `personae run DIR` first")
    if wanted is None:
        return Week.ending(weeks[-1])
    if wanted.as_of not in weeks:
        first, last = Week.ending(weeks[0]).key, Week.ending(weeks[-1]).key
        raise NothingToPreview(f"the week {wanted.key} was not run; there are weeks from {first} to {last}")
    return wanted


def _persona(connection: duckdb.DuckDBPyConnection, week: Week, given: str) -> tuple[str, str]:
    rows = connection.execute(
        "select persona_id, coalesce(persona_name, persona_id) from ml.personas where as_of = ? "
        "and persona_type = 'persona' order by persona_id",
        [week.as_of],
    ).fetchall()
    for persona_id, name in rows:
        if given.casefold() in (persona_id.casefold(), name.casefold()):
            return persona_id, name
    names = [one for row in rows for one in row]
    raise NothingToPreview(f"there is no persona '{given}' in the week {week.key}; {nearest(given, names)}")


def _commonest(
    connection: duckdb.DuckDBPyConnection,
    workspace: Workspace,
    week: Week,
    audience: str,
    persona_id: str,
    sources: list[str],
) -> dict[str, Any]:
    """The commonest value of each source among the persona's people in the audience."""
    connection.execute(
        "create or replace temp table gate_approved as select person_id, persona_id, "
        "cast(null as varchar) as identifier, cast(null as varchar) as contact_id, "
        "reason as consent_reason, consent_recorded_at from activation.audiences "
        "where as_of = ? and audience = ? and persona_id = ? and is_in",
        [week.as_of, audience, persona_id],
    )
    declared = workspace.activation_file.activation.audiences[audience]
    sql, parameters = values_sql(
        sources, week.as_of, week.as_of_at(workspace.settings.timezone), (declared.purpose, declared.channel)
    )
    columns = ", ".join(f"mode({quoted(source)})" for source in sources)
    row = first_row(connection, f"select {columns} from ({sql})", parameters) if sources else None
    connection.execute("drop table gate_approved")
    return dict(zip(sources, row, strict=True)) if row else {}


def _shown(value: Any) -> str:
    return "(nothing)" if value is None else f"{value:,.4g}" if isinstance(value, float) else str(value)

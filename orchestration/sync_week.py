"""A destination and a week: audiences judged, sealed and given to the engine, and what came of it.

What belongs here: which audiences a destination is given, with those that it holds and nobody declares any more, who
was erased, and what is told of a sync beside the engine's own result. What is compared, sent and proved is the engine's
(`activation/sync/`), who passes the gate's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date

import duckdb

from activation.answers import first_row
from activation.fields import personal_fields
from activation.sync.asked import ask_destination
from activation.sync.engine import SyncResult, SyncSettings, sync
from activation.sync.gated import GatedAudience
from activation.sync.rates import Clock
from activation.sync.state import TABLES
from orchestration.audience_week import NOT_DUE, PUBLISHED, AudienceState, JudgedWeek
from orchestration.sync_connectors import channels_of, connector_of
from orchestration.weeks import Week
from orchestration.workspace import Workspace

DONE, PLANNED, NOTHING = "done", "planned", "nothing to send"
"""How a sync may end well; every other state is the engine's and is no success."""

WITHDRAWN = "withdrawn"


class OlderWeek(Exception):
    """A newer week than this one was sent to the destination, or is there to be sent."""


@dataclass(frozen=True)
class SentAudience:
    """One audience as it was given to a destination.

    Attributes:
        name: Of the audience, which is the list's there.
        state: `published`, `blocked` or `not_due` (then what was published before stands, for removals only), or
            `withdrawn` (it does not go there any more: everybody leaves).
        why: What the publish gates found.
        considered: People who were meant.
        approved: People who passed the gate.
        refused: All others, by reason.
        fields: What leaves the house beside the identifier.
        personal_fields: Of these, personal attributes.
    """

    name: str
    state: str
    why: str = ""
    considered: int = 0
    approved: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)
    fields: tuple[str, ...] = ()
    personal_fields: tuple[str, ...] = ()


@dataclass(frozen=True)
class DestinationSync:
    """What came of one destination in one week; no address is in it.

    Attributes:
        destination: Its name.
        kind: Its kind.
        week: The week.
        audiences: What it was given.
        result: The engine's; None where there was nothing to give.
        operations: Rows by operation and what became of them, as the changelog has them.
        rejected: Rows refused, by code.
    """

    destination: str
    kind: str
    week: Week
    audiences: tuple[SentAudience, ...] = ()
    result: SyncResult | None = None
    operations: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    rejected: Mapping[str, int] = field(default_factory=dict)

    @property
    def state(self) -> str:
        """How it ended."""
        return NOTHING if self.result is None else self.result.state

    @property
    def reason(self) -> str:
        """Why, where it did not end well."""
        return "" if self.result is None else self.result.reason

    @property
    def is_well(self) -> bool:
        """Whether nobody has to look at it."""
        return self.state in (DONE, PLANNED, NOTHING)


def sync_destination(
    connection: duckdb.DuckDBPyConnection,
    workspace: Workspace,
    week: Week,
    name: str,
    *,
    send: bool = True,
    full: bool = False,
    allow_mass_removal: bool = False,
    clock: Clock | None = None,
    on_progress: Callable[[int, int], None] = lambda done, planned: None,
) -> DestinationSync:
    """Judge a week's audiences and make a destination hold those that go there.

    Args:
        connection: The warehouse, writable, with nobody else on it.
        workspace: The workspace.
        week: One of the weeks of the last run.
        name: A destination of `activation.yml`.
        send: Whether anything is sent; else the plan is made, which asks the destination whom it suppresses.
        full: Send every member again.
        allow_mass_removal: Somebody looked at the plan and wants it.
        clock: The machine's where none is given.
        on_progress: Called with rows sent and rows planned.

    Raises:
        GateError: The warehouse does not hold the week, or somebody was decided on twice.
        OlderWeek: A newer week was sent there already.
        SettingsError: A credential is missing.
    """
    connection.execute(TABLES)
    if send:
        _refuse_older_weeks(connection, week, name)
    settings = workspace.activation_file.destinations[name]
    with closing(connector_of(workspace, name)) as connector:
        channels = channels_of(workspace, name)
        if not _goes_anywhere(connection, workspace, name):
            return DestinationSync(name, settings.kind, week)
        # Before the gate judges: whom the destination suppresses is refused there, and whoever came back is not.
        asked = ask_destination(connection, connector, call_deadline_seconds=settings.retry_minutes * 60, clock=clock)
        with closing(JudgedWeek(connection, workspace, week)) as judged:
            if send and not judged.is_told():
                judged.tell()
            sealed = judged.sealed(name)
            left = _sealed_as_nobody(connection, judged, name)
            given = [_given(one, judged.states[one.segment]) for one in sealed]
            given += [SentAudience(one.segment, WITHDRAWN) for one in left]
            held_back = _held_back(judged, name)
            if not given:
                return DestinationSync(name, settings.kind, week, held_back)
            result = sync(
                connection,
                asked,
                [*sealed, *left],
                erased=_erased(connection, name),
                settings=SyncSettings(
                    guards=settings.guards.guards(),
                    call_deadline_seconds=settings.retry_minutes * 60,
                    job_deadline_seconds=settings.job_minutes * 60,
                ),
                clock=clock,
                channels=channels,
                dry_run=not send,
                allow_mass_removal=allow_mass_removal,
                full=full,
                on_progress=on_progress,
            )
    return DestinationSync(
        name,
        settings.kind,
        week,
        (*given, *held_back),
        result,
        _operations(connection, result.run_id),
        _rejected(connection, result.run_id),
    )


def newest_week(connection: duckdb.DuckDBPyConnection) -> Week | None:
    """The newest week whose audiences were judged; None where none was."""
    try:
        row = first_row(connection, "select max(as_of) from activation.audience_weeks")
    except duckdb.CatalogException:
        return None
    return Week.ending(row[0]) if row and row[0] else None


def forgotten_destinations(connection: duckdb.DuckDBPyConnection, workspace: Workspace) -> dict[str, int]:
    """People that are held by destinations which `activation.yml` does not name any more: nobody keeps them true."""
    try:
        rows = connection.execute(
            "select destination, count(distinct key) from activation.sync_snapshot where is_member or is_in_doubt "
            "group by destination order by destination"
        ).fetchall()
    except duckdb.CatalogException:
        return {}
    return {name: people for name, people in rows if name not in workspace.activation_file.destinations}


def _goes_anywhere(connection: duckdb.DuckDBPyConnection, workspace: Workspace, name: str) -> bool:
    """Whether an audience goes to a destination, or somebody is held there."""
    if any(one.destination == name for one in workspace.activation_file.activation.audiences.values()):
        return True
    row = first_row(
        connection,
        "select count(*) from activation.sync_snapshot where destination = ? and (is_member or is_in_doubt)",
        [name],
    )
    return bool(row and row[0])


def _refuse_older_weeks(connection: duckdb.DuckDBPyConnection, week: Week, name: str) -> None:
    row = first_row(
        connection,
        "select max(as_of) from activation.sync_runs where destination = ? and not is_dry_run and state != 'blocked'",
        [name],
    )
    sent: date | None = row[0] if row else None
    if sent is not None and sent > week.as_of:
        raise OlderWeek(
            f"{name} was given the week {Week.ending(sent).key} already; an older one ({week.key}) would bring back "
            "people who have left since"
        )


def _sealed_as_nobody(
    connection: duckdb.DuckDBPyConnection, judged: JudgedWeek, destination: str
) -> list[GatedAudience]:
    """Audiences that the destination holds people of (or may) and that do not go there any more.

    Those that are declared and were never published are left alone: they are held back, not withdrawn.
    """
    declared = [key for key, state in judged.states.items() if state.audience.destination == destination]
    rows = connection.execute(
        """
        select s.segment,
            coalesce(max_by(w.purpose, w.as_of), 'none'),
            coalesce(max_by(w.channel, w.as_of), 'none')
        from (
            select distinct segment from activation.sync_snapshot
            where destination = $destination and segment != '' and (is_member or is_in_doubt)
        ) as s
        left join activation.audience_weeks as w on w.audience = s.segment and w.destination = $destination
        where not list_contains($declared::varchar[], s.segment)
        group by s.segment order by s.segment
        """,
        {"destination": destination, "declared": declared},
    ).fetchall()
    return [judged.sealed_as_nobody(destination, *row) for row in rows]


def _erased(connection: duckdb.DuckDBPyConnection, destination: str) -> list[str]:
    """Identifiers of people who were erased everywhere and of whom this destination has not been told.

    The gate keeps keys only. Who was ever sent and may be there stands in the snapshot, which is where those who have
    to be removed are found; of all others the gate lets nobody through.
    """
    rows = connection.execute(
        "select distinct s.identifier from activation.sync_snapshot as s "
        "inner join activation.sync_tombstones as t on t.destination = '*' and t.key = s.key "
        "where s.destination = $destination and s.identifier is not null and s.key not in "
        "(select o.key from activation.sync_tombstones as o where o.destination = $destination) order by 1",
        {"destination": destination},
    ).fetchall()
    return [identifier for (identifier,) in rows]


def _given(sealed: GatedAudience, state: AudienceState) -> SentAudience:
    return SentAudience(
        sealed.segment,
        state.state,
        "; ".join(state.why),
        sealed.decision.considered,
        sealed.decision.approved,
        dict(sealed.decision.refused),
        tuple(one.name for one in sealed.mapping.fields),
        tuple(personal_fields(sealed.mapping.fields)),
    )


def _held_back(judged: JudgedWeek, destination: str) -> tuple[SentAudience, ...]:
    """Audiences that were never published and are not now: there is nothing that could stand."""
    return tuple(
        SentAudience(key, state.state, "; ".join(state.why), state.decision.considered)
        for key, state in judged.states.items()
        if state.audience.destination == destination and state.values_as_of is None
    )


def _operations(connection: duckdb.DuckDBPyConnection, run_id: str) -> dict[str, dict[str, int]]:
    rows = connection.execute(
        "select operation, status, count(*) from activation.sync_changelog where run_id = ? group by all order by all",
        [run_id],
    ).fetchall()
    counted: dict[str, dict[str, int]] = {}
    for operation, status, count in rows:
        counted.setdefault(operation, {})[status] = count
    return counted


def _rejected(connection: duckdb.DuckDBPyConnection, run_id: str) -> dict[str, int]:
    return dict(
        connection.execute(
            "select coalesce(nullif(code, ''), http_status::varchar, 'no code'), count(*) "
            "from activation.sync_changelog where run_id = ? and status = 'rejected' group by 1 order by 1",
            [run_id],
        ).fetchall()
    )


def standing(audiences: Sequence[SentAudience]) -> list[str]:
    """A sentence for each audience that is not this week's."""
    sentences = []
    for one in audiences:
        if one.state == WITHDRAWN:
            sentences.append(f"{one.name} does not go there any more: everybody leaves it")
        elif one.state == NOT_DUE:
            sentences.append(f"{one.name} is not due this week: what was published before stands, nobody is added")
        elif one.state != PUBLISHED:
            sentences.append(
                f"{one.name} was held back, what was published before stands and nobody is added: {one.why}"
            )
    return sentences

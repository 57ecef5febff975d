"""Which weeks a run needs: the weeks it scores, the past weeks its models learn from, and which features are stale.

What belongs here: planning over the ledgers. The weeks' arithmetic stands in `weeks.py`.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from datetime import datetime, timedelta

import duckdb

from activation.answers import first_row
from data_contracts.contract import load_contract
from orchestration.sql import identifier
from orchestration.target_settings import Target
from orchestration.warehouse import transaction
from orchestration.weeks import Week
from orchestration.workspace import Workspace

ENTITIES_THAT_TELL_OF_BEHAVIOUR = ("events", "orders", "order_lines", "messages", "tickets", "survey_answers", "deals")
ENTITIES_THAT_NAME_PEOPLE = ("contacts", "orders", "order_lines", "messages", "events")
EXAMPLES_ENOUGH = 2_000_000
# A week can teach something when at least this much behaviour lies before it.
SHORTEST_HISTORY = timedelta(days=14)


@dataclass(frozen=True)
class PlannedWeek:
    """One week of a run."""

    week: Week
    is_scored: bool
    build_features: bool
    feature_fingerprint: str


def training_weeks(target: Target, scored: Week, people: int = 0) -> list[Week]:
    """The past weeks whose outcomes are complete by the end of `scored`, the latest first.

    A label on the contacts has no horizon: it is learned in the scored week itself. Where there are so many people that
    fewer weeks than `training_weeks` bring two million examples, fewer are used, but always two, one to measure on.
    """
    if target.outcome == "label":
        return [scored]
    horizon = math.ceil(target.within_days / 7)
    enough = max(2, math.ceil(EXAMPLES_ENOUGH / max(people, 1)))
    return [scored.back(horizon + step) for step in range(min(target.training_weeks, enough))]


def people_known(connection: duckdb.DuckDBPyConnection, workspace: Workspace, week: Week) -> int:
    """How many contacts were known by the end of `week`, counted in the first entity that names them."""
    delivered = [entity for entity in ENTITIES_THAT_NAME_PEOPLE if entity in workspace.entities]
    if not delivered:
        return 0
    contract = load_contract(delivered[0])
    moments = ", ".join(identifier(name) for name in (*contract.version_columns, contract.time_column))
    row = first_row(
        connection,
        f"select count(distinct contact_id) from raw.{identifier(delivered[0])} "
        f"where coalesce({moments}, timestamp '1970-01-01') < ?",
        [week.as_of_at(workspace.settings.timezone)],
    )
    return int(row[0]) if row else 0


def plan_weeks(
    connection: duckdb.DuckDBPyConnection, workspace: Workspace, scored: list[Week], code_fingerprint: str
) -> list[PlannedWeek]:
    """The weeks of a run, in order.

    A week's features are built again when their fingerprint changed: the code, the settings, or any file that tells of
    something known before the week's end.
    """
    earliest = earliest_behaviour(connection)
    wanted = set(scored)
    for target in workspace.settings.targets.values():
        for week in scored:
            wanted |= {
                past
                for past in training_weeks(target, week, people_known(connection, workspace, week))
                if earliest and past.as_of_at(workspace.settings.timezone) >= earliest + SHORTEST_HISTORY
            }
    built = _built_fingerprints(connection)
    plan = []
    for week in sorted(wanted):
        fingerprint = _feature_fingerprint(connection, workspace, week, code_fingerprint)
        plan.append(PlannedWeek(week, week in scored, built.get(week.as_of) != fingerprint, fingerprint))
    return plan


def write_plan(connection: duckdb.DuckDBPyConnection, workspace: Workspace, plan: list[PlannedWeek]) -> None:
    """Tell dbt which weeks this run is for."""
    with transaction(connection):
        connection.execute("delete from raw.run_weeks")
        for planned in plan:
            connection.execute(
                "insert into raw.run_weeks values (?, ?, ?, ?, ?)",
                [
                    planned.week.as_of,
                    planned.week.as_of_at(workspace.settings.timezone),
                    planned.is_scored,
                    planned.build_features,
                    planned.feature_fingerprint,
                ],
            )


def earliest_behaviour(connection: duckdb.DuckDBPyConnection) -> datetime | None:
    """When the first thing that anybody did was, as far as files tell."""
    row = first_row(
        connection,
        "select min(earliest_row_at) from raw.ingested_files where list_contains(?, entity)",
        [list(ENTITIES_THAT_TELL_OF_BEHAVIOUR)],
    )
    return row[0] if row else None


def _built_fingerprints(connection: duckdb.DuckDBPyConnection) -> dict[object, str]:
    exists = first_row(
        connection, "select 1 from duckdb_tables() where schema_name = 'features' and table_name = 'person_features'"
    )
    if not exists:
        return {}
    return dict(
        connection.execute(
            "select as_of, any_value(feature_fingerprint) from features.person_features group by as_of"
        ).fetchall()
    )


def _feature_fingerprint(
    connection: duckdb.DuckDBPyConnection, workspace: Workspace, week: Week, code_fingerprint: str
) -> str:
    end = week.as_of_at(workspace.settings.timezone)
    loads = connection.execute(
        # Rows that come out of the quarantine later change how many a load has, not its id. Of whoever is erased the
        # rows go from every table at once: what is left of a week stands, and is not computed again.
        "select entity, file, load_id, rows_loaded + coalesce(rows_erased - rows_erased_refused, 0) as rows_delivered "
        "from raw.ingested_files where rows_delivered > 0 "
        "and coalesce(earliest_row_at < ?, true) and coalesce(delivered_at < ?, true) order by all",
        [end, end + timedelta(hours=workspace.settings.delivery_grace_hours)],
    ).fetchall()
    decisions = sorted(repr(each.contacts) for each in workspace.decisions if each.from_week.monday <= week.monday)
    content = repr((code_fingerprint, workspace.fingerprint(), week.key, loads, decisions))
    return hashlib.sha256(content.encode()).hexdigest()[:16]

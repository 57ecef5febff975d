"""What the report of one week says: figures read from the marts and the ledgers, aggregates only."""

from __future__ import annotations

import json
from collections.abc import Sequence

import duckdb
import polars as pl

from activation.report.report_data import ReportData
from orchestration.weeks import Week
from orchestration.workspace import Workspace

KPIS = """
select
    k.as_of, k.segment_id, k.segment_name, k.description, k.people, k.people_share, p.people as previous_people,
    k.revenue_91d as revenue, k.revenue_share, k.reachable_people, k.mean_probability
from marts.segment_kpis as k
left join marts.segment_kpis as p on p.as_of = k.as_of - 7 and p.segment_id = k.segment_id
where k.as_of <= ?
order by all
"""


def report_data(connection: duckdb.DuckDBPyConnection, workspace: Workspace, week: Week) -> ReportData:
    """Everything the report of `week` needs."""
    as_of = [week.as_of]
    model_id, k_choice, k_evidence = _model(connection, week)
    history = _frame(connection, KPIS, as_of)
    return ReportData(
        company=workspace.settings.company,
        as_of=week.as_of,
        week_start=week.monday,
        timezone=workspace.settings.timezone,
        currency=workspace.settings.currency,
        minimum_cell=workspace.settings.minimum_cell,
        k_choice=k_choice,
        model_id=model_id,
        k_evidence=k_evidence,
        history=history,
        kpis=history.filter(pl.col("as_of") == week.as_of),
        profiles=_frame(
            connection,
            "select segment_id, characteristic, label, family, kind, unit, segment_value, base_value, index_value, "
            "effect_size from marts.segment_profiles where as_of = ? and segment_type = 'persona' order by all",
            as_of,
        ),
        migrations=_migrations(connection, week),
        propensity=_frame(
            connection,
            "select p.target, r.label, p.band, count(*) as people, avg(p.probability) as mean_probability "
            "from marts.person_propensities as p "
            "inner join ml.model_runs as r on r.as_of = p.as_of and r.target = p.target "
            "where p.as_of = ? group by all order by all",
            as_of,
        ),
        propensity_models=_propensity_models(connection, week),
        propensity_by_segment=_frame(
            connection,
            "select p.target, m.segment_id, avg(p.probability) as mean_probability, "
            "count(*) filter (p.band = 'high') as high_people from marts.person_propensities as p "
            "inner join marts.segment_memberships as m on m.as_of = p.as_of and m.person_id = p.person_id "
            "and m.segment_type = 'persona' where p.as_of = ? and p.probability is not null group by all order by all",
            as_of,
        ),
        deliveries=_deliveries(connection, workspace, week),
        checks=_checks(connection, workspace, week),
        left_out=_frame(
            connection, "select reason, people from marts.people_left_out where as_of = ? order by reason", as_of
        ),
    )


def _frame(connection: duckdb.DuckDBPyConnection, query: str, values: Sequence[object]) -> pl.DataFrame:
    return connection.execute(query, list(values)).pl()


def _model(connection: duckdb.DuckDBPyConnection, week: Week) -> tuple[str, str, pl.DataFrame]:
    row = connection.execute(
        "select model_id, choice, k_evidence from ml.persona_models where as_of <= ? order by as_of desc limit 1",
        [week.as_of],
    ).fetchone()
    if row is None:
        return "none", "Nobody to find personas among.", pl.DataFrame()
    return row[0], row[1], pl.DataFrame(json.loads(row[2]))


def _migrations(connection: duckdb.DuckDBPyConnection, week: Week) -> pl.DataFrame:
    return _frame(
        connection,
        "with names as (select as_of, persona_id, persona_name from ml.personas) "
        "select g.previous_as_of, g.as_of, g.from_segment_id, f.persona_name as from_segment_name, g.to_segment_id, "
        "t.persona_name as to_segment_name, g.people from marts.segment_migrations as g "
        "left join names as f on f.persona_id = g.from_segment_id and f.as_of = g.previous_as_of "
        "left join names as t on t.persona_id = g.to_segment_id and t.as_of = g.as_of "
        "where g.as_of = ? order by all",
        [week.as_of],
    )


def _propensity_models(connection: duckdb.DuckDBPyConnection, week: Week) -> pl.DataFrame:
    rows = connection.execute(
        "select target, label, algorithm, abstained_reason, evaluation from ml.model_runs where as_of = ? "
        "order by target",
        [week.as_of],
    ).fetchall()
    figures = ("auc", "auc_low", "auc_high", "log_loss", "brier", "calibration_error", "base_rate", "training_rows")
    models = [
        {"target": target, "label": label, "algorithm": algorithm, "abstained_reason": reason}
        | {name: json.loads(evaluation).get(name) for name in figures}
        for target, label, algorithm, reason, evaluation in rows
    ]
    return pl.DataFrame(models, infer_schema_length=None)


def _deliveries(connection: duckdb.DuckDBPyConnection, workspace: Workspace, week: Week) -> pl.DataFrame:
    """What was delivered for the week: files whose newest row or delivery falls into it, or that tell no time."""
    return _frame(
        connection,
        "select entity, count(*) as files, sum(rows_read)::bigint as rows_read, "
        "sum(rows_loaded)::bigint as rows_loaded, "
        "sum(rows_quarantined + rows_unreadable)::bigint as rows_quarantined, "
        "sum(rows_duplicate)::bigint as rows_duplicate, max(latest_row_at) as latest_row_at from raw.ingested_files "
        "where status in ('loaded', 'corrected') and coalesce(earliest_row_at < ?, true) "
        "and coalesce(latest_row_at >= ?, true) group by entity order by entity",
        [week.as_of_at(workspace.settings.timezone), week.back(1).as_of_at(workspace.settings.timezone)],
    )


def _checks(connection: duckdb.DuckDBPyConnection, workspace: Workspace, week: Week) -> pl.DataFrame:
    """Per entity: files that kept their contract, and files with rows in quarantine; a refused file stops the run."""
    return _frame(
        connection,
        "select entity, count(*) filter (rows_quarantined + rows_unreadable = 0) as passed, 0 as failed, "
        "count(*) filter (rows_quarantined + rows_unreadable > 0) as warnings "
        "from raw.ingested_files where coalesce(earliest_row_at < ?, true) group by entity order by entity",
        [week.as_of_at(workspace.settings.timezone)],
    )

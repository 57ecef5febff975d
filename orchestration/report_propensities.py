"""What the report says of propensities: how good, what they earn, what moved them, and whether they came true.

What belongs here: reading figures from the marts and the ledgers of the models. How they are told stands in
`activation/report/outlook.py`.
"""

from __future__ import annotations

import json
from typing import Any

import duckdb
import polars as pl

from activation.answers import read_frame
from ml.bands import wilson
from orchestration.eligibility import NOT_ELIGIBLE
from orchestration.weeks import Week

MOST_MOVING = 8
FIGURES = (
    "auc",
    "auc_low",
    "auc_high",
    "log_loss",
    "brier",
    "calibration_error",
    "calibration_slope",
    "base_rate",
    "training_rows",
    "measured_on",
    "chosen_because",
    "calibration_drift",
)


def propensity_frames(connection: duckdb.DuckDBPyConnection, week: Week) -> dict[str, pl.DataFrame]:
    """The frames of `ReportData` that tell of propensities, but the counts of people."""
    runs = read_frame(
        connection,
        "select target, label, action, algorithm, abstained_reason, eligible_people, refit, evaluation, "
        "importance from ml.model_runs where as_of = ? order by target",
        [week.as_of],
    )
    rows = list(runs.iter_rows(named=True))
    return {
        "propensity_models": _frame([_model(row) for row in rows]),
        "propensity_notes": _frame(propensity_notes(connection, week)),
        "propensity_moved_by": _frame([one for row in rows for one in _moved_by(row)]),
        "propensity_reliability": _frame([one for row in rows for one in _reliability(row)]),
        "propensity_gains": read_frame(
            connection,
            "select * from marts.propensity_gains where as_of = ? order by target, kind, depth",
            [week.as_of],
        ),
        "propensity_backtest": _past(connection, week),
        "propensity_fairness": read_frame(
            connection,
            'select * from ml.propensity_fairness where as_of = ? order by target, attribute, "group"',
            [week.as_of],
        ),
    }


def _past(connection: duckdb.DuckDBPyConnection, week: Week) -> pl.DataFrame:
    """What became of past predictions, with the interval of what was observed."""
    past = read_frame(
        connection,
        "select * from marts.propensity_backtest where as_of <= ? and (segment_type = 'everybody' or as_of = ?) "
        "order by target, segment_type, segment_id, as_of",
        [week.as_of, week.as_of],
    )
    intervals = [wilson(share, people) for share, people in past.select("observed_share", "people").iter_rows()]
    return past.with_columns(
        observed_low=pl.Series([low for low, _ in intervals], dtype=pl.Float64),
        observed_high=pl.Series([high for _, high in intervals], dtype=pl.Float64),
    )


def _frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(rows, infer_schema_length=None)


def _model(row: dict[str, Any]) -> dict[str, Any]:
    evaluation = json.loads(row["evaluation"] or "{}")
    kept = ("target", "label", "action", "algorithm", "abstained_reason", "eligible_people", "refit")
    return {name: row[name] for name in kept} | {name: evaluation.get(name) for name in FIGURES}


def propensity_notes(connection: duckdb.DuckDBPyConnection, week: Week) -> list[dict[str, Any]]:
    """Sentences on each target: who is not eligible, what became of bands, suspects, and what has drifted."""
    runs = read_frame(
        connection,
        "select target, not_eligible, band_notes, suspects from ml.model_runs where as_of = ? order by target",
        [week.as_of],
    )
    notes = [note for row in runs.iter_rows(named=True) for note in _notes(row)]
    return [*notes, *_drifted(connection, week)]


def _notes(row: dict[str, Any]) -> list[dict[str, Any]]:
    target = row["target"]
    not_eligible = [
        {"target": target, "kind": "not_eligible", "words": reason.removeprefix(NOT_ELIGIBLE), "people": people}
        for reason, people in json.loads(row["not_eligible"] or "{}").items()
    ]
    bands = [
        {"target": target, "kind": "band", "words": words, "people": None}
        for words in json.loads(row["band_notes"] or "[]")
    ]
    suspects = [
        {
            "target": target,
            "kind": "suspect",
            "words": f"{one.get('label', one['feature'])}: {one['reason']}",
            "people": None,
        }
        for one in json.loads(row["suspects"] or "[]")
    ]
    return [*not_eligible, *bands, *suspects]


def _drifted(connection: duckdb.DuckDBPyConnection, week: Week) -> list[dict[str, Any]]:
    """Features that are distributed otherwise than in the weeks a model was fitted on, what it leans on most first."""
    return read_frame(
        connection,
        "select target, 'drift' as kind, label || ': ' || words as words, null::bigint as people "
        "from ml.propensity_drift where as_of = ? and is_drifted "
        "order by target, importance_share desc, js_distance desc, feature",
        [week.as_of],
    ).to_dicts()


def _moved_by(row: dict[str, Any]) -> list[dict[str, Any]]:
    """What probabilities depend on most; what makes them no better is left out."""
    told = [one for one in json.loads(row["importance"] or "[]") if one["log_loss_increase"] > 0]
    return [
        {
            "target": row["target"],
            "label": one.get("label", one["feature"]),
            "log_loss_increase": one["log_loss_increase"],
        }
        for one in told[:MOST_MOVING]
    ]


def _reliability(row: dict[str, Any]) -> list[dict[str, Any]]:
    parts = []
    for part in json.loads(row["evaluation"] or "{}").get("reliability", []):
        low, high = wilson(part["observed_share"], part["people"])
        parts.append({"target": row["target"], **part, "observed_low": low, "observed_high": high})
    return parts

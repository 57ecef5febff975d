"""The tables of schema `ml` that hold propensities: their columns, and how models in them are found, read and written.

What belongs here: tables and frames. What a week makes of them stands in `propensity_week.py`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Any

import duckdb
import polars as pl

from activation.answers import first_row
from ml.bands import BandRule, Bands
from ml.drift import ColumnReference
from ml.fairness import FAIRNESS_SCHEMA
from ml.gains import GAIN_SCHEMA
from ml.propensity_drift import DRIFT_SCHEMA
from ml.propensity_model import PropensityModel
from ml.propensity_store import model_from_bytes
from orchestration.persona_store import CHAMPION
from orchestration.rollbacks import Rollback
from orchestration.target_settings import ModelSettings, Target
from orchestration.weeks import Week

SCORE_SCHEMA = {
    "as_of": pl.Date,
    "person_id": pl.UInt64,
    "target": pl.String,
    "probability": pl.Float64,
    "band": pl.String,
    "abstained_reason": pl.String,
    "model_id": pl.String,
}
RUN_SCHEMA = {
    "as_of": pl.Date,
    "target": pl.String,
    "label": pl.String,
    "action": pl.String,
    "model_id": pl.String,
    "fitted_as_of": pl.Date,
    "algorithm": pl.String,
    "abstained_reason": pl.String,
    "eligible_people": pl.Int64,
    "not_eligible": pl.String,
    "high_from": pl.Float64,
    "medium_from": pl.Float64,
    "band_notes": pl.String,
    "refit": pl.String,
    "evaluation": pl.String,
    "importance": pl.String,
    "suspects": pl.String,
}
MODEL_SCHEMA = {
    "as_of": pl.Date,
    "target": pl.String,
    "model_id": pl.String,
    "status": pl.String,
    "reason": pl.String,
    "trigger": pl.String,
    "algorithm": pl.String,
    "compared_as_of": pl.Date,
    "definition_hash": pl.String,
    "bands": pl.String,
    "drift_references": pl.String,
    "importance": pl.String,
    "evaluation": pl.String,
    "sha256": pl.String,
    "model": pl.Binary,
    "pruned_as_of": pl.Date,
    "card": pl.String,
    "markdown": pl.String,
}
BACKTEST_SCHEMA = {
    "as_of": pl.Date,
    "scored_as_of": pl.Date,
    "target": pl.String,
    "segment_type": pl.String,
    "segment_id": pl.String,
    "people": pl.Int64,
    "positives": pl.Int64,
    "predicted_mean": pl.Float64,
    "observed_share": pl.Float64,
    "log_loss": pl.Float64,
    "base_rate_log_loss": pl.Float64,
    "brier": pl.Float64,
    "calibration_error": pl.Float64,
    "auc": pl.Float64,
    "auc_low": pl.Float64,
    "auc_high": pl.Float64,
    "slope": pl.Float64,
    "slope_error": pl.Float64,
    "intercept": pl.Float64,
    "intercept_error": pl.Float64,
    "complaint": pl.String,
}
KEPT_CHAMPIONS = 2
"""The standing model, and the one before it."""
TARGET_WEEK = {"as_of": pl.Date, "target": pl.String}
PROPENSITY_TABLES: dict[str, dict[str, Any]] = {
    "propensity_scores": SCORE_SCHEMA,
    "model_runs": RUN_SCHEMA,
    "propensity_models": MODEL_SCHEMA,
    "propensity_gains": TARGET_WEEK | GAIN_SCHEMA,
    "propensity_backtest": BACKTEST_SCHEMA,
    "propensity_fairness": TARGET_WEEK | FAIRNESS_SCHEMA,
    "propensity_drift": TARGET_WEEK | {"model_id": pl.String, "label": pl.String} | DRIFT_SCHEMA,
}


@dataclass(frozen=True)
class StandingPropensity:
    """The model of a target that stands from an earlier week; it is only unpacked where it is used."""

    fitted_as_of: date
    compared_as_of: date
    algorithm: str
    model_id: str
    bands: Bands
    evaluation: dict[str, Any]
    sha256: str
    content: bytes | None
    references: list[ColumnReference] = field(default_factory=list)
    told_importance: list[dict[str, Any]] | None = None

    @cached_property
    def model(self) -> PropensityModel:
        """The model itself.

        Raises:
            ValueError: the bytes were pruned, are not what was recorded, or of another version of the library that made
                them.
        """
        if self.content is None:
            raise ValueError(f"the model fitted in the week that ended on {self.fitted_as_of} was pruned")
        return model_from_bytes(self.content, self.sha256)

    @property
    def is_pruned(self) -> bool:
        """Whether only what is told of the model is left."""
        return self.content is None

    @property
    def inputs(self) -> set[str]:
        """The features it reads; known of a pruned one too."""
        return {one.feature for one in self.references} or set(self.model.inputs)

    @property
    def importance(self) -> list[dict[str, Any]]:
        """What it leans on; known of a pruned one too."""
        return self.model.importance if self.told_importance is None else self.told_importance

    @property
    def is_readable(self) -> bool:
        """Whether the model can be used with the libraries that are installed."""
        try:
            return bool(self.model.inputs)
        except ValueError:
            return False


def definition_hash(target: Target) -> str:
    """A hash of what decides what a target's model learns: a model of another definition does not stand."""
    deciding = target.model_dump(mode="json", exclude={"template", "action", "bands", "description"})
    deciding["model"] = {"suspects": target.model.suspects}
    return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()[:16]


def standing_propensity(
    connection: duckdb.DuckDBPyConnection, name: str, target: Target, week: Week, rollbacks: tuple[Rollback, ...]
) -> StandingPropensity | None:
    """The latest champion of a target fitted before `week` that nobody has turned back from."""
    for as_of in champions(connection, name, target, week, rollbacks):
        if as_of < week.as_of:
            return read_propensity(connection, name, as_of)
    return None


def champions(
    connection: duckdb.DuckDBPyConnection, name: str, target: Target, week: Week, rollbacks: tuple[Rollback, ...]
) -> list[date]:
    """When the champions of a target were fitted up to `week` that nobody has turned back from, the latest first."""
    fitted = connection.execute(
        "select as_of from ml.propensity_models where as_of <= ? and target = ? and status = ? and definition_hash = ? "
        "order by as_of desc",
        [week.as_of, name, CHAMPION, definition_hash(target)],
    ).fetchall()
    return [as_of for (as_of,) in fitted if not any(one.excludes(as_of, week, name) for one in rollbacks)]


def prune_models(
    connection: duckdb.DuckDBPyConnection, targets: Mapping[str, Target], week: Week, rollbacks: tuple[Rollback, ...]
) -> int:
    """Forget the bytes of models that nothing can go back to any more; their rows stay and say so.

    Kept whole are, of each target, the standing model and the champion before it, which a rollback turns back to, and
    everything fitted within the last `keep_weeks`. A pruned model comes back, byte by byte (`sha256`), when its week is
    run again. Only what was fitted before `week` is looked at, so weeks run again prune what they pruned.

    Returns:
        How many were pruned.
    """
    pruned = 0
    known = connection.execute(
        "select distinct target from ml.propensity_models where as_of < ? and model is not null order by 1",
        [week.as_of],
    ).fetchall()
    for (name,) in known:
        target = targets.get(name)
        kept = champions(connection, name, target, week, rollbacks)[:KEPT_CHAMPIONS] if target else []
        weeks = target.model.keep_weeks if target else ModelSettings().keep_weeks
        pruned += connection.execute(
            "update ml.propensity_models set model = null, pruned_as_of = ? where target = ? and as_of < ? "
            "and model is not null and not list_contains(?::date[], as_of)",
            [week.as_of, name, week.back(weeks).as_of, kept],
        ).fetchall()[0][0]
    return pruned


def read_propensity(connection: duckdb.DuckDBPyConnection, name: str, fitted_as_of: date) -> StandingPropensity | None:
    """The model of a target that was fitted in a week, whatever became of it; pruned or whole."""
    row = first_row(
        connection,
        "select as_of, compared_as_of, algorithm, model_id, bands, evaluation, sha256, model, drift_references, "
        "importance from ml.propensity_models where as_of = ? and target = ?",
        [fitted_as_of, name],
    )
    if row is None:
        return None
    as_of, compared, algorithm, model_id, bands, evaluation, sha256, content, references, importance = row
    return StandingPropensity(
        as_of,
        compared,
        algorithm,
        model_id,
        bands_from_json(bands),
        json.loads(evaluation),
        sha256,
        None if content is None else bytes(content),
        [ColumnReference.from_dict(one) for one in json.loads(references or "[]")],
        json.loads(importance) if importance else None,
    )


def model_used(connection: duckdb.DuckDBPyConnection, name: str, week: Week) -> StandingPropensity | None:
    """The model that a week was scored with."""
    row = first_row(
        connection, "select fitted_as_of from ml.model_runs where as_of = ? and target = ?", [week.as_of, name]
    )
    return read_propensity(connection, name, row[0]) if row and row[0] else None


def bands_to_json(bands: Bands) -> str:
    """How bands were decided, as text; the rule itself stands in the settings."""
    return json.dumps(
        {
            "high_from": bands.high_from,
            "medium_from": bands.medium_from,
            "usual_amount": bands.usual_amount,
            "joined": bands.joined,
            "notes": bands.notes,
        }
    )


def bands_from_json(text: str) -> Bands:
    """What `bands_to_json` wrote, without its rule."""
    told = json.loads(text)
    return Bands(
        BandRule(),
        told["high_from"],
        told["medium_from"],
        told["usual_amount"],
        told["joined"],
        tuple(told["notes"]),
    )

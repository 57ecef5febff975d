"""The tables of schema `ml` that hold personas: their columns, and how they are read and written.

What belongs here: tables and frames. What a week makes of them stands in `persona_week.py`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from typing import Any

import duckdb
import polars as pl

from activation.answers import first_row, read_frame
from ml.catalogue import inputs_of
from ml.drift import ColumnReference
from ml.membership_reasons import REASON_COLUMNS
from ml.persona_model import PersonaModel
from ml.persona_tracking import INCUMBENT_SCHEMA, StandingPersonas
from orchestration.rollbacks import Rollback
from orchestration.sql import identifier
from orchestration.warehouse import replace_weeks, transaction
from orchestration.weeks import Week

DISCOVERED, DEFINED = "persona", "defined_persona"
CHAMPION, REJECTED, ROLLED_BACK = "champion", "rejected", "rolled back"

MODEL_SCHEMA = {
    "as_of": pl.Date,
    "model_id": pl.String,
    "status": pl.String,
    "reason": pl.String,
    "trigger": pl.String,
    "people": pl.Int64,
    "k": pl.Int64,
    "silhouette": pl.Float64,
    "choice": pl.String,
    "solution_kind": pl.String,
    "stability": pl.Float64,
    "notes": pl.String,
    "persona_ids": pl.String,
    "persona_names": pl.String,
    "k_evidence": pl.String,
    "figures": pl.String,
    "reference": pl.String,
    "model": pl.String,
}
ASSIGNMENT_SCHEMA = {
    "as_of": pl.Date,
    "person_id": pl.UInt64,
    "persona_type": pl.String,
    "persona_id": pl.String,
    "strength": pl.Float64,
    "runner_up_persona_id": pl.String,
    "margin": pl.Float64,
    "fit_score": pl.Float64,
    **dict.fromkeys(REASON_COLUMNS, pl.String),
    "previous_model_persona_id": pl.String,
    "movement": pl.String,
    "model_id": pl.String,
}
PERSONA_SCHEMA = {
    "as_of": pl.Date,
    "persona_type": pl.String,
    "persona_id": pl.String,
    "persona_name": pl.String,
    "description": pl.String,
    "people": pl.Int64,
    "model_id": pl.String,
}
LEDGER_SCHEMA = {
    "as_of": pl.Date,
    "persona_id": pl.String,
    "event": pl.String,
    "from_ids": pl.String,
    "to_ids": pl.String,
    "overlap": pl.Float64,
    "distance": pl.Float64,
    "from_model_id": pl.String,
    "to_model_id": pl.String,
    "reason": pl.String,
}
WEEK_SCHEMA = {
    "as_of": pl.Date,
    "model_id": pl.String,
    "fitted_as_of": pl.Date,
    "defined_model_id": pl.String,
    "feature_fingerprint": pl.String,
    "settings_hash": pl.String,
    "code_version": pl.String,
    "people": pl.Int64,
    "odds_to_move": pl.Float64,
    "moved": pl.Int64,
    "redrawn": pl.Int64,
    "moved_by_refit_alone": pl.Int64,
    "drifted_columns": pl.Int64,
    "tested_columns": pl.Int64,
    "drift_auc": pl.Float64,
    "drift": pl.String,
    "refit": pl.String,
}
DEFINED_MODEL_SCHEMA = {
    "as_of": pl.Date,
    "model_id": pl.String,
    "definitions_hash": pl.String,
    "people": pl.Int64,
    "model": pl.String,
}
SUPPORT_TABLE_SCHEMA = {
    "as_of": pl.Date,
    "persona_id": pl.String,
    "people": pl.Int64,
    "share": pl.Float64,
    "mean_fit": pl.Float64,
    "separation": pl.Float64,
    "stability": pl.Float64,
    "nearest_persona_id": pl.String,
    "nearest_overlap": pl.Float64,
    "unfit_reason": pl.String,
    "suggested_ranges": pl.String,
}
SUGGESTION_SCHEMA = {
    "as_of": pl.Date,
    "suggestion": pl.String,
    "name": pl.String,
    "description": pl.String,
    "people": pl.Int64,
    "share": pl.Float64,
}
PORTRAIT_SCHEMA = {
    "as_of": pl.Date,
    "persona_id": pl.String,
    "person_id": pl.UInt64,
    "rank": pl.Int64,
}
CARD_SCHEMA = {"as_of": pl.Date, "model_id": pl.String, "card": pl.String, "markdown": pl.String}
VALUE_SCHEMA = {
    "as_of": pl.Date,
    "persona_id": pl.String,
    "fitted_as_of": pl.Date,
    "alike_persona_id": pl.String,
    "differs_in": pl.String,
    "net_value": pl.Float64,
    "net_value_high": pl.Float64,
    "unprofitable_weeks": pl.Int64,
    "flags": pl.String,
}
PERSONA_TABLES = {
    "persona_models": MODEL_SCHEMA,
    "persona_assignments": ASSIGNMENT_SCHEMA,
    "personas": PERSONA_SCHEMA,
    "persona_ledger": LEDGER_SCHEMA,
    "persona_weeks": WEEK_SCHEMA,
    "persona_medoids": PORTRAIT_SCHEMA,
    "persona_model_cards": CARD_SCHEMA,
    "persona_values": VALUE_SCHEMA,
    "defined_persona_models": DEFINED_MODEL_SCHEMA,
    "defined_persona_support": SUPPORT_TABLE_SCHEMA,
    "persona_suggestions": SUGGESTION_SCHEMA,
}


@dataclass(frozen=True)
class StandingModel:
    """The model a week is assigned with, what its groups are called, and how its people were."""

    personas: StandingPersonas
    fitted_as_of: date
    names: dict[str, str]
    references: list[ColumnReference]

    @property
    def model(self) -> PersonaModel:
        """The model itself."""
        return self.personas.model


def read_features(
    connection: duckdb.DuckDBPyConnection, catalogue: pl.DataFrame, week: Week, purpose: Any
) -> pl.DataFrame:
    """The feature rows of one week: person_id, as_of and the inputs for a purpose, in no order."""
    inputs = inputs_of(catalogue, catalogue["feature"].to_list(), purpose)
    return _read_features(connection, list(inputs), week)


def read_feature_columns(connection: duckdb.DuckDBPyConnection, names: list[str], week: Week) -> pl.DataFrame:
    """person_id, as_of and the named features of one week, by person."""
    return _read_features(connection, names, week).sort("person_id")


def _read_features(connection: duckdb.DuckDBPyConnection, names: list[str], week: Week) -> pl.DataFrame:
    columns = ", ".join(identifier(name) for name in ["person_id", "as_of", *dict.fromkeys(names)])
    return read_frame(connection, f"select {columns} from features.person_features where as_of = ?", [week.as_of])


def standing_model(
    connection: duckdb.DuckDBPyConnection, week: Week, rollbacks: tuple[Rollback, ...]
) -> StandingModel | None:
    """The latest champion fitted before `week` that nobody has turned back from."""
    fitted = connection.execute(
        "select as_of from ml.persona_models where as_of < ? and status = ? order by as_of desc", [week.as_of, CHAMPION]
    ).fetchall()
    for (as_of,) in fitted:
        if not any(one.excludes(as_of, week) for one in rollbacks):
            return read_model(connection, as_of)
    return None


def read_model(connection: duckdb.DuckDBPyConnection, fitted_as_of: date) -> StandingModel | None:
    """The model that was fitted in a week, whatever became of it."""
    row = first_row(
        connection,
        "select model, persona_ids, persona_names, reference from ml.persona_models where as_of = ?",
        [fitted_as_of],
    )
    if row is None:
        return None
    model, persona_ids, names, reference = row
    ids = {int(cluster): persona for cluster, persona in json.loads(persona_ids).items()}
    return StandingModel(
        StandingPersonas(PersonaModel.from_dict(json.loads(model)), ids),
        fitted_as_of,
        json.loads(names),
        [ColumnReference.from_dict(one) for one in json.loads(reference or "[]")],
    )


def model_of_week(connection: duckdb.DuckDBPyConnection, week: Week) -> StandingModel | None:
    """The model that a week was assigned with."""
    row = first_row(connection, "select fitted_as_of from ml.persona_weeks where as_of = ?", [week.as_of])
    return read_model(connection, row[0]) if row and row[0] else None


def last_attempt(connection: duckdb.DuckDBPyConnection, week: Week) -> date | None:
    """When a model was last fitted before `week`, whether it was taken or not."""
    row = first_row(connection, "select max(as_of) from ml.persona_models where as_of < ?", [week.as_of])
    return row[0] if row else None


def used_ids(connection: duckdb.DuckDBPyConnection, week: Week) -> list[str]:
    """Every persona id that was ever published, or in a model that was turned back from, before `week`."""
    rows = connection.execute(
        "select persona_ids from ml.persona_models where as_of < ? and status <> ? order by as_of",
        [week.as_of, REJECTED],
    ).fetchall()
    return sorted({persona for (ids,) in rows for persona in json.loads(ids).values()})


def incumbents(
    connection: duckdb.DuckDBPyConnection, week: Week, persona_type: str
) -> tuple[pl.DataFrame, date | None]:
    """Who was in which persona in the latest week before this one, and which week that was."""
    row = first_row(connection, "select max(as_of) from ml.persona_weeks where as_of < ? and people > 0", [week.as_of])
    if row is None or row[0] is None:
        return pl.DataFrame(schema=INCUMBENT_SCHEMA), None
    frame = read_frame(
        connection,
        "select person_id, persona_id, strength, runner_up_persona_id, margin from ml.persona_assignments "
        "where as_of = ? and persona_type = ? order by person_id",
        [row[0], persona_type],
    )
    return frame, row[0]


def write_week(connection: duckdb.DuckDBPyConnection, week: Week, frames: dict[str, pl.DataFrame]) -> None:
    """Put the rows of one week in the place of those there were, in every table; a table without a frame is emptied."""
    with transaction(connection):
        for table, schema in PERSONA_TABLES.items():
            frame = frames.get(table, pl.DataFrame(schema=schema)).select(list(schema)).cast(schema)  # type: ignore[arg-type]
            replace_weeks(connection, f"ml.{table}", frame, [week.as_of])

"""Personas of one week: assign with the standing model, fit anew when it is due, and keep the ids people know.

What belongs here: reading and writing what the models need. The models themselves stand in `ml/`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from typing import Any

import duckdb
import polars as pl

from ml.catalogue import inputs_of
from ml.naming import describe_personas, name_personas, profile_personas
from ml.persona_identity import match_personas
from ml.personas import PersonaModel, PersonaSettings, TooFewPeople, fit_personas
from orchestration.feature_catalogue import tellable
from orchestration.sql import identifier
from orchestration.warehouse import make_tables, replace_weeks, transaction
from orchestration.weeks import Week
from orchestration.workspace import Workspace

MODEL_SCHEMA = {
    "as_of": pl.Date,
    "model_id": pl.String,
    "people": pl.Int64,
    "k": pl.Int64,
    "silhouette": pl.Float64,
    "choice": pl.String,
    "persona_ids": pl.String,
    "persona_names": pl.String,
    "k_evidence": pl.String,
    "model": pl.String,
}
ASSIGNMENT_SCHEMA = {
    "as_of": pl.Date,
    "person_id": pl.String,
    "persona_id": pl.String,
    "strength": pl.Float64,
    "runner_up_persona_id": pl.String,
    "margin": pl.Float64,
    "model_id": pl.String,
}
PERSONA_SCHEMA = {
    "as_of": pl.Date,
    "persona_id": pl.String,
    "persona_name": pl.String,
    "description": pl.String,
    "people": pl.Int64,
    "model_id": pl.String,
}
PERSONA_TABLES = {"persona_models": MODEL_SCHEMA, "persona_assignments": ASSIGNMENT_SCHEMA, "personas": PERSONA_SCHEMA}


@dataclass(frozen=True)
class StandingModel:
    """The model a week is assigned with, and what its groups are called."""

    model: PersonaModel
    fitted_as_of: date
    persona_ids: dict[int, str]
    names: dict[str, str]


@dataclass(frozen=True)
class PersonaWeek:
    """What became of one week."""

    as_of: date
    people: int
    model: PersonaModel | None
    is_refitted: bool
    sizes: pl.DataFrame


def run_persona_week(
    connection: duckdb.DuckDBPyConnection, workspace: Workspace, catalogue: pl.DataFrame, week: Week
) -> PersonaWeek:
    """Assign the people of `week`; write `ml.persona_assignments`, `ml.personas` and, if refitted, `ml.persona_models`.

    Only models fitted before `week` are looked at, so that running a week again gives the same result.
    """
    make_tables(connection, PERSONA_TABLES)
    features = read_features(connection, catalogue, week, "is_persona_input")
    standing = _standing_model(connection, week)
    is_due = standing is None or not set(standing.model.preparation.features_) <= set(features.columns)
    if standing is not None:
        age = (week.as_of - standing.fitted_as_of).days // 7
        is_due = is_due or age >= workspace.settings.personas.refit_every_weeks
    if is_due:
        try:
            standing = _refit(connection, workspace, catalogue, features, week, standing)
        except TooFewPeople:
            standing = None
    if standing is None:
        _write(connection, week, [], pl.DataFrame(schema=ASSIGNMENT_SCHEMA), pl.DataFrame(schema=PERSONA_SCHEMA))
        return PersonaWeek(week.as_of, 0, None, False, pl.DataFrame(schema=PERSONA_SCHEMA))
    assignments = _assign(standing, features, week)
    names, descriptions = _names(features, assignments, tellable(catalogue, workspace), standing)
    personas = (
        assignments.group_by("persona_id")
        .agg(people=pl.len().cast(pl.Int64))
        .sort("persona_id")
        .with_columns(
            as_of=pl.lit(week.as_of),
            persona_name=pl.col("persona_id").replace_strict(names, default=None, return_dtype=pl.String),
            description=pl.col("persona_id").replace_strict(descriptions, default=None, return_dtype=pl.String),
            model_id=pl.lit(standing.model.model_id),
        )
        .select(list(PERSONA_SCHEMA))
    )
    fitted_now = standing.fitted_as_of == week.as_of
    rows = [_model_row(standing, names, week, features.height)] if fitted_now else []
    _write(connection, week, rows, assignments, personas)
    return PersonaWeek(week.as_of, features.height, standing.model, fitted_now, personas)


def read_features(
    connection: duckdb.DuckDBPyConnection, catalogue: pl.DataFrame, week: Week, purpose: Any
) -> pl.DataFrame:
    """The feature rows of one week: person_id, as_of and the inputs for a purpose, by person."""
    inputs = inputs_of(catalogue, catalogue["feature"].to_list(), purpose)
    columns = ", ".join(identifier(name) for name in ["person_id", "as_of", *inputs])
    return connection.execute(
        f"select {columns} from features.person_features where as_of = ? order by person_id", [week.as_of]
    ).pl()


def people_left_out(connection: duckdb.DuckDBPyConnection, week: Week, minimum_cell: int) -> dict[str, str]:
    """How many known people may not be profiled, by reason; few are not counted out."""
    rows = connection.execute(
        "select decision_reason, count(*) from intermediate.int_profiling_permissions "
        "where as_of = ? and not is_allowed group by all order by all",
        [week.as_of],
    ).fetchall()
    return {
        reason: f"{people:,}" if people >= minimum_cell else f"fewer than {minimum_cell}" for reason, people in rows
    }


def _standing_model(connection: duckdb.DuckDBPyConnection, week: Week) -> StandingModel | None:
    row = connection.execute(
        "select model, as_of, persona_ids, persona_names from ml.persona_models where as_of < ? "
        "order by as_of desc limit 1",
        [week.as_of],
    ).fetchone()
    if row is None:
        return None
    model, fitted_as_of, persona_ids, names = row
    return StandingModel(
        PersonaModel.from_dict(json.loads(model)),
        fitted_as_of,
        {int(cluster): persona for cluster, persona in json.loads(persona_ids).items()},
        json.loads(names),
    )


def _refit(
    connection: duckdb.DuckDBPyConnection,
    workspace: Workspace,
    catalogue: pl.DataFrame,
    features: pl.DataFrame,
    week: Week,
    standing: StandingModel | None,
) -> StandingModel:
    """Fit anew; a group that continues a persona keeps its id and its name."""
    k = workspace.settings.personas.k
    settings = PersonaSettings(
        k=k if isinstance(k, int) else None,
        k_range=(k, k) if isinstance(k, int) else k,
        seed=workspace.settings.personas.seed,
    )
    model = fit_personas(features, catalogue, settings)
    current = model.assign(features).select("person_id", "cluster")
    previous = pl.DataFrame(schema={"person_id": pl.String, "persona_id": pl.String})
    if standing is not None and set(standing.model.preparation.features_) <= set(features.columns):
        previous = _assign(standing, features, week).select("person_id", "persona_id")
    used = [
        persona
        for (ids,) in connection.execute(
            "select persona_ids from ml.persona_models where as_of < ? order by as_of", [week.as_of]
        ).fetchall()
        for persona in json.loads(ids).values()
    ]
    match = match_personas(previous, current, retired_ids=sorted(set(used)))
    kept = {persona: name for persona, name in (standing.names if standing else {}).items()}
    return StandingModel(model, week.as_of, match.persona_ids, kept)


def _assign(standing: StandingModel, features: pl.DataFrame, week: Week) -> pl.DataFrame:
    def persona(cluster: str) -> pl.Expr:
        return pl.col(cluster).replace_strict(standing.persona_ids, default=None, return_dtype=pl.String)

    return (
        standing.model.assign(features)
        .with_columns(
            as_of=pl.lit(week.as_of),
            persona_id=persona("cluster"),
            runner_up_persona_id=persona("runner_up"),
            model_id=pl.lit(standing.model.model_id),
        )
        .select(list(ASSIGNMENT_SCHEMA))
    )


def _names(
    features: pl.DataFrame, assignments: pl.DataFrame, catalogue: pl.DataFrame, standing: StandingModel
) -> tuple[dict[str, str], dict[str, str]]:
    profiles = profile_personas(features, assignments.select("person_id", "persona_id"), catalogue)
    alive = set(assignments["persona_id"].unique().to_list())
    kept = {persona: name for persona, name in standing.names.items() if persona in alive}
    names = name_personas(profiles, catalogue, kept) | kept
    return names, describe_personas(profiles)


def _model_row(standing: StandingModel, names: dict[str, str], week: Week, people: int) -> dict[str, Any]:
    model = standing.model
    chosen = model.k_evidence.filter(pl.col("is_chosen"))
    return {
        "as_of": week.as_of,
        "model_id": model.model_id,
        "people": people,
        "k": model.k,
        "silhouette": chosen["silhouette"][0] if chosen.height else None,
        "choice": model.choice,
        "persona_ids": json.dumps({str(cluster): persona for cluster, persona in standing.persona_ids.items()}),
        "persona_names": json.dumps(names | {p: n for p, n in standing.names.items() if p not in names}),
        "k_evidence": json.dumps(model.k_evidence.to_dicts()),
        "model": json.dumps(model.to_dict()),
    }


def _write(
    connection: duckdb.DuckDBPyConnection,
    week: Week,
    models: list[dict[str, Any]],
    assignments: pl.DataFrame,
    personas: pl.DataFrame,
) -> None:
    with transaction(connection):
        for table, frame in (
            ("persona_models", pl.DataFrame(models, schema=MODEL_SCHEMA)),
            ("persona_assignments", assignments),
            ("personas", personas),
        ):
            replace_weeks(connection, f"ml.{table}", frame, [week.as_of])

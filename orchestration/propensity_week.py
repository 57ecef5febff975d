"""Propensities of one week: learn from past weeks whose outcomes are complete, score the people of this one.

What belongs here: reading and writing what the models need. The models themselves stand in `ml/`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import duckdb
import polars as pl

from ml.catalogue import inputs_of
from ml.negative_sampling import draw_common_outcome
from ml.propensity import (
    Abstention,
    CrossFit,
    PropensityModel,
    PropensitySettings,
    cross_fit_scores,
    fit_propensity,
    propensity_bands,
)
from orchestration.persona_week import read_features
from orchestration.sql import identifier
from orchestration.target_settings import Target
from orchestration.warehouse import make_tables, replace_weeks, transaction
from orchestration.weekly_plan import people_known, training_weeks
from orchestration.weeks import Week
from orchestration.workspace import Workspace

SCORE_SCHEMA = {
    "as_of": pl.Date,
    "person_id": pl.String,
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
    "model_id": pl.String,
    "algorithm": pl.String,
    "abstained_reason": pl.String,
    "high_from": pl.Float64,
    "medium_from": pl.Float64,
    "evaluation": pl.String,
}
PROPENSITY_TABLES = {"propensity_scores": SCORE_SCHEMA, "model_runs": RUN_SCHEMA}


@dataclass(frozen=True)
class TargetWeek:
    """What became of one target in one week."""

    target: str
    people: int
    abstained_reason: str | None
    evaluation: dict[str, Any]


def run_propensity_week(
    connection: duckdb.DuckDBPyConnection, workspace: Workspace, catalogue: pl.DataFrame, week: Week
) -> list[TargetWeek]:
    """Score the people of `week` for every target and write `ml.propensity_scores` and `ml.model_runs`."""
    make_tables(connection, PROPENSITY_TABLES)
    scores = [pl.DataFrame(schema=SCORE_SCHEMA)]
    runs: list[dict[str, Any]] = []
    outcomes: list[TargetWeek] = []
    people = read_features(connection, catalogue, week, "is_propensity_input") if workspace.settings.targets else None
    for name, target in workspace.settings.targets.items():
        assert people is not None  # noqa: S101 - there is a target, so the features were read
        scored, run = _run_target(connection, workspace, catalogue, week, name, target, people)
        scores.append(scored)
        runs.append(run)
        outcomes.append(TargetWeek(name, scored.height, run["abstained_reason"], json.loads(run["evaluation"])))
    with transaction(connection):
        replace_weeks(connection, "ml.propensity_scores", pl.concat(scores), [week.as_of])
        replace_weeks(connection, "ml.model_runs", pl.DataFrame(runs, schema=RUN_SCHEMA), [week.as_of])
    return outcomes


def _run_target(
    connection: duckdb.DuckDBPyConnection,
    workspace: Workspace,
    catalogue: pl.DataFrame,
    week: Week,
    name: str,
    target: Target,
    people: pl.DataFrame,
) -> tuple[pl.DataFrame, dict[str, Any]]:
    settings = PropensitySettings(
        minimum_positives=target.minimum_positives,
        horizon_days=None if target.outcome == "label" else target.within_days,
        seed=workspace.settings.personas.seed,
    )
    run = {"as_of": week.as_of, "target": name, "label": target.in_words(name)}
    fitted: PropensityModel | CrossFit | Abstention
    if target.outcome == "label":
        labelled = _with_labels(connection, people, week, name)
        fitted = cross_fit_scores(labelled, catalogue, settings)
    else:
        fitted = fit_propensity(
            training_rows(connection, workspace, catalogue, week, name, target, settings), catalogue, settings
        )
    if isinstance(fitted, Abstention):
        scored = people.select("as_of", "person_id").with_columns(
            target=pl.lit(name),
            probability=pl.lit(None, pl.Float64),
            band=pl.lit(None, pl.String),
            abstained_reason=pl.lit(fitted.reason),
            model_id=pl.lit(None, pl.String),
        )
        run |= {"abstained_reason": fitted.reason, "evaluation": json.dumps(fitted.evaluation or {}, default=str)}
        return scored, run
    probabilities = fitted.scores if isinstance(fitted, CrossFit) else fitted.score(people)
    bands = propensity_bands(probabilities.drop("raw_probability"), fitted.evaluation["training_base_rate"])
    scored = bands.with_columns(
        as_of=pl.lit(week.as_of),
        target=pl.lit(name),
        abstained_reason=pl.lit(None, pl.String),
        model_id=pl.lit(fitted.model_id),
    )
    run |= {
        "model_id": fitted.model_id,
        "algorithm": fitted.algorithm,
        "abstained_reason": None,
        "high_from": bands["high_from"][0] if bands.height else None,
        "medium_from": bands["medium_from"][0] if bands.height else None,
        "evaluation": json.dumps(fitted.evaluation, default=str),
    }
    return scored.select(list(SCORE_SCHEMA)), run


def training_rows(
    connection: duckdb.DuckDBPyConnection,
    workspace: Workspace,
    catalogue: pl.DataFrame,
    week: Week,
    name: str,
    target: Target,
    settings: PropensitySettings,
) -> pl.DataFrame:
    """(person, past week) rows: features as of the past week, outcome as far as it was known in the scored week.

    Only of people who are still there in the scored week: whoever withdrew, objected or was deleted teaches nothing.
    In no order: what learns orders them. Of the commoner outcome, rows are drawn (`sampled_at` says at which rate); the
    features of the others are not even read.
    """
    inputs = inputs_of(catalogue, catalogue["feature"].to_list(), "is_propensity_input")
    columns = ", ".join(f"f.{identifier(column)}" for column in inputs)
    past_weeks = training_weeks(target, week, people_known(connection, workspace, week))
    known_until = week.as_of_at(workspace.settings.timezone) + timedelta(hours=workspace.settings.delivery_grace_hours)
    rows = connection.execute(
        "select f.person_id, f.as_of, (o.person_id is not null)::integer as outcome "
        "from features.person_features as f "
        "left join features.person_outcomes as o on o.person_id = f.person_id and o.as_of = f.as_of "
        "and o.target = ? and o.outcome and coalesce(o.outcome_known_at < ?, true) "
        "where f.as_of in (select unnest(?::date[])) "
        "and f.person_id in (select person_id from features.person_features where as_of = ?)",
        [name, known_until, [past.as_of for past in past_weeks], week.as_of],
    ).pl()
    learned_from = draw_common_outcome(rows, settings.seed)  # noqa: F841 - DuckDB reads it by name
    return connection.execute(
        f"select f.person_id, f.as_of, {columns}, r.outcome, r.sampled_at "
        "from features.person_features as f "
        "inner join learned_from as r on r.person_id = f.person_id and r.as_of = f.as_of"
    ).pl()


def _with_labels(connection: duckdb.DuckDBPyConnection, people: pl.DataFrame, week: Week, name: str) -> pl.DataFrame:
    labels = connection.execute(
        "select person_id, outcome::integer as outcome from features.person_outcomes where target = ? and as_of = ?",
        [name, week.as_of],
    ).pl()
    return people.join(labels, on="person_id", how="left", maintain_order="left")

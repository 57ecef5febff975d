"""The rows a target is learned from: people of past weeks with what became of them, or this week's with their labels.

What belongs here: reading them, point in time. What is learned from them stands in `ml/propensity.py`.
"""

from __future__ import annotations

from datetime import timedelta

import duckdb
import polars as pl

from activation.answers import read_frame
from ml.catalogue import inputs_of
from ml.negative_sampling import draw_common_outcome
from ml.propensity_model import PropensitySettings
from orchestration.eligibility import not_eligible_reason
from orchestration.sql import identifier
from orchestration.target_settings import Target
from orchestration.weekly_plan import people_known, training_weeks
from orchestration.weeks import Week
from orchestration.workspace import Workspace


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

    Only of people who were eligible in the past week, and are still there in the scored one: whoever withdrew, objected
    or was deleted teaches nothing. In no order: what learns orders them. Of the commoner outcome, rows are drawn
    (`sampled_at` says at which rate); the features of the others are not even read.
    """
    inputs = inputs_of(catalogue, catalogue["feature"].to_list(), "is_propensity_input")
    columns = ", ".join(f"f.{identifier(column)}" for column in inputs)
    past_weeks = training_weeks(target, week, people_known(connection, workspace, week))
    known_until = week.as_of_at(workspace.settings.timezone) + timedelta(hours=workspace.settings.delivery_grace_hours)
    reason = not_eligible_reason(target, dict(catalogue.select("feature", "kind").iter_rows()), {})
    rows = read_frame(
        connection,
        "select f.person_id, f.as_of, coalesce(o.outcome, ?)::integer as outcome "
        "from features.person_features as f "
        "left join features.person_outcomes as o on o.person_id = f.person_id and o.as_of = f.as_of "
        "and o.target = ? and coalesce(o.outcome_known_at < ?, true) "
        "where f.as_of in (select unnest(?::date[])) "
        "and f.person_id in (select person_id from features.person_features where as_of = ?) "
        f"and {reason} is null",
        [target.happens_by_default, name, known_until, [past.as_of for past in past_weeks], week.as_of],
    )
    learned_from = draw_common_outcome(rows, settings.seed)
    return read_frame(
        connection,
        f"select f.person_id, f.as_of, {columns}, r.outcome, r.sampled_at "
        "from features.person_features as f "
        "inner join learned_from as r on r.person_id = f.person_id and r.as_of = f.as_of",
        learned_from=learned_from,
    )


def with_labels(connection: duckdb.DuckDBPyConnection, people: pl.DataFrame, week: Week, name: str) -> pl.DataFrame:
    """The people of a label target with what is known of them."""
    labels = read_frame(
        connection,
        "select person_id, outcome::integer as outcome from features.person_outcomes where target = ? and as_of = ?",
        [name, week.as_of],
    )
    return people.join(labels, on="person_id", how="left", maintain_order="left")


def no_past_week(target: Target, week: Week) -> str:
    """Why there is nothing to learn from."""
    last = training_weeks(target, week)[0].as_of
    return (
        f"no past week to learn from: what comes within {target.within_days} days is complete only for weeks up to "
        f"{last}, and data that tell of behaviour, or eligible people, begin later"
    )

"""Personas of one week: assign with the standing model, let a new one challenge it when that is due, keep the ids
people know.

What belongs here: what a week does, step by step. How people are placed and models judged stands in `ml/`, how tables
are read and written in `persona_store.py`, what marketers define in `defined_persona_week.py`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import duckdb
import numpy as np
import polars as pl

from activation.answers import first_row, read_frame
from activation.people import person_name_sql
from ml.catalogue import inputs_of
from ml.drift import ClassifierTest, classifier_test, learn_references, test_columns
from ml.membership_reasons import deciding_features
from ml.naming import describe_personas, name_personas, profile_personas
from ml.people_order import hash_sample
from ml.persona_challenge import Challenge, GateSettings, fit_challenger
from ml.persona_movement import count_movement, tell_movement
from ml.persona_tracking import ODDS_TO_MOVE, odds_for_week, place_people
from ml.personas import PersonaModel, TooFewPeople, judge_again
from ml.typical_people import typical_people
from ml.weekly_habits import RecentBehaviour
from orchestration.code_version import code_version
from orchestration.defined_persona_week import DefinedWeek, run_defined_personas
from orchestration.feature_catalogue import tellable
from orchestration.persona_evidence import card_row, fit_settings, persona_values
from orchestration.persona_store import (
    ASSIGNMENT_SCHEMA,
    CARD_SCHEMA,
    CHAMPION,
    DISCOVERED,
    LEDGER_SCHEMA,
    MODEL_SCHEMA,
    PERSONA_SCHEMA,
    PERSONA_TABLES,
    PORTRAIT_SCHEMA,
    REJECTED,
    ROLLED_BACK,
    WEEK_SCHEMA,
    StandingModel,
    incumbents,
    last_attempt,
    model_of_week,
    read_feature_columns,
    read_features,
    standing_model,
    used_ids,
    write_week,
)
from orchestration.recent_behaviour import read_recent_behaviour
from orchestration.special_categories import is_refused_as_a_name
from orchestration.warehouse import make_tables
from orchestration.weeks import Week
from orchestration.workspace import Workspace

__all__ = ["PersonaWeek", "read_features", "run_persona_week"]

DRIFT_SAMPLE = 50_000
"""People whose columns are compared with those the model was fitted to."""
CLASSIFIER_SAMPLE = 4_000
"""People of either week that a classifier tries to tell apart."""
DRIFT_SEED = 17
DRIFTED_SHARE = 0.2
"""Share of the columns that have to drift for a refit, where the classifier finds nothing."""


@dataclass(frozen=True)
class DriftFindings:
    """How this week's people differ from those the standing model was fitted to."""

    columns: pl.DataFrame
    together: ClassifierTest | None

    @property
    def drifted(self) -> int:
        """How many columns drifted."""
        return int(self.columns["is_drifted"].sum()) if self.columns.height else 0

    @property
    def asks_for_refit(self) -> bool:
        """Whether the model should be fitted anew."""
        many = self.columns.height > 0 and self.drifted >= max(1, DRIFTED_SHARE * self.columns.height)
        return many or (self.together is not None and self.together.is_drifted)


@dataclass(frozen=True)
class PersonaWeek:
    """What became of one week."""

    as_of: date
    people: int
    model: PersonaModel | None
    is_refitted: bool
    sizes: pl.DataFrame
    refit: str = ""
    movement: dict[str, int] = field(default_factory=dict)
    ledger: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=LEDGER_SCHEMA))
    drift: DriftFindings | None = None
    defined: DefinedWeek | None = None
    fitted_as_of: date | None = None
    cluster_names: dict[int, str] = field(default_factory=dict)
    profiles: pl.DataFrame = field(default_factory=pl.DataFrame)


def run_persona_week(
    connection: duckdb.DuckDBPyConnection, workspace: Workspace, catalogue: pl.DataFrame, week: Week
) -> PersonaWeek:
    """Assign the people of `week` and write the tables of `persona_store`.

    Of other weeks only models and memberships *before* `week` are looked at, and the features the standing model was
    fitted to; so running a week again gives the same result, and weeks run one by one and together give the same.
    """
    make_tables(connection, PERSONA_TABLES)
    inputs = inputs_of(catalogue, catalogue["feature"].to_list(), "is_persona_input")
    ruled = [rule.feature for one in workspace.personas_file.definitions() for rule in one.rules]
    there = set(catalogue["feature"].to_list())
    features = read_feature_columns(connection, [*inputs, *(name for name in ruled if name in there)], week)
    before, before_as_of = incumbents(connection, week, DISCOVERED)
    standing = standing_model(connection, week, workspace.rollbacks)
    drift = _find_drift(connection, features, week, standing)
    previous = model_of_week(connection, Week.ending(before_as_of)) if before_as_of else None
    recent = read_recent_behaviour(connection, features["person_id"], week, workspace.settings.timezone)
    odds = ODDS_TO_MOVE
    if recent is None and previous is not None and _can_place(previous, features):
        odds = odds_for_week(previous.personas, features, before)
    trigger = _why_refit(connection, workspace, features, week, standing, drift)
    models: list[dict[str, Any]] = []
    challenge: Challenge | None = None
    fitted_now, refit = None, ""
    if trigger and features.height:
        challenge, row = _challenge(
            connection, workspace, catalogue, features, week, standing, before, trigger, odds, recent
        )
        if challenge is not None:
            models, refit = [row], f"{row['status']} ({trigger}): {row['reason']}"
        if challenge is not None and row["status"] == CHAMPION:
            names = standing.names if standing else {}
            fitted_now = StandingModel(challenge.personas, week.as_of, names, [])
    standing_before, standing = standing, fitted_now or standing
    if standing is None or not _can_place(standing, features):
        write_week(connection, week, {"persona_models": pl.DataFrame(models, schema=MODEL_SCHEMA)})
        return PersonaWeek(week.as_of, 0, None, False, pl.DataFrame(schema=PERSONA_SCHEMA), refit)

    placed = place_people(standing.personas, features, before, odds, recent)
    tracked = _track(placed, features, before, before_as_of, previous, standing, week, odds, recent)
    reasoned = deciding_features(standing.model.preparation, features, tracked)
    assignments = _assignments(reasoned, week, standing.model.model_id)
    told = tellable(catalogue, workspace)
    profiles = profile_personas(features, placed.select("person_id", "persona_id"), told)
    names, descriptions = _names(profiles, placed, told, standing)
    given = {persona: name for persona, name in workspace.personas_file.rename.items() if persona in names}
    personas = _personas(placed, _unique(names | given, given), descriptions, week, standing.model.model_id)
    ledger = _ledger(week, challenge if fitted_now else None, standing_before, previous, standing)
    defined = run_defined_personas(connection, workspace, catalogue, features, week, placed, personas)
    if fitted_now is not None:
        models[0]["persona_names"] = json.dumps(names | {p: n for p, n in standing.names.items() if p not in names})
    movement = count_movement(tracked) if before_as_of == week.back(1).as_of else {}
    write_week(
        connection,
        week,
        {
            "persona_models": pl.DataFrame(models, schema=MODEL_SCHEMA),
            "persona_assignments": pl.concat([assignments, defined.assignments]),
            "personas": pl.concat([personas, defined.personas]),
            "persona_ledger": ledger,
            "persona_weeks": _week_row(
                connection, workspace, week, standing, movement, drift, refit, placed, defined, odds
            ),
            "persona_medoids": _medoids(standing, features, placed, week),
            "persona_model_cards": card_row(standing.model, week) if fitted_now else pl.DataFrame(schema=CARD_SCHEMA),
            "persona_values": persona_values(connection, workspace, week, standing.fitted_as_of, placed),
            **defined.tables,
        },
    )
    return PersonaWeek(
        week.as_of,
        features.height,
        standing.model,
        fitted_now is not None,
        personas,
        refit,
        movement,
        ledger,
        drift,
        defined,
        standing.fitted_as_of,
        {cluster: names.get(persona, persona) for cluster, persona in standing.personas.persona_ids.items()},
        profiles,
    )


def _can_place(standing: StandingModel, features: pl.DataFrame) -> bool:
    return features.height > 0 and set(standing.model.preparation.features_) <= set(features.columns)


def _find_drift(
    connection: duckdb.DuckDBPyConnection, features: pl.DataFrame, week: Week, standing: StandingModel | None
) -> DriftFindings | None:
    if standing is None or not standing.references or not _can_place(standing, features):
        return None
    columns = test_columns(hash_sample(features, DRIFT_SAMPLE, DRIFT_SEED), standing.references)
    preparation = standing.model.preparation
    fitted_to = _sample_of_week(connection, preparation.features_, standing.fitted_as_of)
    if fitted_to.is_empty() or preparation.n_columns_ == 0:
        return DriftFindings(columns, None)
    now = hash_sample(features, CLASSIFIER_SAMPLE, DRIFT_SEED)
    together = classifier_test(
        preparation.transform(fitted_to).astype(np.float64),
        preparation.transform(now).astype(np.float64),
        fitted_to["person_id"],
        now["person_id"],
    )
    return DriftFindings(columns, together)


def _sample_of_week(connection: duckdb.DuckDBPyConnection, names: list[str], as_of: date) -> pl.DataFrame:
    """A sample of the people a model was fitted to, always the same one; empty where their features are gone."""
    people = read_frame(
        connection,
        "select person_id from features.person_features where as_of = ? "
        f"order by md5({person_name_sql('person_id')} || '17'), person_id limit ?",
        [as_of, CLASSIFIER_SAMPLE],
    )
    there = {
        row[0]
        for row in connection.execute(
            "select column_name from duckdb_columns() where schema_name = 'features' and table_name = 'person_features'"
        ).fetchall()
    }
    if people.is_empty() or not set(names) <= there:
        return pl.DataFrame()
    columns = ", ".join(f'f."{name}"' for name in ["person_id", *names])
    return read_frame(
        connection,
        f"select {columns} from features.person_features as f inner join people as p on p.person_id = f.person_id "
        "where f.as_of = ? order by f.person_id",
        [as_of],
        people=people,
    )


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


def _why_refit(
    connection: duckdb.DuckDBPyConnection,
    workspace: Workspace,
    features: pl.DataFrame,
    week: Week,
    standing: StandingModel | None,
    drift: DriftFindings | None,
) -> str:
    """Why a model has to be fitted this week; empty where none has to."""
    settings = workspace.settings.personas
    if standing is None:
        return "first"
    if not _can_place(standing, features):
        return "features"
    attempted = last_attempt(connection, week) or standing.fitted_as_of
    age = (week.as_of - attempted).days // 7
    if age >= settings.refit_every_weeks:
        return "schedule"
    if drift is not None and drift.asks_for_refit and age >= settings.refit_on_drift_after_weeks:
        return "drift"
    return ""


def _challenge(
    connection: duckdb.DuckDBPyConnection,
    workspace: Workspace,
    catalogue: pl.DataFrame,
    features: pl.DataFrame,
    week: Week,
    standing: StandingModel | None,
    before: pl.DataFrame,
    trigger: str,
    odds: float,
    recent: RecentBehaviour | None,
) -> tuple[Challenge | None, dict[str, Any]]:
    """Fit a challenger; returns it, and its row of `ml.persona_models` with what became of it."""
    settings = workspace.settings.personas
    fit = fit_settings(settings)
    champion = standing.personas if standing is not None and _can_place(standing, features) else None
    gate = GateSettings(**settings.challenger.model_dump())
    try:
        challenge = fit_challenger(
            features, catalogue, fit, champion, before, used_ids(connection, week), gate, odds, recent
        )
    except TooFewPeople:
        return None, {}
    turned_back = next((one for one in workspace.rollbacks if one.excludes(week.as_of, week)), None)
    if turned_back is not None:
        status, reason = ROLLED_BACK, f"turned back from by hand: {turned_back.reason or 'no reason given'}"
    else:
        status, reason = (CHAMPION if challenge.verdict.passed else REJECTED), challenge.verdict.reason
    model = judge_again(challenge.personas.model, features)
    challenge = replace(challenge, personas=replace(challenge.personas, model=model))
    chosen = model.k_evidence.filter(pl.col("is_chosen"))
    inputs = inputs_of(catalogue, model.preparation.features_, "is_persona_input")
    references = learn_references(hash_sample(features, DRIFT_SAMPLE, DRIFT_SEED), inputs)
    ids = challenge.personas.persona_ids
    return challenge, {
        "as_of": week.as_of,
        "model_id": model.model_id,
        "status": status,
        "reason": reason,
        "trigger": trigger,
        "people": features.height,
        "k": model.k,
        "silhouette": chosen["silhouette"][0] if chosen.height else None,
        "choice": model.choice,
        "solution_kind": model.evidence.solution_kind,
        "stability": model.evidence.stability,
        "notes": json.dumps(
            [model.evidence.kind_words, *(one.words for one in model.evidence.merges), *model.evidence.notes]
        ),
        "persona_ids": json.dumps({str(cluster): persona for cluster, persona in ids.items()}),
        "persona_names": json.dumps(standing.names if standing else {}),
        "k_evidence": json.dumps(model.k_evidence.to_dicts()),
        "figures": json.dumps(challenge.verdict.figures),
        "reference": json.dumps([one.to_dict() for one in references]),
        "model": json.dumps(model.to_dict()),
    }


def _track(
    placed: pl.DataFrame,
    features: pl.DataFrame,
    before: pl.DataFrame,
    before_as_of: date | None,
    previous: StandingModel | None,
    standing: StandingModel,
    week: Week,
    odds: float,
    recent: RecentBehaviour | None,
) -> pl.DataFrame:
    """Tell moves from boundaries drawn anew, against the week before; a gap in the weeks tells nothing."""
    if before_as_of != week.back(1).as_of:
        return tell_movement(placed, None, before.clear())
    is_same = previous is None or previous.fitted_as_of == standing.fitted_as_of
    if is_same or previous is None or not _can_place(previous, features):
        return tell_movement(placed, None, before)
    return tell_movement(placed, place_people(previous.personas, features, before, odds, recent), before)


def _assignments(reasoned: pl.DataFrame, week: Week, model_id: str) -> pl.DataFrame:
    return reasoned.with_columns(
        as_of=pl.lit(week.as_of),
        persona_type=pl.lit(DISCOVERED),
        fit_score=pl.lit(None, pl.Float64),
        model_id=pl.lit(model_id),
    ).select(pl.col(name).cast(kind) for name, kind in ASSIGNMENT_SCHEMA.items())


def _names(
    profiles: pl.DataFrame, placed: pl.DataFrame, catalogue: pl.DataFrame, standing: StandingModel
) -> tuple[dict[str, str], dict[str, str]]:
    """Names and descriptions of the week's personas, before anybody renamed them."""
    alive = set(placed["persona_id"].unique().to_list())
    kept = {persona: name for persona, name in standing.names.items() if persona in alive}
    names = name_personas(profiles, catalogue, kept, is_refused_as_a_name)
    kept = {persona: name for persona, name in kept.items() if not is_refused_as_a_name(name)}
    return names | kept, describe_personas(profiles, is_refused_as_a_name)


def _unique(names: dict[str, str], given: dict[str, str]) -> dict[str, str]:
    """Where somebody gave a persona the name another one had found, that one gets a number."""
    taken = {name.casefold() for name in given.values()}
    unique = dict(names)
    for persona, name in sorted(names.items()):
        if persona in given:
            continue
        number, candidate = 2, name
        while candidate.casefold() in taken:
            candidate, number = f"{name} ({number})", number + 1
        taken.add(candidate.casefold())
        unique[persona] = candidate
    return unique


def _personas(
    placed: pl.DataFrame, names: dict[str, str], descriptions: dict[str, str], week: Week, model_id: str
) -> pl.DataFrame:
    return (
        placed.group_by("persona_id")
        .agg(people=pl.len().cast(pl.Int64))
        .sort("persona_id")
        .with_columns(
            as_of=pl.lit(week.as_of),
            persona_type=pl.lit(DISCOVERED),
            persona_name=pl.col("persona_id").replace_strict(names, default=None, return_dtype=pl.String),
            description=pl.col("persona_id").replace_strict(descriptions, default=None, return_dtype=pl.String),
            model_id=pl.lit(model_id),
        )
        .select(list(PERSONA_SCHEMA))
    )


def _ledger(
    week: Week,
    adopted: Challenge | None,
    standing_before: StandingModel | None,
    previous: StandingModel | None,
    standing: StandingModel,
) -> pl.DataFrame:
    """What became of each persona; no rows in a week whose model is last week's."""
    if adopted is not None:
        events = adopted.match.events
        old_id = standing_before.model.model_id if standing_before else None
    elif previous is not None and previous.fitted_as_of != standing.fitted_as_of:
        events, old_id = _events_of_return(previous, standing), previous.model.model_id
    else:
        return pl.DataFrame(schema=LEDGER_SCHEMA)
    return events.with_columns(
        pl.col("overlap", "distance").round(4),
        as_of=pl.lit(week.as_of),
        from_model_id=pl.lit(old_id, pl.String),
        to_model_id=pl.lit(standing.model.model_id),
    ).select(list(LEDGER_SCHEMA))


def _events_of_return(previous: StandingModel, standing: StandingModel) -> pl.DataFrame:
    """Personas that end and come back because somebody turned back to an earlier model."""
    left, now = set(previous.personas.persona_ids.values()), set(standing.personas.persona_ids.values())
    reason = f"turned back to the model of the week before {standing.fitted_as_of}"
    event_of = {persona: "death" for persona in left - now} | {persona: "return" for persona in now - left}
    event_of |= {persona: "continuation" for persona in left & now}
    return pl.DataFrame(
        [
            {
                "persona_id": persona,
                "event": event,
                "from_ids": persona if persona in left else None,
                "to_ids": persona if persona in now else None,
                "overlap": None,
                "distance": None,
                "reason": reason,
            }
            for persona, event in sorted(event_of.items())
        ],
        schema={
            name: kind for name, kind in LEDGER_SCHEMA.items() if name not in ("as_of", "from_model_id", "to_model_id")
        },
    )


def _week_row(
    connection: duckdb.DuckDBPyConnection,
    workspace: Workspace,
    week: Week,
    standing: StandingModel,
    movement: dict[str, int],
    drift: DriftFindings | None,
    refit: str,
    placed: pl.DataFrame,
    defined: DefinedWeek,
    odds: float,
) -> pl.DataFrame:
    """What the week was made from, so that it can be made again, and what was noticed."""
    fingerprint = first_row(
        connection, "select any_value(feature_fingerprint) from features.person_features where as_of = ?", [week.as_of]
    )
    together = drift.together if drift else None
    row = {
        "as_of": week.as_of,
        "model_id": standing.model.model_id,
        "fitted_as_of": standing.fitted_as_of,
        "defined_model_id": defined.model_id,
        "feature_fingerprint": fingerprint[0] if fingerprint else None,
        "settings_hash": workspace.settings_hash(),
        "code_version": code_version(),
        "people": placed.height,
        "odds_to_move": round(odds, 4),
        "moved": movement.get("moved"),
        "redrawn": movement.get("redrawn"),
        "moved_by_refit_alone": movement.get("by_refit_alone"),
        "drifted_columns": drift.drifted if drift else None,
        "tested_columns": drift.columns.height if drift else None,
        "drift_auc": round(together.auc, 4) if together else None,
        "drift": json.dumps(drift.columns.filter(pl.col("is_drifted")).to_dicts()) if drift else None,
        "refit": refit or None,
    }
    return pl.DataFrame([row], schema=WEEK_SCHEMA)


def _medoids(standing: StandingModel, features: pl.DataFrame, placed: pl.DataFrame, week: Week) -> pl.DataFrame:
    typical = typical_people(standing.model.preparation, features, placed)
    return typical.with_columns(as_of=pl.lit(week.as_of)).select(list(PORTRAIT_SCHEMA))

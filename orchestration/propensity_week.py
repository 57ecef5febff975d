"""Propensities of one week: learn from past weeks whose outcomes are complete, score the people of this one.

What belongs here: what a week does for each target, step by step. The models stand in `ml/`, the rows they learn from
in `propensity_rows.py`, bands in `propensity_banding.py`, the tables in `propensity_store.py`, when a model is fitted
anew in `propensity_refits.py`, what became of past predictions in `propensity_backtest.py`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from typing import Any

import duckdb
import polars as pl

from activation.answers import read_frame
from ml.bands import Bands, decide_bands
from ml.drift import ColumnReference
from ml.fairness import gaps_in_words, group_gaps
from ml.propensity import cross_fit_scores, fit_propensity
from ml.propensity_card import propensity_card
from ml.propensity_drift import (
    DRIFT_SCHEMA,
    MATTERS_FROM,
    drift_in_words,
    drifted_share,
    feature_drift,
    training_references,
)
from ml.propensity_model import Abstention, CrossFit, PropensityModel, PropensitySettings
from ml.propensity_store import model_to_bytes
from ml.propensity_words import propensity_markdown
from orchestration.eligibility import not_eligible_reason
from orchestration.persona_store import CHAMPION, REJECTED, ROLLED_BACK
from orchestration.persona_week import read_features
from orchestration.propensity_backtest import backtest, complaint_of
from orchestration.propensity_banding import banded, counts_contactable, rule_of, with_amounts, with_contactable
from orchestration.propensity_groups import with_groups
from orchestration.propensity_refits import Due, judge, what_is_due
from orchestration.propensity_rows import no_past_week, training_rows, with_labels
from orchestration.propensity_store import (
    PROPENSITY_TABLES,
    StandingPropensity,
    bands_to_json,
    definition_hash,
    prune_models,
    standing_propensity,
)
from orchestration.propensity_task import Asked, rows_of_table
from orchestration.warehouse import make_tables, replace_weeks, transaction
from orchestration.weeks import Week
from orchestration.workspace import Workspace

SIGNS = {"increasing": 1, "decreasing": -1}


@dataclass(frozen=True)
class TargetWeek:
    """What became of one target in one week.

    Attributes:
        target: its name.
        people: people with a row.
        eligible: of them, those it is predicted of.
        abstained_reason: why nothing is said; None where something is.
        evaluation: quality, as `PropensityModel.evaluation`.
        refit: what became of the model, and why.
        complaint: what is wrong with past predictions, in words; None where they held.
        unfair: groups whose probabilities are off, in words.
        suspects: features that look as if they knew the future, in words.
        drifted: what of the model in use has drifted, in words; None where too little for it to matter.
    """

    target: str
    people: int
    eligible: int
    abstained_reason: str | None
    evaluation: dict[str, Any]
    refit: str = ""
    complaint: str | None = None
    unfair: list[str] = field(default_factory=list)
    suspects: list[str] = field(default_factory=list)
    drifted: str | None = None


@dataclass(frozen=True)
class _Found:
    """What a week says of a target: scores, and what they come from."""

    scores: pl.DataFrame
    model_id: str
    algorithm: str
    fitted_as_of: date
    evaluation: dict[str, Any]
    importance: list[dict[str, Any]]
    suspects: list[dict[str, Any]]
    bands: Bands
    measured: pl.DataFrame | None
    references: list[ColumnReference]
    drift: pl.DataFrame


def run_propensity_week(
    connection: duckdb.DuckDBPyConnection, workspace: Workspace, catalogue: pl.DataFrame, week: Week
) -> list[TargetWeek]:
    """Score the people of `week` for every target and write `PROPENSITY_TABLES`.

    Of other weeks only what was said and fitted *before* `week` is looked at; so running a week again gives the same
    result, and weeks run one by one and together give the same.
    """
    make_tables(connection, PROPENSITY_TABLES)
    frames: dict[str, list[pl.DataFrame]] = {name: [] for name in PROPENSITY_TABLES}
    outcomes: list[TargetWeek] = []
    people = read_features(connection, catalogue, week, "is_propensity_input") if workspace.settings.targets else None
    for name, target in workspace.settings.targets.items():
        assert people is not None  # noqa: S101 - there is a target, so the features were read
        outcome, found = _run_target(Asked(connection, workspace, catalogue, week, name, target), people)
        outcomes.append(outcome)
        for table, frame in found.items():
            frames[table].append(frame)
    with transaction(connection):
        for table, schema in PROPENSITY_TABLES.items():
            rows = pl.concat([pl.DataFrame(schema=schema), *frames[table]])
            replace_weeks(connection, f"ml.{table}", rows, [week.as_of])
        prune_models(connection, workspace.settings.targets, week, workspace.rollbacks)
    return outcomes


def _run_target(asked: Asked, people: pl.DataFrame) -> tuple[TargetWeek, dict[str, pl.DataFrame]]:
    """One target: what became of it, and its rows of each table."""
    week, name, target = asked.week, asked.name, asked.target
    reasons = _not_eligible(asked, people)
    eligible = people if reasons is None else people.filter(reasons.is_null())
    past = backtest(asked.connection, asked.workspace, week, name, target, asked.features)
    complaint = complaint_of(past)
    found, models, refit = _learn(asked, eligible, complaint)
    run: dict[str, Any] = {
        "label": target.in_words(name),
        "action": target.action,
        "eligible_people": eligible.height,
        "not_eligible": json.dumps(_counted(reasons)),
        "refit": refit,
    }
    frames = {"propensity_backtest": past, "propensity_models": rows_of_table("propensity_models", asked, models)}
    if isinstance(found, Abstention):
        scored = eligible.select(pl.col("person_id").sort()).with_columns(abstained_reason=pl.lit(found.reason))
        suspects = [asdict(one) for one in found.suspects]
        run |= {"abstained_reason": found.reason, "evaluation": _json(found.evaluation or {})}
        outcome = TargetWeek(name, people.height, eligible.height, found.reason, found.evaluation or {}, refit)
    else:
        scored, gains, list_notes = banded(
            asked, found.scores, found.bands, found.measured, found.model_id, found.fitted_as_of
        )
        suspects = found.suspects
        gaps = _gaps(asked, found.measured)
        of_high = scored.filter(pl.col("band") == "high")["probability"].min() if scored.height else None
        run |= {
            "model_id": found.model_id,
            "fitted_as_of": found.fitted_as_of,
            "algorithm": found.algorithm,
            "high_from": of_high if found.bands.high_from is None else found.bands.high_from,
            "medium_from": found.bands.medium_from,
            "band_notes": json.dumps([*found.bands.notes, *list_notes]),
            "evaluation": _json(found.evaluation),
            "importance": _json(_labelled(asked, found.importance)),
        }
        frames |= {"propensity_gains": gains, "propensity_fairness": rows_of_table("propensity_fairness", asked, gaps)}
        label = pl.col("feature").replace(dict(asked.catalogue.select("feature", "label").iter_rows()))
        drift = found.drift.with_columns(label=label, model_id=pl.lit(found.model_id))
        frames["propensity_drift"] = rows_of_table("propensity_drift", asked, drift)
        outcome = TargetWeek(
            name,
            people.height,
            eligible.height,
            None,
            found.evaluation,
            refit,
            unfair=gaps_in_words(gaps),
            drifted=drift_in_words(drift),
        )
    run["suspects"] = _json(_labelled(asked, suspects))
    frames["propensity_scores"] = _scores(asked, people, reasons, scored)
    frames["model_runs"] = rows_of_table("model_runs", asked, pl.DataFrame([run], infer_schema_length=None))
    told = [f"{one['feature']}: {one['reason']}" for one in suspects]
    return replace(outcome, complaint=complaint, suspects=told), frames


def _labelled(asked: Asked, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same with what each feature is called in words."""
    labels = dict(asked.catalogue.select("feature", "label").iter_rows())
    return [row | {"label": labels.get(row["feature"], row["feature"])} for row in rows]


def _not_eligible(asked: Asked, people: pl.DataFrame) -> pl.Series | None:
    """Why each person is not eligible, null for who is, in the order of `people`; None where everybody is."""
    kinds = dict(asked.catalogue.select("feature", "kind").iter_rows())
    labels = dict(asked.catalogue.select("feature", "label").iter_rows())
    expression = not_eligible_reason(asked.target, kinds, labels)
    if not expression.startswith("case"):
        return None
    reasons = read_frame(
        asked.connection,
        f"select f.person_id, {expression} as reason from features.person_features as f where f.as_of = ?",
        [asked.week.as_of],
    )
    return people.select("person_id").join(reasons, on="person_id", how="left", maintain_order="left")["reason"]


def _counted(reasons: pl.Series | None) -> dict[str, int]:
    return {} if reasons is None else dict(reasons.drop_nulls().value_counts(sort=True).sort(reasons.name).iter_rows())


def _learn(
    asked: Asked, eligible: pl.DataFrame, complaint: str | None
) -> tuple[_Found | Abstention, pl.DataFrame | None, str]:
    """What is said of the eligible people; the row of a model that was fitted; and what became of it, in words."""
    week, name, target = asked.week, asked.name, asked.target
    if eligible.is_empty():
        return Abstention("nobody is eligible this week", 0, 0), None, ""
    standing = standing_propensity(asked.connection, name, target, week, asked.workspace.rollbacks)
    if standing is not None and not standing.is_pruned and not standing.is_readable:
        standing = None  # another version of the library wrote it: it is fitted again
    due = _due(asked, standing, eligible, complaint)
    if not due.refit and standing is not None and not standing.is_pruned:
        return _with_standing(asked, standing, eligible), None, "scored with the standing model"
    fitted, training = _fit(asked, eligible, None if due.compare or standing is None else standing.algorithm)
    if isinstance(fitted, Abstention):
        return fitted, None, ""
    status, reason = _status(asked, fitted, standing)
    found = _with_new(asked, fitted, training, eligible, standing)
    row = _model_row(asked, fitted, training, found, standing, due, status, reason)
    words = f"{status} ({due.trigger}): {reason}"
    if status == CHAMPION:
        return found, row, words
    if standing is None or isinstance(fitted, CrossFit):
        return Abstention(f"{reason}; no earlier model can take its place", 0, 0), row, words
    return _instead(asked, standing, eligible, reason), row, words


def _instead(asked: Asked, standing: StandingPropensity, eligible: pl.DataFrame, reason: str) -> _Found | Abstention:
    """What the standing model says, where the one that was fitted does not take over."""
    if not standing.is_pruned:
        return _with_standing(asked, standing, eligible)
    again = Week.ending(standing.fitted_as_of).key
    why = f"the model before it was pruned; run the week {again} again, which fits the same one"
    return Abstention(f"{reason}; {why}", 0, 0)


def _fit(
    asked: Asked, eligible: pl.DataFrame, algorithm: str | None
) -> tuple[PropensityModel | CrossFit | Abstention, pl.DataFrame]:
    """A model of this week, and the rows it learned from; the algorithm is chosen anew where none is given."""
    target = asked.target
    settings = PropensitySettings(
        minimum_positives=target.minimum_positives,
        horizon_days=None if target.outcome == "label" else target.within_days,
        monotonic={feature: SIGNS[way] for feature, way in target.monotonic.items()},
        suspects=target.model.suspects,
        seed=asked.seed,
    )
    if target.outcome == "label":
        labelled = with_labels(asked.connection, eligible, asked.week, asked.name)
        return cross_fit_scores(labelled, asked.catalogue, settings, algorithm), labelled  # type: ignore[arg-type]
    training = training_rows(
        asked.connection, asked.workspace, asked.catalogue, asked.week, asked.name, target, settings
    )
    if training.is_empty():
        return Abstention(no_past_week(target, asked.week), 0, 0), training
    return fit_propensity(training, asked.catalogue, settings, algorithm, eligible), training  # type: ignore[arg-type]


def _due(asked: Asked, standing: StandingPropensity | None, eligible: pl.DataFrame, complaint: str | None) -> Due:
    """What has to be done about the model this week."""
    there = drifted = False
    if standing is not None:
        there = standing.inputs <= set(eligible.columns)
        drifted = there and drifted_share(_drift(asked, standing, eligible)) >= MATTERS_FROM
    due = what_is_due(
        asked.week.as_of,
        standing.fitted_as_of if standing else None,
        standing.compared_as_of if standing else None,
        asked.target.model,
        there,
        drifted,
        complaint is not None,
    )
    # The scores of a label are those of folds of this week's people: there is nothing to score them with from before.
    return replace(due, refit=True, trigger=due.trigger or "refit") if asked.target.outcome == "label" else due


def _status(asked: Asked, fitted: PropensityModel | CrossFit, standing: StandingPropensity | None) -> tuple[str, str]:
    turned_back = next(
        (one for one in asked.workspace.rollbacks if one.excludes(asked.week.as_of, asked.week, asked.name)), None
    )
    if turned_back is not None:
        return ROLLED_BACK, f"turned back from by hand: {turned_back.reason or 'no reason given'}"
    against = standing.evaluation if standing and isinstance(fitted, PropensityModel) else None
    verdict = judge(fitted.evaluation, against, asked.target.model.worse_at_most)
    return (CHAMPION if verdict.passed else REJECTED), verdict.reason


def _with_new(
    asked: Asked,
    fitted: PropensityModel | CrossFit,
    training: pl.DataFrame,
    eligible: pl.DataFrame,
    standing: StandingPropensity | None,
) -> _Found:
    model = fitted.model if isinstance(fitted, CrossFit) else fitted
    references = training_references(training, model.inputs, asked.seed)
    if isinstance(fitted, CrossFit):
        # It learned from this very week: what it is compared with is the week before, which the last one learned from.
        drift = _drift(asked, standing, eligible)
        scores = fitted.scores
        labels = training.select("person_id", "outcome").drop_nulls()
        measured = labels.join(scores, on="person_id", how="inner").with_columns(as_of=pl.lit(asked.week.as_of))
        measured = measured.sort("person_id")
    else:
        scores, measured = fitted.score(eligible), fitted.measured
        drift = feature_drift(references, eligible, fitted.importance, asked.seed)
    measured = with_amounts(asked, measured, measured["as_of"][0] if measured.height else asked.week.as_of)
    to_band = with_contactable(asked, eligible).filter("may_be_contacted") if counts_contactable(asked) else eligible
    bands = decide_bands(rule_of(asked.target), fitted.evaluation["training_base_rate"], measured, to_band.height)
    return _Found(
        scores.select("person_id", "probability"),
        fitted.model_id,
        fitted.algorithm,
        asked.week.as_of,
        fitted.evaluation,
        fitted.importance,
        [asdict(one) for one in fitted.suspects],
        bands,
        measured,
        references,
        drift,
    )


def _with_standing(asked: Asked, standing: StandingPropensity, eligible: pl.DataFrame) -> _Found:
    model = standing.model
    bands = decide_bands(rule_of(asked.target), standing.evaluation["training_base_rate"], None, eligible.height)
    learned = standing.bands
    return _Found(
        model.score(eligible).select("person_id", "probability"),
        model.model_id,
        model.algorithm,
        standing.fitted_as_of,
        standing.evaluation,
        model.importance,
        [asdict(one) for one in model.suspects],
        replace(bands, usual_amount=learned.usual_amount, joined=learned.joined, notes=learned.notes),
        None,
        standing.references,
        _drift(asked, standing, eligible),
    )


def _drift(asked: Asked, standing: StandingPropensity | None, eligible: pl.DataFrame) -> pl.DataFrame:
    """How the people of this week differ from those a standing model was fitted on; nothing where that is not known."""
    if standing is None or not {one.feature for one in standing.references} <= set(eligible.columns):
        return pl.DataFrame(schema=DRIFT_SCHEMA)
    return feature_drift(standing.references, eligible, standing.importance, asked.seed)


def _gaps(asked: Asked, measured: pl.DataFrame | None) -> pl.DataFrame:
    if measured is None:
        return group_gaps(pl.DataFrame(), [], 1)
    grouped, names = with_groups(asked.connection, asked.workspace, measured, asked.features)
    return group_gaps(grouped, names, asked.workspace.settings.minimum_cell)


def _model_row(
    asked: Asked,
    fitted: PropensityModel | CrossFit,
    training: pl.DataFrame,
    found: _Found,
    standing: StandingPropensity | None,
    due: Due,
    status: str,
    reason: str,
) -> pl.DataFrame:
    content = model_to_bytes(fitted.model if isinstance(fitted, CrossFit) else fitted)
    card = propensity_card(
        fitted,
        asked.target.in_words(asked.name),
        training["as_of"].unique().sort().to_list(),
        asked.week.as_of,
        drift=found.drift,
    )
    is_compared = due.compare or standing is None or fitted.evaluation["compared"] is not None
    compared = asked.week.as_of if is_compared or standing is None else standing.compared_as_of
    row = {
        "model_id": fitted.model_id,
        "status": status,
        "reason": reason,
        "trigger": due.trigger,
        "algorithm": fitted.algorithm,
        "compared_as_of": compared,
        "definition_hash": definition_hash(asked.target),
        "bands": bands_to_json(found.bands),
        "drift_references": _json([one.to_dict() for one in found.references]),
        "importance": _json(fitted.importance),
        "evaluation": _json(fitted.evaluation),
        "sha256": hashlib.sha256(content).hexdigest(),
        "model": content,
        "card": _json(card),
        "markdown": propensity_markdown(card),
    }
    return pl.DataFrame([row], infer_schema_length=None)


def _scores(asked: Asked, people: pl.DataFrame, reasons: pl.Series | None, scored: pl.DataFrame) -> pl.DataFrame:
    """A row per person: a probability, or why there is none."""
    rows = rows_of_table("propensity_scores", asked, scored)
    if reasons is None:
        return rows
    others = people.select("person_id", abstained_reason=reasons).drop_nulls("abstained_reason").sort("person_id")
    return pl.concat([rows, rows_of_table("propensity_scores", asked, others)])


def _json(content: Any) -> str:
    return json.dumps(content, default=str)

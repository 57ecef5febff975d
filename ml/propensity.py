"""How likely each person is to do something next: learned, measured forward in time, or honestly withheld.

Here belong the steps of fitting one target, in order: screen the features, try the algorithms on later weeks than they
learned from, calibrate, measure on the last week, fit on everything. Each step stands in a module of its own; what the
outcome of a target is was decided before, in the training frame.
"""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import polars as pl
from scipy.special import expit

from ml.calibration import Calibration, ChosenCalibration, choose_calibration
from ml.catalogue import Kind, inputs_of, require_one_week
from ml.classifiers import ALGORITHMS, Algorithm, Classifier, log_odds
from ml.evaluation import CalibrationLine, drift_in_words, evaluate, log_loss
from ml.leakage import SCREENED_ROWS, Suspect, find_suspects, in_words
from ml.library_threads import one_thread
from ml.negative_sampling import drawn_in_words, prior_shift, weights_of
from ml.people_order import hash_sample, person_fold
from ml.propensity_model import Abstention, CrossFit, Floats, PropensityModel, PropensitySettings, score_frame
from ml.propensity_reasons import background_of, permutation_importance
from ml.propensity_trials import (
    STOPPED_EARLY,
    calibration_of,
    choose_algorithm,
    classifier_maker,
    first_rows,
    fit_again,
    fit_to_measure,
    has_both_outcomes,
    joined_trials,
    outcomes_of,
    run_trial,
    run_trials,
    with_outcome,
)
from ml.temporal_validation import Split, measuring_split


def fit_propensity(
    training: pl.DataFrame,
    catalogue: pl.DataFrame,
    settings: PropensitySettings | None = None,
    standing: Algorithm | None = None,
    scored: pl.DataFrame | None = None,
) -> PropensityModel | Abstention:
    """Learn how likely an outcome is.

    The algorithms are tried on later weeks than they learn from; the simplest that no other clearly beats is calibrated
    by these trials, measured on the last week, which nothing was chosen by, and fitted again on everything. No class
    weights: they would spoil the probabilities and gain nothing.

    Args:
        training: At (person_id, as_of): feature columns with nulls, and outcome 0 or 1; rows with a null outcome
            (not yet known) are left out. Where rows of one outcome were drawn, sampled_at, the rate 0..1, as
            `negative_sampling` gives it; every figure and probability is then that of all rows.
        catalogue: The feature catalogue, see `catalogue`.
        settings: How it is learned; by default as `PropensitySettings` says.
        standing: An algorithm that was chosen before; it is fitted, calibrated and measured anew, and not compared,
            unless it cannot keep to a direction that is declared.
        scored: The features of the week to be scored, so that features are found that are not filled there yet.

    Returns:
        The model; or an abstention where positives or negatives are too few, a suspect blocks, the ranking is not
        surely better than chance (the 95 % interval of the AUC reaches down to 0.5), or the log loss is no lower than
        that of the share of everybody though nothing has drifted.

    Raises:
        ValueError: A constraint is no +1 or -1 on a number or flag, or sampled_at is no rate, or several rates for one
            outcome.
    """
    settings = settings or PropensitySettings()
    known = with_outcome(training)
    inputs = inputs_of(catalogue, known.columns, "is_propensity_input")
    hindrance = _hindrance(known, inputs, settings)
    if hindrance:
        return hindrance
    rows = hash_sample(known, known.height, settings.seed)
    measuring = measuring_split(rows, settings.horizon_days, settings.seed)
    outcomes = outcomes_of(rows)
    if not has_both_outcomes(outcomes[measuring.test], 2) or not has_both_outcomes(outcomes[measuring.learn], 1):
        return Abstention(f"too few outcomes to measure on: {measuring.in_words}", known.height, _positives(known))

    learned_from = first_rows(rows, measuring.learn, max(settings.measuring_rows, SCREENED_ROWS))
    # Rows come in the order of the hash that samples are drawn by: the first of them are the sample of all.
    suspects = find_suspects(rows.head(SCREENED_ROWS), inputs, learned_from, scored, settings.seed)
    inputs = _without(inputs, suspects, settings)
    blocked = _blocked(inputs, suspects, settings, known)
    if blocked:
        return blocked
    make, names = classifier_maker(inputs, settings, standing)
    standing = standing if names == [standing] else None
    with one_thread(), ThreadPoolExecutor(2) as threads:
        final_fit = None
        measured_fit = None
        if standing:
            measured_fit = threads.submit(fit_to_measure, make(standing), learned_from, settings)
            if standing not in STOPPED_EARLY:
                final_fit = threads.submit(lambda: make(standing).fit(rows, outcomes_of(rows)))
        trials = run_trials(rows, measuring.learn, names, make, settings, threads.map)
        algorithm, compared, because = choose_algorithm(trials, names, settings, standing)
        measured = (measured_fit or threads.submit(fit_to_measure, make(algorithm), learned_from, settings)).result()
        final = final_fit.result() if final_fit else fit_again(measured, algorithm, make).fit(rows, outcomes_of(rows))
    chosen = calibration_of(trials, algorithm)
    tested = first_rows(rows, measuring.test, settings.measuring_rows)
    shift = prior_shift(rows)
    said = log_odds(measured, tested) + shift
    evaluation = {
        **_evaluated(outcomes_of(tested), said, weights_of(tested), chosen, measuring.in_words),
        **_training_figures(rows),
        **_comparison_figures(compared),
        "chosen_because": because,
        "measured_on": measuring.in_words,
        "is_out_of_time": measuring.is_forward,
    }
    reason = _shortcoming(evaluation)
    if reason:
        return Abstention(reason, known.height, _positives(known), evaluation, suspects)
    importance = permutation_importance(
        measured,
        tested,
        outcomes_of(tested),
        weights_of(tested),
        lambda values: chosen.calibration.log_odds(values + shift),
        settings.seed,
    )
    model = _model(
        rows, algorithm, final, inputs, shift, chosen.calibration, evaluation, importance, suspects, settings
    )
    measured_people = tested.select(
        "person_id",
        "as_of",
        outcome=pl.col("outcome").cast(pl.Int64),
        probability=pl.Series(chosen.calibration.probabilities(said)),
        weight=pl.Series(weights_of(tested)),
    )
    return replace(model, measured=measured_people)


def cross_fit_scores(
    labelled: pl.DataFrame,
    catalogue: pl.DataFrame,
    settings: PropensitySettings | None = None,
    standing: Algorithm | None = None,
) -> CrossFit | Abstention:
    """Predict a label of one cross-sectional extract without letting anybody's label predict itself.

    People are put into five folds by hash; each fold is predicted by a model of the other four, and calibrated by the
    predictions of the other four. Who has no label is given the mean of the five models. Algorithms are compared on the
    first two folds.

    Args:
        labelled: One week: person_id, feature columns, and outcome 0, 1 or null.
        catalogue: The feature catalogue, see `catalogue`.
        settings: How it is learned.
        standing: As for `fit_propensity`.

    Returns:
        Scores of everybody, measured out of fold (not out of time); or an abstention as in `fit_propensity`.

    Raises:
        ValueError: Several weeks, a person twice, or as for `fit_propensity`.
    """
    settings = settings or PropensitySettings()
    require_one_week(labelled)
    known = labelled.filter(pl.col("outcome").is_not_null())
    inputs = inputs_of(catalogue, labelled.columns, "is_propensity_input")
    hindrance = _hindrance(known, inputs, settings)
    if hindrance:
        return hindrance
    people = hash_sample(labelled, labelled.height, settings.seed)
    is_known = people["outcome"].is_not_null().to_numpy()
    rows = people.filter(pl.Series(is_known))
    outcomes = outcomes_of(rows)
    suspects = find_suspects(rows.with_columns(as_of=pl.lit(0)), inputs, rows, None, settings.seed)
    inputs = _without(inputs, suspects, settings)
    blocked = _blocked(inputs, suspects, settings, known)
    if blocked:
        return blocked
    fold = person_fold(rows["person_id"], settings.folds, settings.seed)
    folds = np.unique(fold)
    if len(folds) < 2 or not all(has_both_outcomes(outcomes[fold != number], 1) for number in folds):
        return Abstention("too few outcomes to learn from in one of the folds", known.height, _positives(known))

    make, names = classifier_maker(inputs, settings, standing)
    standing = standing if names == [standing] else None
    splits = [Split(fold != number, fold == number, "other people of the same extract", False) for number in folds]
    with one_thread(), ThreadPoolExecutor(2) as threads:
        first = [run_trial(rows, splits[:2], name, make, settings, threads.map) for name in names]
        algorithm, compared, because = choose_algorithm(first, names, settings, standing)
        rest = run_trial(rows, splits[2:], algorithm, make, settings, threads.map)
        fitted = [*first[names.index(algorithm)].classifiers, *rest.classifiers]
        final = make(algorithm).fit(rows.head(settings.measuring_rows), outcomes[: settings.measuring_rows])
    tried = joined_trials(first[names.index(algorithm)], rest)
    said, weights = np.empty(len(outcomes)), np.ones(len(outcomes))
    said[tried.row] = tried.said
    chosen = choose_calibration(said, outcomes, weights, fold, f"people held out in {len(folds)} folds")
    mapped = said.copy()
    for number in folds:
        own = fold == number
        method = chosen.calibration.method
        others = choose_calibration(said[~own], outcomes[~own], weights[~own], fold[~own], "").calibration
        mapped[own] = (others if others.method == method else chosen.calibration).log_odds(said[own])
    evaluation = {
        **_evaluated(
            outcomes, mapped, weights, ChosenCalibration(Calibration(), chosen.in_words, None, None), "other people"
        ),
        **_training_figures(rows),
        **_comparison_figures(compared),
        "chosen_because": because,
        "measured_on": f"people held out in {len(folds)} folds of one extract, not out of time",
        "is_out_of_time": False,
    }
    reason = _shortcoming(evaluation)
    if reason:
        return Abstention(reason, known.height, _positives(known), evaluation, suspects)
    everybody, raw = np.empty(people.height), np.empty(people.height)
    everybody[is_known], raw[is_known] = mapped, said
    if not is_known.all():
        unlabelled = people.filter(pl.Series(~is_known))
        raw[~is_known] = np.mean([log_odds(classifier, unlabelled) for classifier in fitted], axis=0)
        everybody[~is_known] = chosen.calibration.log_odds(raw[~is_known])
    scores = score_frame(people["person_id"], expit(everybody), expit(raw))
    held_out = rows.filter(pl.Series(fold == folds[0]))
    importance = permutation_importance(
        fitted[0], held_out, outcomes_of(held_out), weights_of(held_out), chosen.calibration.log_odds, settings.seed
    )
    model = _model(rows, algorithm, final, inputs, 0.0, chosen.calibration, evaluation, importance, suspects, settings)
    model_id = _content_id(settings, algorithm, scores["probability"].to_numpy())
    return CrossFit(scores, algorithm, evaluation, model_id, model, importance, suspects)


def _evaluated(
    outcomes: Floats, said: Floats, weights: Floats, chosen: ChosenCalibration, where: str
) -> dict[str, Any]:
    probabilities = chosen.calibration.probabilities(said)
    figures = evaluate(outcomes, probabilities, weights)
    names = ("slope", "slope_error", "intercept", "intercept_error")
    line = CalibrationLine(*(np.nan if (one := figures[f"calibration_{name}"]) is None else one for name in names))
    return {
        **figures,
        "log_loss_uncalibrated": log_loss(outcomes, expit(said), weights),
        "calibration": chosen.in_words,
        "calibration_drift": drift_in_words(line, figures["mean_probability"], figures["base_rate"], where),
    }


def _comparison_figures(compared: dict[Algorithm, float] | None) -> dict[str, Any]:
    return {"compared": compared} | {f"log_loss_{name}": (compared or {}).get(name) for name in ALGORITHMS}


def _training_figures(rows: pl.DataFrame) -> dict[str, Any]:
    return {
        "training_rows": rows.height,
        "training_positives": _positives(rows),
        "training_base_rate": float(np.average(outcomes_of(rows), weights=weights_of(rows))),
        "drawn": drawn_in_words(rows),
    }


def _model(
    rows: pl.DataFrame,
    algorithm: Algorithm,
    final: Classifier,
    inputs: dict[str, Kind],
    shift: float,
    calibration: Calibration,
    evaluation: dict[str, Any],
    importance: list[dict[str, Any]],
    suspects: list[Suspect],
    settings: PropensitySettings,
) -> PropensityModel:
    probe = calibration.probabilities(log_odds(final, rows.head(1_000)) + shift)
    return PropensityModel(
        algorithm=algorithm,
        classifier=final,
        inputs=inputs,
        prior_shift=shift,
        calibration=calibration,
        background=background_of(final, rows, settings.seed),
        evaluation=evaluation,
        importance=importance,
        suspects=suspects,
        model_id=_content_id(settings, algorithm, probe),
        settings=settings,
    )


def _without(inputs: dict[str, Kind], suspects: list[Suspect], settings: PropensitySettings) -> dict[str, Kind]:
    if settings.suspects == "keep":
        return inputs
    left_out = {one.feature for one in suspects}
    return {name: kind for name, kind in inputs.items() if name not in left_out}


def _blocked(
    inputs: dict[str, Kind], suspects: list[Suspect], settings: PropensitySettings, known: pl.DataFrame
) -> Abstention | None:
    if suspects and settings.suspects == "block":
        reason = f"suspected of knowing the outcome: {in_words(suspects)}"
    elif not inputs:
        reason = f"no feature is left without the suspects: {in_words(suspects)}"
    else:
        return None
    return Abstention(reason, known.height, _positives(known), None, suspects)


def _hindrance(known: pl.DataFrame, inputs: dict[str, Kind], settings: PropensitySettings) -> Abstention | None:
    positives = _positives(known)
    if not inputs:
        return Abstention("no feature may be used", known.height, positives)
    fewer, what = min((positives, "with"), (known.height - positives, "without"))
    if fewer >= settings.minimum_positives:
        return None
    reason = f"{fewer} examples {what} the outcome; {settings.minimum_positives} are needed"
    return Abstention(reason, known.height, positives)


def _shortcoming(evaluation: dict[str, Any]) -> str | None:
    """Why probabilities cannot be relied on: they rank nobody, or say less than one number for everybody would."""
    measured_on = f"measured on {evaluation['measured_on']}"
    if not evaluation["auc_low"] > 0.5:
        figures = (
            f"AUC {evaluation['auc']:.2f}, 95 % interval {evaluation['auc_low']:.2f} to {evaluation['auc_high']:.2f}"
        )
        return f"no better than chance for sure ({figures}), {measured_on}"
    is_drift = evaluation["calibration_drift"] is not None  # told in words, and warned of, wherever it shows
    if not is_drift and not evaluation["log_loss"] < evaluation["base_rate_log_loss"]:
        figures = (
            f"log loss {evaluation['log_loss']:.4f}, of the share of everybody {evaluation['base_rate_log_loss']:.4f}"
        )
        return f"its probabilities say less than the share of everybody would ({figures}), {measured_on}"
    return None


def _positives(rows: pl.DataFrame) -> int:
    return int(rows["outcome"].cast(pl.Int64).sum())


def _content_id(settings: PropensitySettings, algorithm: str, probabilities: Floats) -> str:
    content = hashlib.sha256(repr((sorted(asdict(settings).items(), key=str), algorithm)).encode())
    content.update(probabilities.round(6).tobytes())
    return content.hexdigest()[:12]

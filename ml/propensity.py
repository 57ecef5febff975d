"""How likely each person is to do something next: learned, measured forward in time, or honestly withheld.

Here belong the steps of fitting one target, in order: screen the features, try the algorithms on later weeks than they
learned from, calibrate, measure on the last week, fit on everything. Each step stands in a module of its own; what the
outcome of a target is was decided before, in the training frame.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import expit

from ml.calibration import Calibration, ChosenCalibration, choose_calibration
from ml.catalogue import Kind, inputs_of, require_one_week
from ml.classifiers import ALGORITHMS, Algorithm, Classifier, candidates, log_odds, make_classifier
from ml.evaluation import CalibrationLine, drift_in_words, evaluate, log_loss, log_losses
from ml.leakage import Suspect, find_suspects, in_words
from ml.linear_classifier import one_thread
from ml.negative_sampling import drawn_in_words, prior_shift, weights_of
from ml.people_order import hash_sample, person_fold
from ml.propensity_reasons import background_of, contributions, permutation_importance
from ml.temporal_validation import Split, measuring_split, trial_splits

Floats = NDArray[np.float64]

SCORE_SCHEMA = {"person_id": pl.String, "probability": pl.Float64, "raw_probability": pl.Float64}
STOPPED_EARLY = ("boosting", "network")
PARTS = 5
"""Parts of the people that calibrations are tried on where there is only one week to try on."""


@dataclass(frozen=True)
class PropensitySettings:
    """How a propensity is learned.

    Attributes:
        minimum_positives: Fewest people-weeks with the outcome, and without it, to learn from.
        horizon_days: Days an outcome looks ahead. Where the outcome windows of the earlier weeks had closed by the
            last training week, they are tested on it as they are; otherwise (or if None, unknown) other people are
            held out as well, because neighbouring weeks of one person share most of their outcome.
        monotonic: +1 or -1 by feature, where the probability may only rise, or only fall, with it. Only logistic
            regression and boosting can promise that, so only they are chosen from then. Features that are not there are
            passed over.
        suspects: What becomes of features that look like leaks (see `leakage`): they are left out, they block the
            target, or they are kept and only named.
        margins: Share by which an algorithm's log loss has to be below that of the simpler one it replaces.
        comparison_rows: Most rows an algorithm learns from, and is tried on, where it is compared or calibrated.
        measuring_rows: Most rows that are learned from and measured on for the figures of quality.
        folds: Folds of `cross_fit_scores`.
        seed: Random seed.
    """

    minimum_positives: int = 50
    horizon_days: int | None = None
    monotonic: Mapping[str, int] = field(default_factory=dict)
    suspects: Literal["leave_out", "block", "keep"] = "leave_out"
    margins: Mapping[str, float] = field(default_factory=lambda: {"boosting": 0.01, "forest": 0.01, "network": 0.01})
    comparison_rows: int = 100_000
    measuring_rows: int = 200_000
    folds: int = 5
    seed: int = 7


@dataclass(frozen=True)
class Abstention:
    """No probability is better than one nobody can rely on.

    Attributes:
        reason: Why, in words.
        rows: Rows with an outcome.
        positives: Rows with outcome 1.
        evaluation: As in `PropensityModel`, where it came to measuring; else None.
        suspects: Features that look like leaks, where it came to looking.
    """

    reason: str
    rows: int
    positives: int
    evaluation: dict[str, Any] | None = None
    suspects: list[Suspect] = field(default_factory=list)


@dataclass(frozen=True)
class PropensityModel:
    """A fitted propensity.

    Attributes:
        algorithm: The algorithm that was chosen.
        classifier: The fitted classifier.
        inputs: Kind by feature it was fitted on.
        prior_shift: Added to its log-odds, because rows of one outcome were drawn at a rate.
        calibration: What follows.
        background: Rows that people are compared with for `contributions`.
        evaluation: As `evaluate` gives, of the rows measured on; log_loss_uncalibrated, of the same; training_rows,
            training_positives, training_base_rate of all; drawn, how rows were, in words, or None; measured_on, in
            words; is_out_of_time; compared, the log loss per algorithm, or None where the standing one was kept without
            comparing, and log_loss_logistic and so on, likewise; chosen_because and calibration, in words;
            calibration_drift, in words, or None where probabilities held.
        importance: feature and log_loss_increase, the largest first; see `permutation_importance`.
        suspects: Features that look like leaks.
        model_id: Hash of how the model answers.
        settings: The settings it was fitted with.
        measured: The people it was measured on: person_id, as_of, outcome, probability, and weight, how many people a
            row stands for; empty in a model that was read again.
    """

    algorithm: Algorithm
    classifier: Classifier
    inputs: dict[str, Kind]
    prior_shift: float
    calibration: Calibration
    background: NDArray[np.float32]
    evaluation: dict[str, Any]
    importance: list[dict[str, Any]]
    suspects: list[Suspect]
    model_id: str
    settings: PropensitySettings
    measured: pl.DataFrame = field(default_factory=pl.DataFrame, repr=False, compare=False)

    def score(self, features: pl.DataFrame) -> pl.DataFrame:
        """Predict for one week.

        Args:
            features: person_id, as_of (optional) and the features it was fitted on.

        Returns:
            By person_id: person_id, probability 0..1, raw_probability before calibration.

        Raises:
            ValueError: Several weeks, a person twice, or a feature is missing.
        """
        require_one_week(features)
        self._require_features(features)
        return _scores(features["person_id"], self._said(features), self.calibration)

    def contributions(self, features: pl.DataFrame) -> pl.DataFrame:
        """What moved each person's probability.

        Args:
            features: As for `score`; only the people asked for, thousands rather than millions.

        Returns:
            By person_id and rank: person_id, feature, effect in log-odds, rank; see `propensity_reasons`.

        Raises:
            ValueError: As for `score`.
        """
        require_one_week(features)
        self._require_features(features)
        return contributions(self.classifier, self.background, features, self.calibrated, self.settings.seed)

    def calibrated(self, said: Floats) -> Floats:
        """Map the classifier's log-odds to those of the probability."""
        return self.calibration.log_odds(said + self.prior_shift)

    def _said(self, features: pl.DataFrame) -> Floats:
        return log_odds(self.classifier, features) + self.prior_shift

    def _require_features(self, features: pl.DataFrame) -> None:
        missing = [name for name in self.inputs if name not in features.columns]
        if missing:
            raise ValueError(f"the features lack columns that the model was fitted on: {missing}")


@dataclass(frozen=True)
class CrossFit:
    """Probabilities for people whose own outcome was not used to predict them.

    Attributes:
        scores: By person_id: person_id, probability 0..1, raw_probability before calibration.
        algorithm: The algorithm that was chosen.
        evaluation: As in `PropensityModel`.
        model_id: Hash of the scores.
        model: A model of everybody with a label, to explain by and to keep; its own scores know the labels.
        importance: As in `PropensityModel`.
        suspects: As in `PropensityModel`.
    """

    scores: pl.DataFrame
    algorithm: Algorithm
    evaluation: dict[str, Any]
    model_id: str
    model: PropensityModel
    importance: list[dict[str, Any]]
    suspects: list[Suspect]


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
    known = training.filter(pl.col("outcome").is_not_null())
    inputs = inputs_of(catalogue, known.columns, "is_propensity_input")
    hindrance = _hindrance(known, inputs, settings)
    if hindrance:
        return hindrance
    rows = hash_sample(known, known.height, settings.seed)
    measuring = measuring_split(rows, settings.horizon_days, settings.seed)
    if not _has_two(_outcomes(rows)[measuring.test], 2) or not _has_two(_outcomes(rows)[measuring.learn], 1):
        return Abstention(f"too few outcomes to measure on: {measuring.in_words}", known.height, _positives(known))

    learned_from = rows.filter(pl.Series(measuring.learn))
    suspects = find_suspects(rows, inputs, learned_from, scored, settings.seed)
    inputs = _without(inputs, suspects, settings)
    blocked = _blocked(inputs, suspects, settings, known)
    if blocked:
        return blocked
    make, names = _maker(inputs, settings, standing)
    standing = standing if names == [standing] else None
    with one_thread(), ThreadPoolExecutor(2) as threads:
        final_fit = None
        measured_fit = None
        if standing:
            measured_fit = threads.submit(_measured_fit, make(standing), learned_from, settings)
            if standing not in STOPPED_EARLY:
                final_fit = threads.submit(lambda: make(standing).fit(rows, _outcomes(rows)))
        trials = _trials(rows, measuring.learn, names, make, settings, threads.map)
        algorithm, compared, because = _choose(trials, names, settings, standing)
        measured = (measured_fit or threads.submit(_measured_fit, make(algorithm), learned_from, settings)).result()
        final = final_fit.result() if final_fit else _again(measured, algorithm, make).fit(rows, _outcomes(rows))
    chosen = _calibration(trials, algorithm)
    tested = rows.filter(pl.Series(measuring.test)).head(settings.measuring_rows)
    shift = prior_shift(rows)
    said = log_odds(measured, tested) + shift
    evaluation = {
        **_evaluated(_outcomes(tested), said, weights_of(tested), chosen, measuring.in_words),
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
        _outcomes(tested),
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
    outcomes = _outcomes(rows)
    suspects = find_suspects(rows.with_columns(as_of=pl.lit(0)), inputs, rows, None, settings.seed)
    inputs = _without(inputs, suspects, settings)
    blocked = _blocked(inputs, suspects, settings, known)
    if blocked:
        return blocked
    fold = person_fold(rows["person_id"], settings.folds, settings.seed)
    folds = np.unique(fold)
    if len(folds) < 2 or not all(_has_two(outcomes[fold != number], 1) for number in folds):
        return Abstention("too few outcomes to learn from in one of the folds", known.height, _positives(known))

    make, names = _maker(inputs, settings, standing)
    standing = standing if names == [standing] else None
    splits = [Split(fold != number, fold == number, "other people of the same extract", False) for number in folds]
    with one_thread(), ThreadPoolExecutor(2) as threads:
        first = [_trial(rows, splits[:2], name, make, settings, threads.map) for name in names]
        algorithm, compared, because = _choose(first, names, settings, standing)
        rest = _trial(rows, splits[2:], algorithm, make, settings, threads.map)
        fitted = [*first[names.index(algorithm)].classifiers, *rest.classifiers]
        final = make(algorithm).fit(rows.head(settings.measuring_rows), outcomes[: settings.measuring_rows])
    tried = _joined(first[names.index(algorithm)], rest)
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
    scores = _score_frame(people["person_id"], expit(everybody), expit(raw))
    held_out = rows.filter(pl.Series(fold == folds[0]))
    importance = permutation_importance(
        fitted[0], held_out, _outcomes(held_out), weights_of(held_out), chosen.calibration.log_odds, settings.seed
    )
    model = _model(rows, algorithm, final, inputs, 0.0, chosen.calibration, evaluation, importance, suspects, settings)
    model_id = _content_id(settings, algorithm, scores["probability"].to_numpy())
    return CrossFit(scores, algorithm, evaluation, model_id, model, importance, suspects)


@dataclass(frozen=True)
class _Trial:
    """What one algorithm said of rows it did not learn from; `row` is where they stand, `part` which split it was."""

    row: NDArray[np.int64]
    said: Floats
    outcomes: Floats
    weights: Floats
    part: NDArray[np.int64]
    in_words: str
    classifiers: list[Classifier]


def _trials(
    rows: pl.DataFrame,
    allowed: NDArray[np.bool_],
    names: Sequence[Algorithm],
    make: Callable[..., Any],
    settings: PropensitySettings,
    side_by_side: Callable[..., Any],
) -> list[_Trial]:
    """Try each algorithm going forward through the weeks that are not measured on."""
    splits = [
        split
        for split in trial_splits(rows, allowed, settings.horizon_days, settings.seed)
        if _has_two(_outcomes(rows)[split.learn], 1)
    ]
    return [_trial(rows, splits, name, make, settings, side_by_side) for name in names]


def _trial(
    rows: pl.DataFrame,
    splits: Sequence[Split],
    name: Algorithm,
    make: Callable[..., Any],
    settings: PropensitySettings,
    side_by_side: Callable[..., Any],
) -> _Trial:
    most = settings.comparison_rows

    def one(split: Split) -> tuple[NDArray[np.int64], Floats, Classifier]:
        learned = rows.filter(pl.Series(split.learn)).head(most)
        classifier = make(name).fit(learned, _outcomes(learned))
        tried = np.flatnonzero(split.test)[:most]
        return tried, log_odds(classifier, rows[tried]) + prior_shift(rows), classifier

    found = list(side_by_side(one, splits))
    row = np.concatenate([each[0] for each in found]) if found else np.empty(0, dtype=np.int64)
    said = np.concatenate([each[1] for each in found]) if found else np.empty(0)
    part = np.repeat(np.arange(len(found)), [len(each[0]) for each in found])
    if len(found) == 1:
        part = person_fold(rows["person_id"][row], PARTS, settings.seed + 3)
    words = "; ".join(split.in_words for split in splits)
    tried = rows.select("outcome", *(["sampled_at"] if "sampled_at" in rows.columns else []))[row]
    return _Trial(row, said, _outcomes(tried), weights_of(tried), part, words, [each[2] for each in found])


def _joined(first: _Trial, second: _Trial) -> _Trial:
    return _Trial(
        np.concatenate([first.row, second.row]),
        np.concatenate([first.said, second.said]),
        np.concatenate([first.outcomes, second.outcomes]),
        np.concatenate([first.weights, second.weights]),
        np.concatenate([first.part, second.part]),
        first.in_words,
        [*first.classifiers, *second.classifiers],
    )


def _choose(
    trials: Sequence[_Trial], names: Sequence[Algorithm], settings: PropensitySettings, standing: Algorithm | None
) -> tuple[Algorithm, dict[Algorithm, float] | None, str]:
    """The simplest algorithm that no more flexible one beats by its margin, and surely; the losses; and why."""
    if standing:
        return standing, None, f"{standing} was chosen before, and a comparison was not due"
    if not trials or not len(trials[0].row):
        return names[0], None, f"{names[0]}, the simplest: there were too few outcomes to compare by"
    losses = {name: log_losses(trial.outcomes, expit(trial.said)) for name, trial in zip(names, trials, strict=True)}
    weights = trials[0].weights
    means = {name: float(np.average(values, weights=weights)) for name, values in losses.items()}
    chosen = names[0]
    for name in names[1:]:
        gain = (losses[chosen] - losses[name]) * weights
        is_sure = gain.sum() > np.sqrt(((gain - gain.mean()) ** 2).sum())
        if is_sure and means[name] < means[chosen] * (1 - settings.margins.get(name, 0.0)):
            chosen = name
    figures = ", ".join(f"{name} {means[name]:.4f}" for name in names)
    return (
        chosen,
        means,
        f"{chosen}, the simplest that none beats by its margin: log loss {figures}, {trials[0].in_words}",
    )


def _calibration(trials: Sequence[_Trial], algorithm: Algorithm) -> ChosenCalibration:
    trial = next(each for each in trials if not each.classifiers or _is_of(each, algorithm)) if trials else None
    if trial is None or not len(trial.row):
        return ChosenCalibration(Calibration(), "none: there was nothing to learn it from", None, None)
    return choose_calibration(trial.said, trial.outcomes, trial.weights, trial.part, trial.in_words)


def _is_of(trial: _Trial, algorithm: Algorithm) -> bool:
    return isinstance(trial.classifiers[0], ALGORITHMS[algorithm])


def _measured_fit(classifier: Any, learned_from: pl.DataFrame, settings: PropensitySettings) -> Any:
    learned = learned_from.head(settings.measuring_rows)
    return classifier.fit(learned, _outcomes(learned))


def _again(measured: Any, algorithm: Algorithm, make: Callable[..., Any]) -> Any:
    """The same algorithm, for as long as it learned when people were held out to stop it."""
    return make(algorithm, measured.iterations_ or None) if algorithm in STOPPED_EARLY else make(algorithm)


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
        "training_base_rate": float(np.average(_outcomes(rows), weights=weights_of(rows))),
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


def _maker(
    inputs: dict[str, Kind], settings: PropensitySettings, standing: Algorithm | None
) -> tuple[Callable[..., Any], list[Algorithm]]:
    """What makes a classifier, and the algorithms to try.

    That is the standing one. It is all that may be chosen from where there is none, or where it cannot keep to a
    direction: it was chosen in a week in which the feature of that direction was not there, or was left out.
    """
    declared = _declared(inputs, settings)
    allowed = candidates(declared)
    names = [standing] if standing in allowed else allowed
    return lambda name, iterations=None: make_classifier(name, inputs, declared, settings.seed, iterations), names


def _declared(inputs: dict[str, Kind], settings: PropensitySettings) -> dict[str, int]:
    """The constraints on features that are there."""
    declared = {name: sign for name, sign in settings.monotonic.items() if name in inputs}
    for name, sign in declared.items():
        if sign not in (-1, 1) or inputs[name] == "category":
            raise ValueError(f"monotonic is +1 or -1 for a number or a flag; {name} is a {inputs[name]} with {sign}")
    return declared


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


def _has_two(outcomes: Floats, fewest: int) -> bool:
    return min(outcomes.sum(), len(outcomes) - outcomes.sum()) >= fewest


def _outcomes(rows: pl.DataFrame) -> Floats:
    return rows["outcome"].cast(pl.Float64).to_numpy()


def _positives(rows: pl.DataFrame) -> int:
    return int(rows["outcome"].cast(pl.Int64).sum())


def _scores(person_ids: pl.Series, said: Floats, calibration: Calibration) -> pl.DataFrame:
    return _score_frame(person_ids, calibration.probabilities(said), expit(said))


def _score_frame(person_ids: pl.Series, probabilities: Floats, raw: Floats) -> pl.DataFrame:
    columns = {"person_id": person_ids, "probability": probabilities.round(6), "raw_probability": raw.round(6)}
    return pl.DataFrame(columns, schema_overrides=SCORE_SCHEMA).sort("person_id")


def _content_id(settings: PropensitySettings, algorithm: str, probabilities: Floats) -> str:
    content = hashlib.sha256(repr((sorted(asdict(settings).items(), key=str), algorithm)).encode())
    content.update(probabilities.round(6).tobytes())
    return content.hexdigest()[:12]

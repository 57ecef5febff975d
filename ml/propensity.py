"""How likely each person is to do something next: learned, measured forward in time, or honestly withheld.

Here belong the fitting, measuring and scoring of one target. The classifiers stand in `classifiers`, the measures
in `evaluation`; what the outcome of a target is was decided before, in the training frame.
"""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ml.catalogue import Kind, inputs_of, require_one_week
from ml.classifiers import BoostingClassifier, Classifier, LogisticClassifier
from ml.evaluation import area_under_curve, brier_score, calibration_error, log_loss, reliability
from ml.people_order import hash_sample, person_fold

Algorithm = Literal["logistic", "boosting"]
Floats = NDArray[np.float64]

HOLD_OUT_FOLDS = 10
HELD_OUT = 3
"""Of ten equal parts of the people, so many are held out where weeks alone do not separate."""
SCORE_SCHEMA = {"person_id": pl.String, "probability": pl.Float64}


@dataclass(frozen=True)
class PropensitySettings:
    """How a propensity is learned.

    Attributes:
        minimum_positives: Fewest people-weeks with the outcome, and without it, to learn from.
        boosting_margin: Boosted trees are used only where their log loss is lower by this share of the
            logistic regression's.
        horizon_days: Days an outcome looks ahead. Where the outcome windows of the earlier weeks had closed by the
            last training week, they are tested on it as they are; otherwise (or if None, unknown) other people are
            held out as well, because neighbouring weeks of one person share most of their outcome.
        comparison_rows: Most rows that the two algorithms are compared with.
        maximum_rows: Most rows that the final model learns from; people are drawn by hash, whole.
        folds: Folds of `cross_fit_scores`.
        seed: Random seed.
    """

    minimum_positives: int = 50
    boosting_margin: float = 0.01
    horizon_days: int | None = None
    comparison_rows: int = 200_000
    maximum_rows: int = 500_000
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
    """

    reason: str
    rows: int
    positives: int
    evaluation: dict[str, Any] | None = None


@dataclass(frozen=True)
class PropensityModel:
    """A fitted propensity.

    Attributes:
        algorithm: The algorithm that was chosen.
        classifier: The fitted classifier.
        inputs: Kind by feature.
        evaluation: auc, auc_low and auc_high (95 % interval), log_loss, base_rate_log_loss, brier,
            calibration_error, base_rate, positives and rows of the rows measured on; training_rows,
            training_positives, training_base_rate of all; measured_on, in words; is_out_of_time; log_loss_logistic,
            log_loss_boosting; reliability, ten bins.
        model_id: Hash of how the model answers.
        settings: The settings it was fitted with.
    """

    algorithm: Algorithm
    classifier: Classifier
    inputs: dict[str, Kind]
    evaluation: dict[str, Any]
    model_id: str
    settings: PropensitySettings

    def score(self, features: pl.DataFrame) -> pl.DataFrame:
        """Predict for one week.

        Args:
            features: person_id, as_of (optional) and the features it was fitted on.

        Returns:
            By person_id: person_id, probability 0..1.

        Raises:
            ValueError: Several weeks, a person twice, or a feature is missing.
        """
        require_one_week(features)
        missing = [name for name in self.inputs if name not in features.columns]
        if missing:
            raise ValueError(f"the features lack columns that the model was fitted on: {missing}")
        return _scores(features["person_id"], self.classifier.probabilities(features))


@dataclass(frozen=True)
class CrossFit:
    """Probabilities for people whose own outcome was not used to predict them.

    Attributes:
        scores: By person_id: person_id, probability 0..1.
        algorithm: The algorithm that was chosen.
        evaluation: As in `PropensityModel`.
        model_id: Hash of the scores.
    """

    scores: pl.DataFrame
    algorithm: Algorithm
    evaluation: dict[str, Any]
    model_id: str


def fit_propensity(
    training: pl.DataFrame, catalogue: pl.DataFrame, settings: PropensitySettings | None = None
) -> PropensityModel | Abstention:
    """Learn how likely an outcome is.

    Logistic regression and boosted trees are fitted on the earlier weeks and measured on the last one; the better one
    is fitted again on all weeks. No class weights: they would spoil the probabilities and gain nothing.

    Args:
        training: At (person_id, as_of): feature columns with nulls, and outcome 0 or 1; rows with a null outcome
            (not yet known) are left out.
        catalogue: The feature catalogue, see `catalogue`.
        settings: How it is learned; by default as `PropensitySettings` says.

    Returns:
        The model; or an abstention where positives or negatives are too few, or the ranking is not surely better
        than chance (the 95 % interval of the AUC reaches down to 0.5).
    """
    settings = settings or PropensitySettings()
    known = training.filter(pl.col("outcome").is_not_null())
    inputs = inputs_of(catalogue, known.columns, "is_propensity_input")
    hindrance = _hindrance(known, inputs, settings)
    if hindrance:
        return hindrance
    rows = hash_sample(known, settings.maximum_rows, settings.seed)
    outcomes = _outcomes(rows)

    learn, test, measured_on = _split(rows, settings)
    if min(outcomes[test].sum(), (1 - outcomes[test]).sum()) < 2 or len(np.unique(outcomes[learn])) < 2:
        return Abstention(f"too few outcomes to measure on: {measured_on}", known.height, _positives(known))
    comparison = hash_sample(rows.filter(pl.Series(learn)), settings.comparison_rows, settings.seed)
    tested, tested_outcomes = rows.filter(pl.Series(test)), outcomes[test]
    fitted = _fitted_side_by_side(_classifiers(inputs, settings), comparison)
    predicted = {name: classifier.probabilities(tested) for name, classifier in fitted.items()}
    algorithm = _better(tested_outcomes, predicted, settings)
    evaluation = {
        **_evaluate(tested_outcomes, predicted, algorithm),
        **_training_figures(rows),
        "measured_on": measured_on,
        "is_out_of_time": rows["as_of"].n_unique() > 1,
    }
    if not evaluation["auc_low"] > 0.5:
        return _no_better_than_chance(evaluation, known)

    iterations = getattr(fitted["boosting"], "iterations_", None)
    final = _classifiers(inputs, settings, iterations)[algorithm].fit(rows, outcomes)
    probe = hash_sample(rows, 1_000, settings.seed)
    model_id = _content_id(settings, algorithm, final.probabilities(probe))
    return PropensityModel(algorithm, final, inputs, evaluation, model_id, settings)


def cross_fit_scores(
    labelled: pl.DataFrame, catalogue: pl.DataFrame, settings: PropensitySettings | None = None
) -> CrossFit | Abstention:
    """Predict a label of one cross-sectional extract without letting anybody's label predict itself.

    People are put into five folds by hash; each fold is predicted by a model of the other four. Who has no label is
    given the mean of the five models.

    Args:
        labelled: One week: person_id, feature columns, and outcome 0, 1 or null.
        catalogue: The feature catalogue, see `catalogue`.
        settings: How it is learned.

    Returns:
        Scores of everybody, measured out of fold (not out of time); or an abstention as in `fit_propensity`.

    Raises:
        ValueError: Several weeks, or a person twice.
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
    fold = person_fold(people["person_id"], settings.folds, settings.seed)
    folds = [number for number in range(settings.folds) if (fold[is_known] == number).any()]

    predicted = {name: np.zeros(people.height) for name in _classifiers(inputs, settings)}
    for number in folds:
        learn = hash_sample(
            people.filter(pl.Series(is_known & (fold != number))), settings.comparison_rows, settings.seed
        )
        if len(np.unique(_outcomes(learn))) < 2:
            return Abstention("too few outcomes to learn from in one of the folds", known.height, _positives(known))
        own = is_known & (fold == number)
        for name, classifier in _classifiers(inputs, settings).items():
            classifier.fit(learn, _outcomes(learn))
            predicted[name][own] = classifier.probabilities(people.filter(pl.Series(own)))
            if not is_known.all():
                predicted[name][~is_known] += classifier.probabilities(people.filter(pl.Series(~is_known))) / len(folds)

    outcomes = _outcomes(people.filter(pl.Series(is_known)))
    out_of_fold = {name: values[is_known] for name, values in predicted.items()}
    algorithm = _better(outcomes, out_of_fold, settings)
    evaluation = {
        **_evaluate(outcomes, out_of_fold, algorithm),
        **_training_figures(known),
        "measured_on": f"people held out in {len(folds)} folds of one extract, not out of time",
        "is_out_of_time": False,
    }
    if not evaluation["auc_low"] > 0.5:
        return _no_better_than_chance(evaluation, known)
    scores = _scores(people["person_id"], predicted[algorithm])
    return CrossFit(scores, algorithm, evaluation, _content_id(settings, algorithm, scores["probability"].to_numpy()))


def propensity_bands(
    scores: pl.DataFrame, base_rate: float, high: float | None = None, medium: float | None = None
) -> pl.DataFrame:
    """Call probabilities high, medium or low.

    Args:
        scores: person_id, probability.
        base_rate: Share of people with the outcome, 0..1.
        high: Probability from which it is high. By default twice the base rate, but no more than half way from the base
            rate to 1.
        medium: Probability from which it is medium; by default the base rate (or `high`, if that is lower).

    Returns:
        The scores with band ("high", "medium", "low"; null where there is no probability), high_from and
        medium_from.

    Raises:
        ValueError: The thresholds are not 0 <= medium <= high <= 1.
    """
    high = min(2 * base_rate, (1 + base_rate) / 2) if high is None else high
    medium = min(base_rate, high) if medium is None else medium
    if not 0 <= medium <= high <= 1:
        raise ValueError(f"thresholds must be 0 <= medium <= high <= 1, got medium {medium} and high {high}")
    band = (
        pl.when(pl.col("probability") >= high)
        .then(pl.lit("high"))
        .when(pl.col("probability") >= medium)
        .then(pl.lit("medium"))
        .when(pl.col("probability").is_not_null())
        .then(pl.lit("low"))
    )
    return scores.with_columns(band=band, high_from=pl.lit(high), medium_from=pl.lit(medium))


def _split(rows: pl.DataFrame, settings: PropensitySettings) -> tuple[NDArray[np.bool_], NDArray[np.bool_], str]:
    """Which rows to learn from, which to test on, and that in words."""
    last: date = rows["as_of"].sort()[-1]
    is_last = (rows["as_of"] == last).to_numpy()
    held_out = person_fold(rows["person_id"], HOLD_OUT_FOLDS, settings.seed + 2) < HELD_OUT
    if is_last.all():
        return ~held_out, held_out, f"other people of the same week, {last}; not out of time"
    if settings.horizon_days is not None:
        is_closed = (rows["as_of"] <= last - timedelta(days=settings.horizon_days)).to_numpy()
        if is_closed.any():
            latest: date = rows.filter(pl.Series(is_closed))["as_of"].sort()[-1]
            return is_closed, is_last, f"the week of {last}, learned from weeks up to {latest}"
    return ~is_last & ~held_out, is_last & held_out, f"other people in the week of {last}, learned from earlier weeks"


def _classifiers(
    inputs: dict[str, Kind], settings: PropensitySettings, iterations: int | None = None
) -> dict[Algorithm, Any]:
    return {
        "logistic": LogisticClassifier(inputs, random_state=settings.seed),
        "boosting": BoostingClassifier(inputs, iterations=iterations, random_state=settings.seed),
    }


def _fitted_side_by_side(classifiers: dict[Algorithm, Any], rows: pl.DataFrame) -> dict[Algorithm, Any]:
    """Each in a thread of its own: one core does the algebra while the other grows trees."""
    outcomes = _outcomes(rows)
    with ThreadPoolExecutor(len(classifiers)) as threads:
        fitted = threads.map(lambda classifier: classifier.fit(rows, outcomes), classifiers.values())
        return dict(zip(classifiers, fitted, strict=True))


def _better(outcomes: Floats, predicted: dict[Algorithm, Floats], settings: PropensitySettings) -> Algorithm:
    losses = {name: log_loss(outcomes, values) for name, values in predicted.items()}
    return "boosting" if losses["boosting"] < losses["logistic"] * (1 - settings.boosting_margin) else "logistic"


def _evaluate(outcomes: Floats, predicted: dict[Algorithm, Floats], algorithm: Algorithm) -> dict[str, Any]:
    probabilities = predicted[algorithm]
    auc, auc_low, auc_high = area_under_curve(outcomes, probabilities)
    return {
        "auc": auc,
        "auc_low": auc_low,
        "auc_high": auc_high,
        "log_loss": log_loss(outcomes, probabilities),
        "base_rate_log_loss": log_loss(outcomes, np.full(len(outcomes), outcomes.mean())),
        "brier": brier_score(outcomes, probabilities),
        "calibration_error": calibration_error(outcomes, probabilities),
        "base_rate": float(outcomes.mean()),
        "positives": int(outcomes.sum()),
        "rows": len(outcomes),
        "log_loss_logistic": log_loss(outcomes, predicted["logistic"]),
        "log_loss_boosting": log_loss(outcomes, predicted["boosting"]),
        "reliability": reliability(outcomes, probabilities),
    }


def _training_figures(rows: pl.DataFrame) -> dict[str, Any]:
    positives = _positives(rows)
    return {
        "training_rows": rows.height,
        "training_positives": positives,
        "training_base_rate": positives / rows.height,
    }


def _hindrance(known: pl.DataFrame, inputs: dict[str, Kind], settings: PropensitySettings) -> Abstention | None:
    positives = _positives(known)
    if not inputs:
        return Abstention("no feature may be used", known.height, positives)
    fewer, what = min((positives, "with"), (known.height - positives, "without"))
    if fewer >= settings.minimum_positives:
        return None
    reason = f"{fewer} examples {what} the outcome; {settings.minimum_positives} are needed"
    return Abstention(reason, known.height, positives)


def _no_better_than_chance(evaluation: dict[str, Any], known: pl.DataFrame) -> Abstention:
    figures = f"AUC {evaluation['auc']:.2f}, 95 % interval {evaluation['auc_low']:.2f} to {evaluation['auc_high']:.2f}"
    reason = f"no better than chance for sure ({figures}), measured on {evaluation['measured_on']}"
    return Abstention(reason, known.height, _positives(known), evaluation)


def _outcomes(rows: pl.DataFrame) -> Floats:
    return rows["outcome"].cast(pl.Float64).to_numpy()


def _positives(rows: pl.DataFrame) -> int:
    return int(rows["outcome"].cast(pl.Int64).sum())


def _scores(person_ids: pl.Series, probabilities: Floats) -> pl.DataFrame:
    frame = pl.DataFrame(
        {"person_id": person_ids, "probability": probabilities.round(6)}, schema_overrides=SCORE_SCHEMA
    )
    return frame.sort("person_id")


def _content_id(settings: PropensitySettings, algorithm: str, probabilities: Floats) -> str:
    content = hashlib.sha256(repr((sorted(asdict(settings).items()), algorithm)).encode())
    content.update(probabilities.round(6).tobytes())
    return content.hexdigest()[:12]

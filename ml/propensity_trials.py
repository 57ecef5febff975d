"""The algorithms tried on later weeks than they learned from, and the choice between them.

Here belong trials, what they measure, the margin by which the simpler algorithm stays, and the calibration of the
chosen one. Which weeks are tried on is `temporal_validation.py`'s to say.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import expit

from ml.calibration import Calibration, ChosenCalibration, choose_calibration
from ml.catalogue import Kind
from ml.classifiers import ALGORITHMS, Algorithm, Classifier, candidates, log_odds, make_classifier
from ml.evaluation import log_losses
from ml.negative_sampling import prior_shift, weights_of
from ml.people_order import person_fold
from ml.propensity_model import Floats, PropensitySettings
from ml.temporal_validation import Split, trial_splits

STOPPED_EARLY = ("boosting", "network")
PARTS = 5
"""Parts of the people that calibrations are tried on where there is only one week to try on."""


@dataclass(frozen=True)
class Trial:
    """What one algorithm said of rows it did not learn from; `row` is where they stand, `part` which split it was."""

    row: NDArray[np.int64]
    said: Floats
    outcomes: Floats
    weights: Floats
    part: NDArray[np.int64]
    in_words: str
    classifiers: list[Classifier]


def run_trials(
    rows: pl.DataFrame,
    allowed: NDArray[np.bool_],
    names: Sequence[Algorithm],
    make: Callable[..., Any],
    settings: PropensitySettings,
    side_by_side: Callable[..., Any],
) -> list[Trial]:
    """Try each algorithm going forward through the weeks that are not measured on."""
    splits = [
        split
        for split in trial_splits(rows, allowed, settings.horizon_days, settings.seed)
        if has_both_outcomes(outcomes_of(rows)[split.learn], 1)
    ]
    return [run_trial(rows, splits, name, make, settings, side_by_side) for name in names]


def run_trial(
    rows: pl.DataFrame,
    splits: Sequence[Split],
    name: Algorithm,
    make: Callable[..., Any],
    settings: PropensitySettings,
    side_by_side: Callable[..., Any],
) -> Trial:
    """Each algorithm on each split: what it says of people in weeks that it has not learned from."""
    most = settings.comparison_rows

    def one(split: Split) -> tuple[NDArray[np.int64], Floats, Classifier]:
        learned = first_rows(rows, split.learn, most)
        classifier = make(name).fit(learned, outcomes_of(learned))
        said = log_odds(classifier, first_rows(rows, split.test, most)) + prior_shift(rows)
        return np.flatnonzero(split.test)[:most], said, classifier

    found = list(side_by_side(one, splits))
    row = np.concatenate([each[0] for each in found]) if found else np.empty(0, dtype=np.int64)
    said = np.concatenate([each[1] for each in found]) if found else np.empty(0)
    part = np.repeat(np.arange(len(found)), [len(each[0]) for each in found])
    if len(found) == 1:
        part = person_fold(rows["person_id"][row], PARTS, settings.seed + 3)
    words = "; ".join(split.in_words for split in splits)
    tried = rows.select("outcome", *(["sampled_at"] if "sampled_at" in rows.columns else []))[row]
    return Trial(row, said, outcomes_of(tried), weights_of(tried), part, words, [each[2] for each in found])


def joined_trials(first: Trial, second: Trial) -> Trial:
    """Two trials as one: the rows of both."""
    return Trial(
        np.concatenate([first.row, second.row]),
        np.concatenate([first.said, second.said]),
        np.concatenate([first.outcomes, second.outcomes]),
        np.concatenate([first.weights, second.weights]),
        np.concatenate([first.part, second.part]),
        first.in_words,
        [*first.classifiers, *second.classifiers],
    )


def choose_algorithm(
    trials: Sequence[Trial], names: Sequence[Algorithm], settings: PropensitySettings, standing: Algorithm | None
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


def calibration_of(trials: Sequence[Trial], algorithm: Algorithm) -> ChosenCalibration:
    """The calibration of an algorithm's raw scores, chosen on its trials."""
    trial = next(each for each in trials if not each.classifiers or _is_of(each, algorithm)) if trials else None
    if trial is None or not len(trial.row):
        return ChosenCalibration(Calibration(), "none: there was nothing to learn it from", None, None)
    return choose_calibration(
        trial.said, trial.outcomes, trial.weights, trial.part, trial.in_words, may_stretch=algorithm != "logistic"
    )


def _is_of(trial: Trial, algorithm: Algorithm) -> bool:
    return isinstance(trial.classifiers[0], ALGORITHMS[algorithm])


def fit_to_measure(classifier: Any, learned_from: pl.DataFrame, settings: PropensitySettings) -> Any:
    """A classifier fitted on the rows that the last week is measured without, at most as many as the settings say."""
    learned = learned_from.head(settings.measuring_rows)
    return classifier.fit(learned, outcomes_of(learned))


def fit_again(measured: Any, algorithm: Algorithm, make: Callable[..., Any]) -> Any:
    """The same algorithm, for as long as it learned when people were held out to stop it."""
    return make(algorithm, measured.iterations_ or None) if algorithm in STOPPED_EARLY else make(algorithm)


def classifier_maker(
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


def has_both_outcomes(outcomes: Floats, fewest: int) -> bool:
    """Whether there are at least so many of either outcome."""
    return min(outcomes.sum(), len(outcomes) - outcomes.sum()) >= fewest


def with_outcome(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows whose outcome is known; where all are, the very same."""
    return rows.filter(pl.col("outcome").is_not_null()) if rows["outcome"].null_count() else rows


def first_rows(rows: pl.DataFrame, wanted: NDArray[np.bool_], most: int) -> pl.DataFrame:
    """The first of the wanted rows; no others are copied."""
    return rows.filter(pl.Series(wanted & (np.cumsum(wanted) <= most)))


def outcomes_of(rows: pl.DataFrame) -> Floats:
    """The outcome of each row, 0 or 1."""
    return rows["outcome"].cast(pl.Float64).to_numpy()

"""What is learned of one target: its settings, the model that scores people, or why there is none.

Here belongs what is stored, scored with and told of. How it is learned stands in `propensity.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import expit

from ml.calibration import Calibration
from ml.catalogue import Kind, require_one_week
from ml.classifiers import Algorithm, Classifier, log_odds
from ml.leakage import Suspect
from ml.propensity_reasons import contributions

Floats = NDArray[np.float64]
SCORE_SCHEMA = {"person_id": pl.UInt64, "probability": pl.Float64, "raw_probability": pl.Float64}


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


def _scores(person_ids: pl.Series, said: Floats, calibration: Calibration) -> pl.DataFrame:
    return score_frame(person_ids, calibration.probabilities(said), expit(said))


def score_frame(person_ids: pl.Series, probabilities: Floats, raw: Floats) -> pl.DataFrame:
    """People and their scores in the order of `person_id`, to six digits."""
    columns = {"person_id": person_ids, "probability": probabilities.round(6), "raw_probability": raw.round(6)}
    return pl.DataFrame(columns, schema_overrides=SCORE_SCHEMA).sort("person_id")

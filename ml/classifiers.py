"""Two ways to learn a probability from a feature frame: logistic regression and boosted trees.

Here belong the classifiers over frames, nulls and categories included. Which one is used, and whether either is
good enough, is decided in `propensity`.
"""

from collections.abc import Mapping
from typing import Protocol, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from ml.catalogue import Kind
from ml.encoding import finite_floats
from ml.people_order import person_fold
from ml.preparation import CHUNK_ROWS, Preparation

Floats = NDArray[np.float64]

MOST_LEVELS = 100
"""Levels of a category that trees tell apart; rarer ones share a code."""
STOPPING_FOLDS = 7
"""One person in so many decides when boosting stops."""


class Classifier(Protocol):
    """Learns from a frame and 0/1 outcomes; returns one probability per row."""

    def fit(self, features: pl.DataFrame, outcomes: Floats) -> Self:
        """Learn."""
        ...

    def probabilities(self, features: pl.DataFrame) -> Floats:
        """Predict, 0..1 per row."""
        ...


class LogisticClassifier(BaseEstimator):
    """L2 logistic regression on prepared columns.

    Args:
        inputs: Kind by feature.
        strength: Inverse of the penalty, `C` in scikit-learn.
        random_state: Seed.

    Attributes:
        preparation_: The fitted preparation.
        model_: The fitted regression, or None where no column varies.
        base_rate_: Share of positives, which is predicted then.
    """

    def __init__(self, inputs: Mapping[str, Kind], strength: float = 0.1, random_state: int = 7) -> None:
        """Store the settings."""
        self.inputs = inputs
        self.strength = strength
        self.random_state = random_state

    def fit(self, features: pl.DataFrame, outcomes: Floats) -> Self:
        """Learn the scales and the coefficients."""
        self.preparation_ = Preparation(decorrelate=False, random_state=self.random_state).fit(features, self.inputs)
        self.base_rate_ = float(outcomes.mean())
        self.model_ = None
        if self.preparation_.n_columns_:
            matrix = self.preparation_.transform(features)
            with _one_thread():
                self.model_ = LogisticRegression(C=self.strength, max_iter=200, tol=1e-3).fit(matrix, outcomes)
        return self

    def probabilities(self, features: pl.DataFrame) -> Floats:
        """Predict, 0..1 per row."""
        predicted = np.full(features.height, self.base_rate_)
        if self.model_ is not None:
            for start, part in self.preparation_.transform_chunks(features):
                predicted[start : start + len(part)] = self.model_.predict_proba(part)[:, 1]
        return predicted


class BoostingClassifier(BaseEstimator):
    """Histogram gradient boosting with small trees; missing values and categories as they are.

    Boosting stops early by the log loss among people held out by hash, so that a person with rows in several
    weeks is never on both sides.

    Args:
        inputs: Kind by feature.
        iterations: Number of trees, or None to stop early at most at 300.
        random_state: Seed.

    Attributes:
        used_: The inputs that vary among the rows the trees learn from; others tell nothing.
        levels_: Known levels per category, most frequent first.
        iterations_: Number of trees.
        model_: The fitted model, or None where no input varies.
        base_rate_: Share of positives, which is predicted then.
    """

    def __init__(self, inputs: Mapping[str, Kind], iterations: int | None = None, random_state: int = 7) -> None:
        """Store the settings."""
        self.inputs = inputs
        self.iterations = iterations
        self.random_state = random_state

    def fit(self, features: pl.DataFrame, outcomes: Floats) -> Self:
        """Learn the levels and the trees."""
        held_out = person_fold(features["person_id"], STOPPING_FOLDS, self.random_state + 1) == 0
        has_two_sides = _has_both(outcomes[held_out]) and _has_both(outcomes[~held_out])
        learns_from = features.filter(pl.Series(~held_out)) if self.iterations is None and has_two_sides else features
        self.used_ = {name: kind for name, kind in self.inputs.items() if learns_from[name].drop_nulls().n_unique() > 1}
        self.levels_ = {
            name: _frequent_levels(features[name]) for name, kind in self.used_.items() if kind == "category"
        }
        self.base_rate_, self.model_, self.iterations_ = float(outcomes.mean()), None, 0
        if not self.used_:
            return self
        matrix = self._matrix(features)
        model = HistGradientBoostingClassifier(
            learning_rate=0.06,
            max_iter=self.iterations or 300,
            max_leaf_nodes=15,
            min_samples_leaf=40,
            l2_regularization=1.0,
            categorical_features=[kind == "category" for kind in self.used_.values()],
            early_stopping=self.iterations is None,
            n_iter_no_change=10,
            random_state=self.random_state,
        )
        if self.iterations is None and has_two_sides:
            model.fit(matrix[~held_out], outcomes[~held_out], X_val=matrix[held_out], y_val=outcomes[held_out])
        elif self.iterations is None:
            model.set_params(early_stopping=False, max_iter=100).fit(matrix, outcomes)
        else:
            model.fit(matrix, outcomes)
        self.model_ = model
        self.iterations_ = int(model.n_iter_)
        return self

    def probabilities(self, features: pl.DataFrame) -> Floats:
        """Predict, 0..1 per row."""
        if self.model_ is None:
            return np.full(features.height, self.base_rate_)
        predicted = np.empty(features.height)
        for start in range(0, features.height, CHUNK_ROWS):
            rows = slice(start, start + CHUNK_ROWS)
            predicted[rows] = self.model_.predict_proba(self._matrix(features[rows]))[:, 1]
        return predicted

    def _matrix(self, features: pl.DataFrame) -> NDArray[np.float32]:
        matrix = np.empty((features.height, len(self.used_)), dtype=np.float32, order="F")
        for position, (name, kind) in enumerate(self.used_.items()):
            column = features[name]
            matrix[:, position] = self._codes(column) if kind == "category" else finite_floats(column)
        return matrix

    def _codes(self, column: pl.Series) -> Floats:
        levels = self.levels_[column.name]
        text = column.cast(pl.String)
        codes = text.replace_strict(levels, list(range(len(levels))), default=len(levels), return_dtype=pl.Float64)
        return np.where(text.is_null().to_numpy(), np.nan, codes.to_numpy())


def _frequent_levels(column: pl.Series) -> list[str]:
    counts = column.cast(pl.String).drop_nulls().rename("level").to_frame().group_by("level").len()
    return counts.sort(["len", "level"], descending=[True, False])["level"].head(MOST_LEVELS).to_list()


def _one_thread() -> threadpool_limits:
    """Sums of the linear algebra depend on the number of threads in their last bits; trees do not."""
    return threadpool_limits(limits=1)


def _has_both(outcomes: Floats) -> bool:
    return 0 < outcomes.sum() < len(outcomes)

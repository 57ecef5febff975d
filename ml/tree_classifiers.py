"""Trees on the features as they are: histogram gradient boosting and random forests.

Here belong the matrix of numbers and level codes they read, their fitting, and their log-odds.
"""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import logit
from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

from ml.catalogue import Kind
from ml.encoding import finite_floats
from ml.library_threads import one_core_for_few
from ml.people_order import person_fold
from ml.saved_state import FittedState
from ml.tree_arrays import AveragedTrees, BoostedTrees

Floats = NDArray[np.float64]

MOST_LEVELS = 100
"""Levels of a category that trees tell apart; rarer ones share a code."""
STOPPING_FOLDS = 7
"""One person in so many decides when boosting stops."""
FOREST_TREES = 60
FOREST_ROWS = 15_000
"""Rows that one tree of a forest is grown on. Trees are averaged, so that more of them does what larger ones would."""


class TreeClassifier(BaseEstimator):
    """What boosting and forests share: numbers as they are, missing as missing, categories as codes of their levels.

    Attributes:
        used_: Kind by input that varies among the rows the trees learn from, categories first; others tell nothing.
        levels_: Known levels per category, most frequent first.
        trees_: The fitted trees, or None where no input varies.
        base_rate_: Share of positives, which is predicted then.
        column_features_: The names of `used_`.
        iterations_: Number of trees.
    """

    used_: dict[str, Kind]
    levels_: dict[str, list[str]]
    trees_: Any
    base_rate_: float
    iterations_: int
    inputs: Mapping[str, Kind]
    _arranged: type[Any]

    @property
    def column_features_(self) -> list[str]:
        """Feature by column."""
        return list(self.used_)

    def encode(self, features: pl.DataFrame) -> NDArray[np.float32]:
        """Lay the features side by side."""
        matrix = np.empty((features.height, len(self.used_)), dtype=np.float32, order="F")
        for position, (name, kind) in enumerate(self.used_.items()):
            column = features[name]
            matrix[:, position] = self._codes(column) if kind == "category" else finite_floats(column)
        return matrix

    def encoded_log_odds(self, matrix: NDArray[np.float32]) -> Floats:
        """Predict from encoded rows."""
        if self.trees_ is None:
            return np.full(len(matrix), float(logit(self.base_rate_)))
        return self._trees_log_odds(matrix)

    def to_state(self) -> FittedState:
        """Give the fitted state as plain data and the trees."""
        values = {
            "settings": self.get_params(deep=False) | {"inputs": dict(self.inputs)},
            "used": self.used_,
            "levels": self.levels_,
            "base_rate": self.base_rate_,
            "iterations": self.iterations_,
        }
        return FittedState(values, self.trees_.to_arrays() if self.trees_ is not None else {})

    @classmethod
    def from_state(cls, state: FittedState) -> Self:
        """Make the classifier that `to_state` described."""
        classifier = cls(**state.values["settings"])
        classifier.used_, classifier.levels_ = state.values["used"], state.values["levels"]
        classifier.base_rate_, classifier.iterations_ = state.values["base_rate"], state.values["iterations"]
        classifier.trees_ = cls._arranged.from_arrays(state.arrays) if state.arrays else None
        return classifier

    def _trees_log_odds(self, matrix: NDArray[np.float32]) -> Floats:
        raise NotImplementedError

    def _learn_columns(self, features: pl.DataFrame, outcomes: Floats) -> None:
        varying = {name: kind for name, kind in self.inputs.items() if _varies(features[name], kind)}
        self.used_ = dict(sorted(varying.items(), key=lambda item: item[1] != "category"))  # as boosting orders them
        self.levels_ = {
            name: _frequent_levels(features[name]) for name, kind in self.used_.items() if kind == "category"
        }
        self.base_rate_, self.trees_, self.iterations_ = float(outcomes.mean()), None, 0

    def _codes(self, column: pl.Series) -> Floats:
        levels = self.levels_[column.name]
        text = column.cast(pl.String)
        codes = text.replace_strict(levels, list(range(len(levels))), default=len(levels), return_dtype=pl.Float64)
        return np.where(text.is_null().to_numpy(), np.nan, codes.to_numpy())


class BoostingClassifier(TreeClassifier):
    """Histogram gradient boosting with small trees; missing values and categories as they are.

    Boosting stops early by the log loss among people held out by hash, so that a person with rows in several
    weeks is never on both sides.

    Args:
        inputs: Kind by feature.
        iterations: Number of trees, or None to stop early at most at 300.
        monotonic: +1 or -1 by feature, where the probability may only rise, or only fall, with it.
        random_state: Seed.
    """

    _arranged = BoostedTrees

    def __init__(
        self,
        inputs: Mapping[str, Kind],
        iterations: int | None = None,
        monotonic: Mapping[str, int] | None = None,
        random_state: int = 7,
    ) -> None:
        """Store the settings."""
        self.inputs = inputs
        self.iterations = iterations
        self.monotonic = monotonic
        self.random_state = random_state

    def fit(self, features: pl.DataFrame, outcomes: Floats) -> Self:
        """Learn the levels and the trees."""
        held_out = person_fold(features["person_id"], STOPPING_FOLDS, self.random_state + 1) == 0
        has_two_sides = _has_both(outcomes[held_out]) and _has_both(outcomes[~held_out])
        stops_early = self.iterations is None and has_two_sides
        self._learn_columns(features.filter(pl.Series(~held_out)) if stops_early else features, outcomes)
        if not self.used_:
            return self
        matrix = self.encode(features)
        signs = self.monotonic or {}
        model = HistGradientBoostingClassifier(
            learning_rate=0.06,
            max_iter=self.iterations or 300,
            max_leaf_nodes=15,
            min_samples_leaf=40,
            l2_regularization=1.0,
            categorical_features=[kind == "category" for kind in self.used_.values()],
            monotonic_cst=[signs.get(name, 0) for name in self.used_] if signs else None,
            early_stopping=self.iterations is None,
            n_iter_no_change=10,
            random_state=self.random_state,
        )
        with one_core_for_few(len(matrix)):
            if stops_early:
                model.fit(matrix[~held_out], outcomes[~held_out], X_val=matrix[held_out], y_val=outcomes[held_out])
            elif self.iterations is None:
                model.set_params(early_stopping=False, max_iter=100).fit(matrix, outcomes)
            else:
                model.fit(matrix, outcomes)
        self.trees_ = BoostedTrees.of(model)
        self.iterations_ = int(model.n_iter_)
        return self

    def _trees_log_odds(self, matrix: NDArray[np.float32]) -> Floats:
        return self.trees_.log_odds(matrix)  # type: ignore[no-any-return]


class ForestClassifier(TreeClassifier):
    """A random forest (Breiman 2001); missing values as they are, levels in the order of how frequent they are.

    Leaves of 20 rows or more, so that the mean of their shares is a probability rather than a vote.

    Args:
        inputs: Kind by feature.
        random_state: Seed.
    """

    _arranged = AveragedTrees

    def __init__(self, inputs: Mapping[str, Kind], random_state: int = 7) -> None:
        """Store the settings."""
        self.inputs = inputs
        self.random_state = random_state

    def fit(self, features: pl.DataFrame, outcomes: Floats) -> Self:
        """Learn the levels and the trees."""
        self._learn_columns(features, outcomes)
        if self.used_:
            model = RandomForestClassifier(
                FOREST_TREES,
                min_samples_leaf=20,
                max_samples=min(features.height, FOREST_ROWS),
                n_jobs=2,
                random_state=self.random_state,
            ).fit(self.encode(features), outcomes)
            self.trees_ = AveragedTrees.of(model)
            self.iterations_ = FOREST_TREES
        return self

    def _trees_log_odds(self, matrix: NDArray[np.float32]) -> Floats:
        """A share of nothing or of all is drawn in to what a single leaf of all trees could change."""
        smallest = 1 / (20 * FOREST_TREES)
        return logit(np.clip(self.trees_.shares(matrix), smallest, 1 - smallest))


def _varies(column: pl.Series, kind: Kind) -> bool:
    """Whether a column has two values at least; of numbers the ends tell it, which counting values took seconds for."""
    if kind == "category":
        return column.drop_nulls().n_unique() > 1
    values = column.cast(pl.Float64).fill_nan(None)
    return values.min() != values.max()


def _frequent_levels(column: pl.Series) -> list[str]:
    counts = column.cast(pl.String).drop_nulls().rename("level").to_frame().group_by("level").len()
    return counts.sort(["len", "level"], descending=[True, False])["level"].head(MOST_LEVELS).to_list()


def _has_both(outcomes: Floats) -> bool:
    return 0 < outcomes.sum() < len(outcomes)

"""Logistic regression on prepared columns.

Here belong its fitting, with or without constraints, and its log-odds. What its columns mean stands in `preparation`.
"""

from collections.abc import Mapping
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression

from ml.catalogue import Kind
from ml.encoding import FlagEncoding, NumberEncoding
from ml.library_threads import one_thread
from ml.people_order import person_fold
from ml.preparation import Preparation
from ml.saved_state import FittedState

Floats = NDArray[np.float64]

STRENGTHS = (0.001, 0.01, 0.1, 1.0)
"""Variances that coefficients are expected to have, from a firm belief that little matters to hardly any."""
STRENGTH_ROWS = 20_000
"""Rows the strength is chosen on: it is a belief about coefficients, and does not depend on how many rows follow."""
STRENGTH_FOLDS = 7
PREPARED_ROWS = 20_000
"""Rows that scales are learned from: coefficients make up for a scale that is a little off, and half of the time of a
fit went into scales learned from 50,000."""

WIDENED_ROWS = 1_024


class LogisticClassifier(BaseEstimator):
    """L2 logistic regression on prepared columns; a missing value is the mean, with a column of its own.

    A constraint bounds the coefficients of the feature's number or flag, and of its "any at all": both rise with it.

    Args:
        inputs: Kind by feature.
        strength: Inverse of the penalty, `C` in scikit-learn; by default the one of four with the lowest log loss among
            people held out by hash.
        monotonic: +1 or -1 by feature, where the probability may only rise, or only fall, with it.
        random_state: Seed.

    Attributes:
        preparation_: The fitted preparation.
        column_features_: Feature by prepared column.
        strength_: The strength it was fitted with.
        coefficients_: One per prepared column.
        intercept_: Log-odds of a row of zeros, which is about the average person.
    """

    def __init__(
        self,
        inputs: Mapping[str, Kind],
        strength: float | None = None,
        monotonic: Mapping[str, int] | None = None,
        random_state: int = 7,
    ) -> None:
        """Store the settings."""
        self.inputs = inputs
        self.strength = strength
        self.monotonic = monotonic
        self.random_state = random_state

    def fit(self, features: pl.DataFrame, outcomes: Floats) -> Self:
        """Learn the scales and the coefficients."""
        self.preparation_ = prepare(features, self.inputs, self.random_state)
        self.column_features_ = column_features(self.preparation_)
        self.coefficients_ = np.zeros(self.preparation_.n_columns_)
        self.intercept_ = float(logit(outcomes.mean()))
        self.strength_ = self.strength or STRENGTHS[1]
        if not self.preparation_.n_columns_:
            return self
        matrix = self.preparation_.transform(features)
        with one_thread():
            if self.strength is None:
                self.strength_ = self._best_strength(matrix, outcomes, features["person_id"])
            model = _regression(self.strength_, matrix, outcomes)
            self.coefficients_ = model.coef_[0].astype(np.float64)
            self.intercept_ = float(model.intercept_[0])
            signs = self._signs()
            if (self.coefficients_ * signs < 0).any():
                self._fit_bounded(matrix, outcomes, signs)
        return self

    def encode(self, features: pl.DataFrame) -> NDArray[np.float32]:
        """Prepare rows."""
        return self.preparation_.transform(features)

    def encoded_log_odds(self, matrix: NDArray[np.float32]) -> Floats:
        """Predict from prepared rows, some at a time: as many as stay near the processor with twice the digits."""
        said = np.empty(len(matrix))
        for start in range(0, len(matrix), WIDENED_ROWS):
            rows = slice(start, start + WIDENED_ROWS)
            said[rows] = matrix[rows].astype(np.float64) @ self.coefficients_
        return said + self.intercept_

    def to_state(self) -> FittedState:
        """Give the fitted state as plain data."""
        values = {
            "settings": self.get_params(deep=False) | {"inputs": dict(self.inputs)},
            "preparation": self.preparation_.to_dict(),
            "intercept": self.intercept_,
            "strength": self.strength_,
        }
        return FittedState(values, {"coefficients": self.coefficients_})

    @classmethod
    def from_state(cls, state: FittedState) -> Self:
        """Make the classifier that `to_state` described."""
        classifier = cls(**state.values["settings"])
        classifier.preparation_ = Preparation.from_dict(state.values["preparation"])
        classifier.column_features_ = column_features(classifier.preparation_)
        classifier.coefficients_ = state.arrays["coefficients"]
        classifier.intercept_ = state.values["intercept"]
        classifier.strength_ = state.values["strength"]
        return classifier

    def _best_strength(self, matrix: NDArray[np.float32], outcomes: Floats, person_ids: pl.Series) -> float:
        matrix, outcomes = matrix[:STRENGTH_ROWS], outcomes[:STRENGTH_ROWS]
        held_out = person_fold(person_ids.head(STRENGTH_ROWS), STRENGTH_FOLDS, self.random_state + 1) == 0
        if min(outcomes[held_out].std(), outcomes[~held_out].std()) == 0 or not held_out.any():
            return self.strength_
        losses = []
        for strength in STRENGTHS:
            model = _regression(strength, matrix[~held_out], outcomes[~held_out])
            linear = matrix[held_out] @ model.coef_[0] + model.intercept_[0]
            losses.append(float((np.logaddexp(0, linear) - outcomes[held_out] * linear).mean()))
        return STRENGTHS[int(np.argmin(losses))]

    def _signs(self) -> NDArray[np.int64]:
        """+1, -1 or 0 by prepared column; what is missing, and the levels of a category, are free."""
        declared = self.monotonic or {}
        signs = [
            declared.get(encoding.feature, 0) * (not name.endswith(":missing"))
            if isinstance(encoding, NumberEncoding | FlagEncoding)
            else 0
            for encoding in self.preparation_.encodings_
            for name in encoding.names
        ]
        return np.array(signs, dtype=np.int64)[self.preparation_.kept_]

    def _fit_bounded(self, matrix: NDArray[np.float32], outcomes: Floats, signs: NDArray[np.int64]) -> None:
        """The same penalized likelihood with coefficients on their side of zero (Byrd et al. 1995, L-BFGS-B)."""

        def loss_and_gradient(point: Floats) -> tuple[float, Floats]:
            linear = matrix @ point[:-1].astype(np.float32) + point[-1]
            residual = expit(linear) - outcomes
            loss = np.logaddexp(0, linear).sum() - outcomes @ linear + point[:-1] @ point[:-1] / 2 / self.strength_
            gradient = np.append(residual.astype(np.float32) @ matrix + point[:-1] / self.strength_, residual.sum())
            return loss / len(outcomes), gradient / len(outcomes)

        lower = [0.0 if sign > 0 else -np.inf for sign in signs]
        upper = [0.0 if sign < 0 else np.inf for sign in signs]
        start = np.append(np.clip(self.coefficients_, lower, upper), self.intercept_)
        bounds = list(zip([*lower, -np.inf], [*upper, np.inf], strict=True))
        found = minimize(loss_and_gradient, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 200})
        self.coefficients_, self.intercept_ = found.x[:-1], float(found.x[-1])


def _regression(strength: float, matrix: NDArray[np.float32], outcomes: Floats) -> LogisticRegression:
    return LogisticRegression(C=strength, max_iter=200, tol=1e-3).fit(matrix, outcomes)


def prepare(features: pl.DataFrame, inputs: Mapping[str, Kind], random_state: int) -> Preparation:
    """Learn the scales of the columns that the regression and the network read."""
    preparation = Preparation(decorrelate=False, sample_size=PREPARED_ROWS, random_state=random_state)
    return preparation.fit(features, inputs)


def column_features(preparation: Preparation) -> list[str]:
    """Feature by prepared column."""
    names = [encoding.feature for encoding in preparation.encodings_ for _ in encoding.names]
    return [names[position] for position in preparation.kept_]

"""A small neural network on prepared columns.

Here belong its training and its log-odds.
"""

from collections.abc import Mapping
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import expit, logit
from sklearn.base import BaseEstimator
from sklearn.neural_network import MLPClassifier

from ml.catalogue import Kind
from ml.library_threads import one_thread
from ml.linear_classifier import column_features, prepare
from ml.people_order import person_fold
from ml.preparation import Preparation
from ml.saved_state import FittedState

Floats = NDArray[np.float64]

HIDDEN = 32
MOST_PASSES = 30
PATIENCE = 3
"""Passes over the rows without a better log loss among the people held out, after which training stops."""
STOPPING_FOLDS = 7
BATCH = 256


class NetworkClassifier(BaseEstimator):
    """One hidden layer of 32 rectified units, trained by Adam (Kingma and Ba 2015) and stopped early.

    As with boosting, people held out by hash say when to stop.

    Args:
        inputs: Kind by feature.
        iterations: Passes over the rows, or None to stop early.
        penalty: Of the squared weights.
        random_state: Seed.

    Attributes:
        preparation_: The fitted preparation.
        column_features_: Feature by prepared column.
        weights_: Of the hidden layer and of the output.
        biases_: Of the hidden layer and of the output.
        iterations_: Passes over the rows.
    """

    def __init__(
        self,
        inputs: Mapping[str, Kind],
        iterations: int | None = None,
        penalty: float = 1e-3,
        random_state: int = 7,
    ) -> None:
        """Store the settings."""
        self.inputs = inputs
        self.iterations = iterations
        self.penalty = penalty
        self.random_state = random_state

    def fit(self, features: pl.DataFrame, outcomes: Floats) -> Self:
        """Learn the scales and the weights."""
        self.preparation_ = prepare(features, self.inputs, self.random_state)
        self.column_features_ = column_features(self.preparation_)
        columns = self.preparation_.n_columns_
        self.weights_ = [np.zeros((columns, HIDDEN)), np.zeros((HIDDEN, 1))]
        self.biases_ = [np.zeros(HIDDEN), np.array([float(logit(outcomes.mean()))])]
        self.iterations_ = 0
        if not columns:
            return self
        matrix = self.preparation_.transform(features)
        held_out = person_fold(features["person_id"], STOPPING_FOLDS, self.random_state + 1) == 0
        if self.iterations is not None or outcomes[held_out].std() == 0 or outcomes[~held_out].std() == 0:
            held_out[:] = False
        network = MLPClassifier(
            (HIDDEN,), alpha=self.penalty, batch_size=BATCH, learning_rate_init=2e-3, random_state=self.random_state
        )
        learned, told = matrix[~held_out], outcomes[~held_out]
        best, waited = np.inf, 0
        with one_thread():
            for number in range(1, (self.iterations or MOST_PASSES) + 1):
                network.partial_fit(learned, told, classes=[0.0, 1.0])
                loss = self._held_out_loss(network, matrix[held_out], outcomes[held_out])
                if not held_out.any() or loss < best:
                    best, waited, self.iterations_ = loss, 0, number
                    self.weights_ = [weights.astype(np.float64) for weights in network.coefs_]
                    self.biases_ = [biases.astype(np.float64) for biases in network.intercepts_]
                else:
                    waited += 1
                    if waited == PATIENCE:
                        break
        return self

    def encode(self, features: pl.DataFrame) -> NDArray[np.float32]:
        """Prepare rows."""
        return self.preparation_.transform(features)

    def encoded_log_odds(self, matrix: NDArray[np.float32]) -> Floats:
        """Predict from prepared rows."""
        hidden = np.maximum(matrix.astype(np.float64) @ self.weights_[0] + self.biases_[0], 0)
        return (hidden @ self.weights_[1] + self.biases_[1])[:, 0]

    def to_state(self) -> FittedState:
        """Give the fitted state as plain data."""
        values = {
            "settings": self.get_params(deep=False) | {"inputs": dict(self.inputs)},
            "preparation": self.preparation_.to_dict(),
            "iterations": self.iterations_,
        }
        arrays = {
            **{f"weights{layer}": weights for layer, weights in enumerate(self.weights_)},
            **{f"biases{layer}": biases for layer, biases in enumerate(self.biases_)},
        }
        return FittedState(values, arrays)

    @classmethod
    def from_state(cls, state: FittedState) -> Self:
        """Make the classifier that `to_state` described."""
        classifier = cls(**state.values["settings"])
        classifier.preparation_ = Preparation.from_dict(state.values["preparation"])
        classifier.column_features_ = column_features(classifier.preparation_)
        classifier.weights_ = [state.arrays["weights0"], state.arrays["weights1"]]
        classifier.biases_ = [state.arrays["biases0"], state.arrays["biases1"]]
        classifier.iterations_ = state.values["iterations"]
        return classifier

    @staticmethod
    def _held_out_loss(network: MLPClassifier, matrix: NDArray[np.float32], outcomes: Floats) -> float:
        if not len(matrix):
            return np.inf
        hidden = np.maximum(matrix @ network.coefs_[0] + network.intercepts_[0], 0)
        linear = (hidden @ network.coefs_[1] + network.intercepts_[1])[:, 0].astype(np.float64)
        likely = np.clip(expit(linear), 1e-7, 1 - 1e-7)
        return float(-np.mean(outcomes * np.log(likely) + (1 - outcomes) * np.log1p(-likely)))

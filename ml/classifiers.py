"""Ways to learn a probability from a feature frame, behind one interface, from the simplest to the most flexible.

Here belong the interface and the list of algorithms. The algorithms stand in `linear_classifier`,
`tree_classifiers` and `network_classifier`; which one is used, and whether any is good enough, in `propensity`.
"""

from collections.abc import Mapping
from typing import Any, Literal, Protocol, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ml.catalogue import Kind
from ml.library_threads import one_thread
from ml.linear_classifier import LogisticClassifier
from ml.made_ahead import made_ahead
from ml.network_classifier import NetworkClassifier
from ml.preparation import CHUNK_ROWS
from ml.saved_state import FittedState
from ml.tree_classifiers import BoostingClassifier, ForestClassifier

Floats = NDArray[np.float64]
Algorithm = Literal["logistic", "boosting", "forest", "network"]

ALGORITHMS: dict[Algorithm, type[Any]] = {
    "logistic": LogisticClassifier,
    "boosting": BoostingClassifier,
    "forest": ForestClassifier,
    "network": NetworkClassifier,
}
"""From the simplest to explain, and the cheapest to fit again each week, to the least."""
KEEP_CONSTRAINTS: tuple[Algorithm, ...] = ("logistic", "boosting")
"""Those that can promise that a probability only rises, or only falls, with a feature."""


class Classifier(Protocol):
    """Learns from a frame and 0/1 outcomes; says how likely the outcome is, as log-odds per row.

    Rows are encoded to a matrix first, so that what a feature contributes can be found by exchanging its columns.

    Attributes:
        column_features_: Feature by column of the matrix; columns of one feature are neighbours.
    """

    column_features_: list[str]

    def fit(self, features: pl.DataFrame, outcomes: Floats) -> Self:
        """Learn."""
        ...

    def encode(self, features: pl.DataFrame) -> NDArray[np.float32]:
        """Encode rows to (rows, columns)."""
        ...

    def encoded_log_odds(self, matrix: NDArray[np.float32]) -> Floats:
        """Predict, for rows that are encoded."""
        ...

    def to_state(self) -> FittedState:
        """Give the fitted state as plain data."""
        ...

    @classmethod
    def from_state(cls, state: FittedState) -> Self:
        """Make the classifier that `to_state` described."""
        ...


def candidates(monotonic: Mapping[str, int]) -> list[Algorithm]:
    """The algorithms to choose from: all, or those that keep declared constraints."""
    return [name for name in ALGORITHMS if not monotonic or name in KEEP_CONSTRAINTS]


def make_classifier(
    algorithm: Algorithm,
    inputs: Mapping[str, Kind],
    monotonic: Mapping[str, int],
    random_state: int,
    iterations: int | None = None,
) -> Any:
    """Make a classifier that is not fitted yet.

    Args:
        algorithm: Which one.
        inputs: Kind by feature.
        monotonic: +1 or -1 by feature; see `candidates`.
        random_state: Seed.
        iterations: Trees of boosting, passes of the network, if their number is known; by default they stop early.

    Returns:
        A `Classifier`.
    """
    settings: dict[str, Any] = {"inputs": dict(inputs), "random_state": random_state}
    if algorithm in KEEP_CONSTRAINTS:
        settings["monotonic"] = {name: sign for name, sign in monotonic.items() if name in inputs}
    if algorithm in ("boosting", "network"):
        settings["iterations"] = iterations
    return ALGORITHMS[algorithm](**settings)


def log_odds(classifier: Classifier, features: pl.DataFrame) -> Floats:
    """Predict, a part of the rows at a time, so that memory does not grow with them.

    Args:
        classifier: A fitted one.
        features: The features it was fitted on.

    Returns:
        One per row.
    """

    def part(start: int) -> Floats:
        return classifier.encoded_log_odds(classifier.encode(features[start : start + CHUNK_ROWS]))

    with one_thread():
        return np.concatenate([np.empty(0), *made_ahead(part, range(0, features.height, CHUNK_ROWS))])

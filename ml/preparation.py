"""Makes a matrix of a feature frame: everything measured on a common scale, learned once and then frozen.

Here belongs what concerns all columns together. How a single column is encoded stands in `encoding`.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from ml.catalogue import Kind
from ml.decorrelation import Decorrelation
from ml.encoding import SAME_FROM, encoding_from_dict, encoding_to_dict, learn_encoding
from ml.people_order import hash_sample

CHUNK_ROWS = 65_536
"""Rows that are worked on at once; what is in memory does not grow with the number of people."""


class Preparation(BaseEstimator):
    """Encodes the columns, drops near copies, and decorrelates what is left.

    Args:
        decorrelate: Whether principal components come out, or the encoded columns themselves.
        balance: As in `Decorrelation`.
        sample_size: People that are looked at to learn the scales.
        random_state: Seed of the sample and of the parallel analysis.

    Attributes:
        encodings_: One per feature that varies, in the order of the inputs.
        kept_: Positions of the encoded columns that are no near copies of an earlier one.
        decorrelation_: The fitted `Decorrelation`, or None.

    Examples:
        >>> people = pl.DataFrame({"person_id": ["a", "b", "c", "d"], "orders": [0, 1, 2, 9]})
        >>> Preparation(decorrelate=False).fit(people, {"orders": "number"}).transform(people).shape
        (4, 2)
    """

    def __init__(
        self, decorrelate: bool = True, balance: float = 0.5, sample_size: int = 50_000, random_state: int = 7
    ) -> None:
        """Store the settings."""
        self.decorrelate = decorrelate
        self.balance = balance
        self.sample_size = sample_size
        self.random_state = random_state

    def fit(self, features: pl.DataFrame, inputs: Mapping[str, Kind]) -> Self:
        """Learn the scales.

        Args:
            features: person_id, as_of (optional) and the input columns.
            inputs: Kind by column, in the order the columns shall have.

        Returns:
            Itself. `n_columns_` is 0 if no column varies.
        """
        sample = hash_sample(features, self.sample_size, self.random_state)
        learned = (learn_encoding(sample[name], kind) for name, kind in inputs.items())
        self.encodings_ = [encoding for encoding in learned if encoding is not None]
        self.kept_ = np.empty(0, dtype=np.int64)
        self.decorrelation_ = None
        if self.encodings_:
            encoded = self._encode(sample)
            self.kept_ = _first_of_its_kind(encoded)
            if self.decorrelate:
                widths = [len(encoding.names) for encoding in self.encodings_]
                blocks = np.repeat(np.arange(len(widths)), widths)[self.kept_].tolist()
                estimator = Decorrelation(balance=self.balance, blocks=blocks, random_state=self.random_state)
                self.decorrelation_ = estimator.fit(encoded[:, self.kept_])
        return self

    @property
    def n_columns_(self) -> int:
        """Columns of the matrix that `transform` returns."""
        return len(self.decorrelation_.components_) if self.decorrelation_ is not None else len(self.kept_)

    @property
    def features_(self) -> list[str]:
        """The features that vary, and that `transform` needs."""
        check_is_fitted(self, "encodings_")
        return [encoding.feature for encoding in self.encodings_]

    @property
    def encoded_names_(self) -> list[str]:
        """Names of the encoded columns that were kept."""
        names = [name for encoding in self.encodings_ for name in encoding.names]
        return [names[position] for position in self.kept_]

    def transform(self, features: pl.DataFrame) -> NDArray[np.float32]:
        """Make the matrix, a chunk at a time.

        Args:
            features: The columns named in `features_`; other columns are ignored.

        Returns:
            (rows, n_columns_), in the order of the rows.

        Raises:
            ValueError: A column is missing.
        """
        matrix = np.empty((features.height, self.n_columns_), dtype=np.float32)
        for start, part in self.transform_chunks(features):
            matrix[start : start + len(part)] = part
        return matrix

    def transform_chunks(
        self, features: pl.DataFrame, order: NDArray[np.int64] | None = None
    ) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Make the matrix in parts of `CHUNK_ROWS`.

        Args:
            features: As for `transform`.
            order: Row numbers in the order wanted; default is the order of the rows.

        Yields:
            Position of the first row, and the matrix of these rows.

        Raises:
            ValueError: A column is missing.
        """
        missing = [name for name in self.features_ if name not in features.columns]
        if missing:
            raise ValueError(f"the features lack columns that the model was fitted on: {missing}")
        needed = features.select(self.features_)
        for start in range(0, features.height, CHUNK_ROWS):
            rows = slice(start, start + CHUNK_ROWS)
            chunk = needed[rows] if order is None else needed[order[rows]]
            encoded = self._encode(chunk)[:, self.kept_] if self.encodings_ else np.empty((chunk.height, 0))
            if self.decorrelation_ is not None:
                encoded = self.decorrelation_.transform(encoded)
            yield start, encoded.astype(np.float32, copy=False)

    def to_dict(self) -> dict[str, Any]:
        """Write the fitted state as a JSON object."""
        check_is_fitted(self, "encodings_")
        state: dict[str, Any] = {
            "settings": self.get_params(),
            "encodings": [encoding_to_dict(encoding) for encoding in self.encodings_],
            "kept": self.kept_.tolist(),
            "decorrelation": None,
        }
        if self.decorrelation_ is not None:
            learned = ("mean_", "components_", "variances_")
            state["decorrelation"] = {name: getattr(self.decorrelation_, name).tolist() for name in learned}
        return state

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Self:
        """Read a fitted state that `to_dict` wrote."""
        preparation = cls(**state["settings"])
        preparation.encodings_ = [encoding_from_dict(encoding) for encoding in state["encodings"]]
        preparation.kept_ = np.asarray(state["kept"], dtype=np.int64)
        preparation.decorrelation_ = None
        if state["decorrelation"] is not None:
            estimator = Decorrelation(balance=preparation.balance, random_state=preparation.random_state)
            for name, values in state["decorrelation"].items():
                setattr(estimator, name, np.asarray(values, dtype=np.float64))
            estimator.n_features_in_ = len(estimator.mean_)
            preparation.decorrelation_ = estimator
        return preparation

    def _encode(self, features: pl.DataFrame) -> NDArray[np.float32]:
        return np.hstack([encoding.encode(features[encoding.feature]) for encoding in self.encodings_])


def _first_of_its_kind(encoded: NDArray[np.float32]) -> NDArray[np.int64]:
    centred = encoded.astype(np.float64) - encoded.mean(axis=0, dtype=np.float64)
    spread = np.sqrt((centred**2).mean(axis=0))
    varying = np.flatnonzero(spread > 1e-9)
    standardized = centred[:, varying] / spread[varying]
    is_same = np.abs(standardized.T @ standardized / len(encoded)) >= SAME_FROM
    kept: list[int] = []
    for column in range(len(varying)):
        if not is_same[column, kept].any():
            kept.append(column)
    return varying[kept].astype(np.int64)

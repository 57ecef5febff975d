"""Makes a matrix of a feature frame: everything measured on a common scale, learned once and then frozen.

Here belongs what concerns all columns together. How a single column is encoded stands in `encoding`.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from ml.catalogue import Kind
from ml.decorrelation import Decorrelation
from ml.encoding import (
    SAME_FROM,
    Encoding,
    NumberEncoding,
    as_answers,
    encoding_from_dict,
    encoding_to_dict,
    learn_encoding,
)
from ml.made_ahead import made_ahead
from ml.people_order import hash_sample

CHUNK_ROWS = 65_536
"""Rows that are handed on at once; what is in memory does not grow with the number of people."""
BLOCK_ROWS = 16_384
"""Rows that are worked on at once, a part of `CHUNK_ROWS`: their columns stay near the processor, and so small a matrix
takes memory that is there already instead of new one that has to be cleared first."""


class Preparation(BaseEstimator):
    """Encodes the columns, drops near copies, and decorrelates what is left.

    An estimator in scikit-learn's manners that takes no arrays: which columns there are, of which kind and family, is
    what it is about. `Decorrelation`, which it ends in, takes arrays.

    Args:
        decorrelate: Whether principal components come out, or the encoded columns themselves.
        balance: As in `Decorrelation`.
        sample_size: People that are looked at to learn the scales.
        random_state: Seed of the sample and of the parallel analysis.
        family_weights: Weight by feature family, 1 for those not named. With it, each family is decorrelated on its
            own and takes its weight's share of all variance, however many features it has. By default features, not
            families, are what counts.

    Attributes:
        feature_names_in_: The inputs it was fitted to.
        n_features_in_: How many.
        encodings_: One per feature that varies, in the order of the inputs.
        kept_: Positions of the encoded columns that are no near copies of an earlier one.
        decorrelation_: The fitted `Decorrelation`, or None.
        is_survey_: Whether all features are yes-or-no answers, which are then left on their own scale.

    Examples:
        >>> people = pl.DataFrame({"person_id": ["a", "b", "c", "d"], "orders": [0, 1, 2, 9]})
        >>> Preparation(decorrelate=False).fit(people, {"orders": "number"}).transform(people).shape
        (4, 2)
    """

    def __init__(
        self,
        decorrelate: bool = True,
        balance: float = 0.5,
        sample_size: int = 50_000,
        random_state: int = 7,
        family_weights: Mapping[str, float] | None = None,
    ) -> None:
        """Store the settings."""
        self.family_weights = family_weights
        self.decorrelate = decorrelate
        self.balance = balance
        self.sample_size = sample_size
        self.random_state = random_state

    def __sklearn_tags__(self) -> Tags:
        """Say that it takes frames: scikit-learn's own checks, which fit arrays, do not apply."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        return tags

    def fit(
        self, features: pl.DataFrame, inputs: Mapping[str, Kind], families: Mapping[str, str] | None = None
    ) -> Self:
        """Learn the scales.

        Args:
            features: person_id, as_of (optional) and the input columns.
            inputs: Kind by column, in the order the columns shall have.
            families: Family by column; only needed where families have weights.

        Returns:
            Itself. `n_columns_` is 0 if no column varies.
        """
        self.feature_names_in_ = np.array(list(inputs), dtype=object)
        self.n_features_in_ = len(inputs)
        sample = hash_sample(features, self.sample_size, self.random_state)
        learned = (learn_encoding(sample[name], kind) for name, kind in inputs.items())
        self.encodings_: list[Encoding] = [encoding for encoding in learned if encoding is not None]
        self.kept_ = np.empty(0, dtype=np.int64)
        self.decorrelation_ = None
        self.is_survey_ = False
        if not self.encodings_:
            return self
        if self.decorrelate and not self.family_weights and (answers := as_answers(self.encodings_)) is not None:
            self.encodings_, self.is_survey_ = list(answers), True
        encoded = self.encode(sample)
        self.kept_ = _first_of_its_kind(encoded)
        if self.decorrelate and not self.is_survey_:
            self.decorrelation_ = self._decorrelate(encoded[:, self.kept_].astype(np.float64), families or {})
        return self

    @property
    def n_columns_(self) -> int:
        """Columns of the matrix that `transform` returns."""
        check_is_fitted(self, "encodings_")
        return len(self.decorrelation_.components_) if self.decorrelation_ is not None else len(self.kept_)

    @property
    def features_(self) -> list[str]:
        """The features that vary, and that `transform` needs."""
        check_is_fitted(self, "encodings_")
        return [encoding.feature for encoding in self.encodings_]

    @property
    def encoded_names_(self) -> list[str]:
        """Names of the encoded columns that were kept."""
        check_is_fitted(self, "encodings_")
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
        needed = self._needed(features)
        matrix = np.empty((features.height, self.n_columns_), dtype=np.float32)

        def fill(start: int) -> None:
            rows = slice(start, start + CHUNK_ROWS)
            self._transform_into(matrix[rows], needed[rows])

        for _ in made_ahead(fill, range(0, features.height, CHUNK_ROWS)):
            pass
        return matrix

    def transform_chunks(
        self, features: pl.DataFrame, order: NDArray[np.int64] | None = None
    ) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Make the matrix in parts of `CHUNK_ROWS`.

        Args:
            features: As for `transform`.
            order: Row numbers in the order wanted; default is the order of the rows.

        Returns:
            One after the other: position of the first row, and the matrix of these rows.

        Raises:
            ValueError: A column is missing.
        """
        needed = self._needed(features)
        order = None if order is None or np.array_equal(order, np.arange(len(order))) else order

        def part(start: int) -> NDArray[np.float32]:
            rows = slice(start, start + CHUNK_ROWS)
            chunk = needed[rows] if order is None else needed[order[rows]]
            # Laid out in memory as `combine` does it, by which sums of many rows differ in their last digits.
            matrix = np.empty(
                (chunk.height, self.n_columns_), np.float32, order="F" if self.decorrelation_ is None else "C"
            )
            self._transform_into(matrix, chunk)
            return matrix

        starts = range(0, features.height, CHUNK_ROWS)
        return zip(starts, made_ahead(part, starts), strict=True)

    def _needed(self, features: pl.DataFrame) -> pl.DataFrame:
        missing = [name for name in self.features_ if name not in features.columns]
        if missing:
            raise ValueError(f"the features lack columns that the model was fitted on: {missing}")
        return features.select(self.features_)

    def _transform_into(self, matrix: NDArray[np.float32], features: pl.DataFrame) -> None:
        for start in range(0, features.height, BLOCK_ROWS):
            rows = slice(start, start + BLOCK_ROWS)
            matrix[rows] = self._scores(self._encode(features[rows], self.kept_))

    def combine(self, encoded: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Make the matrix of rows whose columns are encoded already.

        Args:
            encoded: (rows, encoded columns), the columns of all `encodings_` side by side.

        Returns:
            (rows, n_columns_).
        """
        return self._scores(encoded[:, self.kept_]).astype(np.float32, copy=False)

    def _scores(self, kept: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
        return kept if self.decorrelation_ is None else self.decorrelation_.transform(kept)

    def _decorrelate(self, encoded: NDArray[np.float64], families: Mapping[str, str]) -> Decorrelation:
        """Fit one decorrelation, or one per family, put together to one whose components keep to their family."""
        widths = [len(encoding.names) for encoding in self.encodings_]
        feature_of = np.repeat(np.arange(len(widths)), widths)[self.kept_]
        is_own = np.array([_has_a_part_of_its_own(self.encodings_[feature]) for feature in feature_of])
        if not self.family_weights:
            return self._fit_block(encoded, feature_of, is_own)
        family_of = np.array([families.get(self.encodings_[feature].feature, "") for feature in feature_of])
        names = sorted(set(family_of))
        weights = {name: float(self.family_weights.get(name, 1.0)) for name in names}
        together = Decorrelation(balance=self.balance, random_state=self.random_state)
        together.mean_, together.n_features_in_ = encoded.mean(axis=0), encoded.shape[1]
        components, variances = [], []
        for name in names:
            columns = np.flatnonzero(family_of == name)
            block = self._fit_block(encoded[:, columns], feature_of[columns], is_own[columns])
            total = block.transform(encoded[:, columns]).var(axis=0).sum()
            share = weights[name] / max(sum(weights.values()), 1e-12)
            placed = np.zeros((len(block.components_), encoded.shape[1]))
            placed[:, columns] = block.components_ * np.sqrt(share * len(names) / max(total, 1e-12))
            components.append(placed)
            variances.append(block.variances_)
        together.components_, together.variances_ = np.vstack(components), np.concatenate(variances)
        return together

    def _fit_block(
        self, encoded: NDArray[np.float64], feature_of: NDArray[np.int64], is_own: NDArray[np.bool_]
    ) -> Decorrelation:
        estimator = Decorrelation(
            balance=self.balance,
            blocks=feature_of.tolist(),
            own=np.flatnonzero(is_own).tolist(),
            random_state=self.random_state,
        )
        return estimator.fit(encoded)

    def to_dict(self) -> dict[str, Any]:
        """Write the fitted state as a JSON object."""
        check_is_fitted(self, "encodings_")
        state: dict[str, Any] = {
            "settings": self.get_params(),
            "inputs": self.feature_names_in_.tolist(),
            "encodings": [encoding_to_dict(encoding) for encoding in self.encodings_],
            "kept": self.kept_.tolist(),
            "is_survey": self.is_survey_,
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
        preparation.feature_names_in_ = np.array(state.get("inputs", preparation.features_), dtype=object)
        preparation.n_features_in_ = len(preparation.feature_names_in_)
        preparation.kept_ = np.asarray(state["kept"], dtype=np.int64)
        preparation.is_survey_ = state.get("is_survey", False)
        preparation.decorrelation_ = None
        if state["decorrelation"] is not None:
            estimator = Decorrelation(balance=preparation.balance, random_state=preparation.random_state)
            for name, values in state["decorrelation"].items():
                setattr(estimator, name, np.asarray(values, dtype=np.float64))
            estimator.n_features_in_ = len(estimator.mean_)
            preparation.decorrelation_ = estimator
        return preparation

    def encode(self, features: pl.DataFrame) -> NDArray[np.float32]:
        """Encode every column, also near copies.

        Args:
            features: The columns named in `features_`.

        Returns:
            (rows, encoded columns), the columns of all `encodings_` side by side, each contiguous in memory.
        """
        return self._encode(features, np.arange(sum(len(each.names) for each in self.encodings_)))

    def _encode(self, features: pl.DataFrame, wanted: NDArray[np.int64]) -> NDArray[np.float32]:
        """Encode the wanted columns, named by their ascending positions among all."""
        # A few rows more: columns a power of two apart would push each other out of the cache.
        matrix = np.empty((features.height + 16, len(wanted)), np.float32, order="F")[: features.height]
        place_of = {int(position): place for place, position in enumerate(wanted)}
        position = 0
        for encoding in self.encodings_:
            for column in encoding.columns(features[encoding.feature]):
                if (place := place_of.get(position)) is not None:
                    matrix[:, place] = column
                position += 1
        return matrix


def _has_a_part_of_its_own(encoding: Encoding) -> bool:
    """Whether what a feature says alone is kept: numbers, but not those that are often zero or missing."""
    return isinstance(encoding, NumberEncoding) and encoding.any_share is None and encoding.missing_share is None


def _first_of_its_kind(encoded: NDArray[np.float32]) -> NDArray[np.int64]:
    standardized: NDArray[np.float64] = np.empty(encoded.shape, order="F")
    varying: list[int] = []
    for position, column in enumerate(encoded.T):
        place = standardized[:, len(varying)]  # written again where the column does not vary
        np.subtract(column, column.mean(dtype=np.float64), out=place)
        spread = np.sqrt(np.square(place).mean())
        if spread > 1e-9:
            place /= spread
            varying.append(position)
    standardized = standardized[:, : len(varying)]
    is_same = np.abs(standardized.T @ standardized / len(encoded)) >= SAME_FROM
    kept: list[int] = []
    for column in range(len(varying)):
        if not is_same[column, kept].any():
            kept.append(column)
    return np.array(varying, dtype=np.int64)[kept]

"""Who is like a few known people: everybody ranked by how much they look like a seed, by models that never saw them.

Here belong the ranking, the making of one scale from several rankings, and when nothing can be said. How many of a
hidden seed are found is measured in `lookalike_evaluation`, whether groups of people are reproduced in `parity`. Who
may be listed is not known here.

The seed is known to be alike; of everybody else it is not known (positive and unlabelled data: Elkan and Noto 2008,
"Learning classifiers from only positive and unlabeled data"). A classifier of the seed against everybody ranks by the
probability of being known, and so, where chance decided who of those alike is known, by that of being alike. Everybody
is scored by models learned without them: whoever is alike and not known was an example of the opposite otherwise.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import logit
from sklearn.linear_model import LogisticRegression

from ml.bagged_trees import BaggedTrees
from ml.calibration import FEWEST, ChosenCalibration, choose_calibration, learn_calibration
from ml.catalogue import Kind
from ml.encoding import finite_floats
from ml.evaluation import area_under_curve
from ml.library_threads import one_thread
from ml.linear_classifier import column_features
from ml.made_ahead import made_ahead
from ml.people_order import hash_sample, person_fold
from ml.preparation import CHUNK_ROWS, Preparation

Floats = NDArray[np.float64]
Method = Literal["classifiers", "distance"]
Direction = Literal["high", "low"]

FOLDS = 10
"""Parts of the people; each is scored by models of the other nine. Of a seed, a tenth is hidden at a time."""
SMALLEST_SEED: dict[Method, int] = {"classifiers": 50, "distance": 20}
"""With fewer people a classifier finds what they share by chance; a centre needs fewer."""
LARGEST_SHARE = 0.5
"""Of everybody: whoever is like more than half of the people is like anybody."""
BASE_ROWS = 20_000
"""People outside the seed that are learned from: what bounds the time, whatever the number of people."""
SEED_ROWS = 20_000
"""People of the seed that are learned from."""
CALIBRATION_ROWS = 20_000
"""People of the seed, and of the others, that probabilities are learned from, standing for as many as there are."""
STRENGTH = 0.01
"""Variance that coefficients of the regression are expected to have: of a hundred people, most features say nothing."""


@dataclass(frozen=True)
class SeedRefused:
    """Why nothing is said of who is like a seed, in words for whoever chose it."""

    reason: str


def refuse_seed(seed: int, everybody: int, method: Method, smallest: int | None = None) -> SeedRefused | None:
    """Say whether a seed is too small, or too large, to learn from.

    Args:
        seed: People in it.
        everybody: People of the week, the seed among them.
        method: How likeness is learned.
        smallest: Fewest people, where somebody states another number than `SMALLEST_SEED`.

    Returns:
        The reason, or None where it will do.
    """
    fewest = smallest or SMALLEST_SEED[method]
    if seed < fewest:
        people = "person" if seed == 1 else "people"
        return SeedRefused(
            f"the seed is too small: {seed:,} {people}, and it takes {fewest:,} to tell what they share from chance; "
            "choose a wider seed, or grow it by characteristics of your own choice (`grow`)"
        )
    if seed > LARGEST_SHARE * everybody:
        return SeedRefused(
            f"the seed is too large: {seed:,} of {everybody:,} people; whoever is like most people is like anybody"
        )
    return None


def training_sample(people: pl.DataFrame, random_state: int) -> pl.DataFrame:
    """Draw the people that likeness is learned from.

    Args:
        people: person_id and is_seed of everybody.
        random_state: Seed of the draw.

    Returns:
        The rows of the seed and of others, at most `SEED_ROWS` and `BASE_ROWS`, in an order that depends on nobody's
        place in `people`.
    """
    seed = hash_sample(people.filter("is_seed"), SEED_ROWS, random_state)
    others = hash_sample(people.filter(~pl.col("is_seed")), BASE_ROWS, random_state)
    return hash_sample(pl.concat([seed, others]), SEED_ROWS + BASE_ROWS, random_state)


class LookalikeRanker:
    """Ranks people by how much they look like a seed, out of fold.

    Args:
        inputs: Kind by feature.
        method: "classifiers", logistic regression and bagged trees that tell the seed from everybody; or "distance",
            the cosine to the seed's centre, both seen from everybody's centre.
        random_state: Seed of folds and models.

    Attributes:
        rankings_: Names of the columns that `scores` gives.
        preparation_: How features become columns; it looks at nobody's being in the seed, so all folds share it.
    """

    def __init__(self, inputs: Mapping[str, Kind], method: Method = "classifiers", random_state: int = 7) -> None:
        """Store the settings."""
        self.inputs = inputs
        self.method = method
        self.random_state = random_state

    def fit(self, features: pl.DataFrame, is_seed: NDArray[np.bool_]) -> Self:
        """Learn the models of each fold from the people of the other folds.

        Args:
            features: person_id and the inputs, one row per person.
            is_seed: Who is in the seed.

        Returns:
            Itself.

        Raises:
            ValueError: No feature varies.
        """
        fold = person_fold(features["person_id"], FOLDS, self.random_state)
        self.preparation_ = Preparation(decorrelate=False, random_state=self.random_state).fit(features, self.inputs)
        if not self.preparation_.n_columns_:
            raise ValueError("no feature varies among these people")
        matrix = self.preparation_.transform(features)
        self.rankings_ = ("logistic", "trees") if self.method == "classifiers" else ("distance",)

        def models_without(number: int) -> list[_Model]:
            rows, seed = matrix[fold != number], is_seed[fold != number]
            if self.method == "distance":
                return [_Centre.of(rows, seed)]
            return [_Regression.of(rows, seed), BaggedTrees(self.random_state).fit(rows, seed)]

        with one_thread():
            self._models = list(made_ahead(models_without, range(FOLDS)))
        return self

    def scores(self, features: pl.DataFrame) -> NDArray[np.float32]:
        """Score people, each by the models that did not learn from them; some at a time, on both cores.

        Args:
            features: person_id and the inputs.

        Returns:
            (people, rankings), higher where people look more like the seed; comparable within a fold only.
        """
        nobody = np.empty((0, len(self.rankings_)), dtype=np.float32)
        with one_thread():
            parts = made_ahead(lambda start: self._part(features[start : start + CHUNK_ROWS // 2]), _starts(features))
            return np.vstack([nobody, *parts])

    def _part(self, features: pl.DataFrame) -> NDArray[np.float32]:
        matrix = self.preparation_.transform(features)
        fold = person_fold(features["person_id"], FOLDS, self.random_state)
        found = np.zeros((len(matrix), len(self.rankings_)), dtype=np.float32)
        for number, models in enumerate(self._models):
            rows = np.flatnonzero(fold == number)
            own = matrix[rows]
            for column, model in enumerate(models if len(rows) else ()):
                found[rows, column] = model.says(own)
        return found

    def importance(self) -> list[tuple[str, float]]:
        """Which features tell the seed from everybody, by the size of what their columns weigh, averaged over folds.

        Returns:
            Feature and its share of all weights, the largest first.
        """
        names = column_features(self.preparation_)
        linear = [models[0] for models in self._models]
        weights = np.mean([np.abs(one.weights) for one in linear if isinstance(one, _Regression | _Centre)], axis=0)
        total: dict[str, float] = {}
        for name, weight in zip(names, weights.tolist(), strict=True):
            total[name] = total.get(name, 0.0) + weight
        whole = sum(total.values()) or 1.0
        return sorted(((name, weight / whole) for name, weight in total.items()), key=lambda each: (-each[1], each[0]))


class _Model(Protocol):
    """What one model says of prepared people: higher is more like the seed."""

    def says(self, matrix: NDArray[np.float32]) -> Floats: ...


@dataclass(frozen=True)
class _Regression:
    weights: Floats

    @classmethod
    def of(cls, matrix: NDArray[np.float32], is_seed: NDArray[np.bool_]) -> Self:
        model = LogisticRegression(C=STRENGTH, max_iter=200, tol=1e-3).fit(matrix, is_seed)
        return cls(model.coef_[0].astype(np.float64))

    def says(self, matrix: NDArray[np.float32]) -> Floats:
        return matrix @ self.weights


@dataclass(frozen=True)
class _Centre:
    base: Floats
    weights: Floats

    @classmethod
    def of(cls, matrix: NDArray[np.float32], is_seed: NDArray[np.bool_]) -> Self:
        base = matrix.mean(axis=0, dtype=np.float64)
        direction = matrix[is_seed].mean(axis=0, dtype=np.float64) - base
        return cls(base, direction / (np.linalg.norm(direction) or 1.0))

    def says(self, matrix: NDArray[np.float32]) -> Floats:
        away = matrix - self.base
        length = np.linalg.norm(away, axis=1)
        return (away @ self.weights) / np.where(length > 0, length, 1.0)


def _starts(features: pl.DataFrame) -> range:
    return range(0, features.height, CHUNK_ROWS // 2)


def rank_mean(scores: NDArray[Any], person_ids: pl.Series, is_seed: NDArray[np.bool_], random_state: int) -> Floats:
    """Make one scale of several rankings: where a person stands among everybody outside the seed.

    Scores of different folds come from different models, so a person is ranked within the own fold, by the mean of the
    rankings' ranks; then, as folds are alike but for chance, among all.

    Args:
        scores: (people, rankings), as `LookalikeRanker.scores` gives them.
        person_ids: Of these people.
        is_seed: Who is in the seed.
        random_state: That of the ranker.

    Returns:
        0..1 per person, evenly spread over those outside the seed: .99 is more like the seed than 99 % of them.
    """
    fold = person_fold(person_ids, FOLDS, random_state)
    mean = np.zeros(len(fold))
    for number in range(FOLDS):
        own = fold == number
        for column in range(scores.shape[1]):
            mean[own] += ranks_among(scores[own, column], scores[own & ~is_seed, column])
    return ranks_among(mean, mean[~is_seed])


def ranks_among(values: NDArray[Any], base: NDArray[Any]) -> Floats:
    """Share of `base` below each value, half of those equal to it counted in; strictly between 0 and 1."""
    ordered = np.sort(base)
    below, upto = np.searchsorted(ordered, values, "left"), np.searchsorted(ordered, values, "right")
    return np.clip((below + upto) / 2, 0.5, len(base) - 0.5) / max(len(base), 1)


def characteristic_scores(
    characteristics: pl.DataFrame, directions: Mapping[str, Direction], is_seed: NDArray[np.bool_]
) -> Floats:
    """Rank people by characteristics that somebody chose: the mean of where they stand in each.

    Args:
        characteristics: A number per person and characteristic, null where it is not known.
        directions: By characteristic, whether a high or a low value is wanted.
        is_seed: Who is in the seed.

    Returns:
        0..1 per person, evenly spread over those outside the seed of whom all is known; NaN for who lacks any.
    """
    mean = np.zeros(characteristics.height)
    for name, direction in directions.items():
        values = finite_floats(characteristics[name])
        known = ~np.isnan(values)
        signed = values if direction == "high" else -values
        ranks = np.full(len(values), np.nan)
        ranks[known] = ranks_among(signed[known], signed[known & ~is_seed])
        mean += ranks
    known = ~np.isnan(mean)
    mean[known] = ranks_among(mean[known], mean[known & ~is_seed])
    return mean


def learn_probabilities(
    score: Floats, person_ids: pl.Series, is_seed: NDArray[np.bool_], random_state: int
) -> ChosenCalibration:
    """Learn what share of the people with such a score is in the seed.

    The probability says: of the seed and everybody else together, so many of those who score like this are in the
    seed. The scores are out of fold, so it holds for people the models never saw. It is the least share that is alike:
    whoever is as good as the seed and is not known to be counts as different.

    Args:
        score: 0..1, of `rank_mean` or `characteristic_scores`, without NaN.
        person_ids: Of these people.
        is_seed: Who is in the seed.
        random_state: Seed of the draw among everybody else.

    Returns:
        A map from `logit(score)`, and why it is this one.
    """
    numbered = pl.DataFrame({"person_id": person_ids, "row": np.arange(len(score)), "is_seed": is_seed})
    parts = [numbered.filter("is_seed"), numbered.filter(~pl.col("is_seed"))]
    drawn = [hash_sample(part, CALIBRATION_ROWS, random_state + 1) for part in parts]
    rows = pl.concat(drawn)["row"].to_numpy()
    weights = np.concatenate(
        [np.full(own.height, part.height / own.height) for part, own in zip(parts, drawn, strict=True)]
    )
    said = logit(score[rows])
    fold = person_fold(person_ids.gather(rows), FOLDS, random_state)
    outcomes = is_seed[rows].astype(np.float64)
    seed = int(is_seed.sum())
    if seed < FEWEST:
        # Two numbers from few people: coarse, and nearer than odds that grow with the rank without end.
        words = f"sigmoid, learned from {seed:,} hidden people of the seed, which are few"
        return ChosenCalibration(learn_calibration("sigmoid", said, outcomes, weights), words, None, None)
    return choose_calibration(said, outcomes, weights, fold, "hidden tenths of the seed, and everybody else")


def probabilities(chosen: ChosenCalibration, score: Floats) -> Floats:
    """Apply what `learn_probabilities` learned.

    Args:
        chosen: The map.
        score: 0..1.

    Returns:
        0..1 per score; it never falls where the score rises.
    """
    return chosen.calibration.probabilities(logit(score))


@dataclass(frozen=True)
class Separation:
    """How well hidden people of a seed are told from everybody else.

    Attributes:
        auc: Chance that one of the seed is ranked above somebody else.
        low: Of the 95 % interval.
        high: Of the 95 % interval.
    """

    auc: float
    low: float
    high: float

    @property
    def is_chance(self) -> bool:
        """Whether the ranking may as well be drawn by lot."""
        return not self.low > 0.5


def separation(score: Floats, is_seed: NDArray[np.bool_]) -> Separation:
    """Measure a ranking on the seed, which it never saw."""
    return Separation(*area_under_curve(is_seed.astype(np.float64), score))


def model_id(name: str, method: str, inputs: Sequence[str], seed_ids: Sequence[int], as_of: str) -> str:
    """Name a ranking by everything it follows from: 12 hexadecimal digits behind the kind of model."""
    content = "\n".join([name, method, as_of, *inputs, "", *(f"p_{person:016x}" for person in sorted(seed_ids))])
    return f"lookalike-{hashlib.sha256(content.encode()).hexdigest()[:12]}"

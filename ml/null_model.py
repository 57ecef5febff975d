"""People without groups who look like ours feature by feature and pair by pair, and the test against them.

Here belongs the question "is there anything at all". How many groups there are stands in `persona_count`.

The null is a Gaussian copula: every feature keeps its own distribution, every pair its correlation, and nothing else
is there. Stability and prediction strength cannot tell such a cloud from groups (on one elongated cloud, halves agree
on where to cut it); the sum of squares within groups, beside that of the null, can.

For steps such as yes-or-no answers, counts and zeros, the correlation of what is seen is smaller than that of the
Gaussian below it. Both are related by Mehler's formula: with g and h expanded in Hermite polynomials,
corr(g(X), h(Y)) = sum over n of g_n h_n rho^n. It is solved for rho pair by pair; for two yes-or-no columns that is
the tetrachoric correlation (Pearson 1900).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import ndtri

from ml.encoding import RARE_SHARE, CategoryEncoding, missing_rows
from ml.many_starts import Matrix, best_of_many_starts, within_sum_of_squares
from ml.preparation import Preparation

HERMITE_ORDERS = 48
CORRELATIONS = np.round(np.linspace(-0.995, 0.995, 81), 6)
NULL_STARTS = 4
"""Starts of k-means on people and null alike: what matters is that both are searched equally well."""


@dataclass(frozen=True)
class _Latent:
    """A Gaussian below what is seen: a step function of it.

    Attributes:
        bounds: Cumulated shares at which the steps end, ascending, the last one 1.
        values: What is seen on each step, standardized.
    """

    bounds: Matrix
    values: Matrix


@dataclass(frozen=True)
class _Part:
    """One feature of the null: its encoded rows in ascending order, and what replaces them where it is missing."""

    table: NDArray[np.float32]
    missing_row: NDArray[np.float32] | None = None
    missing_latent: int | None = None


@dataclass(frozen=True)
class NullTest:
    """Whether people fall into groups more than people without groups would.

    Attributes:
        p_value: Share of null sets, ours counted in, that are at least as grouped as ours; 0..1.
        excess: By how many standard deviations of the null ours is more grouped, for the number of groups where that
            is most.
        k: That number of groups.
        replicates: Null sets that were drawn.
        people: Rows of each.
    """

    p_value: float
    excess: float
    k: int
    replicates: int
    people: int


def test_for_groups(
    preparation: Preparation, features: pl.DataFrame, candidates: Sequence[int], replicates: int, seed: int
) -> NullTest:
    """Compare the sums of squares within groups with those of people without groups.

    Args:
        preparation: Fitted on these people.
        features: Some hundred to some thousand people, in an order of their own (see `people_order`).
        candidates: Numbers of groups to look at, ascending, from 2.
        replicates: Null sets to draw; 19 can give a p-value of 0.05, 99 one of 0.01.
        seed: Random seed.

    Returns:
        The test. The statistic is the largest, over the candidates, standardized drop of log(within / total).
    """
    own = _log_within(preparation.transform(features).astype(np.float64), candidates, seed)
    sets = enumerate(null_scores(preparation, features, replicates, seed), start=1)
    drawn = np.array([_log_within(scores, candidates, seed + number) for number, scores in sets])
    spread = np.maximum(drawn.std(axis=0, ddof=1), 1e-6)
    own_excess = (drawn.mean(axis=0) - own) / spread
    null_excess = ((drawn.mean(axis=0) - drawn) / spread).max(axis=1)
    return NullTest(
        p_value=float((1 + (null_excess >= own_excess.max()).sum()) / (1 + replicates)),
        excess=float(own_excess.max()),
        k=candidates[int(own_excess.argmax())],
        replicates=replicates,
        people=features.height,
    )


def null_scores(preparation: Preparation, features: pl.DataFrame, replicates: int, seed: int) -> Iterator[Matrix]:
    """Draw people without groups in the space of a preparation.

    Args:
        preparation: Fitted on these people.
        features: The people to look like.
        replicates: Sets to draw.
        seed: Random seed.

    Yields:
        (people, columns) of the preparation, once per replicate.
    """
    parts, latents, seen = _learn(preparation, features)
    root = np.linalg.cholesky(_latent_correlations(latents, _pairwise_correlations(seen)))
    people = features.height
    random = np.random.default_rng([seed, 11])
    for _ in range(replicates):
        gaussians = random.normal(size=(people, len(latents))) @ root.T
        ranks = gaussians.argsort(axis=0).argsort(axis=0)  # exactly the shares that are seen, not about them
        blocks = []
        for place, part in enumerate(parts):
            block = part.table[ranks[:, place] * len(part.table) // people]
            if part.missing_latent is not None:
                block[ranks[:, part.missing_latent] >= latents[part.missing_latent].bounds[0] * people] = (
                    part.missing_row
                )
            blocks.append(block)
        yield preparation.combine(np.hstack(blocks)).astype(np.float64)


def _log_within(scores: Matrix, candidates: Sequence[int], seed: int) -> Matrix:
    total = ((scores - scores.mean(axis=0)) ** 2).sum()
    centres = [best_of_many_starts(scores, k, NULL_STARTS, seed, tolerance=1e-4) for k in candidates]
    return np.log([max(within_sum_of_squares(scores, found), 1e-12 * total) / total for found in centres])


def _learn(preparation: Preparation, features: pl.DataFrame) -> tuple[list[_Part], list[_Latent], Matrix]:
    """The features; their latent variables, and after them one per pattern of missing values; what is seen of each.

    What is seen is (people, latents), NaN where a feature is missing.
    """
    encoded = [encoding.encode(features[encoding.feature]) for encoding in preparation.encodings_]
    leading = _leading_direction(np.hstack(encoded).astype(np.float64))
    parts: list[_Part] = []
    latents: list[_Latent] = []
    seen: list[Matrix] = []
    patterns: dict[bytes, NDArray[np.bool_]] = {}
    for encoding, block in zip(preparation.encodings_, encoded, strict=True):
        is_missing = missing_rows(encoding, features[encoding.feature])
        is_told = RARE_SHARE <= is_missing.mean() <= 1 - RARE_SHARE
        rows = ~is_missing if is_told else np.ones_like(is_missing)
        score = block[:, 0].astype(np.float64)
        if isinstance(encoding, CategoryEncoding):  # its levels in the order of what goes with them
            _, level = np.unique(block, axis=0, return_inverse=True)
            score = (np.bincount(level, weights=leading) / np.bincount(level))[level]
        table = block[np.flatnonzero(rows)[score[rows].argsort(kind="stable")]]
        if is_told:
            key = is_missing.tobytes()
            patterns.setdefault(key, is_missing)
            place = len(preparation.encodings_) + list(patterns).index(key)
            parts.append(_Part(table, block[is_missing][0], place))
        else:
            parts.append(_Part(table))
        latent, standardized = _latent_of(score[rows])
        latents.append(latent)
        seen.append(np.full(len(rows), np.nan))
        seen[-1][rows] = standardized
    for pattern in patterns.values():
        latent, standardized = _latent_of(pattern.astype(np.float64))
        latents.append(latent)
        seen.append(standardized)
    return parts, latents, np.column_stack(seen)


def _leading_direction(encoded: Matrix) -> Matrix:
    """Score of each row on the direction in which the encoded columns vary most."""
    centred = encoded - encoded.mean(axis=0)
    return centred @ np.linalg.eigh(centred.T @ centred)[1][:, -1]


def _latent_of(score: Matrix) -> tuple[_Latent, Matrix]:
    """The step function that gives this score its distribution, and the score, standardized."""
    values, step, counts = np.unique(score, return_inverse=True, return_counts=True)
    standardized = (values - score.mean()) / max(float(score.std()), 1e-12)
    return _Latent(counts.cumsum() / counts.sum(), standardized), standardized[step]


def _pairwise_correlations(seen: Matrix) -> Matrix:
    """Correlation of each pair among the people for whom both are there; 0 where there are none."""
    is_there = np.isfinite(seen)
    values, present = np.where(is_there, seen, 0.0), is_there.astype(np.float64)
    count = np.maximum(present.T @ present, 1.0)
    means = values.T @ present / count  # of the row's variable, among the people who have the column's too
    squares = (values**2).T @ present / count
    spread = np.sqrt(np.maximum(squares - means**2, 0.0))
    covariance = values.T @ values / count - means * means.T
    scale = spread * spread.T
    return np.divide(covariance, scale, out=np.zeros_like(covariance), where=scale > 1e-9)


def _latent_correlations(latents: Sequence[_Latent], correlations: Matrix) -> Matrix:
    """Correlation of the Gaussians from which the seen correlations follow, made positive definite."""
    coefficients = np.array([_hermite_coefficients(latent) for latent in latents])
    count = len(latents)
    pairs = np.triu_indices(count, 1)
    products = coefficients[pairs[0]] * coefficients[pairs[1]]
    powers = CORRELATIONS[:, None] ** np.arange(1, HERMITE_ORDERS + 1)
    expected = products @ powers.T  # (pairs, grid), ascending along the grid because the step functions are
    wanted = correlations[pairs][:, None]
    above = np.clip((expected < wanted).sum(axis=1), 1, len(CORRELATIONS) - 1)
    low, high = (np.take_along_axis(expected, above[:, None] - step, axis=1)[:, 0] for step in (1, 0))
    part = np.clip((wanted[:, 0] - low) / np.maximum(high - low, 1e-12), 0.0, 1.0)
    latent = np.eye(count)
    latent[pairs] = CORRELATIONS[above - 1] + part * (CORRELATIONS[above] - CORRELATIONS[above - 1])
    latent = latent + np.triu(latent, 1).T
    values, vectors = np.linalg.eigh(latent)
    repaired = (vectors * np.maximum(values, 1e-4)) @ vectors.T
    scale = np.sqrt(np.diag(repaired))
    return repaired / np.outer(scale, scale)


def _hermite_coefficients(latent: _Latent) -> Matrix:
    """Coefficients of orders 1, 2, ... in normalized Hermite polynomials, exact for a step function."""
    inner = ndtri(latent.bounds[:-1])
    density = np.exp(-0.5 * inner**2) / np.sqrt(2 * np.pi)
    jumps = np.diff(latent.values)
    before, polynomial = np.zeros_like(inner), np.ones_like(inner)
    coefficients = np.empty(HERMITE_ORDERS)
    for order in range(1, HERMITE_ORDERS + 1):  # the integral of g He_n phi is the sum of jumps times He_(n-1) phi
        coefficients[order - 1] = (jumps * polynomial * density).sum() / np.sqrt(order)
        before, polynomial = polynomial, (inner * polynomial - np.sqrt(order - 1) * before) / np.sqrt(order)
    return coefficients

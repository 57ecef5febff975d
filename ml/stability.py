"""How often the same groups are found again: when people are drawn anew, in the other half, in the next solution.

Here belongs what is computed from several solutions of the same people. Which number of groups follows from it stands
in `persona_count`.

The definitions are those of Dolnicar, Grün and Leisch 2018, "Market Segmentation Analysis" (the R package flexclust),
of Hennig 2007, "Cluster-wise assessment of cluster stability", and of Tibshirani and Walther 2005, "Cluster
validation by prediction strength".
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.many_starts import Labels, Matrix, best_per_sample, nearest

FindGroups = Callable[[Matrix, int, int, Matrix], Labels]
"""Groups many weightings of the same rows: (rows, k, seed, weights (rows, samples)) to labels (samples, rows).

All rows get a label from every solution, also those that did not count in it.
"""
HALVINGS = 10
_VOID = 1e-12


def k_means_finder(starts: int) -> FindGroups:
    """Group weightings by k-means from this many starts."""

    def find(scores: Matrix, k: int, seed: int, samples: Matrix) -> Labels:
        return np.array([nearest(scores, centres) for centres in best_per_sample(scores, k, starts, seed, samples)])

    return find


@dataclass(frozen=True)
class Redrawn:
    """Solutions of samples drawn with replacement, two by two.

    Attributes:
        labels: (2 * pairs, rows), everybody's group in each solution; a pair are rows 2 i and 2 i + 1.
        counts: (2 * pairs, rows), how often each row was drawn.
    """

    labels: Labels
    counts: NDArray[np.int64]


def redraw(find: FindGroups, scores: Matrix, k: int, pairs: int, seed: int) -> Redrawn:
    """Draw pairs of bootstrap samples and group each.

    Args:
        find: How groups are found.
        scores: (rows, columns).
        k: Number of groups.
        pairs: Pairs of samples.
        seed: Random seed; the samples are the same for every `k`.
    """
    random = np.random.default_rng([seed, 3])
    rows = len(scores)
    counts = np.array([np.bincount(random.integers(rows, size=rows), minlength=rows) for _ in range(2 * pairs)])
    return Redrawn(find(scores, k, seed, counts.T.astype(np.float64)), counts)


def global_stability(redrawn: Redrawn) -> Matrix:
    """Adjusted Rand index of the two solutions of each pair, on everybody (`bootFlexclust`); (pairs,), -1..1."""
    return np.array([adjusted_rand(*redrawn.labels[i : i + 2]) for i in range(0, len(redrawn.labels), 2)])


def segment_stability(labels: Labels, redrawn: Redrawn) -> Matrix:
    """How well each group is found again within each pair (SLSW, `slswFlexclust`).

    Args:
        labels: The solution that is judged.
        redrawn: Solutions of redrawn samples with as many groups.

    Returns:
        (pairs, groups), 0..1: the Jaccard index with the most similar group, the mean of the pair.
    """
    found = np.array([_best_jaccard(labels, other) for other in redrawn.labels])
    return (found[0::2] + found[1::2]) / 2


def segment_recovery(labels: Labels, redrawn: Redrawn) -> Matrix:
    """The same among the people who were drawn, mean over all samples (Hennig's `clusterboot`); (groups,), 0..1."""
    groups = int(labels.max()) + 1
    found = [
        _best_jaccard(labels[drawn > 0], other[drawn > 0], groups)
        for other, drawn in zip(redrawn.labels, redrawn.counts, strict=True)
    ]
    return np.mean(found, axis=0)


def segment_origins(labels: Labels, coarser: Labels) -> Matrix:
    """How much of each group comes out of one group of the coarser solution (SLSA, `slsaplot`).

    Args:
        labels: A solution with k groups.
        coarser: The solution with fewer.

    Returns:
        (groups,), 0..1: 1 less the entropy of the group of origin over its largest possible value; 1 = all from one.
    """
    table = _together(labels, coarser)
    if table.shape[1] < 2:
        return np.ones(len(table))
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), _VOID)
    entropy = -(shares * np.log(np.maximum(shares, _VOID))).sum(axis=1)
    return 1 - entropy / np.log(table.shape[1])


def prediction_strength(find: FindGroups, scores: Matrix, k: int, seed: int, halvings: int = HALVINGS) -> Matrix:
    """How often two people of one group in one half are together in the groups of the other half.

    Args:
        find: How groups are found.
        scores: (rows, columns).
        k: Number of groups.
        seed: Random seed; the halves are the same for every `k`.
        halvings: Times that people are halved; each half predicts the other.

    Returns:
        (halvings,), 0..1: the value of the worst group, mean of the two directions.
    """
    random = np.random.default_rng([seed, 5])
    rows = len(scores)
    in_first = np.array([random.permutation(rows) < rows // 2 for _ in range(halvings)])
    halves = np.concatenate([in_first, ~in_first])
    labels = find(scores, k, seed, halves.T.astype(np.float64))
    strengths = [
        (
            _worst_pairs(labels[i][first], labels[i + halvings][first])
            + _worst_pairs(labels[i + halvings][~first], labels[i][~first])
        )
        / 2
        for i, first in enumerate(in_first)
    ]
    return np.array(strengths)


def _worst_pairs(own: Labels, predicted: Labels) -> float:
    table = _together(own, predicted)
    sizes = table.sum(axis=1)
    pairs = (table * (table - 1)).sum(axis=1)
    several = sizes > 1
    return float((pairs[several] / (sizes * (sizes - 1))[several]).min()) if several.any() else 0.0


def adjusted_rand(first: Labels, second: Labels) -> float:
    """Adjusted Rand index of two groupings (Hubert and Arabie 1985); 1 = the same, 0 = as by chance."""
    table = _together(first, second)
    agreeing = (table * (table - 1)).sum() / 2
    rows, columns = (sums * (sums - 1) / 2 for sums in (table.sum(axis=1), table.sum(axis=0)))
    people = table.sum()
    expected = rows.sum() * columns.sum() / max(people * (people - 1) / 2, 1.0)
    most = (rows.sum() + columns.sum()) / 2
    return float((agreeing - expected) / (most - expected)) if most > expected else 1.0


def _best_jaccard(labels: Labels, other: Labels, groups: int = 0) -> Matrix:
    table = _together(labels, other, groups)
    union = table.sum(axis=1, keepdims=True) + table.sum(axis=0, keepdims=True) - table
    return (table / np.maximum(union, 1.0)).max(axis=1)


def _together(first: Labels, second: Labels, groups: int = 0) -> Matrix:
    rows, columns = max(int(first.max()) + 1, groups), int(second.max()) + 1
    return np.bincount(first * columns + second, minlength=rows * columns).reshape(rows, columns).astype(np.float64)

"""k-means from many starts at once, on one table of rows and any number of weightings of it.

Here belongs the arithmetic of k-means alone. What is concluded from solutions stands in `stability` and
`persona_count`; the estimators in `clustering`.

One start is a random solution (Ernst and Dolnicar 2018, "How to avoid random market segmentation solutions"), and
evidence needs thousands of them: bootstrap samples and halves are weightings of the same rows, so that all starts
of all samples share their matrix products. On two thousand people this takes a tenth of the time of as many calls
of scikit-learn's `KMeans`, and finds the same solutions.
"""

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Labels = NDArray[np.int64]

MOST_STEPS = 300
BLOCK_CELLS = 400_000
"""Rows times runs that are worked on at once, so that they stay in the processor's cache."""
ALIKE_SHARE = 0.7
"""With fewer different rows than this share, equal rows are worked on as one."""


def squared_distances(scores: Matrix, centres: Matrix) -> Matrix:
    """Squared Euclidean distance of each row to each centre, (rows, centres)."""
    cross = scores @ centres.T
    return np.maximum((scores**2).sum(axis=1)[:, None] - 2 * cross + (centres**2).sum(axis=1), 0.0)


def nearest(scores: Matrix, centres: Matrix) -> Labels:
    """Position of the nearest centre of each row; the first of equally near ones."""
    return squared_distances(scores, centres).argmin(axis=1)


def within_sum_of_squares(scores: Matrix, centres: Matrix) -> float:
    """Sum over the rows of the squared distance to the nearest centre."""
    return float(squared_distances(scores, centres).min(axis=1).sum())


def best_of_many_starts(
    scores: Matrix, k: int, starts: int, seed: int, weights: Matrix | None = None, tolerance: float = 0.0
) -> Matrix:
    """Find centres by k-means from many k-means++ starts; the one of the lowest sum of squares counts.

    Args:
        scores: (rows, columns).
        k: Number of centres.
        starts: Number of starts. One start is a random solution; reproducibility comes from many.
        seed: Random seed.
        weights: (rows,), how often each row counts; by default once.
        tolerance: As in `k_means_runs`.

    Returns:
        (k, columns).
    """
    samples = None if weights is None else np.asarray(weights)[:, None]
    centres, sums = k_means_runs(scores, k, starts, seed, samples, tolerance)
    return centres[0, sums[0].argmin()]


def best_per_sample(scores: Matrix, k: int, starts: int, seed: int, samples: Matrix, tolerance: float = 1e-4) -> Matrix:
    """Find the best centres of each of many weightings of the same rows.

    Args:
        scores: (rows, columns).
        k: Number of centres.
        starts: Starts per weighting.
        seed: Random seed.
        samples: (rows, samples), how often each row counts in each sample.
        tolerance: As in `k_means_runs`.

    Returns:
        (samples, k, columns).
    """
    centres, sums = k_means_runs(scores, k, starts, seed, samples, tolerance)
    return np.take_along_axis(centres, sums.argmin(axis=1)[:, None, None, None], axis=1)[:, 0]


def k_means_runs(
    scores: Matrix, k: int, starts: int, seed: int, samples: Matrix | None = None, tolerance: float = 0.0
) -> tuple[Matrix, Matrix]:
    """Run k-means from many starts, for each weighting of the rows.

    Args:
        scores: (rows, columns).
        k: Number of centres, at most the number of different rows.
        starts: Starts per sample, each seeded by greedy k-means++ (Arthur and Vassilvitskii 2007).
        seed: Random seed.
        samples: (rows, samples), how often each row counts; by default one sample in which each counts once.
        tolerance: A run ends when its centres move by less than this share of the mean variance of the columns, and
            in any case when no row changes its group.

    Returns:
        Centres (samples, starts, k, columns), and their sums of squares (samples, starts).
    """
    samples = np.ones((len(scores), 1)) if samples is None else samples
    scores, samples = _each_kind_once(scores, samples)
    rows, columns = scores.shape
    origin = scores.mean(axis=0)
    centred = scores - origin
    points = np.ascontiguousarray(np.column_stack([centred, np.ones(rows)]), dtype=np.float32)
    squares = np.square(points[:, :columns]).sum(axis=1)
    owner = np.repeat(np.arange(samples.shape[1]), starts)
    least_move = tolerance * float(centred.var(axis=0).mean())
    random = np.random.default_rng([seed, k])
    centres = np.empty((len(owner), k, columns))
    sums = np.empty(len(owner))
    block = max(1, BLOCK_CELLS // rows)
    for first in range(0, len(owner), block):
        part = slice(first, first + block)
        weights = np.ascontiguousarray(samples.T[owner[part]], dtype=np.float32)
        seeds = _seed(points, squares, weights, k, random)
        centres[part], sums[part] = _lloyd(points, squares, weights, seeds, least_move)
    shape = (samples.shape[1], starts)
    return (centres + origin).reshape(*shape, k, columns), sums.reshape(shape)


def move_to_rest(scores: Matrix, centres: Matrix) -> Matrix:
    """Move centres by Lloyd's algorithm until nobody changes the group.

    Args:
        scores: (rows, columns).
        centres: (k, columns) to start from.

    Returns:
        (k, columns), in the same order.
    """
    origin = scores.mean(axis=0)
    points = np.ascontiguousarray(np.column_stack([scores - origin, np.ones(len(scores))]), dtype=np.float32)
    squares = np.square(points[:, :-1]).sum(axis=1)
    everyone = np.ones((1, len(scores)), dtype=np.float32)
    moved, _ = _lloyd(points, squares, everyone, (centres - origin).astype(np.float32)[None], 0.0)
    return moved[0] + origin


def _each_kind_once(scores: Matrix, samples: Matrix) -> tuple[Matrix, Matrix]:
    """Where many rows are alike, as answers are, each kind of row once, counted as often as it is there."""
    fingerprint = scores @ np.random.default_rng(0).normal(size=scores.shape[1])
    _, first, kind = np.unique(fingerprint, return_index=True, return_inverse=True)
    if len(first) > ALIKE_SHARE * len(scores) or not np.array_equal(scores[first][kind], scores):
        return scores, samples
    order = kind.argsort(kind="stable")
    return scores[first], np.add.reduceat(samples[order], np.searchsorted(kind[order], np.arange(len(first))))


def _seed(
    points: NDArray[np.float32],
    squares: NDArray[np.float32],
    weights: NDArray[np.float32],
    k: int,
    random: np.random.Generator,
) -> NDArray[np.float32]:
    """Greedy k-means++ for each run: rows far from the seeds so far, the best of a few tries; (runs, k, columns)."""
    points, runs = points[:, :-1], len(weights)
    tries = 2 + int(np.log(k))
    chosen = np.empty((runs, k), dtype=np.int64)
    chosen[:, 0] = _draw(weights, random.random((runs, 1)))[:, 0]
    closest = _distances_to_rows(points, squares, chosen[:, :1])[:, 0]
    for step in range(1, k):
        candidates = _draw(weights * closest, random.random((runs, tries)))
        nearer = np.minimum(_distances_to_rows(points, squares, candidates), closest[:, None])
        best = np.einsum("rtn,rn->rt", nearer, weights).argmin(axis=1)
        everyone = np.arange(runs)
        chosen[:, step], closest = candidates[everyone, best], nearer[everyone, best]
    return points[chosen]


def _draw(mass: NDArray[np.float32], shares: Matrix) -> Labels:
    """Row numbers drawn with probability proportional to `mass` (runs, rows), one per share (runs, tries)."""
    cumulated = mass.cumsum(axis=1, dtype=np.float64)
    last = mass.shape[1] - 1
    drawn = [
        np.searchsorted(line, share * line[-1], side="right") for line, share in zip(cumulated, shares, strict=True)
    ]
    return np.minimum(np.array(drawn), last)


def _distances_to_rows(
    points: NDArray[np.float32], squares: NDArray[np.float32], chosen: Labels
) -> NDArray[np.float32]:
    """Squared distances of all rows to the chosen ones: (runs, tries) to (runs, tries, rows)."""
    cross = points[chosen.ravel()] @ points.T
    cross *= -2
    cross += squares
    cross += squares[chosen.ravel()][:, None]
    return np.maximum(cross, 0.0, out=cross).reshape(*chosen.shape, len(points))


def _lloyd(
    points: NDArray[np.float32],
    squares: NDArray[np.float32],
    weights: NDArray[np.float32],
    seeds: NDArray[np.float32],
    least_move: float,
) -> tuple[Matrix, Matrix]:
    """Lloyd's algorithm on all runs; those that have come to rest leave. Returns centres and sums of squares."""
    runs, k, columns = seeds.shape
    across = np.ascontiguousarray(points.T)
    centres, sums = np.empty(seeds.shape), np.empty(runs)
    going, current = np.arange(runs), seeds
    before = np.full((runs, len(points)), -1, dtype=np.int8)
    for step in range(MOST_STEPS):
        labels, gain = _nearest_of_each_run(across, current)
        totals = np.empty((k, len(going), columns + 1), dtype=np.float32)
        for group in range(k):
            np.matmul((labels == group) * weights, points, out=totals[group])
        counts = totals[:, :, -1:]
        moved = np.divide(totals[:, :, :-1], counts, out=totals[:, :, :-1].copy(), where=counts > 0).transpose(1, 0, 2)
        for group, run in zip(*np.nonzero(counts[:, :, 0] <= 0), strict=True):
            moved[run, group] = points[((squares - 2 * gain[run]) * weights[run]).argmax(), :-1]
        is_at_rest = (labels == before).all(axis=1)
        is_at_rest |= np.square(moved - current).sum(axis=(1, 2)) <= least_move
        if step == MOST_STEPS - 1:
            is_at_rest[:] = True
        if is_at_rest.any():
            done = going[is_at_rest]
            _, gain = _nearest_of_each_run(across, moved[is_at_rest])
            centres[done] = moved[is_at_rest]
            sums[done] = ((squares - 2 * gain) * weights[is_at_rest]).sum(axis=1, dtype=np.float64)
            stay = ~is_at_rest
            if not stay.any():
                break
            going, moved, labels, weights = going[stay], moved[stay], labels[stay], weights[stay]
        before, current = labels, moved
    return centres, sums


def _nearest_of_each_run(
    across: NDArray[np.float32], centres: NDArray[np.float32]
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Nearest centre of every row in every run, and x*c - c*c/2 of it; both (runs, rows)."""
    offsets = -0.5 * np.square(centres).sum(axis=2, keepdims=True)
    lifted = np.concatenate([centres, offsets], axis=2)
    gain = lifted[:, 0] @ across
    labels, other = np.zeros(gain.shape, dtype=np.int8), np.empty_like(gain)
    is_nearer = np.empty(gain.shape, dtype=np.bool_)
    marked = is_nearer.view(np.int8)
    for group in range(1, centres.shape[1]):
        np.matmul(lifted[:, group], across, out=other)
        np.greater(other, gain, out=is_nearer)
        # The numbers of groups ascend, so that the higher one is the later one: a maximum takes a tenth of the time of
        # a copy where something holds.
        np.maximum(labels, np.multiply(marked, np.int8(group), out=marked), out=labels)
        np.maximum(gain, other, out=gain)
    return labels, gain

"""How many personas there are: the evidence for each candidate, and the rule that chooses.

Here belongs everything that compares numbers of personas. Fitting the chosen one stands in `personas`.

The rule is the median of three votes: BIC of a Gaussian mixture, bootstrap stability and prediction strength.
Each alone errs often (the information criterion takes every lump for a group), the median less: on 40 simulated
bases it came closest to the planted groups. The silhouette is shown as evidence and has no vote.
"""

import warnings
from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score, silhouette_score
from sklearn.mixture import GaussianMixture

Matrix = NDArray[np.float64]
Labels = NDArray[np.int64]

EVIDENCE_SCHEMA = {
    "k": pl.Int64,
    "silhouette": pl.Float64,
    "stability": pl.Float64,
    "prediction_strength": pl.Float64,
    "bic": pl.Float64,
    "within_sum_of_squares": pl.Float64,
    "smallest_share": pl.Float64,
    "is_chosen": pl.Boolean,
}
COMPARISON_ROWS = 4_000
COMPARISON_STARTS = 5
BOOTSTRAP_PAIRS = 8
HALVINGS = 4
STABLE_WITHIN = 0.02
"""The largest number of personas whose stability comes this close to the best is as good as the best."""
PREDICTED_WITHIN = 0.05
"""The same for prediction strength (Tibshirani and Walther 2005, "Cluster validation by prediction strength")."""


def best_of_many_starts(scores: Matrix, k: int, starts: int, seed: int) -> Matrix:
    """Find centres by k-means from many k-means++ starts; the one of the lowest sum of squares counts.

    Args:
        scores: (rows, columns).
        k: Number of centres.
        starts: Number of starts. One start is a random solution; reproducibility comes from many.
        seed: Random seed.

    Returns:
        (k, columns).
    """
    return KMeans(n_clusters=k, n_init=starts, random_state=seed).fit(scores).cluster_centers_


def squared_distances(scores: Matrix, centres: Matrix) -> Matrix:
    """Squared Euclidean distance of each row to each centre, (rows, centres)."""
    cross = scores @ centres.T
    return np.maximum((scores**2).sum(axis=1)[:, None] - 2 * cross + (centres**2).sum(axis=1), 0.0)


def nearest(scores: Matrix, centres: Matrix) -> Labels:
    """Position of the nearest centre of each row; the first of equally near ones."""
    return squared_distances(scores, centres).argmin(axis=1)


def gather_evidence(scores: Matrix, candidates: Sequence[int], starts: int, seed: int) -> pl.DataFrame:
    """Measure every candidate number of personas on a sample.

    Args:
        scores: Prepared people (rows, columns), in an order of their own (see `people_order`).
        candidates: Numbers of personas, ascending.
        starts: k-means starts per candidate.
        seed: Random seed.

    Returns:
        One row per candidate: k; silhouette -1..1; stability -1..1, the mean adjusted Rand index of pairs of
        bootstrap solutions (Dolnicar and Leisch 2010); prediction_strength 0..1; bic, lower is better;
        within_sum_of_squares; smallest_share 0..1 of the people in the smallest group; is_chosen, false.
    """
    part = scores[:COMPARISON_ROWS]
    rows = []
    for k in candidates:
        centres = best_of_many_starts(scores, k, starts, seed)
        distances = squared_distances(scores, centres)
        labels = distances.argmin(axis=1)
        part_labels = labels[: len(part)]
        is_several = len(np.unique(part_labels)) > 1
        rows.append(
            {
                "k": k,
                "silhouette": float(silhouette_score(part, part_labels)) if is_several else None,
                "stability": _stability(part, k, seed),
                "prediction_strength": _prediction_strength(part, k, seed),
                "bic": _mixture_bic(scores, labels, centres),
                "within_sum_of_squares": float(distances.min(axis=1).sum()),
                "smallest_share": float(np.bincount(labels, minlength=k).min() / len(labels)),
                "is_chosen": False,
            }
        )
    return pl.DataFrame(rows, schema=EVIDENCE_SCHEMA)


def choose_count(evidence: pl.DataFrame, minimum_share: float) -> tuple[int, str]:
    """Choose the number of personas.

    Args:
        evidence: As `gather_evidence` returns it.
        minimum_share: Numbers that need a persona of fewer people than this share are not eligible, unless
            none would be left.

    Returns:
        The number, and the choice in words.
    """
    large_enough = evidence.filter(pl.col("smallest_share") >= minimum_share)
    eligible = large_enough if large_enough.height else evidence.head(1)
    by_bic = int(eligible.sort("bic", "k")["k"][0])
    by_stability = _largest_near_the_best(eligible, "stability", STABLE_WITHIN)
    by_prediction = _largest_near_the_best(eligible, "prediction_strength", PREDICTED_WITHIN)
    chosen = int(np.median([by_bic, by_stability, by_prediction]))
    words = (
        f"{chosen} personas, the median of three votes: {by_bic} by the information criterion of a mixture, "
        f"{by_stability} by stability when people are drawn anew, {by_prediction} by how well one half of the "
        f"people predicts the other."
    )
    left_out = sorted(set(evidence["k"]) - set(eligible["k"]))
    if left_out:
        words += (
            f" Not eligible: {', '.join(map(str, left_out))}, with a persona under {minimum_share:.0%} of the people."
        )
    return chosen, words


def _largest_near_the_best(evidence: pl.DataFrame, measure: str, within: float) -> int:
    near = evidence.filter(pl.col(measure) >= pl.col(measure).max() - within)
    return int(near.sort("k")["k"][-1])


def _stability(scores: Matrix, k: int, seed: int) -> float:
    random = np.random.default_rng([seed, k])
    agreements = []
    for _ in range(BOOTSTRAP_PAIRS):
        pair = [
            nearest(scores, best_of_many_starts(scores[rows], k, COMPARISON_STARTS, int(random.integers(2**31))))
            for rows in random.integers(len(scores), size=(2, len(scores)))
        ]
        agreements.append(adjusted_rand_score(*pair))
    return float(np.mean(agreements))


def _prediction_strength(scores: Matrix, k: int, seed: int) -> float:
    random = np.random.default_rng([seed, k, 2])
    strengths = []
    for _ in range(HALVINGS):
        order = random.permutation(len(scores))
        halves = scores[order[::2]], scores[order[1::2]]
        centres = [best_of_many_starts(half, k, COMPARISON_STARTS, seed) for half in halves]
        own, predicted = (nearest(halves[1], centre) for centre in reversed(centres))
        together = np.zeros((k, k))
        np.add.at(together, (own, predicted), 1)
        sizes = together.sum(axis=1)
        pairs = (together * (together - 1)).sum(axis=1)
        strengths.append(np.min(pairs[sizes > 1] / (sizes * (sizes - 1))[sizes > 1]))
    return float(np.mean(strengths))


def _mixture_bic(scores: Matrix, labels: Labels, centres: Matrix) -> float:
    """BIC of a mixture of Gaussians with diagonal covariances, started at a k-means solution."""
    floor = 1e-2 * scores.var(axis=0).mean() + 1e-9
    shares = np.bincount(labels, minlength=len(centres)) / len(labels)
    variances = np.array([((scores[labels == j] - centres[j]) ** 2).mean(axis=0) for j in range(len(centres))])
    mixture = GaussianMixture(
        n_components=len(centres),
        covariance_type="diag",
        weights_init=shares / shares.sum(),
        means_init=centres,
        precisions_init=1 / (variances + floor),
        reg_covar=floor,
        max_iter=20,
        tol=1e-2,
        random_state=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # 20 steps are enough to compare candidates
        return float(mixture.fit(scores).bic(scores))

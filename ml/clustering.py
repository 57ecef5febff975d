"""Ways to find groups, behind one interface: k-means, a mixture of Gaussians, Ward's tree, latent classes.

Here belong estimators over plain arrays, in the manners of scikit-learn: `fit`, `predict`, `predict_proba`. Which one
a workspace uses is chosen in `personas`; the arithmetic of k-means and latent classes stands in modules of its own.

All of them give a row the log probability a + b x + c x^2 of each group, up to a constant (`GroupRule`): that is all
a frozen model has to keep.
"""

import warnings
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.cluster.hierarchy import fcluster, ward
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from sklearn.utils.validation import check_is_fitted, validate_data

from ml.latent_classes import latent_classes
from ml.many_starts import Labels, Matrix, best_of_many_starts, nearest, within_sum_of_squares

FEWEST_VARIANCE = 1e-2
"""A group's variance in a column is at least this share of the mean variance: no group shrinks to a point."""
MIXTURE_STEPS = 100


@dataclass(frozen=True)
class GroupRule:
    """How a row gets its group: log probability of each group is a + b x + c x^2, up to a constant of the row.

    Attributes:
        constant: (groups,).
        linear: (groups, columns).
        square: (groups, columns).
    """

    constant: Matrix
    linear: Matrix
    square: Matrix

    def log_probabilities(self, scores: Matrix, is_open: NDArray[np.bool_] | None = None) -> Matrix:
        """Log probability of each group, (rows, groups), adding up to 1 in each row.

        Args:
            scores: (rows, columns).
            is_open: (rows, groups), whether a row may be in a group; by default in all.
        """
        joint = scores @ self.linear.T + (scores**2) @ self.square.T + self.constant
        if is_open is not None:
            joint = np.where(is_open, joint, -np.inf)
        joint -= joint.max(axis=1, keepdims=True)
        return joint - np.log(np.exp(joint).sum(axis=1, keepdims=True))

    def to_dict(self) -> dict[str, Any]:
        """Write the rule as a JSON object."""
        return {name: getattr(self, name).tolist() for name in ("constant", "linear", "square")}

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Self:
        """Read a rule that `to_dict` wrote."""
        return cls(**{name: np.asarray(values, dtype=np.float64) for name, values in state.items()})

    def ordered(self, order: NDArray[np.int64]) -> Self:
        """The same with the groups in another order."""
        return type(self)(self.constant[order], self.linear[order], self.square[order])

    def without(self, groups: NDArray[np.bool_]) -> Self:
        """The same without some groups."""
        return self.ordered(np.flatnonzero(~groups))


def round_groups(centres: Matrix, spread: float) -> GroupRule:
    """The rule of groups that are round, of one spread (mean variance within, per column) and equally likely."""
    return GroupRule(
        constant=-(centres**2).sum(axis=1) / (2 * spread),
        linear=centres / spread,
        square=np.full_like(centres, -1 / (2 * spread)),
    )


class _Groups(ClusterMixin, BaseEstimator):
    """What all ways have in common. Subclasses set `cluster_centers_` and return their rule from `_find`.

    Args:
        n_clusters: Number of groups.
        starts: Starts, of which the best counts.
        random_state: Seed.

    Attributes:
        cluster_centers_: (groups, columns), the mean of each group.
        labels_: (rows,), the group of each row that was fitted.
        rule_: The `GroupRule`.
        inertia_: Sum of squared distances of the rows to the mean of their group.
        n_clusters_: Groups that were found: fewer than asked for where fewer rows differ, or a group has nobody.
    """

    def __init__(self, n_clusters: int = 4, *, starts: int = 50, random_state: int = 7) -> None:
        """Store the settings."""
        self.n_clusters = n_clusters
        self.starts = starts
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Find groups among the rows of a matrix (rows, columns)."""
        matrix = validate_data(self, X, dtype=np.float64)
        if self.n_clusters > len(matrix):
            raise ValueError(f"n_samples={len(matrix)} should be >= n_clusters={self.n_clusters}.")
        self.n_clusters_ = min(self.n_clusters, len(np.unique(matrix, axis=0)))
        rule = self._find(matrix, self.n_clusters_)
        labels = rule.log_probabilities(matrix).argmax(axis=1)
        is_empty = np.bincount(labels, minlength=self.n_clusters_) == 0
        self.rule_, self.n_clusters_ = rule.without(is_empty), int((~is_empty).sum())
        self.labels_ = self.rule_.log_probabilities(matrix).argmax(axis=1)
        self.cluster_centers_ = group_means(matrix, self.labels_, self.n_clusters_)
        self.inertia_ = float(((matrix - self.cluster_centers_[self.labels_]) ** 2).sum())
        return self

    def predict(self, X: ArrayLike) -> Labels:
        """Group of each row; the first of equally likely ones."""
        return self._log_probabilities(X).argmax(axis=1)

    def predict_proba(self, X: ArrayLike) -> Matrix:
        """Probability of each group, (rows, groups)."""
        return np.exp(self._log_probabilities(X))

    def _log_probabilities(self, X: ArrayLike) -> Matrix:
        check_is_fitted(self)
        return self.rule_.log_probabilities(validate_data(self, X, reset=False, dtype=np.float64))

    def _find(self, matrix: Matrix, groups: int) -> GroupRule:
        raise NotImplementedError


class KMeansGroups(_Groups):
    """k-means from many k-means++ starts: round groups of one size in space.

    The default for numbers and mixed columns.
    """

    def _find(self, matrix: Matrix, groups: int) -> GroupRule:
        centres = best_of_many_starts(matrix, groups, self.starts, self.random_state)
        return round_groups(centres, spread_within(matrix, centres))


class WardGroups(_Groups):
    """Ward's tree on a sample, cut into groups; everybody else goes to the nearest mean (Ward 1963).

    Args:
        n_clusters: Number of groups.
        starts: Has no effect: a tree has one solution. Kept so that all ways are called alike.
        sample_size: Rows the tree is built of; memory grows with its square.
        random_state: Seed of the sample.
    """

    def __init__(
        self, n_clusters: int = 4, *, starts: int = 1, sample_size: int = 4_000, random_state: int = 7
    ) -> None:
        """Store the settings."""
        super().__init__(n_clusters, starts=starts, random_state=random_state)
        self.sample_size = sample_size

    def _find(self, matrix: Matrix, groups: int) -> GroupRule:
        sample = matrix
        if len(matrix) > self.sample_size:
            random = np.random.default_rng(self.random_state)
            sample = matrix[np.sort(random.choice(len(matrix), self.sample_size, replace=False))]
        if groups == 1:
            centres = sample.mean(axis=0, keepdims=True)
        else:
            labels = fcluster(ward(sample), groups, "maxclust") - 1
            centres = group_means(sample, labels, int(labels.max()) + 1)
        return round_groups(centres, spread_within(matrix, centres))


class MixtureGroups(_Groups):
    """A mixture of Gaussians without correlations within, started at k-means: groups differ in size and extent."""

    def _find(self, matrix: Matrix, groups: int) -> GroupRule:
        centres = best_of_many_starts(matrix, groups, self.starts, self.random_state)
        mixture = mixture_from(matrix, nearest(matrix, centres), centres, MIXTURE_STEPS)
        precisions = 1 / mixture.covariances_
        return GroupRule(
            constant=np.log(mixture.weights_)
            - 0.5 * (np.log(mixture.covariances_) + mixture.means_**2 * precisions).sum(axis=1),
            linear=mixture.means_ * precisions,
            square=-0.5 * precisions,
        )


class LatentClassGroups(_Groups):
    """Latent classes of yes-or-no answers: within a group, answers are independent.

    The default for surveys. The smallest value of a column is a no, the largest a yes. Values in the middle, as where
    somebody did not answer and the mean stands in, say nothing when classes are found, and both in part afterwards.
    """

    def __init__(self, n_clusters: int = 4, *, starts: int = 20, random_state: int = 7) -> None:
        """Store the settings."""
        super().__init__(n_clusters, starts=starts, random_state=random_state)

    def _find(self, matrix: Matrix, groups: int) -> GroupRule:
        low, high = matrix.min(axis=0), matrix.max(axis=0)
        width = np.where(high > low, high - low, 1.0)
        answers = (matrix - low) / width
        answers = np.where(answers > 0.75, 1.0, np.where(answers < 0.25, 0.0, np.nan))
        chances, shares, self.log_likelihood_ = latent_classes(answers, groups, self.starts, self.random_state)
        odds = np.log(chances) - np.log1p(-chances)
        return GroupRule(
            constant=np.log(shares) + np.log1p(-chances).sum(axis=1) - (odds * low / width).sum(axis=1),
            linear=odds / width,
            square=np.zeros_like(odds),
        )


ALGORITHMS: dict[str, type[_Groups]] = {
    "k_means": KMeansGroups,
    "gaussian_mixture": MixtureGroups,
    "ward": WardGroups,
    "latent_class": LatentClassGroups,
}


def group_means(matrix: Matrix, labels: NDArray[np.int64], groups: int) -> Matrix:
    """Mean of each group, (groups, columns); that of everybody where a group is empty."""
    counts = np.bincount(labels, minlength=groups)
    sums = np.zeros((groups, matrix.shape[1]))
    np.add.at(sums, labels, matrix)
    return np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], matrix.mean(axis=0))


def spread_within(matrix: Matrix, centres: Matrix) -> float:
    """Mean variance within groups, per column."""
    return max(within_sum_of_squares(matrix, centres) / matrix.size, 1e-9)


def mixture_from(matrix: Matrix, labels: NDArray[np.int64], centres: Matrix, steps: int) -> GaussianMixture:
    """Fit a mixture of Gaussians with diagonal covariances, started at a grouping."""
    floor = FEWEST_VARIANCE * matrix.var(axis=0).mean() + 1e-9
    shares = np.maximum(np.bincount(labels, minlength=len(centres)), 1) / len(labels)
    variances = np.array(
        [
            ((matrix[labels == j] - centres[j]) ** 2).mean(axis=0) if (labels == j).any() else matrix.var(axis=0)
            for j in range(len(centres))
        ]
    )
    mixture = GaussianMixture(
        n_components=len(centres),
        covariance_type="diag",
        weights_init=shares / shares.sum(),
        means_init=centres,
        precisions_init=1 / (variances + floor),
        init_params="random_from_data",  # nothing is left to it, and k-means would not be allowed on other arrays
        reg_covar=floor,
        max_iter=steps,
        tol=1e-3,
        random_state=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # enough steps to compare and to assign
        return mixture.fit(matrix)

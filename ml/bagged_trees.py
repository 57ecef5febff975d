"""Trees that each tell the few known people from another handful of everybody, averaged.

Here belong the trees over plain arrays. What they are asked about stands in `lookalikes`.

Bagging for positive and unlabelled data (Mordelet and Vert 2014, "A bagging SVM to learn from positive and unlabeled
examples"): some of everybody are alike and not known to be, and no single draw is spoilt by all of them.
"""

from typing import Self

import numpy as np
from numpy.typing import NDArray
from sklearn.tree import DecisionTreeClassifier

Floats = NDArray[np.float64]

TREES = 100
OTHERS_PER_KNOWN = 5
"""People outside the seed that a tree sees, for each one inside."""
SMALLEST_LEAF = 3
MOST_ROWS = 400
"""Known people that a tree sees: what more would add, other trees do."""


class BaggedTrees:
    """An average of deep trees, each grown on a draw of the known and a larger draw of the others.

    Args:
        random_state: Seed of the draws.
        trees: How many; by default `TREES`.
    """

    def __init__(self, random_state: int = 7, trees: int | None = None) -> None:
        """Store the settings."""
        self.random_state = random_state
        self.trees = trees

    def fit(self, matrix: NDArray[np.float32], is_known: NDArray[np.bool_]) -> Self:
        """Grow the trees.

        Args:
            matrix: (people, columns), without NaN.
            is_known: Who is known; at least one is, and at least one is not.

        Returns:
            Itself.
        """
        known, others = np.flatnonzero(is_known), np.flatnonzero(~is_known)
        drawn_known = min(len(known), MOST_ROWS)
        drawn_others = min(len(others), OTHERS_PER_KNOWN * drawn_known)
        self._grown = []
        for number in range(self.trees or TREES):
            chance = np.random.default_rng([self.random_state, number])
            rows = np.concatenate(
                [chance.choice(known, drawn_known), chance.choice(others, drawn_others, replace=False)]
            )
            tree = DecisionTreeClassifier(
                min_samples_leaf=SMALLEST_LEAF, max_features="sqrt", random_state=int(chance.integers(2**31))
            )
            self._grown.append(tree.fit(matrix[rows], is_known[rows]).tree_)
        return self

    def says(self, matrix: NDArray[np.float32]) -> Floats:
        """Mean share of known people in the leaves that each person falls into, 0..1."""
        matrix = np.ascontiguousarray(matrix, dtype=np.float32)
        total = np.zeros(len(matrix))
        for tree in self._grown:
            total += tree.predict(matrix)[:, -1]
        return total / len(self._grown)

"""Fitted trees as plain arrays, which predict what scikit-learn's own estimators do.

Here belongs taking the arrays out of an estimator, checking them, and walking them with scikit-learn's compiled code.
Both its modules are private to it: the version is pinned, a saved model names it, and a test compares every prediction.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.tree._tree import NODE_DTYPE, Tree

Floats = NDArray[np.float64]
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class BoostedTrees:
    """Trees whose values add up to log-odds.

    Attributes:
        baseline: Log-odds before the first tree.
        trees: In the order they were grown.
        known_levels: Bits of the level codes that occurred, a row per category.
        category_of: Row of `known_levels` by column.
    """

    baseline: float
    trees: list[TreePredictor]
    known_levels: NDArray[np.uint32]
    category_of: NDArray[np.uint32]

    @classmethod
    def of(cls, model: HistGradientBoostingClassifier) -> Self:
        """Take them out of a fitted estimator of two classes whose categories, if any, are its first columns."""
        known, places = model._bin_mapper.make_known_categories_bitsets()
        trees = [predictors[0] for predictors in model._predictors]
        return cls(float(model._baseline_prediction.ravel()[0]), trees, known, places)

    def log_odds(self, matrix: NDArray[np.float32]) -> Floats:
        """Add the trees up, on one thread: two that meet after every tree wait for each other on a busy machine."""
        rows = matrix.astype(np.float64)
        total = np.full(len(rows), self.baseline)
        for tree in self.trees:
            total += tree.predict(rows, self.known_levels, self.category_of, 1)
        return total

    def to_arrays(self) -> Arrays:
        """Lay all trees end to end."""
        sets = [tree.raw_left_cat_bitsets for tree in self.trees]
        return {
            "baseline": np.array([self.baseline]),
            "nodes": np.concatenate([tree.nodes for tree in self.trees]),
            "nodes_per_tree": np.array([len(tree.nodes) for tree in self.trees]),
            "level_sets": np.concatenate(sets),
            "level_sets_per_tree": np.array([len(each) for each in sets]),
            "known_levels": self.known_levels,
            "category_of": self.category_of,
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """Cut them apart again.

        Raises:
            ValueError: A node names a child, a column or a set of levels that is not there.
        """
        columns = len(arrays["category_of"])
        trees = []
        for nodes, sets in zip(
            _cut(_typed(arrays["nodes"], PREDICTOR_RECORD_DTYPE), arrays["nodes_per_tree"]),
            _cut(arrays["level_sets"], arrays["level_sets_per_tree"]),
            strict=True,
        ):
            if arrays["known_levels"].dtype != np.uint32 or sets.dtype != np.uint32:
                raise ValueError("the saved trees have levels of another type")
            splits = nodes[nodes["is_leaf"] == 0]
            _check_children(nodes, splits["left"], splits["right"], nodes["is_leaf"] == 0)
            categorical = splits[splits["is_categorical"] == 1]
            if (splits["feature_idx"] >= columns).any() or (splits["feature_idx"] < 0).any():
                raise ValueError("a saved tree asks for a column that is not there")
            known = arrays["category_of"][categorical["feature_idx"]]
            if (categorical["bitset_idx"] >= len(sets)).any() or (known >= len(arrays["known_levels"])).any():
                raise ValueError("a saved tree asks for levels that are not there")
            trees.append(TreePredictor(nodes, sets, sets))
        return cls(float(arrays["baseline"][0]), trees, arrays["known_levels"], arrays["category_of"])


@dataclass(frozen=True)
class AveragedTrees:
    """Trees whose shares of the outcome are averaged.

    Attributes:
        columns: Width of the matrix.
        trees: In the order they were grown.
    """

    columns: int
    trees: list[Tree]

    @classmethod
    def of(cls, model: RandomForestClassifier) -> Self:
        """Take them out of a fitted estimator of two classes."""
        return cls(model.n_features_in_, [tree.tree_ for tree in model.estimators_])

    def shares(self, matrix: NDArray[np.float32]) -> Floats:
        """Average the trees, always in the same order."""
        rows = np.ascontiguousarray(matrix)
        total = np.zeros(len(rows))
        for tree in self.trees:
            total += tree.predict(rows).reshape(len(rows), 2)[:, 1]
        return total / len(self.trees)

    def to_arrays(self) -> Arrays:
        """Lay all trees end to end."""
        states = [tree.__getstate__() for tree in self.trees]
        return {
            "columns": np.array([self.columns]),
            "nodes": np.concatenate([state["nodes"] for state in states]),
            "values": np.concatenate([state["values"] for state in states]),
            "nodes_per_tree": np.array([state["node_count"] for state in states]),
            "depth_per_tree": np.array([state["max_depth"] for state in states]),
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """Cut them apart again.

        Raises:
            ValueError: A node names a child or a column that is not there.
        """
        columns = int(arrays["columns"][0])
        trees = []
        for nodes, values, depth in zip(
            _cut(_typed(arrays["nodes"], NODE_DTYPE), arrays["nodes_per_tree"]),
            _cut(arrays["values"], arrays["nodes_per_tree"]),
            arrays["depth_per_tree"],
            strict=True,
        ):
            if values.shape[1:] != (1, 2) or values.dtype != np.float64:
                raise ValueError("the saved trees have values of another type")
            is_split = nodes["left_child"] != -1
            splits = nodes[is_split]
            _check_children(nodes, splits["left_child"], splits["right_child"], is_split)
            if (splits["feature"] >= columns).any() or (splits["feature"] < 0).any():
                raise ValueError("a saved tree asks for a column that is not there")
            tree = Tree(columns, np.array([2], dtype=np.intp), 1)
            state = {"max_depth": int(depth), "node_count": len(nodes), "nodes": nodes, "values": values}
            tree.__setstate__(state)
            trees.append(tree)
        return cls(columns, trees)


def _cut(array: NDArray[Any], lengths: Sequence[int] | NDArray[Any]) -> list[NDArray[Any]]:
    if int(np.sum(lengths)) != len(array):
        raise ValueError("the saved trees are not as long as they say")
    return [np.ascontiguousarray(part) for part in np.split(array, np.cumsum(lengths)[:-1])]


def _typed(nodes: NDArray[Any], wanted: np.dtype[Any]) -> NDArray[Any]:
    """Put fields that were laid side by side without gaps where compiled code looks for them."""
    if nodes.dtype.names != wanted.names:
        raise ValueError("the saved trees have other columns")
    return nodes.astype(wanted, casting="safe")


def _check_children(nodes: NDArray[Any], left: NDArray[Any], right: NDArray[Any], is_split: NDArray[np.bool_]) -> None:
    """Compiled code follows them without looking: they have to lead on, and to stay inside."""
    parents = np.flatnonzero(is_split)
    for child in (left.astype(np.int64), right.astype(np.int64)):
        if (child <= parents).any() or (child >= len(nodes)).any():
            raise ValueError("a saved tree leads nowhere")

"""Takes groups that were found among a sample to everybody: where they come to rest, how large they are, in what order.

Here belongs what passes over all people when a model is fitted. The groups come from `persona_search`, or from last
week's personas (`persona_continuation`).
"""

from dataclasses import replace

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.cluster import KMeans

from ml.clustering import group_means
from ml.persona_model import PersonaModel
from ml.preparation import Preparation

SETTLING_ROUNDS = 100


def settle_model(model: PersonaModel, features: pl.DataFrame) -> PersonaModel:
    """Take the groups of a model to everybody.

    Args:
        model: A model whose centres were found among a sample.
        features: One week.

    Returns:
        The model with its centres, shares and spread among everybody, the largest group first.
    """
    if model.algorithm == "k_means":
        centres, shares, spread = settle_centres(features, model.preparation, model.centres)
        return replace(model, centres=centres, shares=shares, spread=spread)
    sums, people, squares = np.zeros_like(model.centres), np.zeros(model.k), 0.0
    order = features["person_id"].arg_sort().to_numpy().astype(np.int64)
    for _, scores in model.preparation.transform_chunks(features, order):
        labels = model.log_probabilities(scores).argmax(axis=1)
        counts = np.bincount(labels, minlength=model.k)
        sums += group_means(scores.astype(np.float64), labels, model.k) * counts[:, None]
        people += counts
        squares += float((scores.astype(np.float64) ** 2).sum())
    centres = np.where(people[:, None] > 0, sums / np.maximum(people, 1)[:, None], model.centres)
    spread = max((squares - float((people[:, None] * centres**2).sum())) / (people.sum() * centres.shape[1]), 1e-9)
    by_size = np.lexsort((centres[:, 0], -people))
    return replace(
        model,
        centres=centres[by_size].round(6) if model.rule is not None else model.centres[by_size].round(6),
        spread=round(spread, 9),
        shares=tuple((people[by_size] / people.sum()).tolist()),
        rule=None if model.rule is None else model.rule.ordered(by_size),
    )


def settle_centres(
    features: pl.DataFrame, preparation: Preparation, start: NDArray[np.float64], rounds: int = SETTLING_ROUNDS
) -> tuple[NDArray[np.float64], tuple[float, ...], float]:
    """Run k-means on everybody from given centres.

    Args:
        features: One week.
        preparation: The fitted preparation.
        start: (groups, columns), the centres to start from.
        rounds: Steps at most.

    Returns:
        Centres (groups, columns), shares of the people, and mean variance within groups per column; the largest first.
    """
    order = features["person_id"].arg_sort().to_numpy().astype(np.int64)
    scores = np.empty((features.height, preparation.n_columns_), dtype=np.float32)
    for first, part in preparation.transform_chunks(features, order):
        scores[first : first + len(part)] = part
    means = KMeans(n_clusters=len(start), init=start.astype(np.float32), n_init=1, max_iter=rounds).fit(scores)
    people = np.bincount(means.labels_, minlength=len(start))
    by_size = np.lexsort((means.cluster_centers_[:, 0], -people))
    centres = means.cluster_centers_[by_size].astype(np.float64).round(6)
    spread = max(float(means.inertia_) / scores.size, 1e-9)
    return centres, tuple((people[by_size] / people.sum()).tolist()), round(spread, 9)

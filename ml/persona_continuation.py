"""Lets the groups of a standing model follow the people who are in them, so that a refit need not begin from nothing.

Here belongs the model that goes on; whether it is as good as one found anew is asked in `persona_tracking`.
"""

from dataclasses import replace

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from ml.people_order import hash_sample
from ml.persona_model import PersonaModel
from ml.persona_settling import SETTLING_ROUNDS, settle_centres

CONTINUATION_SAMPLE = 20_000
"""People among whom a further or a lesser group is looked for."""
FURTHER_CENTRES = 24
"""People at whom a further group is tried to start."""


def continue_personas(
    model: PersonaModel, features: pl.DataFrame, groups: pl.DataFrame, k: int | None = None
) -> PersonaModel:
    """Let the groups of a model follow the people who are in them, measured as before.

    With as many groups as before, each centre moves to the middle of its people, once: among people without sharp
    borders, settling to the end would wander off to another solution that is about as good.

    Args:
        model: A model; its preparation stays.
        features: One week.
        groups: person_id, persona_id: the groups to start from, in any order.
        k: How many groups there shall be; by default as many as before. A further one starts where it explains most; of
            too many, the one goes that is missed least.

    Returns:
        The model with the centres and shares that the groups settle at, the largest first.
    """
    sample = hash_sample(features, CONTINUATION_SAMPLE, model.settings.seed)
    names = sorted(groups["persona_id"].unique().to_list())
    labels = (
        sample.select("person_id")
        .join(groups.select("person_id", "persona_id"), on="person_id", how="left", maintain_order="left")["persona_id"]
        .replace_strict(names, range(len(names)), default=-1, return_dtype=pl.Int64)
        .fill_null(-1)
        .to_numpy()
    )
    scores = model.preparation.transform(sample)
    present = [place for place in range(len(names)) if (labels == place).any()]
    start = np.array([scores[labels == place].mean(axis=0, dtype=np.float64) for place in present])
    wanted = len(start) if k is None else k
    rounds = 1 if wanted == len(start) else SETTLING_ROUNDS
    with threadpool_limits(limits=1):
        while len(start) < wanted:
            further = scores[:FURTHER_CENTRES].astype(np.float64)
            start = _best_start(scores, [np.vstack([start, one]) for one in further])
        while len(start) > wanted:
            start = _best_start(scores, [np.delete(start, place, axis=0) for place in range(len(start))])
        centres, shares, spread = settle_centres(features, model.preparation, start, rounds)
    evidence = replace(model.evidence, segments=(), stability=None)
    return replace(
        model, centres=centres, shares=shares, spread=spread, algorithm="k_means", rule=None, evidence=evidence
    )


def _best_start(scores: NDArray[np.float32], starts: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """The start that settles at the lowest sum of squares, settled."""
    settled = [
        KMeans(n_clusters=len(start), init=start.astype(np.float32), n_init=1, max_iter=30).fit(scores)
        for start in starts
    ]
    best = min(settled, key=lambda means: float(means.inertia_))
    return best.cluster_centers_.astype(np.float64)

"""Which persona of last week a group of this week continues: ids that outlive refits.

Here belongs matching of groups. What a persona is called stands in `naming`.

Method: the assignment that keeps the most people together (Kuhn 1955, the Hungarian method), as in MONIC
(Spiliopoulou et al. 2006, "MONIC: modeling and monitoring cluster transitions").
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from ml.preparation import Preparation

SURVIVES_FROM = 0.3
"""Jaccard index from which a group continues a persona."""
SUCCEEDS_FROM = 0.3
"""Share of a retired persona's people from which the persona that took them is its successor."""
NEAR_WITHIN = 1.0
"""Root mean square difference per column up to which centres are the same, where few people are shared."""
SHARED_BASE = 0.1
"""With a smaller share of shared people, it is another base, and centres decide instead of people."""

_ID_PATTERN = re.compile(r"persona-(\d+)")

MATCH_SCHEMA = {
    "cluster": pl.Int64,
    "persona_id": pl.String,
    "status": pl.String,
    "people": pl.Int64,
    "jaccard": pl.Float64,
}
RETIRED_SCHEMA = {"persona_id": pl.String, "successor_id": pl.String, "successor_share": pl.Float64}


@dataclass(frozen=True)
class PersonaMatch:
    """What became of last week's personas.

    Attributes:
        groups: By cluster: cluster, persona_id, status ("kept" or "born"), people (in the group now), jaccard
            0..1 of the people who are in both weeks (null where born or matched by centres).
        retired: By persona_id: personas without a group now, successor_id and successor_share 0..1 (null where
            nobody took at least 30 % of its people).
        method: "people", "centres", or "first" where there was nothing to match.
    """

    groups: pl.DataFrame
    retired: pl.DataFrame
    method: str

    @property
    def persona_ids(self) -> dict[int, str]:
        """Persona by cluster."""
        return dict(self.groups.select("cluster", "persona_id").iter_rows())


def match_personas(
    previous: pl.DataFrame,
    current: pl.DataFrame,
    previous_centres: pl.DataFrame | None = None,
    current_centres: pl.DataFrame | None = None,
    retired_ids: Collection[str] = (),
) -> PersonaMatch:
    """Give this week's groups the ids of last week's personas, and new ids to new groups.

    Args:
        previous: person_id, persona_id of the week before; may be empty.
        current: person_id, cluster.
        previous_centres: persona_id and one column per dimension, in standardized units; see `group_centres`.
            Used instead of people where fewer than 10 % of the smaller base are in both weeks.
        current_centres: cluster and the same dimensions.
        retired_ids: Ids used in the past, which are never given again.

    Returns:
        The match. New ids continue the highest number ever used: `persona-01`, `persona-02`, ..., the largest
        group first.
    """
    sizes = current.group_by("cluster").agg(people=pl.len()).sort("cluster")
    clusters, old_ids = sizes["cluster"].to_list(), sorted(previous["persona_id"].unique().to_list())
    overlap = _overlap(previous, current, old_ids, clusters)
    smaller_base = min(previous.height, current.height)
    is_same_base = overlap.sum() >= SHARED_BASE * smaller_base > 0
    if not old_ids:
        method, similarity = "first", np.zeros_like(overlap)
    elif is_same_base or previous_centres is None or current_centres is None:
        method, similarity = "people", _jaccard(overlap)
        similarity = np.where(similarity >= SURVIVES_FROM, similarity, 0.0)
    else:
        method, similarity = "centres", _nearness(previous_centres, current_centres, old_ids, clusters)

    rows, columns = linear_sum_assignment(similarity, maximize=True)
    kept = {int(column): int(row) for row, column in zip(rows, columns, strict=True) if similarity[row, column] > 0}
    born = sorted(
        (column for column in range(len(clusters)) if column not in kept), key=lambda c: (-sizes["people"][c], c)
    )
    new_ids = dict(zip(born, _new_ids(len(born), {*old_ids, *retired_ids}), strict=True))
    groups = [
        {
            "cluster": cluster,
            "persona_id": old_ids[kept[column]] if column in kept else new_ids[column],
            "status": "kept" if column in kept else "born",
            "people": sizes["people"][column],
            "jaccard": float(similarity[kept[column], column]) if column in kept and method == "people" else None,
        }
        for column, cluster in enumerate(clusters)
    ]
    matched = pl.DataFrame(groups, schema=MATCH_SCHEMA)
    gone = [row for row in range(len(old_ids)) if row not in kept.values()]
    return PersonaMatch(matched, _retired(gone, overlap, old_ids, matched["persona_id"].to_list()), method)


def group_centres(
    preparation: Preparation, features: pl.DataFrame, groups: pl.DataFrame, group_column: str
) -> pl.DataFrame:
    """Mean position of each group in the frozen space of a preparation, for `match_personas`.

    Both weeks have to be measured in the same space: pass the same preparation for both.

    Args:
        preparation: A fitted preparation.
        features: One week of features.
        groups: person_id and the group.
        group_column: Name of the group column: persona_id or cluster.

    Returns:
        The group column and d0, d1, ..., each divided by its standard deviation over the people.
    """
    scores = preparation.transform(features)
    spread = np.maximum(scores.std(axis=0, dtype=np.float64), 1e-9)
    columns = {f"d{position}": scores[:, position] / spread[position] for position in range(scores.shape[1])}
    placed = pl.DataFrame({"person_id": features["person_id"], **columns})
    return (
        groups.select("person_id", group_column)
        .join(placed, on="person_id")
        .group_by(group_column)
        .agg(pl.col(list(columns)).cast(pl.Float64).mean())
        .sort(group_column)
    )


def _overlap(
    previous: pl.DataFrame, current: pl.DataFrame, old_ids: list[str], clusters: list[int]
) -> NDArray[np.float64]:
    shared = (
        previous.select("person_id", "persona_id")
        .join(current.select("person_id", "cluster"), on="person_id")
        .group_by("persona_id", "cluster")
        .len()
    )
    overlap = np.zeros((len(old_ids), len(clusters)))
    for persona_id, cluster, people in shared.iter_rows():
        overlap[old_ids.index(persona_id), clusters.index(cluster)] = people
    return overlap


def _jaccard(overlap: NDArray[np.float64]) -> NDArray[np.float64]:
    union = overlap.sum(axis=1, keepdims=True) + overlap.sum(axis=0, keepdims=True) - overlap
    return np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0)


def _nearness(
    previous: pl.DataFrame, current: pl.DataFrame, old_ids: list[str], clusters: list[int]
) -> NDArray[np.float64]:
    dimensions = [name for name in previous.columns if name != "persona_id"]
    old, new = (
        pl.DataFrame({key: values})
        .join(centres, on=key, how="left", maintain_order="left")
        .select(dimensions)
        .to_numpy()
        for key, values, centres in (("persona_id", old_ids, previous), ("cluster", clusters, current))
    )
    distances = np.sqrt(((old[:, None, :] - new[None, :, :]) ** 2).mean(axis=2))
    return np.where(distances <= NEAR_WITHIN, 1 / (1 + distances), 0.0)


def _new_ids(count: int, used: Iterable[str]) -> list[str]:
    numbers = [int(found.group(1)) for found in map(_ID_PATTERN.fullmatch, used) if found]
    highest = max(numbers, default=0)
    return [f"persona-{highest + step:02d}" for step in range(1, count + 1)]


def _retired(gone: list[int], overlap: NDArray[np.float64], old_ids: list[str], persona_ids: list[str]) -> pl.DataFrame:
    rows = []
    for row in gone:
        shared = overlap[row].sum()
        share = overlap[row].max() / shared if shared else 0.0
        has_successor = share >= SUCCEEDS_FROM
        rows.append(
            {
                "persona_id": old_ids[row],
                "successor_id": persona_ids[int(overlap[row].argmax())] if has_successor else None,
                "successor_share": float(share) if has_successor else None,
            }
        )
    return pl.DataFrame(rows, schema=RETIRED_SCHEMA)

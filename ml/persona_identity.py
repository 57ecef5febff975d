"""Which persona of the past a group continues: ids that outlive refits, and what became of each persona.

Here belongs matching of groups, and what is called a birth, a death, a split or a merge. What a persona is called
stands in `naming`; whether a new solution may take over, in `persona_tracking`.

Method: the assignment that keeps the most people together (Kuhn 1955, the Hungarian method), with the transitions of
MONIC (Spiliopoulou et al. 2006, "MONIC: modeling and monitoring cluster transitions"). Where few people are in both
bases, or overlap alone leaves a doubt, the distance of the centres in the frozen space decides.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from ml.preparation import Preparation

SURVIVES_FROM = 0.3
"""Jaccard index from which a group continues a persona."""
SURVIVES_NEARBY_FROM = 0.15
"""Jaccard index from which a group continues a persona whose centre it stands close to."""
CLOSE_WITHIN = 0.5
"""Root mean square difference per column, in standard deviations, up to which centres stand close."""
NEAR_WITHIN = 1.0
"""The same, up to which centres are the same persona where few people are in both bases."""
SHARED_BASE = 0.1
"""With a smaller share of shared people, it is another base, and centres decide instead of people."""
SUCCEEDS_FROM = 0.3
"""Share of a retired persona's people from which the persona that took them is its successor."""
MERGES_FROM = 0.5
"""Share of a retired persona's people from which the persona that took them has merged with it (MONIC: survival)."""
SPLITS_FROM = 0.3
"""Share of a persona's people from which a new group that took them has split off (MONIC: split)."""
MADE_OF_FROM = 0.5
"""Share of a new group's people from which they say where the group came from."""
CLOSENESS_WEIGHT = 0.05
"""How much closeness of centres counts beside overlap: enough to settle what people leave open."""

_ID_PATTERN = re.compile(r"persona-(\d+)")

MATCH_SCHEMA = {
    "cluster": pl.Int64,
    "persona_id": pl.String,
    "status": pl.String,
    "people": pl.Int64,
    "jaccard": pl.Float64,
    "distance": pl.Float64,
}
RETIRED_SCHEMA = {"persona_id": pl.String, "successor_id": pl.String, "successor_share": pl.Float64}
EVENT_SCHEMA = {
    "persona_id": pl.String,
    "event": pl.String,
    "from_ids": pl.String,
    "to_ids": pl.String,
    "overlap": pl.Float64,
    "distance": pl.Float64,
    "reason": pl.String,
}
EVENTS = ("birth", "continuation", "split", "merge", "death", "return")


@dataclass(frozen=True)
class PersonaMatch:
    """What became of the personas of the past.

    Attributes:
        groups: By cluster: cluster, persona_id, status ("kept" or "born"), people (in the group now), jaccard
            0..1 of the people who are in both bases, distance of the centres in standard deviations per column (both
            null where born; distance null without centres).
        retired: By persona_id: personas without a group now, successor_id and successor_share 0..1 (null where
            nobody took at least 30 % of its people).
        events: By persona_id: persona_id; event, one of `EVENTS`; from_ids and to_ids, personas with a comma between;
            overlap 0..1 (of a continuation the Jaccard index, otherwise the share of people that decided); distance;
            reason in words.
        method: "people", "centres", or "first" where there was nothing to match.
    """

    groups: pl.DataFrame
    retired: pl.DataFrame
    events: pl.DataFrame
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
    origins: pl.DataFrame | None = None,
) -> PersonaMatch:
    """Give this week's groups the ids of the personas they continue, and new ids to new groups.

    Args:
        previous: person_id, persona_id as the personas stand; may be empty.
        current: person_id, cluster.
        previous_centres: persona_id and one column per dimension, in standardized units; see `group_centres`.
            Decides alone where fewer than 10 % of the smaller base are in both.
        current_centres: cluster and the same dimensions.
        retired_ids: Ids used in the past, which are never given again.
        origins: person_id, persona_id as it was before anybody's behaviour of this week was seen; says where the people
            of a new group come from and where those of a lost one went. By default `previous`, which is the same where
            behaviour has not changed.

    Returns:
        The match. New ids continue the highest number ever used: `persona-01`, `persona-02`, ..., the largest
        group first.
    """
    sizes = current.group_by("cluster").agg(people=pl.len()).sort("cluster")
    clusters, old_ids = sizes["cluster"].to_list(), sorted(previous["persona_id"].unique().to_list())
    overlap = _overlap(previous, current, old_ids, clusters)
    distances = _distances(previous_centres, current_centres, old_ids, clusters)
    smaller_base = min(previous.height, current.height)
    is_same_base = overlap.sum() >= SHARED_BASE * smaller_base > 0
    if not old_ids:
        method, similarity = "first", np.zeros_like(overlap)
    elif is_same_base or distances is None:
        method, similarity = "people", _similarity(_jaccard(overlap), distances)
    else:
        method, similarity = "centres", np.where(distances <= NEAR_WITHIN, 1 / (1 + distances), 0.0)

    rows, columns = linear_sum_assignment(similarity, maximize=True)
    kept = {int(column): int(row) for row, column in zip(rows, columns, strict=True) if similarity[row, column] > 0}
    born = sorted(
        (column for column in range(len(clusters)) if column not in kept), key=lambda c: (-sizes["people"][c], c)
    )
    new_ids = dict(zip(born, _new_ids(len(born), {*old_ids, *retired_ids}), strict=True))
    jaccard = _jaccard(overlap)
    groups = [
        {
            "cluster": cluster,
            "persona_id": old_ids[kept[column]] if column in kept else new_ids[column],
            "status": "kept" if column in kept else "born",
            "people": sizes["people"][column],
            "jaccard": float(jaccard[kept[column], column]) if column in kept and method == "people" else None,
            "distance": float(distances[kept[column], column]) if column in kept and distances is not None else None,
        }
        for column, cluster in enumerate(clusters)
    ]
    matched = pl.DataFrame(groups, schema=MATCH_SCHEMA)
    gone = [row for row in range(len(old_ids)) if row not in kept.values()]
    now_ids = matched["persona_id"].to_list()
    came_from = overlap if origins is None else _overlap(origins, current, old_ids, clusters)
    events = [
        *(_tell_kept(group, method) for group in groups if group["status"] == "kept"),
        *(_tell_born(column, came_from, old_ids, now_ids, kept, method) for column in born),
        *(_tell_gone(row, came_from, old_ids, now_ids, distances) for row in gone),
    ]
    return PersonaMatch(
        groups=matched,
        retired=_retired(gone, came_from, old_ids, now_ids),
        events=pl.DataFrame(events, schema=EVENT_SCHEMA).sort("persona_id"),
        method=method,
    )


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
        .sort("person_id")
        .group_by(group_column, maintain_order=True)
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
    for persona_id, cluster, people in shared.filter(pl.col("persona_id").is_in(old_ids)).iter_rows():
        overlap[old_ids.index(persona_id), clusters.index(cluster)] = people
    return overlap


def _jaccard(overlap: NDArray[np.float64]) -> NDArray[np.float64]:
    union = overlap.sum(axis=1, keepdims=True) + overlap.sum(axis=0, keepdims=True) - overlap
    return np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0)


def _similarity(jaccard: NDArray[np.float64], distances: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """How much two groups are one persona, 0 where they cannot be."""
    if distances is None:
        return np.where(jaccard >= SURVIVES_FROM, jaccard, 0.0)
    may_be = (jaccard >= SURVIVES_FROM) | ((jaccard >= SURVIVES_NEARBY_FROM) & (distances <= CLOSE_WITHIN))
    return np.where(may_be, jaccard + CLOSENESS_WEIGHT / (1 + distances), 0.0)


def _distances(
    previous: pl.DataFrame | None, current: pl.DataFrame | None, old_ids: list[str], clusters: list[int]
) -> NDArray[np.float64] | None:
    if previous is None or current is None or not old_ids:
        return None
    dimensions = [name for name in previous.columns if name != "persona_id"]
    old, new = (
        pl.DataFrame({key: values})
        .join(centres, on=key, how="left", maintain_order="left")
        .select(dimensions)
        .to_numpy()
        for key, values, centres in (("persona_id", old_ids, previous), ("cluster", clusters, current))
    )
    distances: NDArray[np.float64] = np.sqrt(((old[:, None, :] - new[None, :, :]) ** 2).mean(axis=2))
    return distances


def _new_ids(count: int, used: Iterable[str]) -> list[str]:
    numbers = [int(found.group(1)) for found in map(_ID_PATTERN.fullmatch, used) if found]
    highest = max(numbers, default=0)
    return [f"persona-{highest + step:02d}" for step in range(1, count + 1)]


def _event(persona_id: str, event: str, **told: Any) -> dict[str, Any]:
    return {"persona_id": persona_id, "event": event, "from_ids": None, "to_ids": None, "overlap": None} | {
        "distance": None,
        **told,
    }


def _tell_kept(group: dict[str, Any], method: str) -> dict[str, Any]:
    if method == "people":
        reason = f"{group['jaccard']:.0%} of the people of either are in both"
    else:
        reason = f"the centres differ by {group['distance']:.2f} standard deviations per column"
    persona = group["persona_id"]
    return _event(
        persona,
        "continuation",
        from_ids=persona,
        to_ids=persona,
        overlap=group["jaccard"],
        distance=group["distance"],
        reason=reason,
    )


def _tell_born(
    column: int,
    overlap: NDArray[np.float64],
    old_ids: list[str],
    now_ids: list[str],
    kept: dict[int, int],
    method: str,
) -> dict[str, Any]:
    persona = now_ids[column]
    if method == "first":
        return _event(persona, "birth", to_ids=persona, reason="found in the first solution")
    people = overlap[:, column]
    if people.sum() == 0:
        return _event(persona, "birth", to_ids=persona, reason="nobody in it was known before")
    parent = int(people.argmax())
    of_group, of_parent = people[parent] / people.sum(), people[parent] / max(overlap[parent].sum(), 1)
    if of_group >= MADE_OF_FROM and of_parent >= SPLITS_FROM:
        heirs = [now_ids[other] for other, row in kept.items() if row == parent]
        return _event(
            persona,
            "split",
            from_ids=old_ids[parent],
            to_ids=", ".join(sorted([*heirs, persona])),
            overlap=float(of_parent),
            reason=f"{of_parent:.0%} of the people of {old_ids[parent]} went there and make up {of_group:.0%} of it",
        )
    return _event(
        persona,
        "birth",
        to_ids=persona,
        overlap=float(of_group),
        reason=f"no persona continues in it; the largest part of its people, {of_group:.0%}, came from "
        f"{old_ids[parent]}",
    )


def _tell_gone(
    row: int,
    overlap: NDArray[np.float64],
    old_ids: list[str],
    now_ids: list[str],
    distances: NDArray[np.float64] | None,
) -> dict[str, Any]:
    persona, people = old_ids[row], overlap[row]
    if people.sum() == 0:
        return _event(persona, "death", from_ids=persona, reason="nobody in it is known any more")
    heir = int(people.argmax())
    share = float(people[heir] / people.sum())
    told = {
        "from_ids": persona,
        "overlap": share,
        "distance": None if distances is None else float(distances[row, heir]),
        "to_ids": now_ids[heir] if share >= SUCCEEDS_FROM else None,
    }
    if share >= MERGES_FROM:
        told |= {"from_ids": ", ".join(sorted([persona, now_ids[heir]])) if now_ids[heir] in old_ids else persona}
        return _event(persona, "merge", reason=f"{share:.0%} of its people are in {now_ids[heir]} now", **told)
    return _event(
        persona,
        "death",
        reason=f"no group continues it; the largest part of its people, {share:.0%}, went to {now_ids[heir]}",
        **told,
    )


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

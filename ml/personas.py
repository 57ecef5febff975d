"""Finds groups of people that behave alike, and says to which of them a person belongs.

Here belong fitting a persona model and assigning people with it. How many personas there are is chosen in
`persona_count`; which of last week's personas a group continues, in `persona_identity`; its name, in `naming`.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from ml.catalogue import Kind, inputs_of, require_one_week
from ml.people_order import hash_sample
from ml.persona_count import EVIDENCE_SCHEMA, best_of_many_starts, choose_count, gather_evidence, squared_distances
from ml.preparation import Preparation

PEOPLE_PER_PERSONA = 10
"""With fewer people than this for each persona, groups are chance."""
SETTLING_ROUNDS = 100
CONTINUATION_SAMPLE = 20_000
"""People among whom a further or a lesser group is looked for."""
FURTHER_CENTRES = 24
"""People at whom a further group is tried to start."""
ASSIGNMENT_SCHEMA = {
    "person_id": pl.String,
    "cluster": pl.Int64,
    "strength": pl.Float64,
    "runner_up": pl.Int64,
    "margin": pl.Float64,
}


class TooFewPeople(ValueError):
    """There is nobody to find personas among."""


@dataclass(frozen=True)
class PersonaSettings:
    """How personas are found.

    Attributes:
        k: Number of personas, or None to choose it within `k_range`.
        k_range: Fewest and most personas to choose from.
        sample_size: People the groups are searched among before everybody is used.
        starts: k-means starts; reproducibility comes from many.
        minimum_share: A chosen number has no persona with a smaller share of the people, 0..1.
        seed: Random seed.
    """

    k: int | None = None
    k_range: tuple[int, int] = (3, 8)
    sample_size: int = 20_000
    starts: int = 20
    minimum_share: float = 0.02
    seed: int = 7


@dataclass(frozen=True)
class PersonaModel:
    """A frozen persona model: it assigns people of any week, without learning from them.

    Attributes:
        preparation: The fitted preparation.
        centres: (k, columns) in the space of the preparation, largest group first.
        spread: Mean variance within groups per column; the scale on which strength is measured.
        shares: Share of the people in each group when the model was fitted.
        k_evidence: k, silhouette, stability, prediction_strength, bic, within_sum_of_squares, smallest_share,
            is_chosen; no rows where there was nothing to choose from.
        choice: Why this number of personas, in words.
        settings: The settings it was fitted with.
    """

    preparation: Preparation
    centres: NDArray[np.float64]
    spread: float
    shares: tuple[float, ...]
    k_evidence: pl.DataFrame
    choice: str
    settings: PersonaSettings

    @property
    def k(self) -> int:
        """Number of personas."""
        return len(self.centres)

    @property
    def model_id(self) -> str:
        """Hash of everything the model is: equal models have equal ids."""
        content = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(content.encode()).hexdigest()[:12]

    def assign(self, features: pl.DataFrame) -> pl.DataFrame:
        """Assign each person to the nearest centre.

        Args:
            features: One week: person_id, as_of (optional) and the features the model was fitted on.

        Returns:
            By person_id: person_id; cluster 0..k-1; strength 0..1, the probability of the cluster if all were
            round, of the same spread and equally likely; runner_up, the second nearest (null if k = 1);
            margin 0..1, strength less that of the runner-up. Does not depend on the order of the rows.

        Raises:
            ValueError: Several weeks, a person twice, or a feature is missing.
        """
        require_one_week(features)
        order = features["person_id"].arg_sort().to_numpy().astype(np.int64)
        people = features["person_id"].gather(order).cast(pl.String)
        if self.k == 1:
            return pl.DataFrame(
                {"person_id": people, "cluster": 0, "strength": 1.0, "runner_up": None, "margin": 1.0},
                schema=ASSIGNMENT_SCHEMA,
            )
        ranks = np.empty((features.height, 2), dtype=np.int64)
        probabilities = np.empty((features.height, 2))
        for start, scores in self.preparation.transform_chunks(features, order):
            rows = slice(start, start + len(scores))
            ranks[rows], probabilities[rows] = _two_nearest(scores.astype(np.float64), self.centres, self.spread)
        return pl.DataFrame(
            {
                "person_id": people,
                "cluster": ranks[:, 0],
                "strength": probabilities[:, 0].round(6),
                "runner_up": ranks[:, 1],
                "margin": (probabilities[:, 0] - probabilities[:, 1]).round(6),
            },
            schema=ASSIGNMENT_SCHEMA,
        )

    def probabilities(self, features: pl.DataFrame) -> tuple[pl.Series, NDArray[np.float64]]:
        """Say how probable every cluster is for each person.

        Args:
            features: As for `assign`.

        Returns:
            The people by person_id, and (people, k): each row sums to 1, measured as the strength of `assign` is.

        Raises:
            ValueError: Several weeks, a person twice, or a feature is missing.
        """
        require_one_week(features)
        order = features["person_id"].arg_sort().to_numpy().astype(np.int64)
        people = features["person_id"].gather(order).cast(pl.String)
        probabilities = np.ones((features.height, self.k))
        if self.k > 1:
            for start, scores in self.preparation.transform_chunks(features, order):
                distances = squared_distances(scores.astype(np.float64), self.centres)
                likelihoods = np.exp((distances.min(axis=1, keepdims=True) - distances) / (2 * self.spread))
                probabilities[start : start + len(scores)] = likelihoods / likelihoods.sum(axis=1, keepdims=True)
        return people, probabilities

    def to_dict(self) -> dict[str, Any]:
        """Write the model as a JSON object."""
        return {
            "preparation": self.preparation.to_dict(),
            "centres": self.centres.tolist(),
            "spread": self.spread,
            "shares": list(self.shares),
            "k_evidence": self.k_evidence.to_dicts(),
            "choice": self.choice,
            "settings": {**asdict(self.settings), "k_range": list(self.settings.k_range)},
        }

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Self:
        """Read a model that `to_dict` wrote."""
        return cls(
            preparation=Preparation.from_dict(state["preparation"]),
            centres=np.asarray(state["centres"], dtype=np.float64),
            spread=float(state["spread"]),
            shares=tuple(state["shares"]),
            k_evidence=pl.DataFrame(state["k_evidence"], schema=EVIDENCE_SCHEMA),
            choice=state["choice"],
            settings=PersonaSettings(**{**state["settings"], "k_range": tuple(state["settings"]["k_range"])}),
        )


def fit_personas(
    features: pl.DataFrame, catalogue: pl.DataFrame, settings: PersonaSettings | None = None
) -> PersonaModel:
    """Find the personas of one week.

    The groups are searched by many k-means starts among a sample, chosen and ordered by the hash of the person,
    and then settled on everybody. Neither the order of the rows nor the number of processors has a say.

    Where groups would be chance, everybody is one persona, and `choice` says why: fewer than ten people per
    persona wanted, or no feature that varies for at least 1 % of the people.

    Args:
        features: One week: person_id, as_of (optional) and feature columns, with nulls.
        catalogue: The feature catalogue, see `catalogue`.
        settings: How personas are found; by default as `PersonaSettings` says.

    Returns:
        The model, its groups numbered from the largest to the smallest.

    Raises:
        TooFewPeople: The frame has no rows.
        ValueError: Several weeks or a person twice; k or k_range is not within 1.. and ascending.
    """
    settings = settings or PersonaSettings()
    fewest, most = (settings.k, settings.k) if settings.k is not None else settings.k_range
    if not 1 <= fewest <= most:
        raise ValueError(f"the number of personas must be ascending from 1, got {fewest} to {most}")
    if features.height == 0:
        raise TooFewPeople("there are no people to find personas among")
    require_one_week(features)
    inputs = inputs_of(catalogue, features.columns, "is_persona_input")

    most = min(most, features.height // PEOPLE_PER_PERSONA)
    if most < fewest:
        reason = (
            f"{features.height} people are too few for {fewest} personas; {fewest * PEOPLE_PER_PERSONA} are needed."
        )
        return _single_persona(features, {}, settings, f"One persona: {reason}")
    with threadpool_limits(limits=1):  # threads add up in a different order every time, and so would the centres
        sample = hash_sample(features, settings.sample_size, settings.seed)
        preparation = Preparation(sample_size=settings.sample_size, random_state=settings.seed).fit(sample, inputs)
        if preparation.n_columns_ == 0:
            return _single_persona(features, inputs, settings, "One persona: no feature tells people apart.")
        if most == 1:
            return _single_persona(features, inputs, settings, "One persona, as set.")
        scores = preparation.transform(sample).astype(np.float64)
        distinct = len(np.unique(scores, axis=0))
        if distinct < fewest:
            reason = f"people fall into {distinct} kinds that are all alike, fewer than {fewest}."
            return _single_persona(features, inputs, settings, f"One persona: {reason}")
        candidates = range(max(fewest, 2), min(most, distinct) + 1)
        evidence = gather_evidence(scores, candidates, settings.starts, settings.seed)
        k, choice = choose_count(evidence, settings.minimum_share)
        if len(candidates) == 1:
            choice = f"{k} personas, as set." if settings.k is not None else f"{k} personas, the only number possible."
        start = best_of_many_starts(scores, k, settings.starts, settings.seed)
        centres, shares, spread = _settle(features, preparation, start)
    return PersonaModel(
        preparation=preparation,
        centres=centres,
        spread=spread,
        shares=shares,
        k_evidence=evidence.with_columns(is_chosen=pl.col("k") == k),
        choice=choice,
        settings=settings,
    )


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
        centres, shares, spread = _settle(features, model.preparation, start, rounds)
    return replace(model, centres=centres, shares=shares, spread=spread)


def _best_start(scores: NDArray[np.float32], starts: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """The start that settles at the lowest sum of squares, settled."""
    settled = [
        KMeans(n_clusters=len(start), init=start.astype(np.float32), n_init=1, max_iter=30).fit(scores)
        for start in starts
    ]
    best = min(settled, key=lambda means: float(means.inertia_))
    return best.cluster_centers_.astype(np.float64)


def _settle(
    features: pl.DataFrame, preparation: Preparation, start: NDArray[np.float64], rounds: int = SETTLING_ROUNDS
) -> tuple[NDArray[np.float64], tuple[float, ...], float]:
    """Run k-means on everybody from given centres; returns centres, shares and spread, largest group first."""
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


def _two_nearest(
    scores: NDArray[np.float64], centres: NDArray[np.float64], spread: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    distances = squared_distances(scores, centres)
    nearest = distances.argsort(axis=1, kind="stable")[:, :2]
    likelihoods = np.exp((distances.min(axis=1, keepdims=True) - distances) / (2 * spread))
    probabilities = likelihoods / likelihoods.sum(axis=1, keepdims=True)
    return nearest, np.take_along_axis(probabilities, nearest, axis=1)


def _single_persona(
    features: pl.DataFrame, inputs: dict[str, Kind], settings: PersonaSettings, choice: str
) -> PersonaModel:
    preparation = Preparation(sample_size=settings.sample_size, random_state=settings.seed).fit(features, inputs)
    return PersonaModel(
        preparation=preparation,
        centres=np.zeros((1, preparation.n_columns_)),
        spread=1.0,
        shares=(1.0,),
        k_evidence=pl.DataFrame(schema=EVIDENCE_SCHEMA),
        choice=choice,
        settings=settings,
    )

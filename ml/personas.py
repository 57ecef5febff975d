"""Finds groups of people that behave alike, and says to which of them a person belongs.

Here belong fitting a persona model and assigning people with it. How many personas there are is chosen in
`persona_count`; which of last week's personas a group continues, in `persona_identity`; its name, in `naming`.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from ml.catalogue import Kind, inputs_of, require_one_week
from ml.clustering import ALGORITHMS, GroupRule, group_means, round_groups
from ml.many_starts import Labels, Matrix, best_of_many_starts
from ml.null_model import test_for_groups
from ml.people_order import hash_sample
from ml.persona_count import EVIDENCE_SCHEMA, THOROUGH, WEEKLY, CountEvidence, Effort, choose_count, gather_evidence
from ml.persona_evidence import (
    Merge,
    PersonaEvidence,
    Segment,
    judge_segments,
    kind_of_solution,
    merge_weak_segments,
    size_notes,
    solution_notes,
)
from ml.preparation import Preparation
from ml.stability import FindGroups, k_means_finder

PEOPLE_PER_PERSONA = 10
"""With fewer people than this for each persona, groups are chance."""
SMALL_BASE = 5_000
REDRAWN_STARTS = 4
"""Starts per redrawn sample for the algorithms that are slow."""
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
        starts: Starts of the chosen solution; below `SMALL_BASE` people twice as many. Reproducibility comes from many.
        minimum_share: A persona has at least this share of the people, 0..1.
        minimum_people: And at least as many people; where the base is too small for that, half of an even share.
        algorithm: One of `ALGORITHMS`; None chooses by the kind of data: latent classes for surveys, k-means else.
        families: Weight by feature family; see `Preparation`.
        market_feature: A category: people of each of its values have personas of their own; None: all are in one.
        market_minimum: People a market needs for that; smaller ones share personas.
        is_thorough: Whether evidence is gathered for minutes instead of seconds.
        seed: Random seed.
    """

    k: int | None = None
    k_range: tuple[int, int] = (3, 8)
    sample_size: int = 20_000
    starts: int = 50
    minimum_share: float = 0.02
    minimum_people: int = 50
    algorithm: str | None = None
    families: Mapping[str, float] | None = None
    market_feature: str | None = None
    market_minimum: int = 2_000
    is_thorough: bool = False
    seed: int = 7

    @property
    def effort(self) -> Effort:
        """How much is computed to judge solutions."""
        return THOROUGH if self.is_thorough else WEEKLY

    def smallest_persona(self, people: int) -> float:
        """People that a persona needs, in a base of so many."""
        fewest = self.k if self.k is not None else self.k_range[0]
        return min(max(self.minimum_people, self.minimum_share * people), people / (2 * max(fewest, 1)))


@dataclass(frozen=True)
class PersonaModel:
    """A frozen persona model: it assigns people of any week, without learning from them.

    Attributes:
        preparation: The fitted preparation.
        centres: (k, columns) in the space of the preparation, largest group first.
        spread: Mean variance within groups per column; the scale on which strength is measured.
        shares: Share of the people in each group when the model was fitted.
        k_evidence: As `gather_evidence` gives it; no rows where there was nothing to choose from.
        choice: Why this number of personas, in words.
        settings: The settings it was fitted with.
        algorithm: One of `ALGORITHMS`.
        rule: How people are assigned where it is not to the nearest centre, with groups alike; else None.
        evidence: What is known of the solution; with markets, that of the largest.
        markets: Per persona the market its people are in, None for those who share; empty without markets.
    """

    preparation: Preparation
    centres: NDArray[np.float64]
    spread: float
    shares: tuple[float, ...]
    k_evidence: pl.DataFrame
    choice: str
    settings: PersonaSettings
    algorithm: str = "k_means"
    rule: GroupRule | None = None
    evidence: PersonaEvidence = field(default_factory=PersonaEvidence)
    markets: tuple[str | None, ...] = ()

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
        """Assign each person to the most probable persona: the nearest centre, unless there is another rule.

        Args:
            features: One week: person_id, as_of (optional) and the features the model was fitted on.

        Returns:
            By person_id: person_id; cluster 0..k-1; strength 0..1, the probability of the cluster; of k-means,
            if all were round, of the same spread and equally likely; runner_up, the second (null if k = 1);
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
            ranks[rows], probabilities[rows] = _two_likeliest(self._log_probabilities(scores, features, order[rows]))
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
                rows = slice(start, start + len(scores))
                probabilities[rows] = np.exp(self._log_probabilities(scores, features, order[rows]))
        return people, probabilities

    def _log_probabilities(
        self, scores: NDArray[np.float32], features: pl.DataFrame | None = None, rows: NDArray[np.int64] | None = None
    ) -> Matrix:
        """Log probability of each group, (people, k); with markets, only of those in the market of each row."""
        rule = self.rule if self.rule is not None else round_groups(self.centres, self.spread)
        if not self.markets or features is None or rows is None:
            return rule.log_probabilities(scores.astype(np.float64))
        feature = self.settings.market_feature
        if feature not in features.columns:
            raise ValueError(f"the features lack the column that says the market: {feature}")
        known = sorted({market for market in self.markets if market is not None})
        places = {market: place for place, market in enumerate(known)}
        codes = features[feature][rows].cast(pl.String).replace_strict(places, default=-1, return_dtype=pl.Int64)
        own = np.array([-1 if market is None else places[market] for market in self.markets])
        return rule.log_probabilities(scores.astype(np.float64), codes.fill_null(-1).to_numpy()[:, None] == own)

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
            "algorithm": self.algorithm,
            "rule": None if self.rule is None else self.rule.to_dict(),
            "evidence": self.evidence.to_dict(),
            "markets": list(self.markets),
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
            algorithm=state.get("algorithm", "k_means"),
            rule=GroupRule.from_dict(state["rule"]) if state.get("rule") else None,
            evidence=PersonaEvidence.from_dict(state["evidence"]) if "evidence" in state else PersonaEvidence(),
            markets=tuple(state.get("markets", ())),
        )


def fit_personas(
    features: pl.DataFrame,
    catalogue: pl.DataFrame,
    settings: PersonaSettings | None = None,
    standing_count: int | None = None,
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
        standing_count: How many personas there are so far; another number needs evidence, see `choose_count`. It has no
            say with markets.

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

    if settings.market_feature is not None:
        inputs.pop(settings.market_feature, None)
    with threadpool_limits(limits=1):  # threads add up in a different order every time, and so would the centres
        if features.height // PEOPLE_PER_PERSONA < fewest:
            return _single_persona(features, {}, settings, _too_few(features.height, fewest))
        sample = hash_sample(features, settings.sample_size, settings.seed)
        preparation = _prepare(sample, inputs, catalogue, settings)
        if settings.market_feature is None:
            return _fit(features, sample, preparation, inputs, settings, standing_count)
        return _fit_markets(features, sample, preparation, inputs, settings)


def _too_few(people: int, fewest: int) -> str:
    needed = fewest * PEOPLE_PER_PERSONA
    return f"One persona: {people} people are too few for {fewest} personas; {needed} are needed."


def _fit(
    features: pl.DataFrame,
    sample: pl.DataFrame,
    preparation: Preparation,
    inputs: dict[str, Kind],
    settings: PersonaSettings,
    standing_count: int | None = None,
) -> PersonaModel:
    """Find personas among people who are measured already."""
    fewest, most = (settings.k, settings.k) if settings.k is not None else settings.k_range
    most = min(most, features.height // PEOPLE_PER_PERSONA)
    if most < fewest:
        return _one_persona(preparation, features, settings, _too_few(features.height, fewest))
    if preparation.n_columns_ == 0:
        return _single_persona(features, inputs, settings, "One persona: no feature tells people apart.")
    if most == 1:
        return _single_persona(features, inputs, settings, "One persona, as set.")
    scores = preparation.transform(sample).astype(np.float64)
    distinct = len(np.unique(scores, axis=0))
    if distinct < fewest:
        reason = f"people fall into {distinct} kinds that are all alike, fewer than {fewest}."
        return _one_persona(preparation, features, settings, f"One persona: {reason}")
    candidates = range(max(fewest, 2), min(most, distinct) + 1)
    found = _find(preparation, scores, candidates, features.height, settings, standing_count)
    model = PersonaModel(
        preparation=preparation,
        centres=found.centres,
        spread=1.0,
        shares=(),
        k_evidence=found.counted.table.with_columns(is_chosen=pl.col("k") == found.k),
        choice=found.choice,
        settings=settings,
        algorithm=found.algorithm,
        rule=found.rule,
    )
    model = _settled(model, features)
    return replace(model, evidence=_evidence(model, sample, scores, found, len(inputs), features.height))


def _fit_markets(
    features: pl.DataFrame,
    sample: pl.DataFrame,
    preparation: Preparation,
    inputs: dict[str, Kind],
    settings: PersonaSettings,
) -> PersonaModel:
    """Find personas in each market that is large enough, and shared ones for everybody else, all on one scale."""
    feature = settings.market_feature
    if feature not in features.columns:
        raise ValueError(f"the features lack the column that says the market: {feature}")
    counts = features[feature].cast(pl.String).drop_nulls().value_counts(sort=True)
    large = sorted(counts.filter(pl.col("count") >= settings.market_minimum)[feature].to_list())
    if not large:
        note = f"No market has {settings.market_minimum:,} people; all share personas."
        model = _fit(features, sample, preparation, inputs, settings)
        return replace(model, evidence=replace(model.evidence, notes=(*model.evidence.notes, note)))
    market = pl.col(feature).cast(pl.String)
    parts: list[tuple[str | None, PersonaModel]] = []
    for name in large:
        people = features.filter(market == name)
        own_sample = hash_sample(people, settings.sample_size, settings.seed)
        parts.append((name, _fit(people, own_sample, preparation, inputs, settings)))
    rest = features.filter(~market.is_in(large).fill_null(False))
    notes = []
    is_thin = 0 < rest.height < settings.market_minimum
    if is_thin:
        notes.append(
            f"{rest.height:,} people of small or unknown markets are too few for personas of their own; theirs were "
            "found among everybody."
        )
    if rest.height:
        # Even where the rest is too few to be learned from, everybody has a persona: the pooled one.
        fitted_on, own_sample = (
            (features, sample) if is_thin else (rest, hash_sample(rest, settings.sample_size, settings.seed))
        )
        parts.append((None, _fit(fitted_on, own_sample, preparation, inputs, settings)))
    return _together(parts, features, settings, notes)


def _together(
    parts: list[tuple[str | None, PersonaModel]], features: pl.DataFrame, settings: PersonaSettings, notes: list[str]
) -> PersonaModel:
    """One model of the models of all markets, its personas numbered from the largest."""
    rules = [part.rule if part.rule is not None else round_groups(part.centres, part.spread) for _, part in parts]
    names = [name if name is not None else "all other people" for name, _ in parts]
    largest = max(parts, key=lambda part: part[1].evidence.people if part[0] is not None else -1)[1]
    told = [f"{name}: {part.evidence.kind_words}" for name, (_, part) in zip(names, parts, strict=True)]
    told += [f"{name}: {note}" for name, (_, part) in zip(names, parts, strict=True) for note in part.evidence.notes]
    model = PersonaModel(
        preparation=largest.preparation,
        centres=np.vstack([part.centres for _, part in parts]),
        spread=float(np.mean([part.spread for _, part in parts])),
        shares=(),
        k_evidence=largest.k_evidence,
        choice=" ".join(f"{name}: {part.choice}" for name, (_, part) in zip(names, parts, strict=True)),
        settings=settings,
        algorithm=largest.algorithm,
        rule=GroupRule(
            *(np.concatenate([getattr(rule, name) for rule in rules]) for name in ("constant", "linear", "square"))
        ),
        evidence=replace(largest.evidence, notes=(*told, *notes), segments=(), people=features.height),
        markets=tuple(name for name, part in parts for _ in range(part.k)),
    )
    assigned = model.assign(features)["cluster"].to_numpy()
    people = np.bincount(assigned, minlength=model.k)
    by_size = np.lexsort((model.centres[:, 0], -people))
    segments = [one for _, part in parts for one in _segments_of(part)]
    share_of = people / people.sum()
    judged = tuple(
        replace(segments[old], cluster=new, people_share=round(float(share_of[old]), 6))
        for new, old in enumerate(by_size)
        if segments[old] is not None
    )
    return replace(
        model,
        centres=model.centres[by_size],
        shares=tuple(share_of[by_size].tolist()),
        rule=model.rule.ordered(by_size) if model.rule is not None else None,
        markets=tuple(model.markets[old] for old in by_size),
        evidence=replace(model.evidence, segments=judged),
    )


def _segments_of(part: PersonaModel) -> list[Any]:
    """The judged segment of each cluster; None where nothing was judged."""
    by_cluster = {one.cluster: one for one in part.evidence.segments}
    return [by_cluster.get(cluster) for cluster in range(part.k)]


@dataclass(frozen=True)
class _Found:
    """A solution among the sample, and how it came about."""

    algorithm: str
    k: int
    centres: Matrix
    rule: GroupRule | None
    counted: CountEvidence
    choice: str
    merges: tuple[Merge, ...]
    notes: tuple[str, ...]


def _prepare(
    sample: pl.DataFrame, inputs: dict[str, Kind], catalogue: pl.DataFrame, settings: PersonaSettings
) -> Preparation:
    families = dict(catalogue.select("feature", "family").iter_rows())
    estimator = Preparation(
        sample_size=settings.sample_size, random_state=settings.seed, family_weights=settings.families
    )
    return estimator.fit(sample, inputs, families)


def _find(
    preparation: Preparation,
    scores: Matrix,
    candidates: Sequence[int],
    people: int,
    settings: PersonaSettings,
    standing_count: int | None = None,
) -> _Found:
    """Choose the number of groups, find them among the sample, and join those that are too weak to stand alone."""
    effort, notes = settings.effort, []
    algorithm = settings.algorithm or ("latent_class" if preparation.is_survey_ else "k_means")
    if algorithm == "latent_class" and not preparation.is_survey_:
        notes.append("Latent classes are for yes-or-no answers, and there are other features; k-means was used.")
        algorithm = "k_means"
    counted = gather_evidence(scores, candidates, effort, settings.seed)
    smallest_share = settings.smallest_persona(people) / people
    k, choice = choose_count(counted.table, smallest_share, standing_count)
    if len(candidates) == 1:
        choice = f"{k} personas, as set." if settings.k is not None else f"{k} personas, the only number possible."
    starts = settings.starts * (2 if people < SMALL_BASE else 1)
    fewest = k if settings.k is not None else max(2, settings.k_range[0])
    merges: list[Merge] = []
    rule = None
    if algorithm == "k_means":
        centres = best_of_many_starts(scores, k, starts, settings.seed)
        part = scores[: effort.rows]
        centres, merges = merge_weak_segments(
            part, centres, fewest, smallest_share, k_means_finder(effort.sample_starts), effort.pairs, settings.seed
        )
        if merges:
            joined = "one was" if len(merges) == 1 else f"{len(merges)} were"
            choice += f" As {joined} too small or not found again, and joined to the nearest, {len(centres)} remain."
    else:
        groups = ALGORITHMS[algorithm](n_clusters=k, random_state=settings.seed).fit(scores)
        centres = groups.cluster_centers_
        rule = None if algorithm == "ward" else groups.rule_
    return _Found(algorithm, k, centres, rule, counted, choice, tuple(merges), tuple(notes))


def _settled(model: PersonaModel, features: pl.DataFrame) -> PersonaModel:
    """The model with its centres and shares among everybody, the largest group first."""
    if model.algorithm == "k_means":
        centres, shares, spread = _settle(features, model.preparation, model.centres)
        return replace(model, centres=centres, shares=shares, spread=spread)
    sums, people, squares = np.zeros_like(model.centres), np.zeros(model.k), 0.0
    order = features["person_id"].arg_sort().to_numpy().astype(np.int64)
    for _, scores in model.preparation.transform_chunks(features, order):
        labels = model._log_probabilities(scores).argmax(axis=1)
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


def _evidence(
    model: PersonaModel, sample: pl.DataFrame, scores: Matrix, found: _Found, inputs: int, people: int
) -> PersonaEvidence:
    """Test the sample against people without groups, and judge the groups the model has."""
    effort, seed = model.settings.effort, model.settings.seed
    null_sample = sample.head(effort.null_rows)
    null_candidates = range(2, min(max(8, model.k), len(np.unique(scores[: effort.null_rows], axis=0)) - 1) + 1)
    null_test = None
    if null_candidates:
        null_test = test_for_groups(model.preparation, null_sample, null_candidates, effort.null_replicates, seed)
    stability, segments = _judge(model, scores, effort)
    table = found.counted.table
    notes = (
        *size_notes(people, inputs),
        *found.notes,
        *solution_notes(table.filter(~pl.col("is_reproducible"))["k"].to_list(), segments),
    )
    return PersonaEvidence(
        solution_kind=kind_of_solution(null_test, stability),
        null_test=null_test,
        stability=stability,
        segments=segments,
        merges=found.merges,
        notes=notes,
        origins=tuple(found.counted.origins.to_dicts()),
        features=inputs,
        people=people,
    )


def _judge(model: PersonaModel, scores: Matrix, effort: Effort) -> tuple[float, tuple[Segment, ...]]:
    def labels_of(rows: Matrix) -> Labels:
        return model._log_probabilities(rows.astype(np.float32)).argmax(axis=1)

    if model.algorithm == "k_means":
        find = k_means_finder(effort.sample_starts)
        return judge_segments(scores[: effort.rows], labels_of, model.centres, find, effort.pairs, model.settings.seed)
    find = _finder(model.algorithm)
    rows, pairs = effort.rows // 2, max(effort.pairs // 2, 2)
    return judge_segments(scores[:rows], labels_of, model.centres, find, pairs, model.settings.seed)


def _finder(algorithm: str) -> FindGroups:
    """Group redrawn samples as a model of this algorithm was found."""

    def find(scores: Matrix, k: int, seed: int, samples: Matrix) -> Labels:
        labels = []
        for turn, counts in enumerate(samples.T):
            rows = np.repeat(np.arange(len(scores)), counts.astype(np.int64))
            groups = ALGORITHMS[algorithm](n_clusters=k, starts=REDRAWN_STARTS, random_state=seed + turn)
            labels.append(groups.fit(scores[rows]).predict(scores))
        return np.array(labels)

    return find


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
    evidence = replace(model.evidence, segments=(), stability=None)
    return replace(
        model, centres=centres, shares=shares, spread=spread, algorithm="k_means", rule=None, evidence=evidence
    )


def judge_again(model: PersonaModel, features: pl.DataFrame) -> PersonaModel:
    """Judge the groups of a model that went on with those of another.

    Args:
        model: As `continue_personas` returns it; a model that is judged already is returned as it is.
        features: One week.

    Returns:
        The model with the stability and the segments of its own groups.
    """
    if model.k < 2 or model.evidence.segments:
        return model
    sample = hash_sample(features, model.settings.effort.rows, model.settings.seed)
    with threadpool_limits(limits=1):
        stability, segments = _judge(
            model, model.preparation.transform(sample).astype(np.float64), model.settings.effort
        )
    kind = kind_of_solution(model.evidence.null_test, stability)
    evidence = replace(model.evidence, stability=stability, segments=segments, solution_kind=kind)
    return replace(model, evidence=evidence)


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


def _two_likeliest(log_probabilities: Matrix) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    likeliest = (-log_probabilities).argsort(axis=1, kind="stable")[:, :2]
    return likeliest, np.exp(np.take_along_axis(log_probabilities, likeliest, axis=1))


def _one_persona(
    preparation: Preparation, features: pl.DataFrame, settings: PersonaSettings, choice: str
) -> PersonaModel:
    """One persona for everybody, in the space of a preparation that is fitted already."""
    return PersonaModel(
        preparation=preparation,
        centres=np.zeros((1, preparation.n_columns_)),
        spread=1.0,
        shares=(1.0,),
        k_evidence=pl.DataFrame(schema=EVIDENCE_SCHEMA),
        choice=choice,
        settings=settings,
        evidence=PersonaEvidence(people=features.height, features=len(preparation.features_)),
    )


def _single_persona(
    features: pl.DataFrame, inputs: dict[str, Kind], settings: PersonaSettings, choice: str
) -> PersonaModel:
    preparation = Preparation(sample_size=settings.sample_size, random_state=settings.seed).fit(features, inputs)
    return _one_persona(preparation, features, settings, choice)

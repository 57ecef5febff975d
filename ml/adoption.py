"""How early people try what is launched: evidence per launch, a frozen model of it, and the classes of the curve.

What belongs here: arithmetic on matrices of people and launches. How well the classes hold stands in
`adoption_validity.py`; where launches and first uses come from is for whoever calls this.

The evidence of a launch is a rank: who of those that could have tried it did so earlier than whom. Whoever has not
tried it when it closes is only known to come after those who have (censored). Ranks become expected normal scores
(Blom, "Statistical Estimates and Transformed Beta-Variables", 1958), those of the censored the mean of what is left of
the curve, so that a launch's scores have the mean 0. A person's score is the mean of the scores, drawn towards what
affinity and breadth of use lead one to expect, as if that were so and so many launches more: the posterior mean of a
normal model with random effects of people (C. R. Henderson, "Best linear unbiased estimation and prediction under a
selection model", Biometrics 1975).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.special import ndtr, ndtri

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

FEWEST_TRIED = 20
"""A launch that fewer people tried says nothing: its ranks would be chance, or its event is not called so."""
FEWEST_WITH_REACH = 20
"""Fewest people with a signal of reach before its percentile is one."""
SURE = 1.96
"""Standard errors of a 95 % interval."""
_MIX = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(31))

INFLUENCE_SCHEMA = {"person": pl.Int64, "kind": pl.String, "signal": pl.String, "amount": pl.Float64}
"""`person`: position; `kind`: reach or creation; `signal`: which; `amount`: how much, above 0."""


@dataclass(frozen=True)
class AdoptionRules:
    """What classes are made by.

    Attributes:
        shares: parts of people per class at the reference date, from the earliest class on; they add up to 1.
        minimum_launches: fewest launches that must say something of a person.
        minimum_people: fewest people with so many.
        minimum_reliability: least reliability of the score of somebody who has seen as many as the middle person.
        reach_percentile: who has reach, among those with any of a signal at the reference date, 0 to 100.
        fewest_creations: fewest things made, over all signals of creation.
    """

    shares: tuple[float, ...]
    minimum_launches: int = 2
    minimum_people: int = 200
    minimum_reliability: float = 0.3
    reach_percentile: float = 95.0
    fewest_creations: int = 1


@dataclass(frozen=True)
class Evidence:
    """What launches say of people.

    Attributes:
        scores: people x launches, expected normal scores (0 as everybody, above 0 earlier); nan where a launch says
            nothing of a person.
        is_closed: per launch, whether trying it no longer counts, so that it speaks of all who could have tried it.
        seen, tried: per person, how many launches say something, and how many of these the person tried.
        fingerprint: per person, a number that changes with the person's own evidence and with nothing else.
    """

    scores: FloatArray
    is_closed: BoolArray
    seen: IntArray
    tried: IntArray
    fingerprint: npt.NDArray[np.uint64]

    @property
    def total(self) -> FloatArray:
        """The sum of each person's scores."""
        return np.nansum(self.scores, axis=1)

    def of_every(self, step: int) -> Evidence:
        """The evidence of every so-manieth person."""
        if step == 1:
            return self
        return Evidence(
            self.scores[::step], self.is_closed, self.seen[::step], self.tried[::step], self.fingerprint[::step]
        )


@dataclass(frozen=True)
class Signal:
    """How much launches say about each other.

    Attributes:
        launches: closed launches that it is told by.
        people: people who have seen at least two of them.
        typical_launches: launches that the middle one of these people has seen, open ones that were tried included.
        correlation, correlation_low, correlation_high: of a person's scores for two launches, with its 95 % interval.
        variance: of scores, over people and launches.
        reliability, reliability_low, reliability_high: of the score of somebody who has seen `typical_launches`: its
            squared correlation with what it measures, 0 to 1.
    """

    launches: int
    people: int
    typical_launches: int
    correlation: float
    correlation_low: float
    correlation_high: float
    variance: float
    reliability: float
    reliability_low: float
    reliability_high: float


@dataclass(frozen=True)
class AdoptionModel:
    """Frozen numbers that place people: the same evidence gives the same class in every later week.

    Attributes:
        cuts: lowest score of each class but the last, from the earliest class on, for people at the reference date.
        shares: the share of each class that these cuts made then.
        typical_launches: launches that the middle person had seen then.
        between, prior_variance, within: variances of scores: of people around what was expected of them, of what was
            expected, and of a person's scores from launch to launch.
        prior: names of what is expected from, each with its mean, its standard deviation and its weight.
        reach_cuts: per signal of reach, what more than makes reach.
    """

    cuts: tuple[float, ...]
    shares: tuple[float, ...]
    typical_launches: int
    between: float
    prior_variance: float
    within: float
    prior: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    reach_cuts: dict[str, float] = field(default_factory=dict)

    @property
    def launches_worth(self) -> float:
        """How many launches what is expected of somebody counts as."""
        return self.within / self.between

    def spread(self, launches: npt.ArrayLike) -> FloatArray:
        """The standard deviation of scores from so many launches, as the model has it: more evidence spreads people."""
        seen = np.asarray(launches, dtype=np.float64)
        return np.sqrt(self.prior_variance + self.between * seen / (seen + self.launches_worth))

    def cuts_at(self, typical_launches: int) -> FloatArray:
        """The cut points where the middle person has seen so many launches: else both ends would grow by themselves."""
        factor = float(self.spread(typical_launches) / self.spread(self.typical_launches))
        return np.array(self.cuts) * factor

    def as_plain(self) -> dict[str, Any]:
        """As numbers, texts and lists."""
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> AdoptionModel:
        """What `as_plain` gave."""
        given = dict(plain)
        given["cuts"], given["shares"] = tuple(given["cuts"]), tuple(given["shares"])
        given["prior"] = {name: tuple(numbers) for name, numbers in given["prior"].items()}
        return cls(**given)


@dataclass(frozen=True)
class Places:
    """Where people stand (arrays of one length, one entry per person).

    Attributes:
        innovativeness: score in standard deviations of people, 0 as everybody; nan where there is too little evidence.
        curve_class: position of the class on the curve, 0 the earliest; -1 where there is too little evidence.
        probability: of that class, 0 to 1; nan likewise.
    """

    innovativeness: FloatArray
    curve_class: IntArray
    probability: FloatArray


def evidence_of_launches(
    days: FloatArray, could_try: BoolArray, is_closed: BoolArray, launch_ids: Sequence[str]
) -> Evidence:
    """Turn first uses into scores.

    Args:
        days: people x launches, days from the launch until somebody first tried it; nan where that has not happened.
        could_try: people x launches, whether the person was there before the launch.
        is_closed: per launch, whether trying it no longer counts.
        launch_ids: what the launches are called.

    Returns:
        Their evidence. A launch that was not tried by `FEWEST_TRIED` people says nothing. Of an open launch, those who
        tried it are told already, since nobody can overtake them any more; the others are not.
    """
    people, launches = days.shape
    scores = np.full((people, launches), np.nan)
    mixed = np.zeros(people, dtype=np.uint64)
    seen, tried_count = np.zeros(people, dtype=np.int64), np.zeros(people, dtype=np.int64)
    for launch in range(launches):
        audience, tried = could_try[:, launch], could_try[:, launch] & ~np.isnan(days[:, launch])
        audience_size, tried_size = int(audience.sum()), int(tried.sum())
        if tried_size < FEWEST_TRIED:
            continue
        when = days[tried, launch]
        scores[tried, launch] = -ndtri(_middle_ranks(when) / audience_size)
        told = tried
        if is_closed[launch]:
            if tried_size < audience_size:
                scores[audience & ~tried, launch] = _left_of_the_curve(tried_size / audience_size)
            told = audience
        seen += told
        tried_count += tried
        moment = np.zeros(people, dtype=np.uint64)
        moment[tried] = np.rint(when * 86_400 + 1).astype(np.uint64)
        mixed[told] += _mixed(moment[told], launch_ids[launch])
    return Evidence(scores, is_closed, seen, tried_count, mixed)


def signal_of(evidence: Evidence, minimum_launches: int) -> Signal | None:
    """How much launches say about each other, from those that are closed; None with fewer than two of them.

    The correlation is that of one-way random effects (intraclass), over all pairs of launches that somebody has seen
    both of; its standard error is Fisher's, 2(1-r)²(1+(m-1)r)² / (m(m-1)n), with m launches per person.
    """
    told = evidence.is_closed & ~np.isnan(evidence.scores).all(axis=0)
    scores = evidence.scores[:, told]
    has = ~np.isnan(scores)
    count = has.sum(axis=1)
    twice = count >= 2
    if scores.shape[1] < 2 or twice.sum() < 2:
        return None
    filled = np.where(has, scores, 0.0)[twice]
    sums, squares, counts = filled.sum(axis=1), (filled**2).sum(axis=1), count[twice].astype(np.float64)
    pairs = (counts * (counts - 1)).sum()
    covariance = float((sums**2 - squares).sum() / pairs)
    variance = float((squares * (counts - 1)).sum() / pairs)
    correlation = covariance / variance if variance > 0 else 0.0
    people, each = int(twice.sum()), float(counts.mean())
    spread = abs((1 - correlation) * (1 + (each - 1) * correlation)) * np.sqrt(2 / (each * (each - 1) * people))
    low, high = correlation - SURE * spread, correlation + SURE * spread
    enough = evidence.seen >= minimum_launches
    typical = int(np.median(evidence.seen[enough])) if enough.any() else minimum_launches
    reliable = [_reliability(value, typical) for value in (correlation, low, high)]
    return Signal(int(told.sum()), people, typical, correlation, low, high, variance, *reliable)


def why_withheld(
    signal: Signal | None, evidence: Evidence, rules: AdoptionRules, is_standing: bool, observed_days: int
) -> str | None:
    """Why nobody is placed on the curve; None where people are.

    Args:
        signal: how much launches say about each other.
        evidence: what launches say of people.
        rules: what is asked for.
        is_standing: whether cut points stand already; then they are kept unless the launches surely say too little.
        observed_days: for how many days trying a launch counts.
    """
    closed = int((evidence.is_closed & ~np.isnan(evidence.scores).all(axis=0)).sum()) if evidence.scores.size else 0
    if closed < 2 or signal is None:
        return (
            f"{closed} of at least 2 launches can be judged; it takes {observed_days} days since the launch, and "
            f"{FEWEST_TRIED} people who were there before and tried it"
        )
    people = int((evidence.seen >= rules.minimum_launches).sum())
    if people < rules.minimum_people and not is_standing:
        return f"{people} of at least {rules.minimum_people} people have seen {rules.minimum_launches} launches"
    reached = signal.reliability_high if is_standing else signal.reliability_low
    if reached < rules.minimum_reliability:
        return (
            "who tries one launch early says too little about who tries another early: reliability "
            f"{max(signal.reliability, 0):.2f} ({max(signal.reliability_low, 0):.2f} to "
            f"{max(signal.reliability_high, 0):.2f}), {rules.minimum_reliability:.2f} is asked for"
        )
    return None


def fit_adoption_model(
    evidence: Evidence,
    signal: Signal,
    expected_from: Mapping[str, FloatArray],
    influence: pl.DataFrame,
    rules: AdoptionRules,
) -> AdoptionModel:
    """Set cut points by the people of today, for good.

    Args:
        evidence: what launches say of people.
        signal: how much launches say about each other.
        expected_from: per name, a number per person that may go with innovativeness (affinity, breadth of use); nan
            where it is not known.
        influence: `INFLUENCE_SCHEMA`.
        rules: shares of the classes and what else is asked for.

    Returns:
        Numbers to keep. What is expected of somebody comes from a regression of the mean score on `expected_from`;
        a weight below zero, or within two standard errors of it, is none. Where many people have the same score, all of
        them are in one class, the one that brings the shares nearest.
    """
    enough = evidence.seen >= rules.minimum_launches
    people_variance = max(signal.correlation, 1e-3) * signal.variance
    prior = _expectations(evidence, enough, expected_from)
    expected = _expected(prior, expected_from, len(enough))
    prior_variance = min(float(expected[enough].var()), 0.8 * people_variance)
    model = AdoptionModel(
        cuts=(),
        shares=(),
        typical_launches=signal.typical_launches,
        between=people_variance - prior_variance,
        prior_variance=prior_variance,
        within=signal.variance - people_variance,
        prior=prior,
        reach_cuts=_reach_cuts(influence, rules.reach_percentile),
    )
    cuts, shares = _cut(_scores(model, evidence, expected)[enough], rules.shares)
    return AdoptionModel(**{**model.__dict__, "cuts": cuts, "shares": shares})


def place_people(
    model: AdoptionModel,
    evidence: Evidence,
    expected_from: Mapping[str, FloatArray],
    minimum_launches: int,
    typical_launches: int,
) -> Places:
    """Where people stand by a model's frozen numbers.

    Args:
        model: the numbers.
        evidence: what launches say of people.
        expected_from: as in `fit_adoption_model`.
        minimum_launches: fewest launches that must say something of a person.
        typical_launches: launches that the middle person has seen by now.
    """
    expected = _expected(model.prior, expected_from, len(evidence.seen))
    enough = evidence.seen >= minimum_launches
    score = np.where(enough, _scores(model, evidence, expected), np.nan)
    cuts = model.cuts_at(typical_launches)
    position = np.where(enough, _positions(score, cuts), -1)
    # Where the class would begin and end for people of whom everything were known.
    people_spread = float(np.sqrt(model.prior_variance + model.between))
    ends = np.concatenate([[np.inf], cuts / model.spread(typical_launches) * people_spread, [-np.inf]])
    left = np.sqrt(model.between * model.launches_worth / (evidence.seen + model.launches_worth))
    upper, lower = ends[np.maximum(position, 0)], ends[np.maximum(position, 0) + 1]
    probability = ndtr((upper - score) / left) - ndtr((lower - score) / left)
    return Places(score / people_spread, position.astype(np.int64), np.where(enough, probability, np.nan))


def kept_where_nothing_is_new(
    places: Places, fingerprint: npt.NDArray[np.uint64], before: Places, fingerprint_before: npt.NDArray[np.uint64]
) -> Places:
    """Last week's place for everybody whose own evidence is what it was: others' news, or affinity, move nobody.

    Args:
        places: by this week's evidence.
        fingerprint: of this week's evidence.
        before: last week's places of the same people by the same model; -2 as `curve_class` where there is none.
        fingerprint_before: of last week's evidence.
    """
    same = (before.curve_class >= -1) & (fingerprint == fingerprint_before)
    return Places(
        np.where(same, before.innovativeness, places.innovativeness),
        np.where(same, before.curve_class, places.curve_class),
        np.where(same, before.probability, places.probability),
    )


def influencers(
    influence: pl.DataFrame, reach_cuts: Mapping[str, float], fewest_creations: int, people: int
) -> BoolArray:
    """Who has both reach and creation.

    Args:
        influence: `INFLUENCE_SCHEMA`.
        reach_cuts: per signal of reach, what more than makes reach.
        fewest_creations: fewest things made, over all signals.
        people: how many people there are.
    """
    reaching, made = np.zeros(people, dtype=np.bool_), np.zeros(people)
    for (kind, signal), rows in influence.group_by("kind", "signal", maintain_order=True):
        who, amount = rows["person"].to_numpy(), rows["amount"].to_numpy()
        if kind == "creation":
            np.add.at(made, who, amount)
        elif signal in reach_cuts:
            reaching[who[amount > reach_cuts[str(signal)]]] = True
    return reaching & (made >= fewest_creations)


def class_by_rank(scores: FloatArray, shares: Sequence[float]) -> IntArray:
    """The position of each score's class where the shares are cut among these scores themselves."""
    cuts, _ = _cut(scores, shares)
    return _positions(scores, np.array(cuts))


def mean_scores(scores: FloatArray, launches_worth: float) -> FloatArray:
    """Mean of each person's scores, drawn to 0 as if so many launches more had said 0; nan where there is none."""
    count = (~np.isnan(scores)).sum(axis=1)
    return np.where(count > 0, np.nansum(scores, axis=1) / (count + launches_worth), np.nan)


def _middle_ranks(when: FloatArray) -> FloatArray:
    """Ranks from 0.5 on; those who tried it at the same moment share the middle of their ranks."""
    _, place, count = np.unique(when, return_inverse=True, return_counts=True)
    before = np.concatenate([[0], np.cumsum(count)[:-1]])
    return (before + count / 2)[place]


def _left_of_the_curve(share_tried: float) -> float:
    """The mean of a standard normal distribution below what `share_tried` of it exceeds."""
    limit = -ndtri(share_tried)
    return float(-np.exp(-(limit**2) / 2) / np.sqrt(2 * np.pi) / (1 - share_tried))


def _mixed(moment: npt.NDArray[np.uint64], launch_id: str) -> npt.NDArray[np.uint64]:
    """A number per launch and moment, spread over all 64 bits so that sums tell evidence apart."""
    start = np.uint64(int.from_bytes(hashlib.sha256(launch_id.encode()).digest()[:8], "little"))
    mixed = (moment * _MIX[0]) ^ start
    mixed = (mixed ^ (mixed >> _MIX[2])) * _MIX[1]
    return np.asarray(mixed ^ (mixed >> _MIX[2]), dtype=np.uint64)


def _reliability(correlation: float, launches: int) -> float:
    """Of a mean over so many launches (Spearman and Brown, 1910)."""
    return launches * correlation / (1 + (launches - 1) * correlation) if correlation > -1 / launches else -1.0


def _scores(model: AdoptionModel, evidence: Evidence, expected: FloatArray) -> FloatArray:
    worth = model.launches_worth
    return np.asarray((worth * expected + evidence.total) / (worth + evidence.seen))


def _expectations(
    evidence: Evidence, enough: BoolArray, expected_from: Mapping[str, FloatArray]
) -> dict[str, tuple[float, float, float]]:
    """Mean, standard deviation and weight of each number that goes with early trying."""
    mean_score = evidence.total[enough] / evidence.seen[enough]
    scales: dict[str, tuple[float, float]] = {}
    columns: dict[str, FloatArray] = {}
    for name, values in expected_from.items():
        told = values[enough]
        known = told[~np.isnan(told)]
        if len(known) > 50 and known.std() > 1e-9:
            scales[name] = (float(known.mean()), float(known.std()))
            columns[name] = np.nan_to_num((told - scales[name][0]) / scales[name][1], nan=0.0)
    while columns:
        matrix = np.column_stack(list(columns.values()))
        gram = matrix.T @ matrix + 1e-6 * len(matrix) * np.eye(len(columns))
        weights = np.linalg.solve(gram, matrix.T @ mean_score)
        residual = float(((mean_score - matrix @ weights) ** 2).mean())
        sureness = weights / np.sqrt(residual * np.diag(np.linalg.inv(gram)))
        weakest = int(np.argmin(sureness))
        if sureness[weakest] >= 2:
            return {name: (*scales[name], float(weight)) for name, weight in zip(columns, weights, strict=True)}
        del columns[list(columns)[weakest]]
    return {}


def _expected(
    prior: Mapping[str, tuple[float, float, float]], expected_from: Mapping[str, FloatArray], people: int
) -> FloatArray:
    expected = np.zeros(people)
    for name, (mean, deviation, weight) in prior.items():
        if name in expected_from:
            expected += weight * np.nan_to_num((expected_from[name] - mean) / deviation, nan=0.0)
    return expected


def _cut(scores: FloatArray, shares: Sequence[float]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Cut points between scores, and the shares they make; equal scores stay together."""
    values, counts = np.unique(scores, return_counts=True)
    values, counts = values[::-1], counts[::-1]
    at_least = np.cumsum(counts) / max(len(scores), 1)
    cuts = []
    for wanted in np.cumsum(shares)[:-1]:
        place = int(np.argmin(np.abs(at_least - wanted)))
        # Half way to the next lower score, so that rounding decides over nobody.
        cuts.append(float((values[place] + values[min(place + 1, len(values) - 1)]) / 2))
    made = np.bincount(_positions(scores, np.array(cuts)), minlength=len(shares)) / max(len(scores), 1)
    return tuple(cuts), tuple(float(share) for share in made)


def _positions(scores: FloatArray, cuts: FloatArray) -> IntArray:
    """0 for scores above the first cut, one more for each cut that a score does not reach."""
    return np.asarray(len(cuts) - np.searchsorted(cuts[::-1], np.nan_to_num(scores, nan=-np.inf), side="right"))


def _reach_cuts(influence: pl.DataFrame, percentile: float) -> dict[str, float]:
    cuts = (
        influence.filter(pl.col("kind") == "reach")
        .group_by("signal")
        .agg(people=pl.len(), cut=pl.col("amount").quantile(percentile / 100, "lower"))
        .filter(pl.col("people") >= FEWEST_WITH_REACH)
        .sort("signal")
    )
    return dict(zip(cuts["signal"].to_list(), cuts["cut"].to_list(), strict=True))

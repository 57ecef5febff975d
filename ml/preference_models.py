"""The two estimators of what people prefer: of answers to messages, and of choices people make themselves.

Here belongs what is learned of everybody, of each group and of how far people depart from it. What is decided from the
rates belongs to `preferences.py`, the arithmetic of shrinkage to `shrinkage.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ml.neighbouring_values import SURELY, Circles, smooth
from ml.shrinkage import (
    STRENGTHS,
    Floats,
    binomial_likelihoods,
    binomial_strength,
    inside_unit,
    multinomial_strength,
    odds_of,
    posterior_variance,
    rate_of,
    shrink,
    shrink_shares,
    strongest,
)

Integers = NDArray[np.integer]
LEARN_FROM = 20_000
"""People that the strengths of shrinkage are learned from at most: they are three numbers, and a million people would
tell their third digit."""


@dataclass(frozen=True)
class Evidence:
    """Messages or choices as numbers: person, value, how many, and whether they were answered."""

    person: Integers
    value: Integers
    weight: Integers | None
    answered: NDArray[np.bool_]
    labels: tuple[str, ...]
    people: int

    @cached_property
    def _is_in_order(self) -> bool:
        """Whether it comes person after person, so that nobody's has to be looked for."""
        return bool((self.person[1:] >= self.person[:-1]).all())

    def tables(self, first: int, last: int) -> tuple[Floats, Floats]:
        """Messages and answers of people `first` to `last`, as tables of people by values."""
        here: slice | NDArray[np.bool_] = (
            slice(*np.searchsorted(self.person, (first, last)))
            if self._is_in_order
            else (self.person >= first) & (self.person < last)
        )
        size = len(self.labels)
        cell = (self.person[here].astype(np.int64) - first) * size + self.value[here]
        weight = None if self.weight is None else self.weight[here]
        shape = ((last - first), size)
        all_of_them = np.bincount(cell, weight, minlength=shape[0] * size).astype(np.float64).reshape(shape)
        if self.weight is not None:
            return all_of_them, all_of_them
        answered = np.bincount(cell[self.answered[here]], minlength=shape[0] * size)
        return all_of_them, answered.astype(np.float64).reshape(shape)

    def sampled(self, in_sample: NDArray[np.bool_]) -> Evidence:
        """Of the people in a sample, who get numbers without gaps."""
        number = np.cumsum(in_sample) - 1
        here = in_sample[self.person]
        weight = None if self.weight is None else self.weight[here]
        person = number[self.person[here]]
        return Evidence(person, self.value[here], weight, self.answered[here], self.labels, int(in_sample.sum()))


def groups_of(personas: Integers) -> Integers:
    """Personas as numbers from 0 on; people without one are a group of their own, the last."""
    highest = int(personas.max(initial=-1))
    return np.where(personas < 0, highest + 1, personas)


def _sample_and_groups(evidence: Evidence, groups: Integers, in_sample: NDArray[np.bool_]) -> tuple[Evidence, Integers]:
    """What is learned from, and the group of each of its people."""
    if in_sample.all():
        return evidence, groups[: evidence.people]
    chosen = in_sample[: evidence.people]
    sample = evidence.sampled(chosen)
    return sample, groups[: evidence.people][chosen][: sample.people]


@dataclass(frozen=True)
class AnswerModel:
    """Rates of answers: overall, per group of people, and how far people depart from their group."""

    overall: Floats
    overall_variance: Floats
    group: Floats
    group_variance: Floats
    group_readiness: Floats
    readiness_strength: float
    persona_strength: float
    person_strength: float
    usual: Floats

    @classmethod
    def learn(
        cls, evidence: Evidence, groups: Integers, in_sample: NDArray[np.bool_], circles: Circles | None
    ) -> AnswerModel:
        """Learn from the people in a sample; `circles` says which values are neighbours."""
        sample, group_of = _sample_and_groups(evidence, groups, in_sample)
        trials, answers = sample.tables(0, sample.people)
        count = int(groups.max(initial=0)) + 1
        usual = trials.sum(axis=0) / trials.sum()
        mean = inside_unit(np.array(answers.sum() / trials.sum()))
        readiness_strength = _readiness_strength(trials, answers, mean)
        overall = np.broadcast_to(mean, usual.shape).copy()
        # Values were not tried with the same people. So each is judged by how a person answers it against how the same
        # person answers others: readiness and values are told apart in turns, as in a model with an effect per person.
        for _ in range(15):
            readiness = _readiness(trials, answers, overall, np.ones(sample.people), 0.5)
            expected = rate_of(readiness[:, None] * odds_of(overall))
            by_value = inside_unit((trials * expected).sum(axis=0) / np.maximum(trials.sum(axis=0), 1))
            seen = inside_unit(answers.sum(axis=0) / np.maximum(trials.sum(axis=0), 1))
            overall = rate_of(odds_of(overall) * odds_of(seen) / odds_of(by_value))
            # Only differences between values are told by this; the level is that of everybody.
            level = inside_unit(np.array((usual * overall).sum()))
            overall = inside_unit(rate_of(odds_of(overall) * odds_of(mean) / odds_of(level)))
        group_readiness = _group_readiness(trials, answers, overall, group_of, count)
        # Between groups little depends on who was tried with what, and an effect per person would take evidence away.
        readiness = _readiness(trials, answers, overall, group_readiness[group_of], readiness_strength)
        overall, overall_variance = _shrink_values(trials, overall, evidence.labels, circles)
        totals = _group_totals(trials, answers, overall, readiness, group_of, count)
        group, group_variance, persona_strength = _shrink_groups(*totals, overall, evidence.labels, circles)
        person_strength = _person_strength(trials, answers, group[group_of])
        return cls(
            overall,
            overall_variance,
            group,
            group_variance,
            group_readiness,
            readiness_strength,
            persona_strength,
            person_strength,
            usual,
        )

    @property
    def strengths(self) -> tuple[float, float]:
        """How many messages or choices a group's rates, and everybody's, are worth."""
        return self.persona_strength, self.person_strength

    def people(self, trials: Floats, answers: Floats, group_of: Integers) -> tuple[Floats, Floats]:
        """Per person and value the rate and its variance within the group."""
        ready = _readiness(
            trials, answers, self.group[group_of], self.group_readiness[group_of], self.readiness_strength
        )
        by_group = inside_unit(rate_of(ready[:, None] * odds_of(self.group[group_of])))
        rate = inside_unit(shrink(trials, answers, by_group, self.person_strength))
        return rate, posterior_variance(rate, trials, self.person_strength)

    def group_rates(self) -> Floats:
        """Per group and value the rate of somebody of middling readiness."""
        return inside_unit(rate_of(self.group_readiness[:, None] * odds_of(self.group)))


def _readiness_strength(trials: Floats, answers: Floats, mean: Floats) -> float:
    """How many messages the mean readiness is worth against a person's own."""
    sent, answered = trials.sum(axis=1), answers.sum(axis=1)
    seen = sent > 0
    strength = binomial_strength(sent[seen], answered[seen], np.broadcast_to(mean, int(seen.sum())))
    return min(strength, 1e6)


def _person_strength(trials: Floats, answers: Floats, rates: Floats) -> float:
    """How many messages a group's rates are worth against a person's own, with each person's readiness taken out.

    By moments: with the readiness that fits best, answers scatter as in a table with fixed margins (degrees of
    freedom: one less than values tried), and beyond that only as far as people depart from their group. A likelihood
    that took the readiness for known would hardly ever see that, because the readiness is fitted to the same few
    answers.
    """
    sent, answered = trials.sum(axis=1), answers.sum(axis=1)
    rows = (answered > 0) & (answered < sent) & ((trials > 0).sum(axis=1) > 1)
    if not rows.any():
        return float("inf")
    trials, answers, sent, answered = trials[rows], answers[rows], sent[rows], answered[rows]
    shift = np.zeros(len(sent))
    logit = np.log(odds_of(rates[rows]))
    for _ in range(8):
        expected = 1 / (1 + np.exp(-(logit + shift[:, None])))
        slope = (trials * expected * (1 - expected)).sum(axis=1)
        step = (answered - (trials * expected).sum(axis=1)) / np.maximum(slope, 1e-9)
        shift += np.clip(step, -2, 2)
    expected = 1 / (1 + np.exp(-(logit + shift[:, None])))
    weight = trials * expected * (1 - expected)
    square = np.where(trials > 0, (answers - trials * expected) ** 2 / np.maximum(weight, 1e-12), 0.0).sum()
    free = float(((((trials > 0).sum(axis=1)) - 1) * sent / (sent - 1)).sum())
    left = 1 - weight / weight.sum(axis=1, keepdims=True)
    reach = float((np.maximum(trials - 1, 0) * left).sum())
    excess = float(square) - free
    if reach <= 0 or excess <= 3 * np.sqrt(2 * free):
        return float("inf")
    return float(np.clip(reach / excess - 1, STRENGTHS[0], STRENGTHS[-2]))


def _group_readiness(trials: Floats, answers: Floats, overall: Floats, group_of: Integers, count: int) -> Floats:
    """Odds of a group's answers against everybody's, given which values it was tried with."""
    sent = np.bincount(group_of, trials.sum(axis=1), minlength=count)
    answered = np.bincount(group_of, answers.sum(axis=1), minlength=count)
    expected = np.bincount(group_of, trials @ overall, minlength=count)
    mean = float(expected.sum() / max(expected.sum() and sent.sum(), 1))
    seen = inside_unit((answered + 10 * mean) / (sent + 10))
    base = inside_unit((expected + 10 * mean) / (sent + 10))
    return odds_of(seen) / odds_of(base)


def _readiness(trials: Floats, answers: Floats, rates: Floats, group_odds: Floats, strength: float) -> Floats:
    """Odds of a person's answers against what is expected by the values they were tried with."""
    sent, answered = trials.sum(axis=1), answers.sum(axis=1)
    weighted = (trials * rates).sum(axis=1) if rates.ndim == 2 else trials @ rates
    base = inside_unit(np.where(sent > 0, weighted / np.maximum(sent, 1), 0.5))
    prior = inside_unit(rate_of(group_odds * odds_of(base)))
    shrunk = inside_unit((answered + strength * prior) / (sent + strength))
    return odds_of(shrunk) / odds_of(base)


def _shrink_values(
    trials: Floats, overall: Floats, labels: tuple[str, ...], circles: Circles | None
) -> tuple[Floats, Floats]:
    """Values shrunk to what all of them have in common: the best of many is partly luck."""
    sent = trials.sum(axis=0)
    shared = np.broadcast_to(inside_unit(np.array((sent * overall).sum() / sent.sum())), sent.shape)
    shrunk, variance, _ = _shrunk_cells(sent[None], (sent * overall)[None], shared[None], labels, circles)
    return shrunk[0], variance[0]


def _group_totals(
    trials: Floats, answers: Floats, overall: Floats, readiness: Floats, group_of: Integers, count: int
) -> tuple[Floats, Floats, Floats]:
    """Per group and value: messages, answers, and the rate if the group's people were like everybody."""
    expected = trials * rate_of(readiness[:, None] * odds_of(overall))
    size = trials.shape[1]
    sent, answered, of_these = (np.zeros((count, size)) for _ in range(3))
    for table, by_person in ((sent, trials), (answered, answers), (of_these, expected)):
        for value in range(size):
            table[:, value] = np.bincount(group_of, by_person[:, value], minlength=count)
    seen = sent > 0
    return sent, answered, inside_unit(np.where(seen, of_these / np.maximum(sent, 1), overall))


def _shrink_groups(
    sent: Floats, answered: Floats, base: Floats, overall: Floats, labels: tuple[str, ...], circles: Circles | None
) -> tuple[Floats, Floats, float]:
    """Rates per group and value, shrunk to those of everybody."""
    shrunk, variance, strength = _shrunk_cells(sent, answered, base, labels, circles)
    return inside_unit(rate_of(odds_of(overall) * odds_of(shrunk) / odds_of(base))), variance, strength


def _shrunk_cells(
    sent: Floats, answered: Floats, base: Floats, labels: tuple[str, ...], circles: Circles | None
) -> tuple[Floats, Floats, float]:
    """Rates per group and value shrunk to what is expected, and to what neighbours tell if they tell something.

    Returns:
        The rates, their variances, and how many messages what they are shrunk to is worth.
    """
    seen = sent > 0
    likelihoods = binomial_likelihoods(sent[seen], answered[seen], base[seen])
    strength = strongest(likelihoods)
    smoothed = smooth(sent, answered, base, labels, circles) if circles else None
    if smoothed is None or smoothed.log_likelihood <= likelihoods.max() + SURELY:
        shrunk = inside_unit(shrink(sent, answered, base, strength))
        return shrunk, posterior_variance(shrunk, sent, strength), strength
    shrunk = inside_unit(rate_of(odds_of(base) * np.exp(smoothed.departures)))
    variance = smoothed.variances * (shrunk * (1 - shrunk)) ** 2
    # What a rate of that variance would be worth in messages, beyond those that were sent.
    worth = float(np.median(shrunk * (1 - shrunk) / np.maximum(variance, 1e-18) - sent))
    return shrunk, variance, float(np.clip(worth, STRENGTHS[0], STRENGTHS[-2]))


@dataclass(frozen=True)
class ChoiceModel:
    """Shares of choices: overall, per group of people, and how far people depart from their group."""

    overall: Floats
    overall_variance: Floats
    group: Floats
    group_variance: Floats
    persona_strength: float
    person_strength: float
    usual: Floats

    @classmethod
    def learn(cls, evidence: Evidence, groups: Integers, in_sample: NDArray[np.bool_]) -> ChoiceModel:
        """Learn from the people in a sample."""
        sample, group_of = _sample_and_groups(evidence, groups, in_sample)
        chosen, _ = sample.tables(0, sample.people)
        count = int(groups.max(initial=0)) + 1
        overall = chosen.sum(axis=0) / chosen.sum()
        by_group = np.array([chosen[group_of == group].sum(axis=0) for group in range(count)])
        persona_strength = multinomial_strength(by_group, np.broadcast_to(overall, by_group.shape))
        group = shrink_shares(by_group, np.broadcast_to(overall, by_group.shape), persona_strength)
        person_strength = multinomial_strength(chosen, group[group_of])
        total = np.broadcast_to(by_group.sum(axis=1)[:, None], by_group.shape)
        return cls(
            overall,
            overall * (1 - overall) / (chosen.sum() + 1),
            group,
            posterior_variance(group, total, persona_strength),
            persona_strength,
            person_strength,
            overall,
        )

    @property
    def strengths(self) -> tuple[float, float]:
        """How many messages or choices a group's rates, and everybody's, are worth."""
        return self.persona_strength, self.person_strength

    def people(self, trials: Floats, answers: Floats, group_of: Integers) -> tuple[Floats, Floats]:
        """Per person and value the share and its variance within the group."""
        by_group = self.group[group_of]
        share = shrink_shares(trials, by_group, self.person_strength)
        total = np.broadcast_to(trials.sum(axis=1)[:, None], trials.shape)
        return share, posterior_variance(share, total, self.person_strength)

    def group_rates(self) -> Floats:
        """Per group and value the share."""
        return self.group

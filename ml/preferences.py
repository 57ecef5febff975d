"""When, over which channel and with what somebody is best reached: one value of a dimension per person.

Here belong the two estimators and how they decide: of answers to messages (send time, weekday, channel, content,
offer) and of choices people make themselves (where they buy, where they come from). What counts as an answer, as a
message that a human saw, and as local time was decided before.

People have few messages each, so what a person did is shrunk to what the persona did, and that to what everybody did.
How strongly is learned from the data by marginal likelihood (empirical Bayes; Casella 1985, "An introduction to
empirical Bayes data analysis", The American Statistician 39(2)): where people do not differ, everybody gets the
overall best.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import betaln, gammaln, ndtr

from ml.neighbouring_values import SURELY, Circles, smooth

Floats = NDArray[np.float64]
Integers = NDArray[np.integer]

PERSON, PERSONA, EVERYBODY = "person", "persona", "everybody"
MOST_VALUES = 50
"""Values that are judged at most, those with most evidence."""
CHUNK = 100_000
"""People whose table of values is in memory at once."""
LEARN_FROM = 20_000
"""People that the strengths of shrinkage are learned from at most: they are three numbers, and a million people would
tell their third digit."""
STRENGTHS = np.append(np.geomspace(2.0, 20_000.0, 41), np.inf)
"""How many messages what is shrunk to is worth; infinite where there is no difference."""
Z90 = 1.645

PREFERENCE_SCHEMA = {
    "person": pl.UInt32,
    "best_value": pl.String,
    "probability": pl.Float64,
    "probability_low": pl.Float64,
    "probability_high": pl.Float64,
    "lift": pl.Float64,
    "confidence": pl.Float64,
    "evidence": pl.Int64,
    "answers": pl.Int64,
    "decided_by": pl.String,
    "abstained_reason": pl.String,
}
PERSONA_SCHEMA = {"persona": pl.Int64, **{k: v for k, v in PREFERENCE_SCHEMA.items() if k != "person"}}


@dataclass(frozen=True)
class PreferenceRules:
    """When something is said at all.

    Attributes:
        minimum_trials: Fewest messages, or choices, with a value.
        minimum_people: Fewest people with a value; and fewest messages, or choices, of a persona of which one is told.
        confidence: How sure it has to be that a value is better than what is usual.
    """

    minimum_trials: int = 200
    minimum_people: int = 20
    confidence: float = 0.8


@dataclass(frozen=True)
class Preferences:
    """What was learned of one dimension.

    Attributes:
        people: By person, of those with evidence; columns of `PREFERENCE_SCHEMA`. `person` is the row number that the
            evidence named; probability, with a 90 % interval, is that of an answer to a message with the best value, or
            of choosing it; lift compares it with what is usual; confidence is the probability that it is better than
            usual; evidence counts messages or choices, answers those answered; decided_by says whose evidence the
            choice rests on.
        personas: The same by persona; `persona` is the number that people named, -1 stands for everybody together.
        reason: Why nothing is said of anybody, or None.
        values: The values that were judged.
        strengths: How much what everybody did is worth against a persona, and a persona against a person, in messages.
    """

    people: pl.DataFrame
    personas: pl.DataFrame
    reason: str | None
    values: tuple[str, ...]
    strengths: tuple[float, float] = (np.inf, np.inf)


def prefer_by_answers(
    messages: pl.DataFrame,
    personas: Integers,
    in_sample: NDArray[np.bool_],
    rules: PreferenceRules,
    circles: Circles | None = None,
) -> Preferences:
    """Learn which value of a dimension is answered most, per person.

    A person's readiness to answer at all is kept apart from what they prefer, on the scale of odds: somebody who
    answers everything says little about the values they were tried with.

    Args:
        messages: A row per message: person (row number), value (text, null where unknown), answered (boolean).
        personas: Per person the number of the persona, -1 for none.
        in_sample: Per person whether strengths are learned from them.
        rules: When something is said.
        circles: Where values have neighbours, such as hours, how they lie: what a persona answers at one then tells
            something of the next, as far as the answers say so.
    """
    evidence, reason = _evidence(messages, rules)
    if evidence is not None and not evidence.answered.any():
        reason = "nobody answered"
    if evidence is None or reason:
        return _nothing(reason or "", evidence)
    groups = _groups(personas)
    model = _AnswerModel.learn(evidence, groups, in_sample, circles)
    if np.ptp(model.overall) <= 1e-9 and not np.isfinite(model.strengths).any():
        return _nothing("no value is answered more than another", evidence)
    return _decide_all(model, evidence, groups, rules)


def prefer_by_choices(
    choices: pl.DataFrame, personas: Integers, in_sample: NDArray[np.bool_], rules: PreferenceRules
) -> Preferences:
    """Learn which value of a dimension people choose themselves, per person.

    Args:
        choices: A row per person and value: person (row number), value (text), choices (how often).
        personas: Per person the number of the persona, -1 for none.
        in_sample: Per person whether strengths are learned from them.
        rules: When something is said.
    """
    evidence, reason = _evidence(choices.rename({"choices": "weight"}), rules)
    if evidence is None:
        return _nothing(reason or "", None)
    groups = _groups(personas)
    return _decide_all(_ChoiceModel.learn(evidence, groups, in_sample), evidence, groups, rules)


@dataclass(frozen=True)
class _Evidence:
    """Messages or choices as numbers: person, value, how many, and whether they were answered."""

    person: Integers
    value: Integers
    weight: Integers | None
    answered: NDArray[np.bool_]
    labels: tuple[str, ...]
    people: int

    def tables(self, first: int, last: int) -> tuple[Floats, Floats]:
        """Messages and answers of people `first` to `last`, as tables of people by values."""
        here = (self.person >= first) & (self.person < last)
        size = len(self.labels)
        cell = (self.person[here].astype(np.int64) - first) * size + self.value[here]
        weight = None if self.weight is None else self.weight[here]
        shape = ((last - first), size)
        all_of_them = np.bincount(cell, weight, minlength=shape[0] * size).astype(np.float64).reshape(shape)
        if self.weight is not None:
            return all_of_them, all_of_them
        answered = np.bincount(cell[self.answered[here]], minlength=shape[0] * size)
        return all_of_them, answered.astype(np.float64).reshape(shape)

    def sampled(self, in_sample: NDArray[np.bool_]) -> _Evidence:
        """Of the people in a sample, who get numbers without gaps."""
        number = np.cumsum(in_sample) - 1
        here = in_sample[self.person]
        weight = None if self.weight is None else self.weight[here]
        person = number[self.person[here]]
        return _Evidence(person, self.value[here], weight, self.answered[here], self.labels, int(in_sample.sum()))


def _evidence(rows: pl.DataFrame, rules: PreferenceRules) -> tuple[_Evidence | None, str | None]:
    """Rows with the values that may be judged; or why there are too few."""
    rows = rows.filter(pl.col("value").is_not_null()) if rows["value"].null_count() else rows
    if rows.is_empty():
        return None, "nothing is known of it"
    weight = pl.col("weight") if "weight" in rows.columns else pl.lit(1)
    by_value = (
        rows.group_by("value")
        .agg(trials=weight.sum() if "weight" in rows.columns else pl.len(), people=pl.col("person").n_unique())
        .with_columns(pl.col("value").cast(pl.String))
        .filter(pl.col("trials") >= rules.minimum_trials, pl.col("people") >= rules.minimum_people)
        .sort(["trials", "value"], descending=[True, False])
        .head(MOST_VALUES)
    )
    if by_value.height < 2:
        only = f" but '{by_value['value'][0]}'" if by_value.height else ""
        return None, (
            f"nothing{only} was tried often enough: {rules.minimum_trials} times and with {rules.minimum_people} people"
        )
    labels = tuple(sorted(by_value["value"].to_list()))
    codes = pl.DataFrame({"value": labels, "code": np.arange(len(labels), dtype=np.int64)})
    physical = rows["value"].cast(pl.Categorical) if rows.schema["value"] == pl.String else rows["value"]
    known = physical.unique().drop_nulls()
    code_of = np.full(int(known.to_physical().max() or 0) + 1, -1, dtype=np.int64)  # type: ignore[arg-type]
    for text, number in zip(known.cast(pl.String), known.to_physical(), strict=True):
        found = codes.filter(pl.col("value") == text)
        code_of[number] = found["code"][0] if found.height else -1
    value = code_of[physical.to_physical().to_numpy()]
    kept = value >= 0
    person = rows["person"].to_numpy()[kept]
    return (
        _Evidence(
            person,
            value[kept],
            rows["weight"].to_numpy()[kept] if "weight" in rows.columns else None,
            rows["answered"].to_numpy()[kept] if "answered" in rows.columns else np.ones(len(person), dtype=np.bool_),
            labels,
            int(person.max()) + 1,
        ),
        None,
    )


def _groups(personas: Integers) -> Integers:
    """Personas as numbers from 0 on; people without one are a group of their own, the last."""
    highest = int(personas.max(initial=-1))
    return np.where(personas < 0, highest + 1, personas)


def _nothing(reason: str, evidence: _Evidence | None) -> Preferences:
    return Preferences(
        pl.DataFrame(schema=PREFERENCE_SCHEMA),
        pl.DataFrame(schema=PERSONA_SCHEMA),
        reason,
        evidence.labels if evidence else (),
    )


def _odds(rate: Floats) -> Floats:
    return rate / (1 - rate)


def _rate(odds: Floats) -> Floats:
    return odds / (1 + odds)


def _clip(rate: Floats) -> Floats:
    return np.clip(rate, 1e-6, 1 - 1e-6)


def _binomial_strength(trials: Floats, answers: Floats, expected: Floats) -> float:
    """How many trials the expected rates are worth, by the marginal likelihood of the beta-binomial distribution.

    Args:
        trials: Trials of each cell, above zero.
        answers: Answers among them.
        expected: The rate that is shrunk to.
    """
    return _strongest(_binomial_likelihoods(trials, answers, expected))


def _binomial_likelihoods(trials: Floats, answers: Floats, expected: Floats) -> Floats:
    """The marginal log-likelihood of each of `STRENGTHS`, up to the binomial coefficients."""
    likelihoods = []
    for strength in STRENGTHS[:-1]:
        a, b = strength * expected, strength * (1 - expected)
        likelihoods.append(float(np.sum(betaln(answers + a, trials - answers + b) - betaln(a, b))))
    likelihoods.append(float(np.sum(answers * np.log(expected) + (trials - answers) * np.log1p(-expected))))
    return np.array(likelihoods)


def _strongest(log_likelihoods: Floats) -> float:
    """The most likely strength; no difference at all unless the evidence for one is more than chance (AIC)."""
    best = int(np.argmax(log_likelihoods))
    return float(STRENGTHS[best]) if log_likelihoods[best] > log_likelihoods[-1] + 1 else float("inf")


def _shrunk(trials: Floats, answers: Floats, expected: Floats, strength: float) -> Floats:
    if not np.isfinite(strength):
        return np.broadcast_to(expected, trials.shape).copy()
    shrunk: Floats = (answers + strength * expected) / (trials + strength)
    return shrunk


def _variance(rate: Floats, trials: Floats, strength: float) -> Floats:
    """Posterior variance of a shrunk rate; none where it is the one shrunk to."""
    if not np.isfinite(strength):
        return np.zeros_like(trials + rate)
    variance: Floats = rate * (1 - rate) / (trials + strength + 1)
    return variance


def _sample_and_groups(
    evidence: _Evidence, groups: Integers, in_sample: NDArray[np.bool_]
) -> tuple[_Evidence, Integers]:
    """What is learned from, and the group of each of its people."""
    if in_sample.all():
        return evidence, groups[: evidence.people]
    chosen = in_sample[: evidence.people]
    sample = evidence.sampled(chosen)
    return sample, groups[: evidence.people][chosen][: sample.people]


@dataclass(frozen=True)
class _AnswerModel:
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
        cls, evidence: _Evidence, groups: Integers, in_sample: NDArray[np.bool_], circles: Circles | None
    ) -> _AnswerModel:
        sample, group_of = _sample_and_groups(evidence, groups, in_sample)
        trials, answers = sample.tables(0, sample.people)
        count = int(groups.max(initial=0)) + 1
        usual = trials.sum(axis=0) / trials.sum()
        mean = _clip(np.array(answers.sum() / trials.sum()))
        readiness_strength = _readiness_strength(trials, answers, mean)
        overall = np.broadcast_to(mean, usual.shape).copy()
        # Values were not tried with the same people. So each is judged by how a person answers it against how the same
        # person answers others: readiness and values are told apart in turns, as in a model with an effect per person.
        for _ in range(15):
            readiness = _readiness(trials, answers, overall, np.ones(sample.people), 0.5)
            expected = _rate(readiness[:, None] * _odds(overall))
            by_value = _clip((trials * expected).sum(axis=0) / np.maximum(trials.sum(axis=0), 1))
            seen = _clip(answers.sum(axis=0) / np.maximum(trials.sum(axis=0), 1))
            overall = _rate(_odds(overall) * _odds(seen) / _odds(by_value))
            # Only differences between values are told by this; the level is that of everybody.
            level = _clip(np.array((usual * overall).sum()))
            overall = _clip(_rate(_odds(overall) * _odds(mean) / _odds(level)))
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
        return self.persona_strength, self.person_strength

    def people(self, trials: Floats, answers: Floats, group_of: Integers) -> tuple[Floats, Floats]:
        """Per person and value the rate and its variance within the group."""
        ready = _readiness(
            trials, answers, self.group[group_of], self.group_readiness[group_of], self.readiness_strength
        )
        by_group = _clip(_rate(ready[:, None] * _odds(self.group[group_of])))
        rate = _clip(_shrunk(trials, answers, by_group, self.person_strength))
        return rate, _variance(rate, trials, self.person_strength)

    def group_rates(self) -> Floats:
        """Per group and value the rate of somebody of middling readiness."""
        return _clip(_rate(self.group_readiness[:, None] * _odds(self.group)))


def _readiness_strength(trials: Floats, answers: Floats, mean: Floats) -> float:
    """How many messages the mean readiness is worth against a person's own."""
    sent, answered = trials.sum(axis=1), answers.sum(axis=1)
    seen = sent > 0
    strength = _binomial_strength(sent[seen], answered[seen], np.broadcast_to(mean, int(seen.sum())))
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
    logit = np.log(_odds(rates[rows]))
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
    seen = _clip((answered + 10 * mean) / (sent + 10))
    base = _clip((expected + 10 * mean) / (sent + 10))
    return _odds(seen) / _odds(base)


def _readiness(trials: Floats, answers: Floats, rates: Floats, group_odds: Floats, strength: float) -> Floats:
    """Odds of a person's answers against what is expected by the values they were tried with."""
    sent, answered = trials.sum(axis=1), answers.sum(axis=1)
    weighted = (trials * rates).sum(axis=1) if rates.ndim == 2 else trials @ rates
    base = _clip(np.where(sent > 0, weighted / np.maximum(sent, 1), 0.5))
    prior = _clip(_rate(group_odds * _odds(base)))
    shrunk = _clip((answered + strength * prior) / (sent + strength))
    return _odds(shrunk) / _odds(base)


def _shrink_values(
    trials: Floats, overall: Floats, labels: tuple[str, ...], circles: Circles | None
) -> tuple[Floats, Floats]:
    """Values shrunk to what all of them have in common: the best of many is partly luck."""
    sent = trials.sum(axis=0)
    shared = np.broadcast_to(_clip(np.array((sent * overall).sum() / sent.sum())), sent.shape)
    shrunk, variance, _ = _shrunk_cells(sent[None], (sent * overall)[None], shared[None], labels, circles)
    return shrunk[0], variance[0]


def _group_totals(
    trials: Floats, answers: Floats, overall: Floats, readiness: Floats, group_of: Integers, count: int
) -> tuple[Floats, Floats, Floats]:
    """Per group and value: messages, answers, and the rate if the group's people were like everybody."""
    expected = trials * _rate(readiness[:, None] * _odds(overall))
    size = trials.shape[1]
    sent, answered, of_these = (np.zeros((count, size)) for _ in range(3))
    for table, by_person in ((sent, trials), (answered, answers), (of_these, expected)):
        for value in range(size):
            table[:, value] = np.bincount(group_of, by_person[:, value], minlength=count)
    seen = sent > 0
    return sent, answered, _clip(np.where(seen, of_these / np.maximum(sent, 1), overall))


def _shrink_groups(
    sent: Floats, answered: Floats, base: Floats, overall: Floats, labels: tuple[str, ...], circles: Circles | None
) -> tuple[Floats, Floats, float]:
    """Rates per group and value, shrunk to those of everybody."""
    shrunk, variance, strength = _shrunk_cells(sent, answered, base, labels, circles)
    return _clip(_rate(_odds(overall) * _odds(shrunk) / _odds(base))), variance, strength


def _shrunk_cells(
    sent: Floats, answered: Floats, base: Floats, labels: tuple[str, ...], circles: Circles | None
) -> tuple[Floats, Floats, float]:
    """Rates per group and value shrunk to what is expected, and to what neighbours tell if they tell something.

    Returns:
        The rates, their variances, and how many messages what they are shrunk to is worth.
    """
    seen = sent > 0
    likelihoods = _binomial_likelihoods(sent[seen], answered[seen], base[seen])
    strength = _strongest(likelihoods)
    smoothed = smooth(sent, answered, base, labels, circles) if circles else None
    if smoothed is None or smoothed.log_likelihood <= likelihoods.max() + SURELY:
        shrunk = _clip(_shrunk(sent, answered, base, strength))
        return shrunk, _variance(shrunk, sent, strength), strength
    shrunk = _clip(_rate(_odds(base) * np.exp(smoothed.departures)))
    variance = smoothed.variances * (shrunk * (1 - shrunk)) ** 2
    # What a rate of that variance would be worth in messages, beyond those that were sent.
    worth = float(np.median(shrunk * (1 - shrunk) / np.maximum(variance, 1e-18) - sent))
    return shrunk, variance, float(np.clip(worth, STRENGTHS[0], STRENGTHS[-2]))


@dataclass(frozen=True)
class _ChoiceModel:
    """Shares of choices: overall, per group of people, and how far people depart from their group."""

    overall: Floats
    overall_variance: Floats
    group: Floats
    group_variance: Floats
    persona_strength: float
    person_strength: float
    usual: Floats

    @classmethod
    def learn(cls, evidence: _Evidence, groups: Integers, in_sample: NDArray[np.bool_]) -> _ChoiceModel:
        sample, group_of = _sample_and_groups(evidence, groups, in_sample)
        chosen, _ = sample.tables(0, sample.people)
        count = int(groups.max(initial=0)) + 1
        overall = chosen.sum(axis=0) / chosen.sum()
        by_group = np.array([chosen[group_of == group].sum(axis=0) for group in range(count)])
        persona_strength = _multinomial_strength(by_group, np.broadcast_to(overall, by_group.shape))
        group = _shares(by_group, np.broadcast_to(overall, by_group.shape), persona_strength)
        person_strength = _multinomial_strength(chosen, group[group_of])
        total = np.broadcast_to(by_group.sum(axis=1)[:, None], by_group.shape)
        return cls(
            overall,
            overall * (1 - overall) / (chosen.sum() + 1),
            group,
            _variance(group, total, persona_strength),
            persona_strength,
            person_strength,
            overall,
        )

    @property
    def strengths(self) -> tuple[float, float]:
        return self.persona_strength, self.person_strength

    def people(self, trials: Floats, answers: Floats, group_of: Integers) -> tuple[Floats, Floats]:
        """Per person and value the share and its variance within the group."""
        by_group = self.group[group_of]
        share = _shares(trials, by_group, self.person_strength)
        total = np.broadcast_to(trials.sum(axis=1)[:, None], trials.shape)
        return share, _variance(share, total, self.person_strength)

    def group_rates(self) -> Floats:
        """Per group and value the share."""
        return self.group


def _shares(chosen: Floats, expected: Floats, strength: float) -> Floats:
    if not np.isfinite(strength):
        return np.array(expected)
    shares: Floats = (chosen + strength * expected) / (chosen.sum(axis=1, keepdims=True) + strength)
    return shares


def _multinomial_strength(chosen: Floats, expected: Floats) -> float:
    """The same as `_binomial_strength` for shares of several values (Dirichlet-multinomial distribution)."""
    total = chosen.sum(axis=1)
    rows = total > 0
    chosen, expected, total = chosen[rows], np.maximum(expected[rows], 1e-9), total[rows]
    likelihoods = []
    for strength in STRENGTHS[:-1]:
        prior = strength * expected
        within = (gammaln(chosen + prior) - gammaln(prior)).sum()
        likelihoods.append(float(within + (gammaln(strength) - gammaln(total + strength)).sum()))
    likelihoods.append(float((chosen * np.log(expected)).sum()))
    return _strongest(np.array(likelihoods))


def _decide_all(
    model: _AnswerModel | _ChoiceModel, evidence: _Evidence, groups: Integers, rules: PreferenceRules
) -> Preferences:
    """Everybody with evidence, some at a time, and every group."""
    chosen = np.argmax(model.group_rates(), axis=1)
    parts = [pl.DataFrame(schema=PREFERENCE_SCHEMA)]
    for first in range(0, evidence.people, CHUNK):
        last = min(first + CHUNK, evidence.people)
        trials, answers = evidence.tables(first, last)
        some = np.flatnonzero(trials.sum(axis=1) > 0)
        if len(some):
            parts.append(
                _decide(model, trials[some], answers[some], groups[first:last][some], chosen, evidence, rules)
                .with_columns(person=pl.Series(some + first, dtype=pl.UInt32))
                .select(list(PREFERENCE_SCHEMA))
            )
    people = pl.concat(parts)
    return Preferences(
        people, _group_rows(model, chosen, evidence, groups, people, rules), None, evidence.labels, model.strengths
    )


def _sure(difference: Floats, variance: Floats) -> Floats:
    """Probability that a difference is above zero, by the normal distribution."""
    deviations = difference / np.sqrt(np.maximum(variance, 1e-18))
    return np.where(np.abs(difference) < 1e-12, 0.5, ndtr(deviations))


def _decide(
    model: _AnswerModel | _ChoiceModel,
    trials: Floats,
    answers: Floats,
    group_of: Integers,
    chosen: Integers,
    evidence: _Evidence,
    rules: PreferenceRules,
) -> pl.DataFrame:
    """The value with the highest rate, and whose evidence made it so.

    Where a person's own evidence for a value of their own is thin, the group's value is taken, which is better for
    people of the group on average; how sure that is does not depend on how far single people depart from it.
    """
    rate, own_variance = model.people(trials, answers, group_of)
    rows = np.arange(len(rate))
    own, by_group = np.argmax(rate, axis=1), chosen[group_of]
    variance = own_variance + _spread(model, rate, group_of)
    usual = rate @ model.usual
    own_sure = _sure_of(rate, variance, usual, own, model.usual)
    is_own = (own != by_group) & (own_sure >= rules.confidence)
    best = np.where(is_own, own, by_group)
    sure = np.where(is_own, own_sure, _group_confidence(model, chosen)[group_of])
    sure = np.where(own == by_group, np.maximum(sure, own_sure), sure)
    probability = rate[rows, best]
    half = Z90 * np.sqrt(variance[rows, best]) / (probability * (1 - probability))
    by_whom = np.where(is_own, 0, np.where(by_group != np.argmax(model.overall), 1, 2))
    return _told(
        {
            "best_value": pl.Series(evidence.labels).gather(best),
            "probability": probability,
            "probability_low": _rate(_odds(probability) * np.exp(-half)),
            "probability_high": _rate(_odds(probability) * np.exp(half)),
            "lift": probability / np.maximum(usual, 1e-12),
            "confidence": sure,
            "evidence": trials.sum(axis=1).astype(np.int64),
            "answers": answers.sum(axis=1).astype(np.int64),
            "decided_by": pl.Series([PERSON, PERSONA, EVERYBODY]).gather(by_whom),
        },
        rules,
    )


def _sure_of(rate: Floats, variance: Floats, usual: Floats, value: Integers, mix: Floats) -> Floats:
    """Probability that a value of each row is better than the usual mix of values."""
    rows = np.arange(len(rate))
    return _sure(rate[rows, value] - usual, variance[rows, value] + (variance * mix**2).sum(axis=1))


def _group_confidence(model: _AnswerModel | _ChoiceModel, chosen: Integers) -> Floats:
    """How sure it is that the group's value is better than usual for its people on average."""
    rates = model.group_rates()
    variance = _spread(model, rates, np.arange(len(rates)))
    return _sure_of(rates, variance, rates @ model.usual, chosen, model.usual)


def _spread(model: _AnswerModel | _ChoiceModel, rate: Floats, group_of: Integers) -> Floats:
    """What is not known of the groups' rates, and of everybody's where groups do not differ."""
    group = model.group_variance[group_of]
    spread: Floats = (
        group if np.isfinite(model.persona_strength) else np.broadcast_to(model.overall_variance, rate.shape)
    )
    return spread


TOLD = ("best_value", "probability", "probability_low", "probability_high", "lift", "decided_by")
"""What an abstention hides."""


def _told(columns: dict[str, np.ndarray | pl.Series], rules: PreferenceRules) -> pl.DataFrame:
    """Rows, without a value where it is not surely better than usual."""
    is_told = pl.col("confidence") >= rules.confidence
    return pl.DataFrame(columns, strict=False).with_columns(
        *(pl.when(is_told).then(pl.col(name)).alias(name) for name in TOLD),
        abstained_reason=pl.when(~is_told).then(
            pl.lit(f"no value is better than usual with a probability of {rules.confidence:.0%}")
        ),
    )


def _group_rows(
    model: _AnswerModel | _ChoiceModel,
    chosen: Integers,
    evidence: _Evidence,
    groups: Integers,
    people: pl.DataFrame,
    rules: PreferenceRules,
) -> pl.DataFrame:
    """The choice of every group and of everybody, in the same columns as a person's."""
    rates = np.vstack([model.group_rates(), model.overall])
    variance = np.vstack([_spread(model, model.group_rates(), np.arange(len(chosen))), model.overall_variance])
    best = np.append(chosen, np.argmax(model.overall))
    numbers = np.append(np.arange(len(chosen)), -1)
    rows = np.arange(len(rates))
    probability, usual = rates[rows, best], rates @ model.usual
    half = Z90 * np.sqrt(variance[rows, best]) / (probability * (1 - probability))
    counted = people.select(
        pl.Series("persona", groups[people["person"].to_numpy()], dtype=pl.Int64), "evidence", "answers"
    )
    counted = pl.concat([counted, counted.with_columns(persona=pl.lit(-1, pl.Int64))])
    told = _told(
        {
            "persona": numbers,
            "best_value": pl.Series(evidence.labels).gather(best),
            "probability": probability,
            "probability_low": _rate(_odds(probability) * np.exp(-half)),
            "probability_high": _rate(_odds(probability) * np.exp(half)),
            "lift": probability / np.maximum(usual, 1e-12),
            "confidence": _sure_of(rates, variance, usual, best, model.usual),
            "decided_by": np.where(best != np.argmax(model.overall), PERSONA, EVERYBODY),
        },
        rules,
    )
    # What everybody likes is no news of a persona that has hardly been asked.
    is_known = pl.col("evidence") >= rules.minimum_people
    too_few = pl.lit(f"fewer than {rules.minimum_people} messages or choices of its own")
    return (
        told.join(counted.group_by("persona").sum(), on="persona")
        .with_columns(
            *(pl.when(is_known).then(pl.col(name)).alias(name) for name in TOLD),
            abstained_reason=pl.when(is_known).then("abstained_reason").otherwise(too_few),
        )
        .sort("persona")
        .select(pl.col(name).cast(kind) for name, kind in PERSONA_SCHEMA.items())
    )

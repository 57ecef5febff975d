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
from scipy.special import ndtr

from ml.neighbouring_values import Circles
from ml.preference_models import AnswerModel, ChoiceModel, Evidence, Integers, groups_of
from ml.shrinkage import Floats, odds_of, rate_of

PERSON, PERSONA, EVERYBODY = "person", "persona", "everybody"
MOST_VALUES = 50
"""Values that are judged at most, those with most evidence."""
CHUNK = 100_000
"""People whose table of values is in memory at once."""
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
    groups = groups_of(personas)
    model = AnswerModel.learn(evidence, groups, in_sample, circles)
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
    groups = groups_of(personas)
    return _decide_all(ChoiceModel.learn(evidence, groups, in_sample), evidence, groups, rules)


def _evidence(rows: pl.DataFrame, rules: PreferenceRules) -> tuple[Evidence | None, str | None]:
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
        Evidence(
            person,
            value[kept],
            rows["weight"].to_numpy()[kept] if "weight" in rows.columns else None,
            rows["answered"].to_numpy()[kept] if "answered" in rows.columns else np.ones(len(person), dtype=np.bool_),
            labels,
            int(person.max()) + 1,
        ),
        None,
    )


def _nothing(reason: str, evidence: Evidence | None) -> Preferences:
    return Preferences(
        pl.DataFrame(schema=PREFERENCE_SCHEMA),
        pl.DataFrame(schema=PERSONA_SCHEMA),
        reason,
        evidence.labels if evidence else (),
    )


def _decide_all(
    model: AnswerModel | ChoiceModel, evidence: Evidence, groups: Integers, rules: PreferenceRules
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
    model: AnswerModel | ChoiceModel,
    trials: Floats,
    answers: Floats,
    group_of: Integers,
    chosen: Integers,
    evidence: Evidence,
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
            "probability_low": rate_of(odds_of(probability) * np.exp(-half)),
            "probability_high": rate_of(odds_of(probability) * np.exp(half)),
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


def _group_confidence(model: AnswerModel | ChoiceModel, chosen: Integers) -> Floats:
    """How sure it is that the group's value is better than usual for its people on average."""
    rates = model.group_rates()
    variance = _spread(model, rates, np.arange(len(rates)))
    return _sure_of(rates, variance, rates @ model.usual, chosen, model.usual)


def _spread(model: AnswerModel | ChoiceModel, rate: Floats, group_of: Integers) -> Floats:
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
    model: AnswerModel | ChoiceModel,
    chosen: Integers,
    evidence: Evidence,
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
            "probability_low": rate_of(odds_of(probability) * np.exp(-half)),
            "probability_high": rate_of(odds_of(probability) * np.exp(half)),
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

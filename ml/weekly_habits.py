"""What people did last week, as evidence for the persona they are in: habits of personas, learned week by week.

Here belongs what a single week's behaviour says, and how it is weighed with what was believed before. The features a
persona model looks at count four or thirteen weeks, so that most of what they say this week they said last week: one
who has become somebody else looks like their old self for most of a month, while chance carries people near borders
to and fro. What a person did within the last seven days is new evidence every week.

Method: a hidden Markov model, filtered forward (Rabiner 1989, "A tutorial on hidden Markov models"). A persona's
habits are how much its people do in a week (negative binomial, by moments), and what, when and on what they do it
(Dirichlet multinomials, the precision by moments), so that a person's own taste is no evidence against their persona.
They are learned from the people of each persona over the weeks before, and drift along with them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import gammaln

Matrix = NDArray[np.float64]

MOVING = 0.05
"""Share of people who may have become somebody else within a week. Higher than what is usual: it bounds how sure one
can be of a persona, and so how much a single week can say against it."""
STANDING_WEIGHT = 0.1
"""Weight of what the standing model says of a person, whose features count many weeks over and over, beside one week's
new evidence. It keeps apart personas that differ in nothing people do from week to week, such as what they paid."""
FEWEST_TO_LEARN = 200
"""With fewer people who did anything, no habits are learned."""
PRIOR_WEEKS = 50.0
"""Person-weeks of everybody that a persona's habits begin with; a small persona has those of all."""
PRIOR_COUNT = 20.0
LEAST_SPREAD, MOST_SPREAD = 1e-3, 0.5
"""Bounds of the share of variance that is between people (1 / (1 + precision))."""
MOST_COUNTED = 60
"""More of anything within a week says no more than so many."""
JUDGED_ROWS = 16_384
"""People who are judged at once."""


@dataclass(frozen=True)
class RecentBehaviour:
    """What people did of late.

    Attributes:
        this_week: person_id and counts of the week; people without a row did nothing.
        weeks_before: The same of some people for each of the weeks before: person_id, week, counts.
        sampled: The people `weeks_before` is about, also those who did nothing.
        weeks: How many weeks before there are.
        amount: The column that says how much is done: visits, or events.
        kinds: By name, columns that divide what is done: what, when, on what.
    """

    this_week: pl.DataFrame
    weeks_before: pl.DataFrame
    sampled: pl.Series
    weeks: int
    amount: str
    kinds: Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Habits:
    """Logarithms of probabilities by count, looked up when people are judged.

    Attributes:
        amount: (counts, personas).
        kinds: By name: for each column (counts, personas), and for their sum (counts, personas).
    """

    amount: Matrix
    kinds: Mapping[str, tuple[Matrix, Matrix]]


def learn_habits(recent: RecentBehaviour, labels: NDArray[np.int64], personas: int) -> Habits | None:
    """Learn what the people of each persona do in a week.

    Args:
        recent: What people did.
        labels: Persona of each of `recent.sampled`, 0..personas-1; -1 for those of none.
        personas: How many personas there are.

    Returns:
        The habits, or None where too few people did anything.
    """
    known = labels >= 0
    if recent.weeks_before.select("person_id").n_unique() < FEWEST_TO_LEARN or known.sum() < FEWEST_TO_LEARN:
        return None
    place = dict(zip(recent.sampled.to_list(), range(len(labels)), strict=True))
    rows = recent.weeks_before.with_columns(
        __place=pl.col("person_id").replace_strict(place, default=-1, return_dtype=pl.Int64)
    ).filter(pl.col("__place") >= 0)
    owner = labels[rows["__place"].to_numpy()]
    rows, owner = rows.filter(pl.Series(owner >= 0)), owner[owner >= 0]
    person_weeks = np.bincount(labels[known], minlength=personas).astype(np.float64) * recent.weeks
    amounts = _capped(rows[recent.amount].to_numpy())
    return Habits(
        amount=_amount_table(amounts, owner, person_weeks),
        kinds={
            name: _kind_tables(_capped(rows.select(columns).to_numpy()), owner, personas)
            for name, columns in recent.kinds.items()
        },
    )


def weekly_evidence(habits: Habits, recent: RecentBehaviour, people: pl.Series) -> Matrix:
    """Say how probable each person's week is in each persona.

    Args:
        habits: As `learn_habits` gave them.
        recent: What people did.
        people: Whom to judge.

    Returns:
        (people, personas), natural logarithms, up to a term that is the same for all personas.
    """
    columns = [recent.amount, *(column for columns in recent.kinds.values() for column in columns)]
    week = (
        pl.DataFrame({"person_id": people})
        .join(
            recent.this_week.select("person_id", *dict.fromkeys(columns)),
            on="person_id",
            how="left",
            maintain_order="left",
        )
        .fill_null(0)
    )
    evidence = np.empty((len(people), habits.amount.shape[1]))
    for start in range(0, len(people), JUDGED_ROWS):
        rows = slice(start, start + JUDGED_ROWS)
        evidence[rows] = _evidence_of(habits, recent, week[rows])
    return evidence


def _evidence_of(habits: Habits, recent: RecentBehaviour, week: pl.DataFrame) -> Matrix:
    """The same of a few people, whose tables stay near the processor."""
    evidence: Matrix = np.take(habits.amount, _capped(week[recent.amount].to_numpy()), axis=0)
    for name, names in recent.kinds.items():
        by_column, by_sum = habits.kinds[name]
        total = np.zeros(len(evidence), dtype=np.int64)
        for column, table in zip(names, by_column, strict=True):
            counts = _capped(week[column].to_numpy())
            evidence += np.take(table, counts, axis=0)
            total += counts
        evidence += np.take(by_sum, total, axis=0)
    return evidence


def update_beliefs(
    standing: Matrix, before: Matrix, has_past: NDArray[np.bool_], evidence: Matrix, moving: float = MOVING
) -> Matrix:
    """Weigh what was believed of people with what they did this week.

    Args:
        standing: (people, personas), probabilities by the standing model alone.
        before: (people, personas), what was believed a week ago; each row of those with a past sums to 1.
        has_past: Of whom something was believed; the others are where the model puts them.
        evidence: As `weekly_evidence` returns it.
        moving: Share of people who may have become somebody else.

    Returns:
        (people, personas), each row sums to 1.
    """
    expected = (1 - moving) * before + moving / standing.shape[1]
    logs = np.log(np.maximum(expected, 1e-300)) + evidence + STANDING_WEIGHT * np.log(np.maximum(standing, 1e-12))
    logs -= logs.max(axis=1, keepdims=True)
    believed = np.exp(logs)
    believed /= believed.sum(axis=1, keepdims=True)
    return np.where(has_past[:, None], believed, standing)


def _capped(counts: NDArray[np.generic]) -> NDArray[np.int64]:
    return np.clip(np.nan_to_num(counts.astype(np.float64)), 0, MOST_COUNTED).astype(np.int64)


def _amount_table(amounts: NDArray[np.int64], owner: NDArray[np.int64], person_weeks: Matrix) -> Matrix:
    """Negative binomial of each persona; person-weeks without a row are zeros."""
    count = len(person_weeks)
    sums = np.bincount(owner, weights=amounts, minlength=count)
    squares = np.bincount(owner, weights=amounts**2, minlength=count)
    everybody = max(person_weeks.sum(), 1.0)
    weeks = person_weeks + PRIOR_WEEKS
    mean = np.maximum((sums + PRIOR_WEEKS * sums.sum() / everybody) / weeks, 1e-6)
    variance = (squares + PRIOR_WEEKS * squares.sum() / everybody) / weeks - mean**2
    size = (mean**2 / np.maximum(variance - mean, 0.01 * mean))[:, None]
    number = np.arange(MOST_COUNTED + 1)
    share = size / (size + mean[:, None])
    table: Matrix = gammaln(number + size) - gammaln(size) + size * np.log(share) + number * np.log1p(-share)
    return np.ascontiguousarray(table.T)


def _kind_tables(counts: NDArray[np.int64], owner: NDArray[np.int64], personas: int) -> tuple[Matrix, Matrix]:
    """Dirichlet multinomial of each persona, as tables by count: (columns, counts, personas) and (sums, personas)."""
    columns = counts.shape[1]
    sums = np.array([np.bincount(owner, weights=counts[:, place], minlength=personas) for place in range(columns)]).T
    base = (sums.sum(axis=0) + 1.0) / (sums.sum() + columns)
    shares = (sums + PRIOR_COUNT * base) / (sums.sum(axis=1, keepdims=True) + PRIOR_COUNT)
    total = counts.sum(axis=1)
    expected = total[:, None] * shares[owner]
    distance = ((counts - expected) ** 2 / shares[owner]).sum(axis=1) / max(columns - 1, 1)
    by_persona = [
        np.bincount(owner, weights=values, minlength=personas)
        for values in (distance, total.astype(np.float64), (total * (total - 1)).astype(np.float64))
    ]
    # A small persona's spread is everybody's: the sums of all weigh as much as PRIOR_WEEKS of its own.
    weight = PRIOR_WEEKS / max(len(owner), 1)
    measured, once, pairs = (own + weight * own.sum() for own in by_persona)
    spread = np.clip((measured - once) / np.maximum(pairs, 1e-9), LEAST_SPREAD, MOST_SPREAD)
    precision = 1 / spread - 1
    alpha = np.maximum(precision[:, None] * shares, 1e-6)
    number = np.arange(MOST_COUNTED + 1)
    by_column = np.array([gammaln(number + alpha[:, [place]]) - gammaln(alpha[:, [place]]) for place in range(columns)])
    together = np.arange(columns * MOST_COUNTED + 1)
    by_sum: Matrix = gammaln(precision)[:, None] - gammaln(together + precision[:, None])
    return np.ascontiguousarray(by_column.transpose(0, 2, 1)), np.ascontiguousarray(by_sum.T)

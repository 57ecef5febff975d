"""Simulated companies whose groups answer to one of seven approaches more than to the others, or to none.

What belongs here: the worlds, and what is found in them. The page is written in `persuasion.py`.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from ml.persuasion import APPROACHES, COUNT_SCHEMA, PersuasionRules, estimate_persuasion

GROUPS = 6
MANY = len(APPROACHES)


@dataclass(frozen=True)
class Company:
    """True rates per group and approach, the best approach of each group (-1: none), and what was counted."""

    rates: np.ndarray
    best: np.ndarray
    counts: pl.DataFrame


@dataclass(frozen=True)
class Found:
    """What was found in many companies, in shares of groups.

    Attributes:
        null_told: of groups without a best approach, those that are told that there is no evidence.
        first: of groups with one, those in which it is ranked first.
        told: of groups with one, those in which it is ranked first and there is evidence.
        wrong: of groups with evidence, those with another approach in the first place, or without a best one.
        covered: of all rates, those inside their 90 % interval.
        covered_best: the same of the best approaches.
    """

    null_told: float
    first: float
    told: float
    wrong: float
    covered: float
    covered_best: float


def company(
    rng: np.random.Generator,
    sends: int,
    *,
    base: float = 0.1,
    lift: float = 1.3,
    with_best: int = GROUPS,
    messages_per_person: int = 1,
    readiness: float = 0.0,
    uneven: bool = False,
) -> Company:
    """One company of six groups.

    Args:
        rng: the generator.
        sends: messages per group and approach.
        base: the rate of an answer.
        lift: how many times as often the best approach is answered.
        with_best: how many of the groups have a best approach.
        messages_per_person: messages with an approach that each person gets.
        readiness: how much people differ: the correlation between two answers of a person, 0 to below 1.
        uneven: approaches are sent between a fifth and twice as often.
    """
    rates = np.full((GROUPS, MANY), base)
    best = np.where(np.arange(GROUPS) < with_best, rng.integers(0, MANY, GROUPS), -1)
    for group in np.flatnonzero(best >= 0):
        rates[group, best[group]] = base * lift
    rows = []
    for group, approach in np.ndindex(rates.shape):
        people = int(sends * (rng.uniform(0.2, 2.0) if uneven else 1.0)) // messages_per_person
        own = np.full(people, rates[group, approach])
        if readiness > 0:
            strength = 1 / readiness - 1
            own = rng.beta(strength * own, strength * (1 - own))
        answers = rng.binomial(messages_per_person, own)
        rows.append(
            (
                "persona",
                f"g{group}",
                APPROACHES[approach],
                people * messages_per_person,
                int(answers.sum()),
                people * messages_per_person**2,
                int((answers**2).sum()),
                int(answers.sum()) * messages_per_person,
            )
        )
    return Company(rates, best, pl.DataFrame(rows, schema=COUNT_SCHEMA, orient="row"))


def find(companies: list[Company]) -> Found:
    """Estimate every company, and hold what is told to what is true."""
    first, observed, best, covered, covered_best = [], [], [], [], []
    for one in companies:
        told = estimate_persuasion(one.counts, PersuasionRules()).estimates
        ranks = told["observed_rank"].fill_null(MANY + 1).to_numpy().reshape(GROUPS, MANY)
        first.append(ranks.argmin(axis=1))
        observed.append(told["evidence"].to_numpy().reshape(GROUPS, MANY)[:, 0] == "observed")
        best.append(one.best)
        low, high = (told[name].to_numpy().reshape(GROUPS, MANY) for name in ("rate_low", "rate_high"))
        inside = (low <= one.rates) & (one.rates <= high)
        covered.append(inside.mean())
        covered_best += [inside[group, place] for group, place in enumerate(one.best) if place >= 0]
    chosen, is_told, true = np.concatenate(first), np.concatenate(observed), np.concatenate(best)
    has_best, right = true >= 0, chosen == true
    return Found(
        null_told=_share(~is_told[~has_best]),
        first=_share(right[has_best]),
        told=_share((right & is_told)[has_best]),
        wrong=_share(~right[is_told]),
        covered=float(np.mean(covered)),
        covered_best=_share(np.array(covered_best, dtype=bool)),
    )


def _share(of: np.ndarray) -> float:
    return float(of.mean()) if len(of) else float("nan")

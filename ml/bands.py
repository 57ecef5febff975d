"""Probabilities called high, medium and low: by a threshold, by how many people there is capacity for, or by what a
contact brings; and honestly so, by what was observed of people with such probabilities.

Here belong the rules and who falls into which band. What a band is expected to earn stands in `gains`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import norm

Floats = NDArray[np.float64]
BANDS = ("high", "medium", "low")
HIGH, MEDIUM, LOW = 2, 1, 0


@dataclass(frozen=True)
class BandRule:
    """How probabilities are banded.

    Attributes:
        by: `threshold`: by the probability; `capacity`: the most likely people, down to the last of so many who may be
            contacted; `expected_value`: high is who is worth more than a contact costs.
        high: Probability from which it is high; by default cost / (value x margin), and where these are not known
            twice the base rate, but no more than half way from it to 1.
        medium: Probability from which it is medium; by default the base rate (or `high`, if that is lower).
        people: People there is capacity to contact (`capacity`).
        medium_people: People who come next (`capacity`); by default twice as many.
        cost: Cost of contacting one person.
        value: What it brings when the outcome comes true; None where people's own amounts say so, or nothing does.
        margin: What is left of value or amount, 0..1.
    """

    by: Literal["threshold", "capacity", "expected_value"] = "threshold"
    high: float | None = None
    medium: float | None = None
    people: int | None = None
    medium_people: int | None = None
    cost: float | None = None
    value: float | None = None
    margin: float = 1.0


@dataclass(frozen=True)
class Bands:
    """Decided bands.

    Attributes:
        rule: How they were decided.
        high_from: Probability from which it is high; None by capacity or expected value.
        medium_from: Probability from which it is medium; None by capacity.
        usual_amount: The amount of who has none of their own (`expected_value`).
        joined: The band that each band is called by: those whose observed shares cannot be told apart are one.
        notes: What became of the bands, in sentences.
    """

    rule: BandRule
    high_from: float | None
    medium_from: float | None
    usual_amount: float | None = None
    joined: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def place(self, people: pl.DataFrame, population: float | None = None) -> NDArray[np.int8]:
        """Band of each person by the rule alone: 2 high, 1 medium, 0 low.

        Args:
            people: person_id, probability 0..1, where the rule needs it amount (nullable), optionally weight, and
                may_be_contacted: only they take up capacity. Others stand in the band of those as likely as they are.
            population: How many people who may be contacted there are, if these rows are a sample of them; by default
                these.
        """
        probability = people["probability"].to_numpy()
        if self.rule.by == "capacity":
            return self._by_capacity(people, population)
        place = np.zeros(len(probability), np.int8)
        place[probability >= (self.medium_from or 0.0)] = MEDIUM
        if self.rule.by == "threshold":
            place[probability >= (self.high_from or 0.0)] = HIGH
        else:
            place[probability * self.worth(people) >= (self.rule.cost or 0.0)] = HIGH
        return place

    def worth(self, people: pl.DataFrame) -> Floats:
        """What it brings when the outcome comes true for each person."""
        if "amount" in people.columns:
            amounts: Floats = people["amount"].cast(pl.Float64).fill_null(self.usual_amount or 0.0).to_numpy()
            return np.maximum(amounts, 0.0) * self.rule.margin
        return np.full(people.height, (self.rule.value or 0.0) * self.rule.margin)

    def _by_capacity(self, people: pl.DataFrame, population: float | None) -> NDArray[np.int8]:
        order, counts = _likeliest_first(people)
        reached = np.cumsum(counts)
        everybody = reached[-1] if len(reached) else 0.0
        scale = 1.0 if population is None else everybody / max(population, 1)
        high = (self.rule.people or 0) * scale
        further = 2 * (self.rule.people or 0) if self.rule.medium_people is None else self.rule.medium_people
        place = np.zeros(people.height, np.int8)
        for limit, band in ((high + further * scale, MEDIUM), (high, HIGH)):
            # Down to the last one who takes up capacity, with everybody likelier than they.
            last = np.flatnonzero((reached <= limit + 1e-9) & (counts > 0))
            place[order[: last[-1] + 1 if len(last) else 0]] = band
        return place

    def names(self, people: pl.DataFrame) -> pl.Series:
        """Band of each person as it is published.

        Args:
            people: As in `place`; everybody the target is predicted of.

        Returns:
            high, medium or low, in the order of the rows.
        """
        called = {HIGH: "high", MEDIUM: "medium", LOW: "low"}
        places = pl.Series("band", self.place(people))
        return places.replace_strict(
            {place: self.joined.get(name, name) for place, name in called.items()}, return_dtype=pl.String
        )


def decide_bands(rule: BandRule, base_rate: float, measured: pl.DataFrame | None, people: int) -> Bands:
    """Decide where bands begin, and join those that the measured week does not bear out.

    From the top: a band whose observed share is not clearly higher than that of the next (their 95 % Wilson intervals
    overlap, or nobody measured is in it) is one with the next, and called as the larger of them. The list that there is
    capacity for stays a list: it is said of it that it is no better.

    Args:
        rule: The rule.
        base_rate: Share of people with the outcome, 0..1.
        measured: Of a week not learned from: person_id, probability, outcome 0 or 1, optionally weight and amount; None
            where nothing was measured, and nothing is joined.
        people: How many people are to be banded; by capacity, who may be contacted.

    Raises:
        ValueError: The thresholds are not 0 <= medium <= high <= 1.
    """
    high, medium = _thresholds(rule, base_rate)
    usual = None
    if measured is not None and "amount" in measured.columns:
        mean = measured["amount"].cast(pl.Float64).mean()
        usual = float(mean) if isinstance(mean, float) else 0.0
    bands = Bands(rule, high, medium, usual)
    if measured is None or measured.is_empty():
        return bands
    joined, notes = _join(bands, measured, people)
    return Bands(rule, high, medium, usual, joined, notes)


def _thresholds(rule: BandRule, base_rate: float) -> tuple[float | None, float | None]:
    if rule.by == "capacity":
        return None, None
    if rule.by == "expected_value":
        return None, base_rate
    high = rule.high
    if high is None and rule.cost is not None and rule.value is not None:
        high = rule.cost / (rule.value * rule.margin)
    if high is None:
        high = min(2 * base_rate, (1 + base_rate) / 2)
    medium = min(base_rate, high) if rule.medium is None else rule.medium
    if not 0 <= medium <= high <= 1:
        raise ValueError(f"thresholds must be 0 <= medium <= high <= 1, got medium {medium} and high {high}")
    return high, medium


def _join(bands: Bands, measured: pl.DataFrame, people: int) -> tuple[dict[str, str], tuple[str, ...]]:
    place = bands.place(measured, people)
    weights, outcomes = weights_of(measured), measured["outcome"].cast(pl.Float64).to_numpy()
    # From the top: the bands that are one so far, and their rows.
    groups = [([name], place == number) for name, number in zip(BANDS, (HIGH, MEDIUM, LOW), strict=True)]
    notes = []
    upper = 0
    while upper + 1 < len(groups):
        (names, rows), (next_names, next_rows) = groups[upper], groups[upper + 1]
        if not next_rows.any():
            groups = [*groups[: upper + 1], *groups[upper + 2 :]]
            continue
        above, below = (observed_share(outcomes[part], weights[part]) for part in (rows, next_rows))
        if above[1] > below[2]:
            upper += 1
            continue
        what = (
            f"the observed share of {_called(names)} ({above[0]:.1%}, {above[1]:.1%} to {above[2]:.1%}) cannot be told "
            f"from that of {_called(next_names)} ({below[0]:.1%}, {below[1]:.1%} to {below[2]:.1%})"
        )
        if not rows.any():
            what = f"nobody measured was in the band {_called(names)}"
        if bands.rule.by == "capacity" and names == ["high"]:
            notes.append(f"{what}: the list is as long as capacity, but no better than who comes next")
            upper += 1
            continue
        notes.append(f"{what}: they are one band")
        groups = [*groups[:upper], ([*names, *next_names], rows | next_rows), *groups[upper + 2 :]]
    joined: dict[str, str] = {}
    for names, _ in groups:
        largest = max(names, key=lambda name: float(weights[place == BANDS[::-1].index(name)].sum()))
        joined |= {name: largest for name in names if name != largest}
    return joined, tuple(notes)


def _called(names: list[str]) -> str:
    return " and ".join(names)


def _likeliest_first(people: pl.DataFrame) -> tuple[NDArray[np.int64], Floats]:
    """Rows from the most likely person on, ties by person, and how much capacity each takes up."""
    order = (
        people.with_row_index("row")
        .sort("probability", "person_id", descending=[True, False])["row"]
        .to_numpy()
        .astype(np.int64)
    )
    counts = weights_of(people)
    if "may_be_contacted" in people.columns:
        counts = counts * people["may_be_contacted"].to_numpy()
    return order, counts[order]


def weights_of(rows: pl.DataFrame) -> Floats:
    """How many people each row stands for: 1 where no column `weight` says otherwise."""
    return rows["weight"].cast(pl.Float64).to_numpy() if "weight" in rows.columns else np.ones(rows.height)


def observed_share(
    outcomes: Floats, weights: Floats | Sequence[float], confidence: float = 0.95
) -> tuple[float, float, float]:
    """A share and its interval (Wilson 1927, "Probable inference, the law of succession, and statistical inference").

    Of weighted rows the interval is that of so many rows as tell equally much (Kish 1965: the square of the sum of the
    weights over the sum of their squares).

    Returns:
        Share, lower and upper limit, 0..1; without rows not a number, 0 and 1.
    """
    shares = np.asarray(weights, np.float64)
    total = float(shares.sum())
    if total <= 0:
        return float("nan"), 0.0, 1.0
    share = float((shares * outcomes).sum() / total)
    return (share, *wilson(share, total**2 / float((shares**2).sum()), confidence))


def wilson(share: float, rows: float, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of a share of `rows`, 0..1."""
    if rows <= 0:
        return 0.0, 1.0
    z = float(norm.ppf(0.5 + confidence / 2))
    middle = (share + z * z / (2 * rows)) / (1 + z * z / rows)
    half = z / (1 + z * z / rows) * float(np.sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows)))
    return max(0.0, middle - half), min(1.0, middle + half)

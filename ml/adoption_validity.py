"""How well the data support classes of adoption: do separate launches agree, and do early people go on being early?

What belongs here: figures about the classes, from the same matrices that they are made of. Nothing here decides where
anybody stands; `adoption.why_withheld` decides whether anybody is placed.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.stats import CensoredData, chi2, ecdf, norm, spearmanr

from ml.adoption import (
    AdoptionRules,
    BoolArray,
    Evidence,
    FloatArray,
    IntArray,
    Signal,
    class_by_rank,
    mean_scores,
)

MOST_PEOPLE = 100_000
"""People that figures are taken from, about, where there are more: every second, third ... in the order they come."""
FEWEST_IN_A_CLASS = 10
"""Fewest people of a class whose curve is drawn."""
FIRST_ADOPTERS = 0.1
"""The part of those who tried a launch that counts as the first."""
DAYS_DRAWN = 30
"""Points of a curve, beside its beginning."""

VALIDITY_SCHEMA = {
    "measure": pl.String,
    "position": pl.Int64,
    "launch_id": pl.String,
    "days": pl.Float64,
    "value": pl.Float64,
    "value_low": pl.Float64,
    "value_high": pl.Float64,
    "people": pl.Int64,
    "words": pl.String,
}
"""`position`: of the class on the curve, null where the figure is of all."""


@dataclass(frozen=True)
class LogRank:
    """Whether groups try something at different speed.

    Attributes:
        chi_square, degrees, p: of any difference (Mantel 1966; Peto and Peto 1972).
        trend, trend_p: how much later later groups try it, in standard errors (Tarone 1975), and the one-sided
            probability of so much by chance.
    """

    chi_square: float
    degrees: int
    p: float
    trend: float
    trend_p: float


@dataclass(frozen=True)
class NextLaunch:
    """What became of a launch among people placed by earlier ones alone.

    Attributes:
        launch: its column.
        position: class per person, -1 for people who are not judged.
        days: days until somebody tried it, or until trying counted no more.
        tried: whether it was tried.
    """

    launch: int
    position: IntArray
    days: FloatArray
    tried: BoolArray


def weighted_kappa(first: IntArray, second: IntArray, classes: int) -> float:
    """Cohen's kappa with quadratic weights (1968): 1 the same, 0 as chance would; nan where all are in one class."""
    table = np.bincount(first * classes + second, minlength=classes**2).reshape(classes, classes).astype(np.float64)
    distance = (np.arange(classes)[:, None] - np.arange(classes)[None, :]) ** 2.0
    by_chance = np.outer(table.sum(axis=1), table.sum(axis=0)) / max(table.sum(), 1)
    expected = float((distance * by_chance).sum())
    return 1 - float((distance * table).sum()) / expected if expected > 0 else float("nan")


def log_rank(days: FloatArray, happened: BoolArray, group: IntArray) -> LogRank:
    """The log-rank test between groups 0, 1, ..., whose numbers are their order.

    Args:
        days: until it happened, or until nobody looked any more.
        happened: which of the two.
        group: of each person.
    """
    groups = int(group.max()) + 1
    moments, place = np.unique(days, return_inverse=True)
    leaving = np.zeros((len(moments), groups))
    np.add.at(leaving, (place, group), 1)
    events = np.zeros((len(moments), groups))
    np.add.at(events, (place[happened], group[happened]), 1)
    at_risk = leaving[::-1].cumsum(axis=0)[::-1]
    all_at_risk, all_events = at_risk.sum(axis=1), events.sum(axis=1)
    told = np.flatnonzero(all_events)
    at_risk, all_at_risk, all_events = at_risk[told], all_at_risk[told], all_events[told]
    part = at_risk / all_at_risk[:, None]
    difference = (events[told] - part * all_events[:, None]).sum(axis=0)
    scale = all_events * (all_at_risk - all_events) / np.maximum(all_at_risk - 1, 1)
    covariance = np.diag((part * scale[:, None]).sum(axis=0)) - (part * scale[:, None]).T @ part
    chi_square = float(difference @ np.linalg.pinv(covariance) @ difference)
    order = np.arange(groups, dtype=np.float64)
    spread = float(order @ covariance @ order)
    # Later groups that try it less have fewer events than expected: a positive trend is the order that is claimed.
    trend = -float(order @ difference) / np.sqrt(spread) if spread > 0 else 0.0
    return LogRank(chi_square, groups - 1, float(chi2.sf(chi_square, groups - 1)), trend, float(norm.sf(trend)))


def tried_by_day(days: FloatArray, tried: BoolArray, grid: npt.ArrayLike) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The share that has tried it by each day of `grid`, with its 95 % interval (Kaplan and Meier 1958; Greenwood)."""
    data = CensoredData(uncensored=days[tried], right=days[~tried])
    survival = ecdf(data).sf
    moments = np.asarray(grid, dtype=np.float64)
    value = 1 - survival.evaluate(moments)
    if not tried.any():
        return value, np.zeros(len(moments)), np.minimum(1.0, np.full(len(moments), 3 / max(len(days), 1)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # there is no interval where nobody, or everybody, has tried it
        interval = survival.confidence_interval(confidence_level=0.95, method="log-log")
        low, high = 1 - interval.high.evaluate(moments), 1 - interval.low.evaluate(moments)
    return value, np.where(np.isnan(low), value, low), np.where(np.isnan(high), value, high)


def next_launch(
    evidence: Evidence,
    days: FloatArray,
    could_try: BoolArray,
    launched: IntArray,
    observed_days: int,
    launches_worth: float,
    rules: AdoptionRules,
) -> NextLaunch | None:
    """The latest closed launch, and the people who could try it, placed by launches that had closed before it.

    Args:
        evidence: what launches say of people.
        days: people x launches, days until somebody first tried it; nan where that has not happened.
        could_try: people x launches.
        launched: day number of each launch.
        observed_days: for how many days trying it counts.
        launches_worth: how many launches the expectation of 0 counts as.
        rules: shares of the classes, and the fewest launches.

    Returns:
        What became of it; None where no launch has enough before it.
    """
    told: BoolArray = np.asarray(~np.isnan(evidence.scores).all(axis=0))
    for launch in np.argsort(-launched, kind="stable"):
        if not (evidence.is_closed[launch] and told[launch]):
            continue
        before = np.flatnonzero(told & (launched + observed_days <= launched[launch]))
        if len(before) == 0:
            continue
        scores = evidence.scores[:, before]
        fewest = min(rules.minimum_launches, len(before))
        judged = could_try[:, launch] & ((~np.isnan(scores)).sum(axis=1) >= fewest)
        if judged.sum() < rules.minimum_people:
            continue
        position = np.full(len(judged), -1)
        position[judged] = class_by_rank(mean_scores(scores[judged], launches_worth), rules.shares)
        tried = ~np.isnan(days[:, launch])
        return NextLaunch(int(launch), position, np.where(tried, days[:, launch], observed_days), tried)
    return None


def first_adopter_lift(
    position: IntArray, days: FloatArray, tried: BoolArray, earliest: int
) -> tuple[float, float, float]:
    """How many times more of the earliest classes are among the first to try a launch than among all.

    Args:
        position: class per person.
        days: until it was tried.
        tried: whether it was.
        earliest: how many classes count as early.

    Returns:
        The ratio, and its 95 % interval (of a ratio of shares, on the logarithm); nan where nobody is early or first.
    """
    when = np.sort(days[tried])
    if len(when) == 0:
        return float("nan"), float("nan"), float("nan")
    first = tried & (days <= when[max(0, int(np.ceil(FIRST_ADOPTERS * len(when))) - 1)])
    early = position < earliest
    both, firsts, share = int((first & early).sum()), int(first.sum()), float(early.mean())
    if share == 0 or both == 0:
        return 0.0 if share else float("nan"), float("nan"), float("nan")
    ratio = both / firsts / share
    error = np.sqrt(1 / both - 1 / firsts + (1 - share) / (share * len(early)))
    return ratio, float(ratio * np.exp(-1.96 * error)), float(ratio * np.exp(1.96 * error))


def validity_of(
    evidence: Evidence,
    signal: Signal | None,
    days: FloatArray,
    could_try: BoolArray,
    launched: IntArray,
    launch_ids: Sequence[str],
    observed_days: int,
    rules: AdoptionRules,
    withheld: str | None,
) -> pl.DataFrame:
    """All figures about the classes of one week, `VALIDITY_SCHEMA`.

    Args:
        evidence, signal, days, could_try, launched, observed_days, rules: as above.
        launch_ids: what the launches are called.
        withheld: why nobody is placed; None where people are.
    """
    everybody = len(days)
    step = max(1, everybody // MOST_PEOPLE)
    evidence, days, could_try = evidence.of_every(step), days[::step], could_try[::step]
    supported = "the launches bear the classes out" if withheld is None else withheld
    rows: list[dict[str, object]] = [
        _row("verdict", 1.0 if withheld is None else 0.0, people=everybody, words=supported)
    ]
    if signal is not None:
        rows.append(
            _row(
                "launch_correlation",
                signal.correlation,
                signal.correlation_low,
                signal.correlation_high,
                people=signal.people,
                words=f"how much trying one launch early says of trying another early, over {signal.launches} launches",
            )
        )
        rows.append(
            _row(
                "reliability",
                signal.reliability,
                signal.reliability_low,
                signal.reliability_high,
                people=signal.people,
                words=f"of the score of somebody who has seen {signal.typical_launches} launches: 0 chance, 1 certain",
            )
        )
        worth = (1 - signal.correlation) / max(signal.correlation, 1e-3)
        rows.extend(_agreement(evidence, launched, worth, rules))
        later = next_launch(evidence, days, could_try, launched, observed_days, worth, rules)
        if later is not None:
            rows.extend(_what_became_of(later, launch_ids[later.launch], observed_days, rules))
    return pl.DataFrame(rows, schema=VALIDITY_SCHEMA)


def _agreement(evidence: Evidence, launched: IntArray, worth: float, rules: AdoptionRules) -> list[dict[str, object]]:
    """Classes from one half of the closed launches against the other: every second, and early against late."""
    told = np.flatnonzero(evidence.is_closed & ~np.isnan(evidence.scores).all(axis=0))
    told = told[np.argsort(launched[told], kind="stable")]
    scores = evidence.scores
    halves = {
        "split_half": (told[::2], told[1::2], "every second launch against the others"),
        "test_retest": (told[: len(told) // 2], told[len(told) // 2 :], "earlier launches against later ones"),
    }
    rows = []
    for name, (first, second, words) in halves.items():
        one, other = mean_scores(scores[:, first], worth), mean_scores(scores[:, second], worth)
        both = ~np.isnan(one) & ~np.isnan(other)
        if both.sum() < rules.minimum_people:
            continue
        one, other = one[both], other[both]
        classes = (class_by_rank(one, rules.shares), class_by_rank(other, rules.shares))
        kappa = weighted_kappa(*classes, len(rules.shares))
        error = _kappa_error(*classes, len(rules.shares))
        people = int(both.sum())
        rows.append(
            _row(
                f"{name}_kappa",
                kappa,
                kappa - 1.96 * error,
                kappa + 1.96 * error,
                people=people,
                words=f"agreement of the classes from {words} (quadratic weights): 0 chance, 1 the same",
            )
        )
        if name == "split_half":
            correlation = float(spearmanr(one, other).statistic)
            rows.append(
                _row(
                    "split_half_correlation",
                    correlation,
                    people=people,
                    words=f"rank correlation of the scores from {words}, {len(told)} in all",
                )
            )
    return rows


def _kappa_error(first: IntArray, second: IntArray, classes: int) -> float:
    """The standard error of a weighted kappa from 20 groups of people, each left out in turn (jackknife)."""
    groups = np.arange(len(first)) % 20
    left = np.array([weighted_kappa(first[groups != one], second[groups != one], classes) for one in range(20)])
    return float(np.sqrt(19 / 20 * ((left - left.mean()) ** 2).sum()))


def _what_became_of(
    later: NextLaunch, launch_id: str, observed_days: int, rules: AdoptionRules
) -> list[dict[str, object]]:
    judged = later.position >= 0
    position, days, tried = later.position[judged], later.days[judged], later.tried[judged]
    people = int(judged.sum())
    rows = []
    grid = np.linspace(0, observed_days, DAYS_DRAWN + 1)
    for each in range(len(rules.shares)):
        here = position == each
        if here.sum() < FEWEST_IN_A_CLASS:
            continue
        curve = tried_by_day(days[here], tried[here], grid)
        for day, value, low, high in zip(grid, *curve, strict=True):
            rows.append(
                _row(
                    "tried_share",
                    value,
                    low,
                    high,
                    position=each,
                    launch_id=launch_id,
                    days=day,
                    people=int(here.sum()),
                )
            )
    present, group = np.unique(position, return_inverse=True)
    if len(present) > 1 and tried.any():
        test = log_rank(days, tried, group)
        rows.append(
            _row(
                "log_rank",
                test.chi_square,
                launch_id=launch_id,
                people=people,
                words=f"chi-square of any difference between classes, {test.degrees} degrees of freedom",
            )
        )
        rows.append(
            _row(
                "log_rank_p", test.p, launch_id=launch_id, people=people, words="so much difference, or more, by chance"
            )
        )
        rows.append(
            _row(
                "log_rank_trend",
                test.trend,
                launch_id=launch_id,
                people=people,
                words="standard errors by which later classes try it later; above 1.64 is more than chance",
            )
        )
    earliest = max(1, int((np.cumsum(rules.shares) <= 0.25).sum()))
    lift, low, high = first_adopter_lift(position, days, tried, earliest)
    if not np.isnan(lift):
        rows.append(
            _row(
                "first_adopter_lift",
                lift,
                low,
                high,
                launch_id=launch_id,
                people=people,
                words=f"times more of the earliest {earliest} classes among the first tenth to try it than among all",
            )
        )
    return rows


def _row(
    measure: str,
    value: float,
    value_low: float | None = None,
    value_high: float | None = None,
    *,
    position: int | None = None,
    launch_id: str | None = None,
    days: float | None = None,
    people: int | None = None,
    words: str | None = None,
) -> dict[str, object]:
    """One figure, rounded: sums of many numbers may differ in the last digit from machine to machine."""

    def rounded(number: float | None) -> float | None:
        return None if number is None or np.isnan(number) else round(float(number), 6)

    return {
        "measure": measure,
        "position": position,
        "launch_id": launch_id,
        "days": rounded(days),
        "value": rounded(value),
        "value_low": rounded(value_low),
        "value_high": rounded(value_high),
        "people": people,
        "words": words,
    }

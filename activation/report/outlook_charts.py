"""The charts of what is likely next: do probabilities come true, and what do the likeliest people bring.

Here belong the charts' data and captions. Scales and ticks stand in `curves`, the words around them in `outlook`.
"""

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

import polars as pl

from activation.report.curves import Chart, Scale, Tick, scale_of
from activation.report.report_data import ReportData
from activation.report.words import money, percent, short_day

_FEWEST_WEEKS_FOR_A_LINE = 2


def tell_charts(target: str, data: ReportData, names: Mapping[str, str]) -> list[Chart]:
    """The charts of a target: reliability, gains, profit where it is declared, and what came of past weeks.

    Args:
        target: The target.
        data: The week.
        names: What personas are called.
    """
    parts = data.propensity_reliability.filter(pl.col("target") == target).drop_nulls().sort("mean_probability")
    curve = (
        data.propensity_gains.filter(pl.col("target") == target, pl.col("kind") == "curve")
        .drop_nulls(["depth", "gain"])
        .sort("depth")
    )
    priced = curve.drop_nulls(["profit", "profit_low", "profit_high"])
    charts = []
    # A tenth of few people would tell of single ones.
    if parts.height and not parts["people"].min() < data.minimum_cell:  # type: ignore[operator]
        charts.append(_reliability_chart(parts))
    if curve.height:
        charts.append(_gain_chart(curve))
    if priced.height:
        charts.append(_profit_chart(priced, data.currency))
    past = (
        data.propensity_backtest.filter(pl.col("target") == target, pl.col("segment_type") == "everybody")
        .drop_nulls(["scored_as_of", "predicted_mean", "observed_share"])
        .sort("scored_as_of")
    )
    if past.height >= _FEWEST_WEEKS_FOR_A_LINE:
        charts.append(_past_chart(past))
    groups = (
        data.propensity_backtest.filter(
            pl.col("target") == target,
            pl.col("segment_type") != "everybody",
            pl.col("as_of") == data.as_of,
            pl.col("people") >= data.minimum_cell,
        )
        .drop_nulls(["segment_id", "predicted_mean", "observed_share", "observed_low", "observed_high"])
        .sort("segment_type", "segment_id")
    )
    if groups.height:
        charts.append(_groups_chart(groups, names))
    return charts


def _reliability_chart(parts: pl.DataFrame) -> Chart:
    return _predicted_and_observed(
        "Does what is predicted come true?",
        "Each point is a tenth of the people of a week the model had not learned from. On the line, as many did it as "
        "predicted; the strokes are 95% intervals.",
        parts.rename({"mean_probability": "predicted_mean"}),
        lambda row: "",
    )


def _groups_chart(groups: pl.DataFrame, names: Mapping[str, str]) -> Chart:
    return _predicted_and_observed(
        "Did it come true in every persona and market?",
        "Each point is a persona or a market: what had been predicted of its people, and what came. On the line, as "
        "many did it as predicted; the strokes are 95% intervals.",
        groups,
        lambda row: f"{names.get(row['segment_id'], row['segment_id'])}: ",
    )


def _predicted_and_observed(
    title: str, words: str, groups: pl.DataFrame, name_of: Callable[[dict[str, Any]], str]
) -> Chart:
    """A point per group of people: predicted_mean against observed_share, with observed_low and observed_high."""
    highest = max(*groups["predicted_mean"], *groups["observed_high"])
    scale = scale_of([0, highest], [0, highest])
    return Chart(
        title,
        words,
        "predicted",
        "observed",
        scale.x_ticks(percent),
        scale.y_ticks(percent),
        [scale.line([(0, 0), (highest, highest)], "guide")],
        dots=[
            scale.dot(
                row["predicted_mean"],
                row["observed_share"],
                row["observed_low"],
                row["observed_high"],
                f"{name_of(row)}predicted {percent(row['predicted_mean'])}, observed {percent(row['observed_share'])}",
            )
            for row in groups.iter_rows(named=True)
        ],
    )


def _gain_chart(curve: pl.DataFrame) -> Chart:
    scale = scale_of([0, 1], [0, 1])
    points = [(0.0, 0.0), *curve.select("depth", "gain").iter_rows()]
    return Chart(
        "How many are reached by contacting the likeliest first?",
        "Of all who did it in the measured week, the share among the likeliest people. The straight line is contacting "
        "people by chance.",
        "share of people contacted",
        "share of those who did it",
        scale.x_ticks(percent),
        scale.y_ticks(percent),
        [scale.line([(0, 0), (1, 1)], "guide"), scale.line(points)],
    )


def _profit_chart(curve: pl.DataFrame, currency: str) -> Chart:
    low, high = ([(0.0, 0.0), *curve.select("depth", name).iter_rows()] for name in ("profit_low", "profit_high"))
    points = [(0.0, 0.0), *curve.select("depth", "profit").iter_rows()]
    scale = scale_of([0, 1], [y for _, y in [*low, *high]])
    return Chart(
        "What is it expected to earn?",
        "Income from those contacted who do it, less what the contacts cost, for this week’s people; the shade is the "
        "95% interval. Some of them would have done it anyway: only a campaign with a control group tells how many.",
        "share of people contacted",
        "profit",
        scale.x_ticks(percent),
        scale.y_ticks(lambda amount: money(amount, currency)),
        [scale.line(points)],
        [scale.area(low, high)],
        zero_at=scale.y(0),
    )


def _past_chart(past: pl.DataFrame) -> Chart:
    weeks = [day.toordinal() for day in past["scored_as_of"]]
    highest = max(*past["predicted_mean"], *past["observed_share"])
    scale = Scale(weeks[0], weeks[-1], 0.0, 1.1 * highest or 1.0)
    shown = dict.fromkeys([weeks[0], weeks[len(weeks) // 2], weeks[-1]])
    return Chart(
        "Week by week: what was said, and what came",
        "The dark line is the share who did it, the light one what had been predicted of the same people.",
        "week that was predicted from",
        "share of people",
        [Tick(scale.x(day), short_day(date.fromordinal(day))) for day in shown],
        scale.y_ticks(percent),
        [
            scale.line(list(zip(weeks, past["predicted_mean"], strict=True)), "other"),
            scale.line(list(zip(weeks, past["observed_share"], strict=True))),
        ],
    )

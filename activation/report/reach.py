"""What suits whom, and what it is worth: the best time, channel, content, offer and place per persona, expected value,
and what campaigns with a control group brought about.

Here belongs how these are told. What they rest on was decided where they were learned.
"""

from dataclasses import dataclass, field

import polars as pl

from activation.report.identity import Persona
from activation.report.report_data import ReportData
from activation.report.words import UNKNOWN, capitalized, count, is_small, listed, money, number, people_words, percent

DIMENSIONS = {
    "send_time": "Best time to send",
    "weekday": "Best weekday",
    "channel": "Channel",
    "content": "Content",
    "offer": "Offer",
    "purchase_channel": "Buys over",
    "location": "Comes from",
}
CHOSEN = ("purchase_channel", "location")
EVERYBODY = "everybody"


@dataclass(frozen=True)
class ValueRow:
    """What one persona will probably still buy; the bar compares it with the highest."""

    persona: Persona | None
    buyers: str
    purchases: str
    value: str
    interval: str
    bar_width: float


@dataclass(frozen=True)
class Cell:
    """What suits one persona in one dimension, and by how much; or that nothing does surely."""

    value: str
    detail: str


@dataclass(frozen=True)
class Campaign:
    """What one campaign brought about, in sentences."""

    name: str
    sentences: list[str]
    verdict: str


@dataclass(frozen=True)
class Reach:
    """The whole section.

    Attributes:
        horizon: How far ahead value is expected, in words.
        values: Per persona, and last of everybody.
        value_words: Why no value is told.
        dimensions: Headings of the dimensions of which something is told.
        rows: Per persona its cells in that order; None stands for everybody.
        silent: Dimensions nothing is told of, with the reason.
        campaigns: What was brought about.
        no_uplift: Why no campaign could be judged.
    """

    horizon: str = ""
    values: list[ValueRow] = field(default_factory=list)
    value_words: str = ""
    dimensions: list[str] = field(default_factory=list)
    rows: list[tuple[Persona | None, list[Cell]]] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
    campaigns: list[Campaign] = field(default_factory=list)
    no_uplift: str = ""


def tell_reach(data: ReportData, personas: dict[str, Persona]) -> Reach:
    """Tell what suits each persona that is large enough to be described."""
    sizes = data.kpis.sort(["people", "segment_id"], descending=[True, False], nulls_last=True)
    shown = [
        segment
        for segment, people in sizes.select("segment_id", "people").iter_rows()
        if people and not is_small(people, data.minimum_cell)
    ]
    told = data.preferences.filter(pl.col("best_value").is_not_null())["dimension"].unique().to_list()
    dimensions = [name for name in DIMENSIONS if name in told]
    campaigns, no_uplift = _tell_campaigns(data)
    horizon = next(iter(data.values["horizon_days"].drop_nulls()), None)
    return Reach(
        horizon=f"within {horizon} days" if horizon is not None else "",
        values=_tell_values(data, personas, shown),
        value_words=data.value_words,
        dimensions=[DIMENSIONS[name] for name in dimensions],
        rows=[
            (personas.get(segment), [_tell_cell(data, segment, name) for name in dimensions])
            for segment in [*shown, EVERYBODY]
            if dimensions
        ],
        silent=_tell_silent(data, dimensions),
        campaigns=campaigns,
        no_uplift=no_uplift,
    )


def _tell_values(data: ReportData, personas: dict[str, Persona], shown: list[str]) -> list[ValueRow]:
    by_segment = {row["segment_id"]: row for row in data.values.iter_rows(named=True)}
    rows = [by_segment[name] for name in [*shown, EVERYBODY] if name in by_segment]
    highest = max((row["expected_value"] or 0 for row in rows if row["segment_id"] != EVERYBODY), default=0) or 1
    return [
        ValueRow(
            persona=personas.get(row["segment_id"]),
            buyers=people_words(row["buyers"], data.minimum_cell),
            purchases=UNKNOWN if row["expected_purchases"] is None else f"{row['expected_purchases']:,.0f}",
            value=money(row["expected_value"], data.currency),
            interval=_interval(row, data.currency),
            bar_width=(
                0.0 if row["segment_id"] == EVERYBODY else round(100 * (row["expected_value"] or 0) / highest, 2)
            ),
        )
        for row in rows
    ]


def _interval(row: dict, currency: str) -> str:
    if row["expected_value_low"] is None:
        return ""
    return f"{money(row['expected_value_low'], currency)} to {money(row['expected_value_high'], currency)}"


def _tell_cell(data: ReportData, segment: str, dimension: str) -> Cell:
    row = next(data.preferences.filter(segment_id=segment, dimension=dimension).iter_rows(named=True), None)
    if row is None or row["best_value"] is None:
        return Cell("no preference", "")
    if dimension in CHOSEN:
        return Cell(_words(row["best_value"]), f"{percent(row['probability'])} of what they choose")
    times = number(round(row["lift"], 2))
    return Cell(_words(row["best_value"]), f"{times} times as usual, from {count(row['evidence'])} messages")


def _words(value: str) -> str:
    return value.replace("_", " ")


def _tell_silent(data: ReportData, told: list[str]) -> list[str]:
    """Each reason once, after the dimensions that it holds for."""
    everybody = data.preferences.filter(segment_id=EVERYBODY)
    reasons = dict(everybody.select("dimension", "abstained_reason").iter_rows())
    silent = [name for name in DIMENSIONS if name not in told and reasons.get(name)]
    return [
        f"{listed([DIMENSIONS[name] for name in silent if reasons[name] == reason])}: {reason}"
        for reason in dict.fromkeys(reasons[name] for name in silent)
    ]


def _tell_campaigns(data: ReportData) -> tuple[list[Campaign], str]:
    nameless = data.uplift.filter(pl.col("campaign").is_null())
    no_uplift = nameless["abstained_reason"][0] if nameless.height else ""
    campaigns = []
    for name in data.uplift["campaign"].drop_nulls().unique(maintain_order=True):
        rows = data.uplift.filter(campaign=name)
        first = rows.row(0, named=True)
        sentences = []
        if first["effect"] is not None:
            sentences.append(
                f"{capitalized(first['outcome'])}: {_more_often(first['effect'])} than without it "
                f"({_points(first['effect_low'])} to {_points(first['effect_high'])} with 95% confidence), from "
                f"{people_words(first['treated'], data.minimum_cell)} people who got it and "
                f"{people_words(first['control'], data.minimum_cell)} kept from it by chance."
            )
        learners = [
            f"{row['learner']} {row['qini']:.3f} ({row['qini_low']:.3f} to {row['qini_high']:.3f}), "
            f"{_points(row['uplift_at_30'])} in the first 30%"
            for row in rows.iter_rows(named=True)
            if row["learner"] is not None and row["qini"] is not None
        ]
        if learners:
            sentences.append(f"Qini coefficients: {listed(learners)}.")
        if first["abstained_reason"]:
            sentences.append(f"No uplift is told: {first['abstained_reason']}.")
        campaigns.append(Campaign(name, sentences, first["verdict"] or ""))
    return campaigns, no_uplift


def _more_often(effect: float) -> str:
    return f"{100 * abs(effect):.2f} points {'less' if effect < 0 else 'more'} often"


def _points(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:+.2f} points".replace("-", "−")

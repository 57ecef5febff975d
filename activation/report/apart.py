"""What sets each persona apart: what its people have more and less of than everybody, with what chance leaves open, and
who they are and what they care for in figures.

Here belongs the choice of what is told and its chart. Indexes, intervals and what chance would explain were decided in
the warehouse (`marts.persona_index`); only what chance would not explain is drawn here.
"""

from dataclasses import dataclass, field
from math import log2

import polars as pl

from activation.report.identity import PALETTE, Persona
from activation.report.report_data import ReportData
from activation.report.words import capitalized, is_small, quantity

WHO = {"demographic": "Who they are", "firmographic": "Where they work"}
CARES = {
    "interest": "What they are interested in",
    "trigger": "What they respond to",
    "event": "What is happening with them",
    "target": "Whom they are like",
}
LEAST, MOST = 25.0, 400.0
"""Ends of the charts' scale, which doubles and halves: what lies beyond is drawn at the end, with its figure."""
_SHOWN = 8
_OF_ONE_FAMILY = 3
_ROWS_OF_A_TABLE = 8
_NOTICEABLE = 5.0  # points of the index that chance leaves at least; below it a difference is not worth a line
_NEUTRAL = "#56627a"


@dataclass(frozen=True)
class IndexBar:
    """One characteristic in a chart: places in percent of the chart's width, 50 is everybody's average."""

    label: str
    value: str
    base: str
    index: str
    interval: str
    start: float
    width: float
    low_at: float | None
    high_at: float | None
    made_it: bool


@dataclass(frozen=True)
class Estimate:
    """One characteristic of a table; `mark` says more or less than everybody where chance would not explain it."""

    label: str
    value: str
    interval: str
    base: str
    index: str
    mark: str


@dataclass(frozen=True)
class SegmentIndex:
    """One segment: `over` and `under` are its charts, `tables` its estimates by heading."""

    persona: Persona
    over: list[IndexBar]
    under: list[IndexBar]
    tables: list[tuple[str, list[Estimate]]]
    compared: int
    held_back: int


@dataclass(frozen=True)
class Apart:
    """The whole section: personas found in the data first, then those that were defined, then adoption classes."""

    groups: list[tuple[str, list[SegmentIndex]]] = field(default_factory=list)
    ticks: list[tuple[float, str]] = field(default_factory=list)
    tests: str = ""
    has_inputs: bool = False


TITLES = {
    "persona": "Personas found in the data",
    "defined_persona": "Personas you defined",
    "adoption_class": "Adoption classes",
}


def tell_apart(data: ReportData, personas: dict[str, Persona]) -> Apart:
    """Tell what sets apart each segment that is large enough to be described."""
    groups = []
    for segment_type, title in TITLES.items():
        rows = data.index.filter(segment_type=segment_type)
        told = [
            _tell_segment(
                rows.filter(segment_id=segment), _shown_as(segment_type, segment, place, rows, personas), data
            )
            for place, segment in enumerate(_in_order(data, segment_type, rows))
        ]
        if told:
            groups.append((title, told))
    ticks = [(_place(value), f"{value:g}") for value in (25, 50, 100, 200, 400)]
    tests = data.index.filter(pl.col("adjusted_p_value").is_not_null()).height
    return Apart(groups, ticks, f"{tests:,}", bool(data.index["is_persona_input"].any()))


def _in_order(data: ReportData, segment_type: str, rows: pl.DataFrame) -> list[str]:
    """The segments that may be described, the largest first; adoption classes the earliest first."""
    sizes = data.market.filter(segment_type=segment_type, audience="everyone").select("segment_id", "people")
    there = rows.select("segment_id").unique().join(sizes, on="segment_id", how="left")
    told = there.filter(pl.col("people").is_not_null())
    places = dict(data.adoption_history.select("adoption_class", "place").unique().iter_rows())
    ordered = told.with_columns(
        place=pl.col("segment_id").replace_strict(places, default=0, return_dtype=pl.Int64)
    ).sort(["place", "people", "segment_id"], descending=[False, True, False])
    return [
        segment
        for segment, people in ordered.select("segment_id", "people").iter_rows()
        if people and not is_small(people, data.minimum_cell)
    ]


def _shown_as(segment_type: str, segment: str, place: int, rows: pl.DataFrame, personas: dict[str, Persona]) -> Persona:
    if segment_type == "persona" and segment in personas:
        return personas[segment]
    name = rows.filter(segment_id=segment)["segment_name"][0]
    colour = _NEUTRAL if segment_type == "defined_persona" else PALETTE[place % len(PALETTE)]
    return Persona(segment, capitalized(name), str(place + 1), colour)


def _tell_segment(rows: pl.DataFrame, persona: Persona, data: ReportData) -> SegmentIndex:
    told = rows.filter(pl.col("abstained_reason").is_null())
    tables = [
        (heading, estimates)
        for kind, heading in (WHO | CARES).items()
        if (estimates := _estimates(told.filter(characteristic_type=kind), data.currency))
    ]
    return SegmentIndex(
        persona,
        over=_chart(told.filter(direction="over"), "over", data.currency),
        under=_chart(told.filter(direction="under"), "under", data.currency),
        tables=tables,
        compared=told.height,
        held_back=rows.height - told.height,
    )


def _chart(rows: pl.DataFrame, direction: str, currency: str) -> list[IndexBar]:
    """The differences of which chance leaves most, at most three of one family and three of what made the persona."""
    surely = pl.coalesce("index_low" if direction == "over" else "index_high", "index_value")
    distance = (surely - 100) if direction == "over" else (100 - surely)
    # Doubling and halving count alike.
    strength = (surely.clip(1) / 100).log(2).abs()
    ranked = (
        rows.filter(distance >= _NOTICEABLE)
        .with_columns(strength=strength)
        .sort(["strength", "characteristic"], descending=[True, False])
        .with_columns(
            place=pl.int_range(pl.len()).over("family"),
            input_place=pl.col("is_persona_input").cast(pl.Int64).cum_sum() * pl.col("is_persona_input"),
        )
        .filter((pl.col("place") < _OF_ONE_FAMILY) & (pl.col("input_place") <= _OF_ONE_FAMILY))
        .head(_SHOWN)
    )
    return [_bar(row, currency) for row in ranked.iter_rows(named=True)]


def _bar(row: dict, currency: str) -> IndexBar:
    at = _place(row["index_value"])
    has_interval = row["index_low"] is not None
    return IndexBar(
        label=capitalized(row["label"]),
        value=quantity(row["segment_value"], row, currency),
        base=quantity(row["base_value"], row, currency),
        index=f"{row['index_value']:,.0f}",
        interval=f"{row['index_low']:,.0f} to {row['index_high']:,.0f}" if has_interval else "",
        start=min(at, 50.0),
        width=round(abs(at - 50.0), 2),
        low_at=_place(row["index_low"]) if has_interval else None,
        high_at=_place(row["index_high"]) if has_interval else None,
        made_it=row["is_persona_input"],
    )


def _place(index: float) -> float:
    """Where an index lies in a chart, in percent of its width."""
    bounded = min(max(index, LEAST), MOST)
    return round(50 + 50 * log2(bounded / 100) / log2(MOST / 100), 2)


def _estimates(rows: pl.DataFrame, currency: str) -> list[Estimate]:
    """What sets them apart first, then what is most common among them."""
    surely = pl.when(pl.col("direction") == "over").then(pl.coalesce("index_low", "index_value"))
    ordered = rows.with_columns(rank=surely.fill_null(0)).sort(
        ["rank", "segment_value", "characteristic"], descending=[True, True, False]
    )
    return [
        Estimate(
            capitalized(row["label"]),
            quantity(row["segment_value"], row, currency),
            _between(row, currency),
            quantity(row["base_value"], row, currency),
            f"{row['index_value']:,.0f}",
            {"over": "more", "under": "less"}.get(row["direction"], ""),
        )
        for row in ordered.head(_ROWS_OF_A_TABLE).iter_rows(named=True)
    ]


def _between(row: dict, currency: str) -> str:
    if row["value_low"] is None:
        return ""
    return f"{quantity(row['value_low'], row, currency)} to {quantity(row['value_high'], row, currency)}"

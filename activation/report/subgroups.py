"""Who responds to what: within each persona those who respond to a trigger, for whoever writes content.

Here belongs how these groups are told. Who responds, and which groups are too small, was decided in the warehouse
(`marts.trigger_subgroups`).
"""

from dataclasses import dataclass, field

import polars as pl

from activation.report.identity import Persona
from activation.report.report_data import ReportData
from activation.report.words import capitalized, count, counted, percent

_SHOWN = 10
_SOURCES = {"page": "read", "search": "looked for", "product": "bought", "message": "opened"}


@dataclass(frozen=True)
class Subgroup:
    """One trigger of one persona; `contents` are what of it people read, looked for, bought or opened."""

    phrase: str
    people: str
    share: str
    index: str
    interval: str
    contactable: str
    clicks: str
    click_index: str
    click_interval: str
    contents: list[str]


@dataclass(frozen=True)
class Subgroups:
    """The whole section: per persona its subgroups, those of whom most respond first, and how many more there are."""

    personas: list[tuple[Persona, list[Subgroup], str]] = field(default_factory=list)
    is_declared: bool = False
    has_clicks: bool = False


def tell_subgroups(data: ReportData, personas: dict[str, Persona]) -> Subgroups:
    """Tell the subgroups of the personas found in the data, and of those that were defined."""
    told = []
    named = data.subgroups.filter(pl.col("segment_type").is_in(["persona", "defined_persona"]))
    for segment in _in_order(data, named):
        rows = named.filter(segment_id=segment)
        large = rows.filter(pl.col("people").is_not_null()).sort(["people", "phrase"], descending=[True, False])
        small = rows.height - large.height
        more = []
        if large.height > _SHOWN:
            more.append(f"{count(large.height - _SHOWN)} more in the published table")
        if small:
            more.append(f"{counted(small, 'trigger', 'triggers')} with fewer than {data.minimum_cell} people")
        shown = personas.get(segment) or Persona(segment, capitalized(rows["segment_name"][0]), "", "#56627a")
        told.append((shown, [_tell(row) for row in large.head(_SHOWN).iter_rows(named=True)], "; ".join(more)))
    return Subgroups(told, data.subgroups.height > 0, data.subgroups["clicked_share"].is_not_null().any())


def _in_order(data: ReportData, rows: pl.DataFrame) -> list[str]:
    sizes = data.market.filter(audience="everyone").select("segment_id", "segment_type", size="people")
    there = (
        rows.select("segment_id", "segment_type").unique().join(sizes, on=["segment_id", "segment_type"], how="left")
    )
    ordered = there.sort(["segment_type", "size", "segment_id"], descending=[True, True, False], nulls_last=True)
    return ordered["segment_id"].to_list()


def _tell(row: dict) -> Subgroup:
    contents = [
        _content(row[f"content_{place}"], row[f"content_{place}_people"])
        for place in (1, 2, 3)
        if row[f"content_{place}"]
    ]
    index, click_index = row["index_value"], row["click_index"]
    return Subgroup(
        phrase=row["phrase"],
        people=count(row["people"]),
        share=percent(row["people_share"]),
        index="" if index is None else f"{index:,.0f}",
        interval=_interval(row["index_low"], row["index_high"]),
        contactable=count(row["contactable_people"]),
        clicks="" if row["clicked_share"] is None else percent(row["clicked_share"]),
        click_index="" if click_index is None else f"{click_index:,.0f}",
        click_interval=_interval(row["click_index_low"], row["click_index_high"]),
        contents=contents,
    )


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{low:,.0f} to {high:,.0f}"


def _content(told: str, people: int) -> str:
    source, _, text = told.partition(": ")
    return f"{_SOURCES.get(source, source)} “{text}” ({people:,})"

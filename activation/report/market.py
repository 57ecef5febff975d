"""How many can be reached: people and companies per segment, all of them and those who may be contacted.

Here belongs how sizes and their intervals are said. How they were counted and estimated was decided in the warehouse
(`marts.market_sizes`).
"""

from dataclasses import dataclass, field

import polars as pl

from activation.report.apart import TITLES
from activation.report.identity import Persona
from activation.report.report_data import ReportData
from activation.report.words import capitalized, count, people_words

EVERYONE, CONTACTABLE = "everyone", "contactable"


@dataclass(frozen=True)
class MarketRow:
    """One segment: counts, and in words how many are expected to belong."""

    persona: Persona | None
    name: str
    people: str
    expected: str
    contactable: str
    expected_contactable: str
    companies: str
    expected_companies: str
    contactable_companies: str
    expected_contactable_companies: str
    bar_width: float
    contactable_width: float


@dataclass(frozen=True)
class Market:
    """The whole section: rows by kind of segment; `for_what` says what people may be contacted for, and how."""

    groups: list[tuple[str, list[MarketRow]]] = field(default_factory=list)
    for_what: str = ""
    has_companies: bool = False


def tell_market(data: ReportData, personas: dict[str, Persona]) -> Market:
    """Tell the sizes of personas, of defined ones and of adoption classes."""
    rows = data.market.filter(pl.col("segment_type").is_in(list(TITLES)))
    stated = rows.filter(audience=CONTACTABLE).head(1)
    most = rows["people"].max() or 1
    groups = []
    for segment_type, title in TITLES.items():
        sizes = rows.filter(segment_type=segment_type)
        everyone = sizes.filter(audience=EVERYONE).sort(
            ["people", "segment_id"], descending=[True, False], nulls_last=True
        )
        contactable = {row["segment_id"]: row for row in sizes.filter(audience=CONTACTABLE).iter_rows(named=True)}
        told = [
            _tell_row(row, contactable.get(row["segment_id"]), data, personas, most)  # type: ignore[arg-type]
            for row in everyone.iter_rows(named=True)
        ]
        if told:
            groups.append((title, told))
    for_what = ""
    if stated.height:
        purpose, channel = (stated[name][0].replace("_", " ") for name in ("purpose", "channel"))
        for_what = f"for {purpose}" if channel in purpose.split() else f"for {purpose} over {channel}"
    return Market(groups, for_what, rows["companies"].is_not_null().any())


def _tell_row(
    row: dict, contactable: dict | None, data: ReportData, personas: dict[str, Persona], most: int
) -> MarketRow:
    reach = contactable or {}
    return MarketRow(
        persona=personas.get(row["segment_id"]) if row["segment_type"] == "persona" else None,
        name=capitalized(row["segment_name"]),
        people=_counted(row, data.minimum_cell),
        expected=_expected(row, "people"),
        contactable=_counted(reach, data.minimum_cell),
        expected_contactable=_expected(reach, "people"),
        companies=count(row["companies"]),
        expected_companies=_expected(row, "companies"),
        contactable_companies=count(reach.get("companies")),
        expected_contactable_companies=_expected(reach, "companies"),
        bar_width=round(100 * (row["people"] or 0) / most, 2),
        contactable_width=round(100 * (reach.get("people") or 0) / most, 2),
    )


def _counted(row: dict, minimum: int) -> str:
    return people_words(1 if row.get("is_suppressed") else row.get("people"), minimum)


def _expected(row: dict, figure: str) -> str:
    """The interval, in whole people; nothing where nothing is estimated."""
    low, high = row.get(f"{figure}_low"), row.get(f"{figure}_high")
    if low is None or high is None:
        return ""
    return f"{round(low):,} to {round(high):,}" if round(low) != round(high) else f"{round(low):,}"

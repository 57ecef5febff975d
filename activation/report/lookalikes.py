"""People like those you chose: how long each list is, how precision falls with its size, and whom it prefers.

Here belongs the reading of these figures in words. Small groups are not counted out.
"""

from dataclasses import dataclass

import polars as pl

from activation.report.report_data import ReportData
from activation.report.words import capitalized, is_small, people_words, percent

METHODS = {
    "classifiers": "learned from what sets the seed apart from everybody",
    "distance": "closest to the middle of the seed",
    "characteristics": "high in the characteristics you chose",
}


@dataclass(frozen=True)
class PrecisionRow:
    """One size of list, in words."""

    people: str
    found: str
    lift: str
    precision: str
    is_the_list: bool


@dataclass(frozen=True)
class ParityRow:
    """One group's shares, in words."""

    group: str
    everybody: str
    seed: str
    listed: str
    differs: bool


@dataclass(frozen=True)
class LookalikeList:
    """One list of look-alikes; with a reason in place of all figures where nothing is said."""

    name: str
    people: str
    seed_people: str
    candidates: str
    method: str
    verdict: str
    precision: list[PrecisionRow]
    parity: list[ParityRow]
    notes: list[str]
    abstained_reason: str


def tell_lookalikes(data: ReportData) -> list[LookalikeList]:
    """Tell each list, in the order of its name."""
    return [_tell(row, data) for row in data.lookalikes.drop_nulls("lookalike").sort("lookalike").iter_rows(named=True)]


def _tell(row: dict, data: ReportData) -> LookalikeList:
    name = row["lookalike"]
    # Of a seed of a few people nothing but the reason is told.
    few = is_small(row["seed_people"], data.minimum_cell)
    reason = row["abstained_reason"] or ("the seed has too few people to tell of" if few else "")
    precision = data.lookalike_precision.filter(pl.col("lookalike") == name).sort("people")
    parity = data.lookalike_parity.filter(pl.col("lookalike") == name).sort("attribute", "group")
    notes = data.lookalike_notes.filter(pl.col("lookalike") == name).sort("place")
    return LookalikeList(
        name=capitalized(name.replace("_", " ")),
        people=people_words(row["people"], data.minimum_cell),
        seed_people=people_words(row["seed_people"], data.minimum_cell),
        candidates=people_words(row["candidates"], data.minimum_cell),
        method=METHODS.get(row["method"], row["method"] or ""),
        verdict="" if reason else _verdict(row, precision),
        precision=[] if reason else [_precision(one, row["people"], data) for one in precision.iter_rows(named=True)],
        parity=[] if reason else [_parity(one) for one in parity.iter_rows(named=True)],
        notes=[] if reason else notes["words"].to_list(),
        abstained_reason=_without_small_counts(reason, few),
    )


def _without_small_counts(reason: str, few: bool) -> str:
    return "the seed has too few people to learn from" if few else reason


def _verdict(row: dict, precision: pl.DataFrame) -> str:
    whole = precision.filter(pl.col("people") == row["people"])
    if whole.is_empty():
        return ""
    one = whole.row(0, named=True)
    if one["lift_low"] is None or one["lift_low"] <= 1:
        return "So long a list may be no better than one drawn by lot. Ask for fewer people."
    return (
        f"It finds {percent(one['recall'])} of the seed’s own people when they are hidden, {one['lift']:.1f} times as "
        f"many as a list drawn by lot (between {one['lift_low']:.1f} and {one['lift_high']:.1f} times)."
    )


def _precision(one: dict, listed: int, data: ReportData) -> PrecisionRow:
    return PrecisionRow(
        people=people_words(one["people"], data.minimum_cell),
        found=f"{percent(one['recall'])} ({percent(one['recall_low'])} to {percent(one['recall_high'])})",
        lift=f"{one['lift']:.1f} ({one['lift_low']:.1f} to {one['lift_high']:.1f})",
        precision=f"{percent(one['precision'])} ({percent(one['precision_low'])} to {percent(one['precision_high'])})",
        is_the_list=one["people"] == listed,
    )


def _parity(one: dict) -> ParityRow:
    return ParityRow(
        group=f"{one['attribute']}: {one['group']}",
        everybody=percent(one["base_share"]),
        seed=percent(one["seed_share"]),
        listed=f"{percent(one['chosen_share'])} ({percent(one['chosen_low'])} to {percent(one['chosen_high'])})",
        differs=bool(one["is_off"]),
    )

"""What persuades whom: style of message and order of approaches per group, how far it is known, whom not to press.

Here belongs how these are told. What they rest on was decided where they were estimated.
"""

from dataclasses import dataclass, field

import polars as pl

from activation.report.identity import Persona
from activation.report.report_data import ReportData
from activation.report.words import UNKNOWN, capitalized, count, listed, people_words, percent

KINDS = {
    "persona": "Persona",
    "defined_persona": "Defined by you",
    "adoption_class": "Adoption class",
    "everybody": "Everybody",
}
LEADING_FROM = 0.5
"""Probability of being best from which an approach that is not yet borne out is named as the one that leads so far."""


@dataclass(frozen=True)
class Approach:
    """One approach in one group; bars are percent of the width, as wide as the highest rate of the section."""

    name: str
    rank: str
    sends: str
    responses: str
    rate: str
    interval: str
    bar_left: float
    bar_width: float
    point: float
    probability_best: str
    note: str


@dataclass(frozen=True)
class Group:
    """One group: what to do, how far that is known, and the figures."""

    kind: str
    name: str
    persona: Persona | None
    style: str
    order: str
    is_observed: bool
    evidence: str
    approaches: list[Approach]


@dataclass(frozen=True)
class PersuasionSection:
    """The whole section.

    Attributes:
        groups: Personas, defined personas and classes, by size; last everybody.
        counted: What counted as an answer.
        caution: What to bear in mind when approaches are compared; empty where chance decided.
        spared: Whom pressure is not aimed at: the reason and how many people.
    """

    groups: list[Group] = field(default_factory=list)
    counted: str = ""
    caution: str = ""
    spared: list[tuple[str, str]] = field(default_factory=list)


def tell_persuasion(data: ReportData, personas: dict[str, Persona]) -> PersuasionSection:
    """Tell what persuades each group that is large enough to be told of; nothing where no message is tagged."""
    rows = data.persuasion
    if rows.is_empty():
        return PersuasionSection()
    highest = max(rows["rate_high"].drop_nulls(), default=0.0) or 1.0
    groups = [
        _tell_group(str(kind), str(segment), of_group, personas, highest)
        for (kind, segment), of_group in _in_order(rows).group_by("segment_type", "segment_id", maintain_order=True)
    ]
    return PersuasionSection(
        groups=groups,
        counted=rows["counted_responses"][0] or "",
        caution=rows["caution"][0] or "",
        spared=[
            (reason or UNKNOWN, people_words(people, data.minimum_cell))
            for reason, people in data.spared_pressure.select("reason", "people").iter_rows()
        ],
    )


def _in_order(rows: pl.DataFrame) -> pl.DataFrame:
    """Kinds of groups in their order, each with the group that got most messages first."""
    order = pl.col("segment_type").replace_strict(list(KINDS), range(len(KINDS)), default=len(KINDS))
    total = pl.col("sends").sum().over("segment_type", "segment_id")
    place = pl.coalesce("approach_rank", pl.lit(100))
    return rows.sort(
        order, total, "segment_id", place, pl.coalesce("observed_rank", pl.lit(100)), "approach",
        descending=[False, True, False, False, False, False],
    )  # fmt: skip


def _tell_group(kind: str, segment: str, rows: pl.DataFrame, personas: dict[str, Persona], highest: float) -> Group:
    order = rows.drop_nulls("approach_rank").sort("approach_rank")["approach"].to_list()
    first = rows.row(0, named=True)
    is_observed = first["evidence"] == "observed"
    return Group(
        kind=KINDS.get(kind, kind.replace("_", " ")),
        name=first["segment_name"] or UNKNOWN,
        persona=personas.get(segment) if kind == "persona" else None,
        style=_words(first["message_style"]) if first["message_style"] else "no style",
        order=", then ".join(_words(one) for one in order[:3]) or "nothing in particular",
        is_observed=is_observed,
        evidence=_tell_observed(rows) if is_observed else _tell_default(rows),
        approaches=[_tell_approach(row, highest) for row in rows.iter_rows(named=True)],
    )


def _tell_observed(rows: pl.DataFrame) -> str:
    best = next(rows.filter(observed_rank=1).iter_rows(named=True), rows.row(0, named=True))
    others = rows.filter(pl.col("observed_rank") > 1)
    rest = int(others["responses"].sum()) / max(int(others["sends"].sum()), 1)
    return (
        f"{capitalized(_words(best['approach']))} is answered by {percent(best['response_rate'])} "
        f"({percent(best['rate_low'])} to {percent(best['rate_high'])}), the others by {percent(rest)}; it is the best "
        f"one with a probability of {percent(best['probability_best'])}."
    )


def _tell_default(rows: pl.DataFrame) -> str:
    told = f"{capitalized(rows['abstained_reason'][0] or 'no evidence yet')}."
    leading = rows.filter(pl.col("probability_best") >= LEADING_FROM)
    if leading.is_empty():
        return told
    ahead = leading.row(0, named=True)
    return (
        f"{told} Ahead so far, and it may be chance: {_words(ahead['approach'])} "
        f"(best with a probability of {percent(ahead['probability_best'])})."
    )


def _tell_approach(row: dict, highest: float) -> Approach:
    low, high, rate = (row[name] or 0.0 for name in ("rate_low", "rate_high", "response_rate"))
    is_told = row["response_rate"] is not None
    return Approach(
        name=capitalized(_words(row["approach"])),
        rank=str(row["approach_rank"]) if row["approach_rank"] is not None else "–",
        sends=count(row["sends"]),
        responses=count(row["responses"]),
        rate=percent(row["response_rate"]),
        interval=f"{percent(low)} to {percent(high)}" if is_told else "",
        bar_left=round(100 * low / highest, 2) if is_told else 0.0,
        bar_width=round(100 * (high - low) / highest, 2) if is_told else 0.0,
        point=round(100 * rate / highest, 2) if is_told else 0.0,
        probability_best=percent(row["probability_best"]),
        note=_note(row),
    )


def _note(row: dict) -> str:
    notes = []
    if row["withheld_reason"]:
        notes.append(f"not used: {row['withheld_reason']}")
    if row["sends"] and row["observed_rank"] is None:
        notes.append("too few messages to be judged")
    return listed(notes)


def _words(name: str | None) -> str:
    """A label or an approach as people read it: `proof_seeking` is proof-seeking."""
    if name is None:
        return UNKNOWN
    return name.replace("_seeking", "-seeking").replace("_", " ")

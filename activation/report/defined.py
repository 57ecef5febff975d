"""The personas that marketers defined: how many fit them, and how well the data bear them out.

Here belongs the reading of support in words. How people are fitted to a definition belongs elsewhere.
"""

from dataclasses import dataclass

import polars as pl

from activation.report.identity import Persona
from activation.report.report_data import ReportData
from activation.report.words import capitalized, is_small, number, people_words, percent

_WELL_SEPARATED, _BARELY_SEPARATED = 1.0, 0.5
_STABLE, _SOMEWHAT_STABLE = 0.75, 0.6
_SAME_FROM, _RELATED_FROM = 0.5, 0.15


@dataclass(frozen=True)
class DefinedPersona:
    """One definition, what it finds, and what to think of it."""

    name: str
    description: str
    people: str
    share: str
    fit: str
    verdicts: list[str]
    suggestions: list[str]
    unfit_reason: str


@dataclass(frozen=True)
class DefinedView:
    """Everything the section shows."""

    personas: list[DefinedPersona]
    unnamed: list[tuple[str, str, str]]
    summary: str


def tell_defined(data: ReportData, personas: dict[str, Persona]) -> DefinedView:
    """Tell how the definitions fare this week."""
    rows = data.defined.sort(["people", "segment_id"], descending=[True, False], nulls_last=True)
    told = [_tell(row, data, personas) for row in rows.iter_rows(named=True)]
    placed = int(data.defined["people"].fill_null(0).sum())
    everybody = int(data.kpis["people"].fill_null(0).sum())
    none = everybody - placed
    summary = ""
    if told and everybody and not is_small(none, data.minimum_cell) and not is_small(placed, data.minimum_cell):
        summary = (
            f"{percent(placed / everybody)} of everybody fit one of your definitions; "
            f"{people_words(none, data.minimum_cell)} people fit none of these, and are not forced into one."
        )
    unnamed = [
        (row["name"] or "A further group", people_words(row["people"], data.minimum_cell), row["description"] or "")
        for row in data.suggestions.sort("people", descending=True).iter_rows(named=True)
        if not is_small(row["people"], data.minimum_cell)
    ]
    return DefinedView(told, unnamed, summary)


def _tell(row: dict, data: ReportData, personas: dict[str, Persona]) -> DefinedPersona:
    people = row["people"]
    is_told = people is not None and people >= data.minimum_cell
    suggestions = (
        data.range_suggestions.filter(pl.col("segment_id") == row["segment_id"])
        .drop_nulls(["label", "reason"])
        .filter(pl.col("low").is_not_null() | pl.col("high").is_not_null())
        .sort("label")
    )
    return DefinedPersona(
        name=row["segment_name"] or row["segment_id"],
        description=row["description"] or "",
        people=people_words(people, data.minimum_cell),
        share=percent(row["share"]) if is_told else "",
        fit=percent(row["mean_fit"]) if is_told and row["mean_fit"] is not None else "",
        verdicts=_verdicts(row, personas) if is_told else [],
        suggestions=[_suggestion(one) for one in suggestions.iter_rows(named=True)] if is_told else [],
        unfit_reason=row["unfit_reason"] or "",
    )


def _verdicts(row: dict, personas: dict[str, Persona]) -> list[str]:
    told = []
    if row["separation"] is not None:
        if row["separation"] >= _WELL_SEPARATED:
            told.append("Its people are clearly apart from those of your other definitions.")
        elif row["separation"] >= _BARELY_SEPARATED:
            told.append("Its people are apart from those of your other definitions, with soft borders.")
        else:
            told.append("Its people are hard to tell from those of another definition.")
    if row["stability"] is not None:
        found = percent(row["stability"])
        if row["stability"] >= _STABLE:
            told.append(f"Fitted to other samples it finds the same people ({found} agreement).")
        elif row["stability"] >= _SOMEWHAT_STABLE:
            told.append(f"Fitted to other samples it finds mostly the same people ({found} agreement).")
        else:
            told.append(f"Fitted to other samples it finds other people ({found} agreement): treat it as a draft.")
    nearest = personas.get(row["nearest_id"] or "")
    if nearest is not None and row["nearest_overlap"] is not None:
        overlap = percent(row["nearest_overlap"])
        if row["nearest_overlap"] >= _SAME_FROM:
            told.append(
                f"It is nearly the persona “{nearest.name}” that the data show by themselves ({overlap} overlap)."
            )
        elif row["nearest_overlap"] >= _RELATED_FROM:
            told.append(f"The nearest persona found in the data is “{nearest.name}” ({overlap} overlap).")
        else:
            told.append("No persona found in the data is much like it: it cuts across them.")
    return told


def _suggestion(row: dict) -> str:
    low, high = row["low"], row["high"]
    if low is not None and high is not None:
        wanted = f"from {number(low)} to {number(high)}"
    else:
        wanted = f"at least {number(low)}" if low is not None else f"at most {number(high)}"
    return f"{capitalized(row['label'])} {wanted} would suit it better: {row['reason']}."

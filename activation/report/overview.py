"""The first screen: whose customers, which week, the summary in words and the headline figures.

Here belongs what is told before anything is explained. Every sentence is made from figures of the same report.
"""

from dataclasses import dataclass
from datetime import timedelta

import polars as pl

from activation.report.evidence import summarize_checks
from activation.report.identity import Persona
from activation.report.movement import summarize_movement
from activation.report.outlook import expected_people
from activation.report.report_data import ReportData
from activation.report.sizes import total_people
from activation.report.words import (
    change_words,
    count,
    counted,
    day_words,
    is_small,
    money,
    people_words,
    percent,
    period_words,
)


@dataclass(frozen=True)
class Tile:
    """One headline figure: what it is, the figure, what to compare it with, and the table it comes from."""

    title: str
    figure: str
    note: str
    source: str


@dataclass(frozen=True)
class Overview:
    """Everything above the first section."""

    company: str
    week: str
    data_until: str
    people: str
    summary: list[str]
    tiles: list[Tile]


def tell_overview(data: ReportData, personas: dict[str, Persona]) -> Overview:
    """Tell the first screen."""
    return Overview(
        company=data.company,
        week=period_words(data.week_start, data.as_of - timedelta(days=1)),
        data_until=f"the end of {day_words(data.as_of - timedelta(days=1))} ({data.timezone})",
        people=people_words(total_people(data.kpis), data.minimum_cell),
        summary=[sentence for sentence in _sentences(data, personas) if sentence],
        tiles=_tiles(data),
    )


def people_before(data: ReportData) -> int | None:
    """Count the people of the week before, null where that week was not run."""
    before = data.history.filter(pl.col("as_of") == data.as_of - timedelta(days=7))
    return None if before.is_empty() else total_people(before)


def _sentences(data: ReportData, personas: dict[str, Persona]) -> list[str]:
    if data.kpis.is_empty():
        return [f"No personas were published for {data.company} this week."]
    return [
        _say_people(data),
        _say_biggest(data, personas),
        _say_revenue(data, personas),
        _say_fastest(data, personas),
        summarize_movement(data, personas, biggest=1),
        _say_expected(data),
        summarize_checks(data),
    ]


def _say_people(data: ReportData) -> str:
    now, before = total_people(data.kpis), people_before(data)
    compared = ""
    if before is not None:
        moved = "as many as" if now == before else f"{change_words(now, before)} than"
        compared = f", {moved} a week before"
    known = "person" if now == 1 else "people"
    groups = counted(data.kpis.height, "persona", "personas")
    return f"{data.company} knew {people_words(now, data.minimum_cell)} {known}{compared}, in {groups}."


def _say_biggest(data: ReportData, personas: dict[str, Persona]) -> str:
    rows = _told_personas(data)
    if rows.height < 2:
        return ""
    first = rows.row(0, named=True)
    return f"The biggest is “{personas[first['segment_id']].name}” with {percent(first['people_share'])} of all people."


def _say_revenue(data: ReportData, personas: dict[str, Persona]) -> str:
    rows = (
        _told_personas(data).drop_nulls("revenue_share").sort(["revenue_share", "segment_id"], descending=[True, False])
    )
    if rows.is_empty() or not rows["revenue_share"][0]:
        return ""
    first = rows.row(0, named=True)
    return (
        f"Most revenue came from “{personas[first['segment_id']].name}”: {percent(first['revenue_share'])} of the last "
        f"91 days’ revenue from {percent(first['people_share'])} of people."
    )


def _say_fastest(data: ReportData, personas: dict[str, Persona]) -> str:
    rows = (
        _told_personas(data)
        .filter(pl.col("previous_people") >= data.minimum_cell)
        .with_columns(growth=(pl.col("people") - pl.col("previous_people")) / pl.col("previous_people"))
        .filter(pl.col("growth") != 0)
        .sort([pl.col("growth").abs(), "segment_id"], descending=[True, False])
    )
    if rows.is_empty():
        return ""
    row = rows.row(0, named=True)
    change = change_words(row["people"], row["previous_people"])
    return f"“{personas[row['segment_id']].name}” changed most for its size since last week: {change}."


def _say_expected(data: ReportData) -> str:
    for target, label in _targets(data):
        expected = expected_people(data, target)
        if expected is not None:
            words = people_words(round(expected), data.minimum_cell)
            return f"For “{label}”, the probabilities of all people add up to about {words} people."
    return ""


def _told_personas(data: ReportData) -> pl.DataFrame:
    """Keep the personas that may be told, the biggest first."""
    told = data.kpis.filter(pl.col("people") >= data.minimum_cell)
    return told.sort(["people", "segment_id"], descending=[True, False])


def _targets(data: ReportData) -> list[tuple[str, str]]:
    rows = data.propensity.drop_nulls("target").unique("target").sort("target")
    return [(target, label or target) for target, label in rows.select("target", "label").iter_rows()]


def _tiles(data: ReportData) -> list[Tile]:
    if data.kpis.is_empty():
        return []
    now, before, minimum = total_people(data.kpis), people_before(data), data.minimum_cell
    tiles = [
        Tile(
            "People",
            people_words(now, minimum),
            f"{change_words(now, before)} since last week" if before is not None else "first week to look at",
            "marts.segment_kpis",
        ),
        Tile("Personas", count(data.kpis.height), _k_note(data), "marts.segment_kpis"),
    ]
    reachable = int(data.kpis["reachable_people"].fill_null(0).sum())
    if data.kpis["reachable_people"].null_count() < data.kpis.height:
        share = "" if is_small(reachable, minimum) or not now else f"{percent(reachable / now)} may be contacted"
        tiles.append(Tile("Reachable by e-mail", people_words(reachable, minimum), share, "marts.segment_kpis"))
    if data.kpis["revenue"].null_count() < data.kpis.height:
        revenue = money(float(data.kpis["revenue"].fill_null(0).sum()), data.currency)
        tiles.append(Tile("Revenue", revenue, "in the last 91 days", "marts.segment_kpis"))
    for target, label in _targets(data):
        expected = expected_people(data, target)
        if expected is not None:
            title = f"Expected: {label}"
            words = people_words(round(expected), minimum)
            tiles.append(Tile(title, words, "people, by their probabilities", "marts.person_propensities"))
    if not data.checks.is_empty():
        tiles.append(_check_tile(data))
    return tiles


def _k_note(data: ReportData) -> str:
    tried = sorted(data.k_evidence["k"].drop_nulls())
    return f"chosen from {tried[0]} to {tried[-1]}" if len(tried) > 1 else "this week"


def _check_tile(data: ReportData) -> Tile:
    passed, failed, warnings = (
        int(data.checks[column].fill_null(0).sum()) for column in ("passed", "failed", "warnings")
    )
    note = f"{failed:,} failed" if failed else f"{warnings:,} with a warning" if warnings else "none failed"
    return Tile("Data checks passed", f"{passed:,} of {passed + failed + warnings:,}", note, "contract results")

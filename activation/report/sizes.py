"""How big the personas were over time: the stacked areas, the small lines on the cards, and the same as a table.

Here belongs the geometry of both. Pictures are in percent of their box (0 to 100 from the left and from the top), so
that a page of any width stretches the shapes and keeps the letters.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from math import ceil, floor, log10

import polars as pl

from activation.report.identity import Persona
from activation.report.report_data import ReportData
from activation.report.words import day_words, is_small, people_words, short_day

_WEEKS_ON_A_CARD = 26
_WEEKS_IN_THE_TABLE = 13
_DATES_ON_THE_AXIS = 6


@dataclass(frozen=True)
class Area:
    """One persona's band in the picture."""

    persona: Persona
    path: str
    now: str


@dataclass(frozen=True)
class Tick:
    """A mark on an axis, at `position` percent."""

    position: float
    words: str


@dataclass(frozen=True)
class SizesView:
    """Everything the section shows; no areas where there are fewer than two weeks."""

    areas: list[Area]
    people_ticks: list[Tick]
    week_ticks: list[Tick]
    table_weeks: list[str]
    table: list[tuple[Persona, list[str]]]
    summary: str


@dataclass(frozen=True)
class Sparkline:
    """One persona's size over the last weeks."""

    path: str
    end_height: float
    words: str


def tell_sizes(data: ReportData, personas: dict[str, Persona]) -> SizesView:
    """Lay out the sizes of all personas over all weeks so far, the lowest number at the bottom."""
    weeks = data.history["as_of"].unique().sort().to_list()
    if len(weeks) < 2:
        return SizesView([], [], [], [], [], "")
    people = _people_by_week(data)
    order = sorted({persona_id for persona_id, _ in people}, key=lambda one: int(personas[one].mark))
    shown = {key: 0 if is_small(number, data.minimum_cell) else number for key, number in people.items()}
    most = max(sum(shown.get((persona_id, week), 0) for persona_id in order) for week in weeks)
    step = _step_of_axis(most)
    top = step * max(ceil(most / step), 1)
    across = _across(weeks)
    floor_line = [0.0] * len(weeks)
    areas = []
    for persona_id in order:
        ceiling = [below + shown.get((persona_id, week), 0) for below, week in zip(floor_line, weeks, strict=True)]
        path = _band(across, [100 - 100 * y / top for y in ceiling], [100 - 100 * y / top for y in floor_line])
        now = people_words(people.get((persona_id, data.as_of), 0), data.minimum_cell)
        areas.append(Area(personas[persona_id], path, now))
        floor_line = ceiling
    recent = weeks[-_WEEKS_IN_THE_TABLE:]
    table = [
        (
            personas[persona_id],
            [people_words(people.get((persona_id, week), 0), data.minimum_cell) for week in recent],
        )
        for persona_id in order
    ]
    return SizesView(
        areas=list(reversed(areas)),
        people_ticks=[Tick(round(100 - 100 * at / top, 2), f"{at:,}") for at in range(0, top + 1, step)],
        week_ticks=_week_ticks(weeks, across),
        table_weeks=[short_day(week) for week in recent],
        table=table,
        summary=f"{len(weeks)} weeks, the first one up to {day_words(weeks[0])}.",
    )


def draw_sparkline(data: ReportData, persona_id: str) -> Sparkline | None:
    """Draw one persona's size over the last half year; none where fewer than two weeks can be shown."""
    weeks = data.history["as_of"].unique().sort().to_list()[-_WEEKS_ON_A_CARD:]
    people = _people_by_week(data)
    known = [
        (week, people[persona_id, week])
        for week in weeks
        if (persona_id, week) in people and not is_small(people[persona_id, week], data.minimum_cell)
    ]
    if len(known) < 2:
        return None
    numbers = [number for _, number in known]
    low, high = min(numbers), max(numbers)
    # A tenth of the size at least fills the height, so that noise does not look like a landslide.
    reach = max(high - low, 0.1 * high, 1)
    middle = (high + low) / 2
    heights = [50 - 80 * (number - middle) / reach for number in numbers]
    points = zip(_across([week for week, _ in known]), heights, strict=True)
    path = "M" + "L".join(f"{x:.2f} {y:.2f}" for x, y in points)
    words = f"between {low:,} and {high:,} people in {len(known)} weeks, {numbers[-1]:,} now"
    return Sparkline(path, round(heights[-1], 2), words)


def _people_by_week(data: ReportData) -> dict[tuple[str, date], int]:
    rows = data.history.select("segment_id", "as_of", "people").drop_nulls()
    return {(persona_id, week): number for persona_id, week, number in rows.iter_rows()}


def _across(weeks: Sequence[date]) -> list[float]:
    span = (weeks[-1] - weeks[0]).days
    return [100 * (week - weeks[0]).days / span for week in weeks]


def _band(across: Sequence[float], upper: Sequence[float], lower: Sequence[float]) -> str:
    there = [f"{x:.2f} {y:.2f}" for x, y in zip(across, upper, strict=True)]
    back = [f"{x:.2f} {y:.2f}" for x, y in zip(reversed(across), reversed(lower), strict=True)]
    return f"M{'L'.join(there + back)}Z"


def _step_of_axis(number: float) -> int:
    """Return the round distance of the axis' marks with which at most five reach up to a number."""
    least = max(number, 5) / 5
    unit = 10 ** floor(log10(least))
    return next(ceil(factor * unit) for factor in (1, 2, 2.5, 5, 10) if factor * unit >= least)


def _week_ticks(weeks: Sequence[date], across: Sequence[float]) -> list[Tick]:
    every = max(1, ceil((len(weeks) - 1) / (_DATES_ON_THE_AXIS - 1)))
    chosen = list(range(len(weeks) - 1, -1, -every))[::-1]
    return [Tick(round(across[index], 2), short_day(weeks[index])) for index in chosen]


def total_people(frame: pl.DataFrame) -> int:
    """Add up the people of all personas in a frame of figures."""
    return int(frame["people"].fill_null(0).sum())

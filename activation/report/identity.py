"""What a persona is recognized by throughout the report: its name, its number and its colour.

Here belongs what keeps a persona looking the same in every picture and from week to week.
"""

import re
from dataclasses import dataclass

import polars as pl

from activation.report.report_data import ReportData

PALETTE = (
    "#2b5c8a",
    "#b4472f",
    "#2f7563",
    "#80509a",
    "#8d6200",
    "#a2376b",
    "#0f7184",
    "#596a1f",
    "#7c4a2b",
    "#56627a",
)
"""White text on any of them has a contrast of at least 4.5 to 1; neighbours differ in hue and lightness."""

NEUTRAL = "#6b7280"


@dataclass(frozen=True)
class Persona:
    """How one persona is shown: name, a short mark that stands where there is no room for the name, and colour."""

    persona_id: str
    name: str
    mark: str
    colour: str


JOINED = Persona("", "joined", "+", NEUTRAL)
LEFT = Persona("", "left", "−", NEUTRAL)


def recognize_personas(data: ReportData) -> dict[str, Persona]:
    """Give every persona of any week its name, mark and colour, in order of id.

    The number at the end of an id (`persona-03`) is the mark and decides the colour, so both stay the same for as
    long as the persona lives, whoever comes and goes. An id without a number takes the first mark that is free.

    Args:
        data: The report's data; names come from the latest week that knows the persona.

    Returns:
        Personas by id, those of past weeks and those people came from or went to included.
    """
    names = _latest_names(data)
    numbered = {persona_id: _number_of(persona_id) for persona_id in names}
    marks: dict[str, int] = {}
    for persona_id, number in sorted(numbered.items(), key=lambda item: (item[1] is None, item[0])):
        taken = set(marks.values())
        free = next(mark for mark in range(1, len(names) + 2) if mark not in taken)
        marks[persona_id] = number if number is not None and number not in taken else free
    colours: dict[str, str] = {}
    for persona_id, mark in sorted(marks.items(), key=lambda item: item[1]):
        turn = [PALETTE[(mark - 1 + step) % len(PALETTE)] for step in range(len(PALETTE))]
        colours[persona_id] = next((colour for colour in turn if colour not in colours.values()), turn[0])
    return {
        persona_id: Persona(persona_id, name, str(marks[persona_id]), colours[persona_id])
        for persona_id, name in sorted(names.items())
    }


def _latest_names(data: ReportData) -> dict[str, str]:
    moved_from = data.migrations.select(id="from_segment_id", name="from_segment_name")
    moved_to = data.migrations.select(id="to_segment_id", name="to_segment_name")
    seen = [frame.sort("as_of").select(id="segment_id", name="segment_name") for frame in (data.history, data.kpis)]
    latest = pl.concat([moved_from, moved_to, *seen]).drop_nulls("id").unique("id", keep="last", maintain_order=True)
    return {persona_id: name or persona_id for persona_id, name in latest.iter_rows()}


def _number_of(persona_id: str) -> int | None:
    match = re.search(r"([1-9]\d{0,2})$", persona_id, re.ASCII)
    return int(match[1]) if match else None

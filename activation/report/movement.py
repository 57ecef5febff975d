"""How they moved: from which persona to which since the week before, as streams and as a table.

Here belongs the geometry of the streams, in percent of their box, and the table's cells.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import polars as pl

from activation.report.identity import JOINED, LEFT, Persona
from activation.report.report_data import ReportData
from activation.report.suppression import hidden_cells
from activation.report.words import capitalized, day_words, is_small, listed, people_words, percent

_GAP = 2.5  # percent of the height between two personas
_LABEL_HEIGHT = 8.0  # percent of the height a label needs
_DEEPEST_SHADE_AT = 0.05  # a move of this share of a persona has the deepest colour

_Flow = dict[tuple[Persona, Persona], int]


@dataclass(frozen=True)
class Node:
    """One persona at an end of the streams."""

    persona: Persona
    top: float
    height: float
    label_at: float
    people: str


@dataclass(frozen=True)
class Stream:
    """The people who went one way."""

    colour: str
    path: str
    is_move: bool
    words: str


@dataclass(frozen=True)
class Cell:
    """One field of the table; `shade` from 0 to 1 stands for the share, which the words give as well."""

    people: str
    share: str
    shade: float
    is_stay: bool


@dataclass(frozen=True)
class MovementView:
    """Everything the section shows; `table` is empty where nothing is known of the week before."""

    previous_day: str
    summary: str
    left_nodes: list[Node]
    right_nodes: list[Node]
    streams: list[Stream]
    columns: list[Persona]
    table: list[tuple[Persona, list[Cell]]]
    events: list[tuple[Persona | None, str, str]] = field(default_factory=list)
    causes: str = ""


def tell_movement(data: ReportData, personas: dict[str, Persona]) -> MovementView:
    """Tell who went where since the week before."""
    flow = _flow(data, personas)
    events = _events(data, personas)
    if not flow or data.migrations["previous_as_of"].drop_nulls().is_empty():
        return MovementView("", "", [], [], [], [], [], events)
    hidden = hidden_cells(flow, data.minimum_cell)
    shown = {way: people for way, people in flow.items() if way not in hidden}
    scale = _scale(shown)
    left, right = _stack(flow, shown, 0, scale, data.minimum_cell), _stack(flow, shown, 1, scale, data.minimum_cell)
    rows, columns = _ends(flow, 0), _ends(flow, 1)
    return MovementView(
        previous_day=day_words(data.migrations["previous_as_of"].drop_nulls().max()),  # type: ignore[arg-type]
        summary=summarize_movement(data, personas, biggest=3),
        left_nodes=left,
        right_nodes=right,
        streams=_streams(shown, left, right, scale),
        columns=columns,
        table=[(row, [_cell(flow, row, column, hidden, data.minimum_cell) for column in columns]) for row in rows],
        events=events,
        causes=summarize_causes(data),
    )


def summarize_causes(data: ReportData) -> str:
    """Tell moves of people from boundaries drawn anew: `212 people moved; the refit by itself would have moved 31.`"""
    changed = data.migrations.filter(
        pl.col("from_segment_id").is_not_null()
        & pl.col("to_segment_id").is_not_null()
        & (pl.col("from_segment_id") != pl.col("to_segment_id"))
    )
    if data.moved_by_refit_alone is None or changed["redrawn_people"].null_count() == changed.height > 0:
        return ""
    minimum = data.minimum_cell
    redrawn = int(changed["redrawn_people"].fill_null(0).sum())
    moved = int(changed["people"].sum()) - redrawn
    alone = data.moved_by_refit_alone
    if not data.refit:
        return "The model is last week’s, so every change is one of behaviour."
    told = f"{_people(moved, minimum)} moved; the refit by itself would have moved {people_words(alone, minimum)}"
    if redrawn:
        told += f", and did so with {people_words(redrawn, minimum)}, who behave as before"
    return f"{told}."


def _people(people: int, minimum: int) -> str:
    return capitalized(f"{people_words(people, minimum)} {'person' if people == minimum == 1 else 'people'}")


_EVENT_WORDS = {
    "birth": "is new",
    "split": "split off",
    "merge": "was merged",
    "death": "has ended",
    "return": "is back",
}


def _events(data: ReportData, personas: dict[str, Persona]) -> list[tuple[Persona | None, str, str]]:
    """List what became of personas, those that simply go on left out."""
    told = data.ledger.filter(pl.col("event") != "continuation").sort("persona_id")
    return [
        (personas.get(persona_id), _EVENT_WORDS.get(event, event), reason or "")
        for persona_id, event, reason in told.select("persona_id", "event", "reason").iter_rows()
    ]


def summarize_movement(data: ReportData, personas: dict[str, Persona], biggest: int) -> str:
    """Say how many changed, joined and left, and, in a second sentence, which were the `biggest` moves."""
    flow = _flow(data, personas)
    known_before = sum(people for (origin, _), people in flow.items() if origin != JOINED)
    if not known_before:
        return ""
    moves = {way: people for way, people in flow.items() if JOINED not in way and LEFT not in way and way[0] != way[1]}
    joined = sum(people for (origin, _), people in flow.items() if origin == JOINED)
    gone = sum(people for (_, goal), people in flow.items() if goal == LEFT)
    moved, minimum = sum(moves.values()), data.minimum_cell
    share = "" if is_small(moved, minimum) else f" ({percent(moved / known_before)} of those known the week before)"
    words = (
        f"{people_words(moved, minimum)} people changed persona{share}, {people_words(joined, minimum)} joined and "
        f"{people_words(gone, minimum)} left."
    )
    hidden = hidden_cells(flow, minimum)
    ordered = sorted(moves.items(), key=lambda item: (-item[1], item[0][0].mark, item[0][1].mark))
    told = [
        f"from “{origin.name}” to “{goal.name}” ({people:,})"
        for (origin, goal), people in ordered[:biggest]
        if people and (origin, goal) not in hidden
    ]
    if not told:
        return words
    return f"{words} The biggest {'move was' if len(told) == 1 else 'moves were'} {listed(told)}."


def _flow(data: ReportData, personas: dict[str, Persona]) -> _Flow:
    flow: defaultdict[tuple[Persona, Persona], int] = defaultdict(int)
    rows = data.migrations.select("from_segment_id", "to_segment_id", "people")
    for origin, goal, people in rows.iter_rows():
        flow[personas.get(origin, JOINED), personas.get(goal, LEFT)] += people or 0
    return dict(flow)


def _ends(flow: Iterable[tuple[Persona, Persona]], end: int) -> list[Persona]:
    """List the personas at one end of the flow by number, those who joined or left last."""
    found = {way[end] for way in flow}
    return sorted(found, key=lambda one: (one in (JOINED, LEFT), int(one.mark) if one.mark.isdigit() else 0))


def _scale(flow: _Flow) -> float:
    """Return the height of one person in percent, the same at both ends: no stream changes its width on the way."""
    most = max((len(_ends(flow, end)) for end in (0, 1)), default=1)
    return (100 - _GAP * (most - 1)) / max(sum(flow.values()), 1)


def _stack(flow: _Flow, shown: _Flow, end: int, scale: float, minimum: int) -> list[Node]:
    """Put one end's personas one below the other: as high as what is drawn, labelled with everybody."""
    ends = _ends(shown, end)
    sizes = [_people_at(one, shown, end) for one in ends]
    tops, top = [], 0.0
    for size in sizes:
        tops.append(top)
        top += size * scale + _GAP
    labels = _apart([top + size * scale / 2 for top, size in zip(tops, sizes, strict=True)])
    return [
        Node(
            one, round(top, 2), round(size * scale, 2), round(at, 2), people_words(_people_at(one, flow, end), minimum)
        )
        for one, top, size, at in zip(ends, tops, sizes, labels, strict=True)
    ]


def _people_at(persona: Persona, flow: _Flow, end: int) -> int:
    return sum(people for way, people in flow.items() if way[end] == persona)


def _apart(wanted: list[float]) -> list[float]:
    """Move labels as little as needed so that none covers another: down first, then back up from the lower edge."""
    at = list(wanted)
    for index in range(len(at)):
        above = at[index - 1] + _LABEL_HEIGHT if index else _LABEL_HEIGHT / 2
        at[index] = max(at[index], above)
    for index in reversed(range(len(at))):
        below = at[index + 1] - _LABEL_HEIGHT if index + 1 < len(at) else 100 - _LABEL_HEIGHT / 2
        at[index] = min(at[index], below)
    return at


def _streams(flow: _Flow, left: list[Node], right: list[Node], scale: float) -> list[Stream]:
    leaving = {node.persona: node.top for node in left}
    arriving = {node.persona: node.top for node in right}
    streams = []
    for origin in [node.persona for node in left]:
        for goal in [node.persona for node in right]:
            people = flow.get((origin, goal), 0)
            if not people:
                continue
            start, end = leaving[origin], arriving[goal]
            width = people * scale
            leaving[origin] += width
            arriving[goal] += width
            streams.append(
                Stream(
                    colour=goal.colour if origin == JOINED else origin.colour,
                    path=(
                        f"M0 {start:.2f}C50 {start:.2f} 50 {end:.2f} 100 {end:.2f}V{end + width:.2f}"
                        f"C50 {end + width:.2f} 50 {start + width:.2f} 0 {start + width:.2f}Z"
                    ),
                    is_move=origin != goal,
                    words=f"{origin.name} → {goal.name}: {people:,}",
                )
            )
    return streams


def _cell(flow: _Flow, row: Persona, column: Persona, hidden: set[tuple[Persona, Persona]], minimum: int) -> Cell:
    people = flow.get((row, column), 0)
    is_stay = row == column
    if people == 0:
        return Cell("", "", 0.0, is_stay)
    if (row, column) in hidden:
        # A larger cell that is hidden so that a small one cannot be worked out is worded otherwise than a small one.
        return Cell(people_words(people, minimum) if is_small(people, minimum) else "not told", "", 0.0, is_stay)
    of_row = people / _people_at(row, flow, 0)
    shade = 0.0 if is_stay or row == JOINED else min(of_row / _DEEPEST_SHADE_AT, 1.0)
    return Cell(f"{people:,}", percent(of_row), round(shade, 2), is_stay)

"""Which cells of a table are too small to be told, and which others would give them away.

Here belongs the hiding of counts. How a hidden cell is worded belongs to `words`.
"""

from collections.abc import Iterable, Mapping
from typing import TypeVar

Row = TypeVar("Row")
Column = TypeVar("Column")


def hidden_cells(counts: Mapping[tuple[Row, Column], int], minimum: int) -> set[tuple[Row, Column]]:
    """Hide small cells of a table whose row and column totals are known.

    A count from 1 to `minimum` - 1 is hidden. Whoever knows a total could take away the rest, so each row and column with
    hidden cells hides at least two, of `minimum` people together: the smallest further ones are hidden as well (secondary
    suppression).

    Args:
        counts: People by row and column.
        minimum: Fewest people that may be told.

    Returns:
        The cells not to be told. Empty cells stay empty.
    """
    hidden = {cell for cell, people in counts.items() if 0 < people < minimum}
    lines = _lines(counts)
    while True:
        more = {further for line in lines for further in _give_aways(line, counts, hidden, minimum)}
        if not more:
            return hidden
        hidden |= more


def hidden_parts(counts: Mapping[Row, int], minimum: int) -> set[Row]:
    """The same for the parts of one total."""
    return {row for row, _ in hidden_cells({(row, None): people for row, people in counts.items()}, minimum)}


def _lines(cells: Iterable[tuple[Row, Column]]) -> list[list[tuple[Row, Column]]]:
    rows: dict[Row, list[tuple[Row, Column]]] = {}
    columns: dict[Column, list[tuple[Row, Column]]] = {}
    for cell in cells:
        rows.setdefault(cell[0], []).append(cell)
        columns.setdefault(cell[1], []).append(cell)
    # A column that is a single total has nothing to be taken away from.
    return [line for line in [*rows.values(), *columns.values()] if len(line) > 1]


def _give_aways(
    line: list[tuple[Row, Column]],
    counts: Mapping[tuple[Row, Column], int],
    hidden: set[tuple[Row, Column]],
    minimum: int,
) -> list[tuple[Row, Column]]:
    """The smallest cell that has to be hidden as well; none where enough is."""
    covered = [cell for cell in line if cell in hidden]
    if not covered or (len(covered) > 1 and sum(counts[cell] for cell in covered) >= minimum):
        return []
    told = sorted((counts[cell], repr(cell)) for cell in line if cell not in hidden and counts[cell] > 0)
    return [cell for cell in line if told and repr(cell) == told[0][1]]

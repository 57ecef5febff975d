"""Frames on their way out of DuckDB, in one piece, and on their way in, in slices.

What belongs here: how a frame is cut. Polars sums piece by piece, so that sums depend on where pieces end, and DuckDB
answers in as many as its threads made. It reads a frame chunk by chunk, and one chunk on one core: in slices it writes
three million rows in half the time.
"""

from typing import Protocol

import polars as pl

ROWS = 122_880
"""Rows of a slice: those of a row group of DuckDB."""


class Relation(Protocol):
    """What DuckDB can be asked for: a table as dbt gives it to a model, or a query."""

    def pl(self) -> pl.DataFrame:
        """All rows."""


def in_one_piece(relation: Relation) -> pl.DataFrame:
    """All rows of a relation of DuckDB, each column in one chunk."""
    return relation.pl().rechunk()


def in_slices(frame: pl.DataFrame) -> pl.DataFrame:
    """The same rows in the same order, in chunks of `ROWS`; nothing is copied.

    Examples:
        >>> in_slices(pl.DataFrame({"number": range(300_000)})).n_chunks()
        3
    """
    if frame.height <= ROWS:
        return frame
    return pl.concat([frame.slice(start, ROWS) for start in range(0, frame.height, ROWS)], rechunk=False)

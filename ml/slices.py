"""Frames in slices, for whoever works on a slice per core.

What belongs here: how large a slice is. DuckDB reads a frame chunk by chunk, and one chunk on one core: in slices it
writes three million rows in half the time.
"""

import polars as pl

ROWS = 122_880
"""Rows of a slice: those of a row group of DuckDB."""


def in_slices(frame: pl.DataFrame) -> pl.DataFrame:
    """The same rows in the same order, in chunks of `ROWS`; nothing is copied.

    Examples:
        >>> in_slices(pl.DataFrame({"number": range(300_000)})).n_chunks()
        3
    """
    if frame.height <= ROWS:
        return frame
    return pl.concat([frame.slice(start, ROWS) for start in range(0, frame.height, ROWS)], rechunk=False)

"""Rows of a table that is kept from run to run: which of them come and which go.

What belongs here: comparing what stands with what should, for models that tell their table only what changes in it.
"""

from __future__ import annotations

import polars as pl


def changes_of_rows(earlier: pl.DataFrame, now: pl.DataFrame) -> pl.DataFrame:
    """Which rows differ.

    Args:
        earlier: rows as they stand; columns that `now` has not are left out.
        now: the same rows as they should be.

    Returns:
        The rows that are in one of the two only, with `is_there`: whether they should stand.

    Examples:
        >>> old, new = pl.DataFrame({"number": [1, 2]}), pl.DataFrame({"number": [2, 3]})
        >>> changes_of_rows(old, new).rows()
        [(3, True), (1, False)]
    """
    earlier = earlier.select(now.columns).cast(now.schema)
    came = now.join(earlier, on=now.columns, how="anti", nulls_equal=True)
    went = earlier.join(now, on=now.columns, how="anti", nulls_equal=True)
    return pl.concat([came.with_columns(is_there=pl.lit(True)), went.with_columns(is_there=pl.lit(False))])

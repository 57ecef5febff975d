"""Columns that several systems write: running numbers and constants, right also where there are no rows.

What belongs here: text columns made without chance.
"""

import polars as pl


def numbered(prefix: str, digits: int, count: int) -> pl.Series:
    """Ids such as HG0000012, numbered from zero."""
    numbers = pl.int_range(0, count, eager=True).cast(pl.String).str.zfill(digits)
    return pl.select(pl.concat_str(pl.lit(prefix), numbers)).to_series() if count else numbers


def constant(text: str | None, count: int) -> pl.Series:
    """The same text, or null, in every row."""
    return pl.repeat(text, count, dtype=pl.String, eager=True)

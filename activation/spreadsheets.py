"""What a spreadsheet must not run: text of people's that would be read as a formula.

Here belongs how such text is made harmless. Addresses are left out instead, because a changed one would be another's.
"""

import polars as pl

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
SURELY_HARMLESS_FROM = chr(ord(max(_FORMULA)) + 1)
"""No text that is not below this is one that a spreadsheet would run."""


def is_formula(text: pl.Expr) -> pl.Expr:
    """Whether a spreadsheet would run text as a formula."""
    return text.str.head(1).is_in(_FORMULA)


def harmless(text: pl.Expr) -> pl.Expr:
    """Put an apostrophe before text that a spreadsheet would run as a formula."""
    return pl.when(is_formula(text)).then("'" + text).otherwise(text).name.keep()

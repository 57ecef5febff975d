"""What a spreadsheet must not run: text of people's that would be read as a formula.

Here belongs how such text is made harmless. Addresses are left out instead, because a changed one would be another's.
"""

import polars as pl

_FORMULA = r"^[=+\-@\t\r\n]"


def harmless(text: pl.Expr) -> pl.Expr:
    """Put an apostrophe before text that a spreadsheet would run as a formula."""
    return pl.when(text.str.contains(_FORMULA)).then("'" + text).otherwise(text).name.keep()

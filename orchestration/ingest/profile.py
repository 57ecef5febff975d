"""Figures of a batch as it was read: counts, sums and ranges, never a value that could be somebody's."""

from __future__ import annotations

from typing import Any

import duckdb

from orchestration.sql import identifier, literal

EXACT_DISTINCT_UP_TO = 600_000
NUMBERS = ("DOUBLE", "BIGINT", "INTEGER")
MOMENTS = ("TIMESTAMP", "DATE")


def profile_batch(
    connection: duckdb.DuckDBPyConnection, table: str, columns: list[tuple[str, str]]
) -> dict[str, dict[str, Any]]:
    """Nulls per column; distinct values of texts, sums of numbers, ranges of dates, trues of flags.

    Args:
        connection: an open connection.
        table: the table to look at, before any row was set aside.
        columns: names and DuckDB types.

    Returns:
        Per column a dictionary of figures. Distinct counts are exact up to 600,000 rows, else approximate (and
        named so).
    """
    rows = connection.execute(f"select count(*) from {table}").fetchall()[0][0]
    is_exact = rows <= EXACT_DISTINCT_UP_TO
    figures: list[tuple[str, str, str]] = []
    for name, type_ in columns:
        column = identifier(name)
        figures.append((name, "nulls", f"count(*) - count({column})"))
        if type_ == "VARCHAR" and not is_exact:
            figures.append((name, "distinct_approximate", f"approx_count_distinct({column})"))
        elif type_ in NUMBERS:
            figures.append((name, "sum", f"round(sum({column}::double) filter (isfinite({column}::double)), 6)"))
        elif type_ in MOMENTS:
            figures += [(name, "earliest", f"min({column})::varchar"), (name, "latest", f"max({column})::varchar")]
        elif type_ == "BOOLEAN":
            figures.append((name, "trues", f"count(*) filter ({column})"))
    values = connection.execute(f"select {', '.join(sql for _, _, sql in figures)} from {table}").fetchall()[0]
    profile: dict[str, dict[str, Any]] = {}
    for (name, figure, _), value in zip(figures, values, strict=True):
        profile.setdefault(name, {})[figure] = value
    if is_exact:
        for name, count in _distinct_values(connection, table, [name for name, type_ in columns if type_ == "VARCHAR"]):
            profile[name]["distinct"] = count
    return profile


def _distinct_values(connection: duckdb.DuckDBPyConnection, table: str, names: list[str]) -> list[tuple[str, int]]:
    """How many values each of some columns has; each column for itself is half the work of `count(distinct ...)`."""
    counts = (
        f"select {literal(name)}, count(*) from (select distinct {identifier(name)} as value from {table}) "
        "where value is not null"
        for name in names
    )
    return connection.execute(" union all ".join(counts)).fetchall() if names else []

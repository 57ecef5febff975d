"""Types of attribute columns: numbers where everything delivered so far is a number, else text.

What belongs here: fitting a batch's attributes and the raw table's columns to each other. Which attributes there are
stands in the mapping.
"""

from __future__ import annotations

from dataclasses import replace

import duckdb

from orchestration.ingest.harmonize import HarmonizedColumn
from orchestration.ingest.tables import add_columns, change_to_text, column_types
from orchestration.sql import identifier

# A plain number. Leading zeros and more than 15 digits belong to codes, which a DOUBLE would change.
NUMBER = r"[+-]?(0|[1-9][0-9]{0,14})(\.[0-9]{1,15})?([eE][+-]?[0-9]{1,2})?"


def fit_attributes(
    connection: duckdb.DuckDBPyConnection, entity: str, columns: list[HarmonizedColumn]
) -> list[HarmonizedColumn]:
    """Type the attributes in `batch`, and add or widen the raw table's columns, so that no value is lost.

    An attribute without any value is a number until it has one: a number can become text later, but not the reverse.

    Args:
        connection: an open connection, inside the file's transaction.
        entity: whose raw table.
        columns: all columns of `batch`.

    Returns:
        The columns with the types that `batch` now has.
    """
    there = column_types(connection, entity)
    undecided = [column.name for column in columns if column.content_decides and there.get(column.name) != "VARCHAR"]
    numbers = _numbers(connection, undecided)
    fitted = []
    for column in columns:
        name, known = identifier(column.name), there.get(column.name)
        wanted = "DOUBLE" if column.name in numbers else column.type
        if not column.name.startswith("attr_"):
            fitted.append(column)
            continue
        if known is None or known == wanted:
            add_columns(connection, entity, {column.name: wanted})
        else:
            if known != "VARCHAR":
                change_to_text(connection, f'raw."{entity}"', name, known)
            if column.type != "VARCHAR":
                change_to_text(connection, "batch", name, column.type)
            wanted = "VARCHAR"
        if wanted == "DOUBLE" and column.type == "VARCHAR":
            connection.execute(f"alter table batch alter column {name} type double")
        fitted.append(replace(column, type=wanted))
    return fitted


def _numbers(connection: duckdb.DuckDBPyConnection, names: list[str]) -> set[str]:
    """Those of the text columns of `batch` that hold nothing but numbers."""
    if not names:
        return set()
    tests = ", ".join(f"coalesce(bool_and(regexp_full_match({identifier(name)}, '{NUMBER}')), true)" for name in names)
    row = connection.execute(f"select {tests} from batch").fetchall()[0]
    return {name for name, is_number in zip(names, row, strict=True) if is_number}

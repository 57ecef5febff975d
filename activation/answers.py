"""What DuckDB answers, as rows and as frames, each read to its end and in one piece."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import duckdb
import polars as pl

Parameters = Sequence[object] | Mapping[str, object]


def first_row(connection: duckdb.DuckDBPyConnection, query: str, parameters: Parameters = ()) -> tuple[Any, ...] | None:
    """The first row of the answer to a query, which has few; None where there is none.

    DuckDB takes no other question on a connection before all rows of an answer are read: `fetchone` leaves it open.

    Args:
        connection: an open connection.
        query: a `select`.
        parameters: the values of its `?`, or by name of its `$name`.
    """
    rows: list[tuple[Any, ...]] = connection.execute(query, parameters or None).fetchall()
    return rows[0] if rows else None


def read_frame(
    connection: duckdb.DuckDBPyConnection,
    query: str,
    parameters: Parameters = (),
    **frames: pl.DataFrame,
) -> pl.DataFrame:
    """The answer to a query.

    DuckDB gives it in as many pieces as it cut between its threads, and what Polars sums depends on where pieces end.

    Args:
        connection: an open connection.
        query: a `select`.
        parameters: the values of its `?`, or by name of its `$name`.
        frames: what the query names beside tables.
    """
    for name, frame in frames.items():
        connection.register(name, frame)
    try:
        return connection.sql(query, params=parameters or None).pl().rechunk()
    finally:
        for name in frames:
            connection.unregister(name)

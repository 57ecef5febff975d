"""DuckDB with one thread: each core runs tests of its own, and two threads for tables this small cost a fifth more.

What belongs here: that setting, for the tests' process and for those that are kept ready. What starts as a person would
start it knows nothing of this; that its tables are the same is what the tests of crashes compare.
"""

from __future__ import annotations

from typing import Any

import duckdb

_connect = duckdb.connect


def one_thread_per_database() -> None:
    """From now on, in this process, unless who opens a database asks for more."""
    duckdb.connect = _with_one_thread


def _with_one_thread(
    database: Any = ":memory:", read_only: bool = False, config: dict[str, Any] | None = None
) -> duckdb.DuckDBPyConnection:
    return _connect(database, read_only, {"threads": 1} | (config or {}))

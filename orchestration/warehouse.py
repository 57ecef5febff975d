"""The DuckDB warehouse: opened late, closed at once, because DuckDB takes one writing process.

What a small company's database holds is read in a moment, but its tables and views are 2,000 columns and 35 queries,
which DuckDB reads at each opening. Steps that follow each other in one process may hold it open between them. Steps
that run beside each other share what the first of them opened: DuckDB opens a file once in a process, and gives each
connection its own transactions and temporary tables.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import polars as pl

from ml.slices import in_slices
from orchestration.workspace import STORAGE_VERSION, Workspace

WAIT_FOR_LOCK_SECONDS = 60.0
# A larger database is closed after each step, so that what DuckDB remembers of it is not in the way of the models.
HELD_UP_TO_BYTES = 256 * 1024 * 1024

_held: dict[str, duckdb.DuckDBPyConnection] = {}
_making_tables = threading.Lock()


class WarehouseBusy(Exception):
    """Another process writes to the warehouse and did not let go in time."""


class Warehouse(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Connections to a workspace's DuckDB database."""

    path: str
    temporary_folder: str
    memory_limit: str = "4GB"

    @classmethod
    def of(cls, workspace: Workspace) -> Warehouse:
        """The warehouse of `workspace`."""
        return cls(
            path=str(workspace.warehouse_file),
            temporary_folder=str(workspace.temporary_folder),
            memory_limit=workspace.settings.memory_limit,
        )

    @contextmanager
    def connect(self, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection, closed at the end of the `with` block.

        Args:
            read_only: nothing is written.

        Raises:
            WarehouseBusy: another process held the database for longer than a minute.
        """
        held = _held.get(self.path)
        connection = self._open(read_only) if held is None else held.cursor()
        try:
            connection.execute("set TimeZone = 'UTC'")
            yield connection
        finally:
            connection.close()

    def hold(self) -> None:
        """Keep the database open in this process until `let_go`, where it is small; no other process can open it."""
        if self.path not in _held and Path(self.path).stat().st_size <= HELD_UP_TO_BYTES:
            _held[self.path] = self._open(read_only=False)

    def let_go(self) -> None:
        """Close what `hold` keeps open; without it, nothing."""
        if self.path in _held:
            _held.pop(self.path).close()

    def _open(self, read_only: bool) -> duckdb.DuckDBPyConnection:
        Path(self.temporary_folder).mkdir(parents=True, exist_ok=True)
        settings: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": self.memory_limit,
            "temp_directory": self.temporary_folder,
            "storage_compatibility_version": STORAGE_VERSION,
            "checkpoint_threshold": "1GB",  # many small files are committed one by one; folding each in costs more
        }
        deadline = time.monotonic() + WAIT_FOR_LOCK_SECONDS
        while True:
            try:
                return duckdb.connect(self.path, read_only=read_only, config=settings)
            except duckdb.IOException as error:
                if "lock" not in str(error).lower():
                    raise
                if time.monotonic() > deadline:
                    raise WarehouseBusy("another run is writing to this workspace's warehouse; try again") from None
                time.sleep(0.5)


@contextmanager
def transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """All of the block, or nothing of it."""
    connection.execute("begin")
    try:
        yield
    except BaseException:
        connection.execute("rollback")
        raise
    connection.execute("commit")


def columns_of_tables(connection: duckdb.DuckDBPyConnection) -> dict[str, dict[str, str]]:
    """By `schema.table` the type of each column, of all tables and views in one question."""
    tables: dict[str, dict[str, str]] = {}
    for table, column, kind in connection.execute(
        "select schema_name || '.' || table_name, column_name, data_type from duckdb_columns() "
        "where database_name = current_database() and not internal order by schema_name, table_name, column_index"
    ).fetchall():
        tables.setdefault(table, {})[column] = kind
    return tables


def replace_weeks(connection: duckdb.DuckDBPyConnection, table: str, frame: pl.DataFrame, weeks: list[date]) -> None:
    """Put `frame` in the place of the rows of `weeks`; call it inside a `transaction`.

    Args:
        connection: an open connection.
        table: `schema.table`, which exists.
        frame: rows with an `as_of` column, all of them of `weeks`.
        weeks: the `as_of` dates that are replaced, also those without a row in `frame`.
    """
    schema, name = table.split(".")
    rows = in_slices(frame)  # noqa: F841 - DuckDB reads it by name
    connection.execute(f'delete from "{schema}"."{name}" where as_of in (select unnest(?::date[]))', [weeks])
    connection.execute(f'insert into "{schema}"."{name}" by name select * from rows')


def make_tables(connection: duckdb.DuckDBPyConnection, tables: dict[str, Any]) -> None:
    """Make the tables of schema `ml` that are missing, by their polars schemas, and columns that a table lacks.

    One step after the other, since of two who make the same schema at once DuckDB refuses one.
    """
    with _making_tables:
        connection.execute("create schema if not exists ml")
        for name, schema in tables.items():
            _make_table(connection, name, schema)


def _make_table(connection: duckdb.DuckDBPyConnection, name: str, schema: Any) -> None:
    frame = pl.DataFrame(schema=schema)  # noqa: F841 - DuckDB reads it by name
    connection.execute(f'create table if not exists ml."{name}" as select * from frame')
    wanted = connection.execute("describe select * from frame").fetchall()
    there = {row[0] for row in connection.execute(f'describe ml."{name}"').fetchall()}
    for column, kind, *_ in wanted:
        if column not in there:
            connection.execute(f'alter table ml."{name}" add column "{column}" {kind}')

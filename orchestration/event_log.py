"""Dagster's event log in SQLite, with its files kept open.

What belongs here: how events are written, and how the last of them is read. Dagster's own storage opens the file,
compiles the statement and closes the file for each of the thousand events of a run, which was a tenth of a small run's
time; each time it asks which tables and columns there are; and of each check it asks for the event that told of the
table, which it has just written itself.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

import sqlalchemy
import sqlalchemy.event
from dagster import AssetKey, AssetRecordsFilter, EventLogEntry, EventLogRecord, EventRecordsResult
from dagster._core.event_api import EventLogCursor
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._serdes import ConfigurableClassData
from sqlalchemy.engine import Connection, Engine

LATEST_EVENT = (
    "select max(id) from event_logs where asset_key = ? and dagster_event_type = 'ASSET_MATERIALIZATION' "
    "and partition = ?"
)


class OpenSqliteEventLogStorage(SqliteEventLogStorage):
    """The same files as Dagster's own storage, which reads what this one wrote.

    SQLite hands events to the operating system instead of waiting for the disk after each: a killed process loses
    nothing, a power cut may lose the last events of Dagster's log, never a row of the warehouse.
    """

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        """Open nothing yet; the folder is made where it is missing."""
        self._engines: dict[str, Engine] = {}
        self._known_to_be_there: set[tuple[str, str]] = set()
        self._latest: dict[tuple[AssetKey, str], EventLogRecord] = {}  # by asset and partition, as written here
        super().__init__(base_dir, inst_data)

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> Self:
        """What `dagster.yaml` says."""
        return cls(inst_data=inst_data, **config_value)

    def _store_asset_event(self, conn: Connection, event: EventLogEntry, event_id: int) -> None:
        super()._store_asset_event(conn, event, event_id)
        told = event.get_dagster_event()
        if told.is_step_materialization and told.asset_key is not None and told.partition is not None:
            self._latest[told.asset_key, told.partition] = EventLogRecord(event_id, event)

    def fetch_materializations(
        self,
        records_filter: AssetKey | AssetRecordsFilter,
        limit: int,
        cursor: str | None = None,
        ascending: bool = False,
    ) -> EventRecordsResult:
        """Events that tell of an asset; the latest of a partition is not read where it was written here."""
        if limit == 1 and cursor is None and not ascending and isinstance(records_filter, AssetRecordsFilter):
            latest = self._latest_written_here(records_filter)
            if latest is not None:
                position = EventLogCursor.from_storage_id(latest.storage_id).to_string()
                return EventRecordsResult([latest], position, has_more=True)
        return super().fetch_materializations(records_filter, limit, cursor, ascending)

    def _latest_written_here(self, wanted: AssetRecordsFilter) -> EventLogRecord | None:
        """The latest event of one partition, where this process wrote it and no other has written a later one."""
        key, partitions = wanted.asset_key, wanted.asset_partitions or ()
        if len(partitions) != 1 or wanted != AssetRecordsFilter(asset_key=key, asset_partitions=partitions):
            return None
        known = self._latest.get((key, partitions[0]))
        if known is None:
            return None
        with self.index_connection() as connection:
            latest = connection.exec_driver_sql(LATEST_EVENT, (key.to_string(), partitions[0])).scalar()
        return known if latest == known.storage_id else None

    def wipe_asset(self, asset_key: AssetKey) -> None:
        """Forget an asset."""
        self._latest.clear()
        super().wipe_asset(asset_key)

    def has_table(self, table_name: str) -> bool:
        """Whether a table is there; asked for every event, and no table goes away again."""
        ask = super().has_table
        return self._is_there(("table", table_name), lambda: ask(table_name))

    def _has_asset_key_col_on_connection(self, conn: Connection, column_name: str) -> bool:
        ask = super()._has_asset_key_col_on_connection
        return self._is_there(("column", column_name), lambda: ask(conn, column_name))

    def _is_there(self, what: tuple[str, str], ask: Callable[[], bool]) -> bool:
        if what not in self._known_to_be_there and ask():
            self._known_to_be_there.add(what)
        return what in self._known_to_be_there

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock, self._engine(shard).begin() as connection:
            yield connection

    def _engine(self, shard: str) -> Engine:
        if shard not in self._engines:
            engine = sqlalchemy.create_engine(
                self.conn_string_for_shard(shard), connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS}
            )
            sqlalchemy.event.listen(engine, "connect", _do_not_wait_for_the_disk)
            self._initdb(engine)
            self._engines[shard] = engine
        return self._engines[shard]

    def dispose(self) -> None:
        """Close the files."""
        super().dispose()
        for engine in self._engines.values():
            engine.dispose()
        self._engines.clear()


def _do_not_wait_for_the_disk(connection: sqlite3.Connection, _: object) -> None:
    connection.execute("pragma synchronous = off")

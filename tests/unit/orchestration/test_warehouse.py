"""A database that is held is open to all connections of its process and to no other process, until it is let go."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestration import warehouse as module
from orchestration.warehouse import Warehouse


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[Warehouse]:
    warehouse = Warehouse(path=str(tmp_path / "warehouse.duckdb"), temporary_folder=str(tmp_path / "tmp"))
    with warehouse.connect() as connection:
        connection.execute("create table weeks as select date '2026-11-09' as as_of")
    yield warehouse
    warehouse.let_go()


def can_be_opened_elsewhere(warehouse: Warehouse) -> bool:
    program = "import duckdb, sys; duckdb.connect(sys.argv[1])"
    return subprocess.run([sys.executable, "-c", program, warehouse.path], capture_output=True).returncode == 0


def test_what_is_held_is_this_processes_until_it_is_let_go(warehouse: Warehouse) -> None:
    assert can_be_opened_elsewhere(warehouse)
    warehouse.hold()
    warehouse.hold()
    assert not can_be_opened_elsewhere(warehouse)
    warehouse.let_go()
    assert can_be_opened_elsewhere(warehouse)
    warehouse.let_go()


def test_connections_to_what_is_held_are_like_others(warehouse: Warehouse) -> None:
    warehouse.hold()
    with warehouse.connect() as connection:
        connection.execute("insert into weeks values ('2026-11-16')")
        assert connection.execute("select current_setting('TimeZone')").fetchall() == [("UTC",)]
    with warehouse.connect(read_only=True) as connection:
        assert connection.execute("select count(*) from weeks").fetchall() == [(2,)]
    warehouse.let_go()
    with warehouse.connect() as connection:
        assert connection.execute("select count(*) from weeks").fetchall() == [(2,)]


def test_a_large_database_is_not_held(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HELD_UP_TO_BYTES", 0)
    warehouse.hold()
    assert can_be_opened_elsewhere(warehouse)

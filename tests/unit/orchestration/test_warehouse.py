"""A database that is held is open to all connections of its process and to no other process, until it is let go."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from orchestration import warehouse as module
from orchestration.upgrades import number_people
from orchestration.warehouse import Warehouse
from orchestration.workspace import STORAGE_VERSION


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


def storage_version(connection: duckdb.DuckDBPyConnection) -> str:
    told = connection.execute("select tags from duckdb_databases() where database_name = current_database()").fetchall()
    return str(told[0][0]["storage_version"]).removesuffix("+")


def test_a_warehouse_is_made_in_the_format_that_repeated_texts_are_written_fastest_in(warehouse: Warehouse) -> None:
    with warehouse.connect() as connection:
        assert storage_version(connection) == STORAGE_VERSION
    with duckdb.connect(warehouse.path) as connection:  # as dbt opens it, which says nothing of formats
        connection.execute("create table another as select 1 as one")
        assert storage_version(connection) == STORAGE_VERSION


def test_a_warehouse_of_an_earlier_version_keeps_its_format(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "old.duckdb")) as connection:
        earlier = storage_version(connection)
        connection.execute("create table texts as select 'one of ' || i % 7 as text from range(3000) as t(i)")
    assert earlier != STORAGE_VERSION
    old = Warehouse(path=str(tmp_path / "old.duckdb"), temporary_folder=str(tmp_path / "tmp"))
    for rows in (6000, 12000):
        with old.connect() as connection:
            connection.execute("insert into texts from texts")
            assert storage_version(connection) == earlier
            assert connection.execute("select count(*), count(distinct text) from texts").fetchall() == [(rows, 7)]


def test_people_of_an_earlier_version_are_written_as_numbers(warehouse: Warehouse) -> None:
    with warehouse.connect() as connection:
        connection.execute("create schema ml; create schema features")
        connection.execute("create table ml.scores as select 'p_00000000000000ff' as person_id, 'one' as persona_id")
        connection.execute("create table features.moves as select 'p_ffffffffffffffff' as person_before")
        connection.execute("create view features.people as select person_id from ml.scores")
        assert (number_people(connection), number_people(connection)) == (2, 0)
        assert connection.execute("select * from ml.scores").fetchall() == [(255, "one")]
        assert connection.execute("select * from features.moves").fetchall() == [(2**64 - 1,)]

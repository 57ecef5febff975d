"""The raw and quarantine tables and the ledgers beside them: made once, from the contracts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import duckdb

from activation.answers import first_row
from activation.gate_tables import TABLES as GATE_TABLES
from data_contracts.contract import ENTITIES, Column, Contract
from orchestration.contracts import Contracts
from orchestration.erasure_keys import make_tables as make_erasure_tables
from orchestration.sql import identifier
from orchestration.warehouse import columns_of_tables

OUR_CONTRACTS = Contracts()
PROVENANCE = {
    "_source": "VARCHAR",
    "_file": "VARCHAR",
    "_row_number": "BIGINT",
    "_load_id": "VARCHAR",
    "_load_sequence": "BIGINT",
    "_delivered_at": "TIMESTAMP",
}

LEDGER = """
create table if not exists raw.ingested_files (
    file varchar not null,
    source varchar not null,
    entity varchar not null,
    status varchar not null,
    content_hash varchar not null,
    mapping_hash varchar not null,
    load_id varchar not null,
    load_sequence bigint not null,
    file_bytes bigint not null,
    modified_ns bigint not null,
    rows_read bigint not null,
    rows_loaded bigint not null,
    rows_quarantined bigint not null,
    rows_duplicate bigint not null,
    rows_duplicate_of_other_files bigint not null,
    rows_filtered bigint not null,
    rows_unreadable bigint not null,
    rows_redriven bigint not null default 0,
    rows_erased bigint not null default 0,
    rows_erased_refused bigint not null default 0,
    earliest_row_at timestamp,
    latest_row_at timestamp,
    delivered_at timestamp,
    profile json,
    columns json,
    primary key (file, source, entity)
)
"""
# What a ledger that was made before these columns lacks.
LATER_LEDGER_COLUMNS = {
    "rows_redriven": "bigint default 0",
    "columns": "json",
    "rows_erased": "bigint default 0",
    "rows_erased_refused": "bigint default 0",
}
REFUSED_FILES = """
create table if not exists quarantine.refused_files (
    file varchar not null,
    source varchar not null,
    entity varchar not null,
    rows_read bigint not null,
    rows_filtered bigint not null,
    rows_broken bigint not null,
    rows_unreadable bigint not null,
    rules json not null
)
"""
QUARANTINE_COLUMNS = (
    "_source varchar, _file varchar, _row_number bigint, _load_id varchar, rules varchar[], delivered_row varchar"
)
CHANGED_DAYS = """
create table if not exists raw.changed_days (
    entity varchar not null,
    changed_day date not null,
    _delivered_at timestamp
)
"""
RUN_WEEKS = """
create table if not exists raw.run_weeks (
    as_of date not null,
    as_of_at timestamp not null,
    is_scored boolean not null,
    build_features boolean not null,
    feature_fingerprint varchar not null
)
"""

IDENTITY_DECISIONS = """
create table if not exists raw.identity_decisions (
    contact_id varchar not null,
    other_contact_id varchar not null,
    from_week date not null,
    decided_on date,
    decided_by varchar,
    why varchar
)
"""
# Identities and links that changed since identity_changes was last built, as hashes: an identity, or both ends of a
# link and since when it is known. A row of nulls stands for all of them.
TOUCHED_IDENTITIES = """
create table if not exists raw.touched_identities (
    identity_key ubigint,
    other_key ubigint,
    linked_from_at timestamp
)
"""
# Up to which load a kept table has read the raw rows of an entity, and what tells whether those are there still.
ROWS_READ = """
create table if not exists raw.rows_read (
    model varchar not null,
    entity varchar not null,
    load_sequence bigint not null,
    rows bigint not null,
    fingerprint ubigint not null,
    primary key (model, entity)
)
"""


class ColumnTypeChanged(Exception):
    """A contract gives a column a type that cannot hold what was loaded; the message says how many rows, no values."""


def make_raw_tables(
    connection: duckdb.DuckDBPyConnection,
    attribute_columns: Mapping[str, dict[str, str]] = MappingProxyType({}),
    contracts: Contracts = OUR_CONTRACTS,
) -> None:
    """Make what is missing: a raw and a quarantine table per entity, the ledgers, and what audiences are told in.

    Args:
        connection: an open connection.
        attribute_columns: per entity the attribute columns to have, and their types where they are missing.
        contracts: the workspace's; columns and types come from them.

    Raises:
        ColumnTypeChanged: a column has another type now, which cannot hold what is in it.
    """
    connection.execute(GATE_TABLES)
    make_erasure_tables(connection)
    connection.execute("create schema if not exists raw")
    connection.execute("create schema if not exists quarantine")
    tables = columns_of_tables(connection)
    for entity in ENTITIES:
        contract = contracts[entity]
        declared = {column.name: column.type for column in contract.columns}
        if (there := tables.get(f"raw.{entity}")) is not None:
            _fit_columns(connection, entity, declared, there)
        else:
            connection.execute(f'create table raw."{entity}" ({_column_list(contract)})')
        add_columns(connection, entity, attribute_columns.get(entity, {}))
        connection.execute(f'create table if not exists quarantine."{entity}" ({QUARANTINE_COLUMNS})')
    for statement in (
        LEDGER,
        CHANGED_DAYS,
        RUN_WEEKS,
        REFUSED_FILES,
        IDENTITY_DECISIONS,
        TOUCHED_IDENTITIES,
        ROWS_READ,
    ):
        connection.execute(statement)
    connection.execute("alter table raw.changed_days add column if not exists _delivered_at timestamp")
    for name, type_ in LATER_LEDGER_COLUMNS.items():
        connection.execute(f"alter table raw.ingested_files add column if not exists {name} {type_}")


def add_columns(connection: duckdb.DuckDBPyConnection, entity: str, wanted: dict[str, str]) -> None:
    """Add those of the columns that a raw table lacks."""
    there = column_types(connection, entity) if wanted else {}
    for name, type_ in wanted.items():
        if name not in there:
            connection.execute(f'alter table raw."{entity}" add column {identifier(name)} {type_}')


def _fit_columns(
    connection: duckdb.DuckDBPyConnection, entity: str, declared: dict[str, str], there: dict[str, str]
) -> None:
    """Add columns that a raw table lacks; give those that a workspace's contract came to declare otherwise their new
    type, where no value is lost."""
    for name, type_ in declared.items():
        if name not in there:
            connection.execute(f'alter table raw."{entity}" add column {identifier(name)} {type_}')
            continue
        if there[name] == type_:
            continue
        if type_ == "VARCHAR":
            change_to_text(connection, f'raw."{entity}"', identifier(name), there[name])
            continue
        column = identifier(name)
        lost = (
            f'select count(*) from raw."{entity}" where {column} is not null and try_cast({column} as {type_}) is null'
        )
        rows = connection.execute(lost).fetchall()[0][0]
        if rows:
            raise ColumnTypeChanged(
                f"the contract of {entity} says that {name} is {type_}; {rows:,} loaded rows hold other values. "
                "Name a new column, or bring a corrected delivery first"
            )
        connection.execute(f'alter table raw."{entity}" alter column {column} type {type_}')


def change_to_text(connection: duckdb.DuckDBPyConnection, table: str, name: str, type_: str) -> None:
    """Make a column text; a number is written as a file would write it: 5, not 5.0."""
    text = f"{name}::varchar"
    if type_ == "DOUBLE":
        text = f"case when {name} = trunc({name}) and abs({name}) < 1e15 then {name}::bigint::varchar else {text} end"
    connection.execute(f"alter table {table} alter column {name} type varchar using {text}")


def column_types(connection: duckdb.DuckDBPyConnection, entity: str) -> dict[str, str]:
    """The columns of a raw table and their types."""
    return {row[0]: row[1] for row in connection.execute(f"describe raw.{identifier(entity)}").fetchall()}


def _column_list(contract: Contract) -> str:
    columns = {column.name: column.type + _as_it_is(column) for column in contract.columns} | PROVENANCE
    return ", ".join(f"{identifier(name)} {type_}" for name, type_ in columns.items())


def _as_it_is(column: Column) -> str:
    """Ids are written as they are: to look for ids that repeat, and for parts that do, takes DuckDB thrice the time."""
    return " using compression uncompressed" if column.name.endswith("_id") and column.type == "VARCHAR" else ""


def loaded_sources(warehouse_file: Path) -> set[str]:
    """The mappings of which files were loaded before."""
    return {str(row[0]) for row in _ask_ledger(warehouse_file, "select distinct source from raw.ingested_files")}


def newest_row(warehouse_file: Path) -> datetime | None:
    """When the newest row that was ever delivered happened, in UTC."""
    rows = _ask_ledger(warehouse_file, "select max(latest_row_at) from raw.ingested_files")
    return rows[0][0] if rows else None


def _ask_ledger(warehouse_file: Path, query: str) -> list[tuple[Any, ...]]:
    """The answer, or nothing where no run has made the ledger yet."""
    if not warehouse_file.is_file():
        return []
    with duckdb.connect(str(warehouse_file), read_only=True) as connection:
        ledger = "select 1 from duckdb_tables() where schema_name = 'raw' and table_name = 'ingested_files'"
        return connection.execute(query).fetchall() if first_row(connection, ledger) else []

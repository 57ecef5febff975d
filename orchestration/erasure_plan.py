"""What is erased from the warehouse: the rest of the tables `erased_*`, and how many rows of each table go.

What belongs here: what follows from who is meant (`erasure_people.py`) and by which columns rows are theirs
(`erasure_registry.py`): refused rows in quarantine, texts that nobody else said, numbers that nobody else has, files
the rows came from. Nothing is changed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

import duckdb

from activation.answers import first_row
from data_contracts.contract import ENTITIES
from orchestration.erasure_keys import ADDRESS_PATTERN, PART_PATTERN, erased_form_sql
from orchestration.erasure_people import OLD, columns_of
from orchestration.erasure_registry import condition
from orchestration.ingest.harmonize import Harmonizer
from orchestration.ingest.ledger import StoredLoad
from orchestration.ingest.loader import IS_A_ROW
from orchestration.ingest.reading import ROW_NUMBER, Extract
from orchestration.ingest.redrive import mapped_entity, stored_rows
from orchestration.ingest.tables import PROVENANCE
from orchestration.sql import identifier, literal
from orchestration.workspace import Workspace

IDENTIFIERS = ("contact_id", "user_id", "email", "order_id", "device_id")


@dataclass(frozen=True)
class FileCount:
    """How many rows of one delivered file are erased."""

    file: str
    source: str
    entity: str
    loaded: int = 0
    refused: int = 0
    unreadable: int = 0


@dataclass(frozen=True)
class Plan:
    """What goes from the warehouse.

    Attributes:
        rows: by `schema.table` how many rows; tables that lose none are not named.
        conditions: by schema and table the SQL that is true of such rows.
        files: by delivered file how many of its rows.
        shared_days: days on which devices that somebody else has as well were used: they are counted again.
    """

    rows: dict[str, int] = field(default_factory=dict)
    conditions: dict[tuple[str, str], str] = field(default_factory=dict)
    files: tuple[FileCount, ...] = ()
    shared_days: int = 0

    @property
    def total(self) -> int:
        """Rows in all tables."""
        return sum(self.rows.values())


def plan_erasure(connection: duckdb.DuckDBPyConnection, workspace: Workspace) -> Plan:
    """Find out what goes.

    Args:
        connection: made by `erasure_people.attached`; people were found.
        workspace: its mappings, to read rows in quarantine.
    """
    tables = columns_of(connection)
    _find_shared_devices(connection, workspace)
    _find_quarantined(connection, workspace)
    _find_phone_keys(connection, tables)
    _find_texts(connection, tables)
    _find_shared_links(connection, tables)
    conditions = {
        (schema, table): told
        for (schema, table), columns in tables.items()
        if (told := condition(schema, table, columns)) is not None
    }
    rows = {}
    for (schema, table), told in conditions.items():
        name = f"{identifier(schema)}.{identifier(table)}"
        count = connection.execute(f"select count(*) from {name} where {told}").fetchall()[0][0]
        if count:
            rows[f"{schema}.{table}"] = int(count)
    days = connection.execute("select count(*) from erased_shared_days").fetchall()[0][0]
    return Plan(rows, conditions, tuple(_count_files(connection, conditions, rows)), int(days))


def _find_shared_devices(connection: duckdb.DuckDBPyConnection, workspace: Workspace) -> None:
    """Devices that were theirs and on which somebody else was seen: what is known of these days is counted again."""
    somebody_else = " or ".join(
        f"({column} is not null and {column} not in (select value from {table}))"
        for column, table in (("contact_id", "erased_contacts"), ("user_id", "erased_users"))
    )
    connection.execute(
        "create or replace temp table erased_shared_devices as select distinct device_id from raw.events "
        "where device_id in (select device_id from raw.events where device_id is not null "
        "and contact_id in (select value from erased_contacts) union select value from erased_devices) "
        f"and ({somebody_else})"
    )
    connection.execute(
        "create or replace temp table erased_own_identities as select kind, value from erased_identities "
        "where kind <> 'device' or value not in (select device_id from erased_shared_devices)"
    )
    connection.execute(
        "create or replace temp table erased_shared_days as select distinct "
        f"timezone({literal(workspace.settings.timezone)}, timezone('UTC', occurred_at))::date as day, _delivered_at "
        "from raw.events where device_id in (select device_id from erased_shared_devices) "
        "and (contact_id in (select value from erased_contacts) or user_id in (select value from erased_users) "
        "or (contact_id is null and user_id is null and device_id in (select value from erased_devices)))"
    )


def _find_phone_keys(connection: duckdb.DuckDBPyConnection, tables: dict[tuple[str, str], dict[str, str]]) -> None:
    """What numbers are looked up by that nobody else wrote that way; as `phone_key` in `macros/identity.sql`."""
    columns = tables[("raw", "contacts")]
    if not {"phone", "country"} <= set(columns):
        connection.execute("create or replace temp table erased_phone_keys (phone_key varchar)")
        return
    keys = (
        "select distinct md5(trim(phone) || '|' || coalesce(upper(trim(country)), '')) as phone_key, "
        "contact_id in (select value from erased_contacts) as is_erased from raw.contacts where trim(phone) <> ''"
    )
    connection.execute(
        f"create or replace temp table erased_phone_keys as select phone_key from ({keys}) "
        "group by phone_key having bool_and(is_erased)"
    )


def _find_texts(connection: duckdb.DuckDBPyConnection, tables: dict[tuple[str, str], dict[str, str]]) -> None:
    """Texts that nobody else said, where texts are read at all."""
    connection.execute("create or replace temp table erased_delivered_texts (delivered_text varchar)")
    connection.execute("create or replace temp table erased_texts (text_id ubigint)")
    if "delivered_text" not in tables.get(("intermediate", "int_texts"), {}):
        return
    sources = []
    for entity in ENTITIES:
        columns = tables[("raw", entity)]
        texts = [name for name, type_ in columns.items() if type_ == "VARCHAR" and name not in PROVENANCE]
        told = condition("raw", entity, columns) or "false"
        listed = ", ".join(identifier(name) for name in texts)
        sources.append(f"select distinct unnest([{listed}]) as text, {told} as is_erased from raw.{identifier(entity)}")
    said = " union all ".join(f"select text from ({source}) where is_erased" for source in sources)
    connection.execute(
        f"create or replace temp table erased_said as select distinct text from ({said}) where text in "
        "(select delivered_text from intermediate.int_texts)"
    )
    if not first_row(connection, "select 1 from erased_said limit 1"):
        return
    others = " union all ".join(
        f"select text from ({source}) where not is_erased and text in (select text from erased_said)"
        for source in sources
    )
    connection.execute(
        "insert into erased_delivered_texts select text from erased_said where text not in "
        f"(select distinct text from ({others}) where text is not null)"
    )
    connection.execute(
        "insert into erased_texts select text_id from intermediate.int_texts group by text_id "
        "having bool_and(delivered_text in (select delivered_text from erased_delivered_texts))"
    )


def _find_shared_links(connection: duckdb.DuckDBPyConnection, tables: dict[tuple[str, str], dict[str, str]]) -> None:
    """What they share with others: as hashes, it goes on counting."""
    connection.execute(
        "create or replace temp table erased_shared_links (identity_kind varchar, identity_id varchar, "
        "other_kind varchar, other_id varchar, link_kind varchar, linked_from_at timestamp, seen_from_at timestamp)"
    )
    view = first_row(
        connection, f"select sql from duckdb_views() where database_name = '{OLD}' and view_name = 'int_identity_links'"
    )
    if view is None or ("intermediate", "identity_changes") not in tables:
        return
    # The view names the warehouse by its own name, and here it is attached under another.
    links = view[0].partition(" AS ")[2].strip().rstrip(";").replace("warehouse.", f"{OLD}.")
    theirs = "(identity_kind || ':' || identity_id) in (select kind || ':' || value from erased_identities)"
    connection.execute(
        f"insert into erased_shared_links with links as materialized ({links}), "
        f"seen as (select identity_kind, identity_id, min(known_at) as seen_from_at "
        f"from intermediate.identity_changes where {theirs} group by all) "
        f"select l.identity_kind, {erased_form_sql('l.identity_id')}, l.other_kind, l.other_id, l.link_kind, "
        "l.linked_from_at, s.seen_from_at from links as l "
        "inner join seen as s on s.identity_kind = l.identity_kind and s.identity_id = l.identity_id "
        "where l.other_kind <> 'contact' and (l.other_kind || ':' || l.other_id) in "
        f"(select other_kind || ':' || other_id from links where not ({theirs})) order by all"
    )


# Quarantine: rows are kept as they were delivered, so they are read through their mapping once more.


def _find_quarantined(connection: duckdb.DuckDBPyConnection, workspace: Workspace) -> None:
    connection.execute(
        "create or replace temp table erased_quarantined (entity varchar, _source varchar, _file varchar, "
        "_load_id varchar, _row_number bigint, is_row boolean)"
    )
    for entity in ENTITIES:
        kept = f"quarantine.{identifier(entity)}"
        address = (
            f"list_has_any(list_transform(regexp_extract_all(delivered_row, '{ADDRESS_PATTERN}'), "
            "lambda one: lower(one)), (select coalesce(list(address), []) from erased_addresses))"
        )
        token = (
            f"list_has_any(list_transform(regexp_extract_all(delivered_row, '{PART_PATTERN}'), "
            "lambda one: trim(one)), (select coalesce(list(value), []) from erased_contacts))"
        )
        connection.execute(
            f"insert into erased_quarantined select {literal(entity)}, _source, _file, _load_id, _row_number, "
            f"{IS_A_ROW} from {kept} where {address} or (not ({IS_A_ROW}) and {token})"
        )
        for stored in _stored_loads(connection, entity):
            _find_quarantined_of(connection, workspace, stored, token)
    connection.execute("create or replace temp table erased_quarantined as select distinct * from erased_quarantined")


def _stored_loads(connection: duckdb.DuckDBPyConnection, entity: str) -> list[StoredLoad]:
    rows = connection.execute(
        "select file, source, entity, load_id, load_sequence, delivered_at, columns from raw.ingested_files "
        f"where entity = ? and (file, source, load_id) in (select (_file, _source, _load_id) "
        f"from quarantine.{identifier(entity)}) order by load_sequence, file",
        [entity],
    ).fetchall()
    return [
        StoredLoad(file, source, of_entity, load_id, sequence, delivered_at, json.loads(columns or "{}"))
        for file, source, of_entity, load_id, sequence, delivered_at, columns in rows
    ]


def _find_quarantined_of(
    connection: duckdb.DuckDBPyConnection, workspace: Workspace, stored: StoredLoad, token: str
) -> None:
    """Rows of one load; where its mapping is gone, or needs a file to be looked up in, by what they hold."""
    entity = identifier(stored.entity)
    of_load = (
        f"_load_id = {literal(stored.load_id)} and _file = {literal(stored.file)} "
        f"and _source = {literal(stored.source)}"
    )
    insert = (
        f"insert into erased_quarantined select {literal(stored.entity)}, {literal(stored.source)}, "
        f"{literal(stored.file)}, {literal(stored.load_id)}, {ROW_NUMBER}, true from "
    )
    found = mapped_entity(workspace, stored)
    if found is not None:
        mapping, mapped = found
        gone = Extract(mapping, workspace.data_folder / stored.file, stored.file, stored.delivered_at)
        try:
            table = stored_rows(connection, gone, stored)
            harmonizer = Harmonizer(connection, table, is_guarded=True)
            columns = [
                one for one in harmonizer.columns(mapped, workspace.contracts[stored.entity]) if one.name in IDENTIFIERS
            ]
            told = condition("", "", {one.name: "VARCHAR" for one in columns})
            if told is not None:
                connection.execute(f"{insert} {harmonizer.typed_rows(columns, ROW_NUMBER)} where {told}")
            return
        except duckdb.Error:
            pass  # what follows finds them without the mapping
    connection.execute(f"{insert} quarantine.{entity} where {of_load} and {IS_A_ROW} and {token}")


def _count_files(
    connection: duckdb.DuckDBPyConnection, conditions: dict[tuple[str, str], str], rows: dict[str, int]
) -> Iterator[FileCount]:
    """From which files what is erased came."""
    for entity in ENTITIES:
        loaded = {}
        if f"raw.{entity}" in rows:
            loaded = {
                (file, source): count
                for file, source, count in connection.execute(
                    f"select _file, _source, count(*) from raw.{identifier(entity)} "
                    f"where {conditions[('raw', entity)]} group by all"
                ).fetchall()
            }
        aside = {
            (file, source): (refused, unreadable)
            for file, source, refused, unreadable in connection.execute(
                "select _file, _source, count(*) filter (is_row), count(*) filter (not is_row) "
                "from erased_quarantined where entity = ? group by all",
                [entity],
            ).fetchall()
        }
        for file, source in sorted(loaded.keys() | aside.keys()):
            refused, unreadable = aside.get((file, source), (0, 0))
            yield FileCount(file, source, entity, loaded.get((file, source), 0), refused, unreadable)

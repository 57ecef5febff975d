"""Who is meant when somebody is erased: from an address or a contact's id to every identity of that person.

What belongs here: finding people, in temporary tables whose names begin with `erased_`. The warehouse is attached as
`old`; nothing of it is changed. What holds them stands in `erasure_registry.py`.

A person is what the identity resolution joined as it stands now: all their contacts, logins and devices. Accounts are
companies and stay. An address or a device that somebody else has as well stays theirs and is no tombstone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import polars as pl

from activation.answers import first_row, read_frame
from activation.people import person_name_sql
from data_contracts.contract import ENTITIES
from orchestration.erasure_keys import key_sql, mailbox_sql, person_id_sql
from orchestration.sql import identifier, literal
from orchestration.workspace import STORAGE_VERSION, Workspace

OLD = "old"
IDENTITIES = "intermediate.identity_changes"


@dataclass(frozen=True)
class Found:
    """What identifiers led to.

    Attributes:
        unknown: places (from 1) of identifiers that nobody here is known by.
        ambiguous: places of addresses that more than one person has, and how many they are.
    """

    unknown: tuple[int, ...] = ()
    ambiguous: tuple[tuple[int, int], ...] = ()


@contextmanager
def attached(workspace: Workspace, threads: int | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection of its own with the warehouse attached as `old`, which nobody can change by it."""
    workspace.temporary_folder.mkdir(parents=True, exist_ok=True)
    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": workspace.settings.memory_limit,
        "temp_directory": str(workspace.temporary_folder),
        "storage_compatibility_version": STORAGE_VERSION,  # of a database that is made by this connection
    }
    if threads:
        settings["threads"] = threads
    connection = duckdb.connect(config=settings)
    try:
        connection.execute("set TimeZone = 'UTC'; set enable_progress_bar = false")
        connection.execute(f"attach {literal(str(workspace.warehouse_file))} as {OLD} (read_only)")
        connection.execute(f"use {OLD}")
        yield connection
    finally:
        connection.close()


def read_identifiers(arguments: Sequence[str]) -> list[str]:
    """The identifiers that arguments give: each itself, or the lines of the file that it names.

    Raises:
        UnicodeDecodeError: a file is not in UTF-8.
    """
    given: list[str] = []
    for argument in arguments:
        path = Path(argument)
        lines = path.read_text(encoding="utf-8-sig").splitlines() if path.is_file() else [argument]
        given += [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
    return list(dict.fromkeys(given))


def columns_of(connection: duckdb.DuckDBPyConnection, catalog: str = OLD) -> dict[tuple[str, str], dict[str, str]]:
    """By schema and name of each table of the warehouse its columns and their types, in order."""
    rows = connection.execute(
        "select schema_name, table_name, column_name, data_type from duckdb_columns() "
        "inner join (select schema_name, table_name from duckdb_tables() where database_name = $catalog) "
        "using (schema_name, table_name) where database_name = $catalog order by schema_name, table_name, column_index",
        {"catalog": catalog},
    ).fetchall()
    tables: dict[tuple[str, str], dict[str, str]] = {}
    for schema, table, column, type_ in rows:
        tables.setdefault((schema, table), {})[column] = type_
    return tables


def find(connection: duckdb.DuckDBPyConnection, identifiers: Sequence[str]) -> Found:
    """Find the people whom addresses, contact ids or person ids name, and fill the tables `erased_*`.

    Args:
        connection: made by `attached`.
        identifiers: as somebody wrote them.
    """
    given = pl.DataFrame({"place": range(1, len(identifiers) + 1), "value": list(identifiers)})
    connection.register("given_frame", given.to_arrow())
    connection.execute(
        "create or replace temp table erased_given as select place, trim(value) as value from given_frame"
    )
    connection.unregister("given_frame")
    _look_up_addresses(connection)
    _look_up_identities(connection)
    named = " union ".join(
        f"select distinct contact_id from {table} where contact_id in (select value from erased_given)"
        for table in _tables_with_contacts(connection)
    )
    connection.execute(
        f"""
        create or replace temp table erased_named as
        select g.place, n.contact_id, false as by_address
        from erased_given as g inner join ({named}) as n on n.contact_id = g.value
        union
        select g.place, a.contact_id, true
        from erased_given as g
        inner join erased_addresses_of_contacts as a on a.mailbox = {mailbox_sql("lower(g.value)")}
        where g.value like '%_@_%'
        union
        select g.place, i.identity_id, false
        from erased_given as g
        inner join erased_identities_now as i on i.person = g.value and i.identity_kind = 'contact'
        """
    )
    # One address of several people does not say who is meant, unless all of them are named.
    people = (
        "select n.place, coalesce(i.person, n.contact_id) as person from erased_named as n "
        "left join erased_identities_now as i on i.identity_kind = 'contact' and i.identity_id = n.contact_id"
    )
    ambiguous = connection.execute(
        f"with people as ({people}), otherwise as (select person from people where place in "
        "(select place from erased_named where not by_address)) "
        "select place, count(distinct person) from people where place in "
        "(select place from erased_named where by_address) group by place "
        "having count(distinct person) > 1 and bool_or(person not in (select person from otherwise)) "
        "order by place"
    ).fetchall()
    unknown = connection.execute(
        "select place from erased_given where place not in (select place from erased_named) order by place"
    ).fetchall()
    connection.execute("create or replace temp table erased_seeds as select distinct contact_id from erased_named")
    _close(connection)
    return Found(tuple(place for (place,) in unknown), tuple(ambiguous))


def find_again(connection: duckdb.DuckDBPyConnection) -> None:
    """Find whoever was erased and is there all the same, by their keys, and fill the tables `erased_*`."""
    _look_up_addresses(connection)
    _look_up_identities(connection)
    contacts = " union ".join(
        f"select distinct contact_id as value from {table}" for table in _tables_with_contacts(connection)
    )
    by_address = " or ".join(
        f"{key} in (select key from erasure.keys where kind = {literal(kind)})"
        for kind, key in (("email", "sha256(address)"), ("mailbox", "mailbox"))
    )
    connection.execute(
        "create or replace temp table erased_seeds as select value as contact_id from ("
        f"{contacts}) where {_is_key('contact', 'value')} union "
        f"select contact_id from erased_addresses_of_contacts where {by_address} union "
        f"select identity_id from erased_identities_now where identity_kind = 'contact' and "
        f"{_is_key('contact', 'identity_id')}"
    )
    _close(connection, by_keys=True)


def values_to_remember(connection: duckdb.DuckDBPyConnection, others: Sequence[str] = ()) -> pl.DataFrame:
    """What tombstones are put up for: `kind` and `value`, in the clear.

    Args:
        connection: where `erased_*` are filled.
        others: identifiers that nobody is known by; they are kept out all the same, whatever they are.
    """
    found = read_frame(
        connection,
        "select kind, value from erased_identities union all "
        "select 'email', address from erased_addresses union all select 'order', value from erased_orders union all "
        f"select 'person', {person_name_sql('value')} from erased_persons order by all",
    )
    kinds = [(kind, one) for one in others for kind in (("email",) if "@" in one else ("contact", "user"))]
    more = pl.DataFrame(kinds, schema={"kind": pl.String, "value": pl.String}, orient="row")
    return pl.concat([found.cast({"kind": pl.String, "value": pl.String}), more])


def count_people(connection: duckdb.DuckDBPyConnection) -> tuple[int, int]:
    """How many people and how many contacts are meant."""
    row = first_row(
        connection,
        "select (select count(*) from erased_people_now), "
        "(select count(*) from erased_identities where kind = 'contact')",
    )
    return (int(row[0]), int(row[1])) if row else (0, 0)


def _is_key(kind: str, value: str) -> str:
    return f"{key_sql(kind, value)} in (select key from erasure.keys where kind = {literal(kind)})"


def _tables_with_contacts(connection: duckdb.DuckDBPyConnection) -> list[str]:
    there = columns_of(connection)
    return [f"raw.{identifier(entity)}" for entity in ENTITIES if "contact_id" in there.get(("raw", entity), {})]


def _look_up_addresses(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute(
        "create or replace temp table erased_addresses_of_contacts as "
        f"select contact_id, address, {mailbox_sql('address')} as mailbox from "
        "(select distinct contact_id, nullif(lower(trim(email)), '') as address from raw.contacts) "
        "where address is not null"
    )


def _look_up_identities(connection: duckdb.DuckDBPyConnection) -> None:
    """Who is whose, as it stands now."""
    there = ("intermediate", "identity_changes") in columns_of(connection)
    source = (
        f"select identity_kind, identity_id, {person_name_sql('person_after')} as person, person_after as person_id "
        f"from {IDENTITIES} where person_after is not null and changed_again_at is null"
        if there
        else "select ''::varchar as identity_kind, ''::varchar as identity_id, ''::varchar as person, "
        "0::ubigint as person_id where false"
    )
    connection.execute(f"create or replace temp table erased_identities_now as {source}")


def _close(connection: duckdb.DuckDBPyConnection, by_keys: bool = False) -> None:
    """From contacts to everything that is theirs."""
    execute = connection.execute
    execute(
        "create or replace temp table erased_people_now as select distinct person from erased_identities_now "
        "where identity_kind = 'contact' and identity_id in (select contact_id from erased_seeds) union "
        "select contact_id from erased_seeds where contact_id not in "
        "(select identity_id from erased_identities_now where identity_kind = 'contact')"
    )
    execute(
        "create or replace temp table erased_identities as "
        "select 'contact' as kind, contact_id as value from erased_seeds union "
        "select identity_kind, identity_id from erased_identities_now "
        "where person in (select person from erased_people_now)"
    )
    # Contacts that were loaded since the last run, with an address that is nobody else's.
    execute(
        "insert into erased_identities select distinct 'contact', a.contact_id from erased_addresses_of_contacts as a "
        "where a.contact_id not in (select identity_id from erased_identities_now where identity_kind = 'contact') "
        "and a.contact_id not in (select value from erased_identities where kind = 'contact') and a.mailbox in ("
        "select mailbox from erased_addresses_of_contacts as t group by mailbox having bool_and(contact_id in "
        "(select value from erased_identities where kind = 'contact') or contact_id not in "
        "(select identity_id from erased_identities_now where identity_kind = 'contact')) and bool_or(contact_id in "
        "(select value from erased_identities where kind = 'contact') and contact_id in "
        "(select identity_id from erased_identities_now where identity_kind = 'contact')))"
    )
    execute(
        "create or replace temp table erased_contacts as select value from erased_identities where kind = 'contact'"
    )
    columns = columns_of(connection)[("raw", "contacts")]
    if "user_id" in columns:
        execute(
            "insert into erased_identities select distinct 'user', trim(user_id) from raw.contacts as c "
            "where trim(user_id) <> '' and contact_id in (select value from erased_contacts) "
            "and trim(user_id) not in (select value from erased_identities where kind = 'user') and not exists ("
            "select 1 from raw.contacts as o where trim(o.user_id) = trim(c.user_id) "
            "and o.contact_id not in (select value from erased_contacts))"
        )
    if by_keys:
        for kind in ("user", "device"):
            execute(
                f"insert into erased_identities select identity_kind, identity_id from erased_identities_now "
                f"where identity_kind = '{kind}' and {_is_key(kind, 'identity_id')} "
                f"and identity_id not in (select value from erased_identities where kind = '{kind}')"
            )
    execute("create or replace temp table erased_users as select value from erased_identities where kind = 'user'")
    execute("create or replace temp table erased_devices as select value from erased_identities where kind = 'device'")
    execute(
        "create or replace temp table erased_addresses as select distinct address, mailbox "
        "from erased_addresses_of_contacts where contact_id in (select value from erased_contacts) and mailbox not in ("
        "select mailbox from erased_addresses_of_contacts where mailbox is not null "
        "and contact_id not in (select value from erased_contacts))"
    )
    execute(
        "create or replace temp table erased_orders as select order_id as value from raw.orders "
        "where order_id is not null group by order_id having "
        "bool_or(coalesce(contact_id in (select value from erased_contacts), false)) and not "
        "bool_or(contact_id is not null and contact_id not in (select value from erased_contacts))"
    )
    if by_keys:
        execute(
            "insert into erased_orders select distinct order_id from raw.orders where "
            f"{_is_key('order', 'order_id')} and order_id not in (select value from erased_orders)"
        )
    execute(
        f"create or replace temp table erased_persons as select {person_id_sql('kind', 'value')} as value "
        "from erased_identities union select person_id from erased_identities_now "
        "where person in (select person from erased_people_now)"
    )
    if by_keys:
        _add_persons_by_key(connection)


def _add_persons_by_key(connection: duckdb.DuckDBPyConnection) -> None:
    """People of past weeks whose identities are gone already."""
    if ("features", "person_features") in columns_of(connection):
        connection.execute(
            "insert into erased_persons select person_id "
            "from (select distinct person_id from features.person_features) "
            f"where {_is_key('person', person_name_sql('person_id'))} "
            "and person_id not in (select value from erased_persons)"
        )

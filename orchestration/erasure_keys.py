"""Who was erased, by key: the tombstones that keep people out, and how a row is told to be theirs.

What belongs here: schema `erasure`, what of an erased person is remembered (hashes, nothing else), and the condition
by which rows that are delivered again are dropped. Whose keys they are is found in `erasure_people.py`.

A key is the SHA-256 of an identifier, by kind: `contact`, `user`, `device`, `order` and `person` as they are spelled,
`email` in lower case, `mailbox` as its provider reads the address (`email_hash` in `dbt_project/macros/identity.sql`).
Telephone numbers are not remembered: they are handed on from one person to the next.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import polars as pl

from activation.answers import first_row, read_frame
from activation.gate import remember_erased
from orchestration.sql import identifier, literal
from orchestration.warehouse import Warehouse

ERASED_IDENTITY = "erased:"
KEY_SCHEMA = {"kind": pl.String, "value": pl.String}
BEGUN, FINISHED = "begun", "finished"
REDELIVERED = "delivered again under another contact's id"

TABLES = """
create schema if not exists erasure;
create table if not exists erasure.keys (
    kind varchar not null, key varchar not null, erasure_id varchar not null, erased_at timestamp not null
);
create table if not exists erasure.erasures (
    erasure_id varchar not null, state varchar not null, recorded_at timestamp not null, reference varchar,
    people bigint, keys bigint, rows json, files json
);
create table if not exists erasure.shared_links (
    identity_kind varchar not null, identity_id varchar not null, other_kind varchar not null,
    other_id varchar not null, link_kind varchar not null, linked_from_at timestamp, seen_from_at timestamp
);
"""
"""`keys`: what keeps people out. `erasures`: append only, a row when an erasure begins and one when it is finished.
`shared_links`: that somebody, by hash only, once had an address, number, login or device that others have as well: how
many share it decides whether it links those others, and must not change because one of them is erased."""

# What mail providers make of an address, as `mail_providers` in dbt_project/macros/identity.sql says it; a test holds
# one to the other.
_PLUS = (
    "gmail.com googlemail.com outlook.com hotmail.com live.com msn.com icloud.com me.com mac.com proton.me "
    "protonmail.com pm.me fastmail.com"
).split()
_DOTS = "gmail.com googlemail.com proton.me protonmail.com pm.me".split()
_SAME_AS = {
    "googlemail.com": "gmail.com",
    "me.com": "icloud.com",
    "mac.com": "icloud.com",
    "protonmail.com": "proton.me",
    "pm.me": "proton.me",
}

ADDRESS_PATTERN = r"[^\s\"'',;<>(){}\[\]|=:]+@[^\s\"'',;<>(){}\[\]|=:]+"
"""What looks like an address within a line of text, inside an SQL literal."""
PART_PATTERN = r"[^\"'',;\t|{}\[\]:]+"
"""What stands between the delimiters of a line, inside an SQL literal."""


def person_id_sql(kind: str, value: str) -> str:
    """The id of the person that an identity makes on its own, as `person_id_of` in `macros/identity.sql` gives it."""
    return f"cast('0x' || left(md5({kind} || ':' || {value}), 16) as ubigint)"


def mailbox_sql(address: str) -> str:
    """The SHA-256 of an address as its provider reads it; `address` is trimmed and in lower case."""
    domain = f"split_part({address}, '@', -1)"
    mailbox = f"left({address}, length({address}) - length({domain}) - 1)"
    plus, dots = (f"({', '.join(map(literal, each))})" for each in (_PLUS, _DOTS))
    same = " ".join(f"when {literal(name)} then {literal(other)}" for name, other in _SAME_AS.items())
    is_hash = f"length({address}) = 64 and regexp_full_match({address}, '[0-9a-f]{{64}}')"
    before_plus = f"split_part({mailbox}, '+', 1)"
    return (
        f"case when {address} not like '%_@_%' then case when {is_hash} then {address} end "
        f"when {domain} in {plus} then sha256("
        f"case when {domain} in {dots} then replace({before_plus}, '.', '') else {before_plus} end "
        f"|| '@' || case {domain} {same} else {domain} end) else sha256({address}) end"
    )


def key_sql(kind: str, value: str) -> str:
    """The key of an identifier, null where there is none."""
    if kind == "email":
        return f"sha256(nullif(lower(trim({value})), ''))"
    if kind == "mailbox":
        return mailbox_sql(f"lower(trim({value}))")
    return f"sha256(nullif(trim({value}), ''))"


def erased_form_sql(value: str) -> str:
    """What the identity of an erased person is called where it must still count as one."""
    return f"'{ERASED_IDENTITY}' || left(sha256(trim({value})), 16)"


def make_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """Make what is missing of schema `erasure`."""
    connection.execute(TABLES)


def has_keys(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether anybody was ever erased; false where the tables are not there."""
    there = "select 1 from duckdb_tables() where schema_name = 'erasure' and table_name = 'keys' and not temporary"
    if first_row(connection, there) is None:
        return False
    return first_row(connection, "select 1 from erasure.keys limit 1") is not None


def unfinished(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """The erasures that began and are not finished, oldest first."""
    there = "select 1 from duckdb_tables() where schema_name = 'erasure' and table_name = 'erasures' and not temporary"
    if first_row(connection, there) is None:
        return []
    rows = connection.execute(
        "select erasure_id from erasure.erasures group by erasure_id having bool_and(state <> 'finished') "
        "order by min(recorded_at), erasure_id"
    ).fetchall()
    return [erasure_id for (erasure_id,) in rows]


def has_unfinished(warehouse: Warehouse) -> bool:
    """Whether an erasure was begun and something of it is left to do."""
    if not Path(warehouse.path).is_file():
        return False
    with warehouse.connect(read_only=True) as connection:
        return bool(unfinished(connection))


def remember(connection: duckdb.DuckDBPyConnection, values: pl.DataFrame, erasure_id: str, at: datetime) -> int:
    """Put up tombstones; from now on ingest, the gate and the engine of the sync refuse these people.

    Call it inside a transaction, after `make_tables`.

    Args:
        connection: the warehouse, writable.
        values: `kind` and `value`, in the clear; only hashes are kept.
        erasure_id: which erasure it is.
        at: when, in UTC without a zone.

    Returns:
        How many keys are new.
    """
    connection.register("values_to_remember", values.select(list(KEY_SCHEMA)).to_arrow())
    cases = " ".join(
        f"when {literal(kind)} then {key_sql(kind, 'value')}"
        for kind in ("contact", "user", "device", "order", "person")
    )
    added = connection.execute(
        "insert into erasure.keys select distinct kind, key, ?, ?::timestamp from ("
        f"select kind, case kind {cases} when 'email' then {key_sql('email', 'value')} end as key "
        "from values_to_remember union all "
        f"select 'mailbox', {key_sql('mailbox', 'value')} from values_to_remember where kind = 'email') as given "
        "where key is not null and (kind, key) not in (select (kind, key) from erasure.keys)",
        [erasure_id, at],
    ).fetchall()[0][0]
    connection.unregister("values_to_remember")
    of_gate = values.filter(pl.col("kind").is_in(["contact", "email"]))["value"].to_list()
    if of_gate:
        remember_erased(connection, of_gate, at)
    return int(added)


def record(
    connection: duckdb.DuckDBPyConnection,
    erasure_id: str,
    state: str,
    reference: str | None = None,
    people: int | None = None,
    keys: int | None = None,
    rows: str | None = None,
    files: str | None = None,
) -> None:
    """Append to the record of erasures; nothing in it is anybody's data. `rows` and `files` are JSON: name to count."""
    connection.execute(
        "insert into erasure.erasures values (?, ?, ?, ?, ?, ?, ?, ?)",
        [erasure_id, state, now(), reference, people, keys, rows, files],
    )


def now() -> datetime:
    """This moment, as tables keep it: UTC without a zone."""
    return datetime.now(UTC).replace(tzinfo=None)


@dataclass(frozen=True)
class _Column:
    """A column by which a row is somebody's."""

    name: str
    kind: str
    unless: tuple[str, ...] = ()


# By these a row that is delivered is somebody's. What was done on a device is its owner's where nobody else is named.
_DELIVERED = (
    _Column("contact_id", "contact"),
    _Column("user_id", "user"),
    _Column("email", "email"),
    _Column("email", "mailbox"),
    _Column("order_id", "order"),
    _Column("device_id", "device", unless=("contact_id", "user_id")),
)


def delivered_condition(table: str, columns: Collection[str]) -> str:
    """SQL that is true of a delivered row of somebody who was erased; never null.

    Each distinct identifier is hashed once.

    Args:
        table: the rows: SQL that the caller vouches for.
        columns: its canonical columns.
    """
    conditions = []
    for one in _DELIVERED:
        if one.name not in columns:
            continue
        column = identifier(one.name)
        distinct = f"select distinct {column} as value from {table} where {column} is not null"
        condition = (
            f"{column} in (select value from ({distinct}) where {key_sql(one.kind, 'value')} in "
            f"(select key from erasure.keys where kind = {literal(one.kind)}))"
        )
        nobody_else = [f"{identifier(name)} is null" for name in one.unless if name in columns]
        conditions.append(f"coalesce({' and '.join([*nobody_else, condition])}, false)")
    return f"({' or '.join(conditions)})" if conditions else "false"


def text_condition(text: str, parts: bool = False) -> str:
    """SQL that is true where a line of text holds an address of somebody who was erased; never null.

    Args:
        text: SQL of the text.
        parts: whether a contact id between two delimiters counts as well.
    """
    found = f"regexp_extract_all({text}, '{ADDRESS_PATTERN}')"
    keys = "(select coalesce(list(key), []) from erasure.keys where kind = {})"
    address = f"list_has_any(list_transform({found}, lambda one: sha256(lower(one))), {keys.format(literal('email'))})"
    if not parts:
        return f"coalesce({address}, false)"
    between = f"regexp_extract_all({text}, '{PART_PATTERN}')"
    contact = (
        f"list_has_any(list_transform({between}, lambda one: sha256(trim(one))), {keys.format(literal('contact'))})"
    )
    return f"coalesce({address} or {contact}, false)"


def remember_contacts_of(connection: duckdb.DuckDBPyConnection, contacts: str) -> None:
    """Put up tombstones for contacts that were delivered with the address of somebody who was erased.

    What of theirs came earlier is erased by the next `finish`; see `orchestration/defs/ingest.py`.

    Args:
        connection: the warehouse, writable.
        contacts: SQL that gives contact_id.
    """
    values = read_frame(
        connection,
        f"select distinct 'contact' as kind, trim(contact_id) as value from ({contacts}) "
        f"where contact_id is not null and {key_sql('contact', 'contact_id')} not in "
        "(select key from erasure.keys where kind = 'contact')",
    )
    if values.is_empty():
        return
    erasure_id, at = uuid.uuid4().hex[:12], now()
    keys = remember(connection, values, erasure_id, at)
    record(connection, erasure_id, BEGUN, reference=REDELIVERED, keys=keys)


def is_erased(connection: duckdb.DuckDBPyConnection, value: str) -> datetime | None:
    """When whoever is known by an address, contact id, login or person id was erased; None where they were not."""
    return min(erased_as(connection, value).values(), default=None)


def erased_as(connection: duckdb.DuckDBPyConnection, value: str) -> dict[str, datetime]:
    """As what an identifier was erased (`contact`, `user`, `person`, `email`, `mailbox`), and when first."""
    if not has_keys(connection):
        return {}
    keys = " or ".join(
        f"(kind = {literal(kind)} and key = {key_sql(kind, '$value')})"
        for kind in ("contact", "user", "person", "email", "mailbox")
    )
    rows = connection.execute(
        f"select kind, min(erased_at) from erasure.keys where {keys} group by kind order by kind", {"value": value}
    )
    return dict(rows.fetchall())

"""Which columns of which tables are somebody's: what is erased from each, as SQL.

What belongs here: the one place that knows by which column a row is a person's. A table that comes to hold people is
covered as soon as it calls its columns what all others do; `tests/end_to_end/test_erasure.py` looks every identifier
of a whole warehouse up in every column of text, and fails where a column holds one that is not listed here.
"""

from __future__ import annotations

from collections.abc import Mapping

from activation.people import person_name_sql
from orchestration.sql import identifier

# By a value in one of these columns a row is of somebody who is erased.
PERSON_COLUMNS = {
    "person_id": f"{person_name_sql('value')} in erased_persons",  # in files; tables hold the number
    "contact_id": "value in erased_contacts",
    "other_contact_id": "value in erased_contacts",
    "user_id": "value in erased_users",
    "order_id": "value in erased_orders",
    "email": "address in erased_addresses",
    "email_normalized": "address in erased_addresses",
    "email_hash": "mailbox in erased_addresses",
}
# What a row says of the one whose row it is, and nobody else; the row goes by another column.
OF_THE_ROW = frozenset(
    {"phone", "phone_hash", "person_before", "person_after", "identity_id", "device_id", "first_name", "last_name"}
)
# Tables that hold people by key only, or for as long as a destination has to be told; docs/sync.md.
KEPT = frozenset(
    {
        ("activation", "sync_changelog"),
        ("activation", "sync_job_rows"),
        ("activation", "sync_rejections"),
        ("activation", "sync_snapshot"),
        ("activation", "sync_suppressions"),
        ("activation", "sync_tombstones"),
        ("activation", "receipts"),
        ("erasure", "keys"),
        ("erasure", "erasures"),
        ("erasure", "shared_links"),
    }
)


def condition(schema: str, table: str, columns: Mapping[str, str]) -> str | None:
    """SQL that is true of a table's rows of the people in `erased_*`, and never null; None where nobody is in it.

    Args:
        schema: of the table.
        table: its name.
        columns: its columns and their types.
    """
    if (schema, table) in KEPT:
        return None
    conditions = [_is_in(column, told) for column, told in PERSON_COLUMNS.items() if columns.get(column) == "VARCHAR"]
    if columns.get("person_id") == "UBIGINT":
        conditions.append("person_id in (select value from erased_persons)")
    if {"identity_kind", "identity_id"} <= set(columns):
        conditions.append(
            "(identity_kind || ':' || identity_id) in (select kind || ':' || value from erased_own_identities)"
        )
    elif "device_id" in columns:
        # What is done on a device is its owner's where nobody else is named.
        nobody_else = [f"{name} is null" for name in ("contact_id", "user_id") if name in columns]
        conditions.append(" and ".join([*nobody_else, "device_id in (select value from erased_devices)"]))
    if schema == "quarantine" and "_row_number" in columns:
        conditions.append(
            f"(_source, _file, _load_id, _row_number) in (select (_source, _file, _load_id, _row_number) "
            f"from erased_quarantined where entity = '{table}')"
        )
    if "phone_key" in columns and "contact_id" not in columns:
        conditions.append("phone_key in (select phone_key from erased_phone_keys)")
    if "text_id" in columns and "person_id" not in columns:
        conditions.append("text_id in (select text_id from erased_texts)")
        if "delivered_text" in columns:
            conditions.append("delivered_text in (select delivered_text from erased_delivered_texts)")
    return " or ".join(f"coalesce({one}, false)" for one in conditions) if conditions else None


def _is_in(column: str, told: str) -> str:
    value, _, table = told.partition(" in ")
    compared = {"address": f"lower(trim({identifier(column)}))"}.get(value, identifier(column))
    return f"{compared} in (select {value} from {table} where {value} is not null)"

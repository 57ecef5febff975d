"""What of somebody left the house, and what the destinations said: syncs, receipts, messages.

What belongs here: reading what the engine of the sync recorded, by key, and the messages that tools say they sent.
Nothing is decided anew, and no identifier is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import duckdb

SHOWN = 12
KEYS = (
    "select sha256(trim(one)) as key from (select unnest($identifiers::varchar[]) as one) "
    "union select sha256(lower(trim(one))) from (select unnest($identifiers::varchar[]) as one)"
)

SENT = f"""
select l.destination, l.segment, l.operation, l.recorded_at, l.status, l.http_status, l.code, l.message, l.batch_id,
    l.job_id, l.run_id, r.as_of
from activation.sync_changelog as l
left join activation.sync_runs as r on r.run_id = l.run_id
where l.key in ({KEYS})
qualify row_number() over (
    partition by l.run_id, l.destination, l.segment, l.operation order by l.recorded_at desc, l.attempt desc,
        case l.status when 'planned' then 1 when 'sent' then 2 when 'accepted' then 3 else 4 end desc
) = 1
order by l.recorded_at desc, l.destination, l.segment, l.operation limit {SHOWN}
"""
RECEIPTS = f"""
select destination, segment, outcome, is_desired, is_confirmed, is_held, has_desired_fields, read_at
from activation.receipts where key in ({KEYS}) order by destination, segment, read_at
"""
PLACES = f"""
select destination, segment, is_member, is_in_doubt, changed_at
from activation.sync_snapshot where key in ({KEYS}) order by destination, segment
"""
MESSAGES = f"""
select occurred_at, message_action, channel, campaign from raw.messages
where list_contains($contacts::varchar[], contact_id) and message_action in ('sent', 'delivered', 'withheld')
order by occurred_at desc, message_action limit {SHOWN}
"""


def deliveries(
    connection: duckdb.DuckDBPyConnection, identifiers: Sequence[str], contacts: Sequence[str]
) -> dict[str, list[dict[str, Any]]]:
    """What left the house for somebody.

    Args:
        connection: the warehouse; reading is enough.
        identifiers: all that destinations may know them by: addresses, contact ids.
        contacts: their contact ids.

    Returns:
        `sent` (the last word on each operation of each run, the newest first), `receipts`, `standing` (what is
        confirmed at each destination) and `messages`.
    """
    by_key = {"identifiers": list(identifiers)}
    return {
        "sent": rows_of(connection, SENT, by_key),
        "receipts": rows_of(connection, RECEIPTS, by_key),
        "standing": rows_of(connection, PLACES, by_key),
        "messages": rows_of(connection, MESSAGES, {"contacts": list(contacts)}),
    }


def delivery_lines(found: dict[str, list[dict[str, Any]]]) -> Iterator[str]:
    """The same as lines to print."""
    yield ""
    yield "What was sent, and what the destinations say"
    if not found["sent"] and not found["receipts"]:
        yield "  no sync ever sent them anywhere"
    for row in found["sent"]:
        week = f", week ending {row['as_of']}" if row["as_of"] else ""
        segment = f" ({row['segment']})" if row["segment"] else ""
        where = f"{row['destination']}{segment}"
        yield f"  {row['recorded_at']:%Y-%m-%d %H:%M}  {row['operation']} at {where}: {_status(row)}{week}"
    for row in found["receipts"]:
        yield f"  {row['read_at']:%Y-%m-%d %H:%M}  receipt of {row['destination']} ({row['segment']}): {row['outcome']}"
    for row in found["standing"]:
        if row["is_in_doubt"]:
            yield f"  {row['destination']} ({row['segment']}): in doubt; the next sync settles it"
        elif row["is_member"]:
            yield f"  {row['destination']} ({row['segment']}): there, as confirmed on {row['changed_at']:%Y-%m-%d}"
    if found["messages"]:
        yield ""
        yield "Messages, as the tools that sent them tell"
    for row in found["messages"]:
        campaign = f", campaign {row['campaign']}" if row["campaign"] else ""
        channel = row["channel"] or "a channel not told"
        yield f"  {row['occurred_at']:%Y-%m-%d %H:%M}  {row['message_action']} over {channel}{campaign}"


def _status(row: dict[str, Any]) -> str:
    more = [f"HTTP {row['http_status']}" if row["http_status"] else "", row["code"] or "", row["message"] or ""]
    told = ", ".join(one for one in more if one)
    return f"{row['status']}{f' ({told})' if told else ''}"


def rows_of(connection: duckdb.DuckDBPyConnection, query: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows as dictionaries; none where a table is not there yet."""
    try:
        result = connection.execute(query, parameters)
    except duckdb.CatalogException:
        return []
    names = [column[0] for column in result.description or []]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

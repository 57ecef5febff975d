"""What the destination itself says it holds, against what was desired and what was confirmed, row by row.

Here belong the comparison, the published receipts and the correction of the snapshot: the read-back has the last word.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from activation.answers import first_row
from activation.sync.gated import GatedAudience
from activation.sync.payload import canonical_json, key_sql, text_literal
from activation.sync.protocol import (
    NOT_HELD,
    NOT_TOLD,
    Capabilities,
    FieldMapping,
    Held,
    MappedField,
    Mode,
    NullPolicy,
    Operation,
    Payload,
)
from activation.sync.state import SyncState

RECEIPT_TABLES = """
create table if not exists activation.receipts (
    run_id varchar not null, destination varchar not null, segment varchar not null, key varchar not null,
    is_desired boolean not null, is_confirmed boolean not null, is_held boolean, has_desired_fields boolean,
    outcome varchar not null, read_at timestamp not null
);
create table if not exists activation.receipt_summaries (
    run_id varchar not null, destination varchar not null, segment varchar not null, outcome varchar not null,
    people bigint not null, read_at timestamp not null
);
"""

OUTCOMES = {
    "as desired": "Desired, confirmed and held, with the fields that were sent where the destination tells them.",
    "missing": "Desired and not held.",
    "unexpected": "Held, not desired, and sent by us once: it will be removed.",
    "fields differ": "Held with other fields than desired.",
    "set aside": "Desired and not held, because the destination refused it; the reason is in sync_rejections.",
    "kept": "Held and not desired; the audience's mode removes nobody.",
    "not added": "Desired and not held; the audience's mode adds nobody.",
    "foreign": "Held, and never sent by us: somebody else put it there.",
    "gone": "Neither desired nor held; confirmed once.",
    "not asked": "The destination cannot be asked; what is desired was confirmed.",
    "unconfirmed": "The destination cannot be asked, and what is desired was not confirmed.",
}
"""What a receipt can say of one person in one segment."""

DIFFERENCES = frozenset({"missing", "unexpected", "fields differ", "unconfirmed"})
"""What makes a receipt fail."""


@dataclass(frozen=True)
class Receipt:
    """One segment's receipt: people by outcome."""

    segment: str
    people: Mapping[str, int]

    @property
    def differences(self) -> int:
        """People who are not as desired."""
        return sum(count for outcome, count in self.people.items() if outcome in DIFFERENCES)


def stage_held(state: SyncState, segment: str, pages: Iterator[Sequence[Held]], fields: FieldMapping) -> None:
    """Put what a destination holds in a segment into the temporary table `sync_held`."""
    connection = state.connection
    connection.execute(
        "create temp table if not exists sync_held "
        "(segment varchar, identifier varchar, vendor_id varchar, payload varchar)"
    )
    connection.execute("delete from sync_held where segment = ?", [segment])
    mapped = {field.name for field in fields.fields}

    def told(payload: Payload) -> str:
        # A structure is nothing that we wrote.
        return canonical_json(
            {name: value for name, value in payload.items() if name in mapped and not isinstance(value, (dict, list))}
        )

    for page in pages:
        frame = pl.DataFrame(  # noqa: F841 - read by DuckDB
            {
                "segment": [segment] * len(page),
                "identifier": [held.identifier for held in page],
                "vendor_id": [held.vendor_id for held in page],
                "payload": [None if held.payload is None else told(held.payload) for held in page],
            },
            schema={"segment": pl.String, "identifier": pl.String, "vendor_id": pl.String, "payload": pl.String},
        )
        connection.execute("insert into sync_held select * from frame")


def make_receipt(state: SyncState, audience: GatedAudience, capabilities: Capabilities) -> Receipt:
    """Compare one segment and leave the rows in the temporary table `sync_receipt`. `sync_desired` must be there."""
    connection = state.connection
    if not capabilities.reads_back:
        connection.execute(
            "create temp table if not exists sync_held "
            "(segment varchar, identifier varchar, vendor_id varchar, payload varchar)"
        )
    adds = audience.mode in (Mode.MIRROR, Mode.UPSERT, Mode.ADD_ONLY)
    removes = audience.mode in (Mode.MIRROR, Mode.REMOVE_ONLY)
    connection.execute(
        _COMPARE.format(
            held_key=key_sql(state.identifier_sql("identifier")),
            held_spelled=state.identifier_sql("identifier"),
            fields=_fields_sql(_told_fields(audience, capabilities), audience.mode),
        ),
        {
            "destination": state.destination,
            "segment": audience.segment,
            "reads_back": capabilities.reads_back,
            "adds": adds,
            "removes": removes,
        },
    )
    people = dict(connection.execute("select outcome, count(*) from sync_receipt group by outcome").fetchall())
    return Receipt(audience.segment, people)


def _told_fields(audience: GatedAudience, capabilities: Capabilities) -> list[MappedField]:
    return [field for field in audience.mapping.fields if field.name not in capabilities.never_told]


def _fields_sql(fields: Sequence[MappedField], mode: Mode) -> str:
    """SQL that says whether the held fields are the desired ones; a mode that refreshes nothing promises nothing."""
    if mode not in (Mode.MIRROR, Mode.UPSERT, Mode.UPDATE_ONLY):
        return "true"
    same = []
    for field in fields:
        path = text_literal(f'$."{field.name}"')
        wanted, found = f"(d.payload ->> {path})", f"nullif(h.payload ->> {path}, '')"
        # Vendors take blanks at the ends away. A `case`, so that only what differs is looked at more closely.
        is_same = (
            f"case when {wanted} is not distinct from {found} then true "
            f"else {_without_blank_ends(wanted)} is not distinct from {_without_blank_ends(found)} end"
        )
        same.append(f"({wanted} is null or {is_same})" if field.nulls is NullPolicy.SKIP else f"({is_same})")
    return " and ".join(same) or "true"


def _without_blank_ends(text: str) -> str:
    return f"nullif(regexp_replace({text}, '^[\\s\\pZ]+|[\\s\\pZ]+$', '', 'g'), '')"


def correct_snapshot(state: SyncState, run_id: str, audience: GatedAudience, capabilities: Capabilities) -> int:
    """Let the snapshot say what `sync_receipt` found, and return how many rows that changed.

    A row that is not as confirmed is in doubt again, with its identifier, so that the next diff sets it right. A row
    that was in doubt and of which the destination now says what it is, is so no longer, unless an open job holds it.
    Where a mapped field is never told, the others are enough for a row that the destination accepted in this run; what
    nobody answered is sent again.
    """
    connection, segment = state.connection, audience.segment
    now = state.now()
    tells_all = len(_told_fields(audience, capabilities)) == len(audience.mapping.fields)
    was_accepted = (
        "exists (select 1 from activation.sync_changelog as l where l.run_id = $run_id and l.segment = $segment "
        "and l.key = r.key and l.payload_hash = r.desired_hash and l.code = $not_told)"
    )
    # Not to be in a segment is not yet to be erased: only a confirmed erasure ends that doubt.
    with state.transaction():
        connection.execute(
            "create or replace temp table corrections as select r.*, s.key is not null as is_known, s.is_in_doubt, "
            "coalesce(s.is_member, false) as was_member, s.payload_hash, "
            "r.key in (select j.key from activation.sync_job_rows as j where j.destination = $destination) "
            "or ($can_delete and r.key in (select t.key from activation.sync_tombstones as t "
            "where t.destination = $destination) and coalesce(s.is_in_doubt, false)) as stays_in_doubt, "
            f"r.tells_fields and {'true' if tells_all else was_accepted} as tells_enough "
            "from sync_receipt as r left join activation.sync_snapshot as s "
            "on s.destination = $destination and s.segment = $segment and s.key = r.key "
            "where r.outcome != 'foreign' and (s.key is null or s.is_in_doubt or s.is_member != r.is_held "
            "or (r.is_held and not r.has_desired_fields))",
            {
                "destination": state.destination,
                "segment": segment,
                "can_delete": Operation.DELETE in capabilities.operations,
                **({} if tells_all else {"run_id": run_id, "not_told": NOT_TOLD}),
            },
        )
        connection.execute(
            "delete from activation.sync_rejections as o using sync_receipt as r where o.destination = ? "
            "and o.segment = ? and o.code = ? and o.key = r.key and r.is_held",
            [state.destination, segment, NOT_HELD],
        )
        connection.execute(
            # People with a tombstone are ours even where nothing else is known of them any more.
            "insert into activation.sync_snapshot select $destination, $segment, key, spelled, vendor_id, true, null, "
            "true, $now from corrections where not is_known and is_held",
            {"destination": state.destination, "segment": segment, "now": now},
        )
        connection.execute(
            "update activation.sync_snapshot as s set is_member = c.is_held, "
            "identifier = coalesce(c.spelled, s.identifier), vendor_id = coalesce(c.vendor_id, s.vendor_id), "
            "payload_hash = case when c.is_held and c.is_desired and c.tells_enough and c.has_desired_fields "
            "then c.desired_hash when c.is_held and c.was_member and c.has_desired_fields then s.payload_hash end, "
            "is_in_doubt = c.stays_in_doubt, changed_at = $now "
            "from corrections as c where c.is_known and s.destination = $destination and s.segment = $segment "
            "and s.key = c.key",
            {"destination": state.destination, "segment": segment, "now": now},
        )
        connection.execute(
            "update activation.sync_snapshot set identifier = null where destination = ? and segment = ? "
            "and not is_member and not is_in_doubt and identifier is not null",
            [state.destination, segment],
        )
    changed = first_row(connection, "select count(*) from corrections")
    connection.execute("drop table corrections")
    return int(changed[0]) if changed else 0


def publish_receipt(state: SyncState, run_id: str, segment: str) -> None:
    """Publish `sync_receipt`: the rows in place of the segment's last ones, the counts beside those of other runs."""
    now = state.now()
    with state.transaction() as connection:
        connection.execute(RECEIPT_TABLES)
        connection.execute(
            "delete from activation.receipts where destination = ? and segment = ?", [state.destination, segment]
        )
        connection.execute(
            "insert into activation.receipts select ?, ?, ?, key, is_desired, is_confirmed, is_held, "
            "has_desired_fields, outcome, ? from sync_receipt order by key",
            [run_id, state.destination, segment, now],
        )
        connection.execute(
            "delete from activation.receipt_summaries where run_id = ? and destination = ? and segment = ?",
            [run_id, state.destination, segment],
        )
        connection.execute(
            "insert into activation.receipt_summaries select ?, ?, ?, outcome, count(*), ? from sync_receipt "
            "group by outcome order by outcome",
            [run_id, state.destination, segment, now],
        )


_COMPARE = """
create or replace temp table sync_receipt as
with desired as (
    select * from sync_desired where segment = $segment and left_out is null
),
confirmed as (
    select * from activation.sync_snapshot where destination = $destination and segment = $segment
),
held as (
    select {held_key} as key, any_value({held_spelled}) as spelled, any_value(vendor_id) as vendor_id,
        any_value(payload) as payload
    from sync_held where segment = $segment and $reads_back
    group by 1
),
side_by_side as (
    select
        coalesce(d.key, c.key, h.key) as key,
        coalesce(h.spelled, d.identifier) as spelled,
        h.vendor_id,
        d.key is not null as is_desired,
        coalesce(c.is_member and not c.is_in_doubt, false) as is_confirmed,
        h.key is not null as is_held,
        h.payload is not null as tells_fields,
        h.payload is null or d.key is null or ({fields}) as has_desired_fields,
        d.payload_hash as desired_hash,
        c.key is not null or t.key is not null as is_ours,
        c.payload_hash is not distinct from d.payload_hash as is_confirmed_as_desired,
        r.key is not null as is_set_aside,
        s.key is not null or t.key is not null as is_unwanted
    from desired as d
    full outer join confirmed as c on c.key = d.key
    full outer join held as h on h.key = coalesce(d.key, c.key)
    left join activation.sync_tombstones as t
        on t.destination = $destination and t.key = coalesce(d.key, c.key, h.key)
    left join activation.sync_suppressions as s
        on s.destination = $destination and s.key = coalesce(d.key, c.key, h.key)
    left join (
        select key, any_value(payload_hash) as payload_hash from activation.sync_rejections
        where destination = $destination and segment = $segment and operation in ('join', 'upsert') group by key
    ) as r on r.key = d.key and r.payload_hash = d.payload_hash
)
select
    key, spelled, vendor_id, is_desired, is_confirmed, if($reads_back, is_held, null) as is_held, tells_fields,
    has_desired_fields, desired_hash,
    case
        when not $reads_back and is_desired and is_set_aside then 'set aside'
        when not $reads_back and is_desired and is_confirmed then 'not asked'
        when not $reads_back and is_desired and not $adds then 'not added'
        when not $reads_back and is_desired then 'unconfirmed'
        when not $reads_back and is_confirmed and ($removes or is_unwanted) then 'unconfirmed'
        when not $reads_back and is_confirmed then 'kept'
        when not $reads_back then 'gone'
        when is_desired and is_held and has_desired_fields then 'as desired'
        when is_desired and is_set_aside then 'set aside'
        when is_desired and is_held then 'fields differ'
        when is_desired and $adds then 'missing'
        when is_desired then 'not added'
        when is_held and not is_ours then 'foreign'
        when is_held and ($removes or is_unwanted) then 'unexpected'
        when is_held then 'kept'
        else 'gone'
    end as outcome
from side_by_side
"""

"""What must be done: desired minus confirmed, per segment and key, in DuckDB and set-wise.

Here belongs the comparison and what it refuses before any call. It leaves two temporary tables: `sync_desired`
(everybody who shall be there, after suppressions and tombstones) and `sync_plan` (one numbered row per operation, in
the order they are carried out). Whether the plan may be carried out is `guards`'s question.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil

import duckdb

from activation.answers import first_row
from activation.sync.gated import GatedAudience, NotGated, relation_fingerprint, source_columns
from activation.sync.payload import key_sql, payload_hash_sql, payload_sql, quoted, text_literal
from activation.sync.protocol import Capabilities, Limits, Mode, NullPolicy, Operation
from activation.sync.state import SyncState

ADDS = frozenset({Mode.MIRROR, Mode.UPSERT, Mode.ADD_ONLY})
REFRESHES = frozenset({Mode.MIRROR, Mode.UPSERT, Mode.UPDATE_ONLY})
REMOVES = frozenset({Mode.MIRROR, Mode.REMOVE_ONLY})


ERASED_KEYS = "select distinct key from activation.sync_tombstones where destination in ($destination, '*')"
"""Who is erased for the destination `$destination`, or for all."""


class UnusableAudience(Exception):
    """An audience that cannot be compared: the message says why and holds nobody's data."""


@dataclass(frozen=True)
class SegmentPlan:
    """What a sync will do to one segment, in rows.

    Attributes:
        segment: The segment.
        as_of: Its week, ISO 8601.
        mode: Its mode.
        desired: People who shall be there.
        suppressed: People the gate approved and the destination suppresses.
        erased: People the gate approved and who have a tombstone.
        set_aside: Operations not planned, because the destination refused the same before.
        members_before: People confirmed there.
        joins: People to be added, among them those in doubt.
        upserts: Members whose fields changed.
        leaves: People to be removed.
        leaves_suppressed: Of these, people who are suppressed or erased.
    """

    segment: str
    as_of: str
    mode: Mode
    desired: int
    suppressed: int
    erased: int
    set_aside: int
    members_before: int
    joins: int
    upserts: int
    leaves: int
    leaves_suppressed: int


@dataclass(frozen=True)
class Plan:
    """What a sync will do.

    Attributes:
        segments: Per segment.
        deletes: People to be erased at the destination.
        calls: Calls by name of the vendor's operation, estimated.
        minutes: How long the rate limits make them take, at least.
        fields: What leaves the house beside the identifier, by segment.
    """

    segments: tuple[SegmentPlan, ...]
    deletes: int
    calls: dict[str, int]
    minutes: float
    fields: dict[str, tuple[str, ...]]

    @property
    def operations(self) -> int:
        """Rows to be sent."""
        return self.deletes + sum(one.joins + one.upserts + one.leaves for one in self.segments)

    def as_document(self) -> dict[str, object]:
        """Return the plan as it is stored and shown."""
        return {
            "rows": self.operations,
            "deletes": self.deletes,
            "calls": self.calls,
            "minutes": round(self.minutes, 1),
            "fields": {segment: list(fields) for segment, fields in self.fields.items()},
            "segments": {
                one.segment: {
                    name: value for name, value in vars(one).items() if name not in ("segment", "as_of", "mode")
                }
                for one in self.segments
            },
        }


def check_audiences(audiences: Sequence[GatedAudience], capabilities: Capabilities) -> None:
    """Refuse audiences that cannot go to one destination together.

    Raises:
        UnusableAudience: None was given, two have one name, they fill one field from two sources, they clear fields
            where it is not known how, or people were approved for another purpose or channel than the destination's.
    """
    if not audiences:
        raise UnusableAudience("There is no audience to sync")
    names = [audience.segment for audience in audiences]
    if len(set(names)) != len(names):
        raise UnusableAudience("Two audiences have one name")
    filled: dict[str, tuple[str, object]] = {}
    for audience in audiences:
        if capabilities.terms not in (None, (audience.purpose, audience.channel)):
            purpose, channel = capabilities.terms  # type: ignore[misc]
            raise UnusableAudience(
                f"The people of {audience.segment} were approved for {audience.purpose} over {audience.channel}; this "
                f"destination takes those approved for {purpose} over {channel} only"
            )
        for field in audience.mapping.fields:
            if field.nulls is NullPolicy.CLEAR and not capabilities.clears_fields:
                raise UnusableAudience(
                    f"The field {field.name} of {audience.segment} is to be cleared where there is no value, and it "
                    "is not known how this destination clears a field; use `nulls: skip`"
                )
            earlier = filled.setdefault(field.name, (audience.segment, field))
            if earlier[1] != field:
                raise UnusableAudience(
                    f"The field {field.name} is filled in two ways, by {earlier[0]} and by {audience.segment}: they "
                    "would overwrite each other"
                )


def stage_desired(state: SyncState, audiences: Sequence[GatedAudience]) -> None:
    """Fill `sync_desired` from what the gate approved.

    Raises:
        NotGated: A relation is not what was sealed.
        UnusableAudience: An identifier is missing or there twice, or a value does not have its field's type.
    """
    connection = state.connection
    connection.execute(
        "create or replace temp table sync_approved "
        "(segment varchar, key varchar, identifier varchar, payload varchar, payload_hash varchar)"
    )
    for audience in audiences:
        columns = source_columns(audience.mapping)
        relation = ".".join(quoted(part) for part in audience.relation.split("."))
        selected = ", ".join(quoted(column) for column in columns)
        # Copied first and held to its seal then: what is compared and sent is what was sealed, whatever happens to
        # the table.
        try:
            connection.execute(f"create or replace temp table sync_relation as select {selected} from {relation}")
        except (duckdb.CatalogException, duckdb.BinderException):
            raise NotGated(f"The relation of {audience.segment} is not there any more") from None
        if relation_fingerprint(connection, "sync_relation", columns) != audience.fingerprint:
            raise NotGated(f"The relation of {audience.segment} changed after it passed the gate")
        _check_identifiers(state, audience.segment)
        types = {name: str(kind) for name, kind, *_ in connection.execute("describe sync_relation").fetchall()}
        payload = payload_sql(audience.mapping, types)
        try:
            connection.execute(
                "insert into sync_approved "
                f"select {text_literal(audience.segment)}, {key_sql('spelled')}, spelled, written, "
                f"{payload_hash_sql(audience.mapping, 'written')} from (select "
                f"{state.identifier_sql('identifier')} as spelled, {payload} as written from sync_relation)"
            )
        except duckdb.ConversionException:
            # DuckDB would quote the value that does not fit.
            raise UnusableAudience(
                f"A value of {audience.segment} does not have the type its field is mapped to"
            ) from None
        connection.execute("drop table sync_relation")
    # Suppressions and tombstones win over everything the gate said.
    connection.execute(
        "create or replace temp table sync_desired as select a.*, "
        "case when t.key is not null then 'erased' when s.key is not null then 'suppressed' end as left_out "
        "from sync_approved as a "
        "left join activation.sync_suppressions as s on s.destination = $destination and s.key = a.key "
        f"left join ({ERASED_KEYS}) as t on t.key = a.key",
        {"destination": state.destination},
    )
    connection.execute("drop table sync_approved")


def _check_identifiers(state: SyncState, segment: str) -> None:
    spelled = state.identifier_sql("identifier")
    found = first_row(
        state.connection,
        f"select count(*) filter (identifier is null or {spelled} = ''), "
        f"count({spelled}) - count(distinct {spelled}) from sync_relation",
    )
    missing, twice = found or (0, 0)
    if missing:
        raise UnusableAudience(f"{missing} people of {segment} have no identifier")
    if twice:
        raise UnusableAudience(f"{twice} identifiers of {segment} stand for more than one person")


def make_plan(
    state: SyncState,
    audiences: Sequence[GatedAudience],
    capabilities: Capabilities,
    limits: Limits,
    full: bool = False,
    delivers_weekly: bool = True,
) -> Plan:
    """Fill `sync_plan` with what must be done and say how much it is. `stage_desired` comes before.

    Args:
        state: The destination's.
        audiences: The same as were staged.
        capabilities: The destination's; decide between `delete` and `leave` for the erased.
        limits: For the estimate.
        full: Take no payload for known, so that every member is sent again. Who left is found all the same.
        delivers_weekly: A destination that takes whole lists gets one for a new week even where nothing changed. Not
            when a run compares again.

    Raises:
        UnusableAudience: The plan needs an operation the destination does not have.
    """
    connection = state.connection
    segments = {audience.segment: audience for audience in audiences}
    modes = ", ".join(f"({text_literal(name)}, {text_literal(audience.mode)})" for name, audience in segments.items())
    whole = [
        name
        for name, audience in segments.items()
        if delivers_weekly and capabilities.whole and state.last_delivered_week(name) != audience.as_of
    ]
    connection.execute(
        _PLAN.format(
            modes=modes,
            adds=_list(ADDS),
            refreshes=_list(REFRESHES),
            removes=_list(REMOVES),
            erased_keys=ERASED_KEYS,
            whole_now=", ".join(text_literal(name) for name in whole) or "null",
        ),
        {
            "destination": state.destination,
            "full": full,
            "can_delete": Operation.DELETE in capabilities.operations,
            "is_whole": capabilities.whole,
        },
    )
    counted = {
        (segment, operation, is_set_aside): (rows, unwanted)
        for segment, operation, is_set_aside, rows, unwanted in connection.execute(
            "select segment, operation, is_set_aside, count(*), count(*) filter (is_unwanted) "
            "from sync_plan group by all"
        ).fetchall()
    }
    for segment, operation, is_set_aside in counted:
        if not is_set_aside and Operation(operation) not in capabilities.operations:
            raise UnusableAudience(
                f"{segment or 'Erasure'} needs the operation {operation}, which {state.destination} does not have"
            )
    return _plan(state, segments, counted, limits)


def _plan(
    state: SyncState,
    segments: dict[str, GatedAudience],
    counted: dict[tuple[str, str, bool], tuple[int, int]],
    limits: Limits,
) -> Plan:
    connection = state.connection
    desired = {
        segment: (wanted, suppressed, erased)
        for segment, wanted, suppressed, erased in connection.execute(
            "select segment, count(*) filter (left_out is null), count(*) filter (left_out = 'suppressed'), "
            "count(*) filter (left_out = 'erased') from sync_desired group by segment"
        ).fetchall()
    }
    members = dict(
        connection.execute(
            "select segment, count(*) from activation.sync_snapshot "
            "where destination = ? and is_member group by segment",
            [state.destination],
        ).fetchall()
    )

    def rows(segment: str, operation: Operation) -> int:
        return counted.get((segment, operation, False), (0, 0))[0]

    plans = tuple(
        SegmentPlan(
            segment=name,
            as_of=audience.as_of.isoformat(),
            mode=audience.mode,
            desired=desired.get(name, (0, 0, 0))[0],
            suppressed=desired.get(name, (0, 0, 0))[1],
            erased=desired.get(name, (0, 0, 0))[2],
            set_aside=sum(count for (segment, _, aside), (count, _) in counted.items() if aside and segment == name),
            members_before=members.get(name, 0),
            joins=rows(name, Operation.JOIN),
            upserts=rows(name, Operation.UPSERT),
            leaves=rows(name, Operation.LEAVE),
            leaves_suppressed=counted.get((name, Operation.LEAVE, False), (0, 0))[1],
        )
        for name, audience in segments.items()
    )
    calls: dict[str, int] = {}
    for (_, operation, is_set_aside), (count, _) in counted.items():
        if not is_set_aside:
            batches = ceil(count / limits.batch_rows.get(Operation(operation), 1))
            for name, each in limits.calls_per_batch.get(Operation(operation), {"*": 1}).items():
                calls[name] = calls.get(name, 0) + batches * each
    seconds = sum(
        max((((count - 1) // window.calls) * window.seconds for window in limits.windows.get(name, ())), default=0.0)
        for name, count in calls.items()
    )
    return Plan(
        segments=plans,
        deletes=sum(count for (_, operation, _), (count, _) in counted.items() if operation == Operation.DELETE),
        calls=calls,
        minutes=seconds / 60,
        fields={name: tuple(field.name for field in audience.mapping.fields) for name, audience in segments.items()},
    )


@dataclass(frozen=True)
class PlannedRow:
    """One operation of `sync_plan`, payload as canonical JSON."""

    operation: Operation
    segment: str
    key: str
    identifier: str
    payload: str
    payload_hash: str
    vendor_id: str | None


def planned_rows(state: SyncState, at_a_time: int) -> Iterator[list[PlannedRow]]:
    """Read the plan in its order, a part at a time; other statements may run between two parts."""
    first = 0
    while True:
        found = state.connection.execute(
            "select operation, segment, key, identifier, payload, payload_hash, vendor_id, position from sync_plan "
            "where position > ? and not is_set_aside order by position limit ?",
            [first, at_a_time],
        ).fetchall()
        if not found:
            return
        first = found[-1][-1]
        yield [
            PlannedRow(Operation(operation), segment, key, identifier, payload or "{}", payload_hash or "", vendor_id)
            for operation, segment, key, identifier, payload, payload_hash, vendor_id, _ in found
        ]


def _list(modes: frozenset[Mode]) -> str:
    return ", ".join(text_literal(mode) for mode in sorted(modes))


_PLAN = """
create or replace temp table sync_plan as
with modes (segment, mode) as (values {modes}),
confirmed as (
    select s.*
    from activation.sync_snapshot as s
    inner join modes as m on m.segment = s.segment
    where s.destination = $destination
),
erased_elsewhere as (
    select s.key, any_value(s.identifier) as identifier, any_value(s.vendor_id) as vendor_id
    from activation.sync_snapshot as s
    inner join ({erased_keys}) as t on t.key = s.key
    where s.destination = $destination and $can_delete and s.identifier is not null and (s.is_member or s.is_in_doubt)
    group by s.key
),
compared as (
    select
        coalesce(d.segment, c.segment) as segment,
        coalesce(d.key, c.key) as key,
        coalesce(d.identifier, c.identifier) as identifier,
        c.vendor_id,
        d.payload,
        d.payload_hash,
        d.key is not null and d.left_out is null as is_desired,
        coalesce(c.is_member, false) as is_member,
        coalesce(c.is_in_doubt, false) as is_in_doubt,
        c.payload_hash is distinct from d.payload_hash or $full as is_changed
    from sync_desired as d
    full outer join confirmed as c on c.segment = d.segment and c.key = d.key
),
with_what_speaks_against as (
    select
        c.*,
        m.mode,
        t.key is not null as is_erased,
        t.key is not null or s.key is not null as is_unwanted
    from compared as c
    inner join modes as m on m.segment = c.segment
    left join activation.sync_suppressions as s on s.destination = $destination and s.key = c.key
    left join ({erased_keys}) as t on t.key = c.key
),
decided as (
    select
        *,
        case
            when is_desired and (not is_member or is_in_doubt) and mode in ({adds}) then 'join'
            when is_desired and is_member and (is_changed or is_in_doubt) and mode in ({refreshes}) then 'upsert'
            when not is_desired and (is_member or is_in_doubt) and not (is_erased and $can_delete)
                and (mode in ({removes}) or is_unwanted) then 'leave'
        end as difference
    from with_what_speaks_against
),
touched as (
    select segment from decided group by segment having count(difference) > 0
),
operations as (
    select
        segment, key, identifier, vendor_id, is_unwanted,
        case when $is_whole and is_desired and mode in ({adds})
            and (segment in (select segment from touched) or segment in ({whole_now}))
            then coalesce(difference, 'upsert') else difference end as operation,
        payload, payload_hash
    from decided
    union all
    select '' as segment, key, identifier, vendor_id, true as is_unwanted, 'delete' as operation, null, null
    from erased_elsewhere
),
with_refusals as (
    select
        o.* replace (if(o.operation in ('leave', 'delete'), null, o.payload) as payload,
            if(o.operation in ('leave', 'delete'), '', o.payload_hash) as payload_hash),
        r.key is not null as is_set_aside
    from operations as o
    left join activation.sync_rejections as r
        on r.destination = $destination and r.segment = o.segment and r.key = o.key
        and o.operation in ('join', 'upsert') and r.operation in ('join', 'upsert') and r.payload_hash = o.payload_hash
    where o.operation is not null
)
select
    row_number() over (
        order by case operation when 'leave' then 1 when 'delete' then 2 when 'join' then 3 else 4 end, segment, key
    ) as position,
    *
from with_refusals
order by position
"""

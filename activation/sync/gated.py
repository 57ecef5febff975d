"""What may go out at all: audiences the gate sealed, and batches the engine made of them.

Here belong the two sealed types and their check. Who passes the gate is decided in `activation/gate.py`, the only
module that may call `seal_audience`; `seal_batch` is the engine's alone. A test reads every import of the project to
hold that. Anything that was not sealed in this process (built by hand, copied, unpickled, subclassed) is refused.
"""

import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import NoReturn

import duckdb

from activation.answers import first_row
from activation.sync.payload import quoted
from activation.sync.protocol import FieldMapping, Mode, Operation, Row

_TOKEN = object()
_sealed: "weakref.WeakValueDictionary[int, object]" = weakref.WeakValueDictionary()


class NotGated(Exception):
    """Something that did not pass the gate was about to leave."""


@dataclass(frozen=True)
class GateDecision:
    """What the gate counted.

    Attributes:
        considered: People who were asked for.
        approved: People in the relation.
        refused: All others, by reason.
    """

    considered: int
    approved: int
    refused: Mapping[str, int] = field(default_factory=dict)


class _Sealed:
    """A type without a public constructor, a copy or a pickle."""

    __slots__ = ("__weakref__",)

    def __init_subclass__(cls, **_: object) -> None:
        if cls.__module__ != __name__:
            raise TypeError("A sealed type has no subclasses")

    def __new__(cls, *arguments: object, **_: object) -> "_Sealed":
        if not arguments or arguments[0] is not _TOKEN:
            raise NotGated(f"{cls.__name__} is made by the gate alone")
        return super().__new__(cls)

    def __setattr__(self, name: str, value: object) -> None:
        if _sealed.get(id(self)) is self:
            raise AttributeError("What is sealed does not change")
        object.__setattr__(self, name, value)

    def __copy__(self) -> NoReturn:
        raise NotGated("What is sealed is not copied")

    def __deepcopy__(self, _: object) -> NoReturn:
        raise NotGated("What is sealed is not copied")

    def __reduce_ex__(self, _: object) -> NoReturn:
        raise NotGated("What is sealed is not pickled")


class GatedAudience(_Sealed):
    """One audience for one destination: everybody in it may be contacted for this purpose over this channel.

    Attributes:
        destination: The destination's name.
        segment: The audience's name, which is the list's, label's or file's there.
        mode: Which operations a sync may plan.
        purpose: What people consented to.
        channel: Over which channel.
        as_of: The exclusive end of the week it is of.
        relation: A table or view with a row per person: `identifier`, and the mapping's source columns.
        mapping: The fields that go out. No other column does.
        decision: What the gate counted.
        fingerprint: Of the relation when it was sealed.
    """

    __slots__ = (
        "as_of",
        "channel",
        "decision",
        "destination",
        "fingerprint",
        "mapping",
        "mode",
        "purpose",
        "relation",
        "segment",
    )

    def __init__(  # noqa: D107 - nobody calls it
        self,
        _token: object,
        *,
        destination: str,
        segment: str,
        mode: Mode,
        purpose: str,
        channel: str,
        as_of: date,
        relation: str,
        mapping: FieldMapping,
        decision: GateDecision,
        fingerprint: tuple[int, int],
    ) -> None:
        self.destination = destination
        self.segment = segment
        self.mode = mode
        self.purpose = purpose
        self.channel = channel
        self.as_of = as_of
        self.relation = relation
        self.mapping = mapping
        self.decision = decision
        self.fingerprint = fingerprint


class Batch(_Sealed):
    """Rows of one operation for one segment, as a connector may send them.

    Attributes:
        id: Of the batch, unique in the run; part of every changelog row.
        operation: What is done.
        segment: In which segment; empty for deletions.
        rows: One per person, no person twice.
    """

    __slots__ = ("id", "operation", "rows", "segment")

    def __init__(  # noqa: D107 - nobody calls it
        self, _token: object, *, id: str, operation: Operation, segment: str, rows: tuple[Row, ...]
    ) -> None:
        self.id = id
        self.operation = operation
        self.segment = segment
        self.rows = rows


def seal_audience(
    connection: duckdb.DuckDBPyConnection,
    *,
    destination: str,
    segment: str,
    mode: Mode,
    purpose: str,
    channel: str,
    as_of: date,
    relation: str,
    mapping: FieldMapping,
    decision: GateDecision,
) -> GatedAudience:
    """Seal what the gate approved. For `activation/gate.py` alone.

    Args:
        connection: Where the relation is.
        destination: Its name, as all that follow an attribute of `GatedAudience`.
        segment: Not empty.
        mode: Which operations a sync may plan.
        purpose: Not empty.
        channel: Not empty.
        as_of: The exclusive end of the week.
        relation: Its schema and name, unquoted: `activation.approved_people`.
        mapping: Its sources are columns of the relation.
        decision: Its counts add up, and `approved` is the relation's number of rows.

    Raises:
        NotGated: Something of that is not so.
    """
    for name, value in (("destination", destination), ("segment", segment), ("purpose", purpose), ("channel", channel)):
        if not value.strip():
            raise NotGated(f"An audience without a {name} cannot be sealed")
    if decision.considered != decision.approved + sum(decision.refused.values()):
        raise NotGated("The gate's counts do not add up: somebody was neither approved nor refused")
    fingerprint = relation_fingerprint(connection, relation, source_columns(mapping))
    if fingerprint[0] != decision.approved:
        raise NotGated(f"The gate approved {decision.approved} people and the relation holds {fingerprint[0]}")
    audience = GatedAudience(
        _TOKEN,
        destination=destination,
        segment=segment,
        mode=mode,
        purpose=purpose,
        channel=channel,
        as_of=as_of,
        relation=relation,
        mapping=mapping,
        decision=decision,
        fingerprint=fingerprint,
    )
    _sealed[id(audience)] = audience
    return audience


def require_gated(audience: object, destination: str) -> GatedAudience:
    """Return the audience if the gate sealed it for this destination.

    Raises:
        NotGated: It did not.
    """
    if type(audience) is not GatedAudience or _sealed.get(id(audience)) is not audience:
        raise NotGated("This audience did not pass the gate")
    if audience.destination != destination:
        raise NotGated(f"This audience was approved for {audience.destination}, not for {destination}")
    return audience


def seal_batch(batch_id: str, operation: Operation, segment: str, rows: Sequence[Row]) -> Batch:
    """Seal rows of a plan that was made of gated audiences. For the engine alone."""
    batch = Batch(_TOKEN, id=batch_id, operation=operation, segment=segment, rows=tuple(rows))
    _sealed[id(batch)] = batch
    return batch


def require_batch(batch: object) -> Batch:
    """Return the batch if the engine made it; the first line of every connector's `apply`.

    Raises:
        NotGated: It did not.
    """
    if type(batch) is not Batch or _sealed.get(id(batch)) is not batch:
        raise NotGated("This batch does not come from a gated audience")
    return batch


def source_columns(mapping: FieldMapping) -> tuple[str, ...]:
    """Return the columns of a relation that a sync reads: the identifier and the mapping's sources."""
    return ("identifier", *sorted({field.source for field in mapping.fields} - {"identifier"}))


def relation_fingerprint(
    connection: duckdb.DuckDBPyConnection, relation: str, columns: Sequence[str]
) -> tuple[int, int]:
    """Return a relation's number of rows and the sum of their hashes, which no order changes.

    Raises:
        NotGated: The relation or a column of it is not there.
    """
    table = ".".join(quoted(part) for part in relation.split("."))
    row = ", ".join(quoted(column) for column in columns)
    try:
        found = first_row(connection, f"select count(*), coalesce(sum(hash(row({row}))::hugeint), 0) from {table}")
    except duckdb.Error:
        # DuckDB would quote the statement and, for a view, values of it.
        raise NotGated(f"{relation} is not there, or lacks one of {', '.join(columns)}") from None
    assert found is not None  # noqa: S101 - an aggregate has a row
    return int(found[0]), int(found[1])

"""What a destination is to the engine: what it can do, what it is given, what it answers.

Here belongs the vocabulary that engine and connectors share. How a vendor is spoken to belongs to its connector, what
is sent when to `engine`. A connector raises the errors below and nothing else; whatever else comes out of it ends the
run.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from activation.sync.gated import Batch
    from activation.sync.rates import Pacer


class Operation(StrEnum):
    """What is done to one person at a destination. All of them are idempotent."""

    JOIN = "join"
    """Be in the segment, with this payload."""
    UPSERT = "upsert"
    """Have this payload; in the segment already."""
    LEAVE = "leave"
    """Be in the segment no longer; the person's other memberships and fields stay."""
    DELETE = "delete"
    """Be erased at the destination altogether."""


class Mode(StrEnum):
    """Which operations a sync may plan. Suppressed and erased people leave in every mode."""

    MIRROR = "mirror"
    UPSERT = "upsert"
    ADD_ONLY = "add-only"
    REMOVE_ONLY = "remove-only"
    UPDATE_ONLY = "update-only"


class Outcome(StrEnum):
    """What became of one row of a batch."""

    CONFIRMED = "confirmed"
    """The vendor says it is done."""
    RETRYABLE = "retryable"
    """Not done, or nobody knows; the same row may succeed later."""
    PERMANENT = "permanent"
    """Refused for what the row is; it is set aside until its payload or mapping changes."""


class NullPolicy(StrEnum):
    """What an absent value does to the destination's field."""

    SKIP = "skip"
    CLEAR = "clear"


class FieldType(StrEnum):
    """The type a mapped field has at the destination."""

    TEXT = "text"
    NUMBER = "number"
    BOOLEAN = "boolean"
    DATE = "date"
    TIMESTAMP = "timestamp"


NOT_TOLD = "not_told"
"""The code of a row that was accepted and of which the vendor never says what became of it; the read-back decides."""

NOT_HELD = "not_held"
"""The code of a row that was accepted in every pass of a run and is held after none."""

Scalar = str | int | float | bool | None
Payload = Mapping[str, Scalar]
"""Mapped fields by their name at the destination. Dates and timestamps are ISO 8601 text, the latter in UTC."""


@dataclass(frozen=True)
class MappedField:
    """One attribute that goes out.

    Attributes:
        name: The field's name at the destination.
        source: The column of the audience's relation it is read from.
        type: Its type at the destination; the column is cast to it.
        nulls: Whether an absent value leaves the field as it is or clears it.
    """

    name: str
    source: str
    type: FieldType = FieldType.TEXT
    nulls: NullPolicy = NullPolicy.SKIP

    def __post_init__(self) -> None:
        """Refuse names that no vendor takes and that could not be quoted in a JSON path."""
        if not self.name or any(character in '"\\' or character < " " for character in self.name):
            raise ValueError(f"{self.name!r} cannot be a field's name")


@dataclass(frozen=True)
class FieldMapping:
    """All attributes that go out, under a version that is part of every payload's hash."""

    version: str
    fields: tuple[MappedField, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a field that is mapped twice."""
        names = [field.name for field in self.fields]
        if len(set(names)) != len(names):
            raise ValueError("A field is mapped twice")


@dataclass(frozen=True)
class Window:
    """At most `calls` within any `seconds`."""

    calls: int
    seconds: float


@dataclass(frozen=True)
class Limits:
    """How fast and in what pieces a destination takes work.

    Attributes:
        batch_rows: Rows in one `apply`, by operation; an operation that is absent takes one.
        calls_per_batch: Calls one `apply` of full size makes, by operation and name of the vendor's operation, for the
            plan's estimate; one of `"*"` where absent.
        batch_bytes: Payload bytes in one `apply`, at most.
        windows: Rate windows by name of the vendor's operation; all of an operation's windows hold at once.
            `"*"` is for operations that are not named.
        concurrency: Calls under way at the same time.
        poll_seconds: Time between two polls of one job.
        settle_seconds: Time after which the vendor's reads show its writes; a receipt that differs is read again then.
    """

    batch_rows: Mapping[Operation, int]
    windows: Mapping[str, tuple[Window, ...]]
    calls_per_batch: Mapping[Operation, Mapping[str, int]] = field(default_factory=dict)
    batch_bytes: int = 4_000_000
    concurrency: int = 1
    poll_seconds: float = 2.0
    settle_seconds: float = 0.0


@dataclass(frozen=True)
class Capabilities:
    """What a destination can do.

    Attributes:
        operations: The operations it has. A plan that needs another is refused before any call.
        reads_back: Whether it can be asked for the members of a segment.
        never_told: Mapped fields that it takes and never tells back, such as a time of consent; a read-back compares
            all others.
        pulls_suppressions: Whether it can be asked whom it suppresses.
        whole: Whether each delivery replaces the one before. Then all desired rows are sent for every new week and
            whenever there is a difference.
        is_case_sensitive: Whether identifiers that differ in letter case are two people. Where not, as with addresses,
            identifiers are lower-cased before anything else.
        clears_fields: Whether it is known how a field is emptied. Where not, `NullPolicy.CLEAR` is refused.
        terms: Purpose and channel for which people have to be approved to go there; any where none are given.
    """

    operations: frozenset[Operation]
    reads_back: bool = True
    never_told: frozenset[str] = frozenset()
    pulls_suppressions: bool = True
    whole: bool = False
    is_case_sensitive: bool = False
    clears_fields: bool = True
    terms: tuple[str, str] | None = None


@dataclass(frozen=True)
class Row:
    """One operation of a batch.

    Attributes:
        key: SHA-256 of the identifier, in hexadecimal digits.
        identifier: The person as the destination spells them, an e-mail address as a rule.
        payload: Mapped fields; empty for leaves and deletions.
        payload_hash: Of payload and mapping version; empty for leaves and deletions.
        vendor_id: The vendor's own id, where an earlier answer told it.
    """

    key: str
    identifier: str = field(repr=False)
    payload: Payload = field(default_factory=dict, repr=False)
    payload_hash: str = ""
    vendor_id: str | None = None


@dataclass(frozen=True)
class RowResult:
    """What became of one row, named by its key or, where only the vendor's answer is there, by its identifier.

    `message` is redacted by whoever stores it.
    """

    outcome: Outcome
    key: str = ""
    identifier: str = field(default="", repr=False)
    status: int | None = None
    code: str = ""
    message: str = field(default="", repr=False)
    vendor_id: str | None = None


@dataclass(frozen=True)
class Job:
    """Work a vendor accepted and does later.

    Attributes:
        id: The vendor's id. It is persisted before the first poll and is all that is left after a crash.
        operation: What the job does.
        segment: For which segment.
    """

    id: str
    operation: Operation
    segment: str


@dataclass(frozen=True)
class Applied:
    """The answer to a batch: results for rows that are decided, and a job for all the others.

    A row that has no result and no job counts as retryable: silence confirms nothing.
    """

    results: Sequence[RowResult] = ()
    job: Job | None = None


@dataclass(frozen=True)
class JobState:
    """The answer to a poll.

    Attributes:
        finished: Whether the vendor will do nothing more for this job.
        lost: The vendor does not know it, or it failed as a whole: no row is confirmed, all may be sent again.
        exceptions: Rows that were not done, when it is finished. All others of the job are confirmed.
        unattributed: Rows that were not done and of which the vendor does not say which. Then none is confirmed by this
            answer; the read-back decides.
    """

    finished: bool
    lost: bool = False
    exceptions: Sequence[RowResult] = ()
    unattributed: int = 0


@dataclass(frozen=True)
class Held:
    """One person the destination says it holds in a segment; payload only where it tells mapped fields."""

    identifier: str = field(repr=False)
    vendor_id: str | None = None
    payload: Payload | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Suppression:
    """One person the destination will not write to."""

    identifier: str = field(repr=False)
    reason: str
    since: datetime | None = None


@dataclass(frozen=True)
class SegmentShape:
    """One segment as a destination must be able to hold it."""

    segment: str
    fields: tuple[MappedField, ...]


@dataclass(frozen=True)
class PlanShape:
    """What a sync needs at the destination before rows come: segments and typed fields.

    Attributes:
        run_id: The run.
        as_of: The exclusive end of the week the audiences are of, ISO 8601.
        segments: All segments of this sync.
    """

    run_id: str
    as_of: str
    segments: tuple[SegmentShape, ...]


@dataclass(frozen=True)
class Drift:
    """Something at the destination that is not as the mapping says, such as a field of another type."""

    field: str
    expected: str
    found: str


class DestinationError(Exception):
    """A destination did not do what was asked. The message is safe to store: connectors redact it."""

    def __init__(self, message: str, status: int | None = None, code: str = "") -> None:
        """Store what the vendor said: its HTTP status and its own code, where there are any."""
        super().__init__(message)
        self.status = status
        self.code = code


class Retryable(DestinationError):
    """The same call may succeed later: 408, 425, 429, 5xx, no answer.

    Attributes:
        retry_after: Seconds the vendor asks to wait, where it does.
        may_have_happened: False only where the vendor surely did nothing, as with 429.
    """

    def __init__(
        self,
        message: str,
        status: int | None = None,
        code: str = "",
        retry_after: float | None = None,
        may_have_happened: bool = True,
    ) -> None:
        """Store what is known of when to try again."""
        super().__init__(message, status, code)
        self.retry_after = retry_after
        self.may_have_happened = may_have_happened


class Refused(DestinationError):
    """The batch as it is will never be taken: 400, 413, 422. The engine bisects it."""


class Fatal(DestinationError):
    """Not about rows: credentials, a list or field that is not there. The run ends."""


class OutOfTime(DestinationError):
    """Retried until the deadline. The run ends incomplete and the next one goes on."""


class Destination(Protocol):
    """One connector, for one account at one vendor.

    Methods are called from several threads, `limits.concurrency` at most, each with a batch of its own. Every call over
    the wire goes through the `Pacer` given to `connect`.
    """

    name: str
    capabilities: Capabilities
    limits: Limits

    def connect(self, pacer: "Pacer") -> None:
        """Take the pacer of this run; called once, before anything else."""

    def prepare(self, shape: PlanShape) -> Sequence[Drift]:
        """Create what is missing (segments, fields) and report what is otherwise than mapped. Idempotent."""

    def pull_suppressions(self) -> Iterator[Sequence[Suppression]]:
        """Everybody the destination suppresses or who unsubscribed there, in pages."""

    def apply(self, batch: "Batch") -> Applied:
        """Carry out one sealed batch.

        Raises:
            Refused: The batch as a whole; the engine bisects it.
            Fatal: Nothing more can be sent.
            OutOfTime: The pacer's deadline passed.
        """

    def poll(self, job: Job) -> JobState:
        """Ask once how a job stands. Must work in a process that did not start it."""

    def commit(self, shape: PlanShape) -> None:
        """Called when all batches are applied and before jobs are polled; file drops become visible here."""

    def read_back(self, segment: str) -> Iterator[Sequence[Held]]:
        """Everybody the destination holds in a segment, in pages."""

    def close(self) -> None:
        """Let go of connections."""

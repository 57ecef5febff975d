"""A vendor in memory that does to a sync what vendors do: answers late, twice, not at all, or wrongly; and a clock to
match."""

import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import duckdb
import polars as pl

from activation.sync.gated import Batch, GatedAudience, GateDecision, require_batch, seal_audience
from activation.sync.protocol import (
    Applied,
    Capabilities,
    Drift,
    FieldMapping,
    FieldType,
    Held,
    Job,
    JobState,
    Limits,
    MappedField,
    Mode,
    NullPolicy,
    Operation,
    Outcome,
    PlanShape,
    Refused,
    Retryable,
    Row,
    RowResult,
    Suppression,
    Window,
)
from activation.sync.rates import Pacer

MAPPING = FieldMapping(
    "1", (MappedField("persona", "persona"), MappedField("score", "score", FieldType.NUMBER, NullPolicy.CLEAR))
)
START = datetime(2026, 11, 16, 6, 0, tzinfo=UTC)


class Killed(BaseException):
    """The process is gone: nothing after this line happens, no clean-up either."""


class FakeClock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.skew = timedelta()
        self._seconds = 0.0
        self._lock = threading.Lock()

    def now(self) -> datetime:
        return START + timedelta(seconds=self._seconds) + self.skew

    def monotonic(self) -> float:
        return self._seconds

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        with self._lock:
            self._seconds += seconds


class Death:
    """Kills at the nth step; a step is a moment before or after a commit or a call."""

    def __init__(self, at: int | None = None) -> None:
        self.at = at
        self.steps = 0

    def step(self) -> None:
        self.steps += 1
        if self.at is not None and self.steps >= self.at:
            raise Killed


class MortalConnection:
    """A connection whose commits may be the last thing that happens, or not happen any more."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, death: Death) -> None:
        self._connection = connection
        self._death = death

    def __getattr__(self, name: str) -> object:
        return getattr(self._connection, name)

    def commit(self) -> None:
        try:
            self._death.step()
        except Killed:
            self._connection.rollback()
            raise
        self._connection.commit()
        self._death.step()


@dataclass
class VendorJob:
    operation: Operation
    segment: str
    rows: Sequence[Row]
    polls: int
    is_lost: bool = False
    retryable: frozenset[str] = frozenset()
    done: bool = False


@dataclass
class Vendor:
    """What the vendor holds. It outlives every process that talks to it.

    Faults are taken one per call, in order; when none is left, calls go well.
    """

    refuses: frozenset[str] = frozenset()
    refuses_whole_batches: bool = False
    suppressed: set[str] = field(default_factory=set)
    segments: dict[str, dict[str, dict[str, object]]] = field(default_factory=dict)
    jobs: dict[str, VendorJob] = field(default_factory=dict)
    faults: deque[str] = field(default_factory=deque)
    late: list[tuple[Operation, str, tuple[Row, ...]]] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    erased: set[str] = field(default_factory=set)

    def members(self, segment: str) -> dict[str, dict[str, object]]:
        return self.segments.setdefault(segment, {})

    def carry_out(self, operation: Operation, segment: str, rows: Sequence[Row]) -> None:
        for row in rows:
            if operation is Operation.DELETE:
                self.erased.add(row.identifier)
                for members in self.segments.values():
                    members.pop(row.identifier, None)
            elif operation is Operation.LEAVE:
                self.members(segment).pop(row.identifier, None)
            elif row.identifier not in self.refuses:
                held = self.members(segment).setdefault(row.identifier, {})
                held.update(row.payload)
                for name in [name for name, value in held.items() if value is None]:
                    del held[name]

    def catch_up(self) -> None:
        """Do everything that was accepted and is still to be done; nothing is stuck any more."""
        for operation, segment, rows in self.late:
            self.carry_out(operation, segment, rows)
        self.late.clear()
        for job in self.jobs.values():
            job.polls = 0


class ScriptedDestination:
    """The connector of the vendor above."""

    def __init__(
        self,
        vendor: Vendor,
        death: Death | None = None,
        jobs: bool = False,
        operations: frozenset[Operation] = frozenset(Operation),
        reads_back: bool = True,
        never_told: frozenset[str] = frozenset(),
        batch_rows: int = 3,
        concurrency: int = 1,
        name: str = "newsletter",
    ) -> None:
        self.name = name
        self.vendor = vendor
        self.death = death or Death()
        self.jobs = jobs
        self.capabilities = Capabilities(operations, reads_back=reads_back, never_told=never_told)
        self.limits = Limits(
            batch_rows=dict.fromkeys(Operation, batch_rows),
            windows={"*": (Window(10, 1.0), Window(150, 60.0))},
            concurrency=concurrency,
        )
        self.prepared: list[PlanShape] = []
        self.closed = False

    def connect(self, pacer: Pacer) -> None:
        self.pacer = pacer

    def prepare(self, shape: PlanShape) -> Sequence[Drift]:
        self._call("prepare", lambda fault: None)
        self.prepared.append(shape)
        return []

    def pull_suppressions(self) -> Iterator[Sequence[Suppression]]:
        yield self._call(
            "suppressions", lambda fault: [Suppression(one, "unsubscribed") for one in self.vendor.suppressed]
        )

    def apply(self, batch: Batch) -> Applied:
        batch = require_batch(batch)
        return self._call(f"apply {batch.operation}", lambda fault: self._do(batch, fault))

    def poll(self, job: Job) -> JobState:
        return self._call("poll", lambda fault: self._poll(job))

    def commit(self, shape: PlanShape) -> None:
        self.death.step()

    def read_back(self, segment: str) -> Iterator[Sequence[Held]]:
        yield self._call(
            "read back",
            lambda fault: [Held(one, payload=self._told(held)) for one, held in self.vendor.members(segment).items()],
        )

    def _told(self, held: Mapping[str, object]) -> dict[str, object]:
        return {name: value for name, value in held.items() if name not in self.capabilities.never_told}

    def close(self) -> None:
        self.closed = True

    def _call(self, name, function):  # type: ignore[no-untyped-def]
        def once():  # type: ignore[no-untyped-def]
            self.death.step()
            self.vendor.calls.append(name)
            fault = self.vendor.faults.popleft() if self.vendor.faults else "ok"
            if fault == "429":
                raise Retryable("slow down", 429, retry_after=7, may_have_happened=False)
            if fault in ("500 before", "lost before"):
                raise Retryable("it broke", 500 if fault[0] == "5" else None)
            answer = function(fault)
            if fault in ("500 after", "lost after"):
                raise Retryable("it broke", 500 if fault[0] == "5" else None)
            self.death.step()
            return answer

        return self.pacer.call(name, once)

    def _do(self, batch: Batch, fault: str) -> Applied:
        vendor = self.vendor
        adds = batch.operation in (Operation.JOIN, Operation.UPSERT)
        bad = {row.key for row in batch.rows if adds and row.identifier in vendor.refuses}
        if bad and vendor.refuses_whole_batches:
            raise Refused(f"bad address {next(r.identifier for r in batch.rows if r.key in bad)}", 400, "invalid")
        refused = [RowResult(Outcome.PERMANENT, key, status=400, code="invalid") for key in sorted(bad)]
        rows = tuple(row for row in batch.rows if row.key not in bad)
        if fault == "late":
            vendor.late.append((batch.operation, batch.segment, rows))
            raise Retryable("no answer")
        if self.jobs:
            job = VendorJob(batch.operation, batch.segment, batch.rows, polls=10_000 if fault == "stuck" else 2)
            job.is_lost = fault == "job lost"
            job.retryable = frozenset(row.key for row in rows[:2]) if fault == "partial" else frozenset()
            job_id = f"job-{len(vendor.jobs)}"
            vendor.jobs[job_id] = job
            return Applied(job=Job(job_id, batch.operation, batch.segment))
        undone = rows[:2] if fault == "partial" else ()
        vendor.carry_out(batch.operation, batch.segment, rows[len(undone) :])
        if fault == "duplicate":
            vendor.carry_out(batch.operation, batch.segment, rows)
        done = [RowResult(Outcome.CONFIRMED, row.key, vendor_id=f"v-{row.key[:4]}") for row in rows[len(undone) :]]
        if fault == "silent":
            done = done[:1]
        return Applied([*refused, *done, *(RowResult(Outcome.RETRYABLE, row.key, status=423) for row in undone)])

    def _poll(self, job: Job) -> JobState:
        known = self.vendor.jobs[job.id]
        if known.polls > 0:
            known.polls -= 1
            return JobState(finished=False)
        if known.is_lost:
            return JobState(finished=True, lost=True)
        adds = known.operation in (Operation.JOIN, Operation.UPSERT)
        if not known.done:
            todo = [row for row in known.rows if row.key not in known.retryable]
            self.vendor.carry_out(known.operation, known.segment, todo)
            known.done = True
        return JobState(
            finished=True,
            exceptions=[
                *(
                    RowResult(Outcome.PERMANENT, identifier=row.identifier.upper(), status=400, code="invalid")
                    for row in known.rows
                    if adds and row.identifier in self.vendor.refuses
                ),
                *(
                    RowResult(Outcome.RETRYABLE, row.key)
                    for row in known.rows
                    if row.key in known.retryable and not (adds and row.identifier in self.vendor.refuses)
                ),
            ],
        )


def gated(
    connection: duckdb.DuckDBPyConnection,
    people: dict[str, tuple[str | None, float | None]] | Sequence[str],
    segment: str = "loyal",
    mode: Mode = Mode.MIRROR,
    as_of: date = date(2026, 11, 16),
    mapping: FieldMapping = MAPPING,
    destination: str = "newsletter",
) -> GatedAudience:
    """Seal an audience as the gate does, from identifier to persona and score."""
    rows = people if isinstance(people, dict) else dict.fromkeys(people, ("loyal", 0.5))
    frame = pl.DataFrame(  # noqa: F841 - read by DuckDB
        {
            "identifier": list(rows),
            "persona": [persona for persona, _ in rows.values()],
            "score": [score for _, score in rows.values()],
        },
        schema={"identifier": pl.String, "persona": pl.String, "score": pl.Float64},
    )
    relation = f"approved_{segment}"
    connection.execute(f'create or replace temp table "{relation}" as select * from frame')
    return seal_audience(
        connection,
        destination=destination,
        segment=segment,
        mode=mode,
        purpose="marketing",
        channel="email",
        as_of=as_of,
        relation=relation,
        mapping=mapping,
        decision=GateDecision(len(rows) + 2, len(rows), {"no consent": 2}),
    )

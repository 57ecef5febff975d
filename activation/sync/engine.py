"""The order of a sync: suppressions, open jobs, diff, guards, batches, jobs, read-back, receipt, alert.

Here belongs what happens when, and what happens when something fails. What is compared is `diff`'s, how a row's state
changes `state`'s, what a vendor needs its connector's. A process may die between any two lines: what is known stands in
the warehouse, what is not is in doubt there, and the next run begins with that.
"""

import json
import logging
import secrets as random_bytes
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from datetime import datetime

import duckdb

from activation.sync.alerts import Channel, LogChannel, tell_changes
from activation.sync.asked import AskedDestination, ask_destination
from activation.sync.diff import (
    Plan,
    PlannedRow,
    UnusableAudience,
    check_audiences,
    make_plan,
    planned_rows,
    stage_desired,
)
from activation.sync.gated import GatedAudience, NotGated, require_gated, seal_batch
from activation.sync.guards import Guards, reasons_to_stop, too_many_refused
from activation.sync.protocol import (
    Applied,
    Capabilities,
    Destination,
    DestinationError,
    Drift,
    Job,
    Operation,
    Outcome,
    OutOfTime,
    PlanShape,
    Refused,
    Row,
    RowResult,
    SegmentShape,
)
from activation.sync.rates import Clock, Pacer, SystemClock
from activation.sync.receipts import Receipt, correct_snapshot, make_receipt, publish_receipt, stage_held
from activation.sync.redaction import redact
from activation.sync.state import RecordedOutcomes, SentBatch, SyncState

logger = logging.getLogger("personae.sync")

ROWS_AT_A_TIME = 20_000
"""Rows whose payloads are in memory, and whose results are recorded in one transaction."""

PASSES = 3
"""How often one run compares and sends, at most: what was lost or answered late is sent again within the run."""

JOB_DEADLINE_SECONDS = 1800.0
"""How long one run waits for a job. The next run goes on waiting."""


@dataclass(frozen=True)
class SyncSettings:
    """How a sync is run.

    Attributes:
        guards: What stops it.
        call_deadline_seconds: How long one call is retried.
        job_deadline_seconds: How long a job is polled.
        read_backs: How often a segment is read again when it differs, while the vendor's reads settle.
        seed: Of the jitter; random where none is given.
    """

    guards: Guards = field(default_factory=Guards)
    call_deadline_seconds: float = 900.0
    job_deadline_seconds: float = JOB_DEADLINE_SECONDS
    read_backs: int = 3
    seed: int | None = None


@dataclass(frozen=True)
class SyncResult:
    """How a sync ended.

    Attributes:
        run_id: The run.
        state: `done`: the destination holds what is desired. `planned`: it was a dry run. `blocked`: a guard or the
            gate stopped it before anything was sent, `stopped`: while it was sent. `incomplete`: the vendor did not
            answer in time, the next run goes on. `differs`: all was sent and the read-back says otherwise. `failed`:
            anything else.
        reason: Why, where it is not `done`. Safe to show.
        plan: What was to be done, of the first comparison.
        outcomes: Rows confirmed, refused and neither.
        receipts: Per segment; empty where it did not come to them.
        drift: Fields at the destination that are not as mapped.
        calls: Calls made, by the vendor's operation.
        seconds: How long it took.
    """

    run_id: str
    state: str
    reason: str = ""
    plan: Plan | None = None
    outcomes: RecordedOutcomes = field(default_factory=RecordedOutcomes)
    receipts: tuple[Receipt, ...] = ()
    drift: tuple[Drift, ...] = ()
    calls: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0


class _Stopped(Exception):
    """The run ends here, in this state, for this reason."""

    def __init__(self, state: str, reason: str) -> None:
        super().__init__(reason)
        self.state = state


def sync(
    connection: duckdb.DuckDBPyConnection,
    destination: Destination | AskedDestination,
    audiences: Sequence[GatedAudience],
    *,
    erased: Sequence[str] = (),
    settings: SyncSettings | None = None,
    clock: Clock | None = None,
    channels: Sequence[Channel] = (LogChannel(),),
    dry_run: bool = False,
    allow_mass_removal: bool = False,
    full: bool = False,
    on_progress: Callable[[int, int], None] = lambda done, planned: None,
) -> SyncResult:
    """Make a destination hold its audiences, and say whether it does.

    Args:
        connection: The warehouse, writable, with nobody else on it.
        destination: The connector, which is closed at the end; or one that was asked already whom it suppresses, as is
            due before a gate judges, which whoever asked it closes.
        audiences: All that go to this destination, as the gate sealed them. Segments that are not among them stay as
            they are.
        erased: Identifiers of people to be erased; they get a tombstone and never come back.
        settings: Guards and patience.
        clock: The machine's where none is given.
        channels: Who is told when the destination's state changes.
        dry_run: Pull suppressions, compare and store the plan; send nothing.
        allow_mass_removal: Lift the guards on removal; recorded.
        full: Send every member again. Who left is found all the same.
        on_progress: Called with rows sent and rows planned.

    Returns:
        How it ended. Whatever a vendor or a guard says is a result, not an exception.

    Raises:
        NotGated: An audience did not pass the gate. Nothing was done.
    """
    if isinstance(destination, AskedDestination):
        asked, connector = destination, destination.destination
    else:
        asked, connector = None, destination
    gated = [require_gated(audience, connector.name) for audience in audiences]
    run = _Run(
        connection,
        connector,
        asked,
        gated,
        erased,
        settings or SyncSettings(),
        clock or SystemClock(),
        dry_run,
        allow_mass_removal,
        full,
        on_progress,
    )
    try:
        result = run.carry_out()
    finally:
        if asked is None:
            connector.close()
        run.state.forget_staging()
    if not dry_run:
        tell_changes(run.state, result.run_id, result.state, result.reason, channels)
    return result


class _Run:
    """One sync from beginning to end."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        destination: Destination,
        asked: AskedDestination | None,
        audiences: list[GatedAudience],
        erased: Sequence[str],
        settings: SyncSettings,
        clock: Clock,
        dry_run: bool,
        allow_mass_removal: bool,
        full: bool,
        on_progress: Callable[[int, int], None],
    ) -> None:
        self.state = SyncState(connection, destination.name, clock, destination.capabilities.is_case_sensitive)
        self._destination = destination
        self._capabilities: Capabilities = destination.capabilities
        self._audiences = audiences
        self._erased = erased
        self._settings = settings
        self._clock = clock
        self._dry_run = dry_run
        self._allow_mass_removal = allow_mass_removal
        self._full = full
        self._on_progress = on_progress
        self._run_id = _run_id(clock.now())
        self._asked = asked
        self._pacer = asked.pacer if asked else Pacer({}, clock)
        self._plan: Plan | None = None
        self._outcomes = RecordedOutcomes()
        self._receipts: tuple[Receipt, ...] = ()
        self._drift: tuple[Drift, ...] = ()
        self._batches = 0
        self._sent = 0
        self._refused_rows = 0
        self._refused_lock = threading.Lock()

    def carry_out(self) -> SyncResult:
        """Run it and record how it ended."""
        began = self._clock.monotonic()
        as_of = max((audience.as_of for audience in self._audiences), default=self._clock.now().date())
        self.state.begin_run(self._run_id, as_of, self._allow_mass_removal, self._dry_run)
        ended, reason = "failed", ""
        try:
            ended, reason = self._steps()
        except _Stopped as stop:
            ended, reason = stop.state, str(stop)
        except (UnusableAudience, NotGated) as error:
            ended, reason = "blocked", str(error)
        except OutOfTime as error:
            ended, reason = "incomplete", str(error)
        except DestinationError as error:
            ended, reason = "failed", str(error)
        except Exception as error:
            # What else a connector or a library raises may quote anything; its type is enough to look further.
            logger.exception("the sync of %s failed", self._destination.name)
            ended, reason = "failed", f"{type(error).__name__} in the connector or the engine; see the log"
        result = SyncResult(
            run_id=self._run_id,
            state=ended,
            reason=redact(reason),
            plan=self._plan,
            outcomes=self._outcomes,
            receipts=self._receipts,
            drift=self._drift,
            calls=dict(self._pacer.calls),
            seconds=self._clock.monotonic() - began,
        )
        self.state.end_run(self._run_id, ended, _counts(result, self._pacer), result.reason)
        return result

    def _steps(self) -> tuple[str, str]:
        check_audiences(self._audiences, self._capabilities)
        asked = self._asked or ask_destination(
            self.state.connection,
            self._destination,
            seed=self._settings.seed,
            call_deadline_seconds=self._settings.call_deadline_seconds,
            clock=self._clock,
        )
        self._pacer = asked.pacer
        if asked.failure:
            raise asked.failure
        if self._erased and not self._dry_run:
            self.state.bury(self._erased)
        if not self._dry_run:
            self._poll_jobs(attempt=0)
        stage_desired(self.state, self._audiences)
        plan = self._compare(self._full, delivers_weekly=True)
        self._plan = plan
        self._record(plan)
        self._guard(plan)
        if self._dry_run:
            return "planned", ""
        shape = self._shape()
        self._drift = tuple(self._destination.prepare(shape))
        for attempt in range(1, PASSES + 1):
            self._send(attempt)
            self._destination.commit(shape)
            self._poll_jobs(attempt)
            self._read_back()
            if self._compare(full=False, delivers_weekly=False).operations == 0:
                break
        else:
            self._set_missing_aside()
        return self._judge()

    def _compare(self, full: bool, delivers_weekly: bool) -> Plan:
        limits = self._destination.limits
        return make_plan(self.state, self._audiences, self._capabilities, limits, full, delivers_weekly)

    def _record(self, plan: Plan) -> None:
        by_name = {audience.segment: audience for audience in self._audiences}
        self.state.record_plan(
            self._run_id,
            plan.as_document(),
            [
                {
                    "segment": one.segment,
                    "as_of": by_name[one.segment].as_of,
                    "mode": str(one.mode),
                    "desired": one.desired,
                    "suppressed": one.suppressed,
                    "erased": one.erased,
                    "set_aside": one.set_aside,
                    "members_before": one.members_before,
                    "joins": one.joins,
                    "upserts": one.upserts,
                    "leaves": one.leaves,
                }
                for one in plan.segments
            ],
        )

    def _guard(self, plan: Plan) -> None:
        guards = self._settings.guards
        earlier = {one.segment: self.state.earlier_counts(one.segment, guards.weeks_compared) for one in plan.segments}
        reasons = reasons_to_stop(plan, earlier, guards, self._clock.now(), self._allow_mass_removal)
        if reasons:
            raise _Stopped("blocked", "; ".join(reasons))

    def _shape(self) -> PlanShape:
        return PlanShape(
            run_id=self._run_id,
            as_of=max(audience.as_of for audience in self._audiences).isoformat(),
            segments=tuple(SegmentShape(audience.segment, audience.mapping.fields) for audience in self._audiences),
        )

    # Sending

    def _send(self, attempt: int) -> None:
        planned = self._plan.operations if self._plan else 0
        with ThreadPoolExecutor(self._destination.limits.concurrency, "sync") as threads:
            try:
                for rows in planned_rows(self.state, ROWS_AT_A_TIME):
                    for batches in _by_operation(self._batches_of(rows)):
                        self.state.mark_sent(self._run_id, batches, attempt)
                        self._send_batches(batches, threads, attempt)
                        self._sent += sum(len(batch.rows) for batch in batches)
                        self._on_progress(min(self._sent, planned), planned)
                        if too_many_refused(self._outcomes.rejected, self._sent, self._settings.guards):
                            raise _Stopped("stopped", f"{self._outcomes.rejected} of {self._sent} rows were refused")
            except BaseException:
                self._pacer.stop()
                raise

    def _batches_of(self, rows: Sequence[PlannedRow]) -> Iterator[SentBatch]:
        """Cut rows into batches of one operation and one segment, within the vendor's rows and bytes."""
        limits = self._destination.limits
        batch: list[Row] = []
        size = 0
        before: tuple[Operation, str] | None = None
        for row in rows:
            kind = (row.operation, row.segment)
            row_bytes = len(row.payload.encode()) + len(row.identifier.encode())
            is_full = len(batch) >= limits.batch_rows.get(row.operation, 1) or size + row_bytes > limits.batch_bytes
            if before is not None and batch and (kind != before or is_full):
                yield self._sent_batch(before, batch)
                batch, size = [], 0
            batch.append(Row(row.key, row.identifier, json.loads(row.payload), row.payload_hash, row.vendor_id))
            size += row_bytes
            before = kind
        if before is not None and batch:
            yield self._sent_batch(before, batch)

    def _sent_batch(self, kind: tuple[Operation, str], rows: list[Row]) -> SentBatch:
        self._batches += 1
        return SentBatch(f"{self._batches:06d}", kind[0], kind[1], tuple(rows))

    def _send_batches(self, batches: Sequence[SentBatch], threads: ThreadPoolExecutor, attempt: int) -> None:
        """Send batches side by side. Jobs are persisted as they come, results when all are there or one failed."""
        answered: list[tuple[SentBatch, Sequence[RowResult]]] = []
        failure: Exception | None = None
        waiting: set[Future[tuple[list[tuple[SentBatch, Applied]], Exception | None]]] = set()
        todo = iter(batches)
        try:
            while True:
                while failure is None and len(waiting) < self._destination.limits.concurrency:
                    batch = next(todo, None)
                    if batch is None:
                        break
                    waiting.add(threads.submit(self._apply, batch))
                if not waiting:
                    break
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    answers, error = future.result()
                    failure = failure or error
                    for batch, applied in answers:
                        results = _known_results(batch, applied)
                        answered.append((batch, results))
                        if applied.job is not None:
                            decided = frozenset(result.key for result in results)
                            self.state.record_job(self._run_id, batch, applied.job, decided, attempt)
        finally:
            for future in waiting:
                future.cancel()
        # In the plan's order, whatever order the threads came in.
        answered.sort(key=lambda pair: pair[0].batch_id)
        self._outcomes += self.state.record_results(self._run_id, answered, attempt)
        if failure is not None:
            raise failure

    def _apply(self, batch: SentBatch) -> tuple[list[tuple[SentBatch, Applied]], Exception | None]:
        """Send one batch, in halves where it is refused whole. What was answered before an error is not lost by it."""
        answers: list[tuple[SentBatch, Applied]] = []
        halves = [batch]
        while halves:
            part = halves.pop(0)
            try:
                sealed = seal_batch(part.batch_id, part.operation, part.segment, part.rows)
                applied = self._destination.apply(sealed)
            except Refused as error:
                if len(part.rows) > 1:
                    if self._too_many_refused_here(0):
                        return answers, _Stopped("stopped", "too many rows are refused")
                    middle = len(part.rows) // 2
                    halves[:0] = [
                        replace(part, batch_id=f"{part.batch_id}a", rows=part.rows[:middle]),
                        replace(part, batch_id=f"{part.batch_id}b", rows=part.rows[middle:]),
                    ]
                    continue
                self._too_many_refused_here(1)
                refused = RowResult(
                    Outcome.PERMANENT, part.rows[0].key, status=error.status, code=error.code, message=str(error)
                )
                applied = Applied((refused,))
            except Exception as error:
                return answers, error
            answers.append((part, applied))
        return answers, None

    def _too_many_refused_here(self, more: int) -> bool:
        """Count rows that bisecting found refused, across threads: a wrong setting refuses all, at two calls a row."""
        guards = self._settings.guards
        with self._refused_lock:
            self._refused_rows += more
            planned = self._plan.operations if self._plan else 0
            return too_many_refused(self._refused_rows, planned, guards)

    # Jobs

    def _poll_jobs(self, attempt: int) -> None:
        """Poll open jobs in turn until all have ended or the deadline has come; what is open then stays open."""
        deadline = self._clock.monotonic() + self._settings.job_deadline_seconds
        jobs: list[Job] = self.state.open_jobs()
        while jobs:
            still_open: list[Job] = []
            for job in jobs:
                found = self._destination.poll(job)
                if found.finished:
                    self._outcomes += self.state.finish_job(self._run_id, job, found, attempt)
                else:
                    still_open.append(job)
            jobs = still_open
            if jobs:
                if self._clock.monotonic() + self._destination.limits.poll_seconds > deadline:
                    return
                self._clock.sleep(self._destination.limits.poll_seconds)

    # Receipts

    def _read_back(self) -> None:
        receipts = []
        for audience in self._audiences:
            receipt = self._read_segment(audience)
            if self._capabilities.reads_back:
                correct_snapshot(self.state, self._run_id, audience, self._capabilities)
            receipts.append(self._published(receipt))
        self._receipts = tuple(receipts)

    def _read_segment(self, audience: GatedAudience) -> Receipt:
        if not self._capabilities.reads_back:
            return make_receipt(self.state, audience, self._capabilities)
        for reading in range(self._settings.read_backs):
            stage_held(self.state, audience.segment, self._destination.read_back(audience.segment), audience.mapping)
            receipt = make_receipt(self.state, audience, self._capabilities)
            if receipt.differences == 0 or self._destination.limits.settle_seconds == 0:
                break
            if reading + 1 < self._settings.read_backs:
                self._clock.sleep(self._destination.limits.settle_seconds)
        return receipt

    def _set_missing_aside(self) -> None:
        """After the last pass: what was accepted every time and is held nowhere is refused by silence."""
        if not self._capabilities.reads_back:
            return
        for audience in self._audiences:
            aside = self.state.set_missing_aside(self._run_id, audience.segment, PASSES)
            if aside:
                self._outcomes += RecordedOutcomes(rejected=aside)
        self._receipts = tuple(
            self._published(make_receipt(self.state, audience, self._capabilities)) for audience in self._audiences
        )

    def _published(self, receipt: Receipt) -> Receipt:
        publish_receipt(self.state, self._run_id, receipt.segment)
        return receipt

    def _judge(self) -> tuple[str, str]:
        open_jobs = len(self.state.open_jobs())
        if open_jobs:
            return "incomplete", f"{open_jobs} jobs are not finished; the next run goes on"
        if too_many_refused(self._outcomes.rejected, self._sent, self._settings.guards):
            return "differs", f"{self._outcomes.rejected} of {self._sent} rows were refused"
        different = [f"{one.differences} in {one.segment}" for one in self._receipts if one.differences]
        if different:
            return "differs", f"people are not as desired: {', '.join(different)}"
        return "done", ""


def _known_results(batch: SentBatch, applied: Applied) -> list[RowResult]:
    """Keep results of rows that are in the batch, one per row; silence about a row without a job is no confirmation."""
    keys = {row.key for row in batch.rows}
    by_key: dict[str, RowResult] = {}
    for result in applied.results:
        earlier = by_key.get(result.key)
        if result.key in keys and (earlier is None or earlier.outcome is Outcome.CONFIRMED):
            by_key[result.key] = result
    if applied.job is None:
        for key in keys - by_key.keys():
            by_key[key] = RowResult(Outcome.RETRYABLE, key, message="the destination said nothing about this row")
    return [by_key[row.key] for row in batch.rows if row.key in by_key]


def _by_operation(batches: Iterator[SentBatch]) -> Iterator[list[SentBatch]]:
    """Group batches of one operation and segment: they hold different people and may be under way together."""
    group: list[SentBatch] = []
    for batch in batches:
        if group and (group[0].operation, group[0].segment) != (batch.operation, batch.segment):
            yield group
            group = []
        group.append(batch)
    if group:
        yield group


def _run_id(now: datetime) -> str:
    """A name by which later runs come later, those of the same second too: the newest of several deliveries counts."""
    return f"{now:%Y%m%dT%H%M%S%f}-{random_bytes.token_hex(4)}"


def _counts(result: SyncResult, pacer: Pacer) -> dict[str, object]:
    return {
        "confirmed": result.outcomes.confirmed,
        "rejected": result.outcomes.rejected,
        "unfinished": result.outcomes.unfinished,
        "calls": result.calls,
        "retries": dict(pacer.retries),
        "minutes": round(result.seconds / 60, 2),
        "drift": [f"{one.field}: {one.expected} expected, {one.found} found" for one in result.drift],
        "receipts": {receipt.segment: dict(receipt.people) for receipt in result.receipts},
    }

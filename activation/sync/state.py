"""What is known of a destination, in the warehouse: the tables of a sync and every change to them, each one
transaction.

Here belong the tables and the rules by which a row becomes confirmed, doubtful, refused or forgotten. What to do about
them is `diff`'s, when to do it `engine`'s. Everything is set-wise: rows come from the plan's table or as one frame.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import duckdb
import polars as pl

from activation.answers import first_row
from activation.sync.payload import key_sql
from activation.sync.protocol import NOT_HELD, NOT_TOLD, Job, JobState, Operation, Outcome, Row, RowResult, Suppression
from activation.sync.rates import Clock
from activation.sync.redaction import redact

TABLES = """
create schema if not exists activation;
create table if not exists activation.sync_runs (
    run_id varchar not null, destination varchar not null, as_of date, state varchar not null,
    started_at timestamp not null, ended_at timestamp, allow_mass_removal boolean not null, is_dry_run boolean not null,
    plan json, counts json, reason varchar
);
create table if not exists activation.sync_segments (
    run_id varchar not null, destination varchar not null, segment varchar not null, as_of date not null,
    mode varchar not null, desired bigint not null, suppressed bigint not null, erased bigint not null,
    set_aside bigint not null, members_before bigint not null, joins bigint not null, upserts bigint not null,
    leaves bigint not null
);
create table if not exists activation.sync_changelog (
    run_id varchar not null, destination varchar not null, segment varchar not null, key varchar not null,
    operation varchar not null, payload_hash varchar, batch_id varchar, job_id varchar, status varchar not null,
    http_status integer, code varchar, message varchar, attempt integer not null, recorded_at timestamp not null
);
create table if not exists activation.sync_snapshot (
    destination varchar not null, segment varchar not null, key varchar not null, identifier varchar,
    vendor_id varchar, is_member boolean not null, payload_hash varchar, is_in_doubt boolean not null,
    changed_at timestamp not null
);
create table if not exists activation.sync_jobs (
    destination varchar not null, job_id varchar not null, run_id varchar not null, batch_id varchar not null,
    operation varchar not null, segment varchar not null, state varchar not null, started_at timestamp not null,
    ended_at timestamp
);
create table if not exists activation.sync_job_rows (
    destination varchar not null, job_id varchar not null, batch_id varchar not null, segment varchar not null,
    key varchar not null, operation varchar not null, payload_hash varchar
);
create table if not exists activation.sync_rejections (
    destination varchar not null, segment varchar not null, key varchar not null, operation varchar not null,
    payload_hash varchar, http_status integer, code varchar, message varchar, run_id varchar not null,
    rejected_at timestamp not null
);
create table if not exists activation.sync_suppressions (
    destination varchar not null, key varchar not null, reason varchar not null, suppressed_at timestamp,
    first_seen_at timestamp not null
);
create table if not exists activation.sync_tombstones (
    destination varchar not null, key varchar not null, erased_at timestamp not null
);
"""

STAGING = ("sync_desired", "sync_plan", "sync_held", "sync_receipt", "sync_relation", "sync_approved", "pulled")
"""Temporary tables of a run that hold identifiers."""

ABANDON_JOBS_AFTER = timedelta(hours=24)
"""A job that a vendor has not finished by then is taken for dropped; its rows stay in doubt and are sent again."""


@dataclass(frozen=True)
class SentBatch:
    """A batch as it was sent: its id, what it does and its rows."""

    batch_id: str
    operation: Operation
    segment: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class RecordedOutcomes:
    """How many rows of what was recorded were confirmed, refused for good, or neither."""

    confirmed: int = 0
    rejected: int = 0
    unfinished: int = 0

    def __add__(self, other: "RecordedOutcomes") -> "RecordedOutcomes":
        """Return the sums."""
        return RecordedOutcomes(
            self.confirmed + other.confirmed, self.rejected + other.rejected, self.unfinished + other.unfinished
        )


class SyncState:
    """One destination's state, over a connection that nobody else uses meanwhile."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, destination: str, clock: Clock, is_case_sensitive: bool = False
    ) -> None:
        """Store the arguments and create the tables that are missing."""
        self.connection = connection
        self.destination = destination
        self._clock = clock
        self._is_case_sensitive = is_case_sensitive
        connection.execute(TABLES)

    def identifier_sql(self, column: str) -> str:
        """Return SQL for an identifier as it is compared: trimmed, and lower-cased where case means nothing."""
        trimmed = f"trim({column})"
        return trimmed if self._is_case_sensitive else f"lower({trimmed})"

    @contextmanager
    def transaction(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """All or nothing."""
        self.connection.begin()
        try:
            yield self.connection
        except BaseException:
            self.connection.rollback()
            raise
        self.connection.commit()

    # Runs

    def begin_run(self, run_id: str, as_of: date, allow_mass_removal: bool, is_dry_run: bool) -> None:
        """Record that a run begins. One that was left running was killed."""
        with self.transaction() as connection:
            connection.execute(
                "update activation.sync_runs set state = 'interrupted' where destination = ? and state = 'running'",
                [self.destination],
            )
            connection.execute(
                "insert into activation.sync_runs values (?, ?, ?, 'running', ?, null, ?, ?, null, null, null)",
                [run_id, self.destination, as_of, self.now(), allow_mass_removal, is_dry_run],
            )

    def record_plan(self, run_id: str, plan: Mapping[str, object], segments: Sequence[Mapping[str, object]]) -> None:
        """Store what a run is going to do: the plan, its segments, and a changelog row `planned` per operation."""
        with self.transaction() as connection:
            connection.execute("update activation.sync_runs set plan = ? where run_id = ?", [json.dumps(plan), run_id])
            for segment in segments:
                values = [run_id, self.destination, *segment.values()]
                connection.execute(
                    f"insert into activation.sync_segments values ({', '.join('?' * len(values))})", values
                )
            connection.execute(
                "insert into activation.sync_changelog "
                "select ?, ?, segment, key, operation, payload_hash, null, null, "
                "case when is_set_aside then 'skipped' else 'planned' end, null, null, null, 0, ? from sync_plan",
                [run_id, self.destination, self.now()],
            )

    def end_run(self, run_id: str, state: str, counts: Mapping[str, object], reason: str = "") -> None:
        """Record how a run ended."""
        self.connection.execute(
            "update activation.sync_runs set state = ?, ended_at = ?, counts = ?, reason = ? where run_id = ?",
            [state, self.now(), json.dumps(counts), redact(reason) or None, run_id],
        )

    def earlier_counts(self, segment: str, runs: int) -> list[int]:
        """Return the desired counts of a segment's last finished runs, newest first, one per week."""
        found = self.connection.execute(
            "select arg_max(s.desired, r.started_at) from activation.sync_segments as s "
            "inner join activation.sync_runs as r on r.run_id = s.run_id and r.state in ('done', 'differs') "
            "where s.destination = ? and s.segment = ? group by s.as_of order by s.as_of desc limit ?",
            [self.destination, segment, runs],
        ).fetchall()
        return [int(count) for (count,) in found]

    def last_delivered_week(self, segment: str) -> date | None:
        """Return the week of a segment's last finished run."""
        found = first_row(
            self.connection,
            "select max(s.as_of) from activation.sync_segments as s "
            "inner join activation.sync_runs as r on r.run_id = s.run_id and r.state in ('done', 'differs') "
            "where s.destination = ? and s.segment = ?",
            [self.destination, segment],
        )
        return found[0] if found else None

    # Who must not be written to

    def replace_suppressions(self, pages: Iterable[Sequence[Suppression]]) -> int:
        """Take over whom the destination suppresses now: all pages or, if one cannot be had, none.

        Returns:
            How many they are.
        """
        connection = self.connection
        connection.execute("create or replace temp table pulled (identifier varchar, reason varchar, since timestamp)")
        for page in pages:
            frame = pl.DataFrame(  # noqa: F841 - read by DuckDB
                {
                    "identifier": [one.identifier for one in page],
                    "reason": [redact(one.reason, limit=80) for one in page],
                    "since": [_naive(one.since) for one in page],
                },
                schema={"identifier": pl.String, "reason": pl.String, "since": pl.Datetime("us")},
            )
            connection.execute("insert into pulled select * from frame")
        with self.transaction():
            connection.execute(
                "create or replace temp table pulled_keys as "
                f"select {key_sql(self.identifier_sql('identifier'))} as key, "
                "min(reason) as reason, min(since) as since from pulled where trim(identifier) != '' group by key"
            )
            connection.execute(
                "create or replace temp table suppressed_since as select key, first_seen_at "
                "from activation.sync_suppressions where destination = ?",
                [self.destination],
            )
            connection.execute("delete from activation.sync_suppressions where destination = ?", [self.destination])
            connection.execute(
                "insert into activation.sync_suppressions "
                "select ?, p.key, p.reason, p.since, coalesce(s.first_seen_at, ?) "
                "from pulled_keys as p left join suppressed_since as s on s.key = p.key",
                [self.destination, self.now()],
            )
        connection.execute("drop table pulled")
        found = first_row(
            connection, "select count(*) from activation.sync_suppressions where destination = ?", [self.destination]
        )
        return int(found[0]) if found else 0

    def bury(self, identifiers: Sequence[str]) -> None:
        """Put up tombstones: these people are erased, and stay so. Only their keys are kept.

        Whoever was ever sent is in doubt until the destination confirmed the erasure, also who has left since: they are
        in no segment any more, and the destination may know them all the same.
        """
        frame = pl.DataFrame({"identifier": list(identifiers)}, schema={"identifier": pl.String})  # noqa: F841 - read by DuckDB
        with self.transaction() as connection:
            connection.execute(
                "create or replace temp table newly_erased as "
                f"select key_now as key, min(spelled) as identifier from (select {self.identifier_sql('f.identifier')} "
                f"as spelled, {key_sql(self.identifier_sql('f.identifier'))} as key_now from frame as f) "
                "where spelled != '' and key_now not in "
                "(select t.key from activation.sync_tombstones as t where t.destination = ?) group by key_now",
                [self.destination],
            )
            connection.execute(
                "update activation.sync_snapshot as s set identifier = n.identifier, is_in_doubt = true "
                "from newly_erased as n where s.destination = ? and s.key = n.key",
                [self.destination],
            )
            connection.execute(
                "insert into activation.sync_tombstones select ?, key, ? from newly_erased",
                [self.destination, self.now()],
            )
            connection.execute("drop table newly_erased")

    def forget_staging(self) -> None:
        """Drop what a run staged: it holds identifiers, and the connection may live on."""
        for table in STAGING:
            self.connection.execute(f"drop table if exists temp.{table}")

    # Batches

    def mark_sent(self, run_id: str, batches: Sequence[SentBatch], attempt: int) -> None:
        """Say beforehand what is about to be sent: from now on these rows are in doubt."""
        frame = _rows_frame(batches)
        with self.transaction() as connection:
            self._log(frame, run_id, "sent", attempt)
            if batches[0].operation is Operation.DELETE:
                connection.execute(
                    "update activation.sync_snapshot set is_in_doubt = true where destination = ? "
                    "and key in (select key from frame)",
                    [self.destination],
                )
                return
            connection.execute(
                "merge into activation.sync_snapshot as s using frame as f "
                "on s.destination = $destination and s.segment = f.segment and s.key = f.key "
                "when matched then update set is_in_doubt = true, identifier = f.identifier, changed_at = $now "
                "when not matched then insert values "
                "($destination, f.segment, f.key, f.identifier, f.vendor_id, false, null, true, $now)",
                {"destination": self.destination, "now": self.now()},
            )

    def record_job(self, run_id: str, batch: SentBatch, job: Job, decided: frozenset[str], attempt: int) -> None:
        """Persist a job before anybody polls it. `decided` are keys the answer already settled."""
        rows = tuple(row for row in batch.rows if row.key not in decided)
        frame = _rows_frame([SentBatch(batch.batch_id, batch.operation, batch.segment, rows)])
        with self.transaction() as connection:
            self._log(frame, run_id, "accepted", attempt, job.id)
            connection.execute(
                "insert into activation.sync_jobs values (?, ?, ?, ?, ?, ?, 'open', ?, null)",
                [self.destination, job.id, run_id, batch.batch_id, batch.operation, batch.segment, self.now()],
            )
            connection.execute(
                "insert into activation.sync_job_rows "
                "select ?, ?, batch_id, segment, key, operation, payload_hash from frame",
                [self.destination, job.id],
            )

    def record_results(
        self, run_id: str, answered: Sequence[tuple[SentBatch, Sequence[RowResult]]], attempt: int
    ) -> RecordedOutcomes:
        """Record what became of rows. Rows of a batch that have no result here stay in doubt."""
        results = [(batch, result) for batch, of_batch in answered for result in of_batch]
        if not results:
            return RecordedOutcomes()
        rows = {(batch.batch_id, row.key): row for batch, _ in answered for row in batch.rows}
        frame = pl.DataFrame(  # noqa: F841 - read by DuckDB
            {
                "batch_id": [batch.batch_id for batch, _ in results],
                "segment": [batch.segment for batch, _ in results],
                "key": [result.key for _, result in results],
                "operation": [str(batch.operation) for batch, _ in results],
                "payload_hash": [rows[batch.batch_id, result.key].payload_hash for batch, result in results],
                "vendor_id": [result.vendor_id for _, result in results],
                "job_id": [None] * len(results),
                **_result_columns([result for _, result in results]),
            },
            schema=_RESULT_SCHEMA,
        )
        with self.transaction() as connection:
            connection.execute("create or replace temp table results as select * from frame")
            self._apply_results(run_id, attempt, {batch.operation for batch, _ in answered})
        return _count([result for _, result in results])

    # Jobs

    def open_jobs(self) -> list[Job]:
        """Return the jobs that were not seen to finish, oldest first. Those that are too old are given up."""
        with self.transaction() as connection:
            connection.execute(
                "update activation.sync_jobs set state = 'abandoned', ended_at = $now "
                "where destination = $destination and state = 'open' and started_at < $oldest",
                {
                    "now": self.now(),
                    "destination": self.destination,
                    "oldest": self.now() - ABANDON_JOBS_AFTER,
                },
            )
            self._forget_rows_of_ended_jobs()
        found = self.connection.execute(
            "select distinct on (job_id) job_id, operation, segment from activation.sync_jobs "
            "where destination = ? and state = 'open' order by job_id, started_at",
            [self.destination],
        ).fetchall()
        return [Job(job_id, Operation(operation), segment) for job_id, operation, segment in found]

    def finish_job(self, run_id: str, job: Job, state: JobState, attempt: int) -> RecordedOutcomes:
        """Record how a job ended: its rows are confirmed but for the exceptions; nothing is confirmed of a lost one."""
        unknown = pl.DataFrame(  # noqa: F841 - read by DuckDB
            {
                "key": [result.key for result in state.exceptions],
                "identifier": [result.identifier for result in state.exceptions],
                "vendor_id": [result.vendor_id for result in state.exceptions],
                **_result_columns(state.exceptions),
            },
            schema={"key": pl.String, "identifier": pl.String, "vendor_id": pl.String, **_OUTCOME_SCHEMA},
        )
        with self.transaction() as connection:
            connection.execute(
                "create or replace temp table exceptions as select * replace "
                f"(if(key = '', {key_sql(self.identifier_sql('identifier'))}, key) as key) from unknown"
            )
            strangers = first_row(
                connection,
                "select count(*) from exceptions where key not in "
                "(select key from activation.sync_job_rows where destination = ? and job_id = ?)",
                [self.destination, job.id],
            )
            # An error that belongs to no row of the job belongs to one of them under another name.
            confirms = not state.lost and not state.unattributed and not (strangers and strangers[0])
            connection.execute(
                "create or replace temp table results as "
                "select r.batch_id, r.segment, r.key, r.operation, r.payload_hash, e.vendor_id, r.job_id, "
                "coalesce(e.outcome, $otherwise) as outcome, e.http_status, coalesce(e.code, $code) as code, e.message "
                "from activation.sync_job_rows as r left join exceptions as e on e.key = r.key "
                "where r.destination = $destination and r.job_id = $job",
                {
                    "otherwise": Outcome.CONFIRMED if confirms else Outcome.RETRYABLE,
                    "code": None if confirms else "job_lost" if state.lost else NOT_TOLD,
                    "destination": self.destination,
                    "job": job.id,
                },
            )
            connection.execute(
                "update activation.sync_jobs set state = ?, ended_at = ? where destination = ? and job_id = ?",
                ["lost" if state.lost else "finished", self.now(), self.destination, job.id],
            )
            self._forget_rows_of_ended_jobs()
            self._apply_results(run_id, attempt, {job.operation})
            counts = dict(connection.execute("select outcome, count(*) from results group by all").fetchall())
        return RecordedOutcomes(
            counts.get(Outcome.CONFIRMED, 0), counts.get(Outcome.PERMANENT, 0), counts.get(Outcome.RETRYABLE, 0)
        )

    def set_missing_aside(self, run_id: str, segment: str, times: int) -> int:
        """Set people aside whom the destination accepted that often in this run and never held.

        Some vendors drop rows without a word. Without this they would be sent anew every week. When a later read-back
        shows somebody after all, the refusal is forgotten.

        Returns:
            How many.
        """
        with self.transaction() as connection:
            connection.execute(
                "create or replace temp table never_held as select l.key, any_value(l.operation) as operation, "
                "any_value(d.payload_hash) as payload_hash from activation.sync_changelog as l "
                "inner join sync_desired as d on d.segment = l.segment and d.key = l.key and d.left_out is null "
                "and d.payload_hash = l.payload_hash "
                "inner join activation.sync_snapshot as s on s.destination = l.destination and s.segment = l.segment "
                "and s.key = l.key and not s.is_member and not s.is_in_doubt "
                "where l.run_id = $run and l.segment = $segment and l.operation = 'join' "
                "and (l.status = 'confirmed' or (l.status = 'unfinished' and l.code = $not_told)) "
                "group by l.key having count(*) >= $times",
                {"run": run_id, "segment": segment, "not_told": NOT_TOLD, "times": times},
            )
            connection.execute(
                "insert into activation.sync_rejections select ?, ?, key, operation, payload_hash, null, ?, ?, ?, ? "
                "from never_held",
                [
                    self.destination,
                    segment,
                    NOT_HELD,
                    f"accepted {times} times and never held",
                    run_id,
                    self.now(),
                ],
            )
            connection.execute(
                "insert into activation.sync_changelog select ?, ?, ?, key, operation, payload_hash, null, null, "
                "'rejected', null, ?, null, ?, ? from never_held",
                [run_id, self.destination, segment, NOT_HELD, times, self.now()],
            )
            found = first_row(connection, "select count(*) from never_held")
        return int(found[0]) if found else 0

    def _forget_rows_of_ended_jobs(self) -> None:
        self.connection.execute(
            "delete from activation.sync_job_rows where destination = $destination and job_id not in "
            "(select job_id from activation.sync_jobs where destination = $destination and state = 'open')",
            {"destination": self.destination},
        )

    def _log(self, frame: pl.DataFrame, run_id: str, status: str, attempt: int, job_id: str | None = None) -> None:
        self.connection.execute(
            "insert into activation.sync_changelog "
            "select ?, ?, segment, key, operation, payload_hash, batch_id, ?, ?, null, null, null, ?, ? from frame",
            [run_id, self.destination, job_id, status, attempt, self.now()],
        )

    def _apply_results(self, run_id: str, attempt: int, operations: Collection[Operation]) -> None:
        """Let the temp table `results` count: changelog, rejections, snapshot. Within a transaction."""
        connection, now = self.connection, self.now()
        connection.execute(
            "insert into activation.sync_changelog "
            "select ?, ?, segment, key, operation, payload_hash, batch_id, job_id, "
            "case outcome when 'permanent' then 'rejected' when 'retryable' then 'unfinished' else outcome end, "
            "http_status, code, message, ?, ? from results",
            [run_id, self.destination, attempt, now],
        )
        connection.execute(
            "delete from activation.sync_rejections as o using results as r "
            "where o.destination = ? and o.segment = r.segment and o.key = r.key and r.outcome != 'retryable'",
            [self.destination],
        )
        connection.execute(
            "insert into activation.sync_rejections "
            "select ?, segment, key, operation, payload_hash, http_status, code, message, ?, ? "
            "from results where outcome = 'permanent'",
            [self.destination, run_id, now],
        )
        # While a job that holds a row is open it may still be carried out, and late: the row stays in doubt.
        connection.execute(
            "update activation.sync_snapshot as s set "
            "is_member = case when r.outcome = 'permanent' then s.is_member "
            "else r.operation in ('join', 'upsert') end, "
            "payload_hash = case when r.outcome = 'permanent' then s.payload_hash "
            "when r.operation = 'leave' then null else r.payload_hash end, "
            "vendor_id = coalesce(r.vendor_id, s.vendor_id), "
            "is_in_doubt = r.is_held_by_a_job, "
            "identifier = case when r.operation = 'leave' and r.outcome = 'confirmed' and not r.is_held_by_a_job "
            "then null else s.identifier end, changed_at = $now "
            "from (select *, key in (select j.key from activation.sync_job_rows as j "
            "where j.destination = $destination and j.segment = results.segment) as is_held_by_a_job "
            "from results where outcome != 'retryable') as r "
            "where s.destination = $destination and s.segment = r.segment and s.key = r.key "
            "and r.operation != 'delete'",
            {"destination": self.destination, "now": now},
        )
        if Operation.DELETE not in operations:
            return
        connection.execute(
            "update activation.sync_snapshot as s set is_member = false, payload_hash = null, vendor_id = null, "
            "is_in_doubt = s.key in (select j.key from activation.sync_job_rows as j "
            "where j.destination = $destination), "
            "identifier = case when s.key in (select j.key from activation.sync_job_rows as j "
            "where j.destination = $destination) then s.identifier end, changed_at = $now "
            "from results as r where s.destination = $destination and s.key = r.key "
            "and r.operation = 'delete' and r.outcome = 'confirmed'",
            {"destination": self.destination, "now": now},
        )

    def now(self) -> datetime:
        """Return the time as the tables keep it: UTC, without a zone."""
        return self._clock.now().replace(tzinfo=None)


_OUTCOME_SCHEMA: dict[str, type[pl.DataType]] = {
    "outcome": pl.String,
    "http_status": pl.Int32,
    "code": pl.String,
    "message": pl.String,
}
_RESULT_SCHEMA: dict[str, type[pl.DataType]] = {
    "batch_id": pl.String,
    "segment": pl.String,
    "key": pl.String,
    "operation": pl.String,
    "payload_hash": pl.String,
    "vendor_id": pl.String,
    "job_id": pl.String,
} | _OUTCOME_SCHEMA


def _result_columns(results: Sequence[RowResult]) -> dict[str, list[object]]:
    return {
        "outcome": [str(result.outcome) for result in results],
        "http_status": [result.status for result in results],
        "code": [redact(result.code, limit=80) or None for result in results],
        "message": [redact(result.message) or None for result in results],
    }


def _rows_frame(batches: Sequence[SentBatch]) -> pl.DataFrame:
    rows = [(batch, row) for batch in batches for row in batch.rows]
    return pl.DataFrame(
        {
            "batch_id": [batch.batch_id for batch, _ in rows],
            "segment": [batch.segment for batch, _ in rows],
            "key": [row.key for _, row in rows],
            "operation": [str(batch.operation) for batch, _ in rows],
            "payload_hash": [row.payload_hash for _, row in rows],
            "identifier": [row.identifier for _, row in rows],
            "vendor_id": [row.vendor_id for _, row in rows],
        },
        schema={
            "batch_id": pl.String,
            "segment": pl.String,
            "key": pl.String,
            "operation": pl.String,
            "payload_hash": pl.String,
            "identifier": pl.String,
            "vendor_id": pl.String,
        },
    )


def _count(results: Sequence[RowResult]) -> RecordedOutcomes:
    outcomes = [result.outcome for result in results]
    return RecordedOutcomes(
        outcomes.count(Outcome.CONFIRMED), outcomes.count(Outcome.PERMANENT), outcomes.count(Outcome.RETRYABLE)
    )


def _naive(moment: datetime | None) -> datetime | None:
    if moment is None or moment.tzinfo is None:
        return moment
    offset = moment.utcoffset()
    return (moment - offset).replace(tzinfo=None) if offset is not None else moment

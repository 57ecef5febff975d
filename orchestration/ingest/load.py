"""Loads extracts into `raw`: each file whole or not at all, once, and again when it was corrected.

What belongs here: what happens to a file and to its rows. Every row read is loaded, quarantined, an exact duplicate, or
filtered by the mapping's `where`, and is counted as such; lines that cannot be read as rows are counted apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime

import duckdb
import polars as pl

from data_contracts.rules import broken_rules_sql, unique_columns, warning_counts_sql
from orchestration.ingest.attributes import fit_attributes
from orchestration.ingest.drift import SAMPLE_ROWS, Drift, delivered_columns, find_drift
from orchestration.ingest.extracts import find_extracts
from orchestration.ingest.harmonize import HarmonizedColumn, Harmonizer
from orchestration.ingest.ledger import CORRECTED, KNOWN_CONTENT, LOAD_AGAIN, LOADED, REFUSED, Entry, Ledger, Load
from orchestration.ingest.profile import profile_batch
from orchestration.ingest.reading import ROW, ROW_NUMBER, Extract, read_extract, reason
from orchestration.ingest.references import ReferenceCount, count_references
from orchestration.ingest.tables import PROVENANCE, add_columns, make_raw_tables
from orchestration.ingest.unreadable_lines import keep_unreadable_lines
from orchestration.mapping import ENTITIES_WITH_ATTRIBUTES, MappedEntity
from orchestration.sql import identifier, literal
from orchestration.warehouse import transaction
from orchestration.workspace import Workspace

SAMPLE_ROWS_PER_ENTITY = 20_000
ENTITIES_WITH_DAYS = ("events",)


@dataclass
class IngestResult:
    """What one ingest did, and bounded samples of the new rows for the contract's report.

    `references` and `drift` tell of the new rows: what they name that is not there, and how files differ from those of
    the same mapping before them.
    """

    loads: list[Load] = field(default_factory=list)
    samples: dict[str, list[pl.DataFrame]] = field(default_factory=dict)
    references: list[ReferenceCount] = field(default_factory=list)
    drift: list[Drift] = field(default_factory=list)

    def of(self, entity: str) -> list[Load]:
        """The loads of one entity."""
        return [load for load in self.loads if load.entity == entity]


class _Refused(Exception):
    """Too many rows of a file are wrong: nothing is loaded, what was loaded before stands."""

    def __init__(self, load: Load):
        self.load = load
        super().__init__(load.file)


def ingest(
    connection: duckdb.DuckDBPyConnection, workspace: Workspace, progress: Callable[[str], None] = lambda _: None
) -> IngestResult:
    """Load every new or corrected file of every mapping.

    A refused file is not remembered: it is read and refused again until it, the mapping or the threshold is mended.

    Args:
        connection: an open, writable connection whose time zone is UTC.
        workspace: its mappings and its data folder.
        progress: told about each file in a sentence without personal data.

    Raises:
        UnreadableExtract: a file that cannot be read; files before it stay loaded.
    """
    ledger, result = Ledger(connection), IngestResult()
    with transaction(connection):
        make_raw_tables(connection, contracts=workspace.contracts)
        ledger.forget_refusals()
    first_sequence = ledger.next_sequence()
    deliveries = [
        (extract, entity)
        for mapping in workspace.mappings
        for extract in sorted(
            find_extracts(workspace, mapping), key=lambda each: (each.delivered_at or datetime.min, each.name)
        )
        for entity in mapping.entities
    ]

    def load_all(chosen: Iterable[tuple[Extract, MappedEntity]]) -> None:
        for extract, entity in chosen:
            load = _load_if_new(connection, workspace, extract, entity, result)
            if load is not None:
                result.loads.append(load)
                progress(f"{load.file} → {load.entity}: {load.rows_loaded:,} of {load.rows_read:,} rows, {load.status}")

    load_all(deliveries)
    waiting = ledger.to_be_loaded_again()
    load_all((x, entity) for x, entity in deliveries if (x.name, x.mapping.name, entity.entity) in waiting)
    for entity in ENTITIES_WITH_ATTRIBUTES:  # the models read them also where no file has brought a value yet
        declared = [attribute for attribute in workspace.attributes(entity) if attribute.role != "ignore"]
        types = {attribute.column: "VARCHAR" if attribute.type == "text" else "DOUBLE" for attribute in declared}
        add_columns(connection, entity, types)
    result.references = count_references(connection, workspace, {each.entity for each in result.loads}, first_sequence)
    result.drift = find_drift(connection, result.loads, workspace.settings.drift)
    return result


def _load_if_new(
    connection: duckdb.DuckDBPyConnection,
    workspace: Workspace,
    extract: Extract,
    entity: MappedEntity,
    result: IngestResult,
) -> Load | None:
    """Load one file for one entity, unless the ledger says that nothing changed."""
    ledger = Ledger(connection)
    known = ledger.entry(extract, entity.entity)
    seen = _size_and_time(extract)
    if known and known.status != LOAD_AGAIN and known.mapping_hash == extract.mapping.content_hash:
        if known.seen == seen:
            return None
        if known.content_hash == extract.content_hash:
            ledger.seen(extract, entity.entity, seen)
            return None
    loader = _Loader(connection, workspace, extract, entity)
    is_known_content = ledger.has_content(extract, entity.entity)
    if not is_known_content:
        loader.stage(result)
    try:
        with transaction(connection):
            if known:
                loader.retire(known)
            if is_known_content:
                load = Load(extract.name, extract.mapping.name, entity.entity, KNOWN_CONTENT)
            else:
                load = loader.load(CORRECTED if known else LOADED)
            if _size_and_time(extract) != seen:
                raise extract.unreadable("the file changed while it was read; the next run reads it again")
            ledger.record(load, extract, loader.load_id, loader.sequence, seen)
    except _Refused as refused:
        ledger.record_refusal(refused.load)
        return refused.load
    return load


def _size_and_time(extract: Extract) -> tuple[int, int]:
    try:
        stat = extract.path.stat()
    except OSError as error:
        raise extract.unreadable(f"the file cannot be opened ({error.strerror})") from None
    return stat.st_size, stat.st_mtime_ns


class _Loader:
    """Loads one file for one entity: `stage` first, then `retire` and `load` inside one transaction."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        workspace: Workspace,
        extract: Extract,
        entity: MappedEntity,
    ):
        self.connection = connection
        self.workspace = workspace
        self.extract = extract
        self.mapping = extract.mapping
        self.entity = entity
        self.contract = workspace.contracts[entity.entity]
        self.raw = f"raw.{identifier(entity.entity)}"
        self.quarantine = f"quarantine.{identifier(entity.entity)}"
        self.load_id = f"{extract.content_hash[:12]}-{self.mapping.content_hash[:8]}"
        self.sequence = Ledger(connection).next_sequence()
        self.columns: list[HarmonizedColumn] = []
        self.delivered: dict[str, dict[str, str]] = {}
        self.rows_unreadable = 0

    def retire(self, known: Entry) -> None:
        """Take back the rows of an earlier delivery of this file."""
        mine, values = (
            "_load_id = ? and _file = ? and _source = ?",
            [known.load_id, self.extract.name, self.mapping.name],
        )
        self._note_changed_days(self.raw, mine, values)
        for table in (self.raw, self.quarantine):
            self.connection.execute(f"delete from {table} where {mine}", values)
        if known.load_id != self.load_id:
            Ledger(self.connection).load_dependents_again(self.extract, self.entity.entity, known)

    def stage(self, result: IngestResult) -> None:
        """Read the file into the temporary table `batch`, outside of the transaction.

        What it changes in `raw` harms nobody if the file is refused: columns are added or become text. DuckDB does not
        let a transaction both delete rows and change their columns.

        Raises:
            UnreadableExtract: the file cannot be read.
        """
        columns, self.rows_unreadable = self._stage_batch()
        self.columns = fit_attributes(self.connection, self.entity.entity, columns)
        self._take_sample(result)

    def load(self, status: str) -> Load:
        """Judge and insert the staged rows.

        Raises:
            _Refused: more than the workspace's threshold of the rows are wrong.
        """
        unreadable = self.rows_unreadable
        rows_read, filtered, quarantined = self._count("true", "not _is_kept", "_is_kept and len(_broken_rules) > 0")
        load = Load(
            self.extract.name,
            self.mapping.name,
            self.entity.entity,
            status,
            rows_read=rows_read,
            rows_quarantined=quarantined,
            rows_filtered=filtered,
            rows_unreadable=unreadable,
            profile=profile_batch(self.connection, "batch", [(column.name, column.type) for column in self.columns]),
            columns=self.delivered,
            broken_rules=self._broken_rules() if quarantined or unreadable else {},
        )
        judged = rows_read - filtered + unreadable
        if judged and (quarantined + unreadable) / judged > self.workspace.settings.quarantine_threshold:
            raise _Refused(replace(load, status=REFUSED, warnings=self._warnings()))
        duplicates, not_unique = self._mark_duplicates_within()
        duplicates_of_others = self._mark_known_rows()
        earliest, latest = self._time_span()
        rows_loaded, rows_quarantined = self._insert()
        return replace(
            load,
            rows_loaded=rows_loaded,
            rows_quarantined=rows_quarantined,
            rows_duplicate=duplicates + duplicates_of_others,
            rows_duplicate_of_other_files=duplicates_of_others,
            earliest_row_at=earliest,
            latest_row_at=latest,
            warnings=self._warnings() | not_unique,
        )

    def _stage_batch(self) -> tuple[list[HarmonizedColumn], int]:
        """The file's rows, typed and judged, in `batch`; their columns, and how many lines could not be read.

        The file is read once, so that a row's number, its values and its copy for the quarantine are of one reading.
        """
        # Reading in parallel may not change which row has which number; Parquet brings its own numbers.
        keeps_order = "false" if self.extract.format == "parquet" else "true"
        self.connection.execute(f"set preserve_insertion_order = {keeps_order}")
        table = read_extract(self.connection, self.extract, self.entity.source_columns())
        try:
            harmonizer = Harmonizer(self.connection, table)
            columns = harmonizer.columns(self.entity, self.contract)
            typed = [f"{column.typed} as {identifier(column.name)}" for column in columns]
            sampled = 0 if self.extract.format == "parquet" else SAMPLE_ROWS  # Parquet says what its columns hold
            uncastable = {column.name: column.uncastable for column in columns if column.uncastable}
            flags = [f"{sql} as {identifier(name + '__uncastable')}" for name, sql in uncastable.items()]
            rules = broken_rules_sql(self.contract, {column.name for column in columns}, set(uncastable))
            self.connection.execute(
                "create or replace temp table batch as select * exclude (_row), "
                f"case when (_is_kept and not _is_loaded) or {ROW_NUMBER} <= {sampled} "
                "then to_json(_row)::varchar end as _delivered_row from ("
                f"select *, {rules} as _broken_rules, {self._identity_hash(columns)} as _identity_hash, "
                "_is_kept and len(_broken_rules) = 0 as _is_loaded from ("
                f"select {ROW_NUMBER}, {', '.join([*typed, *flags])}, {harmonizer.condition(self.entity)} as _is_kept, "
                f"{ROW} from {table.relation}))"
            )
            self.delivered = delivered_columns(self.connection, table)
        except duckdb.Error as error:
            raise self.extract.unreadable(reason(error)) from None
        return columns, keep_unreadable_lines(self.connection, self.extract)

    def _identity_hash(self, columns: list[HarmonizedColumn]) -> str:
        """SQL that is equal for rows that share what makes a row unique; of a row without that, for equal rows."""
        names = [column.name for column in columns]
        everything = f"hash({', '.join(map(identifier, names))})"
        unique = unique_columns(self.contract, set(names))
        if not unique:
            return everything
        together = [identifier(name) for name in unique[0][1]]
        has_all = " and ".join(f"{name} is not null" for name in together)
        return f"case when {has_all} then hash({', '.join(together)}) else {everything} end"

    def _mark_duplicates_within(self) -> tuple[int, dict[str, int]]:
        """Of rows that are equal in every mapped column the first is loaded.

        Rows that share what makes a row unique but differ are all loaded, and counted by the rule they break.
        """
        repeated = "select _identity_hash from batch where _is_loaded group by _identity_hash having count(*) > 1"
        self.connection.execute(f"create or replace temp table repeated as {repeated}")
        (any_repeated,) = self.connection.execute("select count(*) > 0 from repeated").fetchall()[0]
        shares = "_is_loaded and _identity_hash in (select _identity_hash from repeated)"
        everything = ", ".join(identifier(column.name) for column in self.columns)
        copies = 0
        if any_repeated:
            copies = self._set_aside(
                f"with candidate as (select {ROW_NUMBER}, {everything}, hash({everything}) as _row_hash "
                f"from batch where {shares}), "
                "equal as (select _row_hash from candidate group by _row_hash having count(*) > 1) "
                f"select {ROW_NUMBER} from (select {ROW_NUMBER}, row_number() over (partition by {everything} "
                f"order by {ROW_NUMBER}) as copy from candidate where _row_hash in (select _row_hash from equal)) "
                "where copy > 1"
            )
        not_unique = {}
        for place, (rule, together) in enumerate(unique_columns(self.contract, {each.name for each in self.columns})):
            if place == 0 and not any_repeated:
                continue
            names = ", ".join(map(identifier, together))
            has_all = " and ".join(f"{identifier(name)} is not null" for name in together)
            among = shares if place == 0 else "_is_loaded"
            (rows,) = self.connection.execute(
                f"select coalesce(sum(rows), 0)::bigint from (select count(*) as rows from batch "
                f"where {among} and {has_all} group by {names} having count(*) > 1)"
            ).fetchall()[0]
            if rows:
                not_unique[rule] = int(rows)
        return copies, not_unique

    def _mark_known_rows(self) -> int:
        """Rows of a log (events, messages) that another file delivered already, known by key and time."""
        key = self.contract.primary_key
        if not key or self.contract.is_versioned or not set(key) <= set(self.entity.columns):
            return 0
        same = " and ".join(
            f"known.{identifier(name)} = batch.{identifier(name)}" for name in (*key, self.contract.time_column)
        )
        time = identifier(self.contract.time_column)
        span = f"select min({time})::varchar, max({time})::varchar from batch where _is_loaded"
        first, last = self.connection.execute(span).fetchall()[0]
        if first is None:
            return 0
        # Saying between which times lets DuckDB pass over the years that cannot hold these rows.
        within = f"known.{time} between {literal(first)}::timestamp and {literal(last)}::timestamp"
        return self._set_aside(
            f"select {ROW_NUMBER} from batch where _is_loaded "
            f"and exists (select 1 from {self.raw} as known where {within} and {same})"
        )

    def _set_aside(self, row_numbers: str) -> int:
        self.connection.execute(f"create or replace temp table set_aside as {row_numbers}")
        rows = self.connection.execute("select count(*) from set_aside").fetchall()[0][0]
        if rows:
            self.connection.execute(
                f"update batch set _is_loaded = false where {ROW_NUMBER} in (select {ROW_NUMBER} from set_aside)"
            )
        return int(rows)

    def _broken_rules(self) -> dict[str, int]:
        """How many rows, and lines that are no rows, break each rule; the rule that most break first."""
        counts = self.connection.execute(
            "select rule, count(*) from (select unnest(_broken_rules) as rule from batch where _is_kept "
            "union all select unnest(rules) from unreadable) group by rule order by count(*) desc, rule"
        ).fetchall()
        return dict(counts)

    def _insert(self) -> tuple[int, int]:
        """Good rows into `raw`; refused rows and unreadable lines whole, as delivered, into the quarantine.

        Returns:
            How many rows the database took into each; lines that are no rows are not counted.
        """
        names = ", ".join(identifier(column.name) for column in self.columns)
        origin = [self.mapping.name, self.extract.name]
        loaded = self.connection.execute(
            f"insert into {self.raw} ({names}, {', '.join(PROVENANCE)}) "
            f"select {names}, ?, ?, {ROW_NUMBER}, ?, ?, ?::timestamp from batch where _is_loaded",
            [*origin, self.load_id, self.sequence, self.extract.delivered_at],
        ).fetchall()[0][0]
        quarantined = self.connection.execute(
            f"insert into {self.quarantine} select ?, ?, {ROW_NUMBER}, ?, _broken_rules, _delivered_row from batch "
            f"where _is_kept and len(_broken_rules) > 0 order by {ROW_NUMBER}",
            [*origin, self.load_id],
        ).fetchall()[0][0]
        self.connection.execute(
            f"insert into {self.quarantine} select ?, ?, line, ?, rules, csv_line from unreadable order by line",
            [*origin, self.load_id],
        )
        self._note_changed_days("batch", "_is_loaded", [])
        return int(loaded), int(quarantined)

    def _warnings(self) -> dict[str, int]:
        counts = warning_counts_sql(self.contract, {column.name for column in self.columns})
        if not counts:
            return {}
        query = f"select {', '.join(sql for _, sql in counts)} from batch where _is_kept"
        row = self.connection.execute(query).fetchall()[0]
        return {name: count for (name, _), count in zip(counts, row, strict=True) if count}

    def _take_sample(self, result: IngestResult) -> None:
        """Some of the rows, loaded or not, for the contract's report; the same ones every time."""
        samples = result.samples.setdefault(self.entity.entity, [])
        room = SAMPLE_ROWS_PER_ENTITY - sum(sample.height for sample in samples)
        if room <= 0:
            return
        standard = [column for column in self.columns if column.name in self.contract.column_names]
        flags = [f"{column.name}__uncastable" for column in standard if column.uncastable]
        names = ", ".join(identifier(name) for name in [*(column.name for column in standard), *flags])
        (rows,) = self._count("_is_kept")
        step = -(-rows // min(room, SAMPLE_ROWS_PER_ENTITY // 5)) or 1
        query = f"select {names} from batch where _is_kept and {ROW_NUMBER} % {step} = 0 order by {ROW_NUMBER}"
        samples.append(self.connection.execute(query).pl())

    def _note_changed_days(self, table: str, condition: str, values: Iterable[object]) -> None:
        if self.entity.entity not in ENTITIES_WITH_DAYS:
            return
        zone = literal(self.workspace.settings.timezone)
        time = identifier(self.contract.time_column)
        self.connection.execute(
            f"insert into raw.changed_days select distinct ?, timezone({zone}, timezone('UTC', quarter))::date as day "
            # Time zones change by quarters of an hour; converting each quarter once is much faster than each row.
            f"from (select distinct time_bucket(interval '15 minutes', {time}) as quarter from {table} "
            f"where {condition}) order by day",
            [self.entity.entity, *values],
        )

    def _time_span(self) -> tuple[datetime | None, datetime | None]:
        """When the first and the last loaded row came to hold; no first where a row holds since ever."""
        columns = (self.contract.version_columns or ("_delivered_at",)) if self.contract.is_versioned else ()
        candidates = columns or (self.contract.time_column, "_delivered_at")
        delivered = f"{literal(str(self.extract.delivered_at))}::timestamp" if self.extract.delivered_at else "null"
        moments = [
            delivered if name == "_delivered_at" else f"{identifier(name)}::timestamp"
            for name in candidates
            if name == "_delivered_at" or name in self.entity.columns
        ]
        row = self.connection.execute(
            "select case when count(*) = count(moment) then min(moment) end, max(moment) "
            f"from (select coalesce({', '.join(moments)}, null::timestamp) as moment from batch where _is_loaded)"
        ).fetchall()[0]
        return row[0], row[1]

    def _count(self, *conditions: str) -> tuple[int, ...]:
        """How many rows of the batch meet each condition."""
        counts = ", ".join(f"count(*) filter ({condition})" for condition in conditions)
        row: tuple[int, ...] = self.connection.execute(f"select {counts} from batch").fetchall()[0]
        return row

"""Loads extracts into `raw`: each file whole or not at all, once, and again when it was corrected.

What belongs here: what happens to a file and to its rows. Every row read is loaded, quarantined, an exact duplicate, or
filtered by the mapping's `where`, and is counted as such; lines that cannot be read as rows are counted apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime

import duckdb
import polars as pl

from data_contracts.contract import load_contract
from data_contracts.rules import broken_rules_sql, warning_counts_sql
from orchestration.ingest.attributes import fit_attributes
from orchestration.ingest.extracts import find_extracts
from orchestration.ingest.harmonize import HarmonizedColumn, Harmonizer
from orchestration.ingest.ledger import CORRECTED, KNOWN_CONTENT, LOAD_AGAIN, LOADED, REFUSED, Entry, Ledger, Load
from orchestration.ingest.profile import profile_batch
from orchestration.ingest.reading import ROW, ROW_NUMBER, Extract, read_extract, reason
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
    """What one ingest did, and bounded samples of the new rows for the contract's report."""

    loads: list[Load] = field(default_factory=list)
    samples: dict[str, list[pl.DataFrame]] = field(default_factory=dict)

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
    with transaction(connection):
        make_raw_tables(connection)
    ledger, result = Ledger(connection), IngestResult()
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
    seen = extract.size_and_time
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
            if extract.size_and_time != seen:
                raise extract.unreadable("the file changed while it was read; the next run reads it again")
            ledger.record(load, extract, loader.load_id, loader.sequence, seen)
    except _Refused as refused:
        return refused.load
    return load


@dataclass(frozen=True)
class _Batch:
    """What is in the temporary table `batch`, and how many lines could not be read as rows."""

    columns: list[HarmonizedColumn]
    unreadable: int


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
        self.contract = load_contract(entity.entity)
        self.raw = f"raw.{identifier(entity.entity)}"
        self.quarantine = f"quarantine.{identifier(entity.entity)}"
        self.load_id = f"{extract.content_hash[:12]}-{self.mapping.content_hash[:8]}"
        self.sequence = Ledger(connection).next_sequence()
        self.columns: list[HarmonizedColumn] = []
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
        rows_read, filtered = self._count("true", "not _is_kept")
        profile = profile_batch(self.connection, "batch", [(column.name, column.type) for column in self.columns])
        duplicates = self._mark_duplicates_within()
        duplicates_of_others = self._mark_known_rows()
        (quarantined,) = self._count("_is_kept and len(_broken_rules) > 0")
        earliest, latest = self._time_span()
        load = Load(
            self.extract.name,
            self.mapping.name,
            self.entity.entity,
            status,
            rows_read=rows_read,
            rows_loaded=self._count("_is_loaded")[0],
            rows_quarantined=quarantined,
            rows_duplicate=duplicates + duplicates_of_others,
            rows_duplicate_of_other_files=duplicates_of_others,
            rows_filtered=filtered,
            rows_unreadable=unreadable,
            earliest_row_at=earliest,
            latest_row_at=latest,
            profile=profile,
            warnings=self._warnings(),
        )
        judged = rows_read - filtered + unreadable
        if judged and (quarantined + unreadable) / judged > self.workspace.settings.quarantine_threshold:
            raise _Refused(self._refusal(load))
        self._insert()
        return load

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
            uncastable = {column.name: column.uncastable for column in columns if column.uncastable}
            flags = [f"{sql} as {identifier(name + '__uncastable')}" for name, sql in uncastable.items()]
            rules = broken_rules_sql(self.contract, {column.name for column in columns}, set(uncastable))
            hashed = ", ".join(identifier(column.name) for column in columns)
            self.connection.execute(
                "create or replace temp table batch as select * exclude (_row), "
                "case when _is_kept and not _is_loaded then to_json(_row)::varchar end as _delivered_row from ("
                f"select *, {rules} as _broken_rules, hash({hashed}) as _row_hash, "
                "_is_kept and len(_broken_rules) = 0 as _is_loaded from ("
                f"select {ROW_NUMBER}, {', '.join([*typed, *flags])}, {harmonizer.condition(self.entity)} as _is_kept, "
                f"{ROW} from {table.relation}))"
            )
        except duckdb.Error as error:
            raise self.extract.unreadable(reason(error)) from None
        return columns, keep_unreadable_lines(self.connection, self.extract)

    def _mark_duplicates_within(self) -> int:
        """Of rows that are equal in every mapped column the first is loaded."""
        repeated = "select _row_hash from batch where _is_loaded group by _row_hash having count(*) > 1"
        everything = ", ".join(identifier(column.name) for column in self.columns)
        return self._set_aside(
            f"select {ROW_NUMBER} from (select {ROW_NUMBER}, row_number() over (partition by {everything} "
            f"order by {ROW_NUMBER}) as copy from batch where _is_loaded and _row_hash in ({repeated})) where copy > 1"
        )

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

    def _refusal(self, load: Load) -> Load:
        """What the contract's check tells about a refused file: counts of rows, and which rules they broke."""
        broken = self.connection.execute(
            "select rule, count(*) from (select unnest(_broken_rules) as rule from batch where _is_kept) "
            "group by rule order by count(*) desc, rule"
        ).fetchall()
        return Load(
            load.file,
            load.source,
            load.entity,
            REFUSED,
            rows_read=load.rows_read,
            rows_quarantined=load.rows_quarantined,
            rows_filtered=load.rows_filtered,
            rows_unreadable=load.rows_unreadable,
            profile=load.profile,
            warnings=dict(broken) | load.warnings,
        )

    def _insert(self) -> None:
        """Good rows into `raw`; refused rows and unreadable lines whole, as delivered, into the quarantine."""
        names = ", ".join(identifier(column.name) for column in self.columns)
        origin = [self.mapping.name, self.extract.name]
        self.connection.execute(
            f"insert into {self.raw} ({names}, {', '.join(PROVENANCE)}) "
            f"select {names}, ?, ?, {ROW_NUMBER}, ?, ?, ?::timestamp from batch where _is_loaded",
            [*origin, self.load_id, self.sequence, self.extract.delivered_at],
        )
        self.connection.execute(
            f"insert into {self.quarantine} select ?, ?, {ROW_NUMBER}, ?, _broken_rules, _delivered_row from batch "
            f"where _is_kept and len(_broken_rules) > 0 order by {ROW_NUMBER}",
            [*origin, self.load_id],
        )
        self.connection.execute(
            f"insert into {self.quarantine} select ?, ?, line, ?, rules, csv_line from unreadable order by line",
            [*origin, self.load_id],
        )
        self._note_changed_days("batch", "_is_loaded", [])

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
        standard = [column for column in self.columns if not column.name.startswith("attr_")]
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

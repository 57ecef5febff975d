"""Loads extracts into `raw`: each file whole or not at all, once, and again when it was corrected.

What belongs here: what happens to a file and to its rows. Every row read is loaded, quarantined, an exact duplicate,
filtered by the mapping's `where`, or unreadable, and is counted as such.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import duckdb
import polars as pl

from data_contracts.contract import Contract, load_contract
from data_contracts.rules import broken_rules_sql, warning_counts_sql
from orchestration.ingest.extracts import (
    ROW_NUMBER,
    Extract,
    UnreadableExtract,
    find_extracts,
    header,
    identifier,
    literal,
    reason,
    relation,
)
from orchestration.ingest.harmonize import HarmonizedColumn, Harmonizer
from orchestration.ingest.profile import profile_batch
from orchestration.ingest.tables import PROVENANCE, column_types, make_raw_tables
from orchestration.mapping import MappedEntity, Mapping
from orchestration.warehouse import transaction
from orchestration.workspace import Workspace

SAMPLE_ROWS_PER_ENTITY = 50_000
ENTITIES_WITH_DAYS = ("events",)


@dataclass(frozen=True)
class Load:
    """What became of one file for one entity."""

    file: str
    source: str
    entity: str
    status: str
    rows_read: int = 0
    rows_loaded: int = 0
    rows_quarantined: int = 0
    rows_duplicate: int = 0
    rows_duplicate_of_other_files: int = 0
    rows_filtered: int = 0
    rows_unreadable: int = 0
    earliest_row_at: datetime | None = None
    latest_row_at: datetime | None = None
    profile: dict[str, Any] = field(default_factory=dict)
    warnings: dict[str, int] = field(default_factory=dict)

    @property
    def is_balanced(self) -> bool:
        """Whether every row read is accounted for."""
        accounted = self.rows_loaded + self.rows_quarantined + self.rows_duplicate + self.rows_filtered
        return self.rows_read == accounted


@dataclass
class IngestResult:
    """What one ingest did, and bounded samples of the new rows for the contract's report."""

    loads: list[Load] = field(default_factory=list)
    samples: dict[str, list[pl.DataFrame]] = field(default_factory=dict)

    def of(self, entity: str) -> list[Load]:
        """The loads of one entity."""
        return [load for load in self.loads if load.entity == entity]


def ingest(
    connection: duckdb.DuckDBPyConnection, workspace: Workspace, progress: Callable[[str], None] = lambda _: None
) -> IngestResult:
    """Load every new or corrected file of every mapping.

    Args:
        connection: an open, writable connection.
        workspace: its mappings and its data folder.
        progress: told about each file in a sentence without personal data.

    Raises:
        UnreadableExtract: a file that cannot be read; files before it stay loaded.
    """
    # Reading in parallel may not change which row has which number.
    connection.execute("set preserve_insertion_order = true")
    attributes = {entity: {a.column: "" for a in workspace.attributes(entity)} for entity in ("contacts", "accounts")}
    make_raw_tables(connection, {entity: {} for entity in attributes})
    result = IngestResult()
    for mapping in workspace.mappings:
        extracts = find_extracts(workspace, mapping)
        for extract in sorted(extracts, key=lambda each: (each.delivered_at or datetime.min, each.name)):
            for entity in mapping.entities:
                load = _load_if_new(connection, workspace, extract, entity, result)
                if load is not None:
                    result.loads.append(load)
                    progress(
                        f"{load.file} → {load.entity}: {load.rows_loaded:,} of {load.rows_read:,} rows, {load.status}"
                    )
    return result


def _load_if_new(
    connection: duckdb.DuckDBPyConnection,
    workspace: Workspace,
    extract: Extract,
    entity: MappedEntity,
    result: IngestResult,
) -> Load | None:
    """Load one file for one entity, unless the ledger says that nothing changed."""
    stat = extract.path.stat()
    mapping = extract.mapping
    known = connection.execute(
        "select file_bytes, modified_ns, content_hash, mapping_hash, load_id, status from raw.ingested_files "
        "where file = ? and source = ? and entity = ?",
        [extract.name, mapping.name, entity.entity],
    ).fetchone()
    if known and known[:2] == (stat.st_size, stat.st_mtime_ns) and known[3] == mapping.content_hash:
        if known[5] != "to be loaded again":
            return None
    content_hash = extract.content_hash()
    if known and known[2:4] == (content_hash, mapping.content_hash) and known[5] != "to be loaded again":
        connection.execute(
            "update raw.ingested_files set file_bytes = ?, modified_ns = ? where file = ? and source = ? and entity = ?",
            [stat.st_size, stat.st_mtime_ns, extract.name, mapping.name, entity.entity],
        )
        return None
    same_content = connection.execute(
        "select file from raw.ingested_files where source = ? and entity = ? and content_hash = ? and mapping_hash = ? "
        "and file <> ? and status in ('loaded', 'corrected') limit 1",
        [mapping.name, entity.entity, content_hash, mapping.content_hash, extract.name],
    ).fetchone()
    loader = _Loader(connection, workspace, extract, entity, content_hash)
    with transaction(connection):
        if known:
            loader.retire(known[4])
        if same_content:
            load = Load(extract.name, mapping.name, entity.entity, "delivered before under another name")
        else:
            load = loader.load("corrected" if known else "loaded", result)
        loader.record(load, stat.st_size, stat.st_mtime_ns)
    return load


class _Loader:
    """Loads one file for one entity inside the caller's transaction."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        workspace: Workspace,
        extract: Extract,
        entity: MappedEntity,
        content_hash: str,
    ):
        self.connection = connection
        self.workspace = workspace
        self.extract = extract
        self.entity = entity
        self.contract: Contract = load_contract(entity.entity)
        self.content_hash = content_hash
        self.load_id = f"{content_hash[:12]}-{extract.mapping.content_hash[:8]}"

    @property
    def mapping(self) -> Mapping:
        return self.extract.mapping

    @property
    def raw(self) -> str:
        return f"raw.{identifier(self.entity.entity)}"

    def retire(self, load_id: str) -> None:
        """Take the rows of an earlier delivery of this file back.

        Files that set rows aside as duplicates of that delivery are loaded again, or those rows would be lost.
        """
        mine = "_load_id = ? and _file = ? and _source = ?"
        values = [load_id, self.extract.name, self.mapping.name]
        self._note_changed_days(self.raw, mine, values)
        self.connection.execute(f"delete from {self.raw} where {mine}", values)
        self.connection.execute(f"delete from quarantine.{identifier(self.entity.entity)} where {mine}", values)
        self.connection.execute(
            "update raw.ingested_files set status = 'to be loaded again' "
            "where entity = ? and file <> ? and (rows_duplicate_of_other_files > 0 "
            "or (content_hash = (select content_hash from raw.ingested_files where load_id = ? and file = ? "
            "and source = ? and entity = ?) and status = 'delivered before under another name'))",
            [self.entity.entity, self.extract.name, *values, self.entity.entity],
        )

    def load(self, status: str, result: IngestResult) -> Load:
        """Judge and insert the file's rows."""
        try:
            columns = self._stage_batch()
        except duckdb.Error as error:
            raise UnreadableExtract(f"{self.extract.name}: {reason(error)}") from None
        unreadable = self._unreadable_rows()
        rows_read, rows_filtered = self._one("select count(*), count(*) filter (not _is_kept) from batch")
        profile = profile_batch(self.connection, "batch", [(c.name, c.type) for c in columns])
        warnings = self._warnings(columns)
        self._take_sample(result, columns)
        duplicates = self._mark_duplicates_within(columns)
        duplicates_of_others = self._mark_known_rows()
        quarantined = self._one("select count(*) from batch where _is_kept and len(_broken_rules) > 0")[0]
        judged = rows_read - rows_filtered + unreadable
        threshold = self.workspace.settings.quarantine_threshold
        if judged and (quarantined + unreadable) / judged > threshold:
            return self._refuse(rows_read, quarantined, unreadable, rows_filtered, profile, warnings)
        self._quarantine_rows()
        loaded = self._insert(columns)
        earliest, latest = self._one(f"select min({self._time}), max({self._time}) from batch where _is_loaded")
        return Load(
            self.extract.name,
            self.mapping.name,
            self.entity.entity,
            status,
            rows_read=rows_read,
            rows_loaded=loaded,
            rows_quarantined=quarantined,
            rows_duplicate=duplicates + duplicates_of_others,
            rows_duplicate_of_other_files=duplicates_of_others,
            rows_filtered=rows_filtered,
            rows_unreadable=unreadable,
            earliest_row_at=earliest,
            latest_row_at=latest,
            profile=profile,
            warnings=warnings,
        )

    def record(self, load: Load, file_bytes: int, modified_ns: int) -> None:
        """Write the load into the ledger, in the place of an earlier one."""
        self.connection.execute(
            "delete from raw.ingested_files where file = ? and source = ? and entity = ?",
            [load.file, load.source, load.entity],
        )
        sequence = self._one("select coalesce(max(load_sequence), 0) + 1 from raw.ingested_files")[0]
        self.connection.execute(
            "insert into raw.ingested_files values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                load.file,
                load.source,
                load.entity,
                load.status,
                self.content_hash,
                self.mapping.content_hash,
                self.load_id,
                sequence,
                file_bytes,
                modified_ns,
                load.rows_read,
                load.rows_loaded,
                load.rows_quarantined,
                load.rows_duplicate,
                load.rows_duplicate_of_other_files,
                load.rows_filtered,
                load.rows_unreadable,
                load.earliest_row_at,
                load.latest_row_at,
                self.extract.delivered_at,
                json.dumps(load.profile),
            ],
        )

    def _stage_batch(self) -> list[HarmonizedColumn]:
        """The file's rows, typed and judged, in the temporary table `batch`."""
        file_header = header(self.connection, self.extract)
        source = relation(self.extract, columns=list(file_header))
        present = column_types(self.connection, self.entity.entity)
        harmonizer = Harmonizer(
            self.connection,
            self.extract,
            file_header,
            source,
            {n: t for n, t in present.items() if n.startswith("attr_")},
        )
        columns = harmonizer.columns(self.entity, self.contract)
        condition = harmonizer.condition(self.entity)
        typed = [f"{column.typed} as {identifier(column.name)}" for column in columns]
        uncastable = {column.name: column.uncastable for column in columns if column.uncastable}
        flags = [f"{sql} as {identifier(name + '__uncastable')}" for name, sql in uncastable.items()]
        rules = broken_rules_sql(self.contract, {column.name for column in columns}, set(uncastable))
        kept = f"coalesce(({condition}), false)" if condition else "true"
        everything = ", ".join(identifier(column.name) for column in columns)
        self.connection.execute("drop table if exists batch")
        self.connection.execute(
            f"create temp table batch as select *, {rules} as _broken_rules, hash({everything}) as _row_hash, "
            f"_is_kept and len(_broken_rules) = 0 as _is_loaded "
            f"from (select {ROW_NUMBER}, {', '.join([*typed, *flags])}, {kept} as _is_kept from {source})"
        )
        return columns

    def _unreadable_rows(self) -> int:
        """Lines the CSV reader set aside go to quarantine as they stand."""
        if self.extract.format not in ("csv", "tsv"):
            return 0
        self.connection.execute(
            f"create or replace temp table unreadable as select min(line) as line, "
            "list(distinct lower(error_type::varchar) order by lower(error_type::varchar)) as kinds, "
            "any_value(csv_line) as csv_line from reject_errors group by scan_id, file_id, line"
        )
        self.connection.execute("delete from reject_errors")
        self.connection.execute("delete from reject_scans")
        rows: int = self._one("select count(*) from (select distinct line from unreadable)")[0]
        return rows

    def _mark_duplicates_within(self, columns: list[HarmonizedColumn]) -> int:
        """Of rows that are equal in every mapped column the first is loaded."""
        repeated = "select _row_hash from batch where _is_loaded group by _row_hash having count(*) > 1"
        everything = ", ".join(identifier(column.name) for column in columns)
        return self._set_aside(
            f"select {ROW_NUMBER} from (select {ROW_NUMBER}, row_number() over (partition by {everything} "
            f"order by {ROW_NUMBER}) as copy from batch where _is_loaded and _row_hash in ({repeated})) where copy > 1"
        )

    def _mark_known_rows(self) -> int:
        """Rows of a log (events, messages) that another file delivered already, known by key and time."""
        key = self.contract.primary_key
        if not key or self.contract.is_versioned or not set(key) <= self._mapped_columns():
            return 0
        same_key = " and ".join(f"known.{identifier(name)} = batch.{identifier(name)}" for name in key)
        time = identifier(self.contract.time_column)
        return self._set_aside(
            f"select {ROW_NUMBER} from batch where _is_loaded and exists (select 1 from {self.raw} as known "
            f"where {same_key} and known.{time} = batch.{time})"
        )

    def _set_aside(self, row_numbers: str) -> int:
        self.connection.execute(f"create or replace temp table set_aside as {row_numbers}")
        self.connection.execute(
            f"update batch set _is_loaded = false where {ROW_NUMBER} in (select {ROW_NUMBER} from set_aside)"
        ) if self._one("select count(*) from set_aside")[0] else None
        count: int = self._one("select count(*) from set_aside")[0]
        return count

    def _quarantine_rows(self) -> None:
        """Refused rows go whole, as delivered, with every rule they broke."""
        target = f"quarantine.{identifier(self.entity.entity)}"
        if self._one("select count(*) from batch where _is_kept and len(_broken_rules) > 0")[0]:
            source = relation(self.extract, columns=list(header(self.connection, self.extract)))
            self.connection.execute(
                f"insert into {target} select ?, ?, b.{ROW_NUMBER}, ?, b._broken_rules, "
                f"to_json(s)::varchar from {source} as s inner join batch as b on s.{ROW_NUMBER} = b.{ROW_NUMBER} "
                "where b._is_kept and len(b._broken_rules) > 0",
                [self.mapping.name, self.extract.name, self.load_id],
            )
        if self.extract.format in ("csv", "tsv"):
            self.connection.execute(
                f"insert into {target} select ?, ?, line, ?, list_transform(kinds, lambda k: 'unreadable line: ' || k), "
                "csv_line from unreadable",
                [self.mapping.name, self.extract.name, self.load_id],
            )

    def _insert(self, columns: list[HarmonizedColumn]) -> int:
        present = column_types(self.connection, self.entity.entity)
        wanted = {column.name: column.type for column in columns}
        make_raw_tables(self.connection, {self.entity.entity: {n: t for n, t in wanted.items() if present.get(n) != t}})
        names = ", ".join(identifier(column.name) for column in columns)
        sequence = self._one("select coalesce(max(load_sequence), 0) + 1 from raw.ingested_files")[0]
        provenance = ", ".join(PROVENANCE)
        self.connection.execute(
            f"insert into {self.raw} ({names}, {provenance}) select {names}, {literal(self.mapping.name)}, "
            f"{literal(self.extract.name)}, {ROW_NUMBER}, {literal(self.load_id)}, {sequence}, ?::timestamp "
            "from batch where _is_loaded",
            [self.extract.delivered_at],
        )
        self._note_changed_days("batch", "_is_loaded", [])
        loaded: int = self._one("select count(*) from batch where _is_loaded")[0]
        return loaded

    def _refuse(
        self,
        rows_read: int,
        quarantined: int,
        unreadable: int,
        filtered: int,
        profile: dict[str, Any],
        warnings: dict[str, int],
    ) -> Load:
        """Too many rows are wrong: nothing is loaded, and the contract's check fails until the file is mended."""
        return Load(
            self.extract.name,
            self.mapping.name,
            self.entity.entity,
            "refused",
            rows_read=rows_read,
            rows_quarantined=quarantined,
            rows_unreadable=unreadable,
            rows_filtered=filtered,
            profile=profile,
            warnings=warnings,
        )

    def _warnings(self, columns: list[HarmonizedColumn]) -> dict[str, int]:
        counts = warning_counts_sql(self.contract, {column.name for column in columns})
        if not counts:
            return {}
        row = self._one(f"select {', '.join(sql for _, sql in counts)} from batch where _is_kept")
        return {name: count for (name, _), count in zip(counts, row, strict=True) if count}

    def _take_sample(self, result: IngestResult, columns: list[HarmonizedColumn]) -> None:
        """Some of the rows, loaded or not, for the contract's report; the same ones every time."""
        samples = result.samples.setdefault(self.entity.entity, [])
        room = SAMPLE_ROWS_PER_ENTITY - sum(sample.height for sample in samples)
        if room <= 0:
            return
        standard = [column for column in columns if not column.name.startswith("attr_")]
        flags = [f"{column.name}__uncastable" for column in standard if column.uncastable]
        names = ", ".join(identifier(name) for name in [*(column.name for column in standard), *flags])
        wanted = min(room, SAMPLE_ROWS_PER_ENTITY // 5)
        samples.append(
            self.connection.execute(
                f"select {names} from batch where _is_kept order by hash({ROW_NUMBER}), {ROW_NUMBER} limit {wanted}"
            ).pl()
        )

    def _note_changed_days(self, table: str, condition: str, values: Iterable[object]) -> None:
        if self.entity.entity not in ENTITIES_WITH_DAYS:
            return
        zone = literal(self.workspace.settings.timezone)
        time = identifier(self.contract.time_column)
        self.connection.execute(
            f"insert into raw.changed_days select distinct ?, timezone({zone}, timezone('UTC', {time}))::date "
            f"from {table} where {condition}",
            [self.entity.entity, *values],
        )

    @property
    def _time(self) -> str:
        """When a row was known to hold: its update or its time."""
        mapped = self._mapped_columns()
        candidates = (
            ["updated_at", self.contract.time_column] if self.contract.is_versioned else [self.contract.time_column]
        )
        columns = [identifier(name) for name in candidates if name in mapped]
        delivered = (
            f"{literal(str(self.extract.delivered_at))}::timestamp" if self.extract.delivered_at else "null::timestamp"
        )
        if self.contract.is_versioned:
            first = columns[:1] if "updated_at" in mapped else []
            return f"coalesce({', '.join([*first, delivered, *columns])})::timestamp"
        return f"{columns[0]}::timestamp" if columns else delivered

    def _mapped_columns(self) -> set[str]:
        return set(self.entity.columns)

    def _one(self, query: str) -> tuple[Any, ...]:
        row = self.connection.execute(query).fetchone()
        assert row is not None  # noqa: S101 - every query here is an aggregate
        return row

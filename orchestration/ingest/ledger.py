"""The ledger of files: what became of each, and whether it is new, the same as before, or has to be loaded again.

What belongs here: `raw.ingested_files`. What happens to rows stands in `load.py`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import duckdb

from activation.answers import first_row
from data_contracts.contract import load_contract
from orchestration.ingest.reading import Extract

LOADED, CORRECTED, REFUSED = "loaded", "corrected", "refused"
KNOWN_CONTENT = "delivered before under another name"
LOAD_AGAIN = "to be loaded again"
OF_THIS_FILE = "file = ? and source = ? and entity = ?"


@dataclass(frozen=True)
class Load:
    """What became of one file for one entity.

    `rows_redriven` are those among `rows_loaded` that were in quarantine first, `rows_erased` those that were dropped
    because their people were erased, `rows_erased_refused` those among them that broke a critical rule. `profile` and
    `columns` tell of the file as it was read: figures per canonical column, and each of its own columns with its type
    and what it holds.
    """

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
    rows_redriven: int = 0
    rows_erased: int = 0
    rows_erased_refused: int = 0
    earliest_row_at: datetime | None = None
    latest_row_at: datetime | None = None
    profile: dict[str, Any] = field(default_factory=dict)
    columns: dict[str, dict[str, str]] = field(default_factory=dict)
    broken_rules: dict[str, int] = field(default_factory=dict)
    warnings: dict[str, int] = field(default_factory=dict)

    @property
    def is_balanced(self) -> bool:
        """Whether every row read is accounted for."""
        kept = self.rows_loaded + self.rows_quarantined + self.rows_duplicate + self.rows_filtered
        accounted = kept + self.rows_erased
        return self.rows_read == accounted


@dataclass(frozen=True)
class Entry:
    """What the ledger knows of a file: size and time of the last look, and what was loaded."""

    seen: tuple[int, int]
    content_hash: str
    mapping_hash: str
    load_id: str
    status: str


@dataclass(frozen=True)
class StoredLoad:
    """A load of which the quarantine keeps rows.

    `columns` are those of the file as it was read then: name, and a dictionary with its `type`.
    """

    file: str
    source: str
    entity: str
    load_id: str
    load_sequence: int
    delivered_at: datetime | None
    columns: dict[str, dict[str, str]]


@dataclass(frozen=True)
class Redriven:
    """What became of the rows of one load that were in quarantine and were judged again."""

    judged: int
    loaded: int
    filtered: int
    duplicates: int
    duplicates_of_other_files: int
    earliest_row_at: datetime | None
    latest_row_at: datetime | None
    erased: int = 0

    @property
    def still_wrong(self) -> int:
        """Rows that stay in quarantine."""
        return self.judged - self.loaded - self.filtered - self.duplicates - self.erased


class Ledger:
    """`raw.ingested_files`, one row per file, mapping and entity."""

    def __init__(self, connection: duckdb.DuckDBPyConnection):
        """Keep the connection; changes belong to the caller's transaction."""
        self._connection = connection

    def entry(self, extract: Extract, entity: str) -> Entry | None:
        """What is known of a file, or None where it is new."""
        row = first_row(
            self._connection,
            "select file_bytes, modified_ns, content_hash, mapping_hash, load_id, status from raw.ingested_files "
            f"where {OF_THIS_FILE}",
            _key(extract, entity),
        )
        return Entry(row[:2], *row[2:]) if row else None

    def seen(self, extract: Extract, entity: str, now: tuple[int, int]) -> None:
        """Note size and time of a file that was touched but says the same."""
        self._connection.execute(
            f"update raw.ingested_files set file_bytes = ?, modified_ns = ? where {OF_THIS_FILE}",
            [*now, *_key(extract, entity)],
        )

    def has_content(self, extract: Extract, entity: str) -> bool:
        """Whether the same bytes were loaded under another name.

        Of an entity with versions a later delivery tells something even so: that what it says holds again.
        """
        same_delivery = "and delivered_at is not distinct from ?" if load_contract(entity).is_versioned else ""
        row = first_row(
            self._connection,
            "select 1 from raw.ingested_files where source = ? and entity = ? and content_hash = ? "
            f"and mapping_hash = ? and file <> ? and status in (?, ?) {same_delivery} limit 1",
            [
                extract.mapping.name,
                entity,
                extract.content_hash,
                extract.mapping.content_hash,
                extract.name,
                LOADED,
                CORRECTED,
                *([extract.delivered_at] if same_delivery else []),
            ],
        )
        return row is not None

    def load_dependents_again(self, extract: Extract, entity: str, replaced: Entry) -> None:
        """Files that set rows aside because `replaced` had them are loaded again, or those rows would be lost."""
        self._connection.execute(
            "update raw.ingested_files set status = ? where entity = ? and file <> ? "
            "and (rows_duplicate_of_other_files > 0 or (status = ? and source = ? and content_hash = ?))",
            [LOAD_AGAIN, entity, extract.name, KNOWN_CONTENT, extract.mapping.name, replaced.content_hash],
        )

    def to_be_loaded_again(self) -> set[tuple[str, str, str]]:
        """File, source and entity of those that wait for it."""
        query = "select file, source, entity from raw.ingested_files where status = ?"
        return set(self._connection.execute(query, [LOAD_AGAIN]).fetchall())

    def next_sequence(self) -> int:
        """A number above that of every load so far."""
        row = self._connection.execute("select coalesce(max(load_sequence), 0) + 1 from raw.ingested_files").fetchall()[
            0
        ]
        return int(row[0])

    def forget_refusals(self) -> None:
        """Every run refuses anew what is not mended."""
        self._connection.execute("delete from quarantine.refused_files")

    def record_refusal(self, load: Load) -> None:
        """Keep counts of a refused file: how many rows, and which rules they broke."""
        self._connection.execute(
            "insert into quarantine.refused_files values (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                load.file,
                load.source,
                load.entity,
                load.rows_read,
                load.rows_filtered,
                load.rows_quarantined,
                load.rows_unreadable,
                json.dumps(load.broken_rules),
            ],
        )

    def unaccounted(self, entity: str) -> list[str]:
        """What does not add up for an entity, a sentence each; asked of the ledger and of the tables themselves."""
        query = (
            "select file from raw.ingested_files where entity = ? "
            "and rows_read <> rows_loaded + rows_quarantined + rows_duplicate + rows_filtered "
            "+ coalesce(rows_erased, 0) order by file"
        )
        sentences = [f"rows read are not accounted for in {file}" for (file,) in self._rows(query, entity)]
        told = "coalesce(sum(rows_loaded), 0)::bigint, coalesce(sum(rows_quarantined + rows_unreadable), 0)::bigint"
        loaded, aside = self._rows(f"select {told} from raw.ingested_files where entity = ?", entity)[0]
        for table, rows in ((f'raw."{entity}"', loaded), (f'quarantine."{entity}"', aside)):
            there = self._connection.execute(f"select count(*) from {table}").fetchall()[0][0]
            if there != rows:
                sentences.append(f"{table} has {there:,} rows where the ledger tells of {rows:,}")
        return sentences

    def _rows(self, query: str, entity: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(query, [entity]).fetchall()

    def in_quarantine(self, entity: str | None, file: str | None) -> list[StoredLoad]:
        """The loads of which rows are in quarantine, in their order.

        Args:
            entity: only this one's.
            file: only this one.
        """
        rows = self._connection.execute(
            "select file, source, entity, load_id, load_sequence, delivered_at, columns from raw.ingested_files "
            "where rows_quarantined > 0 and entity = coalesce(?, entity) and file = coalesce(?, file) "
            "order by load_sequence, file, entity",
            [entity, file],
        ).fetchall()
        return [
            StoredLoad(name, source, of_entity, load_id, sequence, delivered_at, json.loads(columns or "{}"))
            for name, source, of_entity, load_id, sequence, delivered_at, columns in rows
        ]

    def record_redriven(self, stored: StoredLoad, redriven: Redriven) -> None:
        """Move rows that were judged again from the count of the quarantine to those they belong to now."""
        # A load of which nothing was loaded tells no first moment yet; null means "since ever" for any other.
        self._connection.execute(
            "update raw.ingested_files set "
            "earliest_row_at = case when rows_loaded = 0 then ?::timestamp when ? = 0 then earliest_row_at "
            "when earliest_row_at is not null and ?::timestamp is not null then least(earliest_row_at, ?) end, "
            "latest_row_at = greatest(latest_row_at, ?), rows_loaded = rows_loaded + ?, "
            "rows_redriven = rows_redriven + ?, rows_duplicate = rows_duplicate + ?, "
            "rows_duplicate_of_other_files = rows_duplicate_of_other_files + ?, rows_filtered = rows_filtered + ?, "
            "rows_erased = coalesce(rows_erased, 0) + ?, rows_erased_refused = coalesce(rows_erased_refused, 0) + ?, "
            f"rows_quarantined = rows_quarantined - ? where {OF_THIS_FILE}",
            [
                redriven.earliest_row_at,
                redriven.loaded,
                *[redriven.earliest_row_at] * 2,
                redriven.latest_row_at,
                *[redriven.loaded] * 2,
                redriven.duplicates,
                redriven.duplicates_of_other_files,
                redriven.filtered,
                *[redriven.erased] * 2,
                redriven.judged - redriven.still_wrong,
                stored.file,
                stored.source,
                stored.entity,
            ],
        )

    def record(
        self, load: Load, extract: Extract, load_id: str, sequence: int, seen: tuple[int, int], is_new: bool
    ) -> None:
        """Write a load: of a file that is new, or in the place of an earlier one, which DuckDB takes longer to say."""
        write = "insert into" if is_new else "insert or replace into"
        values = {
            "file": load.file,
            "source": load.source,
            "entity": load.entity,
            "status": load.status,
            "content_hash": extract.content_hash,
            "mapping_hash": extract.mapping.content_hash,
            "load_id": load_id,
            "load_sequence": sequence,
            "file_bytes": seen[0],
            "modified_ns": seen[1],
            "rows_read": load.rows_read,
            "rows_loaded": load.rows_loaded,
            "rows_quarantined": load.rows_quarantined,
            "rows_duplicate": load.rows_duplicate,
            "rows_duplicate_of_other_files": load.rows_duplicate_of_other_files,
            "rows_filtered": load.rows_filtered,
            "rows_unreadable": load.rows_unreadable,
            "rows_redriven": load.rows_redriven,
            "rows_erased": load.rows_erased,
            "rows_erased_refused": load.rows_erased_refused,
            "earliest_row_at": load.earliest_row_at,
            "latest_row_at": load.latest_row_at,
            "delivered_at": extract.delivered_at,
            "profile": json.dumps(load.profile),
            "columns": json.dumps(load.columns),
        }
        self._connection.execute(
            f"{write} raw.ingested_files ({', '.join(values)}) values ({', '.join('?' * len(values))})",
            list(values.values()),
        )


def _key(extract: Extract, entity: str) -> list[str]:
    return [extract.name, extract.mapping.name, entity]

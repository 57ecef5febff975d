"""One extract: its file, its columns, and the SQL relation that reads it as it stands.

What belongs here: CSV, TSV, JSON Lines and Parquet. What the columns mean stands in `harmonize.py`.
"""

from __future__ import annotations

import csv
import glob
import hashlib
import math
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, lru_cache
from pathlib import Path

import duckdb

from orchestration.ingest.compression import DamagedFile, UnpackedLimit, check_is_whole
from orchestration.ingest.lookups import LOOKUP, join_lookups
from orchestration.mapping import Lookup, Mapping
from orchestration.sql import identifier, literal

ROW, ROW_NUMBER = "_row", "_row_number"
MAXIMUM_LINE_BYTES = 8 * 1024 * 1024
DELIMITERS = (",", ";", "\t", "|")
LINES_WITH_THE_HEADER = 100
MAXIMUM_BIGINT = 2**63 - 1
# No text holds it, so that DuckDB reads whole lines as one column.
UNIT_SEPARATOR = "\x1f"


class UnreadableExtract(Exception):
    """A file that cannot be read at all; the message names the file and why, never its content."""


@dataclass(frozen=True)
class Extract:
    """One file of one mapping."""

    mapping: Mapping
    path: Path
    name: str
    delivered_at: datetime | None
    lookups: tuple[tuple[Lookup, tuple[Extract, ...]], ...] = ()

    @property
    def format(self) -> str:
        """csv, tsv, jsonl or parquet."""
        return self.mapping.file_format(self.path)

    @property
    def is_text_table(self) -> bool:
        """Whether the file is CSV or TSV, of which single lines can be unreadable."""
        return self.format in ("csv", "tsv")

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of the file's bytes; where it has lookups, of their files' too."""
        try:
            own = _sha256(self.path, *self._own_size_and_time)
        except OSError as error:
            raise self.unreadable(f"the file cannot be opened ({error.strerror})") from None
        if not self.lookups:
            return own
        others = [file.content_hash for _, files in self.lookups for file in files]
        return hashlib.sha256(" ".join([own, *others]).encode()).hexdigest()

    @property
    def size_and_time(self) -> tuple[int, int]:
        """Bytes and time of change in nanoseconds, lookups included: when both are as before, so is the content.

        Raises:
            UnreadableExtract: the file is gone.
        """
        files = [self, *(file for _, files in self.lookups for file in files)]
        sizes, times = zip(*(file._own_size_and_time for file in files), strict=True)
        return sum(sizes), sum(times) & MAXIMUM_BIGINT

    @property
    def _own_size_and_time(self) -> tuple[int, int]:
        try:
            stat = self.path.stat()
        except OSError as error:
            raise self.unreadable(f"the file cannot be opened ({error.strerror})") from None
        return stat.st_size, stat.st_mtime_ns

    def unreadable(self, reason: str) -> UnreadableExtract:
        """A complaint about this file."""
        return UnreadableExtract(f"{self.name}: {reason}")


@dataclass(frozen=True)
class ExtractTable:
    """An extract as SQL.

    Attributes:
        extract: the file.
        columns: names and DuckDB types, in the file's order.
        relation: SQL with two columns: `_row`, a STRUCT of the file's columns, and `_row_number` (1 = first row that
            can be read); and a STRUCT for each lookup.
        lookups: the columns that each lookup gives.
        delivered_names: for columns that had to be renamed, what the header calls them.
    """

    extract: Extract
    columns: dict[str, str]
    relation: str
    lookups: dict[str, tuple[str, ...]] = field(default_factory=dict)
    delivered_names: dict[str, str] = field(default_factory=dict)

    def has(self, column: str) -> bool:
        """Whether the file has a column; in JSON Lines dots lead into an object, of which only the top is known."""
        return self._looked_up(column) is not None or self._key(column) is not None

    def column_sql(self, column: str) -> str:
        """SQL for the value of a column of `relation`.

        Raises:
            UnreadableExtract: the file has no such column.
        """
        if found := self._looked_up(column):
            return found
        key = self._key(column)
        if key is None:
            raise self.extract.unreadable(f"there is no column '{column}'")
        field = f"{ROW}.{identifier(key)}"
        if self.extract.format != "jsonl":
            return field
        below = column[len(key) :].split(".")[1:]
        return f"({field} ->> {literal('$' + ''.join(f'.{identifier(step)}' for step in below))})"

    def _looked_up(self, column: str) -> str | None:
        lookup, _, name = column.partition(".")
        return f"{identifier(LOOKUP + lookup)}.{identifier(name)}" if name in self.lookups.get(lookup, ()) else None

    def _key(self, column: str) -> str | None:
        top = column.split(".", maxsplit=1)[0] if self.extract.format == "jsonl" else column
        for name in (column, top):
            if found := self._exact_names.get(name) or self._folded_names.get(name.casefold()):
                if len(found) > 1:
                    raise self.extract.unreadable(f"the column '{name}' stands twice in the header")
                return found[0]
        return column if column in self.columns else None

    @cached_property
    def _exact_names(self) -> dict[str, list[str]]:
        return self._by_delivered_name(str)

    @cached_property
    def _folded_names(self) -> dict[str, list[str]]:
        return self._by_delivered_name(str.casefold)

    def _by_delivered_name(self, form: Callable[[str], str]) -> dict[str, list[str]]:
        names: dict[str, list[str]] = {}
        for name in self.columns:
            names.setdefault(form(self.delivered_names.get(name, name)), []).append(name)
        return names


def read_extract(connection: duckdb.DuckDBPyConnection, extract: Extract, expected: Iterable[str] = ()) -> ExtractTable:
    """Look at a file's header and at those of its lookups; their rows are read when `relation` is.

    Args:
        connection: an open connection.
        extract: the file.
        expected: JSON Lines only: columns that the file may have although its first thousand lines have none of them.

    Raises:
        UnreadableExtract: the file is empty, damaged, cut short, or not of the stated format.
    """
    mapping = extract.mapping
    keys = [column for lookup in mapping.lookups for column in lookup.extract.equals.source_columns()]
    table = _read_file(connection, extract, [name for name in (*expected, *keys) if mapping.lookup_of(name) is None])
    return look_up(connection, table)


def look_up(connection: duckdb.DuckDBPyConnection, table: ExtractTable) -> ExtractTable:
    """The table with what the extract's lookups find for each row.

    Raises:
        UnreadableExtract: a lookup's file cannot be read or lacks a column.
    """
    for lookup, files in table.extract.lookups:
        table = join_lookups(table, lookup, [_read_file(connection, file, lookup.source_columns()) for file in files])
    return table


def _read_file(connection: duckdb.DuckDBPyConnection, extract: Extract, expected: Iterable[str]) -> ExtractTable:
    try:
        if extract.path.stat().st_size == 0:
            raise extract.unreadable("the file is empty")
        settings = extract.mapping.extract
        limit = UnpackedLimit(settings.largest_unpacked_gb, settings.largest_unpacked_ratio)
        check_is_whole(extract.path, limit)
        if extract.format == "parquet":
            return _parquet(connection, extract, limit)
        if extract.format == "jsonl":
            return _json_lines(connection, extract, expected)
        return _text_table(connection, extract)
    except duckdb.Error as error:
        raise extract.unreadable(reason(error)) from None
    except DamagedFile as error:
        raise extract.unreadable(str(error)) from None
    except OSError as error:
        raise extract.unreadable(f"the file cannot be opened ({error.strerror})") from None


@lru_cache(maxsize=10_000)
def _sha256(path: Path, size: int, modified_ns: int) -> str:
    """Of a file's bytes; size and time are part of the cache's key."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _parquet(connection: duckdb.DuckDBPyConnection, extract: Extract, limit: UnpackedLimit) -> ExtractTable:
    content, cells = connection.execute(
        "select coalesce(sum(total_uncompressed_size), 0)::bigint, coalesce(sum(num_values), 0)::bigint "
        f"from parquet_metadata({_path(extract)})"
    ).fetchall()[0]
    limit.check(content, extract.path.stat().st_size)
    UnpackedLimit(limit.gigabytes, math.inf).check(cells, 1)  # a run of equal values takes no room until it is read
    reader = f"read_parquet({_path(extract)}, hive_partitioning = false)"
    rows = connection.execute(f"describe select * from {reader}").fetchall()
    return ExtractTable(
        extract,
        {row[0]: row[1] for row in rows},
        f"(select file as {ROW}, file_row_number + 1 as {ROW_NUMBER} from {reader} as file)",
    )


def _json_lines(connection: duckdb.DuckDBPyConnection, extract: Extract, expected: Iterable[str]) -> ExtractTable:
    options = (
        f"format = 'newline_delimited', records = true, hive_partitioning = false, "
        f"maximum_object_size = {MAXIMUM_LINE_BYTES}"
    )
    sample = f"read_json({_path(extract)}, {options}, sample_size = 1000, maximum_depth = 1)"
    columns = {row[0]: "JSON" for row in connection.execute(f"describe select * from {sample}").fetchall()}
    known = ExtractTable(extract, columns, "")
    for column in expected:
        if not known.has(column):
            columns[column.split(".")[0]] = "JSON"
            known = ExtractTable(extract, columns, "")
    reader = f"read_json({_path(extract)}, {options}, columns = {_column_types(columns)})"
    return ExtractTable(extract, columns, _numbered(reader))


def _text_table(connection: duckdb.DuckDBPyConnection, extract: Extract) -> ExtractTable:
    delimiter, given_names, rows_above = _header(connection, extract)
    forget_unreadable_lines(connection)
    names = _distinct(given_names)
    columns = dict.fromkeys(names, "VARCHAR")
    renamed = {name: given for name, given in zip(names, given_names, strict=True) if given and name != given}
    options = [
        "auto_detect = false",
        "header = false",
        f"skip = {rows_above + 1}",
        f"delim = {literal(delimiter)}",
        "quote = '\"'",
        "escape = '\"'",
        "comment = ''",
        "nullstr = ''",
        "null_padding = false",
        "store_rejects = true",
        "rejects_limit = 0",
        "hive_partitioning = false",
        f"encoding = {literal(extract.mapping.extract.encoding)}",
        f"max_line_size = {MAXIMUM_LINE_BYTES}",
        f"columns = {_column_types(columns)}",
    ]
    relation = _numbered(f"read_csv({_path(extract)}, {', '.join(options)})")
    return ExtractTable(extract, columns, relation, delivered_names=renamed)


def forget_unreadable_lines(connection: duckdb.DuckDBPyConnection) -> None:
    """Empty DuckDB's lists of lines that it could not read, before a file is read; the first file makes them."""
    with suppress(duckdb.CatalogException):
        connection.execute("delete from reject_errors; delete from reject_scans")


def _header(connection: duckdb.DuckDBPyConnection, extract: Extract) -> tuple[str, list[str], int]:
    """The delimiter, the columns' names, and how many empty records stand above them.

    Where the mapping states no delimiter, it is the one that cuts the header into most names.
    """
    forget_unreadable_lines(connection)
    rows = connection.execute(
        f"select line from read_csv({_path(extract)}, auto_detect = false, header = false, quote = '', escape = '', "
        f"columns = {{'line': 'VARCHAR'}}, delim = {literal(UNIT_SEPARATOR)}, hive_partitioning = false, "
        f"max_line_size = {MAXIMUM_LINE_BYTES}, encoding = {literal(extract.mapping.extract.encoding)}, "
        # Not strict, because a quoted value below the header may hold line ends of another kind.
        f"store_rejects = true, strict_mode = false) limit {LINES_WITH_THE_HEADER}"
    ).fetchall()
    lines = [f"{row[0] or ''}\n" for row in rows]
    stated = extract.mapping.extract.delimiter or ("\t" if extract.format == "tsv" else None)
    candidates = (stated,) if stated else DELIMITERS
    headers = []
    for candidate in candidates:
        with suppress(csv.Error):  # quotes stand in the wrong places when it is not the delimiter
            headers.append((candidate, *_first_record(lines, candidate)))
    delimiter, names, rows_above = max(headers, key=lambda header: len(header[1]), default=("", [], 0))
    if len(names) < 2 and len(headers) < len(candidates):
        raise extract.unreadable("a quoted name in the header is never closed")
    first_unread = connection.execute("select min(line) from reject_errors").fetchall()[0][0]
    if first_unread is not None and first_unread <= rows_above + 1:
        raise extract.unreadable("the header is not in the stated encoding")
    if not names:
        raise extract.unreadable("the file has no header")
    return delimiter, names, rows_above


def _first_record(lines: list[str], delimiter: str) -> tuple[list[str], int]:
    for rows_above, record in enumerate(csv.reader(lines, delimiter=delimiter, strict=True)):
        if any(field.strip() for field in record):
            return [field.strip() for field in record], rows_above
    return [], 0


def _distinct(names: list[str]) -> list[str]:
    """Names that SQL can tell apart: one without letters is named by its place, a second one gets a number."""
    distinct: dict[str, str] = {}
    for place, given in enumerate(names):
        name = stem = given or f"column{place}"
        copy = 0
        while name.casefold() in distinct:
            copy += 1
            name = f"{stem}_{copy}"
        distinct[name.casefold()] = name
    return list(distinct.values())


def _numbered(reader: str) -> str:
    return f"(select file as {ROW}, row_number() over () as {ROW_NUMBER} from {reader} as file)"


def _column_types(columns: dict[str, str]) -> str:
    return "{" + ", ".join(f"{literal(name)}: {literal(type_)}" for name, type_ in columns.items()) + "}"


def _path(extract: Extract) -> str:
    """The file's path for DuckDB, which would take brackets and stars for a pattern."""
    return literal(glob.escape(str(extract.path)))


def reason(error: duckdb.Error) -> str:
    """Why DuckDB could not read a file, in words that hold nothing of the file's content."""
    text = str(error)
    line = re.search(r"[Ll]ine:? (\d+)", text)
    kinds = {  # the first that fits: some messages list the reader's options, such as the encoding
        "invalid state": "lines end in different ways, or quotes stand in the middle of values",
        "gzip": "the gzip stream is damaged",
        "frame descriptor": "this is no zstd stream",
        "magic bytes": "this is not a Parquet file, or it was cut short",
        "parquet": "the Parquet file is damaged or cut short",
        "thrift": "the Parquet file is damaged or cut short",
        "snappy": "the Parquet file is damaged or cut short",
        "json": "a line is no JSON object",
        "unicode": "the text is not in the stated encoding",
        "utf": "the text is not in the stated encoding",
        "encoding": "the text is not in the stated encoding",
        "quote": "a quoted value is never closed",
        "max_line_size": "a line is longer than 8 MB",
        "maximum line size": "a line is longer than 8 MB",
        "maximum_object_size": "a line is longer than 8 MB",
        "out of memory": "the file needs more memory than the workspace's memory_limit allows",
    }
    if isinstance(error, duckdb.ConversionException | duckdb.OutOfRangeException):
        return "an expression of the mapping fails on one of its values; `try_cast` and `try(...)` give null instead"
    words = next((meaning for sign, meaning in kinds.items() if sign in text.lower()), None)
    words = words or f"the file cannot be read ({type(error).__name__})"
    return f"line {line.group(1)}: {words}" if line else words

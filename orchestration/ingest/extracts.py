"""Extracts: which files a mapping reads, and the SQL relation that reads one of them as it is.

What belongs here: files and their formats. What their columns mean stands in `harmonize.py`.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import duckdb

from orchestration.mapping import Mapping
from orchestration.settings_file import SettingsError, SettingsFile, nearest
from orchestration.weeks import local_midnight
from orchestration.workspace import Workspace

ROW_NUMBER = "_row_number"
MAXIMUM_LINE_BYTES = 8 * 1024 * 1024


class UnreadableExtract(Exception):
    """A file that cannot be read at all; the message names the file and why, never its content."""


@dataclass(frozen=True)
class Extract:
    """One file of one mapping."""

    mapping: Mapping
    path: Path
    name: str
    delivered_at: datetime | None

    @property
    def format(self) -> str:
        """csv, tsv, jsonl or parquet."""
        return self.mapping.file_format(self.path)

    def content_hash(self) -> str:
        """SHA-256 of the file's bytes."""
        with self.path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()


def find_extracts(workspace: Workspace, mapping: Mapping) -> list[Extract]:
    """The files a mapping reads, by name; links that leave the data folder are refused."""
    extracts = []
    for path in sorted(workspace.data_folder.glob(mapping.extract.files)):
        if not path.is_file():
            continue
        if not path.resolve().is_relative_to(workspace.data_folder):
            raise UnreadableExtract(f"{path.name}: the file leads out of the data folder")
        name = path.relative_to(workspace.data_folder).as_posix()
        extracts.append(Extract(mapping, path, name, _delivered_at(mapping, name)))
    return extracts


def _delivered_at(mapping: Mapping, name: str) -> datetime | None:
    if mapping.extract.delivered_at is None:
        return None
    found = re.search(mapping.extract.delivered_at, name)
    if found is None:
        raise UnreadableExtract(f"{name}: the delivery date of the mapping's pattern is not in the file's name")
    digits = re.sub(r"\D", "", found.group(1))
    try:
        day = date(int(digits[:4]), int(digits[4:6]), int(digits[6:8]))
    except ValueError:
        raise UnreadableExtract(f"{name}: '{found.group(1)}' is no date (year, month, day)") from None
    return local_midnight(day, mapping.timezone)


def literal(value: str) -> str:
    """A text as SQL literal."""
    return "'" + value.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """A name as quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def relation(extract: Extract, columns: list[str] | None = None) -> str:
    """SQL that reads the file: its columns as they stand, and `_row_number` (1 = first data row).

    Args:
        extract: the file.
        columns: JSON Lines only: the top-level keys to read.
    """
    path = literal(str(extract.path))
    if extract.format == "parquet":
        return (
            f"(select * exclude (file_row_number), file_row_number + 1 as {ROW_NUMBER} "
            f"from read_parquet({path}, file_row_number = true))"
        )
    if extract.format == "jsonl":
        keys = ", ".join(f"{identifier(key)}: 'JSON'" for key in columns or [])
        reader = (
            f"read_json({path}, format = 'newline_delimited', columns = {{{keys}}}, "
            f"maximum_object_size = {MAXIMUM_LINE_BYTES})"
        )
    else:
        reader = f"read_csv({path}, {_csv_options(extract)})"
    return f"(select *, row_number() over () as {ROW_NUMBER} from {reader})"


def _csv_options(extract: Extract) -> str:
    delimiter = extract.mapping.extract.delimiter or ("\t" if extract.format == "tsv" else None)
    options = [
        "header = true",
        "all_varchar = true",
        "quote = '\"'",
        "escape = '\"'",
        "null_padding = false",
        "store_rejects = true",
        "rejects_limit = 0",
        f"encoding = {literal(extract.mapping.extract.encoding)}",
        f"max_line_size = {MAXIMUM_LINE_BYTES}",
    ]
    return ", ".join([*options, f"delim = {literal(delimiter)}"] if delimiter else options)


def header(connection: duckdb.DuckDBPyConnection, extract: Extract) -> dict[str, str]:
    """The file's columns and their DuckDB types, in order.

    Raises:
        UnreadableExtract: the file is empty, damaged, or not of the stated format.
    """
    path = literal(str(extract.path))
    if extract.format == "parquet":
        reader = f"read_parquet({path})"
    elif extract.format == "jsonl":
        reader = f"read_json({path}, format = 'newline_delimited', sample_size = 1000, maximum_depth = 1)"
    else:
        reader = f"read_csv({path}, {_csv_options(extract)})"
    if extract.path.stat().st_size == 0:
        raise UnreadableExtract(f"{extract.name}: the file is empty")
    try:
        rows = connection.execute(f"describe select * from {reader}").fetchall()
    except duckdb.Error as error:
        raise UnreadableExtract(f"{extract.name}: {reason(error)}") from None
    return {row[0]: row[1] for row in rows}


def reason(error: duckdb.Error) -> str:
    """Why DuckDB could not read a file, in words that hold nothing of the file's content."""
    text = str(error)
    line = re.search(r"[Ll]ine:? (\d+)", text)
    kinds = {
        "not a valid gzip": "the gzip stream is damaged",
        "gzip": "the gzip stream is damaged or cut short",
        "No magic bytes": "this is not a Parquet file, or it was cut short",
        "parquet": "the Parquet file is damaged or cut short",
        "unicode": "the text is not in the stated encoding",
        "utf": "the text is not in the stated encoding",
        "encoding": "the text is not in the stated encoding",
        "Malformed JSON": "a line is not JSON",
        "quote": "a quoted value is never closed",
        "sniffing": "no CSV dialect fits the file; state `delimiter:` in the mapping",
        "maximum_object_size": "a line is longer than 8 MB",
        "Out of Memory": "the file needs more memory than the workspace's memory_limit allows",
    }
    words = next((meaning for sign, meaning in kinds.items() if sign.lower() in text.lower()), None)
    words = words or f"the file cannot be read ({type(error).__name__})"
    return f"line {line.group(1)}: {words}" if line else words


def check_extracts(workspace: Workspace, sources_loaded_before: set[str]) -> None:
    """Every mapping finds a file, and every column it names is there.

    Args:
        workspace: the workspace.
        sources_loaded_before: mappings whose files were loaded in an earlier run and may have been archived since.

    Raises:
        SettingsError: with the mapping's line and the nearest name that exists.
    """
    with duckdb.connect() as connection:
        for mapping in workspace.mappings:
            file = SettingsFile(mapping.path)
            try:
                extracts = find_extracts(workspace, mapping)
                if not extracts:
                    if mapping.name in sources_loaded_before:
                        continue
                    there = [
                        p.relative_to(workspace.data_folder).as_posix() for p in _some_files(workspace.data_folder)
                    ]
                    raise file.error(
                        ("extract", "files"),
                        f"no file matches '{mapping.extract.files}' in {workspace.data_folder}; "
                        + nearest(mapping.extract.files, there),
                    )
                columns = header(connection, extracts[0])
            except UnreadableExtract as error:
                raise SettingsError(mapping.path, file.line(("extract", "files")), str(error)) from None
            folded = {column.casefold() for column in columns}
            for entity in mapping.entities:
                for column, place in entity.source_columns().items():
                    top_level = column.split(".")[0] if extracts[0].format == "jsonl" else column
                    if top_level.casefold() not in folded:
                        raise file.error(
                            place, f"{extracts[0].name} has no column '{column}'; {nearest(column, columns)}"
                        )


def _some_files(folder: Path) -> list[Path]:
    hidden = (path for path in folder.rglob("*") if path.is_file() and ".personae" not in path.parts)
    return sorted(path for path, _ in zip(hidden, range(500), strict=False))


def find_moments(connection: duckdb.DuckDBPyConnection, extract: Extract, column: str) -> tuple[date | None, date | None]:
    """The earliest and the latest date in a column, as far as its values are ISO dates."""
    source = relation(extract, columns=[column])
    text = f"({identifier(column)} ->> '$')" if extract.format == "jsonl" else f"{identifier(column)}::varchar"
    moment = f"try_cast({text} as timestamp)::date"
    try:
        row = connection.execute(f"select min({moment}), max({moment}) from {source}").fetchone()
    except duckdb.Error as error:
        raise UnreadableExtract(f"{extract.name}: {reason(error)}") from None
    return (row[0], row[1]) if row else (None, None)

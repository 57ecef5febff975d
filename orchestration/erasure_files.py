"""Files of past weeks without those who are erased: published tables, labels, audiences, hashed lists, reports.

What belongs here: what a file of each kind is without somebody. Only files below the workspace's own `.personae/` are
looked at; extracts are the company's (`erasure_extracts.py`). How a changed week becomes visible is
`activation/publishing.py`.
"""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from activation.answers import read_frame
from activation.hashed_audiences import hashes_of
from activation.people import person_name_sql
from activation.publishing import VERSIONS, WEEK_PATTERN, change_folders, file_sha256
from ml.phone_numbers import e164_numbers
from orchestration.erasure_people import columns_of
from orchestration.erasure_registry import condition
from orchestration.report_week import pseudonym
from orchestration.sql import literal, optional
from orchestration.weeks import Week
from orchestration.workspace import Workspace

CONTACT_COLUMNS = frozenset({"contact_id", "contact", "identifier"})
"""Headings of columns that hold contact ids, which may be short numbers and stand for something else elsewhere."""
READ_BYTES = 64 << 20


@dataclass
class Doomed:
    """By what people are known in files.

    Attributes:
        anywhere: addresses in lower case, person ids and hashes: whatever cell they stand in, the row is theirs.
        contacts: contact ids, which count in columns of contact ids only.
        typical: by week, the pseudonyms of those whom its report shows as typical.
    """

    anywhere: frozenset[str]
    contacts: frozenset[str]
    typical: dict[str, list[str]] = field(default_factory=dict)

    @property
    def patterns(self) -> list[str]:
        """All of them, to be looked for at once."""
        return sorted(self.anywhere | self.contacts)


def doomed_people(connection: duckdb.DuckDBPyConnection, workspace: Workspace) -> Doomed:
    """What to look for in files; people were found by `erasure_people`."""
    listed = {
        name: {value for (value,) in connection.execute(f"select {column} from {table}").fetchall() if value}
        for name, column, table in (
            ("addresses", "address", "erased_addresses"),
            ("persons", person_name_sql("value"), "erased_persons"),
            ("contacts", "value", "erased_contacts"),
        )
    }
    described = read_frame(
        connection,
        "select distinct email, trim(phone) as phone, country from raw.contacts "
        "where contact_id in (select value from erased_contacts) "
        "and coalesce(lower(trim(email)) in (select address from erased_addresses), true)",
    )
    numbers = e164_numbers(described.select("phone", "country"), workspace.settings.identity.phone_region)
    hashes = hashes_of(described.select("email").with_columns(phone=numbers))
    typical: dict[str, list[str]] = {}
    if ("ml", "persona_medoids") in columns_of(connection):
        for as_of, person in connection.execute(
            "select as_of, person_id from ml.persona_medoids where person_id in (select value from erased_persons)"
        ).fetchall():
            week = Week.ending(as_of)
            typical.setdefault(week.key, []).append(pseudonym(week, person))
    return Doomed(frozenset(listed["addresses"] | listed["persons"] | hashes), frozenset(listed["contacts"]), typical)


def count_in_files(connection: duckdb.DuckDBPyConnection, workspace: Workspace, doomed: Doomed) -> dict[str, int]:
    """How many rows would go, by path below `.personae/`; nothing is written."""
    counts = {}
    for path in _own_files(workspace):
        rows = _rows_of(connection, path, doomed)
        if rows:
            counts[str(path.relative_to(workspace.state_folder))] = rows
    return counts


def remove_unfinished_files(workspace: Workspace) -> None:
    """Remove what a run that died had written and not published, and what its database had put aside on the disk."""
    for folder in (workspace.table_files_folder, workspace.temporary_folder):
        shutil.rmtree(folder, ignore_errors=True)


def erase_from_files(connection: duckdb.DuckDBPyConnection, workspace: Workspace, doomed: Doomed) -> dict[str, int]:
    """Take people out of every file, week by week, and remove versions that no link leads to.

    Args:
        connection: made by `erasure_people.attached`; people were found and planned for.
        workspace: whose files.
        doomed: by what people are known in files.

    Returns:
        Rows taken out, by path below `.personae/`.
    """
    erased: dict[str, int] = {}
    for versions in sorted(workspace.state_folder.rglob(VERSIONS)):
        root = versions.parent

        def change(version: Path, draft: Path, root: Path = root) -> None:
            counts = _write_folder(connection, version, draft, doomed)
            name = re.sub(r"-[0-9a-f]{16}$", "", version.name)
            where = (root / name).relative_to(workspace.state_folder)
            erased.update({f"{where}/{file}": rows for file, rows in counts.items()})

        change_folders(root, change)
    for path in sorted(workspace.report_folder.glob("*.html")):
        text, removed = _report_without(path, doomed)
        if removed:
            _replace(path, text)
            erased[str(path.relative_to(workspace.state_folder))] = removed
    return erased


def _own_files(workspace: Workspace) -> Iterator[Path]:
    for versions in sorted(workspace.state_folder.rglob(VERSIONS)):
        for link in sorted(versions.parent.iterdir()):
            if link.is_symlink() and WEEK_PATTERN.fullmatch(link.name):
                yield from sorted(path for path in link.rglob("*") if path.is_file())
    yield from sorted(workspace.report_folder.glob("*.html"))


def _rows_of(connection: duckdb.DuckDBPyConnection, path: Path, doomed: Doomed) -> int:
    if path.suffix == ".parquet":
        told = condition("", "", _parquet_columns(connection, path))
        if told is None:
            return 0
        found = connection.execute(f"select count(*) from read_parquet({literal(str(path))}) where {told}").fetchall()
        return int(found[0][0])
    if path.suffix == ".csv":
        return _csv_without(path, None, doomed)
    if path.suffix == ".html":
        return _report_without(path, doomed)[1]
    return 0


def _write_folder(connection: duckdb.DuckDBPyConnection, version: Path, draft: Path, doomed: Doomed) -> dict[str, int]:
    """The files of one version without people; those in which nobody is are the same files."""
    removed: dict[str, int] = {}
    for path in sorted(version.rglob("*")):
        if not path.is_file():
            continue
        name = path.relative_to(version)
        target = draft / name
        target.parent.mkdir(parents=True, exist_ok=True)
        rows = _rows_of(connection, path, doomed)
        if not rows:
            try:
                os.link(path, target)
            except OSError:
                shutil.copy2(path, target)
            continue
        removed[name.as_posix()] = rows
        if path.suffix == ".parquet":
            columns = _parquet_columns(connection, path)
            others = f"select * from read_parquet({literal(str(path))}) where not ({condition('', '', columns)})"
            connection.execute(
                f"copy ({optional(others, next(iter(columns)))}) to "
                f"{literal(str(target))} (format parquet, compression zstd)"
            )
        elif path.suffix == ".csv":
            _csv_without(path, target, doomed)
        else:
            target.write_text(_report_without(path, doomed)[0], encoding="utf-8")
    for manifest in draft.rglob("manifest.json"):
        told = json.loads(manifest.read_text(encoding="utf-8"))
        if _correct_manifest(told, manifest.parent, removed):
            manifest.unlink()
            manifest.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return removed


def _parquet_columns(connection: duckdb.DuckDBPyConnection, path: Path) -> dict[str, str]:
    return {
        row[0]: row[1]
        for row in connection.execute(f"describe select * from read_parquet({literal(str(path))})").fetchall()
    }


def _csv_without(path: Path, target: Path | None, doomed: Doomed) -> int:
    """Copy a CSV file without the rows of people, the rest byte for byte; only count where there is no target."""
    patterns = doomed.patterns
    if not patterns:
        return 0
    removed = 0
    header: list[str] | None = None
    output = target.open("wb") if target else None
    try:
        for lines in _records(path):
            kept = lines
            if header is None:
                header = [name.strip().casefold() for name in _cells(lines[0].lstrip("\ufeff"))]
            suspects = pl.Series(lines).str.contains_any(patterns, ascii_case_insensitive=True)
            if suspects.any():
                gone = {
                    place for place in suspects.arg_true().to_list() if _is_of(_cells(lines[place]), header, doomed)
                }
                removed += len(gone)
                kept = [line for place, line in enumerate(lines) if place not in gone]
            if output:
                output.write("".join(kept).encode("utf-8"))
    finally:
        if output:
            output.close()
    return removed


def _records(path: Path) -> Iterator[list[str]]:
    """The records of a CSV file with their ends of line, some at a time; a record may hold line breaks in quotes."""
    with path.open("r", encoding="utf-8", newline="") as file:
        open_record = ""
        while lines := file.readlines(READ_BYTES):
            records = []
            for line in lines:
                open_record += line
                if open_record.count('"') % 2 == 0:
                    records.append(open_record)
                    open_record = ""
            if records:
                yield records
        if open_record:
            yield [open_record]


def _cells(record: str) -> list[str]:
    return next(csv.reader([record]), []) if '"' not in record else next(csv.reader(record.splitlines(True)), [])


def _is_of(cells: list[str], header: list[str], doomed: Doomed) -> bool:
    for place, cell in enumerate(cells):
        value = cell.strip().lstrip("'")
        if value.lower() in doomed.anywhere or value in doomed.anywhere:
            return True
        is_contact = place < len(header) and header[place] in CONTACT_COLUMNS
        if is_contact and value in doomed.contacts:
            return True
    return False


def _report_without(path: Path, doomed: Doomed) -> tuple[str, int]:
    """A report without the people whom it shows as typical, under whatever pseudonym."""
    found = WEEK_PATTERN.search(str(path.resolve()))
    pseudonyms = doomed.typical.get(found.group(), []) if found else []
    if not pseudonyms:
        return "", 0
    shown = re.compile(rf"<li><code>(?:{'|'.join(map(re.escape, pseudonyms))})</code>.*?</li>", re.DOTALL)
    return shown.subn("", path.read_text(encoding="utf-8"))


def _correct_manifest(told: Any, folder: Path, removed: dict[str, int]) -> bool:
    """Let a manifest tell of the files as they are now. Returns whether it said otherwise."""
    changed = False
    if isinstance(told, list):
        for one in told:
            changed |= _correct_manifest(one, folder, removed)
        return changed
    if not isinstance(told, dict):
        return False
    fewer = 0
    name = told.get("file")
    if isinstance(name, str) and name in removed:
        told["rows"] = int(told.get("rows", 0)) - removed[name]
        if "sha256" in told:
            told["sha256"] = file_sha256(folder / name)
        return True
    for key, one in told.items():
        if key == "tables" and isinstance(one, dict):
            for table in one:
                if f"{table}.parquet" in removed:
                    one[table] -= removed[f"{table}.parquet"]
                    changed = True
        elif isinstance(one, list | dict):
            changed |= _correct_manifest(one, folder, removed)
    files = told.get("files")
    if isinstance(files, list) and isinstance(told.get("rows"), int):
        fewer = told["rows"] - sum(int(one.get("rows", 0)) for one in files if isinstance(one, dict))
        told["rows"] -= fewer
    return changed or fewer != 0


def _replace(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.unfinished")
    draft.write_text(text, encoding="utf-8")
    os.replace(draft, path)

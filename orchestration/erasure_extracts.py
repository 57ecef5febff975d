"""Where the company's own files still hold people who are erased: by file and count, never by content.

What belongs here: reading extracts and the files that people keep in the workspace. They are not written: they are the
company's, and some are records it has to keep. Whoever delivers them again delivers rows that ingest drops.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from orchestration.erasure_plan import FileCount
from orchestration.workspace import STATE_FOLDER, Workspace

READ_BYTES = 64 << 20
PLAIN = frozenset({".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson", ".yml", ".yaml", ".md", ".xml", ".eml"})


@dataclass(frozen=True)
class ExtractCount:
    """One file that still holds people who are erased.

    Attributes:
        file: its path below the data folder, or the workspace.
        rows: rows of theirs that were read of it.
        lines: lines that hold one of their addresses; None where the file is no plain text.
    """

    file: str
    rows: int
    lines: int | None


def files_that_hold(workspace: Workspace, counted: Iterable[FileCount], addresses: Iterable[str]) -> list[ExtractCount]:
    """The files that still hold people who are erased, those with the most rows first.

    Args:
        workspace: whose data folder and settings are looked through.
        counted: rows of theirs, by the file they came from.
        addresses: theirs, in lower case.
    """
    rows: dict[str, int] = {}
    for one in counted:
        count = one.loaded + one.refused + one.unreadable
        rows[one.file] = max(rows.get(one.file, 0), count)  # a file may be read for several entities
    patterns = sorted(set(addresses))
    found: dict[str, ExtractCount] = {}
    for path, name in _files(workspace):
        lines = _lines_with(path, patterns) if path.suffix.lower() in PLAIN else None
        if rows.get(name) or lines:
            found[name] = ExtractCount(name, rows.get(name, 0), lines)
    return sorted(found.values(), key=lambda one: (-one.rows, -(one.lines or 0), one.file))


def _files(workspace: Workspace) -> Iterator[tuple[Path, str]]:
    seen = set()
    for folder in (workspace.data_folder, workspace.folder):
        for path in sorted(folder.rglob("*")):
            resolved = path.resolve()
            if STATE_FOLDER in path.relative_to(folder).parts or not path.is_file() or resolved in seen:
                continue
            seen.add(resolved)
            yield path, path.relative_to(folder).as_posix()


def _lines_with(path: Path, patterns: list[str]) -> int:
    if not patterns:
        return 0
    count = 0
    with path.open("rb") as file:
        while lines := file.readlines(READ_BYTES):
            texts = pl.Series([line.decode("utf-8", errors="replace") for line in lines])
            count += int(texts.str.contains_any(patterns, ascii_case_insensitive=True).sum())
    return count

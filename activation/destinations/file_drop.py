"""Files for systems that fetch: a whole list or what changed, with checksum and manifest, visible only when complete.

Here belongs how people are written into a file and read out of it; what a delivery is made of, in `deliveries`.

CSV is RFC 4180: UTF-8 without a byte order mark, a header, lines that end in CRLF. An empty cell means no value. Text
is written as it is: the reader is a machine, and a name that begins with `=` is a name.
"""

import csv
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TextIO

from activation.destinations.deliveries import MANIFEST, Deliveries, FileStore, as_text
from activation.sync.gated import Batch
from activation.sync.payload import canonical_json, plain_text
from activation.sync.protocol import (
    Applied,
    Capabilities,
    Drift,
    Fatal,
    Held,
    Job,
    Limits,
    Operation,
    Payload,
    PlanShape,
    Row,
    Scalar,
)

OPERATION_COLUMN = "operation"
REMOVE, ADD_OR_CHANGE = "remove", "upsert"
ROWS_PER_PAGE = 10_000


class Contents(StrEnum):
    """What a delivery holds."""

    FULL = "full"
    """Everybody who is desired; it replaces the delivery before."""
    DELTA = "delta"
    """What changed, with a column `operation`: `upsert` or `remove`."""


class FileFormat(StrEnum):
    """How rows are written."""

    CSV = "csv"
    JSON_LINES = "jsonl"


@dataclass
class _Draft:
    """A file that is being written: its columns, rows so far, and where."""

    name: str
    path: Path
    file: TextIO
    columns: list[str]
    rows: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


class FileDrop(Deliveries):
    """Deliveries of one destination into one store."""

    def __init__(
        self,
        name: str,
        store: FileStore,
        contents: Contents = Contents.FULL,
        file_format: FileFormat = FileFormat.CSV,
        identifier_column: str = "email",
        payload_column: str | None = None,
        stays: bool = True,
        is_case_sensitive: bool = False,
        temporary_folder: Path | None = None,
    ) -> None:
        """Store how deliveries are written.

        Args:
            name: The destination's.
            store: Where they go.
            contents: Everybody, or what changed.
            file_format: CSV or JSON Lines.
            identifier_column: What the reader calls the identifier.
            payload_column: One column that holds all fields as JSON (`PAYLOAD` for some readers); else one column each.
            stays: Whether delivered files are still there later. Only then can they be read back.
            is_case_sensitive: Whether identifiers are.
            temporary_folder: Where drafts are written, readable by nobody else; the system's where none is given.
        """
        super().__init__(name, store, temporary_folder)
        self.capabilities = Capabilities(
            frozenset({Operation.JOIN, Operation.UPSERT, Operation.LEAVE}),
            reads_back=stays and contents is Contents.FULL,
            pulls_suppressions=False,
            whole=contents is Contents.FULL,
            is_case_sensitive=is_case_sensitive,
        )
        self.limits = Limits(batch_rows=dict.fromkeys(Operation, 10_000), windows={}, batch_bytes=32_000_000)
        self._contents = contents
        self._format = file_format
        self._identifier_column = identifier_column
        self._payload_column = payload_column
        self._drafts: dict[str, _Draft] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Remove drafts and let go of the store."""
        for draft in self._drafts.values():
            draft.file.close()
        super().close()

    def prepare(self, shape: PlanShape) -> Sequence[Drift]:
        """Make room for drafts.

        Raises:
            Fatal: A segment's name cannot be a file's, or a field is called as the identifier.
        """
        for segment in shape.segments:
            if {self._identifier_column, OPERATION_COLUMN} & {mapped.name for mapped in segment.fields}:
                raise Fatal(f"a field of {segment.segment} is called {self._identifier_column} or {OPERATION_COLUMN}")
        return super().prepare(shape)

    def _apply(self, batch: Batch) -> Applied:
        """Write a batch into its segment's draft."""
        draft = self._draft(batch.segment)
        leaves = batch.operation is Operation.LEAVE
        with draft.lock:
            if not (leaves and self._contents is Contents.FULL):
                for row in batch.rows:
                    self._write(draft, row, REMOVE if leaves else ADD_OR_CHANGE)
                draft.rows += len(batch.rows)
            draft.file.flush()
        return Applied(job=Job(draft.name, batch.operation, batch.segment))

    def _draft(self, segment: str) -> _Draft:
        assert self._shape is not None, "prepare comes first"  # noqa: S101
        with self._lock:
            if segment not in self._drafts:
                fields = next(one.fields for one in self._shape.segments if one.segment == segment)
                columns = [self._identifier_column]
                if self._contents is Contents.DELTA:
                    columns.append(OPERATION_COLUMN)
                columns += [self._payload_column] if self._payload_column else sorted(mapped.name for mapped in fields)
                path = self._draft_of(segment, self._format)
                draft = _Draft(path.stem, path, path.open("w", encoding="utf-8", newline=""), columns)
                if self._format is FileFormat.CSV:
                    csv.writer(draft.file, lineterminator="\r\n").writerow(columns)
                self._drafts[segment] = draft
            return self._drafts[segment]

    def _write(self, draft: _Draft, row: Row, operation: str) -> None:
        payload = row.payload
        if self._format is FileFormat.CSV:
            given: dict[str, str] = {name: plain_text(value) for name, value in payload.items()}
            if self._payload_column:
                given = {self._payload_column: canonical_json(payload)}
            given |= {self._identifier_column: row.identifier, OPERATION_COLUMN: operation}
            csv.writer(draft.file, lineterminator="\r\n").writerow([given.get(column, "") for column in draft.columns])
            return
        line: dict[str, object] = {self._identifier_column: row.identifier}
        if self._contents is Contents.DELTA:
            line[OPERATION_COLUMN] = operation
        if self._payload_column:
            line[self._payload_column] = dict(payload)
        else:
            line.update(payload)
        draft.file.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")

    def commit(self, shape: PlanShape) -> None:
        """Deliver the drafts: data, checksum, manifest."""
        for segment, draft in sorted(self._drafts.items()):
            draft.file.close()
            told = {"rows": draft.rows, "columns": draft.columns, "contents": str(self._contents)}
            self._deliver(segment, draft.path, told)
        self._drafts.clear()
        self._delivered += 1

    def read_back(self, segment: str) -> Iterator[Sequence[Held]]:
        """The people of a segment's newest whole delivery."""
        for name in reversed(self._deliveries(segment)):
            manifest = self._pacer.call("read", lambda name=name: self._whole(name))  # type: ignore[misc]
            if manifest is not None:
                pieces = self._store.read(str(manifest["file"]))
                if pieces is not None:
                    yield from _in_pages(self._held(pieces, str(manifest["file"]).rsplit(".", 1)[-1]))
                return

    def _deliveries(self, segment: str) -> list[str]:
        """Names of a segment's deliveries, in order; those of a segment whose name begins alike are not among them."""
        prefix = f"{segment}_"
        names = self._pacer.call("list", lambda: self._store.names(prefix))
        whole = [name.removesuffix(MANIFEST) for name in names if name.endswith(MANIFEST)]
        return sorted(name for name in whole if name[len(prefix) :].count("_") == 1)

    def _held(self, pieces: Iterator[bytes], kind: str) -> Iterator[Held]:
        lines = as_text(pieces)
        rows: Iterator[Mapping[str, Scalar]] = (
            csv.DictReader(lines) if kind == FileFormat.CSV else map(json.loads, lines)
        )
        for row in rows:
            fields: Payload = {
                name: value for name, value in row.items() if name != self._identifier_column and value != ""
            }
            if self._payload_column:
                written = row[self._payload_column]
                fields = json.loads(written) if isinstance(written, str) else written  # type: ignore[assignment]
            yield Held(str(row[self._identifier_column]), payload=fields)


def _in_pages(held: Iterator[Held]) -> Iterator[list[Held]]:
    page: list[Held] = []
    for one in held:
        page.append(one)
        if len(page) == ROWS_PER_PAGE:
            yield page
            page = []
    yield page

"""Audience files: one CSV per audience with the people whom the gate let through, and nobody else.

Here belongs what such a file looks like. Who is in it is decided in `gate`: only what it sealed is written, and only
as it was sealed. How the finished folder becomes visible is `publishing`.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from activation.audience import FILES
from activation.publishing import file_sha256, publish_folder
from activation.spreadsheets import harmless
from activation.sync.gated import GatedAudience, NotGated, relation_fingerprint, require_gated, source_columns
from activation.sync.payload import quoted
from activation.sync.protocol import FieldType, MappedField

MANIFEST = "manifest.json"
PEOPLE_AT_A_TIME = 100_000

_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}", re.ASCII)
_TYPES: dict[FieldType, pl.DataType] = {
    FieldType.TEXT: pl.String(),
    FieldType.NUMBER: pl.Float64(),
    FieldType.BOOLEAN: pl.Boolean(),
    FieldType.DATE: pl.Date(),
    FieldType.TIMESTAMP: pl.Datetime("us"),
}


@dataclass(frozen=True)
class AudienceFile:
    """One published audience file.

    Attributes:
        audience: The audience whose people it holds; also the name of the file.
        path: The file.
        rows: People in it, the header not counted.
        sha256: Of the file's bytes, in hexadecimal digits.
        left_out: People who were considered and are not in the file, by reason.
    """

    audience: str
    path: Path
    rows: int
    sha256: str
    left_out: dict[str, int]


def write_audience_files(
    connection: duckdb.DuckDBPyConnection,
    audiences: Sequence[GatedAudience],
    folder: Path,
    notes: Mapping[str, Mapping[str, Any]] | None = None,
    keep_unlinked: int = 0,
) -> list[AudienceFile]:
    """Write one CSV per audience and a manifest, and let the week's folder lead to them in one step.

    Rows come in the order of their first column of ids, some at a time, so memory holds no whole audience. The same
    people give the same bytes.

    Args:
        connection: Where the gate sealed the audiences.
        audiences: What the gate sealed for the destination `files`.
        folder: `<root>/<week>`; becomes a link to a version below `<root>/.versions`.
        notes: By audience, what the manifest says of its file besides.
        keep_unlinked: Replaced versions to keep; none, because they hold addresses that may since have been withdrawn.

    Returns:
        The files in order of their names. An audience without anybody has a file with a header only, so that whoever
        mirrors the file empties it.

    Raises:
        NotGated: Something was not sealed by the gate, or for another destination, or has changed since.
        ValueError: An audience's name cannot be the name of a file.
    """
    _check_sealed(connection, audiences)
    written: list[AudienceFile] = []

    def build(draft: Path) -> None:
        written.extend(build_audience_files(connection, audiences, draft, folder.name, notes))

    version = publish_folder(build, folder.parent, folder.name, also_latest=False, keep_unlinked=keep_unlinked)
    return [AudienceFile(one.audience, version / one.path.name, one.rows, one.sha256, one.left_out) for one in written]


def build_audience_files(
    connection: duckdb.DuckDBPyConnection,
    audiences: Sequence[GatedAudience],
    draft: Path,
    week: str,
    notes: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[AudienceFile]:
    """Write the files and the manifest into a folder that somebody else publishes; see `write_audience_files`."""
    ordered = sorted(_check_sealed(connection, audiences), key=lambda audience: audience.segment)
    written = [_write_file(connection, audience, draft) for audience in ordered]
    _write_manifest(ordered, written, draft / MANIFEST, week, notes or {})
    return written


def _check_sealed(connection: duckdb.DuckDBPyConnection, audiences: Sequence[GatedAudience]) -> list[GatedAudience]:
    """The audiences, where the gate sealed them for files and nothing has changed since."""
    gated = [require_gated(audience, FILES) for audience in audiences]
    for audience in gated:
        if not _FILE_NAME.fullmatch(audience.segment):
            raise ValueError(f"{audience.segment!r} cannot be the name of a file")
        now = relation_fingerprint(connection, audience.relation, source_columns(audience.mapping))
        if now != audience.fingerprint:
            raise NotGated(f"{audience.segment} has changed since the gate sealed it")
    return gated


def _write_file(connection: duckdb.DuckDBPyConnection, audience: GatedAudience, folder: Path) -> AudienceFile:
    path = folder / f"{audience.segment}.csv"
    fields = audience.mapping.fields
    relation = ".".join(quoted(part) for part in audience.relation.split("."))
    columns = ", ".join(f"{quoted(one.source)} as c{place}" for place, one in enumerate(fields))
    sources = [one.source for one in fields]
    order = quoted("person_id" if "person_id" in sources else "identifier")
    result = connection.sql(f"select {columns} from {relation} order by {order}")
    header = pl.DataFrame({one.name: [] for one in fields}, schema={one.name: _TYPES[one.type] for one in fields})
    rows = 0
    with path.open("wb") as file:
        header.write_csv(file, line_terminator="\r\n")
        for batch in result.to_arrow_reader(PEOPLE_AT_A_TIME):
            frame = pl.from_arrow(batch)
            assert isinstance(frame, pl.DataFrame)  # noqa: S101 - a record batch is a frame
            frame.select(_column(place, one, frame) for place, one in enumerate(fields)).write_csv(
                file,
                include_header=False,
                line_terminator="\r\n",
                datetime_format="%Y-%m-%dT%H:%M:%SZ",
                date_format="%Y-%m-%d",
                float_precision=6,
                float_scientific=False,
            )
            rows += frame.height
    refused = {reason: people for reason, people in sorted(audience.decision.refused.items()) if people}
    return AudienceFile(audience.segment, path, rows, file_sha256(path), refused)


def _column(place: int, field: MappedField, frame: pl.DataFrame) -> pl.Expr:
    """A column as it is written: text gets an apostrophe before what a spreadsheet would run as a formula.

    Identifiers are written as they are: the gate lets none through that a spreadsheet would run.
    """
    column = pl.col(f"c{place}")
    if getattr(frame.schema[f"c{place}"], "time_zone", None):
        column = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    column = column.cast(_TYPES[field.type])
    if field.type is FieldType.TEXT and field.source != "identifier":
        column = harmless(column)
    return column.alias(field.name)


def _write_manifest(
    audiences: Sequence[GatedAudience],
    files: Sequence[AudienceFile],
    path: Path,
    week: str,
    notes: Mapping[str, Mapping[str, Any]],
) -> None:
    left_out: Counter[str] = Counter()
    for file in files:
        left_out.update(file.left_out)
    told = [
        {
            "purpose": audience.purpose,
            "channel": audience.channel,
            "columns": [field.name for field in audience.mapping.fields],
        }
        for audience in audiences
    ]
    manifest = {
        "week": week,
        "as_of": (date.fromisoformat(week) + timedelta(days=7)).isoformat(),
        **(told[0] if told and all(one == told[0] for one in told) else {}),
        "rows": sum(file.rows for file in files),
        "left_out": dict(sorted(left_out.items())),
        "files": [
            {
                "file": file.path.name,
                "audience": file.audience,
                **one,
                "rows": file.rows,
                "sha256": file.sha256,
                "left_out": file.left_out,
                **notes.get(file.audience, {}),
            }
            for one, file in zip(told, files, strict=True)
        ],
    }
    path.write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

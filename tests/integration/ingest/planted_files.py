"""Files made from rows that are known, with dirt that is known: what must become of each row, and of each file.

What belongs here: making the files. That ingest does with them what it must stands in `test_ingest_planted_files.py`,
and in `benchmarks/fuzz_ingest.py` for many more.
"""

from __future__ import annotations

import gzip
import io
import json
from dataclasses import dataclass, field
from typing import Any

import polars as pl
import pyarrow as pa
from hypothesis import strategies as st
from ingest_company import Company

COLUMNS = ("id", "at", "customer", "amount", "status", "note")
CANONICAL = ("order_id", "ordered_at", "contact_id", "order_amount", "order_status", "order_channel")
DATES = ["%d.%m.%Y %H:%M", "%m/%d/%y %H:%M", "%Y-%m-%d %H:%M:%S"]
# Where files of each kind are put, and what their mapping says of them.
FOLDERS: dict[str, dict[str, Any]] = {
    "utf-8": {},
    "latin-1": {"encoding": "latin-1"},
    "utf-16": {"encoding": "utf-16"},
    "european": {"delimiter": ";"},
}
NOTES = (
    *("", " ", "plain", " padded ", "a,b", "a;b", "a\tb", "a|b", 'say "hi"', '"', "it's", "\\", "\\n", "#no comment"),
    *("=cmd|' /C calc'!A0", "+1", "-1", "@SUM(1)", "NULL", "null", "nan", "007", "1e5", "2026-01-05", "true", "é", "Ω"),
    *(
        "a\nb",
        "a\n\nb",
        "a\r\nb",
        "x" * 300,
        "a\0b",
        "\u200b",
        "\u00a0",
        "日本",
        "\ufeff",
        "'; drop table raw.orders; --",
        "{}",
        "[]",
    ),
)
GOOD_AMOUNTS = ("0", "7", "-1.5", "12.25", " 3 ", "1e3", "", "0.1", "+4", "99999999999")
BAD_AMOUNTS = (
    "1,234.50",
    "€5",
    "5 EUR",
    "ten",
    "1.2.3",
    "¥5",
    "nan",
    "inf",
    "--1",
    "1e400",
    "1 000",
    "(5)",
    "12,5",
    "$1",
)
GOOD_TIMES = ("2026-01-05", "2026-01-05 10:30:00", "2026-01-05T10:30:00Z", "2026-01-05T10:30:00+02:00")
BAD_TIMES = (
    "05.01.2026",
    "01/05/2026",
    "soon",
    "2026-02-30",
    "",
    "2026",
    "12:30",
    "0001-01-01",
    "infinity",
    "1767607200",
)
EUROPEAN_AMOUNTS = {"1.234,50": 1234.5, "€ 5": 5.0, "5,25 EUR": 5.25, "-7": -7.0, "1.000.000": 1e6, "": None}
EUROPEAN_BAD_AMOUNTS = ("1,234.50", "1.23,4", "1.2345", "ten", "5 € 5", ",5")
EUROPEAN_TIMES = ("05.01.2026 10:30", "01/05/26 10:30", "2026-01-05 10:30:00")
GOOD_STATES = ("completed", "pending", "cancelled", "returned", "")
BAD_STATES = ("lost", "Completed", "paid")
UTC_TIMES = {
    "2026-01-05": "2026-01-05 00:00:00",
    "2026-01-05T10:30:00+02:00": "2026-01-05 08:30:00",
}
NOON = "2026-01-05 10:30:00"


@dataclass(frozen=True)
class PlantedFile:
    """A file and what must become of it.

    Attributes:
        name: path below the data folder.
        content: its bytes.
        rows: data rows that were written.
        loaded: per row that must be loaded its values, by its key.
        quarantined: keys of rows that must stand in quarantine.
        refused: why the whole file must be refused; None where it must not be, "" where it may be either.
    """

    name: str
    content: bytes
    rows: int
    loaded: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    quarantined: frozenset[str] = frozenset()
    refused: str | None = None


@dataclass(frozen=True)
class _Row:
    key: str
    cells: dict[str, str]
    expected: tuple[Any, ...] | None
    breakage: str | None = None


def _trimmed(text: str) -> str | None:
    return text.strip(" \u00a0") or None


@st.composite
def _rows(draw: st.DrawFn, folder: str, kind: str, token: str) -> list[_Row]:
    is_text = kind in ("csv", "tsv")
    made = []
    for number in range(draw(st.integers(0, 9))):
        key = f"k{token}n{number}k"
        good_amounts = tuple(EUROPEAN_AMOUNTS) if folder == "european" else GOOD_AMOUNTS
        bad_amounts = EUROPEAN_BAD_AMOUNTS if folder == "european" else BAD_AMOUNTS
        if folder == "latin-1":
            bad_amounts = tuple(amount for amount in bad_amounts if "€" not in amount)
        times = EUROPEAN_TIMES if folder == "european" else GOOD_TIMES
        note = draw(st.sampled_from(NOTES))
        cells = {
            "id": key,
            "at": draw(st.sampled_from(times)),
            "customer": draw(st.sampled_from(("c1", "", "c 2", "ç3"))),
            "amount": draw(st.sampled_from(good_amounts)),
            "status": draw(st.sampled_from(GOOD_STATES)),
            "note": note,
        }
        dirt = draw(st.sampled_from((None,) * 8 + ("amount", "at", "status", "id", "cells", "bytes", "quote")))
        breakage = None
        if dirt == "amount":
            cells["amount"] = draw(st.sampled_from(bad_amounts))
        elif dirt == "at":
            cells["at"] = draw(st.sampled_from(BAD_TIMES))
        elif dirt == "status":
            cells["status"] = draw(st.sampled_from(BAD_STATES))
        elif dirt == "id":
            cells |= {"id": " ", "note": key}
        elif dirt == "cells" and is_text:
            breakage = draw(st.sampled_from(("too many", "too few")))
        elif dirt == "bytes" and is_text and folder == "utf-8":
            breakage = "bytes"
        elif dirt == "quote" and is_text:
            breakage = draw(st.sampled_from(("quote", "quote", "quote", "open quote")))
        else:
            dirt = None
        if folder == "latin-1":
            cells = {name: cell.encode("latin-1", "ignore").decode("latin-1") for name, cell in cells.items()}
        if breakage in (
            "bytes",
            "quote",
            "open quote",
        ):  # beside a value that runs over lines it looks like a quote never closed
            cells["note"] = "plain"
        expected = None if dirt else _expected(folder, cells)
        made.append(_Row(key, cells, expected, breakage))
    return made


def _expected(folder: str, cells: dict[str, str]) -> tuple[Any, ...]:
    if folder == "european":
        amount, at = EUROPEAN_AMOUNTS[cells["amount"]], NOON
    else:
        amount = float(cells["amount"]) if cells["amount"] else None
        at = UTC_TIMES.get(cells["at"], NOON)
    return (at, _trimmed(cells["customer"]), amount, _trimmed(cells["status"]), _trimmed(cells["note"]))


def _cell(text: str, delimiter: str, always: bool) -> str:
    if always or any(sign in text for sign in (delimiter, '"', "\n", "\r")) or text != text.strip() or text == "":
        return '"' + text.replace('"', '""') + '"' if text or always else ""
    return text


@st.composite
def _text_file(draw: st.DrawFn, folder: str, kind: str, rows: list[_Row]) -> tuple[bytes, str | None]:
    """CSV or TSV: any order and case of columns, any quoting, line end and byte order mark; broken where planned.

    Returns:
        The bytes, and what the whole file is refused for, if it is.
    """
    delimiter = "\t" if kind == "tsv" else ";" if folder == "european" else draw(st.sampled_from(",,;|"))
    if kind == "tsv" and folder == "european":
        delimiter = ";"
    newline = draw(st.sampled_from(("\n", "\n", "\r\n")))
    always = draw(st.booleans())
    columns = draw(st.permutations((*COLUMNS, "extra", "extra")))
    form = draw(st.sampled_from((str, str, str.upper, str.title)))
    names = [form(name) for name in columns]
    whole = draw(st.sampled_from((None,) * 12 + ("no column", "column twice", "line ends")))
    if whole == "no column":
        names[columns.index("amount")] = "other"
    elif whole == "column twice":
        names[columns.index("extra")] = form("amount")
    ends = _line_ends(draw, newline, len(rows) + 1, whole)
    lines = [delimiter.join(_cell(name, delimiter, always) for name in names).encode(_codec(folder))]
    for row in rows:
        cells = [_cell(row.cells.get(name, "e"), delimiter, always) for name in columns]
        place = columns.index("note")
        if row.breakage == "too many":
            cells.append("more")
        elif row.breakage == "too few":
            cells = [cell for name, cell in zip(columns, cells, strict=True) if name != "customer"]
        elif row.breakage == "quote":
            cells[place] = f'"{row.key}"x'
        elif row.breakage == "open quote":
            cells[place] = '"open'
        line = delimiter.join(cells).encode(_codec(folder))
        if row.breakage == "bytes":
            line += b"\xff"
        lines.append(line)
    content = b"".join(line + end.encode(_codec(folder)) for line, end in zip(lines, ends, strict=True))
    if folder == "utf-16":
        content = b"\xff\xfe" + content
    elif folder == "utf-8" and draw(st.booleans()):
        content = b"\xef\xbb\xbf" + content
    return content, whole


def _line_ends(draw: st.DrawFn, newline: str, lines: int, whole: str | None) -> list[str]:
    ends = [newline] * lines
    if whole == "line ends":
        ends[draw(st.integers(0, lines - 1))] = "\n" if newline == "\r\n" else "\r\n"
    ends[-1] = draw(st.sampled_from((ends[-1], "", ends[-1] * 2)))
    return ends


def _codec(folder: str) -> str:
    return {"utf-16": "utf-16-le", "latin-1": "latin-1"}.get(folder, "utf-8")


def _json_lines(rows: list[_Row]) -> bytes:
    lines = (json.dumps({**row.cells, "extra": {"deep": [1]}}, ensure_ascii=row.key.endswith("1k")) for row in rows)
    return "".join(f"{line}\n" for line in lines).encode()


def _parquet(rows: list[_Row]) -> bytes:
    stream = io.BytesIO()
    frame = pl.DataFrame([row.cells for row in rows], schema=dict.fromkeys(COLUMNS, pl.String))
    frame.with_columns(extra=pl.lit(1)).write_parquet(stream)
    return stream.getvalue()


def compressed(content: bytes, compression: str) -> bytes:
    """Bytes as gzip or Zstandard; other words leave them."""
    if compression == "gz":
        return gzip.compress(content, mtime=0)
    return pa.compress(content, codec="zstd", asbytes=True) if compression == "zst" else content


@st.composite
def planted_files(draw: st.DrawFn, token: str) -> PlantedFile:
    """A file whose rows all hold `token`, so that many can be loaded beside each other."""
    folder = draw(st.sampled_from(("utf-8", "utf-8", *FOLDERS)))
    kinds = ("csv", "csv", "csv", "tsv", "jsonl", "parquet") if folder == "utf-8" else ("csv",)
    kind = draw(st.sampled_from(kinds))
    rows = draw(_rows(folder, kind, token))
    whole = None
    if kind == "jsonl":
        content = _json_lines(rows)
    elif kind == "parquet":
        content = _parquet(rows)
    else:
        content, whole = draw(_text_file(folder, kind, rows))
    compression = draw(st.sampled_from(("", "", "gz", "zst"))) if kind != "parquet" else ""
    content = compressed(content, compression)
    name = f"{folder}/f{token}.{kind}" + (f".{compression}" if compression else "")
    loaded = {row.key: row.expected for row in rows if row.expected is not None}
    quarantined = frozenset(row.key for row in rows if row.expected is None)
    refused = whole
    if kind == "jsonl" and not rows:
        refused = "empty"
    elif draw(st.integers(0, 9)) == 0:  # cut short, which only containers show
        keep = draw(st.integers(1, max(1, len(content) - 1)))
        if kind == "parquet" or compression:
            content, refused = content[:keep], "cut"
    if any(row.breakage == "open quote" for row in rows) or refused == "line ends":
        refused = refused if refused in ("no column", "column twice", "empty", "cut") else ""
    if refused:
        return PlantedFile(name, content, len(rows), refused=refused)
    return PlantedFile(name, content, len(rows), loaded, quarantined, refused)


def map_planted_files(company: Company) -> Company:
    """A mapping per folder."""
    for folder, extract in FOLDERS.items():
        columns: dict[str, Any] = dict(zip(CANONICAL, COLUMNS, strict=True))
        if folder == "european":
            columns |= {
                "ordered_at": {"column": "at", "format": DATES},
                "order_amount": {"column": "amount", "format": "1.234,56"},
            }
        company.maps(folder, {"orders": {"columns": columns}}, files=f"{folder}/*", **extract)
    company.settings(quarantine_threshold=1)
    return company

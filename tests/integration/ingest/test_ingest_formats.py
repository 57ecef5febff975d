"""The same rows come out of every format, plain or compressed."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from ingest_company import Company

ROWS = [
    {"id": "e1", "at": "2026-01-05 10:00:00", "user": {"id": "c1", "device": {"kind": "phone"}}, "value": 1.5},
    {"id": "e2", "at": "2026-01-06 11:30:00", "user": {"id": 'ü, "2"', "device": None}, "value": None},
    {"id": "e3", "at": "2026-01-07 12:00:00", "user": None, "value": -3.0},
]
FLAT = [
    {
        "id": row["id"],
        "at": row["at"],
        "user.id": (row["user"] or {}).get("id"),
        "user.device.kind": ((row["user"] or {}).get("device") or {}).get("kind"),
        "value": row["value"],
    }
    for row in ROWS
]
COLUMNS: dict[str, Any] = {
    "event_id": "id",
    "occurred_at": "at",
    "contact_id": "user.id",
    "event_type": {"value": "page_view"},
    "event_name": {"sql": "'by ' || coalesce(user.device.kind, '?')"},
    "device_type": "user.device.kind",
    "event_value": "value",
}
EXPECTED = [
    ("e1", "c1", "page_view", "by phone", "phone", 1.5, 1),
    ("e2", 'ü, "2"', "page_view", "by ?", None, None, 2),
    ("e3", None, "page_view", "by ?", None, -3.0, 3),
]
FORMATS = ["csv", "csv.gz", "csv.zst", "tsv", "tsv.gz", "txt", "jsonl", "jsonl.gz", "ndjson", "jsonl.zst", "parquet"]


def write(path: Path) -> None:
    """The rows in the format that the file's endings name."""
    plain, _, compression = path.name.split(".", 1)[1].partition(".")
    flat = pl.DataFrame(FLAT, schema_overrides={"user.device.kind": pl.String})
    if plain == "parquet":
        flat.write_parquet(path)
        return
    if plain in ("jsonl", "ndjson"):
        text = pl.DataFrame(ROWS).write_ndjson()
    else:
        text = flat.write_csv(separator="\t" if plain == "tsv" else ";" if plain == "txt" else ",")
    if compression == "gz":
        path.write_bytes(gzip.compress(text.encode()))
    elif compression == "zst":
        rows = duckdb.from_df(pl.DataFrame({"line": text.splitlines()}).to_pandas())
        options = "header false, delimiter '\\x01', quote '', escape '', compression zstd".replace("\\x01", "\x01")
        rows.query("lines", f"copy lines to '{path}' (format csv, {options})")
    else:
        path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize("ending", FORMATS)
def test_every_format_gives_the_same_rows(company: Company, ending: str) -> None:
    write(company.data / f"events.{ending}")
    company.maps("events", {"events": {"columns": COLUMNS}}, files=f"events.{ending}")
    assert company.load_one().rows_loaded == 3
    rows = company.rows(
        "select event_id, contact_id, event_type, event_name, device_type, event_value, _row_number "
        "from raw.events order by _row_number"
    )
    assert rows == EXPECTED
    days = company.values("select occurred_at::varchar from raw.events order by _row_number")
    assert days == [row["at"] for row in ROWS]


@pytest.mark.parametrize(
    ("options", "content"),
    [
        ({"format": "csv"}, "id,at\no1,2026-01-05\n"),
        ({}, "id;at\no1;2026-01-05\n"),
        ({}, "id|at\no1|2026-01-05\n"),
        ({}, "id\tat\no1\t2026-01-05\n"),
        ({"delimiter": "~"}, "id~at\no1~2026-01-05\n"),
        ({"format": "tsv"}, "id\tat\no1\t2026-01-05\n"),
        ({}, "\ufeffid,at\no1,2026-01-05\n"),
        ({}, "\n\nid,at\no1,2026-01-05\n"),
        ({}, "id,at\r\no1,2026-01-05\r\n"),
        ({}, "id,at\ro1,2026-01-05\r"),
        ({}, '"id","at"\n"o1","2026-01-05"'),
        ({}, '"the\nid",at, id \nx,2026-01-05,o1\n'),
        ({}, "ID,At,id\nx,2026-01-05,o1\n"),
        ({}, "ID,At,id_,\no1,2026-01-05,x,y\n"),
    ],
)
def test_a_text_file_is_read_by_its_header(company: Company, options: dict[str, str], content: str) -> None:
    columns = {"order_id": "id", "ordered_at": "at"}
    company.maps("orders", {"orders": {"columns": columns}}, files="orders.data", **options)
    company.extract("orders.data", content).ingest()
    assert company.rows("select order_id, ordered_at::varchar from raw.orders") == [("o1", "2026-01-05 00:00:00")]


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_another_encoding_is_stated_in_the_mapping(company: Company, encoding: str) -> None:
    columns = {"contact_id": "Kürzel", "city": "Stadt"}
    company.maps("contacts", {"contacts": {"columns": columns}}, files="contacts.csv", encoding=encoding)
    company.extract("contacts.csv", "Kürzel,Stadt\nc1,Köln\n".encode(encoding)).ingest()
    assert company.rows("select contact_id, city from raw.contacts") == [("c1", "Köln")]


def test_embedded_line_breaks_quotes_and_hashes_are_part_of_a_value(company: Company) -> None:
    company.maps("contacts", {"contacts": {"columns": {"contact_id": "id", "city": "city"}}}, files="contacts.csv")
    company.extract("contacts.csv", 'id,city\n#1,"a\nb"\n2,"say ""hi"""\n\n3,5" pipe\n').ingest()
    rows = company.rows("select contact_id, city, _row_number from raw.contacts order by _row_number")
    assert rows == [("#1", "a\nb", 1), ("2", 'say "hi"', 2), ("3", '5" pipe', 3)]


def test_a_key_that_only_later_lines_have_is_read(company: Company) -> None:
    lines = [f'{{"id":"e{number}","at":"2026-01-05","type":"other"}}' for number in range(1500)]
    lines.append('{"id":"e1500","at":"2026-01-05","type":"other","customer":{"no":7}}')
    columns = {"event_id": "id", "occurred_at": "at", "event_type": "type", "contact_id": "customer.no"}
    company.maps("events", {"events": {"columns": columns}}, files="events.jsonl")
    company.extract("events.jsonl", "\n".join(lines)).ingest()
    assert company.rows("select count(*), max(contact_id) from raw.events") == [(1501, "7")]


def test_a_key_with_a_dot_in_it_is_itself(company: Company) -> None:
    columns = {"event_id": "id", "occurred_at": "at", "event_type": {"value": "other"}, "contact_id": "user.id"}
    company.maps("events", {"events": {"columns": columns}}, files="events.jsonl")
    company.extract("events.jsonl", '{"id":"e1","at":"2026-01-05","user.id":"c1"}\n').ingest()
    assert company.values("select contact_id from raw.events") == ["c1"]


def test_one_extract_feeds_two_entities(company: Company) -> None:
    entities = {
        "orders": {"columns": {"order_id": "id", "ordered_at": "at"}},
        "contacts": {"where": "customer <> ''", "columns": {"contact_id": "customer"}},
    }
    company.maps("orders", entities, files="orders.csv")
    company.delivers("orders.csv", ["o1,2026-01-05,c1,,", "o2,2026-01-06,c1,,", "o3,2026-01-07,,,"]).ingest()
    assert company.values("select order_id from raw.orders order by 1") == ["o1", "o2", "o3"]
    assert company.values("select contact_id from raw.contacts") == ["c1"]

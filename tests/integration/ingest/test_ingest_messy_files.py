"""A messy file is loaded row by row so that every row is accounted for, or refused whole in one sentence.

What never happens: a traceback of a library, a row that vanishes, a value of the data in a message.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ingest_company import Company, order, orders

from orchestration.ingest.ledger import Load
from orchestration.ingest.load import ingest
from orchestration.ingest.reading import UnreadableExtract
from orchestration.ingest.redrive import redrive

CANARY = "jane.doe@canary.example"
HEADER = "id,at,customer,amount,status"
FIELDS = st.sampled_from(
    ["o1", "o2", "2026-01-05", "2026-01-05 10:00:00", "soon", "7", "-1.5", "completed", "lost", "", " ", "NULL", CANARY]
)
ODD_TEXT = st.sampled_from(
    [f'"{CANARY}', f'{CANARY}"', f'"{CANARY}"x', '"', '""', '"a\nb"', '"a""b"', "\0", "é", "#", "'", "\\", "=1+1"]
)
LINES = st.lists(st.one_of(FIELDS, FIELDS, FIELDS, ODD_TEXT), min_size=1, max_size=7)
GOOD_LINES = st.integers(min_value=0, max_value=999).map(lambda number: order(number).split(","))


@st.composite
def messy_files(draw: st.DrawFn) -> bytes:
    """Lines of which most are good, with another delimiter, line ends or encoding than expected, or cut off."""
    lines = draw(st.lists(st.one_of(GOOD_LINES, GOOD_LINES, LINES, st.just([""])), max_size=25))
    delimiter = draw(st.sampled_from([",", ",", ",", ";", "\t", "|"]))
    newline = draw(st.sampled_from(["\n", "\n", "\r\n", "\r"]))
    header = draw(st.sampled_from([HEADER, HEADER, HEADER, f"\n{HEADER}", f'"{HEADER}', f"{CANARY},x", ""]))
    text = newline.join([header.replace(",", delimiter), *(delimiter.join(line) for line in lines)])
    data = (text + newline * draw(st.integers(0, 3))).encode(draw(st.sampled_from(["utf-8", "utf-8-sig", "latin-1"])))
    cut = draw(st.one_of(st.just(len(data)), st.integers(0, len(data))))
    return draw(st.sampled_from([b"", b"", b"\xff\xfe", b"\0"])) + data[:cut]


def load_or_refuse(company: Company) -> str | None:
    """What ingest says of a file it cannot read, or None when it read it and every row is accounted for."""
    try:
        result = ingest(company.connection, company.open())
    except UnreadableExtract as error:
        assert company.rows("select * from raw.ingested_files") == []
        assert company.rows("select * from raw.orders union all by name select * from quarantine.orders") == []
        return str(error)
    (load,) = result.loads
    raw, refused = company.values("select count(*) from raw.orders union all select count(*) from quarantine.orders")
    assert load.rows_loaded == raw
    if load.status == "loaded":
        assert load.is_balanced
        assert load.rows_quarantined + load.rows_unreadable == refused
    else:
        assert (load.status, raw, refused) == ("refused", 0, 0)
    return None


@pytest.fixture(scope="module")
def messy_company(tmp_path_factory: pytest.TempPathFactory) -> Company:
    company = Company(tmp_path_factory.mktemp("messy") / "company").map_orders()
    company.settings(quarantine_threshold=1)
    company.ingest()
    return company


def forget(company: Company) -> None:
    for path in company.data.iterdir():
        path.unlink()
    for table in ("raw.ingested_files", "raw.orders", "quarantine.orders"):
        company.connection.execute(f"delete from {table}")


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=messy_files(), compressed=st.sampled_from([False, False, True]))
def test_every_messy_csv_balances_or_is_refused_in_one_sentence(
    messy_company: Company, data: bytes, compressed: bool
) -> None:
    forget(messy_company)
    name = "orders.csv.gz" if compressed else "orders.csv"
    messy_company.map_orders(name).extract(name, gzip.compress(data) if compressed else data)
    message = load_or_refuse(messy_company)
    if message is not None:
        assert message.startswith(f"{name}: ")
        assert "\n" not in message
        assert CANARY not in message


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(rows=st.lists(st.lists(st.one_of(FIELDS, ODD_TEXT), min_size=5, max_size=5), min_size=1, max_size=12))
def test_every_row_that_is_written_properly_is_read(messy_company: Company, rows: list[list[str]]) -> None:
    forget(messy_company)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([HEADER.split(","), *rows])
    messy_company.map_orders("orders.csv").extract("orders.csv", text.getvalue())
    assert load_or_refuse(messy_company) is None
    read, unreadable = messy_company.rows("select rows_read, rows_unreadable from raw.ingested_files")[0]
    assert (read, unreadable) == (len(rows), 0)
    delivered = messy_company.values("select delivered_row from quarantine.orders order by _row_number")
    kept = [[value or "" for value in json.loads(row).values()] for row in delivered]
    assert all(row in rows for row in kept)


def parquet() -> bytes:
    stream = io.BytesIO()
    pl.DataFrame({name: [CANARY] * 500 for name in HEADER.split(",")}).write_parquet(stream)
    return stream.getvalue()


def json_lines(*lines: str) -> bytes:
    return "\n".join([json.dumps(dict(zip(HEADER.split(","), order(1).split(","), strict=True))), *lines]).encode()


MANY_ORDERS = "\n".join([HEADER, *(order(number, customer=CANARY) for number in range(5000))]).encode()
DAMAGED = {
    "empty.csv": (b"", "the file is empty"),
    "blank.csv": (b"\n  \n\n", "the file has no header"),
    "names.csv": (f'{HEADER},"{CANARY}\n{order(1)},1\n'.encode(), "a quoted name in the header is never closed"),
    "lone.csv": (f"{CANARY}\n".encode(), "there is no column 'id'"),
    "cut.csv.gz": (gzip.compress(MANY_ORDERS)[:-20], "the gzip stream is cut short"),
    "half.csv.gz": (gzip.compress(MANY_ORDERS)[:2000], "the gzip stream is cut short"),
    "plain.csv.gz": (MANY_ORDERS, "the gzip stream is damaged"),
    "plain.csv.zst": (MANY_ORDERS, "this is no zstd stream"),
    "mixed.csv": (
        f"{HEADER}\r\n{order(1, customer=CANARY)}\r\n{order(2)}\n{order(3)}\n".encode(),
        "lines end in different ways, or quotes stand in the middle of values",
    ),
    "cut.parquet": (parquet()[:-50], "this is not a Parquet file, or it was cut short"),
    "none.parquet": (MANY_ORDERS, "this is not a Parquet file, or it was cut short"),
    "cut.jsonl": (json_lines(f'{{"id":"{CANARY}'), "line 3: a line is no JSON object"),
    "array.jsonl": (json_lines(f'["{CANARY}"]'), "a line is no JSON object"),
    "words.jsonl": (json_lines(CANARY), "line 3: a line is no JSON object"),
    "cut.jsonl.gz": (gzip.compress(json_lines() * 50)[:-9], "the gzip stream is cut short"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_named_with_what_is_wrong(company: Company, name: str) -> None:
    content, reason = DAMAGED[name]
    company.map_orders(name).extract(name, content)
    assert load_or_refuse(company) == f"{name}: {reason}"


def test_a_zstd_file_that_is_cut_short_is_refused(company: Company) -> None:
    path = company.data / "orders.csv.zst"
    company.connection.execute(
        f"copy (select 'o' || i as id, '2026-01-05' as at, '' as customer, i as amount, '' as status "
        f"from range(300000) as t(i)) to '{path}' (header, compression zstd)"
    )
    whole = path.read_bytes()
    company.map_orders("orders.csv.zst")
    for missing in (1, 3, len(whole) // 2):
        path.write_bytes(whole[:-missing])
        assert load_or_refuse(company) == "orders.csv.zst: the zstd stream is cut short"
    path.write_bytes(whole)
    assert company.load_one().rows_loaded == 300_000


@pytest.mark.parametrize("place", [1, 400, 999])
def test_a_quote_that_swallows_the_lines_after_it_is_told_not_counted_as_one_row(company: Company, place: int) -> None:
    lines = orders(*range(1000))
    lines[place] = f'"{CANARY}' + lines[place]
    lines.insert(place + 1, order(5000))
    company.map_orders().delivers("orders.csv", lines)
    assert load_or_refuse(company) == f"orders.csv: line {place + 2}: a quoted value is never closed"


def test_a_misplaced_quote_within_one_line_costs_only_that_line(company: Company) -> None:
    lines = orders(*range(100))
    lines[50] = order(50, customer=f'"{CANARY}"x')
    load = company.map_orders().delivers("orders.csv", lines).load_one()
    assert (load.rows_loaded, load.rows_unreadable) == (99, 1)
    assert company.rows("select _row_number, rules from quarantine.orders") == [
        (52, ["unreadable line: unquoted value"])
    ]


def test_bytes_of_another_encoding_cost_their_line(company: Company) -> None:
    lines = [*orders(*range(100)), order(100, customer="Jos\xe9")]
    company.map_orders().extract("orders.csv", "\n".join([HEADER, *lines]).encode("latin-1"))
    load = company.load_one()
    assert (load.rows_loaded, load.rows_unreadable) == (100, 1)
    assert company.values("select rules[1] from quarantine.orders") == ["unreadable line: invalid encoding"]


def test_a_header_in_another_encoding_says_so(company: Company) -> None:
    company.map_orders().extract("orders.csv", f"{HEADER},Stra\xdfe\n{order(1)},x\n".encode("latin-1"))
    assert load_or_refuse(company) == "orders.csv: the header is not in the stated encoding"


def test_a_header_alone_is_a_file_of_no_rows(company: Company) -> None:
    load = company.map_orders().extract("orders.csv", HEADER).load_one()
    assert (load.status, load.rows_read, load.rows_loaded) == ("loaded", 0, 0)


def test_a_nul_byte_is_a_character_like_others(company: Company) -> None:
    company.map_orders().delivers("orders.csv", [order(1, customer="a\0b")]).ingest()
    assert company.values("select contact_id from raw.orders") == ["a\0b"]


class TestExpressionsThatFailOnAValue:
    """The row goes into the quarantine, the rest is loaded; before, the whole file was refused."""

    def load(self, company: Company, lines: list[str], where: str | None = None, **columns: str) -> Load:
        company.settings(quarantine_threshold=1)
        sources = {"order_id": "id", "ordered_at": "at"} | {name: {"sql": sql} for name, sql in columns.items()}
        entity = {"columns": sources} | ({"where": where} if where else {})
        company.maps("orders", {"orders": entity}, files="orders.csv").delivers("orders.csv", lines)
        load = company.load_one()
        assert load.rows_read == load.rows_loaded + load.rows_quarantined + load.rows_filtered + load.rows_duplicate
        return load

    def rules(self, company: Company) -> list[tuple[int, list[str]]]:
        return company.rows("select _row_number, rules from quarantine.orders order by 1")

    def test_the_row_is_set_aside_and_what_it_says_is_not_shown(self, company: Company) -> None:
        lines = [order(1, amount="250"), order(2, amount=CANARY), order(3, amount="")]
        load = self.load(company, lines, order_amount="(case when amount <> '' then amount end)::double / 100")
        assert (load.rows_loaded, load.rows_quarantined) == (2, 1)
        assert company.rows("select order_id, order_amount from raw.orders order by 1") == [("o1", 2.5), ("o3", None)]
        assert self.rules(company) == [(2, ["order_amount is not a number"])]

    def test_a_text_that_cannot_be_computed_is_named_and_a_required_one_is_not_called_missing(
        self, company: Company
    ) -> None:
        columns = {"order_id": "(amount::int)::varchar", "contact_id": "'c' || (amount::int)"}
        self.load(company, [order(1, amount="7"), order(2, amount=CANARY)], **columns)
        assert company.rows("select order_id, contact_id from raw.orders") == [("7", "c7")]
        assert self.rules(company) == [
            (
                2,
                [
                    "order_id cannot be computed by the mapping's expression",
                    "contact_id cannot be computed by the mapping's expression",
                ],
            )
        ]

    def test_an_expression_that_says_the_same_twice_fails_on_its_own_rows_only(self, company: Company) -> None:
        twice = "case when amount::double > 0 then amount::double else 0.0 end"
        load = self.load(company, [order(n, amount="x" if n == 3 else str(n)) for n in range(1, 6)], order_amount=twice)
        assert (load.rows_loaded, load.rows_quarantined) == (4, 1)

    def test_a_row_whose_condition_has_no_answer_is_not_left_out_without_a_word(self, company: Company) -> None:
        lines = [order(1, amount="5"), order(2, amount="-5"), order(3, amount=CANARY)]
        load = self.load(company, lines, where="amount::double > 0", order_amount="1.0")
        assert (load.rows_loaded, load.rows_filtered, load.rows_quarantined) == (1, 1, 1)
        assert self.rules(company) == [(3, ["the mapping's `where` has no answer"])]

    def test_lines_that_are_no_rows_are_counted_once(self, company: Company) -> None:
        lines = [order(1, amount="5"), "o2,too,many,cells,in,this,line", order(3, amount=CANARY)]
        load = self.load(company, lines, order_amount="amount::double")
        assert (load.rows_read, load.rows_loaded, load.rows_quarantined, load.rows_unreadable) == (2, 1, 1, 1)

    def test_what_is_mended_comes_out_again(self, company: Company) -> None:
        self.load(company, [order(1, amount="5"), order(2, amount="6 EUR")], order_amount="amount::double")
        mended = {"order_id": "id", "ordered_at": "at", "order_amount": {"sql": "split_part(amount, ' ', 1)::double"}}
        company.maps("orders", {"orders": {"columns": mended}}, files="orders.csv")
        assert [retry.redriven.loaded for retry in redrive(company.connection, company.open()) if retry.redriven] == [1]
        assert company.rows("select order_id, order_amount from raw.orders order by 1") == [("o1", 5.0), ("o2", 6.0)]


def test_moments_beyond_every_calendar_do_not_stop_the_load(company: Company) -> None:
    columns = {"contact_id": "id", "created_at": "at"}
    company.maps("contacts", {"contacts": {"columns": columns}}, files="contacts.csv")
    moments = ["294247-01-01", "infinity", "-infinity", "0001-01-01", "2026-01-05"]
    company.extract("contacts.csv", "id,at\n" + "".join(f"c{n},{at}\n" for n, at in enumerate(moments)))
    assert company.load_one().rows_loaded == 5


def test_sums_that_no_number_holds_do_not_stop_the_load(company: Company) -> None:
    company.settings(quarantine_threshold=1)
    company.map_orders().delivers("orders.csv", [order(1), *(order(n, amount="1e308") for n in range(2, 5))])
    assert company.load_one().rows_quarantined == 3


def test_the_file_as_delivered_stays_as_it_is(company: Company) -> None:
    company.map_orders().delivers("orders.csv", orders(1, 2))
    before = (company.data / "orders.csv").read_bytes()
    company.ingest()
    assert (company.data / "orders.csv").read_bytes() == before
    assert [path.name for path in Path(company.data).iterdir()] == ["orders.csv"]

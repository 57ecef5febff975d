"""Rows in quarantine are listed, explained, and loaded once they are good; nothing is lost or counted twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ingest_company import EVENT_COLUMNS, ORDER_COLUMNS, Company, event, order, orders
from typer.testing import CliRunner

from orchestration.cli import EXIT_WRONG_SETTING, app
from orchestration.ingest.ledger import Ledger, Redriven
from orchestration.ingest.redrive import redrive

NO_STATUS = "order_status is none of completed, cancelled, returned, pending"
COUNTS = (
    "select rows_read, rows_loaded, rows_quarantined, rows_duplicate, rows_filtered, rows_redriven "
    "from raw.ingested_files order by load_sequence, entity"
)
IDS = "select order_id, _row_number from raw.orders order by _file, _row_number"


def map_status(company: Company, **values: str) -> Company:
    """Map orders so that other words of the status are understood."""
    status = {"column": "status", "values": values} if values else "status"
    return company.maps("orders", {"orders": {"columns": {**ORDER_COLUMNS, "order_status": status}}}, files="orders*")


def retry(company: Company, **which: str) -> list[Redriven]:
    """Judge the quarantine again; whatever came of it, every row must be accounted for."""
    done = redrive(company.connection, company.open(), **which)
    for entity in ("orders", "events", "contacts"):
        assert Ledger(company.connection).unaccounted(entity) == []
    assert [each.problem for each in done] == [""] * len(done)
    return [each.redriven for each in done if each.redriven]


@pytest.fixture
def shop(company: Company) -> Company:
    """Four orders in a file that was archived since: one is good, two are of an unknown status, one has no moment."""
    company.settings(quarantine_threshold=1)
    lines = [order(1), order(2, status="shipped"), order(3, status="shipped"), order(4, at="soon")]
    map_status(company).delivers("orders.csv", lines).ingest()
    (company.data / "orders.csv").unlink()
    return company


class TestRetry:
    def test_nothing_changes_while_nothing_is_mended(self, shop: Company) -> None:
        before = shop.everything("orders")
        (done,) = retry(shop)
        assert (done.judged, done.loaded, done.still_wrong) == (3, 0, 3)
        assert shop.everything("orders") == before

    def test_after_a_mended_mapping_rows_are_loaded_as_if_they_had_been_good(self, shop: Company) -> None:
        map_status(shop, shipped="completed")
        (done,) = retry(shop)
        assert (done.judged, done.loaded, done.still_wrong) == (3, 2, 1)
        assert shop.rows(IDS) == [("o1", 1), ("o2", 2), ("o3", 3)]
        assert shop.values("select count(distinct (_load_id, _load_sequence, _source)) from raw.orders") == [1]
        assert shop.rows("select _row_number, rules from quarantine.orders") == [(4, ["ordered_at is not a timestamp"])]
        assert shop.rows(COUNTS) == [(4, 3, 1, 0, 0, 2)]

    def test_doing_it_twice_changes_nothing_more(self, shop: Company) -> None:
        map_status(shop, shipped="completed")
        retry(shop)
        before = [shop.everything("orders"), shop.rows(COUNTS)]
        (done,) = retry(shop)
        assert (done.judged, done.loaded) == (1, 0)
        assert [shop.everything("orders"), shop.rows(COUNTS)] == before

    def test_a_mended_contract_does_it_too(self, shop: Company) -> None:
        values = ["completed", "cancelled", "returned", "pending", "shipped"]
        text = f"""
apiVersion: v3.1.0
kind: DataContract
id: x
version: 1.0.0
status: active
schema:
  - name: orders
    properties:
      - name: order_status
        quality: [{{metric: invalidValues, arguments: {{validValues: {json.dumps(values)}}}}}]
customProperties:
  - {{property: loosens, value: [{{rule: "{NO_STATUS}", reason: We ship before we complete.}}]}}
"""
        (shop.folder / "contracts").mkdir()
        (shop.folder / "contracts" / "orders.odcs.yaml").write_text(text)
        assert [done.loaded for done in retry(shop)] == [2]

    def test_a_row_that_breaks_other_rules_now_says_so(self, shop: Company) -> None:
        columns = {
            **ORDER_COLUMNS,
            "ordered_at": {"sql": "case when \"at\" = 'soon' then '2026-01-01' else 'late' end"},
        }
        shop.maps("orders", {"orders": {"columns": columns}}, files="orders*")
        retry(shop)
        rows = shop.rows("select _row_number, rules from quarantine.orders order by 1")
        assert rows == [
            (2, ["ordered_at is not a timestamp", NO_STATUS]),
            (3, ["ordered_at is not a timestamp", NO_STATUS]),
        ]

    def test_rows_that_the_mapping_leaves_out_now_are_counted_as_such(self, shop: Company) -> None:
        entity = {"columns": ORDER_COLUMNS, "where": "status <> 'shipped'"}
        shop.maps("orders", {"orders": entity}, files="orders*")
        (done,) = retry(shop)
        assert (done.loaded, done.filtered, done.still_wrong) == (0, 2, 1)
        assert shop.rows(COUNTS) == [(4, 1, 1, 0, 2, 0)]

    def test_equal_rows_are_loaded_once(self, company: Company) -> None:
        company.settings(quarantine_threshold=1)
        lines = [order(1), order(1, status="done"), *[order(2, status="done")] * 2]
        map_status(company).delivers("orders.csv", lines).ingest()
        map_status(company, done="completed")
        (done,) = retry(company)
        assert (done.loaded, done.duplicates) == (1, 2)
        assert company.rows(IDS) == [("o1", 1), ("o2", 3)]

    def test_an_event_that_another_file_brought_meanwhile_is_a_duplicate(self, company: Company) -> None:
        company.settings(quarantine_threshold=1)
        company.map_events().delivers("events_1.csv", [event(1, type="view"), event(2, type="view")]).ingest()
        company.delivers("events_2.csv", [event(1)]).ingest()
        company.changed_days()
        (company.data / "events_1.csv").unlink()
        kind = {"column": "type", "values": {"view": "page_view"}}
        company.maps("events", {"events": {"columns": {**EVENT_COLUMNS, "event_type": kind}}}, files="events*.csv")
        (done,) = retry(company)
        assert (done.loaded, done.duplicates_of_other_files) == (1, 1)
        assert company.rows("select event_id, _file from raw.events order by 1") == [
            ("e1", "events_2.csv"),
            ("e2", "events_1.csv"),
        ]
        assert company.changed_days() == ["2026-01-03"]

    def test_a_corrected_file_replaces_what_came_out_of_quarantine(self, shop: Company) -> None:
        map_status(shop, shipped="completed")
        retry(shop)
        shop.delivers("orders.csv", orders(1, 2)).ingest()
        assert shop.rows(IDS) == [("o1", 1), ("o2", 2)]
        assert shop.values("select count(*) from quarantine.orders") == [0]
        assert shop.rows(COUNTS) == [(2, 2, 0, 0, 0, 0)]

    def test_retry_then_run_gives_what_the_run_alone_gives(self, company: Company, tmp_path: Path) -> None:
        alone = Company(tmp_path / "alone")
        for each in (company, alone):
            each.settings(quarantine_threshold=1)
            map_status(each).delivers("orders.csv", [order(1), order(2, status="shipped")]).ingest()
            map_status(each, shipped="completed")
        retry(company)
        company.ingest()
        alone.ingest()
        assert company.everything("orders") == alone.everything("orders")

    def test_what_a_file_tells_of_grows_with_its_rows(self, company: Company) -> None:
        company.settings(quarantine_threshold=1)
        map_status(company).delivers("orders.csv", [order(5), order(1, status="x"), order(9, status="x")]).ingest()
        map_status(company, x="completed")
        retry(company)
        span = "select earliest_row_at::date::varchar, latest_row_at::date::varchar from raw.ingested_files"
        assert company.rows(span) == [("2026-01-02", "2026-01-10")]

    def test_lines_that_are_no_rows_stay(self, company: Company) -> None:
        company.settings(quarantine_threshold=1)
        map_status(company).delivers("orders.csv", [order(1), "o2,too,few", order(3, status="x")]).ingest()
        map_status(company, x="completed")
        assert [(done.judged, done.loaded) for done in retry(company)] == [(1, 1)]
        assert company.values("select rules[1] from quarantine.orders") == ["unreadable line: missing columns"]

    def test_it_is_all_of_a_file_or_nothing(self, shop: Company, monkeypatch: pytest.MonkeyPatch) -> None:
        before = [shop.everything("orders"), shop.rows(COUNTS)]
        map_status(shop, shipped="completed")
        monkeypatch.setattr(Ledger, "record_redriven", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            redrive(shop.connection, shop.open())
        monkeypatch.undo()
        assert [shop.everything("orders"), shop.rows(COUNTS)] == before
        assert [done.loaded for done in retry(shop)] == [2]

    def test_a_corrected_lookup_mends_rows_too(self, company: Company) -> None:
        company.settings(quarantine_threshold=1)
        columns = {**ORDER_COLUMNS, "order_status": "state.meaning"}
        lookups = {"state": {"files": "states.csv", "key": "state", "equals": "status"}}
        entities = {"orders": {"columns": columns}}
        company.mapping("orders", {"extract": {"files": "orders*"}, "lookups": lookups, "entities": entities})
        company.extract("states.csv", "state,meaning\nshipped,gone\n")
        company.delivers("orders.csv", [order(1, status="shipped")]).ingest()
        (company.data / "orders.csv").unlink()
        company.extract("states.csv", "state,meaning\nshipped,completed\n")
        assert [done.loaded for done in retry(company)] == [1]
        assert company.values("select order_status from raw.orders") == ["completed"]

    def test_without_its_mapping_a_row_stays(self, shop: Company) -> None:
        (shop.folder / "mappings" / "orders.yml").unlink()
        shop.map_events()
        (done,) = redrive(shop.connection, shop.open())
        assert (done.redriven, done.problem) == (None, "no mapping orders brings orders any more")

    def test_a_mapping_that_asks_for_what_the_rows_lack_changes_nothing(self, shop: Company) -> None:
        before = shop.everything("orders")
        shop.maps("orders", {"orders": {"columns": {**ORDER_COLUMNS, "currency": "currency"}}}, files="orders*")
        (done,) = redrive(shop.connection, shop.open())
        assert done.problem == "there is no column 'currency'"
        assert shop.everything("orders") == before


ROWS = st.lists(
    st.tuples(
        st.sampled_from(["o1", "o2", "o3", ""]),
        st.sampled_from(["2026-01-02", "soon", ""]),
        st.sampled_from(["completed", "shipped", "gone", ""]),
        st.sampled_from(["c1", "c2"]),
    ),
    max_size=12,
)


@settings(max_examples=12, deadline=None, derandomize=True)
@given(files=st.lists(ROWS, min_size=1, max_size=3))
def test_whatever_was_delivered_is_in_the_end_what_a_good_mapping_would_have_loaded(
    files: list[list[tuple[str, ...]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    mended, good = (Company(tmp_path_factory.mktemp("company")) for _ in range(2))
    map_status(mended)
    map_status(good, shipped="completed")
    for company in (mended, good):
        company.settings(quarantine_threshold=1)
        for place, rows in enumerate(files):
            lines = [f"{key},{at},{customer},1,{status}" for key, at, status, customer in rows]
            company.delivers(f"orders_{place}.csv", lines)
        company.ingest()
    map_status(mended, shipped="completed")
    retry(mended)
    for query in (
        "select _file, order_id, ordered_at, contact_id, order_status from raw.orders order by all",
        "select _file, _row_number, rules, delivered_row from quarantine.orders order by all",
        "select file, rows_read, rows_loaded, rows_quarantined, rows_duplicate, earliest_row_at, latest_row_at "
        "from raw.ingested_files where status <> 'delivered before under another name' order by file",
    ):
        assert mended.rows(query) == good.rows(query)
    before = mended.everything("orders")
    retry(mended)
    assert mended.everything("orders") == before


class TestFormats:
    def test_rows_of_json_lines(self, company: Company) -> None:
        company.settings(quarantine_threshold=1)
        rows = [{"id": f"o{n}", "at": "2026-01-02", "customer": {"key": n}, "status": "x"} for n in (1, 2)]
        columns = {"order_id": "id", "ordered_at": "at", "contact_id": "customer.key", "order_status": "status"}
        company.maps("orders", {"orders": {"columns": columns}}, files="orders.jsonl")
        company.extract("orders.jsonl", "\n".join(json.dumps(row) for row in rows) + "\n")
        company.ingest()
        company.maps(
            "orders", {"orders": {"columns": {**columns, "order_status": {"value": "completed"}}}}, files="orders.jsonl"
        )
        assert [done.loaded for done in retry(company)] == [2]
        assert company.rows("select order_id, contact_id, ordered_at::varchar from raw.orders order by 1") == [
            ("o1", "1", "2026-01-02 00:00:00"),
            ("o2", "2", "2026-01-02 00:00:00"),
        ]

    def test_rows_of_parquet_keep_their_types(self, company: Company) -> None:
        """A moment with a zone, bytes, a big number, NaN, a decimal and a nested value are read as in the file."""
        company.settings(quarantine_threshold=1)
        query = """
            select 'o1' as id, timestamptz '2026-01-02 03:04:05+02' as at, 9007199254740993::bigint as customer,
            'nan'::double as amount, 1.10::decimal(9, 2) as price, '\\xAA'::blob as bytes, {'a': [1, 2]} as nested,
            'x' as status
        """
        duckdb.sql(f"copy ({query}) to '{company.data / 'orders.parquet'}' (format parquet)")
        columns: dict[str, Any] = {
            "order_id": "id",
            "ordered_at": "at",
            "contact_id": "customer",
            "order_amount": {"sql": "coalesce(amount, 0) + price"},
            "currency": {"sql": "bytes::varchar"},
            "order_channel": {"sql": "nested::varchar"},
            "order_status": "status",
        }
        company.maps("orders", {"orders": {"columns": columns}}, files="orders.parquet", timezone="Asia/Tokyo")
        company.ingest()
        mended = {"orders": {"columns": {**columns, "order_status": {"value": "completed"}}}}
        company.maps("orders", mended, files="orders.parquet", timezone="Asia/Tokyo")
        assert [done.loaded for done in retry(company)] == [1]
        redriven = company.rows("select * exclude (_load_id, _load_sequence) from raw.orders")
        company.ingest()
        assert redriven == company.rows("select * exclude (_load_id, _load_sequence) from raw.orders")
        assert company.values("select contact_id from raw.orders") == ["9007199254740993"]

    def test_a_ledger_of_before_columns_were_kept(self, shop: Company) -> None:
        shop.connection.execute("update raw.ingested_files set columns = null")
        map_status(shop, shipped="completed")
        assert [done.loaded for done in retry(shop)] == [2]

    def test_every_row_of_a_large_quarantine(self, company: Company) -> None:
        company.settings(quarantine_threshold=1)
        frame = pl.DataFrame({"id": range(50_000), "at": "2026-01-02 10:00:00", "status": ["x", "completed"] * 25_000})
        frame.write_csv(company.data / "orders.csv")
        columns = {"order_id": "id", "ordered_at": "at", "order_status": "status"}
        company.maps("orders", {"orders": {"columns": columns}}, files="orders.csv").ingest()
        mended = {**columns, "order_status": {"column": "status", "values": {"x": "pending"}}}
        company.maps("orders", {"orders": {"columns": mended}}, files="orders.csv")
        assert [done.loaded for done in retry(company)] == [25_000]
        assert company.values("select count(distinct _row_number) from raw.orders") == [50_000]


def run(company: Company, *arguments: str, status: int = 0) -> str:
    """Call `personae quarantine` on the company, whose warehouse stands where a run writes it."""
    done = CliRunner().invoke(app, ["quarantine", str(company.folder), *arguments])
    assert done.exit_code == status, done.output
    return done.output


class TestCommand:
    @pytest.fixture
    def closed(self, tmp_path: Path) -> Company:
        """The shop's warehouse, closed so that the command opens it; a second file was refused."""
        folder = tmp_path / "shop"
        (folder / ".personae").mkdir(parents=True)
        company = Company(folder, str(folder / ".personae" / "warehouse.duckdb"))
        company.settings(quarantine_threshold=0.5)
        lines = [
            order(1),
            order(2, status="shipped", customer="mia@example.com"),
            order(3, at="soon", status="shipped"),
        ]
        map_status(company).delivers("orders.csv", [*lines, *orders(4, 5)])
        company.delivers("orders_bad.csv", [order(7, status="x"), "o8"]).ingest()
        (company.data / "orders.csv").unlink()
        company.connection.close()
        return company

    def test_it_lists_entities_files_and_rules_with_counts(self, closed: Company) -> None:
        assert run(closed).splitlines() == [
            "orders  orders.csv",
            f"          2 rows  {NO_STATUS}",
            "          1 rows  ordered_at is not a timestamp",
            "orders  orders_bad.csv  refused whole by the last run: 2 of 2 rows are wrong, more than "
            "quarantine_threshold (50%)",
            f"          1 rows  {NO_STATUS}",
            "          1 rows  unreadable line: missing columns",
            "--entity, --file and --row explain a row; after the fix, --retry judges all of them again.",
        ]
        assert "orders_bad" not in run(closed, "--file", "orders.csv")

    def test_it_explains_a_row_without_telling_what_it_says(self, closed: Company) -> None:
        told = run(closed, "--entity", "orders", "--file", "orders.csv", "--row", "2")
        assert "orders.csv, row 2 (mapping orders)" in told
        assert f"  {NO_STATUS}: Only completed orders are purchases" in told
        assert "    order_status, from the file's column 'status'" in told
        assert "shipped" not in told
        assert "mia@example.com" not in told

    def test_values_are_told_to_who_asks_for_them(self, closed: Company) -> None:
        told = run(closed, "--entity", "orders", "--file", "orders.csv", "--row", "2", "--show-values")
        assert "    status = 'shipped'" in told
        assert "as delivered: " in told
        assert "mia@example.com" in told

    def test_it_explains_the_first_rows_of_a_file(self, closed: Company) -> None:
        told = run(closed, "--entity", "orders", "--file", "orders.csv")
        assert "row 2 " in told
        assert "row 3 " in told
        gone = run(closed, "--entity", "orders", "--file", "orders.csv", "--row", "1")
        assert "No such row is in quarantine" in gone

    def test_it_loads_after_the_fix(self, closed: Company) -> None:
        map_status(closed, shipped="completed")
        told = run(closed, "--retry")
        assert "orders.csv → orders: 2 rows judged again, 1 loaded, 0 exact duplicates" in told
        assert "1 rows came out of quarantine." in told
        with duckdb.connect(str(closed.folder / ".personae" / "warehouse.duckdb")) as connection:
            assert connection.execute("select count(*) from raw.orders").fetchall() == [(4,)]

    def test_what_is_asked_wrongly_is_answered_in_one_line(self, closed: Company) -> None:
        told = run(closed, "--entity", "order", status=EXIT_WRONG_SETTING)
        assert "no mapping brings 'order'; did you mean 'orders'?" in told
        told = run(closed, "--row", "3", status=EXIT_WRONG_SETTING)
        assert "name the rows to explain: --entity and --file" in told

    def test_before_the_first_run_there_is_nothing(self, tmp_path: Path) -> None:
        company = Company(tmp_path / "new")
        company.map_orders().delivers("orders.csv", orders(1))
        assert run(company) == "Nothing was loaded yet.\n"

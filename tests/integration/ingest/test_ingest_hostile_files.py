"""Files that are meant to harm, or too large to be meant: refused with a reason, or read as the text they are."""

from __future__ import annotations

import gzip
import os
import zipfile

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ingest_company import Company, order, orders

from orchestration.ingest.extracts import find_extracts
from orchestration.ingest.load import ingest
from orchestration.ingest.reading import UnreadableExtract
from orchestration.settings_file import SettingsError

HEADER = "id,at,customer,amount,status\n"
MANY_ZEROS = b"0" * 200_000_000


def refusal(company: Company) -> str:
    with pytest.raises(UnreadableExtract) as refused:
        ingest(company.connection, company.open())
    return str(refused.value)


class TestBombs:
    @pytest.fixture(scope="class")
    def gzip_bomb(self) -> bytes:
        return gzip.compress(MANY_ZEROS, compresslevel=9)

    def test_a_gzip_bomb_is_refused_by_its_ratio(self, company: Company, gzip_bomb: bytes) -> None:
        company.map_orders("orders.csv.gz").extract("orders.csv.gz", gzip_bomb)
        assert refusal(company) == (
            "orders.csv.gz: it unpacks to more than 200 times its size, the mapping's `largest_unpacked_ratio`"
        )

    def test_a_gzip_bomb_is_refused_by_its_size(self, company: Company, gzip_bomb: bytes) -> None:
        company.map_orders("orders.csv.gz", largest_unpacked_ratio=5000, largest_unpacked_gb=0.15)
        company.extract("orders.csv.gz", gzip_bomb)
        assert refusal(company) == (
            "orders.csv.gz: it unpacks to more than 0.15 GB, the mapping's `largest_unpacked_gb`"
        )

    def test_a_zstandard_bomb_is_refused(self, company: Company) -> None:
        company.map_orders("orders.csv.zst")
        company.extract("orders.csv.zst", pa.compress(MANY_ZEROS, codec="zstd", asbytes=True))
        assert "it unpacks to more than 200 times its size" in refusal(company)

    def test_a_parquet_bomb_is_refused(self, company: Company) -> None:
        table = pa.table({name: pa.array(["x"] * 1_000_000) for name in HEADER.strip().split(",")})
        pq.write_table(table, company.data / "orders.parquet")
        company.map_orders("orders.parquet", largest_unpacked_gb=0.004)
        assert "it unpacks to more than 0.004 GB" in refusal(company)

    @pytest.mark.parametrize("name", ["orders.csv", "orders.zip", "orders.xlsx", "orders.csv.gz"])
    def test_a_zip_archive_is_named_and_never_unpacked(self, company: Company, name: str) -> None:
        with zipfile.ZipFile(company.data / name, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("orders.csv", MANY_ZEROS)
        assert refusal(company.map_orders(name)) == (
            f"{name}: this is a zip archive or a spreadsheet; deliver what is in it as CSV, plain or as .gz"
        )

    @pytest.mark.parametrize(("codec", "ending"), [("gzip", ".gz"), ("zstd", ".zst")])
    def test_a_packed_file_under_a_plain_name_is_named(self, company: Company, codec: str, ending: str) -> None:
        company.map_orders().extract("orders.csv", pa.compress(HEADER.encode() * 9, codec=codec, asbytes=True))
        assert refusal(company) == f"orders.csv: this is a {codec} stream; its name must end in {ending}"

    def test_what_merely_packs_well_is_read(self, company: Company) -> None:
        lines = "".join(f"{order(number)}\n" for number in range(2000)) + " " * 5_000_000
        company.settings(quarantine_threshold=1)
        company.map_orders("*.gz").extract("orders.csv.gz", gzip.compress((HEADER + lines).encode(), 9))
        assert company.load_one().rows_loaded == 2000

    @pytest.mark.parametrize("limit", [{"largest_unpacked_ratio": 0}, {"largest_unpacked_gb": -1}])
    def test_a_limit_is_above_nothing(self, company: Company, limit: dict[str, float]) -> None:
        company.map_orders(**limit)
        with pytest.raises(SettingsError, match=r"extract\.largest_unpacked"):
            company.open()


class TestPaths:
    def test_a_link_out_of_the_data_folder_is_refused(self, company: Company) -> None:
        (company.folder / "secret.csv").write_text(HEADER + order(1))
        (company.data / "orders.csv").symlink_to(company.folder / "secret.csv")
        company.map_orders()
        assert refusal(company) == "orders.csv: the file leads out of the data folder"

    def test_a_folder_that_leads_out_is_refused(self, company: Company) -> None:
        (company.folder / "outside").mkdir()
        (company.folder / "outside" / "orders.csv").write_text(HEADER + order(1))
        (company.data / "inside").symlink_to(company.folder / "outside")
        company.map_orders("inside/*.csv")
        assert refusal(company) == "inside/orders.csv: the file leads out of the data folder"

    def test_a_link_that_leads_nowhere_is_a_delivery_that_is_missing(self, company: Company) -> None:
        (company.data / "orders.csv").symlink_to(company.data / "gone.csv")
        company.map_orders()
        assert refusal(company) == "orders.csv: the link leads nowhere"

    def test_a_link_within_the_data_folder_is_read(self, company: Company) -> None:
        company.extract("archive/x.csv", HEADER + order(1))
        (company.data / "orders.csv").symlink_to("archive/x.csv")
        assert company.map_orders().load_one().rows_loaded == 1

    @pytest.mark.parametrize(
        "name",
        [
            "orders'; drop table raw.orders; --.csv",
            "orders [1].csv",
            "orders*?.csv",
            "orders\nx.csv",
            "orders$(id).csv",
        ],
    )
    def test_an_odd_name_is_a_name(self, company: Company, name: str) -> None:
        company.map_orders().extract(name, HEADER + order(1))
        assert company.load_one().file == name
        assert company.values("select _file from raw.orders") == [name]

    def test_what_is_no_file_is_passed_over(self, company: Company) -> None:
        os.mkfifo(company.data / "orders_pipe.csv")
        (company.data / "orders_folder.csv").mkdir()
        company.map_orders().delivers("orders.csv", orders(1))
        assert [extract.name for extract in find_extracts(company.open(), company.open().mappings[0])] == ["orders.csv"]


class TestOddContent:
    def test_a_column_of_nuls(self, company: Company) -> None:
        company.map_orders().delivers("orders.csv", [order(number, customer="\0") for number in range(50)])
        assert company.load_one().rows_loaded == 50
        assert company.values("select distinct contact_id from raw.orders") == ["\0"]

    def test_a_field_of_a_million_characters(self, company: Company) -> None:
        company.map_orders().delivers("orders.csv", [order(1), order(2, customer="x" * 1_000_000), order(3)])
        assert company.load_one().rows_loaded == 3
        assert company.values("select max(len(contact_id)) from raw.orders") == [1_000_000]

    def test_a_line_of_ten_million_characters_is_set_aside(self, company: Company) -> None:
        company.settings(quarantine_threshold=1)
        company.map_orders().delivers("orders.csv", [order(1), order(2, customer="x" * 10_000_000), order(3)])
        try:
            load = company.load_one()
        except UnreadableExtract as refused:
            assert "a line is longer than 8 MB" in str(refused)
        else:
            assert load.rows_read + load.rows_unreadable == 3

    @pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "+1+1", "-1+1", "@SUM(1)", "\t=1"])
    def test_a_formula_is_text(self, company: Company, text: str) -> None:
        company.map_orders().delivers("orders.csv", [order(1, customer=f'"{text}"')]).ingest()
        assert company.values("select contact_id from raw.orders") == [text]

    def test_a_column_whose_name_stands_twice_is_not_guessed(self, company: Company) -> None:
        company.map_orders().extract(
            "orders.csv", "id,at,customer,amount,status,Amount\no1,2026-01-05,c,1,completed,2\n"
        )
        assert company.load_one().rows_loaded == 1
        company.extract("orders.csv", "id,at,customer,amount,status,amount\no1,2026-01-05,c,1,completed,2\n")
        assert refusal(company) == "orders.csv: the column 'amount' stands twice in the header"

    def test_a_reader_that_has_lost_its_place_is_not_trusted(self, company: Company) -> None:
        """Found by planted files: two rows were counted as one unreadable line, with the text of a third."""
        line = '"o{0}";"2026-01-05";"c{0}";"{1}";"completed"'
        rows = [line.format(number, number) for number in range(8)]
        rows[6] = rows[6].replace('"c6"', '"c6"x')
        text = "\r\n".join([HEADER.strip().replace(",", ";"), *rows[:6]]) + "\n" + "\r\n".join(rows[6:]) + "\r\n"
        company.settings(quarantine_threshold=1)
        company.map_orders().extract("orders.csv", text)
        try:
            load = company.load_one()
        except UnreadableExtract as refused:
            assert "lines end in different ways" in str(refused) or "a quoted value is never closed" in str(refused)
        else:
            assert load.rows_read + load.rows_unreadable == 8

    def test_an_open_quote_whose_text_the_reader_loses_is_told(self, company: Company) -> None:
        """Found by planted files: four rows became two unreadable lines."""
        company.settings(quarantine_threshold=1)
        company.map_orders(delimiter="|").extract(
            "orders.csv",
            'amount|customer|id|at|note|status\n1|c|o0|2026-01-05|"open|pending\n|c|" "|2026-01-05|x|completed\n'
            '1|c|o2|2026-01-05|y|pending\n1|c|o3|2026-01-05|"a\r\nb"|pending\n',
        )
        assert refusal(company) == "orders.csv: line 2: a quoted value is never closed"

    def test_columns_may_come_in_any_order_and_more_of_them(self, company: Company) -> None:
        company.map_orders().extract(
            "orders.csv", "new,STATUS,Amount,customer,AT,Id\nx,pending,2.5,c,2026-01-05,o1\n"
        ).ingest()
        assert company.rows("select order_id, order_amount, order_status from raw.orders") == [("o1", 2.5, "pending")]

    def test_a_mapped_column_that_is_missing_is_named(self, company: Company) -> None:
        company.map_orders().extract("orders.csv", "id,at,customer,status\no1,2026-01-05,c,pending\n")
        assert refusal(company) == "orders.csv: there is no column 'amount'"


class TestParquetThatChanges:
    """A schema may change between deliveries; the mapping's names have to stay."""

    def deliver(self, company: Company, name: str, **columns: list[object]) -> None:
        given = {"id": ["o1"], "at": ["2026-01-05"], "customer": ["c"], "amount": [1.5], "status": ["completed"]}
        pl.DataFrame(given | columns, strict=False).write_parquet(company.data / name)

    def test_types_may_change(self, company: Company) -> None:
        company.map_orders("orders*.parquet")
        self.deliver(company, "orders_1.parquet")
        self.deliver(company, "orders_2.parquet", id=["o2"], amount=["2.5"], customer=[7])
        self.deliver(company, "orders_3.parquet", id=["o3"], amount=[3], status=[None], more=[[1, 2]])
        company.ingest()
        assert company.rows("select order_id, order_amount, contact_id from raw.orders order by 1") == [
            ("o1", 1.5, "c"),
            ("o2", 2.5, "7"),
            ("o3", 3.0, "c"),
        ]

    def test_a_number_that_became_a_list_is_refused_or_quarantined_never_guessed(self, company: Company) -> None:
        company.settings(quarantine_threshold=1)
        company.map_orders("orders*.parquet")
        self.deliver(company, "orders.parquet", amount=[[1.0, 2.0]])
        try:
            assert company.load_one().rows_quarantined == 1
        except UnreadableExtract as refused:
            assert str(refused).startswith("orders.parquet: ")

    def test_a_column_that_went_away_is_named(self, company: Company) -> None:
        company.map_orders("orders.parquet")
        self.deliver(company, "orders.parquet")
        frame = pl.read_parquet(company.data / "orders.parquet").drop("amount")
        frame.write_parquet(company.data / "orders.parquet")
        assert refusal(company) == "orders.parquet: there is no column 'amount'"


class TestNumbersAndDatesAsPeopleWriteThem:
    def loaded(self, company: Company, amount: object, at: object, lines: list[str]) -> list[tuple[object, ...]]:
        company.settings(quarantine_threshold=1)
        columns = {"order_id": "id", "ordered_at": at, "order_amount": amount}
        company.maps("orders", {"orders": {"columns": columns}}, files="orders.csv", delimiter="|")
        company.extract("orders.csv", "id|at|amount\n" + "".join(f"{line}\n" for line in lines)).ingest()
        found = {
            row[0]: row[1:]
            for row in company.rows("select order_id, ordered_at::varchar, order_amount from raw.orders")
        }
        return [found.get(line.partition("|")[0]) for line in lines]

    @pytest.mark.parametrize(
        ("written", "given"),
        [
            ("1,234.56", {"1,234.56": 1234.56, "$ 1,000": 1000.0, "-12.5": -12.5, "12,34.5": None, "1.234,56": None}),
            ("1.234,56", {"1.234,56 €": 1234.56, "EUR 1.000.000": 1e6, "7": 7.0, "1,234.56": None, "1.5": None}),
            ("1 234,56", {"1\u00a0234,56": 1234.56, "1 234": 1234.0, "12 34": None}),
            ("1'234.56", {"CHF 1'234.56": 1234.56, "1,234": None}),
            ("1234,56", {"1234,56": 1234.56, "1.234,56": None, "ten": None}),
        ],
    )
    def test_a_number_in_the_mappings_format(
        self, company: Company, written: str, given: dict[str, float | None]
    ) -> None:
        lines = [f"o{number}|2026-01-05|{text}" for number, text in enumerate(given)]
        found = self.loaded(company, {"column": "amount", "format": written}, "at", lines)
        assert [row and row[1] for row in found] == list(given.values())

    def test_of_several_date_formats_the_first_that_fits_counts(self, company: Company) -> None:
        formats = ["%d.%m.%Y", "%m/%d/%Y", "%Y-%m-%d %H:%M"]
        lines = ["a|31.01.2026|1", "b|01/31/2026|1", "c|2026-01-31 10:00|1", "d|31/01/2026|1", "e|2026-01-31|1"]
        found = self.loaded(company, "amount", {"column": "at", "format": formats}, lines)
        midnight = "2026-01-31 00:00:00"
        assert [row and row[0] for row in found] == [midnight, midnight, "2026-01-31 10:00:00", None, None]

    @pytest.mark.parametrize(
        ("column", "message"),
        [
            ({"order_amount": {"column": "amount", "format": "%d"}}, "'%d' is no format of numbers; "),
            ({"ordered_at": {"column": "at", "format": "1.234,56"}}, "'1.234,56' is no date format"),
            ({"order_status": {"column": "x", "format": "%d"}}, "order_status is neither a time nor a number"),
        ],
    )
    def test_a_format_belongs_to_its_type(self, company: Company, column: dict[str, object], message: str) -> None:
        company.maps("o", {"orders": {"columns": {"order_id": "id", "ordered_at": "at", **column}}}, files="x.csv")
        with pytest.raises(SettingsError) as wrong:
            company.open()
        assert message in str(wrong.value)

    def test_half_a_person_is_no_count(self, company: Company) -> None:
        company.settings(quarantine_threshold=1)
        company.maps("a", {"accounts": {"columns": {"account_id": "id", "employee_count": "n"}}}, files="a.csv")
        company.extract("a.csv", "id,n\na,12\nb,12.5\nc,12.0\nd,1e2\n").ingest()
        assert company.rows("select account_id, employee_count from raw.accounts order by 1") == [("a", 12), ("c", 12)]


def test_a_file_nobody_may_read_is_named(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    company.map_orders().delivers("orders.csv", orders(1))

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    (extract,) = find_extracts(company.open(), company.open().mappings[0])
    monkeypatch.setattr("orchestration.ingest.reading._sha256", refuse)
    with pytest.raises(UnreadableExtract, match=r"orders\.csv: the file cannot be opened \(Permission denied\)"):
        _ = extract.content_hash

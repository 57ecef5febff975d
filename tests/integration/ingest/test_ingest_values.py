"""What a delivered value becomes: moments in UTC, numbers, yes and no, translations, constants, attributes."""

from __future__ import annotations

from typing import Any

import duckdb
import polars as pl
import pytest
from ingest_company import Company

from activation.answers import first_row
from orchestration.ingest.harmonize import _trimmed


def loaded(company: Company, entity: str, column: str, origin: Any, given: list[str], **extract: Any) -> list[Any]:
    """What a column of `entity` holds after one file with the values `given`; None also for a refused row."""
    others = {
        "orders": {"order_id": "id", "ordered_at": {"value": "2026-01-05"}},
        "contacts": {"contact_id": "id"},
        "ad_costs": {"cost_date": {"value": "2026-01-05"}},
    }[entity]
    company.settings(quarantine_threshold=1)
    columns = {**others, column: origin}
    company.maps("given", {entity: {"columns": columns}}, files="given.csv", delimiter=";", **extract)
    company.extract("given.csv", "id;given\n" + "".join(f"{row};{value}\n" for row, value in enumerate(given)))
    company.ingest()
    by_row = dict(company.rows(f"select _row_number, {column} from raw.{entity}"))
    return [by_row.get(row + 1) for row in range(len(given))]


def moments(company: Company, given: dict[str, str | None], origin: Any = "given", **extract: Any) -> None:
    found = loaded(company, "orders", "ordered_at", origin, list(given), **extract)
    assert [value and str(value) for value in found] == list(given.values())


class TestMoments:
    def test_without_a_zone_they_are_local(self, company: Company) -> None:
        moments(
            company,
            {
                "2026-01-05 10:00:00": "2026-01-05 09:00:00",
                "2026-07-05T10:00:00.5": "2026-07-05 08:00:00.500000",
                "2026-07-05 10:00": "2026-07-05 08:00:00",
                "2026-07-05": "2026-07-04 22:00:00",
                "2026-02-30": None,
                "05.07.2026": None,
                "soon": None,
                "": None,
                "infinity": None,
                "0001-01-01": None,
                "294247-01-01": None,
            },
            timezone="Europe/Berlin",
        )

    @pytest.mark.parametrize("timezone", ["UTC", "Europe/Berlin", "America/New_York"])
    def test_with_a_zone_they_keep_it(self, company: Company, timezone: str) -> None:
        moments(
            company,
            {
                "2026-07-05T10:00:00Z": "2026-07-05 10:00:00",
                "2026-07-05 10:00:00 UTC": "2026-07-05 10:00:00",
                "2026-07-05T10:00:00+02:00": "2026-07-05 08:00:00",
                "2026-07-05T10:00:00+0200": "2026-07-05 08:00:00",
                "2026-07-05 10:00:00+02": "2026-07-05 08:00:00",
                "2026-07-05 10:00:00.250-05:00": "2026-07-05 15:00:00.250000",
                "2026-07-05T10:00Z": "2026-07-05 10:00:00",
                "2026-07-05T10:00+02:00": "2026-07-05 08:00:00",
                "2026-07-05 10:00:00 +02:00": "2026-07-05 08:00:00",
            },
            timezone=timezone,
        )

    def test_in_the_mappings_format(self, company: Company) -> None:
        moments(
            company,
            {"05.07.2026 10:30": "2026-07-05 08:30:00", "2026-07-05 10:30": None},
            {"column": "given", "format": "%d.%m.%Y %H:%M"},
            timezone="Europe/Berlin",
        )

    def test_in_a_format_with_a_zone(self, company: Company) -> None:
        moments(
            company,
            {"05/Jul/2026:10:30:00 -0500": "2026-07-05 15:30:00"},
            {"column": "given", "format": "%d/%b/%Y:%H:%M:%S %z"},
            timezone="Europe/Berlin",
        )

    @pytest.mark.parametrize(
        ("unit", "given"), [("epoch_s", "1767607200"), ("epoch_ms", "1767607200000"), ("epoch_us", "1767607200000000")]
    )
    def test_as_numbers_since_1970(self, company: Company, unit: str, given: str) -> None:
        expected = {given: "2026-01-05 10:00:00", "1e40": None, "soon": None}
        moments(company, expected, {"column": "given", "format": unit}, timezone="Europe/Berlin")

    def test_a_date_is_a_day_in_the_extracts_zone(self, company: Company) -> None:
        given = ["2026-07-05", "2026-07-06 23:30:00"]
        found = loaded(company, "ad_costs", "cost_date", "given", given, timezone="America/New_York")
        assert [str(value) for value in found] == ["2026-07-05", "2026-07-06"]

    def test_typed_moments_of_parquet(self, company: Company) -> None:
        frame = pl.DataFrame({"id": ["o1"], "at": ["2026-07-05 10:00:00"]}).select(
            "id",
            pl.col("at").str.to_datetime().alias("local"),
            pl.col("at").str.to_datetime().dt.replace_time_zone("America/New_York").alias("zoned"),
            pl.col("at").str.to_datetime().dt.date().alias("day"),
        )
        frame.write_parquet(company.data / "orders.parquet")
        for column, expected in (
            ("local", "2026-07-05 08:00:00"),
            ("zoned", "2026-07-05 14:00:00"),
            ("day", "2026-07-04 22:00:00"),
        ):
            columns = {"order_id": "id", "ordered_at": column}
            company.maps("o", {"orders": {"columns": columns}}, files="orders.parquet", timezone="Europe/Berlin")
            company.ingest()
            assert company.values("select ordered_at::varchar from raw.orders") == [expected]


def test_numbers(company: Company) -> None:
    given = {"10.5": 10.5, " 7 ": 7.0, "-1e3": -1000.0, "": None, "1,5": None, "ten": None, "nan": None, "inf": None}
    assert loaded(company, "orders", "order_amount", "given", list(given)) == list(given.values())
    refused = company.values("select delivered_row ->> 'given' from quarantine.orders order by _row_number")
    assert refused == ["1,5", "ten", "nan", "inf"]


def test_missing_numbers_of_parquet_are_missing_not_wrong(company: Company) -> None:
    frame = pl.DataFrame({"id": ["o1", "o2"], "at": ["2026-01-05"] * 2, "amount": [1.5, float("nan")]})
    frame.write_parquet(company.data / "orders.parquet")
    columns = {"order_id": "id", "ordered_at": "at", "order_amount": "amount"}
    load = company.maps("o", {"orders": {"columns": columns}}, files="orders.parquet").load_one()
    assert (load.rows_loaded, load.profile["order_amount"]) == (2, {"nulls": 1, "sum": 1.5})


def test_yes_and_no_in_words(company: Company) -> None:
    given = {"true": True, "YES": True, "1": True, "on": True, "1.0": True, "t": True}
    given |= {"false": False, "No": False, "0": False, "off": False, "n": False, "": None, "maybe": None}
    assert loaded(company, "contacts", "is_deleted", "given", list(given)) == list(given.values())
    assert company.values("select rules[1] from quarantine.contacts") == ["is_deleted is not true or false"]


def test_text_is_trimmed_and_empty_text_is_missing(company: Company) -> None:
    assert loaded(company, "contacts", "city", "given", [" Köln ", "", "   "]) == ["Köln", None, None]


def test_text_is_trimmed_as_the_database_trims_whatever_letter_stands_at_its_ends() -> None:
    letters = "chr(letter::int) as c from range(1, 1114112) as letters(letter) where letter not between 55296 and 57343"
    given = (
        f"select unnest([c, c || 'a', 'a' || c, c || 'a b' || c, 'é' || c, ' ' || c]) as text from (select {letters})"
    )
    with duckdb.connect() as connection:
        differ = first_row(
            connection,
            "select count(*), count(*) filter (trim(text) <> text), "
            f"count(*) filter ({_trimmed('text')} <> trim(text)) "
            f"from ({given})",
        )
    assert differ[0] > 6_000_000 and differ[1] > 1_000_000 and differ[2] == 0


def test_values_are_translated_and_a_star_stands_for_all_others(company: Company) -> None:
    given = {"paid": "completed", " PAID": "pending", "void": "cancelled", "odd": "pending", "": None}
    origin = {"column": "given", "values": {"paid": "completed", "void": "cancelled", "*": "pending"}}
    assert loaded(company, "orders", "order_status", origin, list(given)) == list(given.values())


def test_without_a_star_other_values_stay(company: Company) -> None:
    origin = {"column": "given", "values": {"paid": "completed", "1": "pending"}}
    given = ["paid", "1", "returned", "odd"]
    assert loaded(company, "orders", "order_status", origin, given) == ["completed", "pending", "returned", None]


@pytest.mark.parametrize(("value", "found"), [("EUR", "EUR"), ("it's", "it's"), (7, "7"), ("", None)])
def test_a_constant(company: Company, value: object, found: object) -> None:
    assert loaded(company, "orders", "currency", {"value": value}, ["x"]) == [found]


def test_an_expression(company: Company) -> None:
    origin = {"sql": "case when given like 'C%' then 'cancelled' else 'completed' end"}
    assert loaded(company, "orders", "order_status", origin, ["C1", "1"]) == ["cancelled", "completed"]


class TestAttributes:
    """Typed by what was delivered so far, and never at the cost of a value."""

    def deliver(self, company: Company, name: str, *values: str) -> Company:
        return company.extract(f"{name}.csv", "id,plan\n" + "".join(f"{name}{n},{v}\n" for n, v in enumerate(values)))

    @pytest.fixture
    def contacts(self, company: Company) -> Company:
        return self.declare(company, "feature")

    def declare(self, company: Company, attribute: object) -> Company:
        company.settings(quarantine_threshold=1)
        contacts = {"columns": {"contact_id": "id"}, "attributes": {"plan": attribute}}
        return company.maps("contacts", {"contacts": contacts}, files="*.csv")

    def column(self, company: Company) -> tuple[str, list[Any]]:
        rows = company.rows("select typeof(attr_plan), attr_plan from raw.contacts order by contact_id")
        return rows[0][0], [value for _, value in rows]

    @pytest.mark.parametrize(
        ("given", "type_", "held"),
        [
            (["1", "2.5", "", "-3e2"], "DOUBLE", [1.0, 2.5, None, -300.0]),
            (["1", "gold"], "VARCHAR", ["1", "gold"]),
            (["", ""], "DOUBLE", [None, None]),
            (["007", "8"], "VARCHAR", ["007", "8"]),
            (["12345678901234567890"], "VARCHAR", ["12345678901234567890"]),
            (["nan", "inf"], "VARCHAR", ["nan", "inf"]),
            (["yes", "no"], "VARCHAR", ["yes", "no"]),
        ],
    )
    def test_their_content_decides(self, contacts: Company, given: list[str], type_: str, held: list[Any]) -> None:
        self.deliver(contacts, "a", *given).ingest()
        assert self.column(contacts) == (type_, held)

    def test_a_number_becomes_text_when_text_arrives_and_no_value_is_lost(self, contacts: Company) -> None:
        self.deliver(contacts, "a", "1", "2.5", "").ingest()
        load = self.deliver(contacts, "b", "gold", "3").load_one()
        assert load.rows_quarantined == 0
        assert self.column(contacts) == ("VARCHAR", ["1", "2.5", None, "gold", "3"])

    def test_text_stays_text(self, contacts: Company) -> None:
        self.deliver(contacts, "a", "gold").ingest()
        self.deliver(contacts, "b", "1", "2.50").ingest()
        assert self.column(contacts) == ("VARCHAR", ["gold", "1", "2.50"])

    def test_an_attribute_that_was_empty_at_first_can_become_either(self, contacts: Company) -> None:
        self.deliver(contacts, "a", "").ingest()
        self.deliver(contacts, "b", "5").ingest()
        assert self.column(contacts) == ("DOUBLE", [None, 5.0])

    def test_a_declared_number_is_held_to_it(self, company: Company) -> None:
        self.declare(company, {"role": "feature", "type": "number"})
        self.deliver(company, "a", "1", "gold", "").ingest()
        assert self.column(company) == ("DOUBLE", [1.0, None])
        assert company.values("select rules from quarantine.contacts") == [["attr_plan is not of its declared type"]]

    def test_declared_text_keeps_what_looks_like_numbers(self, company: Company) -> None:
        self.declare(company, {"role": "feature", "type": "text"})
        self.deliver(company, "a", "1", "2.50").ingest()
        assert self.column(company) == ("VARCHAR", ["1", "2.50"])

    def test_a_declaration_that_comes_later_types_the_rows_loaded_before(self, company: Company) -> None:
        self.deliver(self.declare(company, "feature"), "a", "1", "2").ingest()
        self.declare(company, {"role": "feature", "type": "text"}).ingest()
        assert self.column(company) == ("VARCHAR", ["1", "2"])

    def test_an_ignored_attribute_is_not_loaded(self, company: Company) -> None:
        self.deliver(self.declare(company, "ignore"), "a", "1").ingest()
        assert company.values("select count(*) from duckdb_columns() where column_name = 'attr_plan'") == [0]

    def test_flags_of_parquet_are_flags(self, company: Company) -> None:
        self.declare(company, "feature")
        company.maps(
            "contacts",
            {"contacts": {"columns": {"contact_id": "id"}, "attributes": {"plan": "feature"}}},
            files="a.parquet",
        )
        pl.DataFrame({"id": ["a", "b"], "plan": [True, None]}).write_parquet(company.data / "a.parquet")
        company.ingest()
        assert self.column(company) == ("BOOLEAN", [True, None])

    def test_a_declared_attribute_has_a_column_though_nothing_was_delivered(self, contacts: Company) -> None:
        contacts.ingest()
        contacts.rows("select attr_plan from raw.contacts")

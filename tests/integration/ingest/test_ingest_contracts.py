"""What a workspace changes of a contract holds in the tables, the row rules and the report; sets are asked together."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import polars as pl
import pytest
import yaml
from ingest_company import Company, order, orders

from orchestration.defs.delivery_checks import ContractReports, check_results
from orchestration.ingest.ledger import Ledger
from orchestration.ingest.load import IngestResult, ingest
from orchestration.ingest.retention import count_past_retention
from orchestration.ingest.tables import ColumnTypeChanged


def contract(company: Company, entity: str, *columns: dict[str, Any], **more: Any) -> Company:
    """Write a contract file of the company's own."""
    content = {
        "apiVersion": "v3.1.0",
        "kind": "DataContract",
        "id": f"garden-tools-{entity}",
        "version": "1.0.0",
        "status": "active",
        "schema": [{"name": entity, "properties": list(columns)}],
        **more,
    }
    path = company.folder / "contracts" / f"{entity}.odcs.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return company


def checks(company: Company, entity: str, result: IngestResult) -> dict[str, Any]:
    """The entity's asset checks by name."""
    unaccounted = Ledger(company.connection).unaccounted(entity)
    overdue = count_past_retention(company.connection, company.open().contracts[entity], AS_OF)
    with ContractReports(company.open()) as reports:
        found = check_results(company.open(), entity, result, unaccounted, overdue, reports)
        return {check.check_name: check for check in found}


AS_OF = date(2026, 2, 2)
STORE = {
    "name": "store_id",
    "physicalType": "BIGINT",
    "classification": "internal",
    "description": "Shop the order came from.",
    "logicalTypeOptions": {"minimum": 1},
}
HEADER = "id,at,customer,amount,status,shop"


def map_shops(company: Company) -> Company:
    columns = {"order_id": "id", "ordered_at": "at", "contact_id": "customer", "store_id": "shop"}
    return company.maps("orders", {"orders": {"columns": columns}}, files="orders*.csv")


class TestWorkspaceContracts:
    def test_a_column_of_its_own_is_typed_and_judged(self, company: Company) -> None:
        company.settings(quarantine_threshold=1)
        map_shops(contract(company, "orders", STORE))
        lines = [f"{order(1)},5", f"{order(2)},0", f"{order(3)},north", f"{order(4)},"]
        result = company.delivers("orders.csv", lines, header=HEADER).ingest()
        assert company.rows("select order_id, store_id from raw.orders order by 1") == [("o1", 5), ("o4", None)]
        assert company.values("select rules[1] from quarantine.orders order by _row_number") == [
            "store_id is below 1",
            "store_id is not a whole number",
        ]
        report = checks(company, "orders", result)["contract"].metadata
        assert report["rules that rows in quarantine broke"].value == {
            "store_id is below 1": 1,
            "store_id is not a whole number": 1,
        }
        unmet = {each["rule"] for each in report["expectations not met"].value}
        assert {"store_id is below 1", "store_id is not a whole number"} <= unmet

    def test_a_stricter_rule_holds_for_what_was_loaded_before(self, company: Company) -> None:
        company.settings(quarantine_threshold=1)
        company.map_orders().delivers("orders.csv", [order(1), order(2, customer="")]).ingest()
        contract(company, "orders", {"name": "contact_id", "required": True})
        load = company.load_one()
        assert (load.status, load.rows_loaded, load.rows_quarantined) == ("corrected", 1, 1)
        assert company.values("select rules[1] from quarantine.orders") == ["contact_id is required"]

    def test_a_file_that_is_refused_whole_is_told_with_the_rule_that_most_of_its_rows_broke(
        self, company: Company
    ) -> None:
        lines = [order(1, status="beamed"), order(2, status="beamed"), order(3, customer="", status="lost")]
        result = company.map_orders().delivers("orders.csv", lines).ingest()
        told = checks(company, "orders", result)["contract"]
        assert not told.passed
        rule = "order_status is none of completed, cancelled, returned, pending: 3 rows"
        assert told.description.endswith(f"orders.csv ({rule}).")

    def test_a_changed_description_loads_nothing_again(self, company: Company) -> None:
        company.map_orders().delivers("orders.csv", orders(1, 2)).ingest()
        contract(company, "orders", {"name": "contact_id", "description": "Customer number."})
        assert company.ingest().loads == []

    def test_a_loosened_rule_lets_rows_in_and_is_told_in_the_check(self, company: Company) -> None:
        values = {"validValues": ["completed", "cancelled", "returned", "pending", "on hold"]}
        loosens = {
            "rule": "order_status is none of completed, cancelled, returned, pending",
            "reason": "Our shop can hold an order.",
        }
        contract(
            company,
            "orders",
            {"name": "order_status", "quality": [{"metric": "invalidValues", "arguments": values}]},
            customProperties=[{"property": "loosens", "value": [loosens]}],
        )
        result = company.map_orders().delivers("orders.csv", [order(1, status="on hold")]).ingest()
        assert result.loads[0].rows_loaded == 1
        told = checks(company, "orders", result)["contract"].metadata["loosened by the workspace"].value
        assert len(told) == 1
        assert "Our shop can hold an order." in told[0]

    def test_an_own_column_may_become_another_type_while_no_value_is_lost(self, company: Company) -> None:
        text = {**STORE, "physicalType": "VARCHAR", "logicalTypeOptions": {}}
        map_shops(contract(company, "orders", text))
        company.delivers("orders.csv", [f"{order(1)},5"], header=HEADER).ingest()
        contract(company, "orders", STORE).ingest()
        assert company.values("select store_id from raw.orders") == [5]
        contract(company, "orders", text).ingest()
        assert company.values("select store_id from raw.orders") == ["5"]
        company.delivers("orders.csv", [f"{order(1)},north"], header=HEADER).ingest()
        contract(company, "orders", STORE)
        with pytest.raises(ColumnTypeChanged, match="store_id is BIGINT; 1 loaded rows hold other values"):
            company.ingest()
        assert company.values("select store_id from raw.orders") == ["north"]

    def test_a_declared_attribute_has_its_declared_type_whatever_a_file_holds(self, company: Company) -> None:
        company.settings(quarantine_threshold=1)
        size = {"name": "attr_size", "physicalType": "VARCHAR", "classification": "internal", "description": "Size."}
        contract(
            company,
            "contacts",
            {
                **size,
                "quality": [
                    {
                        "metric": "invalidValues",
                        "arguments": {"validValues": ["1", "2"]},
                        "mustBe": 0,
                        "severity": "critical",
                    }
                ],
            },
        )
        entity = {"columns": {"contact_id": "id"}, "attributes": {"Size": "feature"}}
        company.maps("people", {"contacts": entity}, files="people.csv")
        company.delivers("people.csv", ["c1,1", "c2,3"], header="id,Size").ingest()
        assert company.rows("select contact_id, attr_size from raw.contacts") == [("c1", "1")]
        assert company.values("select rules[1] from quarantine.contacts") == ["attr_size is none of 1, 2"]


class TestUniqueness:
    def test_rows_that_share_a_key_but_differ_are_loaded_and_counted(self, company: Company) -> None:
        load = company.map_orders().delivers("orders.csv", [*orders(1, 2, 3, 3), order(1, amount=9)]).load_one()
        assert (load.rows_loaded, load.rows_duplicate) == (4, 1)
        assert load.warnings == {"order_id and updated_at are not unique together": 2}

    def test_rows_without_the_key_are_not_judged(self, company: Company) -> None:
        lines = [f",2026-01-0{day} 10:00:00,c1,page_view" for day in (1, 2)]
        load = company.map_events().delivers("events.csv", lines).load_one()
        assert (load.rows_loaded, load.warnings) == (2, {})

    def test_a_column_that_the_workspace_calls_unique_is_asked_too(self, company: Company) -> None:
        contract(company, "orders", {"name": "contact_id", "unique": True})
        load = company.map_orders().delivers("orders.csv", orders(1, 2, 8)).load_one()
        assert load.warnings == {"contact_id is not unique": 2}


class TestReferences:
    def company_with_people(self, company: Company, *people: str) -> Company:
        company.maps("people", {"contacts": {"columns": {"contact_id": "id"}}}, files="people*.csv")
        return company.map_orders().delivers("people.csv", list(people), header="id")

    def test_rows_that_name_nobody_are_counted_and_never_refused(self, company: Company) -> None:
        self.company_with_people(company, "c1", "c2").delivers(
            "orders.csv", [*orders(1, 2, 3, 10), order(5, customer="")]
        )
        result = company.ingest()
        (count,) = result.references
        assert (count.rows, count.rows_unfound, count.values_unfound) == (4, 2, 1)
        check = checks(company, "orders", result)["references_are_found"]
        assert not check.passed
        assert check.severity.value == "WARN"
        assert check.description == (
            "contact_id is not among the contacts in 50.0 % of the new rows (2 rows, 1 different values; "
            "5 % is tolerated)."
        )
        assert company.values("select count(*) from raw.orders") == [5]

    def test_a_row_may_name_one_that_comes_in_the_same_run(self, company: Company) -> None:
        result = self.company_with_people(company, "c1").delivers("orders.csv", orders(1, 8)).ingest()
        assert [(each.rows, each.rows_unfound) for each in result.references] == [(2, 0)]

    def test_only_new_rows_are_asked(self, company: Company) -> None:
        self.company_with_people(company, "c1").delivers("orders.csv", orders(1, 2)).ingest()
        result = company.delivers("orders_2.csv", orders(8)).ingest()
        assert [(each.rows, each.rows_unfound) for each in result.references] == [(1, 0)]
        assert company.ingest().references == []

    def test_what_is_not_delivered_is_not_missed(self, company: Company) -> None:
        result = company.map_orders().delivers("orders.csv", orders(1)).ingest()
        assert result.references == []
        assert checks(company, "orders", result)["references_are_found"].passed


class TestAccounting:
    def test_what_adds_up_passes(self, company: Company) -> None:
        company.settings(quarantine_threshold=1)
        lines = [*orders(1, 2, 2), order(3, status="lost"), "o4,too,few"]
        result = company.map_orders().delivers("orders.csv", lines).ingest()
        assert checks(company, "orders", result)["every_row_is_accounted_for"].passed

    @pytest.mark.parametrize(
        ("harm", "complaint"),
        [
            ("delete from raw.orders where order_id = 'o1'", 'raw."orders" has 1 rows where the ledger tells of 2'),
            ("delete from quarantine.orders", 'quarantine."orders" has 0 rows where the ledger tells of 1'),
            ("update raw.ingested_files set rows_read = 9", "rows read are not accounted for in orders.csv"),
        ],
    )
    def test_a_row_that_is_gone_is_told(self, company: Company, harm: str, complaint: str) -> None:
        company.settings(quarantine_threshold=1)
        result = company.map_orders().delivers("orders.csv", [*orders(1, 2), order(3, status="lost")]).ingest()
        company.connection.execute(harm)
        check = checks(company, "orders", result)["every_row_is_accounted_for"]
        assert not check.passed
        assert check.severity.value == "ERROR"
        assert complaint in check.description


class TestRetention:
    def test_rows_that_are_kept_longer_than_stated_are_told(self, company: Company) -> None:
        kept = [{"property": "retention", "value": 20, "unit": "d"}]
        contract(company.map_orders(), "orders", slaProperties=kept)
        result = company.delivers("orders.csv", orders(*range(1, 28))).ingest()  # 2 to 28 January, one a day
        check = checks(company, "orders", result)["rows_are_kept_no_longer_than_stated"]
        assert (check.passed, check.severity.value) == (False, "WARN")
        assert check.description == "11 rows are of before 2026-01-13, and kept for 20 days."
        assert company.values("select count(*) from raw.orders") == [27]

    def test_what_is_kept_as_long_as_stated_gives_no_alarm(self, company: Company) -> None:
        result = company.map_orders().delivers("orders.csv", orders(*range(1, 28))).ingest()
        check = checks(company, "orders", result)["rows_are_kept_no_longer_than_stated"]
        assert (check.passed, check.metadata["rows"].value, check.metadata["retention days"].value) == (True, 0, 1825)

    def test_a_row_without_a_time_is_as_old_as_its_delivery(self, company: Company) -> None:
        columns = {"contact_id": "id", "created_at": "at"}
        company.maps("c", {"contacts": {"columns": columns}}, files="c_*.csv", delivered_at=r"(\d{4}-\d{2}-\d{2})")
        company.extract("c_2020-01-06.csv", "id,at\na,\nb,2026-01-05\n").extract("c_2026-01-05.csv", "id,at\na,\n")
        check = checks(company, "contacts", company.ingest())["rows_are_kept_no_longer_than_stated"]
        assert check.description == "1 rows are of before 2021-02-03, and kept for 1825 days."


def test_reports_are_made_while_files_are_loaded_and_again_where_files_came_later(company: Company) -> None:
    company.maps("shop", {"orders": {"columns": {"order_id": "id", "ordered_at": "at"}}}, files="*.csv")
    for name in ("a", "b"):
        company.extract(f"{name}.csv", f"id,at\n{name}1,2026-01-05\n{name}2,2026-01-06\n")
    told: list[tuple[str, int]] = []
    with ContractReports(company.open()) as reports:

        def begin(entity: str, samples: Sequence[pl.DataFrame]) -> None:
            told.append((entity, len(samples)))
            reports.begin(entity, samples)

        result = ingest(company.connection, company.open(), is_sampled=begin)
        both, first = (reports.of("orders", result.samples["orders"][:files]) for files in (2, 1))
    assert told == [("orders", 2)]
    assert both is not None and both.rows == 4
    assert first is not None and first.rows == 2

"""What Dagster does with what ingest finds: critical blocks everything downstream, a warning reports.

What belongs here: checks and metadata as a run shows them. What each check asks has tests of its own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import dagster as dg
import duckdb
import pytest
from ingest_company import Company, order, orders

from orchestration.defs.ingest import extract_specs, ingest_assets
from orchestration.defs.partitions import weekly
from orchestration.warehouse import Warehouse

CANARY = "jane.doe@canary.example"
WEEK = "2026-02-02"


@dataclass(frozen=True)
class Run:
    """One run of ingest and of an asset behind it."""

    result: dg.ExecuteInProcessResult

    @property
    def went_on(self) -> bool:
        """Whether anything downstream ran."""
        return bool(self.result.asset_materializations_for_node("downstream"))

    @property
    def checks(self) -> dict[str, tuple[bool, str]]:
        """Each check of the orders: whether it passed, and its severity where not."""
        evaluations = self.result.get_asset_check_evaluations()
        return {
            each.check_name: (each.passed, each.severity.value)
            for each in evaluations
            if each.asset_key == dg.AssetKey(["raw", "orders"])
        }

    @property
    def failed(self) -> dict[str, str]:
        return {name: severity for name, (passed, severity) in self.checks.items() if not passed}

    @property
    def metadata(self) -> dict[str, Any]:
        for each in self.result.asset_materializations_for_node("ingest"):
            if each.asset_key == dg.AssetKey(["raw", "orders"]):
                return {name: value.value for name, value in each.metadata.items()}
        raise AssertionError("the orders were not materialized")

    @property
    def everything_told(self) -> str:
        return json.dumps([str(event) for event in self.result.all_events])


@pytest.fixture
def shop(company: Company) -> Company:
    """Weekly orders; the first week is good."""
    company.connection.close()
    company.map_orders("orders_*.csv", delivered_at=r"(\d{4}-\d{2}-\d{2})")
    return company.delivers("orders_2026-01-05.csv", orders(*range(100)))


def run(company: Company) -> Run:
    workspace = company.open()
    workspace.state_folder.mkdir(exist_ok=True)

    @dg.asset(deps=[["raw", "orders"]], **weekly(workspace))
    def downstream() -> None:
        """What is computed from the orders."""

    return Run(
        dg.materialize(
            [ingest_assets(workspace), *extract_specs(workspace), downstream],
            resources={"warehouse": Warehouse.of(workspace)},
            partition_key=WEEK,
            raise_on_error=False,
        )
    )


def count(company: Company) -> int:
    with duckdb.connect(str(company.open().warehouse_file), read_only=True) as connection:
        return int(connection.execute("select count(*) from raw.orders").fetchall()[0][0])


def change(company: Company, statement: str) -> None:
    with duckdb.connect(str(company.open().warehouse_file)) as connection:
        connection.execute(statement)


def test_a_good_delivery_passes_every_check(shop: Company) -> None:
    done = run(shop)
    assert done.result.success and done.went_on
    assert done.failed == {}
    assert {"contract", "every_row_is_accounted_for", "references_are_found"} < set(done.checks)


def test_a_few_wrong_rows_are_set_aside_and_told_and_the_run_goes_on(shop: Company) -> None:
    wrong = [order(number, status=CANARY) for number in range(100, 103)]
    shop.delivers("orders_2026-01-12.csv", [*orders(*range(103, 200)), *wrong])
    done = run(shop)
    assert done.result.success and done.went_on
    assert done.failed == {"contract": "WARN"}
    assert count(shop) == 197
    assert CANARY not in done.everything_told


def test_too_many_wrong_rows_stop_everything_and_last_weeks_rows_stand(shop: Company) -> None:
    assert run(shop).went_on
    shop.delivers("orders_2026-01-12.csv", [*orders(*range(100, 150)), *(order(n, status=CANARY) for n in range(6))])
    done = run(shop)
    assert not done.result.success and not done.went_on
    assert done.failed == {"contract": "ERROR"}
    assert count(shop) == 100
    assert CANARY not in done.everything_told
    shop.delivers("orders_2026-01-12.csv", orders(*range(100, 150)))
    assert run(shop).went_on
    assert count(shop) == 150


@pytest.mark.parametrize(
    "loss",
    [
        "delete from raw.orders where order_id = 'o7'",
        "insert into raw.orders select * from raw.orders where order_id = 'o7'",
        "delete from quarantine.orders",
        "update raw.ingested_files set rows_read = rows_read + 1",
    ],
)
def test_a_row_that_is_lost_anywhere_stops_everything(shop: Company, loss: str) -> None:
    shop.delivers("orders_2026-01-12.csv", [*orders(*range(100, 150)), order(150, status="lost")])
    assert run(shop).went_on
    change(shop, loss)
    done = run(shop)
    assert not done.went_on
    assert done.failed == {"every_row_is_accounted_for": "ERROR"}


def test_other_columns_than_last_time_stand_in_the_metadata_and_warn(shop: Company) -> None:
    assert run(shop).went_on
    lines = [f"{line},north" for line in orders(*range(100, 200))]
    shop.delivers("orders_2026-01-12.csv", lines, header="id,at,customer,amount,status,shop")
    done = run(shop)
    assert done.went_on
    assert done.failed == {"columns_are_as_before": "WARN"}
    (drift,) = done.metadata["schema drift"]
    assert (drift["file"], drift["new"], drift["missing"], drift["retyped"]) == (
        "orders_2026-01-12.csv",
        ["shop"],
        [],
        [],
    )

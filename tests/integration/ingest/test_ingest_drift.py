"""Deliveries that differ from those of their mapping before them are told of, in checks and in the asset's metadata."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from ingest_company import Company

from orchestration.defs.delivery_checks import drift_metadata, drift_results
from orchestration.ingest.load import IngestResult

COLUMNS = {"order_id": "id", "ordered_at": "at", "contact_id": "customer", "order_amount": "amount"}
DRIFT_CHECKS = ("columns_are_as_before", "size_is_as_before", "missing_values_are_as_before")


def delivery(company: Company, week: int, rows: int = 200, suffix: str = "csv", **columns: Any) -> None:
    """One week's file, its rows a little more or fewer each week."""
    rows += 7 * (week * 5 % 9)
    frame = pl.DataFrame({"id": range(1000 * week, 1000 * week + rows)}).with_columns(
        at=pl.lit(f"2026-02-{week:02} 10:00:00"),
        customer="c" + (pl.col("id") % 50).cast(pl.String),
        amount=pl.col("id") / 4,
        note=pl.when(pl.col("id") % 10 == 0).then(None).otherwise(pl.lit("fine")),
    )
    frame = frame.with_columns(**columns)
    path = company.data / f"orders_2026-02-{week:02}.{suffix}"
    frame.write_parquet(path) if suffix == "parquet" else frame.write_csv(path)


def map_weekly(company: Company) -> Company:
    return company.maps(
        "orders", {"orders": {"columns": COLUMNS}}, files="orders_*", delivered_at=r"(\d{4}-\d{2}-\d{2})"
    )


def failed(company: Company, result: IngestResult) -> dict[str, str | None]:
    """The checks of drift that warn, with their words."""
    drift = list(drift_results("orders", result, company.open().settings.drift))
    assert [check.check_name for check in drift] == list(DRIFT_CHECKS)
    assert all(check.severity.value == "WARN" for check in drift)
    return {str(check.check_name): check.description for check in drift if not check.passed}


@pytest.fixture
def history(company: Company) -> Company:
    """Six usual weeks."""
    map_weekly(company)
    for week in range(1, 7):
        delivery(company, week)
    return company


@pytest.mark.parametrize("together", [True, False])
def test_a_usual_history_gives_no_alarm(company: Company, together: bool) -> None:
    map_weekly(company)
    for week in range(1, 13):
        delivery(company, week)
        if not together:
            assert failed(company, company.ingest()) == {}
    if together:
        result = company.ingest()
        assert failed(company, result) == {}
        assert len(result.drift) == 12


def test_a_halved_file_gives_one(history: Company) -> None:
    assert failed(history, history.ingest()) == {}
    delivery(history, 7, rows=58)
    told = failed(history, history.ingest())
    assert told == {"size_is_as_before": "orders_2026-02-07.csv: 114 rows, usually 228."}


def test_a_column_that_is_suddenly_empty_gives_one(history: Company) -> None:
    history.ingest()
    delivery(history, 7, **{"customer": pl.lit(None, pl.String)})
    told = failed(history, history.ingest())
    assert told == {
        "missing_values_are_as_before": (
            "orders_2026-02-07.csv: contact_id is missing in 100.0% of the rows, usually 0.0%."
        )
    }


def test_it_is_found_also_when_it_comes_together_with_its_history(history: Company) -> None:
    delivery(history, 7, rows=20)
    delivery(history, 8)
    assert failed(history, history.ingest()).keys() == {"size_is_as_before"}


def test_other_columns_are_told_as_a_difference(history: Company) -> None:
    history.ingest()
    delivery(history, 7, id=pl.concat_str(pl.lit("o-"), "id"), shop=pl.lit(3), note=pl.lit("x"))
    path = history.data / "orders_2026-02-07.csv"
    frame = pl.read_csv(path).drop("note")
    frame.write_csv(path)
    result = history.ingest()
    told = failed(history, result)["columns_are_as_before"]
    assert told == "orders_2026-02-07.csv: new shop; missing note; id holds text, before numbers."
    assert drift_metadata(result.drift).value == [
        {
            "file": "orders_2026-02-07.csv",
            "compared with": "orders_2026-02-06.csv",
            "new": ["shop"],
            "missing": ["note"],
            "retyped": [{"column": "id", "before": "numbers", "now": "text"}],
        }
    ]


def test_a_parquet_file_says_itself_what_its_columns_hold(company: Company) -> None:
    map_weekly(company)
    delivery(company, 1, suffix="parquet")
    delivery(company, 2, suffix="parquet", amount=pl.lit("12"), note=pl.lit(None, pl.Null))
    (_, drift) = company.ingest().drift
    assert (drift.new, drift.missing) == ((), ())
    assert [(column.column, column.before, column.now) for column in drift.retyped] == [("amount", "numbers", "text")]


def test_what_holds_is_kept_in_the_ledger_for_later_runs(history: Company, tmp_path: Path) -> None:
    history.ingest()
    for path in history.data.iterdir():
        path.unlink()
    delivery(history, 7, rows=900)
    assert failed(history, history.ingest()).keys() == {"size_is_as_before"}


def test_the_limits_stand_in_the_settings_and_in_the_check(history: Company) -> None:
    history.ingest()
    delivery(history, 7, rows=900)
    history.settings(drift={"ratio": 10})
    result = history.ingest()
    assert failed(history, result) == {}
    _, size, _ = drift_results("orders", result, history.open().settings.drift)
    assert size.metadata["ratio"].value == 10

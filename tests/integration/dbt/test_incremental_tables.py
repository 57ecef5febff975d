"""Tables that keep earlier weeks: a run replaces its own week, and columns that an update brings are added."""

from __future__ import annotations

import shutil

import polars as pl
import pytest
from dbt_warehouse import DbtWarehouse, close_all_connections

KPIS = "select * from marts.segment_kpis order by as_of, segment_type, segment_id"


@pytest.fixture(scope="module")
def kpis(company, dbt_folder, tmp_path_factory) -> tuple[pl.DataFrame, list[pl.DataFrame]]:
    """As they were, and after two more runs: one of a table that an older version made, one of the table as it is."""
    folder = tmp_path_factory.mktemp("again")
    shutil.copy(company.warehouse.close(), folder)
    again = DbtWarehouse(folder, dbt_folder, company.warehouse.variables)
    before = again.read(KPIS)
    with again.connect() as connection:
        connection.execute(
            "insert into marts.segment_kpis select * replace (as_of - 7 as as_of) from marts.segment_kpis"
        )
        connection.execute("alter table marts.segment_kpis drop column mean_probability")
    runs = []
    for _ in range(2):
        again.dbt("run", "--select", "segment_kpis")
        runs.append(again.read(KPIS))
    close_all_connections()
    return before, runs


def test_a_run_replaces_its_own_week_and_leaves_the_others(kpis) -> None:
    before, runs = kpis
    assert before.height > 0
    for after in runs:
        earlier = after.filter(pl.col("as_of") < before["as_of"].min())
        assert after.join(earlier, on="as_of", how="anti").select(before.columns).equals(before)
        assert earlier.select("segment_id", "people").equals(before.select("segment_id", "people"))


def test_a_column_that_an_update_brings_is_added_and_empty_in_earlier_weeks(kpis) -> None:
    before, runs = kpis
    for after in runs:
        assert after.columns[-1] == "mean_probability"
        earlier = after.filter(pl.col("as_of") < before["as_of"].min())
        assert earlier["mean_probability"].null_count() == earlier.height == before.height

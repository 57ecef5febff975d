"""Erasure over a whole company: no table is forgotten, later runs bring nobody back, and nobody else is changed."""

from __future__ import annotations

import duckdb
import polars as pl

from activation.answers import first_row
from orchestration.erasure_registry import KEPT, OF_THE_ROW, PERSON_COLUMNS
from tests.end_to_end.demo_company import DemoRun
from tests.end_to_end.later_company import FEATURES, Erased, connect, left_below


def known_identifiers(connection: duckdb.DuckDBPyConnection) -> pl.DataFrame:
    """Everything by which anybody is known, in the clear and hashed."""
    return connection.sql(
        "with plain as (select contact_id as value from raw.contacts union select email from raw.contacts "
        "union select lower(trim(email)) from raw.contacts union select phone from raw.contacts "
        "union select user_id from raw.events union select device_id from raw.events "
        "union select order_id from raw.orders "
        "union select format('p_{:016x}', person_after) from intermediate.identity_changes) "
        "select value from plain where length(value) > 4 union select sha256(value) from plain where length(value) > 4"
    ).pl()


def test_every_column_that_holds_somebody_is_in_the_registry(demo_run: DemoRun) -> None:
    """Whoever adds a table with people under another name of the column is told here."""
    with connect(demo_run.folder) as connection:
        known = known_identifiers(connection)  # noqa: F841 - DuckDB reads it by name
        connection.execute("create temp table known as select distinct value from known")
        connection.execute(
            "create temp macro called(value) as case typeof(value) when 'UBIGINT' "
            "then format('p_{:016x}', try_cast(value as ubigint)) else value::varchar end"
        )
        forgotten, found = [], set()
        for schema, table, column in connection.execute(
            "select schema_name, table_name, column_name from duckdb_columns() inner join (select schema_name, "
            "table_name from duckdb_tables() where not temporary) using (schema_name, table_name) "
            "where data_type in ('VARCHAR', 'UBIGINT') order by all"
        ).fetchall():
            holds = f'select 1 from "{schema}"."{table}" where called("{column}") in (select value from known) limit 1'
            if first_row(connection, holds) is None:
                continue
            found.add(column)
            if column not in {*PERSON_COLUMNS, *OF_THE_ROW} and (schema, table) not in KEPT:
                forgotten.append(f"{schema}.{table}.{column}")
    assert forgotten == []
    assert found >= {"person_id", "contact_id", "email", "device_id", "order_id", "identity_id", "email_hash"}


def test_nothing_of_them_is_left_in_any_table_or_file(demo_run: DemoRun, erased: Erased) -> None:
    assert erased.told["people"] == 1 and erased.told["contacts"] == 2
    assert {name.split("/")[0] for name in erased.told["files"]} >= {"activation", "published"}
    before = left_below(demo_run.state, erased.canaries)
    assert "warehouse.duckdb" in before, "else this test could not fail"
    assert "warehouse.duckdb: features.person_features.person_id" in before
    assert any(name.endswith(".parquet") for name in before) and any(name.endswith(".csv") for name in before)
    assert erased.left == []


def test_old_weeks_run_again_without_them_and_nobody_else_changes(erased: Erased, ran_again: None) -> None:
    """An old extract came again, and old weeks were computed and one of them sent again."""
    assert left_below(erased.folder / ".personae", erased.canaries) == []
    with connect(erased.folder) as connection:
        after = connection.sql(FEATURES, params={"person": erased.person}).pl()
        dropped = connection.execute(
            "select coalesce(sum(rows_erased), 0) from raw.ingested_files where file like '%_again.csv'"
        ).fetchall()
    assert after.equals(erased.features)
    assert int(dropped[0][0]) == erased.delivered_again > 0

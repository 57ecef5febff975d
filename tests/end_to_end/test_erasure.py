"""Erasure over a whole company: no table is forgotten, later runs bring nobody back, and nobody else is changed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from orchestration.erasure_registry import KEPT, OF_THE_ROW, PERSON_COLUMNS
from tests.end_to_end.demo_company import LAST_WEEK, DemoRun
from tests.running import personae_here

FEATURES = (
    "select * exclude (feature_fingerprint) from features.person_features where person_id <> $person order by all"
)


def connect(folder: Path) -> duckdb.DuckDBPyConnection:
    return duckdb.connect(str(folder / ".personae" / "warehouse.duckdb"), read_only=True)


def known_identifiers(connection: duckdb.DuckDBPyConnection) -> pl.DataFrame:
    """Everything by which anybody is known, in the clear and hashed."""
    return connection.execute(
        "with plain as (select contact_id as value from raw.contacts union select email from raw.contacts "
        "union select lower(trim(email)) from raw.contacts union select phone from raw.contacts "
        "union select user_id from raw.events union select device_id from raw.events "
        "union select order_id from raw.orders union select person_after from intermediate.identity_changes) "
        "select value from plain where length(value) > 4 union select sha256(value) from plain where length(value) > 4"
    ).pl()


def test_every_column_that_holds_somebody_is_in_the_registry(demo_run: DemoRun) -> None:
    """Whoever adds a table with people under another name of the column is told here."""
    with connect(demo_run.folder) as connection:
        known = known_identifiers(connection)  # noqa: F841 - DuckDB reads it by name
        connection.execute("create temp table known as select distinct value from known")
        forgotten, found = [], set()
        for schema, table, column in connection.execute(
            "select schema_name, table_name, column_name from duckdb_columns() inner join (select schema_name, "
            "table_name from duckdb_tables() where not temporary) using (schema_name, table_name) "
            "where data_type = 'VARCHAR' order by all"
        ).fetchall():
            holds = f'select 1 from "{schema}"."{table}" where "{column}" in (select value from known) limit 1'
            if connection.execute(holds).fetchone() is None:
                continue
            found.add(column)
            if column not in {*PERSON_COLUMNS, *OF_THE_ROW} and (schema, table) not in KEPT:
                forgotten.append(f"{schema}.{table}.{column}")
    assert forgotten == []
    assert found >= {"person_id", "contact_id", "email", "device_id", "order_id", "identity_id", "email_hash"}


@pytest.fixture(scope="module")
def erased(demo_run: DemoRun, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A copy of the company in which one person with two contacts was erased, by one of the contacts."""
    folder = tmp_path_factory.mktemp("erasure") / "havelgrid"
    shutil.copytree(demo_run.folder, folder, symlinks=True)
    with connect(folder) as connection:
        person, contacts, devices = connection.execute(
            "with people as (select person_after as person, list(identity_id order by identity_id) "
            "filter (identity_kind = 'contact') as contacts, list(identity_id) filter (identity_kind = 'device') "
            "as devices from intermediate.identity_changes where changed_again_at is null group by 1) "
            "select person, contacts, coalesce(devices, []) from people where len(contacts) = 2 and person in "
            "(select person_id from marts.segment_memberships) and len(devices) > 0 "
            "and contacts[1] in (select contact_id from raw.orders) "
            "and person in (select person_id from activation.audiences where is_in) order by person limit 1"
        ).fetchall()[0]
        addresses = connection.execute(
            "select distinct email from raw.contacts where list_contains(?, contact_id) and email is not null",
            [contacts],
        ).fetchall()
        before = connection.execute(FEATURES, {"person": person}).pl()
    done = personae_here("erase", folder, contacts[1], "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    canaries = [person, *contacts, *devices, *(address for (address,) in addresses)]
    yield {"folder": folder, "person": person, "canaries": canaries, "told": told, "before": before}


def left_below(folder: Path, canaries: list[str]) -> list[str]:
    """Files that hold any of the canaries as bytes, and Parquet columns that hold them as values."""
    found = []
    wanted = [canary.lower().encode() for canary in canaries]
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.is_symlink():
            continue
        content = path.read_bytes().lower()
        if any(canary in content for canary in wanted):
            found.append(str(path.relative_to(folder)))
        if path.suffix == ".parquet":
            frame = pl.read_parquet(path).select(pl.col(pl.String))
            if any(frame[column].is_in(canaries).any() for column in frame.columns):
                found.append(str(path.relative_to(folder)))
    return found


def test_nothing_of_them_is_left_in_any_table_or_file(demo_run: DemoRun, erased: dict[str, Any]) -> None:
    assert erased["told"]["people"] == 1 and erased["told"]["contacts"] == 2
    assert {name.split("/")[0] for name in erased["told"]["files"]} >= {"activation", "published"}
    before = left_below(demo_run.state, erased["canaries"])
    assert "warehouse.duckdb" in before, "else this test could not fail"
    assert any(name.endswith(".parquet") for name in before) and any(name.endswith(".csv") for name in before)
    assert left_below(erased["folder"] / ".personae", erased["canaries"]) == []


def test_an_old_week_runs_again_without_them_and_nobody_else_changes(erased: dict[str, Any]) -> None:
    """An old extract comes again, and an old week is computed again."""
    folder: Path = erased["folder"]
    first = sorted((folder / "extracts" / "crm").glob("contacts_*.csv"))[0]
    lines = first.read_text(encoding="utf-8").splitlines()
    theirs = [line for line in lines[1:] if any(canary in line for canary in erased["canaries"])]
    assert theirs
    again = first.with_name(first.name.replace(".csv", "_again.csv"))
    again.write_text("\n".join([lines[0], *theirs, ""]), encoding="utf-8")
    done = personae_here("run", folder, "--week", LAST_WEEK.back(1).key)
    assert done.returncode == 0, done.stdout + done.stderr
    assert left_below(folder / ".personae", erased["canaries"]) == []
    with connect(folder) as connection:
        after = connection.execute(FEATURES, {"person": erased["person"]}).pl()
        dropped = connection.execute(
            "select coalesce(sum(rows_erased), 0) from raw.ingested_files where file like '%_again.csv'"
        ).fetchall()
    assert after.equals(erased["before"])
    assert int(dropped[0][0]) == len(theirs)

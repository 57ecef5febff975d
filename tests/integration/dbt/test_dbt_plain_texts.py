"""Columns of ids are written as they are, whichever way a model makes its table; other texts have dictionaries."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pytest
from dbt_warehouse import DBT_PROJECT

if TYPE_CHECKING:
    from conftest import Company

NAMED = re.compile(r"plain_texts=(\[[^]]*\])")
MODELS = {
    file.stem: set(re.findall(r"'(\w+)'", named[1]))
    for file in sorted(Path(DBT_PROJECT, "models").rglob("*.sql"))
    if (named := NAMED.search(file.read_text(encoding="utf-8")))
}
# So often that DuckDB would make a dictionary of any text it is free to.
TIMES = 5000


@pytest.fixture(scope="module")
def stored(company: Company, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, set[str]]]:
    """By model and column how texts are stored once each row was written many times more, in a copy."""
    file = shutil.copy(company.warehouse.close(), tmp_path_factory.mktemp("grown"))
    ways: dict[str, dict[str, set[str]]] = {}
    with duckdb.connect(str(file)) as connection:
        there = connection.execute("select table_name from duckdb_tables() where schema_name = 'intermediate'")
        tables = [f"intermediate.{name}" for (name,) in there.fetchall() if name in MODELS]
        for table in tables:
            connection.execute(f"insert into {table} select rows.* from {table} as rows cross join range({TIMES})")
        connection.execute("checkpoint")
        for table in tables:
            told = connection.execute(
                "select column_name, list(distinct compression) from pragma_storage_info(?) "
                "where segment_type = 'VARCHAR' and count > 1000 group by all",
                [table],
            )
            ways[table.split(".")[1]] = {column: set(found) for column, found in told.fetchall()}
    return ways


@pytest.mark.parametrize("model", MODELS)
def test_what_a_model_names_is_a_column_that_is_written_as_it_is(
    company: Company, stored: dict[str, dict[str, set[str]]], model: str
) -> None:
    columns = company.warehouse.read(f"select * from intermediate.{model} limit 0").columns
    assert MODELS[model] <= set(columns)
    named = {column: ways for column, ways in stored.get(model, {}).items() if column in MODELS[model]}
    assert all(ways == {"Uncompressed"} for ways in named.values()), named


def test_other_texts_have_dictionaries(stored: dict[str, dict[str, set[str]]]) -> None:
    assert stored["int_people"]["contact_country"] == {"DICT_FSST"}


def test_it_was_seen_of_tables_that_are_made_in_every_way(stored: dict[str, dict[str, set[str]]]) -> None:
    seen = {model for model, columns in stored.items() if columns.keys() & MODELS[model]}
    assert {"int_identity_days", "int_identity_events", "int_identity_sightings", "int_people"} <= seen

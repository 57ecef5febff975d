"""Columns of ids are written as they are, whichever way a model makes its table."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

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


def how_texts_are_stored(company: Company, model: str) -> dict[str, set[str]]:
    rows = company.warehouse.read(
        "select column_name, list(distinct compression) as ways "
        f"from pragma_storage_info('intermediate.{model}') where segment_type = 'VARCHAR' group by all"
    )
    return {column: set(ways) for column, ways in rows.iter_rows()}


def test_there_are_models_of_all_kinds() -> None:
    assert {"int_identity_days", "int_identity_events", "int_identity_sightings", "int_people"} <= MODELS.keys()


@pytest.mark.parametrize("model", MODELS)
def test_what_a_model_names_is_a_column_that_is_written_as_it_is(company: Company, model: str) -> None:
    stored = how_texts_are_stored(company, model)
    assert MODELS[model] <= stored.keys()
    assert {column: ways for column, ways in stored.items() if column in MODELS[model]} == {
        column: {"Uncompressed"} for column in MODELS[model]
    }


def test_other_texts_have_dictionaries(company: Company) -> None:
    assert how_texts_are_stored(company, "int_people")["contact_country"] == {"Dictionary"}

"""One build per stage for the whole session: starting dbt is what costs."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest
from dbt_company import NEXT_WEEK, THIS_WEEK, VARIABLES, add_what_came_later, assign_personas, fill
from dbt_warehouse import DbtWarehouse


@dataclass(frozen=True)
class Company:
    """The company after its week was built and published."""

    warehouse: DbtWarehouse

    def table(self, name: str) -> pl.DataFrame:
        """All rows of a table, in order."""
        return self.warehouse.read(f"select * from {name} order by all")

    def of(self, person_id: int, table: str = "features.person_features") -> dict[str, object]:
        """The only row of a person in a table."""
        rows = self.warehouse.read(f"select * from {table} where person_id = '{person_id}'")
        assert rows.height == 1
        return rows.row(0, named=True)


@dataclass(frozen=True)
class LaterCompany:
    """The same week before and after more became known, and both weeks built from nothing."""

    week_as_built_first: pl.DataFrame
    after: DbtWarehouse
    from_nothing: DbtWarehouse


@pytest.fixture(scope="session")
def dbt_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dbt")


@pytest.fixture(scope="session")
def company(tmp_path_factory: pytest.TempPathFactory, dbt_folder: Path) -> Company:
    warehouse = DbtWarehouse(tmp_path_factory.mktemp("company"), dbt_folder, VARIABLES)
    fill(warehouse)
    warehouse.run_for(THIS_WEEK)
    warehouse.dbt("build", "--select", "tag:features")
    assign_personas(warehouse)
    warehouse.dbt("build", "--select", "tag:marts")
    return Company(warehouse)


@pytest.fixture(scope="session")
def later_company(tmp_path_factory: pytest.TempPathFactory, dbt_folder: Path, company: Company) -> LaterCompany:
    features = (
        "--select",
        "+person_features",
        "person_outcomes",
        "+int_contact_texts",
        "+int_launch_adoptions",
        "+int_influence",
    )
    folder = tmp_path_factory.mktemp("after")
    shutil.copy(company.warehouse.close(), folder)
    after = DbtWarehouse(folder, dbt_folder, VARIABLES)
    first = after.read("select * from features.person_features order by all")
    add_what_came_later(after)
    after.run_for(THIS_WEEK, NEXT_WEEK)
    after.dbt("run", *features)

    from_nothing = DbtWarehouse(tmp_path_factory.mktemp("from_nothing"), dbt_folder, VARIABLES)
    fill(from_nothing)
    add_what_came_later(from_nothing)
    from_nothing.run_for(THIS_WEEK, NEXT_WEEK)
    from_nothing.dbt("run", *features)
    return LaterCompany(first, after, from_nothing)

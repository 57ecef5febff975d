"""dbt's models in Python that keep their tables, run on tables in memory instead of by dbt.

What belongs here: as much of dbt as those models ask for, and what the materialization `kept_table` does with their
answer. That it does so with dbt is what `tests/integration/dbt/test_dbt_identity_goes_on.py` is about.
"""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import duckdb
import polars as pl

MODELS = Path(__file__).parents[3] / "dbt_project" / "models" / "intermediate"


@dataclass(frozen=True)
class This:
    """The table of a model."""

    identifier: str
    schema: str = "intermediate"

    def __str__(self) -> str:
        return f"{self.schema}.{self.identifier}"


@dataclass
class Config:
    """A model's configuration: what it says is of no interest here, what it asks is the workspace's settings."""

    settings: dict[str, Any]

    def __call__(self, **_: Any) -> None:
        """What a model says of itself."""

    def meta_get(self, _: str) -> str:
        return json.dumps(self.settings)


@dataclass
class Warehouse:
    """Tables in memory, and dbt as one model sees it."""

    settings: dict[str, Any]
    session: duckdb.DuckDBPyConnection = field(default_factory=duckdb.connect)
    this: This = This("")
    went_on: bool = False

    def __post_init__(self) -> None:
        self.session.execute("set TimeZone = 'UTC'; create schema raw; create schema intermediate")
        self.session.execute(
            "create table raw.touched_identities (identity_key ubigint, other_key ubigint, linked_from_at timestamp)"
        )

    @property
    def config(self) -> Config:
        return Config(self.settings)

    def ref(self, name: str) -> duckdb.DuckDBPyRelation:
        return self.session.sql(f"select * from intermediate.{name}")

    def source(self, schema: str, name: str) -> duckdb.DuckDBPyRelation:
        return self.session.sql(f"select * from {schema}.{name}")

    def put(self, table: str, frame: pl.DataFrame) -> None:
        """Replace a table."""
        self.session.register("frame_to_put", frame.to_arrow())
        self.session.execute(f"create or replace table {table} as select * from frame_to_put")
        self.session.unregister("frame_to_put")

    def run(self, name: str) -> pl.DataFrame:
        """Run a model, do what it says, and show the table. `went_on` tells whether it told changes only."""
        self.this = This(name)
        told = model_file(name).model(self, self.session)
        self.went_on = "is_there" in told.columns
        if not self.went_on:
            self.put(str(self.this), told)
            return self.table(name)
        columns = [column for column in told.columns if column != "is_there"]
        self.session.register("told", told.to_arrow())
        same = " and ".join(f'kept."{column}" is not distinct from told."{column}"' for column in columns)
        named = ", ".join(f'"{column}"' for column in columns)
        gone = self.session.execute(
            f"delete from {self.this} as kept using told where not told.is_there and {same}"
        ).fetchall()[0][0]
        assert gone == told.filter(~pl.col("is_there")).height, "what is to go stands there"
        self.session.execute(f"insert into {self.this} ({named}) select {named} from told where is_there")
        self.session.unregister("told")
        return self.table(name)

    def table(self, name: str) -> pl.DataFrame:
        """A table in a fixed order."""
        return self.session.sql(f"select * from intermediate.{name} order by all").pl()


def model_file(name: str) -> ModuleType:
    """A model as a module."""
    spec = importlib.util.spec_from_file_location(name, MODELS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

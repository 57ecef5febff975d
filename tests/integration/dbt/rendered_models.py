"""Models of the dbt project as SQL, without a start of dbt: for properties that need many simulated tables.

Only models whose macros ask nothing of the warehouse can be rendered so. That dbt makes the same of them is what the
other tests of this folder show.
"""

from __future__ import annotations

from typing import Any

import duckdb
import polars as pl
from dbt_warehouse import DBT_PROJECT
from jinja2.sandbox import SandboxedEnvironment

MACROS = ("comparisons.sql", "exact.sql", "known.sql")


def rendered(model: str, variables: dict[str, Any]) -> str:
    """The SQL of a model; what it refers to are tables of the same name."""
    environment = SandboxedEnvironment(extensions=["jinja2.ext.do"])
    environment.globals.update(
        var=variables.__getitem__,
        ref=lambda name: name,
        source=lambda schema, name: name,
        config=lambda **_: "",
        literal=lambda value: "'" + str(value).replace("'", "''") + "'",
        is_delivered=lambda entity: entity in variables.get("delivered_entities", ()),
        before_begin=lambda _: "",
    )
    macros = "".join((DBT_PROJECT / "macros" / name).read_text(encoding="utf-8") for name in MACROS)
    (file,) = (DBT_PROJECT / "models").rglob(f"{model}.sql")
    return environment.from_string(macros + file.read_text(encoding="utf-8")).render()


def rows_of(model: str, tables: dict[str, pl.DataFrame], **variables: Any) -> pl.DataFrame:
    """What a model makes of tables."""
    with duckdb.connect() as connection:
        connection.execute("set threads to 1")
        for name, frame in tables.items():
            connection.register(name, frame.to_arrow())
        return connection.sql(rendered(model, variables)).pl()

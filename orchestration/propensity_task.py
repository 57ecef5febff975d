"""One target of one week: what every step of it is given, and what its rows of a table look like.

What belongs here: what the steps share. The steps stand in `propensity_week.py`, `propensity_rows.py` and
`propensity_banding.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import polars as pl

from orchestration.propensity_store import PROPENSITY_TABLES
from orchestration.target_settings import Target
from orchestration.weeks import Week
from orchestration.workspace import Workspace


@dataclass(frozen=True)
class Asked:
    """A target of a week, and where to look."""

    connection: duckdb.DuckDBPyConnection
    workspace: Workspace
    catalogue: pl.DataFrame
    week: Week
    name: str
    target: Target

    @property
    def features(self) -> set[str]:
        """The features there are."""
        return set(self.catalogue["feature"].to_list())

    @property
    def seed(self) -> int:
        """The seed of everything drawn."""
        return self.workspace.settings.personas.seed


def rows_of_table(table: str, asked: Asked, frame: pl.DataFrame | None) -> pl.DataFrame:
    """The columns of a table in its order, of this target and week; those a frame lacks are null."""
    schema = PROPENSITY_TABLES[table]
    if frame is None:
        return pl.DataFrame(schema=schema)
    full = frame.with_columns(as_of=pl.lit(asked.week.as_of), target=pl.lit(asked.name))
    return full.select(
        pl.col(name).cast(kind) if name in full.columns else pl.lit(None, kind).alias(name)
        for name, kind in schema.items()
    )

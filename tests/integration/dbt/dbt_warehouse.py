"""Builders for a small warehouse and the dbt command over it.

Here belongs what every test of the dbt project needs. The company the tests are about stands in `dbt_company`.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.cli.main import dbtRunner

from orchestration.adoption_week import ADOPTION_TABLES
from orchestration.affinity_week import AFFINITY_TABLES
from orchestration.dbt_templates import compile_each_template_once
from orchestration.ingest.tables import make_raw_tables
from orchestration.lookalike_week import LOOKALIKE_TABLES
from orchestration.persuasion_week import PERSUASION_TABLES
from orchestration.preference_week import PREFERENCE_TABLES
from orchestration.propensity_store import PROPENSITY_TABLES
from orchestration.uplift_week import UPLIFT_TABLES
from orchestration.value_week import VALUE_TABLES
from orchestration.warehouse import make_tables

DBT_PROJECT = Path(__file__).parents[3] / "dbt_project"
# As in a run: dbt keeps its connection to the end, writes no debug log and no manifest.
TARGET = "build"
ENVIRONMENT = {
    "PERSONAE_TEMP": "spill",
    "PERSONAE_CODE": str(DBT_PROJECT.parent),
    "DBT_LOG_LEVEL": "none",  # a failure is told with what each model says
    "DBT_LOG_LEVEL_FILE": "none",
    "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    "DBT_WRITE_JSON": "false",
    "NO_COLOR": "1",
}

ML_TABLES = """
create schema if not exists ml;
create table ml.persona_assignments (
    as_of date, person_id ubigint, persona_type varchar default 'persona', persona_id varchar, strength double,
    runner_up_persona_id varchar, margin double, fit_score double, deciding_feature_1 varchar,
    deciding_feature_2 varchar, deciding_feature_3 varchar, previous_model_persona_id varchar, movement varchar,
    model_id varchar
);
create table ml.persona_weeks (as_of date);
create table ml.personas (
    as_of date, persona_type varchar default 'persona', persona_id varchar, persona_name varchar, description varchar,
    people bigint, model_id varchar
);
"""
# Tables of schema `ml` whose columns are those that the pipeline makes.
MADE_BY_THE_PIPELINE = (
    ADOPTION_TABLES
    | AFFINITY_TABLES
    | LOOKALIKE_TABLES
    | PERSUASION_TABLES
    | VALUE_TABLES
    | PREFERENCE_TABLES
    | UPLIFT_TABLES
    | PROPENSITY_TABLES
)


def person(identity_id: str, kind: str = "contact") -> int:
    """The id of the person whose first contact (or only device) is `identity_id`."""
    return int(hashlib.md5(f"{kind}:{identity_id}".encode()).hexdigest()[:16], 16)


def close_all_connections() -> None:
    """dbt keeps what it opened for its next call, which is for another warehouse of the same name."""
    if DuckDBConnectionManager._ENV is not None:
        DuckDBConnectionManager._ENV.close()
        DuckDBConnectionManager._ENV = None


@cache
def _parsed(options: tuple[str, ...]) -> Any:
    """The project as dbt parses it with these options, which is the same for all warehouses."""
    done = dbtRunner().invoke(["parse", *options])
    assert done.success, done.exception
    return done.result


class DbtWarehouse:
    """A warehouse file, filled by hand and built by dbt.

    Warehouses share a dbt folder, and dbt is told of them by a path relative to their own folder: so it parses the
    project once.
    """

    def __init__(self, folder: Path, dbt_folder: Path, variables: dict[str, Any]) -> None:
        self.file = folder / "warehouse.duckdb"
        self.dbt_folder = dbt_folder
        self.variables = variables
        self._rows = 0
        self._held: duckdb.DuckDBPyConnection | None = None
        if self.file.exists():
            return
        with self.connect() as connection:
            make_raw_tables(
                connection, {"contacts": {"attr_tier": "VARCHAR", "attr_churned": "VARCHAR", "attr_notes": "VARCHAR"}}
            )
            connection.execute(ML_TABLES)
            make_tables(connection, MADE_BY_THE_PIPELINE)

    def connect(self) -> duckdb.DuckDBPyConnection:
        """A connection for a `with` block; the database stays open until dbt or somebody else needs its file."""
        if self._held is None:
            self._held = duckdb.connect(str(self.file))
        return self._held.cursor()

    def close(self) -> Path:
        """Let go of the file, which holds everything then."""
        if self._held is not None:
            self._held.close()
            self._held = None
        return self.file

    def add(self, table: str, *rows: dict[str, Any]) -> None:
        """Append rows to a table such as `raw.orders`; columns not named are null."""
        with self.connect() as connection:
            for row in rows:
                self._rows += 1
                known = row | ({"_row_number": self._rows} if table.count("raw.") and "as_of" not in row else {})
                columns = ", ".join(f'"{name}"' for name in known)
                marks = ", ".join("?" for _ in known)
                connection.execute(f"insert into {table} ({columns}) values ({marks})", list(known.values()))

    def run_for(self, *weeks: tuple[str, str, bool, bool]) -> None:
        """Say which weeks the next run is for: (as_of, as_of_at, is_scored, build_features)."""
        with self.connect() as connection:
            connection.execute("delete from raw.run_weeks")
            connection.executemany("insert into raw.run_weeks values (?, ?, ?, ?, 'fingerprint')", weeks)

    def changed_days(self, days: list[str]) -> None:
        """Say which days of events the next run has to count again, whatever delivered them."""
        with self.connect() as connection:
            connection.execute("delete from raw.changed_days")
            connection.execute(
                "insert into raw.changed_days select 'events', unnest(?::date[]), _delivered_at "
                "from (select distinct _delivered_at from raw.events) as deliveries",
                [days],
            )

    def delivered(self, *days: tuple[str, str | None]) -> None:
        """Say which parts of days the next run has to count again: (day, when it was delivered)."""
        with self.connect() as connection:
            connection.execute("delete from raw.changed_days")
            connection.executemany("insert into raw.changed_days values ('events', ?, ?)", days)

    def dbt(self, command: str, *arguments: str) -> None:
        """Run dbt; a failure fails the test with dbt's own words.

        In this process, so that its libraries are imported once. What a run starts, a process of its own, is what
        the end-to-end tests call.
        """
        options = {
            "--project-dir": DBT_PROJECT,
            "--profiles-dir": DBT_PROJECT,
            "--target-path": self.dbt_folder / "target",
            "--log-path": self.dbt_folder / "logs",
            "--target": TARGET,
            "--vars": json.dumps(self.variables, sort_keys=True),
        }
        given = [str(one) for option in options.items() for one in option]
        self.close()
        compile_each_template_once()
        with pytest.MonkeyPatch.context() as patched:
            for name, value in (ENVIRONMENT | {"PERSONAE_WAREHOUSE": self.file.name}).items():
                patched.setenv(name, value)
            patched.chdir(self.file.parent)
            try:
                done = dbtRunner(manifest=_parsed(tuple(given))).invoke([command, *arguments, *given])
            finally:
                close_all_connections()
        told = [f"{one.node.unique_id}: {one.message}" for one in getattr(done.result, "results", ())]
        assert done.success, done.exception or "\n".join(told)

    def read(self, query: str) -> pl.DataFrame:
        """The answer to a query."""
        with self.connect() as connection:
            return connection.sql(query).pl()

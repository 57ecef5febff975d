"""Nobody without permission reaches a table, a model, a report or a file, whatever the ledger of consent looks like."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import polars as pl
import pytest

from activation.people import person_name
from ml.propensity_model import PropensitySettings
from orchestration.feature_catalogue import read_catalogue
from orchestration.propensity_rows import training_rows
from orchestration.weeks import Week
from orchestration.workspace import Workspace
from tests.end_to_end.smuggling_company import (
    EARLIER,
    SCORED,
    Human,
    may_be_mailed,
    may_be_profiled,
    random_people,
    smugglers,
    write_company,
)
from tests.running import personae_here

WEEK = Week.containing((SCORED.date()).replace(day=SCORED.day - 7))


@dataclass(frozen=True)
class TrapRun:
    """The company after its run: the folder, who is in it, and which person each contact became."""

    folder: Path
    people: list[Human]
    persons: dict[str, int]

    @property
    def state(self) -> Path:
        return self.folder / ".personae"

    def query(self, sql: str) -> pl.DataFrame:
        with duckdb.connect(str(self.state / "warehouse.duckdb"), read_only=True) as connection:
            return connection.sql(sql).pl()

    def person(self, human: Human) -> int:
        return self.persons[human.contacts[0]]

    def persons_where(self, allowed: bool) -> set[int]:
        return {self.person(human) for human in self.people if may_be_profiled(human, SCORED) == allowed}


@pytest.fixture(scope="module")
def trap_run(tmp_path_factory: pytest.TempPathFactory) -> TrapRun:
    folder = tmp_path_factory.mktemp("consent") / "trap"
    people = [*smugglers(), *random_people()]
    write_company(folder, people)
    done = personae_here("run", folder, "--week", WEEK.key)
    assert done.returncode == 0, done.stdout + done.stderr
    with duckdb.connect(str(folder / ".personae" / "warehouse.duckdb"), read_only=True) as connection:
        persons = connection.execute(
            "select identity_id, person_id from intermediate.int_identities_resolved where identity_kind = 'contact' "
            "and valid_to is null"
        ).fetchall()
    return TrapRun(folder, people, dict(persons))


def test_every_smuggler_is_known_and_none_is_allowed(trap_run: TrapRun) -> None:
    for human in smugglers():
        assert not may_be_profiled(human, SCORED), human.name
        assert all(contact in trap_run.persons for contact in human.contacts), human.name


def test_permissions_are_those_of_a_plain_reading_of_the_rules(trap_run: TrapRun) -> None:
    found = trap_run.query(
        f"select person_id, is_allowed from intermediate.int_profiling_permissions where as_of = '{SCORED.date()}'"
    )
    expected = {
        trap_run.person(h): may_be_profiled(h, SCORED) for h in trap_run.people if set(h.contacts) - set(h.deleted)
    }
    assert dict(found.iter_rows()) == expected
    assert 200 < sum(expected.values()) < len(expected) - 200


def test_reachability_is_that_of_a_plain_reading_of_the_rules(trap_run: TrapRun) -> None:
    found = trap_run.query(
        f"select person_id, is_allowed from intermediate.int_contactability where as_of = '{SCORED.date()}'"
    )
    expected = {trap_run.person(h): may_be_mailed(h, SCORED) for h in trap_run.people if may_be_profiled(h, SCORED)}
    assert dict(found.iter_rows()) == expected
    assert sum(expected.values()) > 50


def test_nobody_without_permission_is_in_a_published_file(trap_run: TrapRun) -> None:
    forbidden = set(map(person_name, trap_run.persons_where(allowed=False)))
    allowed = set(map(person_name, trap_run.persons_where(allowed=True)))
    seen: set[str] = set()
    files = [path for path in (trap_run.state / "published").rglob("*.parquet")]
    assert len(files) >= 6
    for path in files:
        for values in _texts(pl.read_parquet(path)):
            assert not values & forbidden, path.name
            seen |= values & allowed
    assert seen == allowed, "whoever may be profiled is there"


def test_nobody_without_permission_is_in_features_models_or_marts(trap_run: TrapRun) -> None:
    forbidden = trap_run.persons_where(allowed=False)
    tables = trap_run.query(
        "select table_schema || '.' || table_name from information_schema.columns where column_name = 'person_id' "
        "and table_schema in ('features', 'ml', 'marts', 'activation') order by 1"
    )
    names = tables.to_series().to_list()
    assert {"features.person_features", "features.person_outcomes", "ml.persona_assignments"} <= set(names)
    for name in names:
        there = trap_run.query(f"select distinct person_id from {name} where as_of = '{SCORED.date()}'")
        assert not set(there["person_id"]) & forbidden, name


def test_no_smuggled_name_is_in_any_file_outsiders_read(trap_run: TrapRun) -> None:
    for place in ("published", "activation", "reports", "dagster", "logs"):
        for path in (trap_run.state / place).rglob("*"):
            if path.is_file():
                assert b"smuggled-" not in path.read_bytes(), path.relative_to(trap_run.folder)


def test_only_people_who_may_be_mailed_are_in_activation_files(trap_run: TrapRun) -> None:
    rows = pl.concat([pl.read_csv(path) for path in (trap_run.state / "activation" / WEEK.key).glob("persona-*.csv")])
    last = max(statement.at for h in trap_run.people for said in h.said.values() for statement in said)
    end = last.replace(year=last.year + 1)
    addresses = set(rows["email"])
    for human in trap_run.people:
        if may_be_mailed(human, SCORED) and may_be_mailed(human, end):
            assert human.email in addresses, human.name
        elif human.email in addresses:
            # Not refused since; at most a permission by basis that needs no word.
            assert may_be_mailed(human, SCORED) and may_be_profiled(human, end), human.name
    refused_since = [h for h in trap_run.people if may_be_mailed(h, SCORED) and not may_be_mailed(h, end)]
    assert refused_since and not {human.email for human in refused_since} & addresses
    manifest = json.loads((trap_run.state / "activation" / WEEK.key / "manifest.json").read_text())
    assert manifest["left_out"]["refused_since"] == len(refused_since)


def test_nobody_teaches_a_model_who_may_not_be_profiled_then_and_now(trap_run: TrapRun) -> None:
    workspace = Workspace.open(trap_run.folder)
    target = workspace.settings.targets["order_soon"]
    with duckdb.connect(str(trap_run.state / "warehouse.duckdb"), read_only=True) as connection:
        catalogue = read_catalogue(connection, workspace, trap_run.state / "dbt" / "manifest.json")
        rows = training_rows(connection, workspace, catalogue, WEEK, "order_soon", target, PropensitySettings())
    learned = rows.filter(pl.col("as_of") == EARLIER.date())
    taught_from = set(rows["person_id"])
    assert taught_from and not taught_from & trap_run.persons_where(allowed=False)
    withdrawn_since = [
        human for human in trap_run.people if may_be_profiled(human, EARLIER) and not may_be_profiled(human, SCORED)
    ]
    assert len(withdrawn_since) > 50
    not_yet = {
        trap_run.person(h) for h in trap_run.people if not may_be_profiled(h, EARLIER) and may_be_profiled(h, SCORED)
    }
    assert not_yet and not not_yet & set(learned["person_id"])


def test_who_is_left_out_is_counted_and_small_counts_are_not_told(trap_run: TrapRun) -> None:
    counts = pl.read_parquet(trap_run.state / "published" / "latest" / "people_left_out.parquet")
    told = {row["reason"]: (row["people"], row["is_suppressed"]) for row in counts.to_dicts()}
    everybody = trap_run.query(
        "select decision_reason, count(*) from intermediate.int_profiling_permissions "
        f"where as_of = '{SCORED.date()}' and not is_allowed group by 1"
    )
    assert set(told) == {"no_basis_in_market", "withdrawn", "objected"}
    for reason, people in everybody.iter_rows():
        assert told[reason] == ((people, False) if people >= 10 else (None, True))
    report = (trap_run.state / "published" / "latest" / "report.html").read_text(encoding="utf-8")
    assert "Who is left out" in report and f"{told['withdrawn'][0]:,}: they withdrew their consent" in report


def _texts(frame: pl.DataFrame) -> Iterator[set[str]]:
    for column in frame.select(pl.selectors.string()).iter_columns():
        yield set(column.drop_nulls().unique().to_list())

"""Contacts that share no identifier, from their file to persons; a wrong merge is split, and stays split."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from activation.people import person_name
from benchmarks.febrl import EXAMPLE, PairwiseScore, pairwise_score, resolve
from orchestration.cli import EXIT_WRONG_SETTING, app
from orchestration.identity import explain
from orchestration.identity_settings import DECISIONS_FILE
from orchestration.warehouse import Warehouse
from orchestration.workspace import Workspace
from tests.kept_ready import dbt_ready

WEEK = "2026-11-16"
LEDGER = "select * from intermediate.identity_changes order by all"


@dataclass(frozen=True)
class Story:
    """One workspace through time: resolved, a merge undone, resolved again, and rebuilt from nothing."""

    workspace: Workspace
    score: PairwiseScore
    pair: tuple[str, str]
    together: pl.DataFrame
    model: str
    apart: pl.DataFrame
    rebuilt: pl.DataFrame
    rebuilt_model: str


def personae(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return done.exit_code, " ".join(done.output.split())


def ledger(workspace: Workspace) -> pl.DataFrame:
    with Warehouse.of(workspace).connect(read_only=True) as connection:
        return connection.sql(LEDGER).pl()


def forget_everything(workspace: Workspace) -> None:
    """Everything that was found out; dbt's own project, as it was parsed, tells nothing of anybody."""
    for path in workspace.state_folder.iterdir():
        if path != workspace.dbt_target_folder:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert not workspace.warehouse_file.exists() and not workspace.identity_model_file.exists()


@pytest.fixture(scope="session")
def story(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Story:
    folder = tmp_path_factory.mktemp("febrl") / "workspace"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns(".personae"))
    shutil.copy(shared_data / "febrl" / "dataset1.csv", folder)
    workspace = Workspace.open(folder)
    with dbt_ready():
        resolved = resolve(workspace)
        together, model = ledger(workspace), workspace.identity_model_file.read_text()
        twins = resolved.filter(pl.col("person_id").is_duplicated()).sort("person_id", "contact_id")
        pair = (twins["contact_id"][0], twins["contact_id"][1])
        assert personae("unmerge", folder, *pair, "--from-week", WEEK, "--by", "Ada", "--why", "father and son")[0] == 0
        resolve(workspace)
        apart = ledger(workspace)
        forget_everything(workspace)
        resolve(workspace)
        rebuilt_model = workspace.identity_model_file.read_text()
    return Story(workspace, pairwise_score(resolved), pair, together, model, apart, ledger(workspace), rebuilt_model)


def test_contacts_with_mistyped_and_missing_details_are_found_again(story):
    assert story.score.f1 >= 0.99


def test_a_decision_splits_a_merge_from_its_week_on(story):
    lasting = story.together.filter(pl.col("changed_again_at").is_null())
    before = dict(lasting.select("identity_id", "person_after").rows())
    assert before[story.pair[0]] == before[story.pair[1]]
    change = story.apart.filter(reason="unmerged_by_decision").row(0, named=True)
    assert change["identity_id"] in story.pair
    assert (change["person_before"], change["as_of"]) == (before[story.pair[0]], date(2026, 11, 23))
    others = story.apart.filter(pl.col("reason") != "unmerged_by_decision").drop("changed_again_at")
    assert others.equals(story.together.drop("changed_again_at"))


def test_a_rebuild_from_nothing_gives_the_same_ledger_model_and_split(story):
    assert story.rebuilt.equals(story.apart)
    assert story.rebuilt_model == story.model


def test_what_was_trained_is_kept_as_plain_numbers_without_anybodys_details(story):
    model = json.loads(story.model)
    assert model["contacts"] == 1000
    names = pl.read_csv(story.workspace.folder / "dataset1.csv", infer_schema=False)[" surname"].str.strip_chars()
    assert not any(f'"{name}"' in story.model for name in names.unique() if name)


def test_a_merge_is_explained_by_the_weight_of_each_column(story):
    match = story.apart.filter(link_kind="probabilistic_match", reason="merged").row(-1, named=True)
    told = explain(story.workspace, match["identity_id"])
    assert told.person_id == person_name(match["person_after"])
    link = next(link for link in told.links if link.kind == "probabilistic_match")
    assert link.weight is not None and set(link.weights_by_column) >= {
        "first_name",
        "postal_code",
        "attr_date_of_birth",
    }
    status, words = personae("identity", story.workspace.folder, match["identity_id"])
    assert status == 0 and "a probable match" in words and "first_name" in words


def test_an_unknown_contact_is_answered_with_the_nearest_one(story):
    for command in (
        ["identity", story.workspace.folder, "rec-12-ogr"],
        ["unmerge", story.workspace.folder, "rec-12-ogr", "x"],
    ):
        status, words = personae(*command)
        assert status == EXIT_WRONG_SETTING
        assert "no contact 'rec-12-ogr' is known; did you mean 'rec-12" in words


def test_a_decision_is_written_once_and_can_be_taken_back(story, tmp_path):
    folder = story.workspace.folder
    status, words = personae("unmerge", folder, *reversed(story.pair))
    assert status == EXIT_WRONG_SETTING and "are kept apart already" in words
    written = (folder / DECISIONS_FILE).read_text()
    try:
        assert 'by: "Ada", why: "father and son"' in written
        assert personae("unmerge", folder, *story.pair, "--undo")[0] == 0
        assert Workspace.open(folder).decisions == ()
        status, words = personae("unmerge", folder, *story.pair, "--undo")
        assert status == EXIT_WRONG_SETTING and "no decision keeps" in words
    finally:
        (folder / DECISIONS_FILE).write_text(written)

"""`personae dbt` works with a workspace's settings; without them dbt does not start."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner
from workspace_builder import WorkspaceBuilder

from orchestration import dbt_runs
from orchestration.cli import EXIT_WRONG_SETTING, app

ECHO = (
    "#!{python}\nimport json, os, sys\njson.dump([sys.argv[1:], dict(os.environ)], open({told!r}, 'w'))\nsys.exit(3)\n"
)


def test_dbt_gets_the_settings_of_the_workspace_and_its_status_is_ours(
    workspace: WorkspaceBuilder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, command = tmp_path / "told.json", tmp_path / "dbt"
    command.write_text(ECHO.format(python=sys.executable, told=str(told)))
    command.chmod(0o755)
    monkeypatch.setattr(dbt_runs, "DBT_COMMAND", command)
    opened = workspace.orders().settings(timezone="Europe/Berlin", memory_limit="2.4GB").open()
    opened.state_folder.mkdir()
    opened.warehouse_file.touch()
    done = CliRunner().invoke(app, ["dbt", str(workspace.folder), "build", "--select", "tag:features", "--help"])
    assert done.exit_code == 3
    arguments, environment = json.loads(told.read_text())
    assert arguments[:4] == ["build", "--select", "tag:features", "--help"]
    assert json.loads(arguments[arguments.index("--vars") + 1])["timezone"] == "Europe/Berlin"
    assert environment["PERSONAE_WAREHOUSE"] == str(opened.warehouse_file)
    limits = [environment[f"PERSONAE_{name}MEMORY_LIMIT"] for name in ("", "MATCHING_")]
    assert limits == ["2100MB", "600MB"], "both databases of dbt's process stay within what models in Python leave"


def test_a_workspace_without_a_week_has_nothing_to_work_on(workspace: WorkspaceBuilder) -> None:
    workspace.orders()
    done = CliRunner().invoke(app, ["dbt", str(workspace.folder), "build"])
    assert done.exit_code == EXIT_WRONG_SETTING
    assert "no week was run yet" in done.output


def test_without_settings_dbt_lacks_the_one_variable_that_everything_needs() -> None:
    project = yaml.safe_load((dbt_runs.DBT_PROJECT_FOLDER / "dbt_project.yml").read_text(encoding="utf-8"))
    assert "timezone" not in project["vars"]

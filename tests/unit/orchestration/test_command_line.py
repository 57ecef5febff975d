"""`personae` tells a wrong setting in one line and ends with status 2, without a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner
from workspace_builder import WorkspaceBuilder

from orchestration.cli import EXIT_WRONG_SETTING, app


def test_a_wrong_setting_ends_the_run_with_status_two(workspace: WorkspaceBuilder) -> None:
    workspace.orders().settings(timezoen="UTC")
    done = CliRunner().invoke(app, ["run", str(workspace.folder)])
    assert done.exit_code == EXIT_WRONG_SETTING
    assert done.output.strip().endswith("personae.yml:4: unknown key 'timezoen'; did you mean 'timezone'?")
    assert "Traceback" not in done.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--week", "2020-01-06"], "the week 2020-01-06 lies before first_week (2026-01-05) in personae.yml"),
        (["--week", "2090-01-02"], "the week 2090-01-02 is not over; the last one is "),
        (["--data", "nowhere"], "nowhere: the data folder is missing"),
    ],
)
def test_what_cannot_be_run_is_told_in_one_line(
    workspace: WorkspaceBuilder, arguments: list[str], message: str
) -> None:
    workspace.orders()
    done = CliRunner().invoke(app, ["run", str(workspace.folder), *arguments])
    assert done.exit_code == EXIT_WRONG_SETTING
    assert message in done.output
    assert len(done.output.strip().splitlines()) == 1


def test_a_column_that_a_file_lacks_ends_the_run_before_anything_is_written(workspace: WorkspaceBuilder) -> None:
    workspace.orders().extract("orders.csv", "order_id,bought_at,contact_id,order_amount\n")
    done = CliRunner().invoke(app, ["run", str(workspace.folder), "--week", "2026-01-05"])
    assert done.exit_code == EXIT_WRONG_SETTING
    assert "orders.yml:8: orders.csv has no column 'ordered_at'" in done.output
    assert not (workspace.folder / ".personae").exists()


def test_init_tells_what_it_wrote_and_what_comes_next(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["init", str(tmp_path / "shop")])
    assert done.exit_code == 0
    assert "personae.yml" in done.output
    again = CliRunner().invoke(app, ["init", str(tmp_path / "shop")])
    assert again.exit_code == EXIT_WRONG_SETTING

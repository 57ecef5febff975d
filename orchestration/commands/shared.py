"""What commands share: exit statuses, the console, arguments, and how errors are told."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console

from orchestration.settings_file import SettingsError
from orchestration.workspace import Workspace

EXIT_RUN_FAILED = 1
EXIT_WRONG_SETTING = 2
console = Console(highlight=False, soft_wrap=True)
Folder = Annotated[Path, typer.Argument(help="The workspace: the folder with personae.yml.")]
DataFolder = Annotated[
    Path | None, typer.Option("--data", help="Where the extracts are, in place of `data:` in personae.yml.")
]


def day(words: str) -> Any:
    """An option that takes a day as YYYY-MM-DD; `words` are its help."""
    return typer.Option(formats=["%Y-%m-%d"], metavar="YYYY-MM-DD", help=words)


ShownWeek = Annotated[datetime | None, day("Any day of the week to look at; default: the latest that was run.")]


@contextmanager
def settings_errors() -> Iterator[None]:
    """A wrong setting is one line and exit status 2, never a traceback."""
    try:
        yield
    except SettingsError as error:
        fail(str(error), EXIT_WRONG_SETTING)


def workspace_with_weeks(folder: Path, data: Path | None = None) -> Workspace:
    """Open a workspace that has run a week, or end."""
    with settings_errors():
        workspace = Workspace.open(folder, data)
    check_has_run(workspace)
    return workspace


def check_has_run(workspace: Workspace) -> None:
    """End where no week was run yet."""
    if not workspace.warehouse_file.is_file():
        fail("no week was run yet; `personae run DIR` first", EXIT_WRONG_SETTING)


@contextmanager
def one_run_at_a_time(workspace: Workspace) -> Iterator[None]:
    """Hold the lock of a workspace, or end with the exit status of a failed run."""
    workspace.state_folder.mkdir(parents=True, exist_ok=True)
    with (workspace.state_folder / "run.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fail("another run or sync of this workspace is going on; try again when it is over", EXIT_RUN_FAILED)
        yield


def fail(message: str, status: int) -> NoReturn:
    """Tell an error and end."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(message, style="red", markup=False)
    raise typer.Exit(status)

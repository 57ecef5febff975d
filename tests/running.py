"""How the tests run `personae`: the weekly job in a process of its own, as a person would; what only asks, in this one."""

import os
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

from orchestration.cli import app

PROJECT = Path(__file__).resolve().parents[1]


def personae_command(*arguments: object) -> list[str]:
    """The command line as a list."""
    return [sys.executable, "-m", "orchestration", *map(str, arguments)]


def personae(*arguments: object, timeout: float = 600) -> subprocess.CompletedProcess[str]:
    """Run `personae` in a process of its own, from the project's folder."""
    environment = os.environ | {"PYTHONPATH": str(PROJECT), "COLUMNS": "200"}
    return subprocess.run(
        personae_command(*arguments),
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def personae_here(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command of `personae` in this process: nothing is imported again, which is most of what a question costs."""
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return subprocess.CompletedProcess(list(arguments), done.exit_code, done.stdout, done.stderr)

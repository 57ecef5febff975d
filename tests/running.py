"""How the tests run `personae`: in a process of its own, as a person would, or in this one, which costs less."""

import gc
import os
import signal
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

from orchestration.cli import app
from orchestration.garbage import LOOK_AFTER

PROJECT = Path(__file__).resolve().parents[1]


def personae_command(*arguments: object) -> list[str]:
    """The command line as a list."""
    return [sys.executable, "-m", "orchestration", *map(str, arguments)]


def personae(*arguments: object, timeout: float = 1800) -> subprocess.CompletedProcess[str]:
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
    """Run `personae` in this process, which leaves it as it was: nothing is imported again, which costs six seconds.

    What the weekly job prints of its progress goes to pytest, beside what is returned here.
    """
    environment, looks_for_garbage = dict(os.environ), gc.get_threshold()
    when_ended = signal.getsignal(signal.SIGTERM)  # Dagster takes it for an interrupt from then on
    gc.set_threshold(*LOOK_AFTER)
    try:
        done = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})
    finally:
        gc.set_threshold(*looks_for_garbage)
        signal.signal(signal.SIGTERM, when_ended)
        os.environ.clear()
        os.environ.update(environment)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return subprocess.CompletedProcess(list(arguments), done.exit_code, done.stdout, done.stderr)

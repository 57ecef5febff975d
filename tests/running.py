"""How the tests run `personae`: as a person would, in a copy of a process that is kept ready, or in this process.

The first imports everything, which costs ten seconds of processor time. A copy is a process of its own as well, the
choice where a run is killed. In this process nothing is imported again either, and no other may be disturbed.
"""

import os
import signal
import subprocess
import sys
import tempfile
from typing import IO

from typer.testing import CliRunner

from orchestration.cli import app
from tests.kept_ready import PROJECT, PersonaeProcess, dbt_ready

__all__ = ["PROJECT", "begin_copy", "personae", "personae_command", "personae_copy", "personae_here"]


def personae_command(*arguments: object) -> list[str]:
    """The command line as a list."""
    return [sys.executable, "-m", "orchestration", *map(str, arguments)]


def personae(*arguments: object, timeout: float = 1800) -> subprocess.CompletedProcess[str]:
    """Run `personae` in a process of its own, from the project's folder."""
    environment = os.environ | {"PYTHONPATH": str(PROJECT), "COLUMNS": "200"}
    for variable in ("OMP_NUM_THREADS", "POLARS_MAX_THREADS"):  # see tests/conftest.py
        environment.pop(variable, None)
    return subprocess.run(
        personae_command(*arguments),
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def begin_copy(*arguments: object, output: IO[bytes], errors: IO[bytes] | None = None) -> PersonaeProcess:
    """Begin to run `personae` in a copy of a process that has imported what a run needs, from the project's folder."""
    with dbt_ready():
        environment = os.environ | {"COLUMNS": "200"}
    return PersonaeProcess([str(argument) for argument in arguments], environment, output, errors or output)


def personae_copy(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run `personae` in such a copy to its end."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        status = begin_copy(*arguments, output=output, errors=errors).wait()
        for printed in (output, errors):
            printed.seek(0)
        return subprocess.CompletedProcess(list(arguments), status, output.read().decode(), errors.read().decode())


def personae_here(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run `personae` in this process, which leaves it as it was.

    What the weekly job prints of its progress goes to pytest, beside what is returned here.
    """
    environment = dict(os.environ)
    when_ended = signal.getsignal(signal.SIGTERM)  # Dagster takes it for an interrupt from then on
    try:
        with dbt_ready():
            done = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})
    finally:
        signal.signal(signal.SIGTERM, when_ended)
        os.environ.clear()
        os.environ.update(environment)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return subprocess.CompletedProcess(list(arguments), done.exit_code, done.stdout, done.stderr)

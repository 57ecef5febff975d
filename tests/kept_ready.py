"""What tests start again and again is kept ready, in processes that make a copy of themselves for each call.

What belongs here: dbt for all runs of the tests' process, and `personae` for runs in processes of their own. To import
what either needs costs more than most calls of it; a copy is as good as a process that has just begun, and each test
may kill its own.
"""

from __future__ import annotations

import gc
import importlib
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO

from orchestration import dbt_server
from orchestration.dbt_process import LENGTH_BYTES, SERVER_VARIABLE, Call
from orchestration.dbt_server import dbt_kept_ready, end_as, next_call
from orchestration.imports_ahead import LIBRARIES_FOR_NEW_ROWS, MODULES_OF_MODELS

PROJECT = Path(__file__).resolve().parents[1]
IMPORTED_BY_DBT = (
    *("dbt.adapters.duckdb", "dbt_common.clients.agate_helper"),
    *("ml.contact_matching", "ml.identity_resolution", "ml.phone_numbers", "splink"),  # by the models in Python
)
IMPORTED_BY_RUNS = ("orchestration.weekly_run", *MODULES_OF_MODELS, *LIBRARIES_FOR_NEW_ROWS)


@contextmanager
def dbt_ready() -> Iterator[None]:
    """Runs of the block find a dbt that was kept ready since the first block of this process."""
    address = _dbt_server()
    before = os.environ.get(SERVER_VARIABLE)
    os.environ[SERVER_VARIABLE] = address
    try:
        yield
    finally:
        os.environ.pop(SERVER_VARIABLE)
        if before is not None:
            os.environ[SERVER_VARIABLE] = before


@cache
def _dbt_server() -> str:
    kept = dbt_kept_ready({"PYTHONPATH": str(PROJECT)}, __name__)
    kept.__enter__()
    _until_this_process_ends.append(kept)
    return os.environ.pop(SERVER_VARIABLE)


_until_this_process_ends: list[object] = []


class PersonaeProcess:
    """A process of its own that does what `personae` does with some arguments, and leads a group as one in a shell."""

    def __init__(self, arguments: list[str], environment: dict[str, str], output: IO[bytes], errors: IO[bytes]) -> None:
        self._server = socket.socket(socket.AF_UNIX)
        self._server.connect(_personae_server())
        call = Call(["personae", *arguments], environment, str(PROJECT)).to_bytes()
        printed_to = [output.fileno(), errors.fileno()]
        socket.send_fds(self._server, [len(call).to_bytes(LENGTH_BYTES, "big")], printed_to)
        self._server.sendall(call)
        self._answers = self._server.makefile()
        self.pid = int(self._answers.readline())

    def has_ended(self) -> bool:
        """Whether it ended by itself, or was killed."""
        return bool(select.select([self._server], [], [], 0)[0])

    def kill(self) -> None:
        """Kill -9 it and all that it started."""
        os.killpg(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """The exit status, once it has ended; 128 and the signal where it was killed."""
        with self._server, self._answers:
            return int(self._answers.readline())


@cache
def _personae_server() -> str:
    address = str(Path(tempfile.mkdtemp(prefix="personae-")) / "personae")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.kept_ready", str(listener.fileno())],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(PROJECT)},
            pass_fds=[listener.fileno()],
        )
    _until_this_process_ends.append(server)
    return address


def main() -> None:
    """Import what a run needs, or dbt, and copy this process for each call until the tests' process ends."""
    from tests.one_thread import one_thread_per_database

    one_thread_per_database()
    is_dbt = len(sys.argv) > 2  # is told a folder as well
    for name in IMPORTED_BY_DBT if is_dbt else IMPORTED_BY_RUNS:
        importlib.import_module(name)
    if is_dbt:
        return dbt_server.main()
    from orchestration.cli import main as personae

    gc.freeze()
    with socket.socket(fileno=int(sys.argv[1])) as listener:
        call = next_call(listener)
    if call is not None:
        os.setsid()
        end_as(personae)


if __name__ == "__main__":
    main()

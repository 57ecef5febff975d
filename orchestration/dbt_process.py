"""The command `personae-dbt`: dbt, as a process of its own that a run starts and waits for.

What belongs here: being dbt, and having a copy of the server (`dbt_server.py`) be it where a run keeps one ready.
Whoever calls sees the same process either way: what dbt prints, how it ends, and that a signal interrupts it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from orchestration.dbt_events import leave_out_what_no_log_keeps
from orchestration.garbage import seldom_looked_for

SERVER_VARIABLE = "PERSONAE_DBT_SERVER"
SIGNALS_PASSED_ON = (signal.SIGINT, signal.SIGTERM)
FAILED = 1
# In front of a call stand as many bytes that tell its length; with them come the files that dbt prints to.
LENGTH_BYTES = 8


@dataclass(frozen=True)
class Call:
    """One call of dbt."""

    arguments: list[str]
    environment: dict[str, str]
    folder: str

    @classmethod
    def of_this_process(cls) -> Call:
        """How this process was called."""
        return cls(sys.argv, dict(os.environ), str(Path.cwd()))

    def to_bytes(self) -> bytes:
        """The call as a server reads it."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> Call:
        """The reverse of `to_bytes`."""
        return cls(**json.loads(content))


def main() -> None:
    """What `dbt` does, with the same arguments."""
    address = os.environ.pop(SERVER_VARIABLE, None)
    status = None if address is None else done_by_server(address)
    if status is None:
        be_dbt()
    sys.exit(status)


def be_dbt(manifest: Any = None) -> None:
    """What `dbt` does, with the arguments of this process; ends it.

    Args:
        manifest: the project, where it is parsed already.
    """
    with seldom_looked_for():
        from dbt.cli.main import cli  # noqa: PLC0415  (most of the objects are made here)

        leave_out_what_no_log_keeps()
        cli(obj=None if manifest is None else {"manifest": manifest})


def done_by_server(address: str) -> int | None:
    """Have the server at `address` do what this process was called for.

    Returns:
        dbt's exit status; None where no server answers, and nothing was done.
    """
    with socket.socket(socket.AF_UNIX) as server, server.makefile() as answers:
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS_PASSED_ON)  # until it is known to whom they go
        try:
            server.connect(address)
            send_call(server, Call.of_this_process(), (1, 2))
            copy = int(answers.readline())
            for number in SIGNALS_PASSED_ON:
                signal.signal(number, lambda which, _: _pass_on(which, copy))
        except (OSError, ValueError):
            return None
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS_PASSED_ON)
        return int(answers.readline() or FAILED)


def send_call(server: socket.socket, call: Call, printed_to: tuple[int, int]) -> None:
    """Tell a server a call, and the files that its output and its errors go to."""
    content = call.to_bytes()
    socket.send_fds(server, [len(content).to_bytes(LENGTH_BYTES, "big")], printed_to)
    server.sendall(content)


def _pass_on(number: int, copy: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(copy, number)

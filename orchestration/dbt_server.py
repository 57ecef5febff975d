"""dbt kept ready for a run, which calls it two or three times: its libraries are imported once, while the run begins.

What belongs here: the process that imports them and makes a copy of itself for each call, and how a run has it. A copy
is made in a moment, knows nothing of another, and gives its memory back when it ends. It is as good as a process that
has just begun: until then nothing works beside, and no database was touched. What it may begin with is the project,
parsed (`dbt_parsed.py`).
"""

from __future__ import annotations

import gc
import importlib
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

from orchestration.dbt_parsed import KEEP_PARSED, ParsedProject
from orchestration.dbt_process import LENGTH_BYTES, SERVER_VARIABLE, Call, be_dbt, send_call
from orchestration.dbt_templates import compile_each_template_once

# The end of a pipe that closes when the run ends, however it does.
LIFE_LINE = 0


@contextmanager
def dbt_kept_ready(environment: Mapping[str, str], server_module: str = __name__) -> Iterator[None]:
    """Until the end of the block calls of `personae-dbt` need not import what dbt needs.

    Where whoever called this process keeps a dbt ready, that one does it.

    Args:
        environment: what tells whose process it is (`dagster_home.py`), beside this one's environment.
        server_module: the module that is that process; it does what `main` does.
    """
    if SERVER_VARIABLE in os.environ:
        yield
        return
    folder = tempfile.mkdtemp(prefix="personae-")  # nobody else may open it
    address = str(Path(folder) / "dbt")
    with socket.socket(socket.AF_UNIX) as listener:
        try:
            listener.bind(address)
        except (
            OSError
        ):  # the path of temporary folders may be longer than a socket's: then each call imports for itself
            Path(folder).rmdir()
            yield
            return
        listener.listen()  # a call may come before the server listens
        server = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", server_module, str(listener.fileno()), folder],
            stdin=subprocess.PIPE,
            env=os.environ | environment,
            pass_fds=[listener.fileno()],
        )
    os.environ[SERVER_VARIABLE] = address
    try:
        yield
    finally:
        os.environ.pop(SERVER_VARIABLE, None)
        server.communicate()  # closes the life line


def keep_parsed(
    arguments: Sequence[str], environment: Mapping[str, str], folder: Path, is_awaited: bool = False
) -> None:
    """Have the dbt that is kept ready, if one is, parse the project once for the calls that follow.

    Args:
        arguments: `--target` and `--vars` as those calls will have them.
        environment: theirs; what it says of where dbt writes holds for the parse alone.
        folder: that of the project.
        is_awaited: return when it is done, or has failed.
    """
    address = os.environ.get(SERVER_VARIABLE)
    if address is None:
        return
    call = Call(["personae-dbt", KEEP_PARSED, *arguments], {**environment}, str(folder))
    with socket.socket(socket.AF_UNIX) as server, Path(os.devnull).open("wb") as nowhere, suppress(OSError):
        server.connect(address)
        send_call(server, call, (nowhere.fileno(), nowhere.fileno()))
        if is_awaited:
            server.recv(1)  # nothing comes, until the server is done with the call


def main(answer: Callable[[Any], None] = be_dbt) -> None:
    """Import what dbt needs, and copy this process for each call until the run ends.

    Args:
        answer: what a copy does; it is given the project as it was parsed for calls like its own, or None.
    """
    descriptor, folder = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # from a terminal it is meant for the run, and for the call at work
    get_ready()
    gc.freeze()  # what stays is not looked through in a copy, nor written to
    project = ParsedProject()

    def done_here(call: Call) -> bool:
        if call.arguments[1:2] != [KEEP_PARSED]:
            return False
        project.keep(call)
        gc.freeze()
        return True

    with socket.socket(fileno=int(descriptor)) as listener:
        call = next_call(listener, done_here)
    if call is None:
        shutil.rmtree(folder, ignore_errors=True)
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    end_as(lambda: answer(project.of(call)))


def end_as(command: Callable[[], object]) -> NoReturn:
    """Do a command in a copy, and end it with the status the command ends with.

    Without what libraries do when a process ends: some begin threads when they are imported, which no copy has, and
    abort where they miss them. Databases are closed, as dbt would.
    """
    status: object = 1
    try:
        command()
        status = 0
    except SystemExit as ended:
        status = ended.code
    except BaseException:
        traceback.print_exc()
    finally:
        if (connections := sys.modules.get("dbt.adapters.duckdb.connections")) is not None:
            connections.DuckDBConnectionManager.close_all_connections()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status if isinstance(status, int) else int(status is not None))


def get_ready() -> None:
    """What each call of dbt begins with: imports, and the schemas that a project is held to."""
    for name in ("dbt.cli.main", "dbt.task.build"):
        importlib.import_module(name)
    compile_each_template_once()
    settings = importlib.import_module("dbt.contracts.project")
    for kind in (settings.ProjectFlags, settings.Project, settings.Configuration, settings.PackageConfig):
        kind.json_schema()  # dbt remembers it


def next_call(listener: socket.socket, done_here: Callable[[Call], bool] = lambda _: False) -> Call | None:
    """Copy this process for each call, one after the other, until the life line is cut.

    Args:
        listener: where calls come from.
        done_here: does a call that is meant for this very process, and says whether it was.

    Returns:
        In a copy, the call it is made for, which has become its own; in the process itself None, at its end.
    """
    while _first_to_tell(listener, LIFE_LINE) is listener:
        caller, _ = listener.accept()
        with caller, suppress(OSError, EOFError):  # whoever called may be gone
            printed_to, call = _received(caller)
            if done_here(call):
                for descriptor in printed_to:
                    os.close(descriptor)
                continue
            ended, ends_with_copy = os.pipe()
            copy = os.fork()
            if copy == 0:
                _become(call, printed_to)
                return call
            for descriptor in (*printed_to, ends_with_copy):
                os.close(descriptor)
            try:
                caller.sendall(f"{copy}\n".encode())
                if _first_to_tell(ended, caller, LIFE_LINE) != ended:
                    os.kill(copy, signal.SIGKILL)
            finally:
                status = os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1])
                os.close(ended)
            caller.sendall(f"{status if status >= 0 else 128 - status}\n".encode())
    return None


def _first_to_tell(*files: int | socket.socket) -> int | socket.socket:
    """The first of `files` in which something is to be read, be it its end."""
    ready: list[int | socket.socket] = select.select(files, [], [])[0]
    return ready[0]


def _received(caller: socket.socket) -> tuple[list[int], Call]:
    """Where a call prints to, and the call."""
    length, printed_to, *_ = socket.recv_fds(caller, LENGTH_BYTES, 2)
    with caller.makefile("rb") as content:
        call = content.read(int.from_bytes(length, "big"))
    return printed_to, Call.from_bytes(call)


def _become(call: Call, printed_to: list[int]) -> None:
    """Make this copy a process that was called so."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    for own, given in enumerate((nothing, *printed_to)):
        os.dup2(given, own)
        os.close(given)
    os.environ.clear()
    os.environ.update(call.environment)
    os.chdir(call.folder)
    sys.argv = call.arguments


if __name__ == "__main__":
    main()

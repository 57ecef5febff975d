"""A real PostgreSQL of the tests' own: a cluster in a temporary folder, run by an unprivileged user."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))


def missing() -> str | None:
    """Why there is no server to be had, or None."""
    if not BINARIES and shutil.which("initdb") is None:
        return "PostgreSQL is not installed (Debian: apt-get install postgresql)"
    return None


@contextmanager
def running_postgres() -> Iterator[str]:
    """The server's address; it ends, and its folder goes, with the context."""
    initdb = BINARIES[-1] if BINARIES else Path(str(shutil.which("initdb")))
    folder = Path(tempfile.mkdtemp(prefix="personae-postgres-"))
    user = _unprivileged_user()
    if user is not None:
        os.chown(folder, user, -1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = {"user": user, "cwd": folder, "env": {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}}
    data = folder / "data"
    try:
        subprocess.run(
            [initdb, "-D", data, "-U", "personae", "-A", "trust", "-E", "UTF8", "--no-sync"],
            check=True,
            capture_output=True,
            **options,
        )
        server = subprocess.Popen(
            [initdb.with_name("postgres"), "-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", folder, "-F"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **options,
        )
        try:
            _wait_until_it_answers(port)
            yield f"postgresql+psycopg2://personae@127.0.0.1:{port}/postgres"
        finally:
            server.send_signal(signal.SIGINT)  # PostgreSQL's way to end without waiting for its clients
            server.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unprivileged_user() -> int | None:
    """PostgreSQL refuses to run as root."""
    return pwd.getpwnam("nobody").pw_uid if os.getuid() == 0 else None


def _wait_until_it_answers(port: int) -> None:
    for _ in range(300):
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                time.sleep(0.3)
                return
        time.sleep(0.1)
    raise TimeoutError("PostgreSQL does not answer")

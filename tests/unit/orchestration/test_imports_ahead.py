"""A run begins without what only models need, and models find it imported."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec

import pytest

from orchestration.imports_ahead import LIBRARIES_FOR_NEW_ROWS, MODULES_OF_MODELS

PROGRAM = """
import json, sys
import orchestration.dagster_run
print(json.dumps([name for name in ("sklearn", "scipy.stats", "matplotlib", "pandas") if name in sys.modules]))
"""


def test_a_run_begins_and_the_ui_opens_without_what_only_models_need() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


@pytest.mark.parametrize("name", [*MODULES_OF_MODELS, *LIBRARIES_FOR_NEW_ROWS])
def test_what_is_imported_ahead_is_there(name: str) -> None:
    assert find_spec(name) is not None

"""A company with an empty warehouse for each test."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

# The builder of small workspaces stands beside the unit tests of the settings.
sys.path.append(str(Path(__file__).parents[2] / "unit" / "orchestration"))

from ingest_company import Company


@pytest.fixture
def company(tmp_path: Path) -> Company:
    return Company(tmp_path / "company")

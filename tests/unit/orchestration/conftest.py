"""A fresh workspace for each test."""

from __future__ import annotations

from pathlib import Path

import pytest
from workspace_builder import WorkspaceBuilder


@pytest.fixture
def workspace(tmp_path: Path) -> WorkspaceBuilder:
    return WorkspaceBuilder(tmp_path / "garden_tools")

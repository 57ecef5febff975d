"""A workspace whose extracts come through connectors."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "unit" / "orchestration"))
sys.path.append(str(Path(__file__).parents[1] / "ingest"))

pytest.importorskip("dlt", reason="the extra personae[connectors] is not installed")

from connected_company import ConnectedCompany


@pytest.fixture
def company(tmp_path: Path) -> ConnectedCompany:
    return ConnectedCompany(tmp_path / "company")

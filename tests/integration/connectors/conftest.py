"""A workspace whose extracts come through connectors."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "unit" / "orchestration"))
sys.path.append(str(Path(__file__).parents[1] / "ingest"))

pytest.importorskip("dlt", reason="the extra personae[connectors] is not installed")

from connected_company import ConnectedCompany
from dlt.load.load import Load


@pytest.fixture
def company(tmp_path: Path) -> ConnectedCompany:
    return ConnectedCompany(tmp_path / "company")


@pytest.fixture(autouse=True)
def tries_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be put in place dlt tries again after a second; here nobody waits for it."""
    begin = Load.__init__

    def begin_without_patience(load: Load, *given: object, **named: object) -> None:
        begin(load, *given, **named)
        load._run_loop_sleep_duration = 0.01

    monkeypatch.setattr(Load, "__init__", begin_without_patience)

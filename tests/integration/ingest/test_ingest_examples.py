"""The examples on public data: what is loaded agrees with what is known of each set."""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb
import pytest

from orchestration.ingest.extracts import check_extracts
from orchestration.ingest.ledger import Load
from orchestration.ingest.load import ingest
from orchestration.workspace import Workspace

REPOSITORY = Path(__file__).parents[3]
PUBLIC_DATA = REPOSITORY.parent / "shared" / "data"


def loads(example: str, tmp_path: Path) -> dict[str, Load]:
    """The example's loads by entity, after a copy of it was loaded twice."""
    data = PUBLIC_DATA / example
    if not data.is_dir():
        pytest.skip(f"the public data set {example} is not in ../shared/data")
    shutil.copytree(REPOSITORY / "examples" / example, tmp_path / example)
    workspace = Workspace.open(tmp_path / example, data)
    check_extracts(workspace, set())
    with duckdb.connect(str(tmp_path / "warehouse.duckdb")) as connection:
        connection.execute("set TimeZone = 'UTC'")
        found = {load.entity: load for load in ingest(connection, workspace).loads}
        assert ingest(connection, workspace).loads == []
        for entity, load in found.items():
            assert load.is_balanced
            assert connection.execute(f"select count(*) from raw.{entity}").fetchall() == [(load.rows_loaded,)]
    return found


def test_online_retail(tmp_path: Path) -> None:
    found = loads("online_retail", tmp_path)
    lines, contacts = found["order_lines"], found["contacts"]
    assert lines.rows_read == 541_909
    assert lines.rows_duplicate == 5_268
    assert lines.rows_quarantined == 0
    assert lines.profile["order_id"]["distinct"] == 25_900
    assert lines.profile["contact_id"] == {"nulls": 135_080, "distinct": 4_372}
    assert lines.profile["product_name"]["nulls"] == 1_454
    assert lines.profile["is_cancellation"]["trues"] == 9_288
    assert lines.profile["line_amount"]["sum"] == pytest.approx(9_747_747.934, abs=0.001)
    assert contacts.rows_filtered == 135_080
    assert contacts.profile["country"]["distinct"] == 38


def test_telco(tmp_path: Path) -> None:
    contacts = loads("telco", tmp_path)["contacts"]
    assert (contacts.rows_read, contacts.rows_loaded, contacts.rows_quarantined) == (7_043, 7_043, 0)
    assert contacts.profile["attr_total_charges"]["nulls"] == 11
    assert contacts.profile["attr_churn"] == {"nulls": 0, "distinct": 2}
    assert contacts.profile["contact_id"]["distinct"] == 7_043


def test_telco_knows_who_left(tmp_path: Path) -> None:
    data = PUBLIC_DATA / "telco"
    if not data.is_dir():
        pytest.skip("the public data set telco is not in ../shared/data")
    workspace = Workspace.open(REPOSITORY / "examples" / "telco", data)
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        ingest(connection, workspace)
        left = connection.execute("select count(*) from raw.contacts where attr_churn = 'Yes'").fetchall()
    assert left == [(1_869,)]
    assert not workspace.state_folder.exists()

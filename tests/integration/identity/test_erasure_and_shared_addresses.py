"""Erasing somebody changes nobody else: an address that linked nobody, because too many have it, links nobody after."""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl
import pytest

sys.path.append(str(Path(__file__).parents[2] / "unit" / "orchestration"))

from workspace_builder import WorkspaceBuilder

from benchmarks.febrl import resolve
from orchestration.erasure import erase
from orchestration.identity_settings import DECISIONS_FILE
from orchestration.warehouse import Warehouse
from orchestration.workspace import Workspace
from tests.kept_ready import dbt_ready

MAPPING = {"contacts": {"columns": {"contact_id": "id", "email": "mail", "created_at": "since"}}}
DECISION = "- {contacts: [a1, a2], from_week: 2026-01-05, decided_on: 2026-01-12, why: two people}\n"


def people(workspace: Workspace) -> dict[str, str]:
    with dbt_ready():
        return dict(resolve(workspace).select("contact_id", "person_id").iter_rows())


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Four colleagues at one address, of which three may be one person; two people kept apart by a decision."""
    builder = (
        WorkspaceBuilder(tmp_path / "shop")
        .orders()
        .mapping("contacts", {"extract": {"files": "contacts*.csv"}, "entities": MAPPING})
    )
    rows = [f"c{number},desk@shop.example,2026-01-0{number}" for number in (1, 2, 3, 4)]
    rows += [f"a{number},both@shop.example,2026-01-0{number}" for number in (1, 2)]
    builder.extract("contacts.csv", "\n".join(["id,mail,since", *rows, ""]))
    (builder.folder / DECISIONS_FILE).write_text(f"apart:\n  {DECISION}", encoding="utf-8")
    return builder.open()


def test_who_shares_what_too_many_share_stays_whom_they_were(workspace: Workspace) -> None:
    before = people(workspace)
    assert len(set(before.values())) == 6, "else nothing is guarded here"
    done = erase(workspace, ["c1", "a1"])
    assert (done.people, done.contacts) == (2, 2)
    after = people(workspace)
    assert after == {contact: person for contact, person in before.items() if contact not in ("c1", "a1")}
    with Warehouse.of(workspace).connect(read_only=True) as connection:
        ledger = connection.sql("select * from intermediate.identity_changes").pl()
    texts = ledger.select(pl.col(pl.String))
    assert not any(texts[name].is_in(["c1", "a1"]).any() for name in texts.columns)
    numbers = ledger.select(pl.col(pl.UInt64))
    assert numbers.columns == ["person_before", "person_after"]
    assert not any(numbers[name].is_in([before["c1"], before["a1"]]).any() for name in numbers.columns)
    assert not ledger["identity_id"].str.starts_with("erased:").any()

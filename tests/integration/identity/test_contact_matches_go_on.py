"""Matches of contacts go on from what they were, and are what they would be from nothing."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from kept_models import Warehouse
from polars.testing import assert_frame_equal

START = datetime(2026, 1, 5)
COLUMNS = {"given_name": "name", "surname": "name", "postcode": "code", "date_of_birth": "date", "address_1": "text"}


def workspace(probability: float = 0.95) -> dict[str, Any]:
    matching = {
        "enabled": True,
        "columns": COLUMNS,
        "match_probability": probability,
        "pairs_per_contact": 20.0,
        "seed": 7,
        "trained_from": (START + timedelta(weeks=4)).isoformat(),
    }
    return {"timezone": "UTC", "identity": {"probabilistic": matching}}


@pytest.fixture(scope="module")
def contacts(shared_data: Path) -> pl.DataFrame:
    """Contacts that become known one an hour; two in ten are somebody else's twin."""
    frame = pl.read_csv(shared_data / "febrl" / "dataset1.csv", infer_schema=False)
    frame = frame.rename({column: column.strip() for column in frame.columns}).select("rec_id", *COLUMNS)
    known = pl.Series([START + timedelta(hours=hour) for hour in range(frame.height)])
    return frame.rename({"rec_id": "contact_id"}).with_columns(
        record_key=pl.col("contact_id"), known_from_at=known, record_rules=pl.lit("")
    )


def build(warehouse: Warehouse, records: pl.DataFrame) -> tuple[pl.DataFrame, bool]:
    """Both models in a row: what matches, and whether only changes were told."""
    warehouse.put("intermediate.int_contact_records", records)
    warehouse.run("int_contact_comparables")
    return warehouse.run("contact_matches"), warehouse.went_on


def test_whatever_contacts_come_and_go_matches_are_those_from_nothing(
    contacts: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERSONAE_IDENTITY_MODEL", str(tmp_path / "model.json"))
    monkeypatch.setenv("PERSONAE_TEMP", str(tmp_path))
    warehouse = Warehouse(workspace())
    assert build(warehouse, contacts.head(800))[1] is False

    earlier = contacts["known_from_at"] - timedelta(days=2)
    weeks = {
        "more come": contacts.head(900),
        "some go": contacts.head(950).filter(pl.int_range(pl.len()) % 9 > 0),
        "some were known earlier": contacts.with_columns(
            known_from_at=pl.when(pl.int_range(pl.len()) % 7 == 0).then(earlier).otherwise("known_from_at")
        ),
        "nothing happens": contacts,
    }
    for what, records in weeks.items():
        found, went_on = build(warehouse, records)
        assert went_on, what
        assert_frame_equal(found, build(Warehouse(warehouse.settings), records)[0])
        assert found["is_match"].sum() > 100

    warehouse.settings = workspace(0.6)
    found, went_on = build(warehouse, contacts)
    assert went_on
    assert_frame_equal(found, build(Warehouse(warehouse.settings), contacts)[0])
    warehouse.settings = workspace(0.3)
    found, went_on = build(warehouse, contacts)
    assert not went_on, "pairs that were not worth a row are now"

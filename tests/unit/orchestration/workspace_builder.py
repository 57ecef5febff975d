"""Writes a small workspace, file by file, and opens it.

Here belongs what every test of the settings and of ingest needs; what a test is about stands in the test.
"""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import yaml

from orchestration.workspace import Workspace

SETTINGS = {"company": "Garden Tools", "first_week": "2026-01-05"}
ORDERS_MAPPING = """
extract:
  files: orders*.csv
entities:
  orders:
    columns:
      order_id: order_id
      ordered_at: ordered_at
      contact_id: contact_id
      order_amount: order_amount
"""
ORDERS_CSV = """\
order_id,ordered_at,contact_id,order_amount
o1,2026-01-05 10:00:00,c1,10.5
o2,2026-01-06 11:00:00,c2,20
o3,2026-01-07 12:00:00,c1,30
"""


class WorkspaceBuilder:
    """A workspace in a folder, with its extracts in `data`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.data.mkdir(parents=True)
        self.settings()

    def settings(self, **settings: Any) -> WorkspaceBuilder:
        """Write `personae.yml`: the least there is, and `settings`."""
        return self.settings_text(yaml.safe_dump({**SETTINGS, "data": "data", **settings}, sort_keys=False))

    def settings_text(self, text: str) -> WorkspaceBuilder:
        (self.folder / "personae.yml").write_text(textwrap.dedent(text), encoding="utf-8")
        return self

    def mapping(self, name: str, content: str | dict[str, Any]) -> WorkspaceBuilder:
        """Write a mapping file, as text or as what the text says."""
        text = content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False)
        path = self.folder / "mappings" / f"{name}.yml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return self

    def extract(self, name: str, content: str | bytes) -> WorkspaceBuilder:
        """Write a file below the data folder."""
        path = self.data / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return self

    def orders(self) -> WorkspaceBuilder:
        """Three orders and their mapping."""
        return self.mapping("orders", ORDERS_MAPPING).extract("orders.csv", ORDERS_CSV)

    def open(self) -> Workspace:
        return Workspace.open(self.folder)

"""A small workspace with connectors and a real warehouse, into which what was fetched is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from ingest_company import Company

from orchestration.connectors.fetch import Fetched, fetch

COLUMNS = {"order_id": "id", "ordered_at": "at", "updated_at": "updated_at", "order_amount": "amount"}


class ConnectedCompany(Company):
    """A company that fetches."""

    def connects(self, orders: dict[str, Any], columns: dict[str, Any] = COLUMNS) -> ConnectedCompany:
        """One connector `shop`, and a mapping of what it brings."""
        text = yaml.safe_dump({"connectors": {"shop": orders}}, sort_keys=False)
        (self.folder / "connectors.yml").write_text(text, encoding="utf-8")
        self.mapping("shop_orders", {"extract": {"connector": "shop"}, "entities": {"orders": {"columns": columns}}})
        return self

    def fetch(self) -> Fetched:
        (fetched,) = fetch(self.open())
        return fetched

    def orders(self) -> list[tuple[Any, ...]]:
        """What is in the warehouse once what was fetched is loaded."""
        self.ingest()
        return self.rows("select order_id, order_amount from raw.orders order by order_id, order_amount")

    def files(self) -> list[Path]:
        return sorted(path for path in (self.data / "shop").rglob("*") if path.is_file())

"""A small workspace with a warehouse in memory or in a file, into which its extracts are loaded again and again.

Here belongs what every test of ingest needs; what a test is about stands in the test.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
from workspace_builder import WorkspaceBuilder

from orchestration.ingest.ledger import Load
from orchestration.ingest.load import IngestResult, ingest

ORDER_COLUMNS = {
    "order_id": "id",
    "ordered_at": "at",
    "contact_id": "customer",
    "order_amount": "amount",
    "order_status": "status",
}
EVENT_COLUMNS = {"event_id": "id", "occurred_at": "at", "contact_id": "customer", "event_type": "type"}
EVERYTHING = (
    "select * exclude (_load_sequence) from raw.{0} order by _source, _file, _row_number",
    "select * from quarantine.{0} order by all",
)


def order(number: int, **changes: object) -> str:
    """One line of orders.csv."""
    row = {
        "id": f"o{number}",
        "at": f"2026-01-{1 + number % 28:02} 10:00:00",
        "customer": f"c{number % 7}",
        "amount": number,
        "status": "completed",
    }
    return ",".join(str(value) for value in {**row, **changes}.values())


def orders(*numbers: int) -> list[str]:
    """Lines of orders.csv."""
    return [order(number) for number in numbers]


def event(number: int, **changes: object) -> str:
    """One line of events.csv."""
    row = {
        "id": f"e{number}",
        "at": f"2026-01-{1 + number % 28:02} 23:30:00",
        "customer": f"c{number % 7}",
        "type": "page_view",
    }
    return ",".join(str(value) for value in {**row, **changes}.values())


class Company(WorkspaceBuilder):
    """A workspace, its warehouse, and what its tables hold."""

    def __init__(self, folder: Path, database: str = ":memory:") -> None:
        super().__init__(folder)
        self.connection = duckdb.connect(database)
        self.connection.execute("set TimeZone = 'UTC'")

    def map_orders(self, files: str = "orders*.csv", **extract: object) -> Company:
        return self.maps("orders", {"orders": {"columns": ORDER_COLUMNS}}, files=files, **extract)

    def map_events(self, files: str = "events*.csv", **extract: object) -> Company:
        return self.maps("events", {"events": {"columns": EVENT_COLUMNS}}, files=files, **extract)

    def maps(self, name: str, entities: dict[str, Any], **extract: object) -> Company:
        """Write a mapping."""
        self.mapping(name, {"extract": extract, "entities": entities})
        return self

    def delivers(self, name: str, lines: list[str], header: str | None = None) -> Company:
        """Write a CSV; without a header of its own that of orders or events."""
        columns = EVENT_COLUMNS if name.startswith("events") else ORDER_COLUMNS
        self.extract(name, "\n".join([header or ",".join(columns.values()), *lines]) + "\n")
        return self

    def ingest(self) -> IngestResult:
        """Load what is new; every load must balance."""
        result = ingest(self.connection, self.open())
        for load in result.loads:
            assert load.status == "refused" or load.is_balanced, load
        return result

    def load_one(self) -> Load:
        """Load what is new: one file."""
        (load,) = self.ingest().loads
        return load

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(query).fetchall()

    def values(self, query: str) -> list[Any]:
        """The only column of a query."""
        return [value for (value,) in self.rows(query)]

    def everything(self, *entities: str) -> list[list[tuple[Any, ...]]]:
        """All rows of the entities' raw and quarantine tables."""
        return [self.rows(query.format(entity)) for entity in entities for query in EVERYTHING]

    def changed_days(self) -> list[str]:
        """The days noted since this was asked last."""
        days = self.values("select distinct changed_day::varchar from raw.changed_days order by 1")
        self.connection.execute("delete from raw.changed_days")
        return days

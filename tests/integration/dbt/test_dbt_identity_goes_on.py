"""Identities go on from the week before, whatever a delivery brings or takes away: as a build from nothing has them."""

from __future__ import annotations

import random
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from dbt_company import VARIABLES
from dbt_warehouse import DbtWarehouse
from polars.testing import assert_frame_equal

FIRST = date(2026, 3, 2)
TABLES = ("int_contact_identifiers", "int_contact_mentions", "int_identity_sightings", "identity_changes")
MODELS = (
    *("--select", "int_contact_phone_spellings", "int_contact_phones", "stg_events", "int_identity_days"),
    *("stg_orders", "stg_order_lines", "int_orders", "stg_deals", "stg_tickets", "stg_messages", "stg_consents"),
    *("stg_survey_answers", "int_contact_records", "int_contact_comparables", "contact_matches", *TABLES),
    *("int_identity_ties", "int_identity_appearances", "int_identity_links", "int_identities_seen"),
)
TWINS = ("twin_1", "twin_2")
Row = dict[str, Any]
Load = tuple[str, list[Row]]


def delivery(draw: random.Random, number: int, delivered: date) -> list[Load]:
    """What one week's files say, a load per entity: of a few people again and again, some of it long past."""

    def moment() -> datetime:
        back = draw.choice((1, 2, 3, 5, 6, 6, 40))
        return datetime.combine(delivered, datetime.min.time()) - timedelta(days=back, minutes=draw.randint(0, 1400))

    def contact() -> str:
        return f"c{int(30 * draw.random() ** 2)}"

    entities: dict[str, list[Row]] = {
        "contacts": [
            {
                "contact_id": contact(),
                "email": draw.choice((None, f"{draw.choice('abcdefgh')}@x.org")),
                "user_id": draw.choice((None, None, f"u{draw.randint(0, 9)}")),
                "phone": draw.choice((None, f"+4930123456{draw.randint(0, 9)}")),
                "updated_at": moment(),
            }
            for _ in range(12)
        ],
        "events": [
            {
                "contact_id": draw.choice((None, contact())),
                "user_id": draw.choice((None, None, f"u{draw.randint(0, 9)}")),
                "device_id": f"d{draw.randint(0, 25)}",
                "occurred_at": moment(),
                "event_type": "page_view",
            }
            for _ in range(25)
        ],
        "messages": [
            {"contact_id": contact(), "occurred_at": moment(), "message_action": "sent", "channel": "email"}
            for _ in range(8)
        ],
        # The same tickets again and again, now of one contact and now of another.
        "tickets": [
            {
                "ticket_id": f"t{draw.randint(0, 5)}",
                "contact_id": contact(),
                "created_at": moment(),
                "updated_at": moment(),
            }
            for _ in range(4)
        ],
    }
    told_on = datetime.combine(delivered, datetime.min.time()) + timedelta(hours=6)
    return [
        (
            entity,
            [
                row
                | {
                    "_load_id": f"{number}",
                    "_file": f"{entity}_{number}.csv",
                    "_load_sequence": number,
                    "_row_number": place,
                    "_delivered_at": told_on,
                }
                for place, row in enumerate(rows, 1)
            ],
        )
        for entity, rows in entities.items()
    ]


class Company:
    """What is in the raw tables, and a warehouse that is built week by week."""

    def __init__(self, folder: Path, dbt_folder: Path) -> None:
        self.folder, self.dbt_folder = folder, dbt_folder
        self.loads: list[Load] = []
        self.warehouse = self._warehouse("kept")
        self.builds = 0

    def _warehouse(self, name: str) -> DbtWarehouse:
        (self.folder / name).mkdir()
        return DbtWarehouse(self.folder / name, self.dbt_folder, VARIABLES)

    def load(self, loads: list[Load], warehouse: DbtWarehouse | None = None) -> None:
        """Add loads."""
        warehouse = warehouse or self.warehouse
        for entity, rows in loads:
            warehouse.add(f"raw.{entity}", *rows)
        if warehouse is self.warehouse:
            self.loads += loads

    def unload(self, number: int) -> None:
        """Take a week's loads away, as a file that is corrected does before it is loaded again."""
        gone = {entity for entity, rows in self.loads if rows[0]["_load_sequence"] == number}
        with self.warehouse.connect() as connection:
            for entity in sorted(gone):
                connection.execute(f"delete from raw.{entity} where _load_sequence = ?", [number])
        self.loads = [load for load in self.loads if load[1][0]["_load_sequence"] != number]

    def tell_days(self, warehouse: DbtWarehouse, loads: list[Load]) -> None:
        """Note the days that these loads' events change."""
        events = [row for entity, rows in loads if entity == "events" for row in rows]
        local = timedelta(hours=1)
        warehouse.delivered(
            *sorted({(str((row["occurred_at"] + local).date()), str(row["_delivered_at"])) for row in events})
        )

    def build(self, as_of: date, changed: list[Load]) -> None:
        """Build a week, and hold its tables to those from nothing."""
        self.builds += 1
        week = (str(as_of), f"{as_of - timedelta(days=1)} 23:00:00", True, True)
        self.tell_days(self.warehouse, changed)
        self.warehouse.run_for(week)
        self.warehouse.dbt("run", *MODELS)
        anew = self._warehouse(f"anew_{self.builds}")
        self.load(self.loads, anew)
        with self.warehouse.connect() as connection:
            apart = connection.execute("select * from raw.identity_decisions").fetchall()
        with anew.connect() as connection:
            for row in apart:
                connection.execute("insert into raw.identity_decisions values (?, ?, ?, ?, ?, ?)", row)
        self.tell_days(anew, self.loads)
        anew.run_for(week)
        anew.dbt("run", *MODELS)
        for table in TABLES:
            query = f"select * from intermediate.{table} order by all"
            kept, from_nothing = self.warehouse.read(query), anew.read(query)
            assert_frame_equal(kept, from_nothing)
            assert kept.height > 10
        assert self.warehouse.read("from raw.touched_identities").is_empty()


@pytest.mark.parametrize("seed", [5])
def test_every_week_is_the_one_from_nothing(seed: int, tmp_path: Path, dbt_folder: Path) -> None:
    draw, company = random.Random(seed), Company(tmp_path, dbt_folder)
    weeks = [FIRST + timedelta(weeks=number) for number in range(4)]
    for number in (1, 2):  # two weeks at once
        company.load(delivery(draw, number, weeks[number - 1]))
    twins = [
        {"contact_id": twin, "email": "twins@x.org", "updated_at": weeks[0] - timedelta(days=9), "_load_sequence": 0}
        for twin in TWINS
    ]
    company.load([("contacts", twins)])
    company.build(weeks[1], company.loads)

    came = delivery(draw, 3, weeks[2])
    company.load(came)
    company.build(weeks[2], came)

    # The second week's files are corrected: other rows, in a load of their own. Somebody undoes a merge.
    corrected = [load for load in company.loads if load[1][0]["_load_sequence"] == 2]
    company.unload(2)
    again = delivery(draw, 4, weeks[1])
    company.load(again)
    with company.warehouse.connect() as connection:
        connection.execute("insert into raw.identity_decisions values (?, ?, ?, null, null, null)", [*TWINS, weeks[1]])
        connection.execute(
            "insert into raw.touched_identities select hash('contact', unnest(?::varchar[])), null, null", [list(TWINS)]
        )
    company.build(weeks[2], [*corrected, *again])
    assert "unmerged_by_decision" in set(company.warehouse.read("from intermediate.identity_changes")["reason"])

    # Of somebody everything goes.
    with company.warehouse.connect() as connection:
        for entity in ("contacts", "events", "messages", "tickets"):
            connection.execute(f"delete from raw.{entity} where contact_id = 'c0'")
    gone = [(entity, [row for row in rows if row.get("contact_id") == "c0"]) for entity, rows in company.loads]
    company.loads = [(entity, [row for row in rows if row.get("contact_id") != "c0"]) for entity, rows in company.loads]
    came = delivery(draw, 5, weeks[3])
    company.load(came)
    company.build(weeks[3], [*[load for load in gone if load[1]], *came])

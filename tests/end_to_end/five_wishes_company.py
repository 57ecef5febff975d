"""A small company of which everything can be asked that a target can say, and in which it is known who does what.

What belongs here: its people, what they do week by week and why, and its files.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import yaml

from orchestration.weeks import Week

LAST_WEEK = Week(datetime(2026, 10, 12).date())
END = datetime(2026, 10, 19)  # the Monday that ends it
HISTORY = 18
PEOPLE = 900
HORIZON = 14
CAPACITY = 40
PLANS = ["free", "team", "business"]
SHORT = {"within_days": HORIZON, "training_weeks": 4}
# Here one planted cause decides alone, which in real data would be a reason to suspect it.
KEEP = {"suspects": "keep"}
# A comparison of all algorithms costs most of the time: two that keep a declared direction are enough here.
TARGETS = {
    "churn": {
        "template": "churn",
        "eligible": {"ordered_within_days": 56},
        "bands": {"by": "capacity", "people": CAPACITY, "cost": 2, "value": 20},
        "monotonic": {"days_since_last_order": "increasing"},
    },
    "conversion": {
        "template": "conversion",
        "bands": {"cost": 1, "value": 4},
        "monotonic": {"pricing_viewed_events_28d": "increasing"},
    },
    "upsell": {
        "template": "upsell",
        "attribute": "contact_plan",
        "values_in_order": PLANS,
        "monotonic": {"integration_connected_events_28d": "increasing"},
    },
    "export_interest": {
        "template": "feature_interest",
        "event": "report_exported",
        "monotonic": {"dashboard_viewed_events_28d": "increasing"},
    },
    "reactivation": {
        "template": "reactivation",
        "eligible": {"inactive_for_days": 14},
        "monotonic": {"contact_loyalty": "increasing"},
        "model": {**KEEP},
    },
    "left": {
        "outcome": "label",
        "label": "Left",
        "positive": "Yes",
        "monotonic": {"contact_loyalty": "decreasing"},
        "model": {**KEEP},
    },
    "coin": {
        "outcome": "label",
        "label": "Coin",
        "positive": "heads",
        "monotonic": {"contact_loyalty": "increasing"},
    },
}
PREDICTED = [name for name in TARGETS if name != "coin"]


@dataclass(frozen=True)
class Traits:
    """What decides what each person does; one number per person."""

    customer: np.ndarray
    order_rate: np.ndarray
    loyalty: np.ndarray


def write_company(folder: Path, seed: int = 3) -> Path:
    """Write the workspace."""
    (folder / "mappings").mkdir(parents=True)
    random = np.random.default_rng(seed)
    traits = Traits(
        customer=random.random(PEOPLE) < 0.25,
        order_rate=random.gamma(1.0, 0.5, PEOPLE).clip(0.03, 2),
        loyalty=random.integers(1, 11, PEOPLE),
    )
    contacts, orders, events = _lives(traits, random)
    consents = [
        [f"c{person:03d}", END - timedelta(weeks=HISTORY + 1), purpose, "granted"]
        for person in range(PEOPLE)
        for purpose in ("profiling", *(["email_marketing"] if person % 5 < 3 else []))
    ]
    settings = {
        "company": "Five Wishes",
        "first_week": (END - timedelta(weeks=HISTORY)).date(),
        "personas": {"k": 2},
        "features": {
            "events": ["dashboard_viewed", "integration_connected", "pricing_viewed", "report_exported"],
        },
        "targets": {
            name: {**({} if target.get("outcome") == "label" else SHORT), **target} for name, target in TARGETS.items()
        },
    }
    (folder / "personae.yml").write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    columns = [
        "contact_id",
        "email",
        "country",
        "created_at",
        "updated_at",
        "plan",
        "loyalty",
        "gender",
        "Left",
        "Coin",
    ]
    attributes = {
        "plan": {"role": "feature", "type": "text"},
        "loyalty": {"role": "feature", "type": "number"},
        "gender": "sensitive",
        "Left": "label",
        "Coin": "label",
    }
    _write(folder, "contacts", columns, contacts, {name: name for name in columns[:5]}, attributes)
    _write(folder, "orders", ["order_id", "contact_id", "ordered_at", "order_amount"], orders)
    header = ["contact_id", "occurred_at", "event_name"]
    told = {name: name for name in header} | {"event_type": {"value": "product_use"}}
    _write(folder, "events", header, events, told)
    _write(folder, "consents", ["contact_id", "recorded_at", "purpose", "consent_state"], consents)
    return folder


def _lives(traits: Traits, random: np.random.Generator) -> tuple[list[list[object]], ...]:
    """What everybody does, week by week."""
    first = END - timedelta(weeks=HISTORY)
    # A third were there from the beginning; the others come one by one, so that there is always somebody new.
    arrives = np.where(np.arange(PEOPLE) % 3 == 0, 0, random.integers(0, HISTORY - 1, PEOPLE))
    created = [first + timedelta(weeks=int(week), hours=int(random.integers(0, 100))) for week in arrives]
    left = random.random(PEOPLE) < 1 / (1 + np.exp(0.6 * (traits.loyalty - 5.5)))
    labels = np.where(random.random(PEOPLE) < 0.8, np.where(left, "Yes", "No"), "")
    coins = np.where(random.random(PEOPLE) < 0.5, "heads", "tails")
    plan = random.integers(0, 2, PEOPLE)
    contacts: list[list[object]] = []
    orders: list[list[object]] = []
    events: list[list[object]] = []

    def contact(person: int, at: datetime) -> list[object]:
        told = [("DE", "FR")[person % 2], created[person], at, PLANS[plan[person]], traits.loyalty[person]]
        return [
            f"c{person:03d}",
            f"c{person:03d}@wish.example",
            *told,
            "fmx"[person % 3],
            labels[person],
            coins[person],
        ]

    contacts += [contact(person, created[person]) for person in range(PEOPLE)]
    # Customers came with an order; everybody else has not ordered yet.
    orders += [
        [f"o{person:03d}-first", f"c{person:03d}", created[person], 40.0] for person in np.flatnonzero(traits.customer)
    ]
    has_ordered, stopped, asleep = traits.customer.copy(), np.zeros(PEOPLE, bool), np.zeros(PEOPLE, bool)
    # What somebody is busy with for some weeks: comparing prices, integrating, reading dashboards.
    busy = random.random((3, PEOPLE)) < 0.4
    for number in range(HISTORY):
        start = first + timedelta(weeks=number)
        stopped |= has_ordered & (random.random(PEOPLE) < 0.03)
        busy = random.random((3, PEOPLE)) < np.where(busy, 0.96, 0.03)
        # Who loves it comes back soon; everybody falls asleep now and then.
        asleep = np.where(asleep, random.random(PEOPLE) > traits.loyalty**2 / 150, random.random(PEOPLE) < 0.12)
        for person in np.flatnonzero(~asleep & (arrives < number)):

            def at() -> datetime:
                return start + timedelta(minutes=int(random.integers(0, 7 * 24 * 60)))  # noqa: B023 - called at once

            name = f"c{person:03d}"
            compares, integrates, reads = busy[:, person]
            exported = random.random() < (0.2 if reads else 0.001)
            counts = {
                "page_viewed": 1,
                "dashboard_viewed": random.poisson(4 if reads else 0.05),
                "pricing_viewed": random.poisson(4 if compares else 0.05),
                "integration_connected": random.poisson(4 if integrates else 0.05),
                "report_exported": int(exported),
            }
            events += [[name, at(), event] for event, count in counts.items() for _ in range(count)]
            wants = traits.order_rate[person] if has_ordered[person] else (0.2 if compares else 0.001)
            if not stopped[person] and random.random() < min(wants, 0.8):
                orders.append([f"o{person:03d}-{number}", name, at(), round(float(random.gamma(4, 12)), 2)])
                has_ordered[person] = True
            if plan[person] < 2 and random.random() < (0.15 if integrates else 0.001):
                plan[person] += 1
                contacts.append(contact(person, at()))
    return contacts, orders, events


def _write(
    folder: Path,
    entity: str,
    header: list[str],
    rows: Iterable[list[object]],
    columns: dict[str, object] | None = None,
    attributes: dict[str, object] | None = None,
) -> None:
    with (folder / f"{entity}.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    told: dict[str, object] = {"columns": columns or {name: name for name in header}}
    content = {
        "extract": {"files": f"{entity}.csv"},
        "entities": {entity: told | ({"attributes": attributes} if attributes else {})},
    }
    (folder / "mappings" / f"{entity}.yml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")

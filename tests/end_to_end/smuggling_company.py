"""A company whose ledger of consent is full of traps, and a plain reading of the rules to hold the pipeline to.

What belongs here: who is who, what each of them said and when it arrived, and what follows, person by person.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import yaml

SCORED = datetime(2026, 10, 19)  # the Monday that ends the scored week
EARLIER = SCORED - timedelta(weeks=5)  # the Monday that ends the week the model learns from
RANDOM_PEOPLE = 2000
DELIVERIES = [SCORED - timedelta(weeks=weeks) for weeks in (12, 5, 0, -2)]
CHANNELS = ("email", "sms", "push", "phone", "post", "whatsapp", "in_app", "web")


@dataclass
class Statement:
    """A row of the ledger, and the day on which it is delivered."""

    purpose: str
    state: str
    at: datetime
    channel: str | None = None
    delivered: datetime = DELIVERIES[0]


@dataclass
class Human:
    """Somebody with one or more contacts at one address; statements by contact."""

    name: str
    contacts: list[str]
    country: str | None = "DE"
    deleted: list[str] = field(default_factory=list)
    said: dict[str, list[Statement]] = field(default_factory=dict)
    other_countries: dict[str, str] = field(default_factory=dict)

    @property
    def countries(self) -> set[str]:
        """The countries that contacts state which are still there."""
        there = set(self.contacts) - set(self.deleted)
        return {self.other_countries.get(contact, self.country) for contact in there} - {None}  # type: ignore[misc]

    @property
    def email(self) -> str:
        return f"{self.name}@people.example"


def known(statement: Statement, as_of: datetime) -> bool:
    """Whether a week knows of a statement: it was made before its end, and delivered at most a day after."""
    return statement.at < as_of and statement.delivered <= as_of


def last_words(human: Human, as_of: datetime, purpose: str, channel: str | None) -> tuple[datetime, bool] | None:
    """When the latest word on a purpose and channel was said, and whether it was against; at one moment that wins."""
    words = []
    for statement in (each for said in human.said.values() for each in said if known(each, as_of)):
        about = statement.purpose.strip().lower().replace("-", "").replace(" ", "_")
        over = statement.channel.strip().lower().replace("-", "") if statement.channel else None
        objects = statement.state == "objected" or (statement.state == "withdrawn" and about == "direct_marketing")
        if channel is None:
            refuses = statement.state == "withdrawn" and about == purpose
            grants = statement.state == "granted" and about == purpose and over is None
        else:
            reaches = over is None or over == channel
            refuses = statement.state == "withdrawn" and about == purpose and (reaches or over not in CHANNELS)
            grants = statement.state == "granted" and about == purpose and reaches
        if objects or refuses or grants:
            words.append((statement.at, not grants))
    return max(words, default=None)


def may_be_profiled(human: Human, as_of: datetime) -> bool:
    """By the rules of docs/privacy.md; France has a legal basis, elsewhere only consent counts."""
    if not set(human.contacts) - set(human.deleted):
        return False
    word = last_words(human, as_of, "profiling", None)
    return human.countries == {"FR"} if word is None else not word[1]


def may_be_mailed(human: Human, as_of: datetime) -> bool:
    word = last_words(human, as_of, "email_marketing", "email")
    return may_be_profiled(human, as_of) and word is not None and not word[1]


LONG_AGO, LAST_MONTH, LAST_WEEK = SCORED - timedelta(weeks=30), SCORED - timedelta(weeks=3), SCORED - timedelta(days=4)


def smugglers() -> list[Human]:
    """Each kind of person that must be in nothing, and what makes it tempting."""
    yes = Statement("profiling", "granted", LONG_AGO)
    no = Statement("profiling", "withdrawn", LAST_MONTH, delivered=DELIVERIES[2])

    def human(name: str, said: Iterable[Statement], **more: object) -> Human:
        return Human(f"smuggled-{name}", [f"smuggled-{name}"], said={f"smuggled-{name}": list(said)}, **more)  # type: ignore[arg-type]

    mail = Statement("email_marketing", "granted", LONG_AGO, "email")
    merged = Human("smuggled-merged", ["smuggled-merged-1", "smuggled-merged-2"])
    merged.said = {"smuggled-merged-1": [yes, mail], "smuggled-merged-2": [no]}
    refused_by_deleted = Human("smuggled-by-deleted", ["smuggled-by-deleted-1", "smuggled-by-deleted-2"])
    refused_by_deleted.deleted = ["smuggled-by-deleted-2"]
    refused_by_deleted.said = {"smuggled-by-deleted-1": [yes, mail], "smuggled-by-deleted-2": [no]}
    two_markets = Human("smuggled-two-markets", ["smuggled-two-markets-1", "smuggled-two-markets-2"], "FR")
    two_markets.other_countries = {"smuggled-two-markets-2": "AT"}
    late_grant = Statement("profiling", "granted", LONG_AGO + timedelta(days=1), delivered=DELIVERIES[2])
    return [
        human("unknown", []),
        human("mail-only", [mail]),
        human("withdrawn", [yes, mail, no]),
        human(
            "older-grant-arrives-later",
            [Statement("profiling", "withdrawn", LAST_MONTH, delivered=DELIVERIES[1]), late_grant],
        ),
        human("same-moment", [yes, Statement("profiling", "granted", LAST_MONTH), no]),
        human(
            "other-purpose",
            [Statement("advertising", "granted", LONG_AGO), Statement("analytics", "granted", LONG_AGO)],
        ),
        human("other-channel", [Statement("profiling", "granted", LONG_AGO, "web")]),
        human("market-without-basis", [mail], country="AT"),
        human("no-market", [mail], country=None),
        human("basis-but-withdrawn", [no], country="FR"),
        human(
            "basis-but-objected",
            [Statement("profiling", "objected", LAST_MONTH, delivered=DELIVERIES[2])],
            country="FR",
        ),
        human("objected", [yes, mail, Statement("direct_marketing", "objected", LAST_WEEK, delivered=DELIVERIES[2])]),
        human(
            "objected-to-mail", [yes, mail, Statement("email_marketing", "objected", LAST_WEEK, "email", DELIVERIES[2])]
        ),
        human(
            "left-direct-marketing",
            [yes, Statement("Direct Marketing", "withdrawn", LAST_WEEK, delivered=DELIVERIES[2])],
        ),
        human(
            "not-yet-granted", [Statement("profiling", "granted", SCORED + timedelta(days=1), delivered=DELIVERIES[3])]
        ),
        human("deleted", [yes, mail], deleted=["smuggled-deleted"]),
        merged,
        refused_by_deleted,
        two_markets,
    ]


PURPOSES = (
    "profiling", "profiling", "Profiling ", "email_marketing", "E-Mail marketing", "advertising", "direct_marketing",
    "newsletter",
)  # fmt: skip
STATES = ("granted", "granted", "granted", "withdrawn", "withdrawn", "objected")


def random_people(seed: int = 5) -> list[Human]:
    """People who say anything at any time, over one or two contacts, arriving in any order."""
    draw = random.Random(seed)
    people = []
    for number in range(RANDOM_PEOPLE):
        contacts = [f"r{number:04d}{letter}" for letter in "ab"[: draw.choice((1, 1, 2))]]
        human = Human(f"r{number:04d}", contacts, draw.choice(("DE", "FR", " fr ", "AT", None)))
        human.country = human.country.strip().upper() if human.country else None
        for contact in contacts:
            human.said[contact] = [
                Statement(
                    draw.choice(PURPOSES),
                    draw.choice(STATES[: draw.choice((5, 6))]),
                    # A few moments only, so that statements meet.
                    SCORED + timedelta(days=7 * draw.randint(-9, 1), hours=draw.choice((-1, 0, 12))),
                    draw.choice((None, None, "email", "E-Mail", "sms", "letterbox")),
                    draw.choice(DELIVERIES),
                )
                for _ in range(draw.randint(0, 3))
            ]  # fmt: skip
        people.append(human)
    return people


def write_company(folder: Path, people: list[Human]) -> None:
    """A workspace with contacts, orders and a ledger, delivered on four days."""
    (folder / "mappings").mkdir(parents=True)
    settings = {
        "company": "Trap & Sons",
        "first_week": "2026-06-01",
        "personas": {"k": 2},
        "targets": {
            "order_soon": {"outcome": "order", "within_days": 28, "training_weeks": 2, "minimum_positives": 10}
        },
        "legal_basis": {
            "profiling": {"FR": {"basis": "legitimate_interest", "statement": "balancing test 7"}, "DE": "consent"}
        },
    }
    (folder / "personae.yml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    draw = random.Random(3)
    tables: dict[str, list[list[object]]] = {"contacts": [], "orders": [], "events": []}
    for human in people:
        for contact in human.contacts:
            is_deleted = contact in human.deleted
            country = human.other_countries.get(contact, human.country)
            row = [contact, human.email, country or "", LONG_AGO, LONG_AGO, ""]
            tables["contacts"].append(row)
            if is_deleted:
                tables["contacts"].append([contact, "", "", LONG_AGO, LAST_WEEK, "true"])
            loves_to_buy = draw.random() < 0.5
            for week in range(20):
                at = SCORED - timedelta(weeks=week, days=draw.randint(1, 6))
                if draw.random() < (0.6 if loves_to_buy else 0.1):
                    tables["orders"].append([f"o-{contact}-{week}", contact, at, draw.randint(5, 500)])
                if draw.random() < (0.1 if loves_to_buy else 0.7):
                    tables["events"].append([contact, f"d-{contact}", at, f"https://trap.example/{contact}"])
    headers = {
        "contacts": ["contact_id", "email", "country", "created_at", "updated_at", "is_deleted"],
        "orders": ["order_id", "contact_id", "ordered_at", "order_amount"],
        "events": ["contact_id", "device_id", "occurred_at", "page_url"],
    }
    for entity, rows in tables.items():
        _write(folder / f"{entity}.csv", headers[entity], rows)
        columns: dict[str, object] = {name: name for name in headers[entity]}
        if entity == "events":
            columns["event_type"] = {"value": "page_view"}
        _mapping(folder, entity, f"{entity}.csv", columns)
    ledger = ["contact_id", "recorded_at", "purpose", "channel", "consent_state"]
    for delivered in DELIVERIES:
        rows = [
            [contact, each.at, each.purpose, each.channel or "", each.state]
            for human in people
            for contact, said in human.said.items()
            for each in said
            if each.delivered == delivered
        ]
        _write(folder / f"consents_{delivered:%Y-%m-%d}.csv", ledger, rows)
    _mapping(folder, "consents", "consents_*.csv", {name: name for name in ledger}, r"(\d{4}-\d{2}-\d{2})")


def _write(path: Path, header: list[str], rows: list[list[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def _mapping(
    folder: Path, entity: str, files: str, columns: dict[str, object], delivered_at: str | None = None
) -> None:
    extract = {"files": files} | ({"delivered_at": delivered_at} if delivered_at else {})
    content = {"extract": extract, "entities": {entity: {"columns": columns}}}
    (folder / "mappings" / f"{entity}.yml").write_text(yaml.safe_dump(content), encoding="utf-8")

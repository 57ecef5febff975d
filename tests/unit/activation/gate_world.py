"""A small warehouse for the tests of the gate: people with a decision each, and what else the gate looks at.

Here belong builders; what a test is about stands in the test.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import duckdb

from activation.gate import Gate
from activation.gate_terms import Rules, Tables, Terms
from activation.sync.gated import GatedAudience, GateDecision
from activation.sync.protocol import FieldMapping, MappedField, Mode
from tests.people_by_name import MACROS, name_of, number

AS_OF = date(2026, 11, 16)
AS_OF_AT = datetime(2026, 11, 15, 23)
PURPOSE, CHANNEL = "email_marketing", "email"
GRANTED = "granted"
LEGAL_BASIS = "legal_basis: existing customers"
TABLES = Tables("contactability", "identities", "contacts", "messages")

SCHEMA = """
create table contactability (
    as_of date, person_id ubigint, purpose varchar, channel varchar, contact_id varchar, email varchar,
    is_allowed boolean, is_refused_by_now boolean, decision_reason varchar, consent_recorded_at timestamp
);
create table identities (
    person_id ubigint, identity_kind varchar, identity_id varchar, valid_from timestamp, valid_to timestamp
);
create table contacts (
    contact_id varchar, email varchar, phone varchar, country varchar, is_deleted boolean, valid_from timestamp,
    valid_to timestamp
);
create table messages (contact_id varchar, occurred_at timestamp, channel varchar, message_action varchar);
"""


class World:
    """People, each with one contact that has the same name."""

    def __init__(self, **usual: Any) -> None:
        self.usual = usual
        self.connection = duckdb.connect()
        self.connection.execute("set TimeZone = 'UTC'")
        self.connection.execute(MACROS + SCHEMA)

    def person(
        self,
        person_id: str,
        *,
        country: str | None = "DE",
        contact: str | None = None,
        phone: str | None = None,
        **decided: Any,
    ) -> World:
        """A person who may be contacted, unless `decided` says otherwise."""
        contact = contact or f"c-{person_id}"
        row = (
            {
                "as_of": AS_OF,
                "person_id": number(person_id),
                "purpose": PURPOSE,
                "channel": CHANNEL,
                "contact_id": contact,
                "email": f"{person_id}@example.com",
                "is_allowed": True,
                "is_refused_by_now": False,
                "decision_reason": GRANTED,
                "consent_recorded_at": datetime(2026, 3, 1),
            }
            | self.usual
            | decided
        )
        self._insert("contactability", row)
        long_ago = datetime(2020, 1, 1)
        self._insert(
            "identities",
            {
                "person_id": number(person_id),
                "identity_kind": "contact",
                "identity_id": contact,
                "valid_from": long_ago,
            },
        )
        self._insert(
            "contacts",
            {
                "contact_id": contact,
                "email": row["email"],
                "phone": phone,
                "country": country,
                "is_deleted": False,
                "valid_from": long_ago,
            },
        )
        return self

    def people(self, *person_ids: str, **decided: Any) -> World:
        for person_id in person_ids:
            self.person(person_id, **decided)
        return self

    def message(self, contact: str, at: datetime, action: str = "sent", channel: str = CHANNEL) -> World:
        self._insert(
            "messages", {"contact_id": contact, "occurred_at": at, "channel": channel, "message_action": action}
        )
        return self

    def _insert(self, table: str, row: dict[str, Any]) -> None:
        columns = ", ".join(row)
        marks = ", ".join("?" for _ in row)
        self.connection.execute(f"insert into {table} ({columns}) values ({marks})", list(row.values()))

    def gate(self, rules: Rules | None = None, as_of: date = AS_OF, personas: dict[str, str] | None = None) -> Gate:
        gate = Gate(self.connection, as_of, AS_OF_AT, rules, TABLES)
        if personas:
            listed = " union all ".join(f"select {number(one)}, '{persona}'" for one, persona in personas.items())
            gate.know(f"select * from ({listed}) as t (person_id, persona_id)")
        return gate

    def judged(self, *terms: Terms, rules: Rules | None = None, condition: str = "true") -> dict[str, dict[str, str]]:
        """By audience and person the reason they were told; those who passed, with why they may be contacted."""
        gate = self.gate(rules)
        for one in terms or (audience("news"),):
            gate.consider(one, condition)
        gate.judge()
        gate.tell()
        return self.told()

    def told(self, as_of: date = AS_OF) -> dict[str, dict[str, str]]:
        told: dict[str, dict[str, str]] = {}
        for name, person_id, is_in, reason in self.connection.execute(
            "select audience, person_id, is_in, reason from activation.audiences where as_of = ? order by all", [as_of]
        ).fetchall():
            told.setdefault(name, {})[name_of(person_id)] = f"in: {reason}" if is_in else reason
        return told


def audience(key: str, **changed: Any) -> Terms:
    return Terms(key, changed.pop("purpose", PURPOSE), changed.pop("channel", CHANNEL), **changed)


def sealed(world: World, gate: Gate, key: str = "news") -> GatedAudience:
    """The audience as it would leave, with the person's id as its only field."""
    mapping = FieldMapping("1", (MappedField("person", "person_id"),))
    return gate.seal(key, "select identifier, person_id from gate_approved as a", {}, mapping, Mode.MIRROR)


def passed(world: World, gate: Gate, key: str = "news") -> list[str]:
    """Who is in what was sealed."""
    relation = sealed(world, gate, key).relation
    return [
        name_of(one) for (one,) in world.connection.execute(f"select person_id from {relation} order by 1").fetchall()
    ]


def counts(decision: GateDecision) -> tuple[int, int, dict[str, int]]:
    return decision.considered, decision.approved, dict(decision.refused)


ADS_FIELDS = FieldMapping("ads", tuple(MappedField(name, name) for name in ("email", "phone", "country")))
ADS_VALUES = (
    "select a.identifier, c.email, c.phone, c.country from gate_approved as a "
    "inner join contacts as c on c.contact_id = a.contact_id",
    {},
    ADS_FIELDS,
    Mode.MIRROR,
)


def ads_world() -> World:
    """People who were asked whether ad platforms may look them up."""
    return World(purpose="advertising", channel="ads")


def sealed_for_ads(world: World, destination: str, key: str = "people") -> tuple[Gate, GatedAudience]:
    """Everybody who may be looked up by an ad platform, with what they are looked up by."""
    gate = world.gate()
    gate.consider(Terms(key, "advertising", "ads", destination, identifier="contact_id"), "true")
    gate.judge()
    return gate, gate.seal(key, *ADS_VALUES)

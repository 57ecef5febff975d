"""Who was sent what in which way of persuading, what answered it, and whom the block list spares: as a week knows."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from dbt_company import AS_OF, NEXT_WEEK, THIS_WEEK, VARIABLES
from dbt_warehouse import DbtWarehouse, person

from ml.persuasion import APPROACHES

MODELS = ("+int_persuasion_responses", "+int_people_spared_pressure")
PEOPLE = ("clicker", "buyer", "opener", "robot", "twofold", "late", "fresh", "bounced", "refuses", "second", "minor")


def sent(contact: str, at: str, **more: object) -> dict[str, object]:
    return dict(contact_id=contact, occurred_at=at, message_action="sent", channel="email", _source="mails", **more)


def reacted(contact: str, at: str, action: str = "clicked", **more: object) -> dict[str, object]:
    return dict(contact_id=contact, occurred_at=at, message_action=action, channel="email", _source="mails", **more)


def fill(warehouse: DbtWarehouse) -> None:
    told = dict(created_at="2025-01-01", updated_at="2025-01-01")
    warehouse.add(
        "raw.contacts",
        *(dict(contact_id=name, attr_tier="dunning " if name == "minor" else None, **told) for name in PEOPLE),
        # The clicker's second contact: both are one person.
        dict(contact_id="clicker2", email="a@x.org", **told),
        dict(contact_id="clicker", email="a@x.org", created_at="2025-01-01", updated_at="2025-02-01"),
    )
    warehouse.add(
        "raw.consents",
        *(
            dict(contact_id=name, purpose="profiling", recorded_at="2025-01-02", consent_state="granted")
            for name in PEOPLE
            if name != "refuses"
        ),
    )
    warehouse.add(
        "raw.messages",
        sent("clicker", "2026-02-03 09:00", content="Story_Anna"),
        reacted("clicker", "2026-02-03 10:00"),
        sent("clicker2", "2026-02-05 09:00", content="story_ben"),
        # "story!x" has no underscore, and "plain" has no tag: neither counts.
        sent("clicker", "2026-02-04 09:00", content="story!x"),
        sent("clicker", "2026-02-06 09:00", content="plain"),
        # An order answers the last tagged message before it, within a week.
        sent("buyer", "2026-02-02 09:00", offer="last seats"),
        sent("buyer", "2026-02-04 09:00", content="story_c", campaign="Test A"),
        sent("buyer", "2026-02-12 09:00", offer="last seats"),
        # Opens do not count where clicks are known.
        sent("opener", "2026-02-03 09:00", treatment_group="Expert"),
        reacted("opener", "2026-02-03 10:00", "opened"),
        # A click within seconds is a machine's.
        sent("robot", "2026-02-03 09:00", content="story_d"),
        reacted("robot", "2026-02-03 09:00:04"),
        # Tagged twice the same way counts once; in two ways, once for each.
        sent("twofold", "2026-02-03 09:00", content="story_e", offer="reviewed"),
        sent("twofold", "2026-02-10 09:00", content="story_e", offer="last seats"),
        reacted("twofold", "2026-02-10 10:00"),
        # The click is delivered in March; the message came so late that answers may still come; bounced.
        sent("late", "2026-02-10 09:00", content="story_f"),
        reacted("late", "2026-02-10 10:00", _delivered_at="2026-03-06"),
        sent("fresh", "2026-02-25 09:00", content="story_g"),
        sent("bounced", "2026-02-03 09:00", content="story_h"),
        reacted("bounced", "2026-02-03 09:01", "bounced"),
        sent("refuses", "2026-02-03 09:00", content="story_i"),
    )
    order = dict(order_status="completed", order_amount=10.0)
    warehouse.add(
        "raw.orders",
        dict(order_id="1", contact_id="buyer", ordered_at="2026-02-05 10:00", updated_at="2026-02-05", **order),
        # Too late for the message of the 12th, and one that is sent back.
        dict(order_id="2", contact_id="buyer", ordered_at="2026-02-19 10:00", updated_at="2026-02-19", **order),
        dict(
            order_id="3",
            contact_id="buyer",
            ordered_at="2026-02-13 10:00",
            updated_at="2026-02-14",
            order_status="returned",
            order_amount=10.0,
        ),
    )
    warehouse.add(
        "raw.events",
        dict(contact_id="buyer", occurred_at="2026-02-20 10:00", event_type="form_submit", event_name="Hardship form"),
        dict(contact_id="opener", occurred_at="2026-01-05 10:00", event_type="other", event_name="hardship form"),
        dict(contact_id="robot", occurred_at="2026-03-03 10:00", event_type="other", event_name="hardship form"),
        dict(contact_id="refuses", occurred_at="2026-02-20 10:00", event_type="other", event_name="hardship form"),
    )
    ticket = dict(ticket_category="complaint", ticket_status="open")
    warehouse.add(
        "raw.tickets",
        dict(ticket_id="t1", contact_id="buyer", created_at="2026-02-21", updated_at="2026-02-21", **ticket),
        dict(ticket_id="t2", contact_id="late", created_at="2026-03-03", updated_at="2026-03-03", **ticket),
    )


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory, dbt_folder: Path) -> DbtWarehouse:
    warehouse = DbtWarehouse(tmp_path_factory.mktemp("persuasion"), dbt_folder, VARIABLES)
    fill(warehouse)
    warehouse.run_for(THIS_WEEK, NEXT_WEEK)
    warehouse.changed_days([])
    warehouse.dbt("run", "--select", *MODELS)
    return warehouse


def counts(warehouse: DbtWarehouse, as_of: str = AS_OF) -> dict[tuple[str, str], tuple[int, int]]:
    """(name, approach): messages, answers."""
    names = {person(name): name for name in PEOPLE}
    rows = warehouse.read(f"select * from intermediate.int_persuasion_responses where as_of = '{as_of}'")
    return {
        (names[row["person_id"]], approach): (row[f"{approach}_sends"], row[f"{approach}_responses"])
        for row in rows.iter_rows(named=True)
        for approach in APPROACHES
        if row[f"{approach}_sends"]
    }


def test_messages_count_by_the_tags_of_their_properties_and_people_by_all_their_contacts(
    warehouse: DbtWarehouse,
) -> None:
    assert counts(warehouse) == {
        ("clicker", "social_proof"): (2, 1),
        ("buyer", "scarcity"): (2, 0),
        ("buyer", "social_proof"): (1, 1),
        ("opener", "authority"): (1, 0),
        ("robot", "social_proof"): (1, 0),
        ("twofold", "social_proof"): (2, 1),
        ("twofold", "scarcity"): (1, 1),
        ("late", "social_proof"): (1, 0),
    }


def test_what_becomes_known_later_counts_later(warehouse: DbtWarehouse) -> None:
    later = counts(warehouse, NEXT_WEEK[0])
    assert later[("late", "social_proof")] == (1, 1)
    assert later[("fresh", "social_proof")] == (1, 0)


def test_messages_of_randomized_campaigns_are_counted_beside(warehouse: DbtWarehouse) -> None:
    rows = warehouse.read(
        "select person_id, social_proof_randomized_sends, social_proof_randomized_responses, counted "
        "from intermediate.int_persuasion_responses "
        f"where as_of = '{AS_OF}' and social_proof_randomized_sends + scarcity_randomized_sends > 0"
    )
    assert rows.rows() == [(person("buyer"), 1, 1, "clicks and orders")]


def test_the_block_list_finds_people_by_attribute_event_and_ticket(warehouse: DbtWarehouse) -> None:
    rows = warehouse.read(
        "select person_id, rule_number from intermediate.int_people_spared_pressure "
        f"where as_of = '{AS_OF}' order by all"
    )
    assert rows.sort("rule_number", "person_id").rows() == [
        (person("minor"), 1),
        (person("buyer"), 2),
        (person("buyer"), 4),
    ]
    later = warehouse.read(
        f"select person_id, rule_number from intermediate.int_people_spared_pressure where as_of = '{NEXT_WEEK[0]}'"
    )
    assert {(person("robot"), 2), (person("late"), 4)} <= set(later.rows())


def test_an_untagged_workspace_has_no_rows(company: object, tmp_path: Path) -> None:
    tables = [
        company.table(f"intermediate.{name}")  # type: ignore[attr-defined]
        for name in ("int_persuasion_responses", "int_people_spared_pressure")
    ]
    assert all(isinstance(table, pl.DataFrame) and table.is_empty() for table in tables)

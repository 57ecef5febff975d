"""A company small enough to count by hand: who its people are, what they did, and what became known only later.

The week of the tests ends at `AS_OF`, a Monday in Berlin, which is Sunday 23:00 UTC.
"""

from __future__ import annotations

from dbt_warehouse import DbtWarehouse, person

from orchestration.affinity_settings import SOURCES

AS_OF = "2026-03-02"
THIS_WEEK = (AS_OF, "2026-03-01 23:00", True, True)
NEXT_WEEK = ("2026-03-09", "2026-03-08 23:00", True, True)
WEEK_BEFORE = ("2026-02-23", "2026-02-22 23:00", True, True)

ANN, BOB, EVE, SHOPPER, DELETED = person("c1"), person("c3"), person("c6"), person("c5"), person("c4")

# How messages persuade, and whom to spare; test_dbt_persuasion.py tells of it.
PERSUASION = {
    "enabled": True,
    "tags": [
        {"approach": "social_proof", "property": "content", "patterns": ["story\\_%"]},
        {"approach": "social_proof", "property": "offer", "patterns": ["reviewed"]},
        {"approach": "scarcity", "property": "offer", "patterns": ["last seats"]},
        {"approach": "authority", "property": "treatment_group", "patterns": ["expert"]},
    ],
    "tagged_by": ["content", "offer", "treatment_group"],
    "message_columns": [],
    "responses": ["clicked", "ordered", "opened"],
    "order_days": 7,
    "randomized": ["test %"],
    "attributes": {"contacts": ["tier"], "accounts": []},
    "spared": [
        {"number": 1, "kind": "contacts", "name": "tier", "column": "attr_tier", "values": ["Dunning"], "numbers": [],
         "at_least": None, "at_most": None},
        {"number": 2, "kind": "event", "name": None, "values": ["hardship form"], "within_days": 30},
        {"number": 4, "kind": "ticket", "name": None, "values": ["Complaint"], "within_days": 30},
    ],
}  # fmt: skip
VARIABLES = {
    "persuasion": PERSUASION,
    "affinity": {
        "enabled": True,
        "half_life_days": dict.fromkeys(SOURCES, 10),
        "source_weights": {source: 0.5 if source == "page" else 1.0 for source in SOURCES},
    },
    "adoption": {
        "launches": [
            {"id": "export", "launched_on": "2026-02-05", "event": "export report"},
            {"id": "chair", "launched_on": "2026-02-10", "products": ["x", "z"]},
            {
                "id": "gold",
                "launched_on": "2026-01-05",
                "entity": "contacts",
                "column": "attr_tier",
                "values": ["Gold"],
            },
            {
                "id": "sector",
                "launched_on": "2026-02-01",
                "entity": "accounts",
                "column": "industry",
                "values": ["software"],
            },
            {"id": "invite", "launched_on": "2026-02-20", "event": "invited friend"},
        ],
        "reach": [{"event": "invited friend", "column": None}],
        "creation": [{"event": "export report", "column": None}],
        "observed_days": 30,
    },
    "timezone": "Europe/Berlin",
    "events_of_a_turn": 1,  # every week takes a turn of its own
    "contact_attributes": [
        {"name": "tier", "role": "feature", "label": "Tier"},
        {"name": "churned", "role": "label", "label": "Churned"},
        {"name": "notes", "role": "text", "label": "Notes"},
    ],
    "event_names": [{"event_name": "export report", "column": "export_report"}],
    "event_labels": {"export report": "export report (last 4 weeks)"},
    "targets": [
        {"name": "order_soon", "outcome": "order", "within_days": 14},
        {"name": "export_soon", "outcome": "event", "within_days": 14, "column": "export_report"},
        {"name": "churned", "outcome": "label", "label_attribute": "churned", "positive_value": "Yes"},
        {"name": "no_order", "outcome": "order", "within_days": 3, "happens_by_default": True},
        {"name": "active_soon", "outcome": "activity", "within_days": 3},
        {
            "name": "account_up",
            "outcome": "upgrade",
            "within_days": 14,
            "entity": "accounts",
            "attribute_column": "industry",
            "values": ["software", "Mining"],
        },
        {
            "name": "tier_up",
            "outcome": "upgrade",
            "within_days": 14,
            "entity": "contacts",
            "attribute_column": "attr_tier",
            "values": ["gold", "none"],
        },
    ],
}


def fill(warehouse: DbtWarehouse) -> None:
    """What was known when the week ended."""
    add = warehouse.add
    add("raw.accounts", dict(account_id="a1", industry="Software", employee_count=50, updated_at="2025-06-01"))
    add(
        "raw.contacts",
        dict(contact_id="c1", email="Ann@x.org", created_at="2025-12-02", updated_at="2025-12-02", country="DE"),
        dict(
            contact_id="c2",
            email=" ann@X.org",
            created_at="2026-01-10",
            updated_at="2026-01-10",
            country="AT",
            account_id="a1",
            attr_tier="gold",
            attr_churned="No",
        ),
        dict(contact_id="c3", email="bob@x.org", created_at="2026-02-01", updated_at="2026-02-01", attr_churned="yes"),
        dict(contact_id="c4", email="dan@x.org", created_at="2026-01-01", updated_at="2026-01-01"),
        dict(contact_id="c4", updated_at="2026-02-20", is_deleted=True),
        dict(
            contact_id="c6",
            created_at="2026-02-01",
            updated_at="2026-02-01",
            country="DE",
            job_title="Security  Engineer",
            attr_notes="Asked eve@x.org about  +49 30 1234567, wants single_sign-on",
        ),
    )
    add(
        "raw.events",
        # Sunday 23:30 in Berlin is the last moment of the week, half an hour past midnight the first of the next.
        dict(
            contact_id="c1",
            occurred_at="2026-03-01 22:30",
            event_type="page_view",
            session_id="s1",
            page_title="Pricing",
        ),
        dict(
            contact_id="c1",
            occurred_at="2026-03-01 23:30",
            event_type="page_view",
            session_id="s1",
            page_title="Roadmap",
        ),
        # Two contacts of one person on the same day.
        dict(
            contact_id="c1",
            occurred_at="2026-02-10 09:00",
            event_type="page_view",
            session_id="s2",
            page_title="PRICING",
        ),
        dict(contact_id="c2", occurred_at="2026-02-10 10:00", event_type="product_use", session_id="s3"),
        # An anonymous visit, two days before Bob identifies on the device.
        dict(
            device_id="d1",
            occurred_at="2026-02-10 12:00",
            event_type="page_view",
            device_type="Mobile",
            keyword="move house",
        ),
        dict(
            contact_id="c3",
            device_id="d1",
            occurred_at="2026-02-12 12:00",
            event_type="other",
            event_name="export report",
        ),
        # Long ago: within 13 weeks, not within 4.
        dict(contact_id="c3", occurred_at="2025-12-20 12:00", event_type="search"),
        # On a Monday morning we still learn of last week.
        dict(contact_id="c6", occurred_at="2026-02-25 12:00", event_type="download", _delivered_at="2026-03-02 06:00"),
    )
    add(
        "raw.orders",
        dict(order_id="o1", contact_id="c1", ordered_at="2026-02-01", updated_at="2026-02-01", order_amount=50.0),
        dict(order_id="o2", contact_id="c2", ordered_at="2025-12-15", updated_at="2025-12-15", order_amount=30.0),
        dict(
            order_id="o2",
            contact_id="c2",
            ordered_at="2025-12-15",
            updated_at="2026-01-05",
            order_amount=30.0,
            order_status="cancelled",
        ),
    )
    add(
        "raw.order_lines",
        dict(
            order_id="i1",
            contact_id="c5",
            ordered_at="2026-02-15",
            line_amount=10.0,
            product_id="x",
            quantity=1.0,
            product_name="Garden chair",
        ),
        dict(order_id="i1", contact_id="c5", ordered_at="2026-02-15", unit_price=5.0, product_id="y", quantity=3.0),
        dict(
            order_id="C1",
            contact_id="c5",
            ordered_at="2026-02-16",
            line_amount=-10.0,
            product_id="x",
            quantity=-1.0,
            is_cancellation=True,
        ),
    )
    add(
        "raw.messages",
        dict(contact_id="c1", occurred_at="2026-02-20", message_action="sent", channel="email"),
        dict(contact_id="c1", occurred_at="2026-02-21", message_action="sent", channel="email"),
        dict(contact_id="c1", occurred_at="2026-02-21", message_action="opened", channel="email", is_machine=True),
        dict(contact_id="c1", occurred_at="2026-02-22", message_action="opened", channel="email"),
        *(
            dict(contact_id="c3", occurred_at=f"2026-02-0{day}", message_action="sent", channel="email")
            for day in (2, 3, 4, 5)
        ),
        dict(contact_id="c3", occurred_at="2026-02-06", message_action="clicked", channel="email"),
        dict(contact_id="c3", occurred_at="2026-02-07", message_action="clicked", channel="email", is_machine=True),
    )
    add(
        "raw.tickets",
        # Solved after the week: the week sees an open request, and no opinion of the solution.
        dict(
            ticket_id="t1",
            contact_id="c3",
            created_at="2026-02-20",
            solved_at="2026-03-04",
            satisfaction=1.0,
            subject="No export",
        ),
        dict(ticket_id="t2", contact_id="c3", created_at="2026-02-01 00:00", solved_at="2026-02-01 06:00"),
    )
    add(
        "raw.survey_answers",
        dict(contact_id="c1", answered_at="2026-02-01", question="recommend", answer="8"),
        dict(contact_id="c1", answered_at="2026-02-01", question="why", answer="great"),
    )
    add("raw.deals", dict(deal_id="x1", account_id="a1", created_at="2026-01-15", deal_amount=900.0))
    add(
        "raw.consents",
        _consent("c1", "2026-01-01", "granted"),
        _consent("c2", "2026-02-01", "withdrawn"),
        _consent("c3", "2026-02-01", "granted"),
        *(_consent(contact, "2025-12-01", "granted", "profiling") for contact in ("c1", "c3", "c5", "c6")),
    )


def add_what_came_later(warehouse: DbtWarehouse) -> None:
    """Rows of every entity that happened, or became known, only after the week."""
    add = warehouse.add
    add("raw.accounts", dict(account_id="a1", industry="Mining", employee_count=9, updated_at="2026-03-03"))
    add(
        "raw.contacts",
        dict(contact_id="c2", email="new@x.org", updated_at="2026-03-03", country="FR", attr_tier="none"),
        dict(contact_id="c3", email="ann@x.org", updated_at="2026-03-03", country="FR"),
        dict(contact_id="c7", email="new@x.org", created_at="2026-03-04", updated_at="2026-03-04"),
        dict(contact_id="c1", updated_at="2026-03-05", is_deleted=True),
        # Stated before the week ended, delivered long after.
        dict(contact_id="c6", updated_at="2026-02-20", country="IT", _delivered_at="2026-03-06"),
    )
    add(
        "raw.events",
        dict(contact_id="c1", device_id="d1", occurred_at="2026-03-03 12:00", event_type="page_view"),
        dict(contact_id="c5", device_id="d1", occurred_at="2026-03-03 13:00", event_type="page_view"),
        dict(contact_id="c6", device_id="d1", occurred_at="2026-03-03 14:00", event_type="page_view"),
        dict(contact_id="c1", occurred_at="2026-03-03 12:00", event_type="other", event_name="export report"),
        dict(
            contact_id="c3",
            occurred_at="2026-02-25 12:00",
            event_type="page_view",
            _delivered_at="2026-03-05 06:00",
            page_title="Careers",
        ),
        dict(
            contact_id="c6",
            occurred_at="2026-02-24 11:00",
            event_type="other",
            event_name="invited friend",
            _delivered_at="2026-03-05 06:00",
        ),
        dict(contact_id="c6", occurred_at="2026-03-04 11:00", event_type="other", event_name="invited friend"),
    )
    add(
        "raw.orders",
        dict(
            order_id="o1",
            contact_id="c1",
            ordered_at="2026-02-01",
            updated_at="2026-03-05",
            order_amount=50.0,
            order_status="cancelled",
        ),
        dict(order_id="o3", contact_id="c3", ordered_at="2026-03-04", updated_at="2026-03-04", order_amount=99.0),
        dict(order_id="i1", contact_id="c5", ordered_at="2026-02-15", updated_at="2026-03-06", order_amount=1.0),
    )
    add("raw.order_lines", dict(order_id="i2", contact_id="c5", ordered_at="2026-03-07", line_amount=70.0))
    add(
        "raw.messages",
        dict(contact_id="c1", occurred_at="2026-03-03", message_action="unsubscribed", channel="email"),
        dict(
            contact_id="c1",
            occurred_at="2026-02-22",
            message_action="clicked",
            channel="email",
            _delivered_at="2026-03-05",
        ),
    )
    add(
        "raw.tickets",
        dict(ticket_id="t1", contact_id="c1", created_at="2026-02-20", updated_at="2026-03-04", subject="Now solved"),
    )
    add("raw.survey_answers", dict(contact_id="c1", answered_at="2026-03-04", question="recommend", answer="1"))
    add(
        "raw.deals",
        dict(
            deal_id="x1",
            account_id="a1",
            created_at="2026-01-15",
            updated_at="2026-03-04",
            closed_at="2026-03-04",
            deal_amount=900.0,
            deal_status="won",
        ),
    )
    add("raw.consents", _consent("c3", "2026-03-03", "withdrawn"))
    warehouse.delivered(
        ("2026-02-24", "2026-03-05 06:00"),
        ("2026-02-25", "2026-03-05 06:00"),
        ("2026-03-03", None),
        ("2026-03-04", None),
    )


def assign_personas(warehouse: DbtWarehouse) -> None:
    """What the models would have said of two weeks."""
    warehouse.add("ml.persona_weeks", dict(as_of=WEEK_BEFORE[0]), dict(as_of=AS_OF))
    warehouse.add(
        "ml.personas",
        dict(as_of=AS_OF, persona_id="k1", persona_name="Readers", description="They read."),
        dict(as_of=AS_OF, persona_id="k2", persona_name="Buyers", description="They buy."),
        dict(as_of=AS_OF, persona_id="k3", persona_name="Nobody", description="Empty this week."),
    )
    now = [(ANN, "k1", 0.9), (BOB, "k1", 0.6), (SHOPPER, "k2", 0.8), (EVE, "k2", 0.7)]
    before = [(ANN, "k1", 0.9), (BOB, "k2", 0.6), (DELETED, "k2", 0.5)]
    for as_of, assigned in [(AS_OF, now), (WEEK_BEFORE[0], before)]:
        warehouse.add(
            "ml.persona_assignments",
            *(
                dict(as_of=as_of, person_id=who, persona_id=persona, strength=strength, model_id="m1")
                for who, persona, strength in assigned
            ),
        )
    score = dict(as_of=AS_OF, target="order_soon", model_id="m2")
    warehouse.add(
        "ml.propensity_scores",
        score | dict(person_id=ANN, probability=0.8, band="high"),
        score | dict(person_id=BOB, probability=0.2, band="low"),
        score | dict(person_id=EVE, abstained_reason="too few positives"),
    )
    warehouse.add(
        "ml.propensity_backtest",
        dict(
            as_of=AS_OF,
            scored_as_of="2026-02-09",
            target="order_soon",
            segment_type="everybody",
            segment_id="everybody",
            people=200,
            positives=20,
            predicted_mean=0.12345678,
            observed_share=0.1,
        ),
    )
    gain = dict(target="order_soon", kind="band", band="high", depth=0.1, people=20, lift=2.0)
    placed = dict(as_of=AS_OF, launches_seen=3, launches_adopted=1, evidence=1, model_id="m3")
    late = dict(adoption_class="laggard", adoption_class_name="Laggard", curve_class="laggard", class_probability=0.7)
    nowhere = dict(adoption_class="unclassified", adoption_class_name="Unclassified", abstained_reason="too little")
    warehouse.add(
        "ml.adoption_scores",
        placed | late | dict(person_id=ANN, innovativeness=-1.0),
        placed | nowhere | dict(person_id=BOB),
    )
    warehouse.add(
        "ml.adoption_moves",
        dict(as_of=AS_OF, previous_as_of=WEEK_BEFORE[0], from_class="innovator", to_class="laggard", people=1),
    )
    warehouse.add("ml.adoption_validity", dict(as_of=AS_OF, measure="reliability", value=0.5))
    warehouse.add("ml.propensity_gains", gain | dict(as_of=AS_OF), gain | dict(as_of="2026-01-05"))


def _consent(contact_id: str, recorded_at: str, state: str, purpose: str = "email_marketing") -> dict[str, str]:
    return dict(contact_id=contact_id, purpose=purpose, recorded_at=recorded_at, consent_state=state)

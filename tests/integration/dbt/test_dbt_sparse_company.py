"""A company that delivers little: what is not delivered is absent, not zero, and nothing breaks."""

from __future__ import annotations

import pytest
from dbt_company import AS_OF
from dbt_warehouse import DbtWarehouse, person

from orchestration.identity_settings import IdentitySettings

VARIABLES = {
    "timezone": "UTC",
    "delivered_entities": ["contacts", "events"],
    "contact_attributes": [
        {"name": "country", "role": "feature", "label": "Home"},
        {"name": "followers", "role": "feature", "label": "Followers"},
    ],
    "adoption": {
        "launches": [{"id": "chair", "launched_on": "2026-02-01", "products": ["x"]}],
        "reach": [{"event": None, "column": "attr_followers"}],
        "creation": [{"event": "review", "column": None}],
        "observed_days": 14,
    },
    "identity": IdentitySettings(max_people_per_email=1, max_people_per_device=1, include_anonymous=True).model_dump(),
    "legal_basis": {
        purpose: [{"market": "*", "basis": "legitimate_interest", "statement": "existing customers"}]
        for purpose in ("advertising", "email_marketing", "profiling")
    },
}
FIRST, SECOND = person("c1"), person("c2")
VISITOR = person("d9", kind="device")


@pytest.fixture(scope="session")
def sparse_company(tmp_path_factory):
    warehouse = DbtWarehouse(tmp_path_factory.mktemp("sparse"), tmp_path_factory.mktemp("sparse_dbt"), VARIABLES)
    with warehouse.connect() as connection:
        connection.execute("alter table raw.contacts add column attr_country varchar")
        connection.execute("alter table raw.contacts add column attr_followers double")
    warehouse.add(
        "raw.contacts",
        dict(contact_id="c1", email="both@x.org", attr_country="Norway", attr_followers=900.0, created_at="2026-01-01"),
        dict(contact_id="c2", email="both@x.org", created_at="2026-01-01"),
    )
    warehouse.add(
        "raw.events",
        dict(device_id="d9", occurred_at="2026-02-20 23:30", event_type="page_view"),
        dict(device_id="d1", occurred_at="2026-02-20 10:00", event_type="other", event_name="review"),
        dict(device_id="d1", contact_id="c1", occurred_at="2026-02-21 10:00", event_type="page_view"),
    )
    warehouse.run_for((AS_OF, "2026-03-02 00:00", True, True))
    warehouse.add(
        "ml.persona_assignments",
        *(dict(as_of=AS_OF, person_id=who, persona_id="k1", strength=1.0) for who in (FIRST, SECOND, VISITOR)),
    )
    warehouse.add("ml.personas", dict(as_of=AS_OF, persona_id="k1", persona_name="All"))
    warehouse.dbt("build")
    # Once more, as of a later run: what stands in the tables of earlier weeks has to be found and replaced.
    warehouse.dbt("run")
    return warehouse


def test_features_of_entities_that_are_not_delivered_have_no_column(sparse_company):
    columns = sparse_company.read("select * from features.person_features limit 0").columns
    assert "events_28d" in columns
    assert not {"orders_28d", "messages_opened_28d", "tickets_91d", "open_deals", "account_plan"} & set(columns)


def test_a_declared_attribute_takes_the_place_of_the_standard_column(sparse_company):
    rows = sparse_company.read("select person_id, contact_country from features.person_features")
    assert dict(rows.iter_rows()) == {FIRST: "Norway", SECOND: None, VISITOR: None}
    labels = sparse_company.read(
        "select label from marts.segment_profiles where family = 'profile' and kind = 'category'"
    )
    assert labels["label"].to_list() == ["Home: Norway"]


def test_beyond_the_limit_an_address_does_not_merge(sparse_company):
    assert sparse_company.read("select * from intermediate.int_people where email is not null").height == 2


def test_a_device_without_a_contact_is_a_person_where_the_company_says_so(sparse_company):
    events = sparse_company.read("select person_id, events_28d from features.person_features")
    assert dict(events.iter_rows()) == {FIRST: 2, SECOND: 0, VISITOR: 1}


def test_without_a_ledger_the_stated_legal_basis_decides(sparse_company):
    rows = sparse_company.read("select person_id, is_allowed, decision_reason from intermediate.int_contactability")
    reasons = {who: (allowed, reason) for who, allowed, reason in rows.iter_rows()}
    assert reasons[FIRST] == (True, "legal_basis: existing customers")
    assert reasons[VISITOR] == (False, "no_email")


def test_an_ad_platform_may_look_up_by_a_number_who_has_no_address(sparse_company):
    rows = sparse_company.read(
        "select person_id, is_allowed, is_refused_by_now, decision_reason from intermediate.int_advertising_permissions"
    )
    said = {who: (allowed, refused, reason) for who, allowed, refused, reason in rows.iter_rows()}
    assert said == dict.fromkeys((FIRST, SECOND, VISITOR), (True, False, "legal_basis: existing customers"))


def test_key_figures_of_what_is_not_delivered_are_null(sparse_company):
    row = sparse_company.read("select * from marts.segment_kpis").row(0, named=True)
    assert (row["people"], row["revenue_91d"], row["target"], row["mean_probability"]) == (3, None, None, None)
    assert row["reachable_people"] == 2


def test_without_a_week_before_nobody_moved(sparse_company):
    assert sparse_company.read("select * from marts.segment_migrations").is_empty()


def test_influence_is_read_from_an_attribute_and_from_a_device_that_the_person_used_later(sparse_company):
    rows = sparse_company.read("select person_id, signal, amount from intermediate.int_influence order by all")
    assert set(rows.rows()) == {(FIRST, "reach:attr_followers", 900.0), (FIRST, "creation:review", 1.0)}


def test_of_a_product_that_nobody_delivers_nobody_tried_it_and_a_later_visitor_could_not_have(sparse_company):
    rows = sparse_company.read(
        "select person_id, could_try_chair, tried_chair_at from intermediate.int_launch_adoptions"
    )
    assert set(rows.rows()) == {(FIRST, True, None), (SECOND, True, None), (VISITOR, False, None)}

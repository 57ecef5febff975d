"""A week never changes with what became known after it, however it is built."""

from __future__ import annotations

from datetime import date

from dbt_company import ANN, AS_OF, BOB, EVE, NEXT_WEEK, SHOPPER
from polars.testing import assert_frame_equal


def test_what_came_later_changes_no_value_of_the_week(later_company):
    again = later_company.after.read(f"select * from features.person_features where as_of = '{AS_OF}' order by all")
    assert_frame_equal(again, later_company.week_as_built_first)


def test_the_next_week_sees_what_came_later(later_company):
    rows = later_company.after.read(
        "select person_id, orders_total, open_tickets, events_91d from features.person_features "
        f"where as_of = '{NEXT_WEEK[0]}'"
    )
    ann = rows.filter(person_id=ANN).row(0, named=True)
    # Bob's contact took Ann's address: from then on he is one with her, with his order, his requests and his events.
    assert rows.filter(person_id=BOB).height == 0
    assert (ann["orders_total"], ann["open_tickets"]) == (1, 1)


def test_building_week_by_week_equals_building_from_nothing(later_company):
    query = "select * from features.person_features order by all"
    assert_frame_equal(later_company.after.read(query), later_company.from_nothing.read(query))
    days = "select * from intermediate.int_identity_days order by all"
    assert_frame_equal(later_company.after.read(days), later_company.from_nothing.read(days))


def test_outcomes_lie_after_the_week_and_say_when_they_were_known(later_company):
    outcomes = later_company.after.read(
        f"select target, person_id, outcome_known_at from features.person_outcomes where as_of = '{AS_OF}' "
        "and target in ('export_soon', 'order_soon') order by target, outcome_known_at"
    )
    assert [(target, person_id, known_at.date()) for target, person_id, known_at in outcomes.rows()] == [
        ("export_soon", ANN, date(2026, 3, 3)),
        ("order_soon", BOB, date(2026, 3, 4)),
        ("order_soon", SHOPPER, date(2026, 3, 7)),
    ]


def test_of_a_target_that_asks_for_nothing_to_happen_whoever_did_it_is_told(later_company):
    outcomes = later_company.after.read(
        f"select person_id, outcome from features.person_outcomes where as_of = '{AS_OF}' and target = 'no_order'"
    )
    assert outcomes.rows() == [(BOB, False)]  # the shopper's order came after three days


def test_activity_is_an_event_or_an_order_of_anybody_the_week_knew(later_company):
    outcomes = later_company.after.read(
        f"select person_id, outcome from features.person_outcomes where as_of = '{AS_OF}' and target = 'active_soon'"
    )
    assert dict(outcomes.rows()) == dict.fromkeys([ANN, BOB, EVE, SHOPPER], True)


def test_an_upgrade_is_a_higher_value_than_at_the_weeks_end(later_company):
    outcomes = later_company.after.read(
        "select target, person_id, outcome_known_at from features.person_outcomes "
        f"where as_of = '{AS_OF}' and target in ('account_up', 'tier_up') order by target"
    )
    assert [(target, person_id, known_at.date()) for target, person_id, known_at in outcomes.rows()] == [
        ("account_up", ANN, date(2026, 3, 3)),
        ("tier_up", ANN, date(2026, 3, 3)),
    ]

"""Launches: who could have tried them, who did and when, and that a week knows nothing later."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import polars as pl
import pytest
from dbt_company import ANN, AS_OF, BOB, EVE, NEXT_WEEK, SHOPPER
from polars.testing import assert_frame_equal

ADOPTIONS = "select * from intermediate.int_launch_adoptions where as_of = '{}' order by all"
INFLUENCE = "select * from intermediate.int_influence where as_of = '{}' order by all"


@pytest.fixture(scope="module")
def adoptions(company):
    return company.warehouse.read(ADOPTIONS.format(AS_OF))


LAUNCHED = {"export": (2, 5), "chair": (2, 10), "gold": (1, 5), "sector": (2, 1), "invite": (2, 20)}


def of(adoptions, launch):
    """Days until each person who could have tried a launch did; None where the person did not."""
    rows = adoptions.filter(pl.col(f"could_try_{launch}")).select("person_id", f"tried_{launch}_at")
    # The day begins an hour earlier in Berlin.
    begins = datetime(2026, *LAUNCHED[launch]) - timedelta(hours=1)
    return {person: at and round((at - begins) / timedelta(days=1), 3) for person, at in rows.iter_rows()}


def test_whoever_was_there_before_the_launch_could_have_tried_it(adoptions):
    # Bob exported on the twelfth at one o'clock in Berlin, seven days and thirteen hours after the launch.
    assert of(adoptions, "export") == {ANN: None, BOB: 7.542, EVE: None, SHOPPER: None}


def test_people_are_known_since_the_first_trace_of_them(adoptions):
    # Bob's and Eve's contacts were created in February, but their consent was given in December, before any launch; no
    # source says when the shopper's was created.
    assert set(of(adoptions, "gold")) == {ANN, BOB, EVE, SHOPPER}


def test_what_is_bought_counts_and_what_is_cancelled_does_not(company, adoptions):
    bought = company.warehouse.read(
        "select identity_id, first_at, times from intermediate.int_adoption_signals where signal = 'launch:chair'"
    )
    assert bought.rows() == [("c5", datetime(2026, 2, 15), 1)]
    assert of(adoptions, "chair")[SHOPPER] == 5.042


def test_a_property_counts_from_when_it_is_stated_and_at_once_where_it_was_so_before(adoptions):
    assert of(adoptions, "gold")[ANN] == 5.042  # stated at midnight in London, an hour after Berlin's
    assert of(adoptions, "sector")[ANN] == 0


def test_what_came_later_changes_no_adoption_and_no_influence_of_the_week(later_company, company):
    for query in (ADOPTIONS, INFLUENCE):
        earlier = company.warehouse.read(query.format(AS_OF))
        assert_frame_equal(later_company.after.read(query.format(AS_OF)), earlier)
        assert_frame_equal(later_company.from_nothing.read(query.format(AS_OF)), earlier)


def test_a_later_week_knows_the_late_delivery_and_who_became_one(later_company):
    adoptions = later_company.after.read(ADOPTIONS.format(NEXT_WEEK[0]))
    assert of(adoptions, "invite")[EVE] == 4.5  # the earlier use, which came to light only now
    # Bob's contact is one with Ann's from then on, and his first use is hers, though she did it herself later. Of her
    # contacts that are left the one with a date is younger than the launch; she is not.
    assert of(adoptions, "export") == {ANN: 7.542, EVE: None, SHOPPER: None}


def test_influence_is_counted_as_far_as_the_week_knows(later_company):
    read = later_company.after.read
    this_week = [(BOB, "creation", "creation:export report", 1.0)]
    assert read(INFLUENCE.format(AS_OF)).drop("as_of").rows() == this_week
    assert set(read(INFLUENCE.format(NEXT_WEEK[0])).drop("as_of").rows()) == {
        (ANN, "creation", "creation:export report", 2.0),
        (EVE, "reach", "reach:invited friend", 2.0),
    }


def test_classes_are_memberships_and_migrations_and_the_unclassified_are_neither(company):
    rows = company.warehouse.read(
        "select person_id, segment_id, segment_name, membership_strength, model_id from marts.segment_memberships "
        "where segment_type = 'adoption_class'"
    )
    assert rows.rows() == [(ANN, "laggard", "Laggard", 0.7, "m3")]
    moves = company.warehouse.read(
        "select from_segment_id, to_segment_id, people, people_share, moved_people, redrawn_people "
        "from marts.segment_migrations where segment_type = 'adoption_class'"
    )
    assert moves.rows() == [("innovator", "laggard", 1, 1.0, 1, 0)]
    profiles = company.warehouse.read(
        "select count(*) as n from marts.segment_profiles where segment_type = 'adoption_class'"
    )
    assert profiles["n"].item() > 0


def test_the_marts_say_the_same_as_the_model(company):
    classes = company.table("marts.adoption_classes")
    assert classes.filter(person_id=BOB)["abstained_reason"].to_list() == ["too little"]
    assert company.table("marts.adoption_validity")["as_of"].to_list() == [date.fromisoformat(AS_OF)]

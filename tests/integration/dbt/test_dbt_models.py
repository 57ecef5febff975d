"""The tables mean what they say: figures counted by hand over a small company."""

from __future__ import annotations

import polars as pl
import pytest
import yaml
from dbt_company import ANN, AS_OF, BOB, DELETED, EVE, SHOPPER

from orchestration.dbt_runs import DBT_PROJECT_FOLDER


def test_contacts_that_share_an_address_are_one_person_and_deleted_ones_leave(company):
    people = set(company.table("intermediate.int_people")["person_id"])
    assert people == {ANN, BOB, EVE, SHOPPER}
    assert DELETED not in people


def test_a_person_has_the_attributes_of_the_contact_that_was_valid_last(company):
    ann = company.of(ANN)
    assert (ann["contact_country"], ann["contact_tier"], ann["account_industry"]) == ("AT", "gold", "Software")
    assert ann["days_since_created"] == 89


def test_the_week_ends_at_midnight_in_the_time_zone_of_the_workspace(company):
    ann = company.of(ANN)
    assert (ann["events_28d"], ann["page_views_28d"], ann["product_uses_28d"]) == (3, 2, 1)
    assert ann["days_since_last_event"] == 0
    assert ann["evening_events_share_91d"] == pytest.approx(1 / 3)
    assert ann["weekend_events_share_91d"] == pytest.approx(1 / 3)


def test_two_contacts_of_a_person_on_one_day_make_one_active_day(company):
    ann = company.of(ANN)
    assert (ann["active_days_28d"], ann["active_days_91d"], ann["active_weeks_91d"]) == (2, 2, 2)
    assert (ann["sessions_28d"], ann["events_per_active_day_91d"]) == (3, 1.5)


def test_main_weekday_and_part_of_the_day_are_those_of_most_days_and_events(company):
    # Ann: Tuesday 10 February before noon, Sunday 1 March late. Bob: a Tuesday, a Thursday, a Saturday, all at midday.
    assert (company.of(ANN)["main_weekday"], company.of(ANN)["main_daypart"]) == ("Tuesday", "daytime")
    assert (company.of(BOB)["main_weekday"], company.of(BOB)["main_daypart"]) == ("Tuesday", "daytime")
    assert company.of(SHOPPER)["main_weekday"] is None


def test_what_happened_on_a_device_before_its_owner_identified_is_the_owners(company):
    bob = company.of(BOB)
    assert (bob["events_28d"], bob["events_91d"], bob["export_report_events_28d"]) == (2, 3, 1)
    assert (bob["searches_28d"], bob["active_weeks_91d"]) == (0, 2)
    assert bob["mobile_events_share_91d"] == pytest.approx(1 / 3)
    assert bob["events_trend"] == pytest.approx(2 * 91 / (3 * 28))


def test_a_delivery_within_the_grace_period_still_counts(company):
    assert company.of(EVE)["downloads_28d"] == 1


def test_cancelled_orders_are_counted_apart_and_bring_nothing(company):
    ann = company.of(ANN)
    assert (ann["orders_total"], ann["revenue_91d"], ann["cancelled_orders_365d"]) == (1, 50, 1)
    assert (ann["cancelled_orders_share_365d"], ann["days_since_last_order"]) == (0.5, 28)
    assert ann["days_between_orders"] is None


def test_orders_are_made_of_lines_where_only_lines_are_delivered(company):
    shopper = company.of(SHOPPER)
    assert (shopper["orders_91d"], shopper["average_order_amount_365d"]) == (1, 25)
    assert shopper["revenue_91d"] == 15, "the credit note takes its ten back"
    assert (shopper["items_365d"], shopper["products_365d"]) == (4, 2)


def test_openings_by_machines_do_not_count(company):
    ann = company.of(ANN)
    assert (ann["messages_received_91d"], ann["messages_opened_28d"], ann["messages_opened_share_91d"]) == (2, 1, 0.5)
    assert ann["messages_clicked_91d"] == 0
    assert ann["days_since_message_clicked"] is None


def test_a_click_in_a_message_is_counted_shared_and_remembered(company):
    bob = company.of(BOB)
    assert (bob["messages_received_91d"], bob["messages_clicked_28d"], bob["messages_clicked_91d"]) == (4, 1, 1)
    assert (bob["messages_clicked_share_91d"], bob["days_since_message_clicked"]) == (0.25, 23)


# What a marketer segments by, and the columns that tell it.
ATTRIBUTES = {
    "engagement": {"events_91d", "active_days_91d", "web_sessions_91d", "pages_per_session_91d"},
    "time of day": {"main_daypart", "night_events_share_91d", "morning_events_share_91d", "evening_events_share_91d"},
    "weekday": {"main_weekday", "weekend_events_share_91d"},
    "recency": {"days_since_last_event", "days_since_last_session", "days_since_last_order"},
    "frequency": {"sessions_91d", "active_weeks_91d", "orders_365d", "days_between_orders"},
    "referral source": {"first_touch_channel", "last_touch_channel", "referral_sessions_share_91d"},
    "device": {"session_device_type", "mobile_events_share_91d"},
    "browser": {"session_browser"},
    "keywords": {"last_search_keyword"},
    "e-mail click-through": {"messages_clicked_share_91d", "days_since_message_clicked"},
    "behaviour": {
        "searches_28d",
        "downloads_28d",
        "product_uses_91d",
        "form_submits_28d",
        "bounced_sessions_share_91d",
    },
    "location": {"session_country", "contact_country", "account_country"},
    "language": {"session_language", "contact_language"},
}


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_what_a_marketer_segments_by_is_a_feature_with_words_for_people(company, attribute):
    there = set(company.table("features.person_features").columns)
    assert ATTRIBUTES[attribute] <= there
    labelled = set(read_catalogue_labels())
    assert ATTRIBUTES[attribute] <= labelled


def read_catalogue_labels():
    """The features that the report and personas can name in plain words."""
    file = DBT_PROJECT_FOLDER / "models" / "features" / "person_features.yml"
    (model,) = yaml.safe_load(file.read_text())["models"]
    return [column["name"] for column in model["columns"] if column.get("config", {}).get("meta", {}).get("label")]


def test_a_request_solved_after_the_week_is_still_open_in_it(company):
    bob = company.of(BOB)
    assert (bob["tickets_91d"], bob["open_tickets"], bob["resolution_hours_365d"]) == (2, 1, 6)
    assert bob["ticket_satisfaction_365d"] is None


def test_surveys_are_averaged_over_the_answers_that_are_numbers(company):
    ann = company.of(ANN)
    assert (ann["survey_answers_365d"], ann["survey_score_365d"]) == (2, 8)


def test_the_deal_of_an_account_is_that_of_its_people(company):
    assert (company.of(ANN)["open_deals"], company.of(ANN)["open_deal_amount"]) == (1, 900)
    assert company.of(BOB)["open_deals"] == 0


def test_who_did_nothing_has_counts_of_zero_but_neither_recency_nor_shares(company):
    shopper = company.of(SHOPPER)
    assert (shopper["events_28d"], shopper["messages_opened_28d"], shopper["tickets_365d"]) == (0, 0, 0)
    assert shopper["days_since_last_event"] is None
    assert shopper["mobile_events_share_91d"] is None


def test_labels_tell_of_everybody_who_has_one(company):
    outcomes = company.warehouse.read(
        "select person_id, outcome from features.person_outcomes where target = 'churned' order by person_id"
    )
    assert dict(outcomes.iter_rows()) == {ANN: False, BOB: True}


def test_a_withdrawal_by_any_contact_of_a_person_is_the_persons(company):
    decisions = company.table("intermediate.int_contactability")
    by_person = {row["person_id"]: (row["is_allowed"], row["decision_reason"]) for row in decisions.to_dicts()}
    assert by_person == {
        ANN: (False, "withdrawn"),
        BOB: (True, "granted"),
        EVE: (False, "no_email"),
        SHOPPER: (False, "no_email"),
    }


def test_consent_to_mails_is_none_to_be_looked_up_by_an_ad_platform(company):
    decisions = company.table("intermediate.int_advertising_permissions")
    assert set(decisions["person_id"]) == {ANN, BOB, EVE, SHOPPER}
    assert not decisions["is_allowed"].any()
    assert set(decisions["channel"]) == {"ads"} and set(decisions["purpose"]) == {"advertising"}


def test_memberships_are_adoption_classes_personas_and_bands(company):
    rows = company.warehouse.read(
        "select segment_id, segment_name, membership_strength from marts.segment_memberships "
        f"where person_id = '{ANN}' order by segment_type"
    )
    assert rows.rows() == [
        ("laggard", "Laggard", 0.7),
        ("k1", "Readers", 0.9),
        ("order_soon:high", "order soon: high", 0.8),
    ]


def test_the_typical_week_has_hours_of_the_time_zone_of_the_workspace(company):
    # Ann at ten and eleven on a Tuesday, and late on Sunday; Bob at one on that Tuesday and on a Thursday, the first
    # time on a device that was known to be his only later. Eve on a Wednesday, delivered within the grace period.
    rhythms = company.table("marts.segment_rhythms").select("segment_id", "weekday", "hour", "active_hours", "people")
    assert rhythms.rows() == [
        ("k1", 2, 10, 1, 1),
        ("k1", 2, 11, 1, 1),
        ("k1", 2, 13, 1, 1),
        ("k1", 4, 13, 1, 1),
        ("k1", 7, 23, 1, 1),
        ("k2", 3, 13, 1, 1),
    ]


def test_key_figures_list_a_persona_without_people_too(company):
    rows = company.table("marts.segment_kpis").filter(segment_type="persona").to_dicts()
    assert [(row["segment_name"], row["people"], row["people_share"]) for row in rows] == [
        ("Readers", 2, 0.5),
        ("Buyers", 2, 0.5),
        ("Nobody", 0, 0.0),
    ]
    readers = rows[0]
    assert (readers["revenue_91d"], readers["reachable_people"], readers["target"]) == (50, 1, "order_soon")
    assert readers["revenue_share"] == pytest.approx(50 / 65)
    assert readers["mean_probability"] == pytest.approx(0.5)


def test_key_figures_tell_of_adoption_classes_and_not_of_the_unclassified(company):
    rows = company.table("marts.segment_kpis").filter(segment_type="adoption_class").sort("segment_id").to_dicts()
    classes = company.table("marts.adoption_classes").filter(pl.col("adoption_class") != "unclassified")
    known = dict(classes.group_by("adoption_class").len().iter_rows())
    assert {row["segment_id"]: row["people"] for row in rows} == known
    assert sum(row["people_share"] for row in rows) == pytest.approx(1)
    assert {row["segment_name"] for row in rows} == set(classes["adoption_class_name"])
    memberships = company.table("marts.segment_memberships").filter(segment_type="adoption_class")
    assert memberships.height == sum(known.values())


def test_migrations_tell_who_stayed_moved_joined_and_left(company):
    rows = company.table("marts.segment_migrations").filter(segment_type="persona").to_dicts()
    moves = {(row["from_segment_id"], row["to_segment_id"]): (row["people"], row["people_share"]) for row in rows}
    assert moves == {("k1", "k1"): (1, 0.2), ("k2", "k1"): (1, 0.2), (None, "k2"): (2, 0.4), ("k2", None): (1, 0.2)}


def test_profiles_compare_a_segment_with_everybody(company):
    profiles = company.table("marts.segment_profiles")
    row = profiles.filter(segment_id="k1", characteristic="events_28d").row(0, named=True)
    assert (row["label"], row["family"], row["people"]) == ("Activities in 4 weeks", "engagement", 2)
    assert (row["segment_value"], row["base_value"]) == (2.5, 1.5)  # Ann 3, Bob 2, Eve 1, the shopper 0
    assert row["index_value"] == pytest.approx(100 * 2.5 / 1.5)
    assert row["effect_size"] == pytest.approx(1 / 1.25**0.5)


def test_profiles_of_categories_are_shares_of_the_people_whose_level_is_known(company):
    profiles = company.table("marts.segment_profiles")
    row = profiles.filter(segment_id="k1", characteristic="contact_country=AT").row(0, named=True)
    assert (row["label"], row["unit"]) == ("Country: AT", "share")
    assert (row["segment_value"], row["base_value"]) == (1.0, 0.5)


def test_an_index_of_few_people_is_held_back_with_its_reason(company):
    rows = company.table("marts.persona_index")
    assert set(rows["abstained_reason"]) == {"fewer than 10 people"}
    assert rows["index_value"].is_null().all() and not rows["is_significant"].any()
    kinds = dict(rows.select("characteristic", "characteristic_type").iter_rows())
    assert kinds["contact_country=AT"] == "demographic"
    assert kinds["account_industry=Software"] == "firmographic"
    assert kinds["events_28d"] == "behavioural"
    inputs = dict(rows.filter(segment_type="persona").select("characteristic", "is_persona_input").iter_rows())
    assert (inputs["events_28d"], inputs["events_91d"]) == (True, False)


def test_an_index_and_a_profile_compare_the_same_characteristics_of_the_same_people(company):
    keys = ["segment_type", "segment_id", "characteristic"]
    personas = pl.col("segment_type").is_in(["persona", "defined_persona", "adoption_class"])
    profiles = company.table("marts.segment_profiles").filter(personas)
    index = company.table("marts.persona_index")
    assert profiles.select(keys).sort(keys).rows() == index.select(keys).sort(keys).rows()


def test_few_people_are_not_counted_out_in_market_sizes(company):
    rows = company.table("marts.market_sizes").filter(segment_type="persona")
    assert rows.height == 4
    told = {(row["segment_id"], row["audience"]): row["people"] for row in rows.to_dicts()}
    assert told[("k2", "contactable")] == 0
    assert told[("k1", "everyone")] is None and told[("k1", "contactable")] is None


def test_one_row_holds_all_that_is_told_of_a_person_and_why_the_rest_is_not(company):
    labels = company.table("marts.person_labels")
    assert labels["person_id"].to_list() == sorted([ANN, BOB, EVE, SHOPPER])
    ann = company.of(ANN, "marts.person_labels")
    assert (ann["persona_name"], ann["membership_strength"], ann["persona_model_id"]) == ("Readers", 0.9, "m1")
    assert ann["propensities"] == [
        {"target": "order_soon", "probability": 0.8, "band": "high", "abstained_reason": None, "model_id": "m2"}
    ]
    assert ann["defined_persona_abstained_reason"] == "is like no persona that was defined"
    assert ann["affinity_abstained_reason"] == "no phrases are listed"
    eve = company.of(EVE, "marts.person_labels")
    assert eve["propensities"][0]["abstained_reason"] == "too few positives"
    assert company.of(SHOPPER, "marts.person_labels")["propensities"] is None


def test_what_became_of_predictions_and_what_they_earn_is_published_for_scored_weeks(company):
    past = company.table("marts.propensity_backtest").row(0, named=True)
    assert (past["people"], past["positives"], past["predicted_mean"]) == (200, 20, 0.123457)
    gains = company.warehouse.read("select as_of::varchar as as_of, band, people, profit from marts.propensity_gains")
    assert gains.rows() == [(AS_OF, "high", 20, None)]


def test_propensities_keep_the_reason_where_a_model_abstains(company):
    eve = company.of(EVE, "marts.person_propensities")
    assert (eve["probability"], eve["band"], eve["abstained_reason"]) == (None, None, "too few positives")

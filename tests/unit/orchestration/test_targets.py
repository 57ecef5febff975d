"""What a target may say, what a template fills in, and the one message a wrong one gets before anything runs."""

from __future__ import annotations

from datetime import date

import duckdb
import polars as pl
import pytest
import yaml
from workspace_builder import WorkspaceBuilder

from orchestration.eligibility import not_eligible_reason
from orchestration.init import NO_TARGET, ORDER_TARGET
from orchestration.settings_file import SettingsError
from orchestration.target_data import check_target_values, horizons_without_history
from orchestration.target_settings import TEMPLATES, Target, misspelt_value
from orchestration.weeks import Week

CONTACTS_MAPPING = """
extract: {files: contacts*.csv}
entities:
  contacts:
    columns: {contact_id: id, created_at: created_at}
    attributes: {Tier: feature, Score: {role: feature, type: number}, Churn: label}
"""
EVENTS_MAPPING = """
extract: {files: events*.csv}
entities:
  events:
    columns: {contact_id: id, occurred_at: at, event_type: {value: product_use}, event_name: name}
"""


@pytest.fixture
def shop(workspace: WorkspaceBuilder) -> WorkspaceBuilder:
    """Orders, events and contacts with a tier, a score and a label."""
    workspace.orders().mapping("contacts", CONTACTS_MAPPING).mapping("events", EVENTS_MAPPING)
    return workspace.extract("contacts.csv", "id,created_at,Tier,Score,Churn\n").extract("events.csv", "id,at,name\n")


def target_of(**settings: object) -> Target:
    return Target.model_validate(settings)


def complaint(shop: WorkspaceBuilder, target: str) -> str:
    text = "company: X\nfirst_week: 2026-01-05\ndata: data\nfeatures: {events: [exported]}\ntargets:\n  t:\n"
    lines = yaml.safe_dump(yaml.safe_load(target), sort_keys=False, default_flow_style=None).splitlines()
    shop.settings_text(text + "".join(f"    {line}\n" for line in lines))
    with pytest.raises(SettingsError) as caught:
        shop.open()
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{shop.folder}/personae.yml:")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("{template: chrun}", "7: targets.t.template: 'chrun' is no template; did you mean 'churn'?"),
        ("{outcome: ordr}", "7: targets.t.outcome: 'ordr' is no outcome; did you mean 'order'?"),
        ("{template: feature_interest}", "6: targets.t: a target with `outcome: event` names the event"),
        ("{template: feature_interest, event: exprted}", "is not among features.events; did you mean 'exported'?"),
        ("{template: upsell}", "6: targets.t: a target with `outcome: upgrade` names its values from the lowest up"),
        (
            "{template: upsell, attribute: contact_teir, values_in_order: [a, b]}",
            "is no attribute of contacts or accounts with the role feature; did you mean 'contact_tier'?",
        ),
        ("{template: upsell, values_in_order: [a, A ]}", "needs at least two values, each once"),
        ("{outcome: order, event: exported}", "`event:` belongs to `outcome: event`, and this is `outcome: order`"),
        (
            "{outcome: label, label: Chrun, positive: x}",
            "with the role label in a contacts mapping; did you mean 'Churn'?",
        ),
        ("{outcome: order, eligible: never_orderd}", "'never_orderd' says nothing of who is eligible; did you mean"),
        ("{outcome: order, eligible: {inactive_for_days: 120}}", "activity is looked back on for at most 91 days"),
        (
            "{outcome: order, eligible: {active_within_days: 20, inactive_for_days: 60}}",
            "nobody was active in the last",
        ),
        ("{outcome: first_order, eligible: has_ordered}", "a first order is predicted of people who never ordered"),
        (
            "{outcome: order, eligible: {features: {orders_totl: {at_least: 1}}}}",
            "unknown feature 'orders_totl'; did you mean 'orders_total'?",
        ),
        (
            "{outcome: order, eligible: {features: {contact_tier: {at_least: 1}}}}",
            "'contact_tier' is no number; say `is:`",
        ),
        ("{outcome: order, eligible: {features: {orders_total: [1]}}}", "'orders_total' is a number; say `at_least:`"),
        (
            "{outcome: order, eligible: {features: {orders_total: {at_least: 2, at_most: 1}}}}",
            "the range ends (1) before",
        ),
        (
            "{outcome: order, monotonic: {orders_totl: increasing}}",
            "unknown feature 'orders_totl'; did you mean 'orders_total'?",
        ),
        ("{outcome: order, monotonic: {contact_tier: increasing}}", "'contact_tier' is a category, no number"),
        ("{outcome: order, monotonic: {orders_total: up}}", "Input should be 'increasing' or 'decreasing'"),
        ("{outcome: order, within_days: 0}", "targets.t.within_days: Input should be greater than or equal to 1"),
        ("{outcome: order, bands: {by: capcity}}", "'capcity' is no way to band people; did you mean 'capacity'?"),
        ("{outcome: order, bands: capacity}", "bands by capacity say for how many people: `people: 500`"),
        ("{outcome: order, bands: {cost: 2}}", "a contact pays from cost / value on: say both"),
        ("{outcome: order, bands: {cost: 5, value: 4}}", "a contact costs 5 and brings at most 4: it never pays"),
        ("{outcome: order, bands: {high: 0.1, medium: 0.2}}", "medium begins (0.2) above high (0.1)"),
        (
            "{outcome: order, bands: {by: expected_value, cost: 1, amount: avrage_order_amount_365d}}",
            "did you mean 'average_order_amount_365d'?",
        ),
        ("{outcome: order, bands: {peple: 3}}", "unknown key 'peple'; did you mean 'people'?"),
    ],
)
def test_a_wrong_target_is_one_message_with_its_line_and_the_nearest_name(
    shop: WorkspaceBuilder, target: str, message: str
) -> None:
    assert message in complaint(shop, target)


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_template_fills_in_the_rest_and_every_value_can_be_overridden(template: str) -> None:
    needed = {
        "upsell": {"values_in_order": ["free", "team"]},
        "feature_interest": {"event": "Report exported"},
    }.get(template, {})
    filled = target_of(template=template, **needed)
    assert (filled.outcome, filled.within_days) == (TEMPLATES[template]["outcome"], TEMPLATES[template]["within_days"])
    own = target_of(template=template, **needed, within_days=7, eligible="everybody", action="call them")
    assert (own.within_days, own.eligible, own.action) == (7, target_of(outcome="order").eligible, "call them")


def test_feature_interest_is_of_people_who_do_not_use_it_yet() -> None:
    target = target_of(template="feature_interest", event="Report exported")
    assert target.eligible.features["report_exported_events_28d"].at_most == 0


def test_targets_are_told_in_words() -> None:
    assert target_of(template="churn").in_words("c") == "no order for 90 days"
    assert target_of(template="conversion").in_words("c") == "a first order within 30 days"
    assert target_of(template="reactivation").in_words("c") == "active again within 30 days"
    assert (
        target_of(template="feature_interest", event="report_exported").in_words("c")
        == "report exported within 30 days"
    )
    upsell = target_of(template="upsell", attribute="account_plan", values_in_order=["a", "b"])
    assert upsell.in_words("u") == "account plan upgraded within 60 days"
    assert target_of(outcome="order", description="buys").in_words("o") == "buys"


def test_targets_of_older_workspaces_mean_what_they_meant(shop: WorkspaceBuilder) -> None:
    targets = {
        "soon": {"outcome": "order", "within_days": 14},
        "export": {"outcome": "event", "event": "exported"},
        "churn": {"outcome": "label", "label": "Churn", "positive": "Yes"},
    }
    workspace = shop.settings(features={"events": ["exported"]}, targets=targets).open()
    told = {one["name"]: one for one in workspace.dbt_vars()["targets"]}
    assert (told["soon"]["outcome"], told["soon"]["within_days"], told["soon"]["happens_by_default"]) == (
        "order",
        14,
        False,
    )
    assert (told["export"]["column"], told["churn"]["label_attribute"]) == ("exported", "churn")


def test_a_target_changes_no_feature(shop: WorkspaceBuilder) -> None:
    before = shop.settings().open().fingerprint()
    assert shop.settings(targets={"soon": {"outcome": "order"}}).open().fingerprint() == before


def test_every_target_that_init_proposes_is_valid() -> None:
    for text in (ORDER_TARGET, NO_TARGET):
        proposed = [
            line.removeprefix("#").split("} ")[0]
            for line in text.splitlines()
            if "outcome:" in line or "template:" in line
        ]
        targets = yaml.safe_load("\n".join(f"{line.strip().removesuffix('}')}}}" for line in proposed))
        assert {"churn", "conversion", "upsell", "interest", "reactivation", "cancelled"} < set(targets)
        for told in targets.values():
            target_of(**told)


FEATURES = {
    "orders_total": "number",
    "days_since_last_order": "number",
    "days_since_last_event": "number",
    "days_since_created": "number",
    "account_plan": "category",
}
PEOPLE = pl.DataFrame(
    {
        "person_id": ["buyer", "lapsed", "browser", "quiet", "new"],
        "orders_total": [3, 1, 0, 0, 0],
        "days_since_last_order": [10, 200, None, None, None],
        "days_since_last_event": [5, None, 3, None, None],
        "days_since_created": [400, 400, 90, 400, 20],
        "account_plan": ["Team", "Business", " free ", None, "gold"],
    }
)


def reasons(target: Target) -> dict[str, str | None]:
    people = PEOPLE  # noqa: F841 - DuckDB reads it by name
    expression = not_eligible_reason(target, FEATURES, {"account_plan": "Plan"})
    rows = duckdb.sql(f"select f.person_id, {expression} as reason from people as f").fetchall()
    return {person: reason and reason.removeprefix("not eligible: ") for person, reason in rows}


def eligible(**settings: object) -> set[str]:
    return {person for person, reason in reasons(target_of(outcome="order", **settings)).items() if reason is None}


def test_eligible_is_who_meets_every_condition_and_the_others_get_the_first_reason() -> None:
    assert eligible() == set(PEOPLE["person_id"])
    assert eligible(eligible="has_ordered") == {"buyer", "lapsed"}
    assert eligible(eligible="never_ordered") == {"browser", "quiet", "new"}
    assert eligible(eligible={"ordered_within_days": 90}) == {"buyer"}
    assert eligible(eligible={"active_within_days": 30}) == {"buyer", "browser"}
    assert eligible(eligible={"inactive_for_days": 60}) == {"lapsed", "quiet"}
    assert eligible(eligible={"features": {"account_plan": ["free", "TEAM"]}}) == {"buyer", "browser"}
    assert eligible(eligible={"features": {"orders_total": {"at_least": 1, "at_most": 2}}}) == {"lapsed"}
    told = reasons(target_of(outcome="order", eligible={"has_ordered": True, "active_within_days": 30}))
    assert told == {
        "buyer": None,
        "lapsed": "not active in the last 30 days",
        "browser": "has never ordered",
        "quiet": "has never ordered",
        "new": "has never ordered",
    }


def test_a_first_order_and_an_upgrade_bring_their_own_conditions() -> None:
    assert reasons(target_of(outcome="first_order"))["buyer"] == "has ordered before"
    upsell = target_of(template="upsell", values_in_order=["Free", "team", "business"])
    told = reasons(upsell)
    assert told["buyer"] is None and told["browser"] is None
    assert told["lapsed"] == told["new"] == told["quiet"] == "Plan is none of Free, team"


def test_a_value_is_misspelt_where_a_near_one_or_none_of_the_stated_occurs() -> None:
    assert misspelt_value(["free", "buisness"], ["Free", "Business"])[0] == "buisness"
    assert misspelt_value(["free", "platinum"], ["Free", "Business"]) is None  # nobody has it yet
    assert misspelt_value(["ja"], ["Yes", "No"])[1] == "no row has the value 'ja'; valid names: No, Yes"
    assert misspelt_value(["Yes"], []) is None


def test_values_and_horizons_are_held_against_what_was_delivered(shop: WorkspaceBuilder) -> None:
    targets = {
        "churn": {"outcome": "label", "label": "Churn", "positive": "yess"},
        "late": {"outcome": "order", "within_days": 90},
        "soon": {"outcome": "order", "within_days": 14},
    }
    workspace = shop.settings(targets=targets).open()
    with duckdb.connect() as connection:
        connection.execute(
            "create schema raw; create table raw.contacts (attr_churn varchar); "
            "create table raw.ingested_files (entity varchar, earliest_row_at timestamp); "
            "insert into raw.contacts values ('Yes'), ('No'); "
            "insert into raw.ingested_files values ('orders', '2026-01-05')"
        )
        with pytest.raises(SettingsError, match="no row has the value 'yess'; did you mean 'Yes'"):
            check_target_values(connection, workspace)
        told = horizons_without_history(connection, workspace, [Week(date(2026, 2, 2)), Week(date(2026, 2, 9))])
    assert len(told) == 1 and told[0].startswith("personae.yml:")
    assert "'late' looks 90 days ahead, and the history from 2026-01-05 on allows at most 28 days" in told[0]

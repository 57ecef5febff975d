"""What a workspace may say of launches and classes, and what it is told where it says something else."""

import pytest
from workspace_builder import WorkspaceBuilder

from orchestration.settings_file import SettingsError

EVENTS = {
    "extract": {"files": "events*.csv"},
    "entities": {"events": {"columns": {"occurred_at": "at", "contact_id": "who", "event_type": {"value": "other"}}}},
}
CONTACTS = {
    "extract": {"files": "contacts*.csv"},
    "entities": {
        "contacts": {
            "columns": {"contact_id": "id"},
            "attributes": {"Tier": "feature", "Followers": {"role": "feature", "type": "number"}},
        }
    },
}
HEAD = "company: Garden Tools\nfirst_week: 2026-01-05\ndata: data\n"


@pytest.fixture
def shop(tmp_path):
    return WorkspaceBuilder(tmp_path).orders().mapping("events", EVENTS).mapping("contacts", CONTACTS)


def complaint(shop, text):
    shop.settings_text(HEAD + text)
    with pytest.raises(SettingsError) as raised:
        shop.open()
    return str(raised.value)


def test_launches_are_events_products_and_properties(shop):
    shop.mapping(
        "lines",
        {
            "extract": {"files": "lines*.csv"},
            "entities": {"order_lines": {"columns": {"order_id": "o", "ordered_at": "at", "contact_id": "who"}}},
        },
    )
    shop.settings_text(
        HEAD
        + """launches:
  - {id: assistant, name: Assistant, date: 2026-02-02, event: assistant asked}
  - {id: rake, name: New rake, date: 2026-03-02, product: [4711, R2]}
  - {id: gold, name: Gold, date: 2026-04-06, property: contact_tier, is: Gold}
adoption:
  influencer: {reach: [{attribute: Followers}], creation: [{event: reviewed}]}
"""
    )
    told = shop.open().dbt_vars()["adoption"]
    assert [
        (launch["event"], launch["products"], launch["column"], launch["values"]) for launch in told["launches"]
    ] == [
        ("assistant asked", [], None, []),
        (None, ["4711", "R2"], None, []),
        (None, [], "attr_tier", ["Gold"]),
    ]
    assert told["reach"] == [{"event": None, "column": "attr_followers"}]


def test_without_launches_dbt_reads_nothing(shop):
    workspace = shop.open()
    assert workspace.dbt_vars()["adoption"] == {"launches": [], "reach": [], "creation": [], "observed_days": 91}
    assert [one.share for one in workspace.settings.adoption.classes] == [2.5, 13.5, 34, 34, 16]


def test_launches_are_no_reason_to_compute_features_again(shop):
    before = shop.open().fingerprint()
    shop.settings_text(HEAD + "launches: [{id: a, name: A, date: 2026-02-02, event: asked}]\n")
    assert shop.open().fingerprint() == before


LAUNCH = "launches:\n  - {{id: gold, name: Gold, date: 2026-02-02, {}}}\n"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (LAUNCH.format("evnt: asked"), 5, "unknown key 'evnt'; did you mean 'event'"),
        (LAUNCH.format("event: asked, product: x"), 5, "exactly one of `event:`, `product:` and `property:`"),
        (LAUNCH.format("property: contact_tier"), 5, "`property:` and `is:` belong together"),
        (
            LAUNCH.format("property: contact_teir, is: x"),
            5,
            "'contact_teir' is no column or attribute with the role feature",
        ),
        (LAUNCH.format("property: contact_teir, is: x"), 5, "did you mean 'contact_tier'"),
        (LAUNCH.format("product: x"), 5, "no mapping delivers order_lines"),
        (LAUNCH.format("event: pregnancy_tracked"), 5, "looks like health data"),
        (LAUNCH.format("event: a") + LAUNCH.format("event: b").split("\n")[1], 6, "the launch 'gold' stands twice"),
        ("adoption: {affinity_groups: [brnad]}", 4, "'brnad' is no group of phrases; did you mean 'brand'"),
        (
            "adoption:\n  classes:\n    - {id: a, name: A, share: 50}\n    - {id: b, name: B, share: 40}",
            5,
            "not to 100",
        ),
        (
            "adoption:\n  classes:\n    - {id: a, name: A, share: 50}\n    - {id: a, name: B, share: 50}",
            5,
            "stands twice",
        ),
        (
            "adoption:\n  classes:\n    - {id: a, name: A, share: 50}\n    - {id: influencer, name: B, share: 50}",
            5,
            "'influencer' is no part of the curve",
        ),
        (
            "adoption:\n  classes:\n    - {id: a, name: Early smokers, share: 50}\n    - {id: b, name: B, share: 50}",
            6,
            "'Early smokers' tells of health data, or stands for it",
        ),
        ("adoption:\n  influencer: {name: Imam}", 5, "the name of a class must not"),
        ("adoption:\n  unclassified_name: Widows", 5, "'Widows' tells of"),
        ("adoption: {influencer: {reach: [{event: shared}]}}", 4, "needs both `reach:` and `creation:`"),
        (
            "adoption: {influencer: {reach: [{attribute: folowers}], creation: [{event: e}]}}",
            4,
            "did you mean 'followers'",
        ),
    ],
)
def test_what_does_not_fit_is_told_with_its_line_and_the_nearest_name(shop, text, line, words):
    told = complaint(shop, text + "\n")
    assert words in told and f"personae.yml:{line}" in told


def test_a_name_that_looks_sensitive_is_taken_once_somebody_decided(shop):
    shop.settings_text(
        HEAD + LAUNCH.format("event: pregnancy_tracked") + "adoption: {not_sensitive: [pregnancy_tracked]}\n"
    )
    assert shop.open().settings.launches[0].event == "pregnancy_tracked"

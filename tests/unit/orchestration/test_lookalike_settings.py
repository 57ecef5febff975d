"""`lookalikes:` in personae.yml: what may be said, and what a wrong name is answered with."""

import pytest
from workspace_builder import WorkspaceBuilder

from activation.hashed_audiences import PLATFORMS
from activation.selection import Names
from orchestration.lookalike_settings import Characteristic, LookalikeSettings, characteristic
from orchestration.settings_file import SettingsError

MINIMAL = """
company: Garden Tools
first_week: 2026-01-05
data: data
targets:
  order_soon: {outcome: order, within_days: 14}
lookalikes:
"""
NAMES = Names(
    features={"orders_91d": "number", "API": "number", "contact_country": "category"},
    special_categories=["contact_diet"],
    targets=["churn"],
    phrases=["API", "new job"],
)


def opened(tmp_path, lookalikes):
    return WorkspaceBuilder(tmp_path).orders().settings_text(MINIMAL + lookalikes).open()


def test_a_lookalike_is_a_seed_and_little_else(tmp_path):
    found = opened(tmp_path, "  owls: {seed: {persona: Night owls}}\n").settings.lookalikes["owls"]
    assert (found.size, found.way, found.grow) == (1000, "classifiers", {})
    assert found.platforms == tuple(PLATFORMS)


def test_growing_takes_names_a_list_or_high_and_low():
    def grown(grow):
        return LookalikeSettings.model_validate({"seed": {"persona": "x"}, "grow": grow}).grow

    assert grown("API, orders_91d:low") == {"API": "high", "orders_91d": "low"}
    assert grown(["affinity:API", {"orders_91d": "low"}]) == {"affinity:API": "high", "orders_91d": "low"}
    assert grown({"API": "high"}) == {"API": "high"}


@pytest.mark.parametrize(
    ("lookalikes", "message"),
    [
        ("  owls: {seed: {persona: x}, sise: 5}\n", "personae.yml:8: unknown key 'sise'; did you mean 'size'?"),
        ("  owls: {sed: {persona: x}}\n", "unknown key 'sed'; did you mean 'seed'?"),
        (
            "  owls:\n    seed:\n      features: {order_91d: {at_least: 2}}\n",
            "personae.yml:10: 'order_91d' is no feature; did you mean 'orders_91d'?",
        ),
        (
            "  owls:\n    seed:\n      all:\n        - persona: x\n        - propensity: {order_son: high}\n",
            "personae.yml:12: 'order_son' is no target; did you mean 'order_soon'?",
        ),
        ("  owls: {seed: {persna: x}}\n", "unknown key 'persna'; did you mean 'persona'?"),
        ("  owls: {seed: {defined_persona: champs}}\n", "'champs' is no defined persona; no name is valid here"),
        ("  owls: {seed: {persona: x}, grow: [orders_19d]}\n", "'orders_19d' is no characteristic; did you mean"),
        ("  owls: {seed: {persona: x}, exclude: [orders_19d]}\n", "'orders_19d' is no feature; did you mean"),
        ("  owls: {seed: {persona: x}, grow: [orders_91d], method: distance}\n", "leave out `method:`"),
        ("  Owls!: {seed: {persona: x}}\n", "must be lower case letters"),
        ("  owls: {seed: {}}\n", "say who is meant"),
        (
            "  owls: {seed: {persona: x}}\n  more:\n    seed: {not: {lookalike: owls}}\n",
            "a list of look-alikes is no seed of another",
        ),
        ("  owls: {seed: {persona: x}, platforms: [gogle]}\n", "'google', 'meta', 'linkedin' or 'tiktok'"),
    ],
)
def test_what_is_wrong_is_told_with_file_line_and_the_nearest_name(tmp_path, lookalikes, message):
    with pytest.raises(SettingsError) as caught:
        opened(tmp_path, lookalikes)
    assert message in str(caught.value)


def test_a_characteristic_is_a_feature_a_target_or_a_phrase():
    assert characteristic("orders_91d", NAMES) == Characteristic("orders_91d", "feature")
    assert characteristic("churn", NAMES) == Characteristic("churn", "propensity")
    assert characteristic("new job", NAMES) == Characteristic("new job", "affinity")
    assert characteristic("brand", NAMES) == Characteristic("brand", "affinity")
    assert characteristic("affinity:API", NAMES) == Characteristic("API", "affinity")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("API", "'API' is more than one thing; say 'feature:API' or 'affinity:API'"),
        ("contact_country", "is a category"),
        ("contact_diet", "special category (GDPR art. 9)"),
        ("feature:churn", "'churn' is no characteristic"),
    ],
)
def test_what_nobody_is_high_or_low_in_is_told(name, message):
    assert message in characteristic(name, NAMES).message

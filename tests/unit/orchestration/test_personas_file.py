from datetime import date

import pytest
from workspace_builder import WorkspaceBuilder

from orchestration.rollbacks import Rollback, add_rollback, read_rollbacks
from orchestration.settings_file import SettingsError
from orchestration.weeks import Week


@pytest.fixture
def shop(tmp_path):
    return WorkspaceBuilder(tmp_path).orders()


def write(shop, text):
    (shop.folder / "personas.yml").write_text(text, encoding="utf-8")
    return shop


def complaint(shop):
    with pytest.raises(SettingsError) as raised:
        shop.open()
    return str(raised.value).removeprefix(f"{shop.folder}/")


def test_without_the_file_nothing_is_defined(shop):
    file = shop.open().personas_file
    assert (file.rename, file.definitions()) == ({}, [])


def test_ranges_levels_and_examples_become_definitions(shop):
    write(
        shop,
        "personas:\n  thrifty:\n    name: Thrifty regulars\n    examples: [17, c2]\n    features:\n"
        "      revenue_91d: {at_most: 200}\n      orders_91d: {level: high, weight: 2}\n"
        "      days_since_last_order: {between: [0, 30]}\n",
    )
    (one,) = shop.open().personas_file.definitions({"17": 5, "c2": 5, "c3": 6})
    assert one.persona_id == "defined-thrifty"
    assert one.examples == (5,)  # two contacts of one person, who is an example once
    assert [(rule.feature, rule.low, rule.high, rule.level, rule.weight) for rule in one.rules] == [
        ("revenue_91d", None, 200.0, None, 1.0),
        ("orders_91d", None, None, "high", 2.0),
        ("days_since_last_order", 0.0, 30.0, None, 1.0),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "personas:\n  a:\n    name: A\n    features:\n      revenu_91d: high\n",
            "personas.yml:5: unknown feature 'revenu_91d'; did you mean 'revenue_91d'?",
        ),
        (
            "personas:\n  a:\n    name: A\n    features:\n      events_28d: high\n",
            "personas.yml:5: unknown feature 'events_28d'",  # no events are delivered
        ),
        (
            "personas:\n  a:\n    name: A\n    features:\n      revenue_91d: {is: high}\n",
            "personas.yml:5: 'revenue_91d' is a number; say `between:`",
        ),
        (
            "personas:\n  a:\n    name: A\n    features:\n      has_email: high\n",
            "personas.yml:5: 'has_email' is no number; say `is:`",
        ),
        (
            "personas:\n  a:\n    name: A\n    features:\n      revenue_91d: {between: [9, 1]}\n",
            "personas.yml:5: personas.a.features.revenue_91d: the range ends (1) before it begins (9)",
        ),
        ("personas:\n  a:\n    name: A\n", "personas.yml:2: personas.a: say who they are"),
        (
            "personas:\n  a:\n    name: A\n    exampels: [x]\n",
            "personas.yml:4: unknown key 'exampels'; did you mean 'examples'?",
        ),
        ("rename:\n  persona-1x: Owls\n", "'persona-1x' is no persona found in the data"),
        ("rename:\n  persona-01: Owls\n  persona-02: owls\n", "'Owls' stands for two personas"),
        (
            "personas:\n  a: {name: Same, examples: [x]}\n  b: {name: same, examples: [y]}\n",
            "personas.yml:3: 'same' is the name of 'a' already",
        ),
    ],
)
def test_a_wrong_word_is_answered_with_line_and_what_is_valid(shop, text, message):
    assert message in complaint(write(shop, text))


def test_names_do_not_decide_who_is_in_a_persona(shop):
    text = "personas:\n  a:\n    name: {}\n    features: {{revenue_91d: {{at_most: {}}}}}\n"
    first = write(shop, text.format("One", 5)).open().personas_file.fingerprint()
    assert write(shop, text.format("Two", 5)).open().personas_file.fingerprint() == first
    assert write(shop, text.format("One", 6)).open().personas_file.fingerprint() != first


def test_settings_and_definitions_change_the_settings_hash(shop):
    before = shop.open().settings_hash()
    assert shop.open().settings_hash() == before
    assert write(shop, "rename: {persona-01: Owls}\n").open().settings_hash() != before


def test_a_rollback_is_written_once_and_counts_from_its_week_on(shop):
    model, later = date(2026, 3, 2), date(2026, 3, 16)
    add_rollback(shop.folder, Rollback(fitted=model, from_week=later, reason="names made no sense"))
    add_rollback(shop.folder, Rollback(fitted=model, from_week=later, reason="names made no sense"))
    (rollback,) = shop.open().rollbacks
    fitted_as_of = Week(model).as_of
    assert not rollback.excludes(fitted_as_of, Week(later).back(1))
    assert rollback.excludes(fitted_as_of, Week(later))
    assert rollback.excludes(fitted_as_of, Week(date(2026, 6, 1)))
    assert not rollback.excludes(Week(model).back(1).as_of, Week(later))
    assert "names made no sense" in (shop.folder / "rollbacks.yml").read_text(encoding="utf-8")


def test_a_wrong_rollback_file_is_answered_with_its_line(shop):
    (shop.folder / "rollbacks.yml").write_text("rollbacks:\n  - fittet: 2026-03-02\n    from: 2026-03-16\n")
    with pytest.raises(SettingsError, match=r"rollbacks\.yml:2: unknown key 'fittet'; did you mean 'fitted'"):
        read_rollbacks(shop.folder)

"""What a group of people is called tells of no special category: found, given or defined, in several languages."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
import yaml
from workspace_builder import WorkspaceBuilder

from ml.catalogue import CATALOGUE_COLUMNS
from ml.naming import describe_personas, name_personas
from orchestration.personas_file import FEATURE_DESCRIPTIONS
from orchestration.settings_file import SettingsError
from orchestration.special_categories import CATEGORIES, is_refused_as_a_name, looks_like, words_tell_of

REFUSED = {
    "health": [
        "Insulin buyers", "Wheelchair users", "Expecting parents", "Smokers", "Rollstuhlfahrer", "Werdende Mütter",
        "Allergiker", "Hörgeräte-Kunden", "Futures mamans", "Sourds", "Fumadores", "Farmacia habitual", "Fumatori",
        "Diabetici", "Rolstoelgebruikers", "Medicijnkopers", "PregnantShoppers", "Grieving families",
    ],
    "religion": [
        "Ramadan shoppers", "Churchgoers", "Devout people", "Kirchgänger", "Pilger", "Kopftuchträgerinnen", "Croyants",
        "Pèlerins", "Creyentes", "Credenti", "Gelovigen", "Halal buyers", "Juifs pratiquants",
    ],
    "politics": [
        "Left-wing readers", "Brexit fans", "AfD-Wähler", "Wechselwähler", "Militants", "Votantes", "Elettori",
        "Kiezers",
    ],
    "ethnicity": [
        "Immigrants", "Asians", "Einwanderer", "Ausländer", "Réfugiés", "Inmigrantes", "Immigrati", "Vluchtelingen",
    ],
    "sexual_life": ["Pride parade guests", "Queer buyers", "Schwule Männer", "Lesbiche", "Condom buyers"],
    "union_membership": ["Unionists", "Betriebsräte", "IG-Metall-Mitglieder", "Syndiqués", "Sindacalisti"],
    "genetics": ["BRCA carriers", "Erbkranke"],
    "biometrics": ["Face recognition users"],
}  # fmt: skip
HARMLESS = [
    "Night owls", "Black Friday shoppers", "Evening mobile price watchers", "Report exporters", "Rome travellers",
    "Green-fingered gardeners", "Schnäppchenjäger", "Rezeptsammler", "Blind bidders", "Champions", "Thrifty regulars",
    "Wählerische Käufer", "Early adopters", "Messebesucher", "Christmas shoppers", "Curious newcomers",
]  # fmt: skip


@pytest.mark.parametrize(
    ("category", "name"), [(category, name) for category, names in REFUSED.items() for name in names]
)
def test_words_that_reveal_or_stand_for_a_special_category_name_nobody(category: str, name: str) -> None:
    assert words_tell_of(name) == category


@pytest.mark.parametrize("name", HARMLESS)
def test_other_words_may(name: str) -> None:
    assert words_tell_of(name) is None


def test_every_category_is_screened_and_a_name_is_screened_at_least_as_strictly_as_a_column() -> None:
    assert set(REFUSED) == set(CATEGORIES)
    for name in ("Diagnosis", "Konfession", "opinion politique", "ethnic_origin", "trade union"):
        assert looks_like(name) == words_tell_of(name) is not None


def test_no_word_that_personas_are_named_with_by_default_is_refused() -> None:
    columns = yaml.safe_load(FEATURE_DESCRIPTIONS.read_text(encoding="utf-8"))["models"][0]["columns"]
    told = [column.get("config", {}).get("meta", {}) for column in columns]
    words = [meta[key] for meta in told for key in ("label", "high_words", "low_words") if meta.get(key)]
    assert len(words) > 100
    assert [one for one in words if is_refused_as_a_name(one)] == []


def complaint(workspace: WorkspaceBuilder) -> str:
    with pytest.raises(SettingsError) as caught:
        workspace.open()
    return str(caught.value).removeprefix(f"{workspace.folder}/")


def personas(workspace: WorkspaceBuilder, **content: Any) -> WorkspaceBuilder:
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    (workspace.orders().folder / "personas.yml").write_text(text, encoding="utf-8")
    return workspace


def defined(**more: Any) -> dict[str, Any]:
    return {"name": "Regulars", "features": {"orders_365d": {"at_least": 2}}, **more}


def test_a_given_name_is_refused_with_file_line_rule_and_article(workspace: WorkspaceBuilder) -> None:
    found = complaint(personas(workspace, rename={"persona-01": "Night owls", "persona-03": "Kirchgänger"}))
    assert found == (
        "personas.yml:3: 'Kirchgänger' tells of religious or philosophical beliefs, or stands for it (rule "
        "special_category_names_nobody, GDPR art. 9): a persona's name must not; choose other words"
    )


@pytest.mark.parametrize(
    ("persona", "line", "what"),
    [
        (defined(name="Insulin buyers"), 3, "a persona's name"),
        (defined(description="They are pregnant."), 7, "a persona's description"),
    ],
)
def test_a_defined_persona_is_not_called_or_described_so(
    workspace: WorkspaceBuilder, persona: dict[str, Any], line: int, what: str
) -> None:
    found = complaint(personas(workspace, personas={"regulars": persona}))
    assert found.startswith(f"personas.yml:{line}: ")
    assert f"{what} must not" in found


def test_a_persona_is_not_defined_by_a_value_that_tells_of_a_category_of_its_people(
    workspace: WorkspaceBuilder,
) -> None:
    mapped = {"columns": {"contact_id": "id"}, "attributes": {"interest": "feature"}}
    workspace.mapping("contacts", {"extract": {"files": "c.csv"}, "entities": {"contacts": mapped}})
    of_interest = defined(features={"contact_interest": {"is": ["gardening", "Ramadan"]}})
    found = complaint(personas(workspace, personas={"regulars": of_interest}))
    assert "'Ramadan' tells of religious or philosophical beliefs" in found
    assert "what defines a persona must not" in found
    personas(workspace, personas={"regulars": defined(features={"contact_interest": {"is": "gardening"}})}).open()


def test_words_for_people_who_do_something_often_are_screened(workspace: WorkspaceBuilder) -> None:
    workspace.orders().settings(features={"events": {"calendar_opened": "devout people"}})
    found = complaint(workspace)
    assert found.startswith("personae.yml:") and "a name that people get must not" in found
    workspace.settings(features={"events": {"calendar_opened": "planners"}}).open()
    mapped = {"columns": {"contact_id": "id"}, "attributes": {"Field7": {"role": "feature", "high_words": "smokers"}}}
    contacts = {"extract": {"files": "c.csv"}, "entities": {"contacts": mapped}}
    assert "'smokers' tells of health data" in complaint(workspace.mapping("contacts", contacts))


def test_a_label_that_looks_like_a_category_asks_for_a_decision_as_a_name_does(workspace: WorkspaceBuilder) -> None:
    mapped = {"columns": {"contact_id": "id"}, "attributes": {"Field7": {"role": "feature", "label": "Konfession"}}}
    contacts = {"extract": {"files": "c.csv"}, "entities": {"contacts": mapped}}
    assert "'Konfession' looks like religious" in complaint(workspace.orders().mapping("contacts", contacts))


def profile(feature: str, label: str, effect: float) -> dict[str, Any]:
    return {
        "persona_id": "persona-01", "feature": feature, "level": None, "family": "product", "kind": "number",
        "label": label,
        "people": 100, "people_share": 0.5, "known_share": 1.0, "persona_value": 2.0, "base_value": 1.0,
        "effect_size": effect, "index_value": 200.0,
    }  # fmt: skip


def test_a_found_persona_is_not_named_or_described_by_what_tells_of_a_category() -> None:
    profiles = pl.DataFrame([profile("a", "Insulin pumps viewed", 2.0), profile("b", "Reports exported", 1.0)])
    words = {"a": ("Insulin pumps viewed", "pump shoppers"), "b": ("Reports exported", "report exporters")}
    catalogue = pl.DataFrame(
        [
            {"feature": name, "family": "product", "label": label, "high_words": high, "low_words": None,
             "kind": "number", "is_persona_input": True, "is_propensity_input": True}
            for name, (label, high) in words.items()
        ],
        schema=CATALOGUE_COLUMNS,
    )  # fmt: skip
    assert "ump shoppers" in name_personas(profiles, catalogue)["persona-01"]
    assert name_personas(profiles, catalogue, is_refused=is_refused_as_a_name) == {"persona-01": "Report exporters"}
    kept = {"persona-01": "Insulin buyers"}
    assert name_personas(profiles, catalogue, kept, is_refused_as_a_name) == {"persona-01": "Report exporters"}
    described = describe_personas(profiles, is_refused_as_a_name)["persona-01"]
    assert "nsulin" not in described
    assert "reports exported" in described.lower()

"""Special categories of personal data (GDPR art. 9) are refused as features and targets: rule, article, line."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from workspace_builder import WorkspaceBuilder

from ml.catalogue import CATALOGUE_COLUMNS
from orchestration.feature_catalogue import tellable
from orchestration.settings_file import SettingsError
from orchestration.special_categories import CATEGORIES, SCREEN, looks_like

CONDITION = {"condition": "explicit_consent", "statement": "asked in the form of May 2026"}


def contacts(**attributes: Any) -> dict[str, Any]:
    mapped = {"columns": {"contact_id": "id"}, "attributes": attributes}
    return {"extract": {"files": "contacts.csv"}, "entities": {"contacts": mapped}}


def complaint(workspace: WorkspaceBuilder) -> str:
    with pytest.raises(SettingsError) as caught:
        workspace.open()
    return str(caught.value).removeprefix(f"{workspace.folder}/")


@pytest.mark.parametrize("category", CATEGORIES)
def test_each_category_is_refused_as_a_feature_and_as_a_label(workspace: WorkspaceBuilder, category: str) -> None:
    workspace.mapping("contacts", contacts(Field7={"role": "feature", "sensitive": category}))
    found = complaint(workspace)
    assert found.startswith("mappings/contacts.yml:8: 'Field7' is ")
    assert "rule special_category_needs_a_condition, GDPR art. 9(1)" in found
    workspace.mapping("contacts", contacts(Field7={"role": "label", "sensitive": category, "legal_basis": CONDITION}))
    assert "it is not predicted (rule special_category_is_no_target, GDPR art. 9(1))" in complaint(workspace)


def test_a_condition_of_article_9_lets_a_column_be_a_feature(workspace: WorkspaceBuilder) -> None:
    workspace.mapping("contacts", contacts(Diet={"role": "feature", "sensitive": "health", "legal_basis": CONDITION}))
    diet = workspace.open().attributes("contacts")[0]
    assert diet.as_var() == {"name": "diet", "role": "feature", "label": "diet", "is_sensitive": True}


@pytest.mark.parametrize(
    ("attribute", "message"),
    [
        ({"role": "feature", "sensitive": "helth"}, "'helth' is no special category; did you mean 'health'?"),
        ({"role": "feature", "sensitive": True}, "say which: health, religion, "),
        (
            {
                "role": "feature",
                "sensitive": "health",
                "legal_basis": {"condition": "legitimate_interest", "statement": "x"},
            },
            "legal_basis.condition: Input should be 'explicit_consent'",
        ),
        (
            {
                "role": "feature",
                "sensitive": "health",
                "legal_basis": {"condition": "explicit_consent", "statement": "x"},
            },
            "legal_basis.statement: String should have at least 10 characters",
        ),
    ],
)
def test_what_is_no_category_and_no_condition_is_named(
    workspace: WorkspaceBuilder, attribute: dict[str, Any], message: str
) -> None:
    workspace.mapping("contacts", contacts(Diet=attribute))
    assert message in complaint(workspace)


@pytest.mark.parametrize("role", ["feature", "label"])
@pytest.mark.parametrize(
    "name", ["Diagnosis", "Konfession", "isPregnant", "opinion politique", "ethnic_origin", "trade union"]
)
def test_a_name_that_looks_like_a_special_category_asks_for_a_decision(
    workspace: WorkspaceBuilder, name: str, role: str
) -> None:
    workspace.mapping("contacts", contacts(**{name: role}))
    found = complaint(workspace)
    assert found.startswith("mappings/contacts.yml:8: ")
    assert "rule special_category_needs_a_decision, GDPR art. 9" in found
    workspace.mapping("contacts", contacts(**{name: {"role": role, "sensitive": False}})).open()
    workspace.mapping("contacts", contacts(**{name: "sensitive"})).open()
    workspace.mapping("contacts", contacts(**{name: "ignore"})).open()


def test_a_column_that_describes_people_is_screened_too(workspace: WorkspaceBuilder) -> None:
    smuggled = contacts()
    smuggled["entities"]["contacts"]["columns"]["job_title"] = "Religion"
    found = complaint(workspace.mapping("contacts", smuggled))
    assert "'Religion' looks like religious or philosophical beliefs" in found
    smuggled["entities"]["contacts"]["columns"]["job_title"] = {"column": "Religion", "sensitive": False}
    workspace.mapping("contacts", smuggled).open()


def test_an_event_that_looks_like_a_special_category_asks_for_a_decision(workspace: WorkspaceBuilder) -> None:
    workspace.orders().settings(features={"events": {"prayer_times_viewed": "devout people"}})
    found = complaint(workspace)
    assert "'prayer_times_viewed' looks like religious or philosophical beliefs" in found
    assert "rule special_category_needs_a_decision, GDPR art. 9" in found
    stated = {"events": {"prayer_times_viewed": None}, "not_sensitive": ["prayer_times_viewed"]}
    workspace.settings(features=stated).open()
    workspace.settings(features=stated | {"not_sensitive": ["prayer_time_viewed"]})
    assert "did you mean 'prayer_times_viewed'?" in complaint(workspace)


def test_mappings_agree_on_what_is_sensitive(workspace: WorkspaceBuilder) -> None:
    workspace.mapping("a", contacts(Diet={"role": "feature", "sensitive": "health", "legal_basis": CONDITION}))
    workspace.mapping("b", contacts(Diet="feature"))
    assert complaint(workspace).endswith("'Diet' is not sensitive here and health in a.yml")


def test_no_name_or_description_is_made_of_a_special_category(workspace: WorkspaceBuilder) -> None:
    workspace.mapping(
        "contacts",
        contacts(Diet={"role": "feature", "sensitive": "health", "legal_basis": CONDITION}, Tier="feature"),
    )
    rows = [
        dict(zip(CATALOGUE_COLUMNS, [name, "profile", name, "w", "w", "category", True, True], strict=True))
        for name in ("contact_diet", "contact_tier")
    ]
    catalogue = pl.DataFrame(rows, schema=CATALOGUE_COLUMNS)
    assert tellable(catalogue, workspace.open())["feature"].to_list() == ["contact_tier"]


@pytest.mark.parametrize(
    "name",
    [
        "MonthlyCharges", "PhoneService", "Contract", "Department", "Seniority", "LeadSource", "Seats", "ARR", "plan",
        "salutation", "is_disabled", "device_orientation", "hospitality", "treatment_group", "media", "raster",
        "cancelled", "churned", "european_union", "upvotes", "syndication", "generation", "suchtext", "razao_social",
    ],
)  # fmt: skip
def test_everyday_names_pass(name: str) -> None:
    assert looks_like(name) is None


def test_the_screen_knows_every_category_and_no_word_twice() -> None:
    assert set(SCREEN) == set(CATEGORIES)
    for words in SCREEN.values():
        assert len(words.split()) == len(set(words.split()))
        assert words == words.lower() and words.isascii()

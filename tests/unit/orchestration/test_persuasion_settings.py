"""`persuasion:` in personae.yml: what may be said, and each mistake with file, line and nearest name."""

from __future__ import annotations

from typing import Any

import pytest
from workspace_builder import WorkspaceBuilder

from orchestration.settings_file import SettingsError

MESSAGES = {"contact_id": "id", "occurred_at": "at", "message_action": "what", "channel": {"value": "email"}}
CONTACTS = {
    "columns": {"contact_id": "id"},
    "attributes": {"Dunning level": "sensitive", "age": "feature", "Diet": {"role": "sensitive", "sensitive": "health"},
                   "shoe": "ignore"},
}  # fmt: skip
TAGS = {"social_proof": {"content": "story_*"}}
PERSONAS = "personas:\n  regulars: {name: Regulars, features: {orders_365d: {at_least: 2}}}\n"


@pytest.fixture
def shop(workspace: WorkspaceBuilder) -> WorkspaceBuilder:
    for name, columns in (("messages", {"columns": MESSAGES}), ("contacts", CONTACTS)):
        workspace.mapping(name, {"extract": {"files": f"{name}.csv"}, "entities": {name: columns}})
    (workspace.folder / "personas.yml").write_text(PERSONAS, encoding="utf-8")
    return workspace.orders()


def complaint(shop: WorkspaceBuilder, **persuasion: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        shop.settings(persuasion=persuasion).open()
    return str(caught.value).removeprefix(f"{shop.folder}/")


def variables(shop: WorkspaceBuilder, **persuasion: Any) -> dict[str, Any]:
    return shop.settings(persuasion=persuasion).open().dbt_vars()["persuasion"]


def spare(**rule: Any) -> dict[str, Any]:
    return {"pressure": {"spare": [{"because": "in arrears", **rule}]}}


def test_a_workspace_that_says_nothing_asks_nothing_of_the_warehouse(shop: WorkspaceBuilder) -> None:
    told = variables(shop)
    assert told["enabled"] is False
    assert (told["tags"], told["tagged_by"], told["spared"]) == ([], [], [])


def test_stars_stand_for_any_letters_and_nothing_else_does(shop: WorkspaceBuilder) -> None:
    told = variables(shop, tags={"social_proof": {"content": ["Story_*", "50%"]}, "unity": {"campaign": "us"}})
    assert [tag["patterns"] for tag in told["tags"]] == [["story\\_%", "50\\%"], ["us"]]
    assert told["tagged_by"] == ["content", "campaign"]


def test_settings_of_persuasion_are_no_reason_to_compute_features_again(shop: WorkspaceBuilder) -> None:
    before = shop.open()
    after = shop.settings(persuasion={"tags": TAGS}).open()
    assert before.fingerprint() == after.fingerprint()
    assert before.settings_hash() != after.settings_hash()


def test_the_block_list_names_attributes_events_tickets_and_segments(shop: WorkspaceBuilder) -> None:
    told = variables(shop, tags=TAGS, **spare(attribute="Dunning level", **{"is": [2, "high"]}))
    rule = {"number": 1, "kind": "contacts", "column": "attr_dunning_level", "values": ["2", "high"], "numbers": [2.0]}
    assert rule.items() <= told["spared"][0].items()
    assert told["attributes"] == {"contacts": ["dunning_level"], "accounts": []}
    told = variables(shop, tags=TAGS, **spare(attribute="age", at_most=17))
    assert told["spared"][0]["at_most"] == 17
    assert variables(shop, tags=TAGS, **spare(segment="persona-03"))["spared"] == []


@pytest.mark.parametrize(
    ("persuasion", "line", "message"),
    [
        ({"tags": {"social_prof": {"content": "x"}}}, 5, "'social_prof' is no approach; did you mean 'social_proof'?"),
        ({"tags": {"unity": {"contnt": "x"}}}, 7, "'contnt' is no property of a message; did you mean 'content'?"),
        ({"responses": "clickd"}, 5, "Input should be 'clicked', 'ordered' or 'opened'"),
        ({"defaults": {"adoption_clas": {"laggard": ["unity"]}}}, 5, "did you mean 'adoption_class'?"),
        ({"defaults": {"*": {"laggard": ["unity"]}}}, 5, "'*' has one order"),
        ({"defaults": {"*": ["unity", "unity"]}}, 5, "an approach stands twice in an order"),
        ({"defaults": {"persona": {"Night owls": ["unity"]}}}, 7, "write its id, such as persona-03"),
        (
            {"defaults": {"defined_persona": {"defined-regular": ["unity"]}}},
            7,
            "'defined-regular' is no persona of personas.yml; did you mean 'defined-regulars'?",
        ),
        ({"message_styles": {"scarcity": "Novelty!"}}, 5, "must be lower case letters"),
        ({"message_styles": {"scarcity": "for_pregnant_people"}}, 6, "a style of message must not"),
        (spare(event="x", ticket_type="y"), 7, "say who: one of `attribute:`, `event:`, `ticket_type:` and `segment:`"),
        (spare(event="x"), 7, "no mapping delivers events"),
        (spare(attribute="age"), 7, "say which values"),
        (spare(attribute="agge", at_most=17), 8, "'agge' is no attribute of contacts or accounts; did you mean 'age'?"),
        (spare(attribute="shoe", at_most=17), 8, "has the role ignore and is not loaded"),
        (spare(attribute="Diet", **{"is": "no sugar"}), 8, "the mapping states a condition of GDPR art. 9(2)"),
        (spare(segment="persona-03", because="they are seriously ill patients"), 7, "a reason that is shown must not"),
        ({"pressure": {"spare": [{"segment": "persona-03"}]}}, 7, "'because' is missing"),
        ({"presure": {}}, 5, "unknown key 'presure'; did you mean 'pressure'?"),
    ],
)
def test_mistakes_are_named(shop: WorkspaceBuilder, persuasion: dict[str, Any], line: int, message: str) -> None:
    found = complaint(shop, **persuasion)
    assert message in found
    assert found.startswith("personae.yml:")
    assert abs(int(found.split(":")[1]) - line) <= 1


def test_tags_need_messages(workspace: WorkspaceBuilder) -> None:
    assert "no mapping delivers messages" in complaint(workspace.orders(), tags=TAGS)


def test_a_column_that_the_workspace_adds_to_messages_is_a_property(shop: WorkspaceBuilder) -> None:
    (shop.folder / "contracts").mkdir()
    (shop.folder / "contracts" / "messages.odcs.yaml").write_text(
        "apiVersion: v3.1.0\nkind: DataContract\nid: own\nversion: 1.0.0\nstatus: active\nschema:\n  - name: messages\n"
        "    properties:\n      - {name: angle, logicalType: string, physicalType: VARCHAR, classification: internal, "
        "description: The angle.}\n",
        encoding="utf-8",
    )
    told = variables(shop, tags={"unity": {"angle": "us"}})
    assert (told["tagged_by"], told["message_columns"]) == (["angle"], ["angle"])

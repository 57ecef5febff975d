"""A workspace's own contract files: mistakes are named with file and line, and mappings follow what holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner
from workspace_builder import WorkspaceBuilder

from orchestration.cli import EXIT_WRONG_SETTING, app
from orchestration.settings_file import SettingsError

HEAD = """\
apiVersion: v3.1.0
kind: DataContract
id: garden-tools-orders
version: 1.0.0
status: active
schema:
  - name: orders
    properties:
"""
STORE = """\
      - name: store_id
        physicalType: VARCHAR
        classification: internal
        description: Shop the order came from.
"""
ORDERS_COLUMNS = {"order_id": "order_id", "ordered_at": "ordered_at"}


def contract(workspace: WorkspaceBuilder, text: str, name: str = "orders.odcs.yaml") -> WorkspaceBuilder:
    path = workspace.folder / "contracts" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return workspace


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            HEAD + "      - name: order_id\n        requierd: false\n",
            "orders.odcs.yaml:10: unknown key 'requierd'; did you mean 'required'?",
        ),
        (
            HEAD + "      - name: order_id\n        required: false\n",
            "orders.odcs.yaml:10: this loosens the critical rule 'order_id is required': the rule is gone.",
        ),
        (
            HEAD + "      - name: order_amount\n        logicalTypeOptions:\n          maximum: 1.0e+15\n",
            "orders.odcs.yaml:10: this loosens the critical rule 'order_amount is not between",
        ),
        (
            HEAD
            + "      - name: order_status\n        quality:\n          - metric: nullValues\n            mustBe: 0\n"
            + "            severity: critical\n          - metric: invalidValues\n            severity: warning\n"
            + "            arguments: {validValues: [completed]}\n",
            "orders.odcs.yaml:14: this loosens the critical rule 'order_status is none of",
        ),
        (HEAD + "      - name: store_id\n", "orders.odcs.yaml:9: 'store_id' is no column of orders"),
        (HEAD.replace("schema:", "shema:") + STORE, "orders.odcs.yaml:6: unknown key 'shema'; did you mean 'schema'?"),
        (HEAD.replace("- name: orders", "- name: order") + STORE, "orders.odcs.yaml:7: this file is about orders"),
        (
            HEAD.replace("properties:", "quality:")
            + "      - {type: sql, name: late, mustBe: 0, severity: warning,\n"
            + "         query: 'select count(*) from {object} where ordered_at < now()'}\n",
            "the function 'now' is not allowed",
        ),
    ],
)
def test_a_mistake_is_named_with_file_and_line(workspace: WorkspaceBuilder, text: str, complaint: str) -> None:
    contract(workspace.orders(), text)
    with pytest.raises(SettingsError) as caught:
        workspace.open()
    assert complaint in str(caught.value)
    done = CliRunner().invoke(app, ["run", str(workspace.folder)])
    assert done.exit_code == EXIT_WRONG_SETTING
    assert "Traceback" not in done.output


def test_a_file_of_no_entity_is_named(workspace: WorkspaceBuilder) -> None:
    contract(workspace.orders(), HEAD + STORE, name="order.odcs.yaml")
    with pytest.raises(
        SettingsError, match=r"order.odcs.yaml: this is the contract of no entity; did you mean 'orders"
    ):
        workspace.open()


def test_a_column_of_the_companys_own_can_be_mapped(workspace: WorkspaceBuilder) -> None:
    mapping: dict[str, Any] = {"extract": {"files": "orders*.csv"}}
    mapping["entities"] = {"orders": {"columns": {**ORDERS_COLUMNS, "store_id": "shop"}}}
    workspace.orders().mapping("orders", mapping)
    with pytest.raises(SettingsError, match="'store_id' is no column of orders"):
        workspace.open()
    held = contract(workspace, HEAD + STORE).open()
    assert "store_id" in held.mappings[0].entities[0].columns
    assert held.contracts["orders"].column("store_id").type == "VARCHAR"


def test_what_the_company_requires_must_be_mapped(workspace: WorkspaceBuilder) -> None:
    contract(workspace.orders(), HEAD + STORE + "        required: true\n")
    with pytest.raises(SettingsError, match="orders needs the column 'store_id'"):
        workspace.open()


def test_a_mapping_means_other_rows_when_the_contract_decides_otherwise(workspace: WorkspaceBuilder) -> None:
    before = workspace.orders().open().mappings[0].content_hash
    contract(workspace, HEAD + "      - name: order_channel\n        description: Where it was bought.\n")
    assert workspace.open().mappings[0].content_hash == before
    contract(workspace, HEAD + "      - name: contact_id\n        required: true\n")
    assert workspace.open().mappings[0].content_hash != before


CONTACTS = HEAD.replace("orders", "contacts")


@pytest.mark.parametrize(
    ("declared", "attribute", "complaint"),
    [
        ("physicalType: DOUBLE, classification: internal", {"role": "feature", "type": "text"}, "is DOUBLE; leave out"),
        (
            "physicalType: VARCHAR, classification: personal, customProperties: [{property: purpose, value: Greet.}]",
            "feature",
            "attr_nickname is personal data by the contract of contacts: no feature",
        ),
    ],
)
def test_a_declared_attribute_is_what_the_contract_says(
    workspace: WorkspaceBuilder, declared: str, attribute: Any, complaint: str
) -> None:
    entities = {"contacts": {"columns": {"contact_id": "id"}, "attributes": {"Nickname": attribute}}}
    workspace.mapping("people", {"extract": {"files": "people.csv"}, "entities": entities})
    contract(
        workspace, f"{CONTACTS}      - {{name: attr_nickname, description: Name., {declared}}}\n", "contacts.odcs.yaml"
    )
    with pytest.raises(SettingsError, match=complaint):
        workspace.open()


def test_the_pages_tell_what_holds_here(workspace: WorkspaceBuilder, tmp_path: Path) -> None:
    loosened = "      - name: order_id\n        required: false\ncustomProperties:\n  - property: loosens\n"
    loosened += "    value: [{rule: order_id is required, reason: The old till had no numbers.}]\n"
    contract(workspace.orders(), HEAD + STORE + loosened)
    done = CliRunner().invoke(app, ["contracts", str(workspace.folder), "--output", str(tmp_path / "pages")])
    assert done.exit_code == 0
    assert "contracts/orders.odcs.yaml adds the column 'store_id'" in done.output
    told = "contracts/orders.odcs.yaml loosens 'order_id is required' (the rule is gone): The old till had no numbers."
    assert told in done.output
    assert workspace.open().contracts.loosened() == [told]
    assert "`store_id`" in (tmp_path / "pages" / "orders.md").read_text()
    assert {"orders.odcs.yaml", "orders.mapping.yml", "index.md"} <= {
        path.name for path in (tmp_path / "pages").iterdir()
    }


def test_the_pages_of_an_unchanged_workspace_lie_beside_what_runs_write(workspace: WorkspaceBuilder) -> None:
    done = CliRunner().invoke(app, ["contracts", str(workspace.orders().folder)])
    assert "The contracts hold as they come with Personae" in done.output
    assert (workspace.folder / ".personae" / "contracts" / "events.md").is_file()


def test_a_new_workspace_starts_from_the_companys_contracts(tmp_path: Path) -> None:
    (tmp_path / "contracts").mkdir()
    (tmp_path / "contracts" / "orders.odcs.yaml").write_text(HEAD + STORE + "        required: true\n")
    assert CliRunner().invoke(app, ["init", str(tmp_path)]).exit_code == 0
    assert "      store_id: store_id\n" in (tmp_path / "mappings" / "examples" / "orders.yml").read_text()

"""What a company may change of a contract, and what it may not."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from data_contracts.changes import (
    ChangedContract,
    ContractChangeError,
    ContractChanges,
    changed_contract,
    what_decides_rows,
)
from data_contracts.contract import load_contract
from data_contracts.documentation import contract_markdown, mapping_template

STATUS_RULE = "order_status is none of completed, cancelled, returned, pending"


def file(entity: str, *columns: dict[str, Any], loosens: dict[str, str] | None = None, **more: Any) -> ContractChanges:
    """A company's file with changes of these columns."""
    loosened = [{"rule": rule, "reason": reason} for rule, reason in (loosens or {}).items()]
    return ContractChanges.model_validate(
        {
            "apiVersion": "v3.1.0",
            "kind": "DataContract",
            "id": f"garden-tools-{entity}",
            "version": "1.0.0",
            "status": "active",
            "schema": [{"name": entity, "properties": list(columns), "quality": more.pop("quality", [])}],
            "customProperties": [{"property": "loosens", "value": loosened}] if loosened else [],
            **more,
        }
    )


def changed(entity: str, *columns: dict[str, Any], **more: Any) -> ChangedContract:
    return changed_contract(entity, file(entity, *columns, **more))


def allowed(*values: str, severity: str | None = None) -> dict[str, Any]:
    rule: dict[str, Any] = {"metric": "invalidValues", "arguments": {"validValues": list(values)}}
    return rule | ({"severity": severity} if severity else {})


OWN = {"physicalType": "VARCHAR", "classification": "internal", "description": "Shop the order came from."}
SQL = {"type": "sql", "mustBe": 0, "severity": "critical", "description": "So it is."}


class TestTightening:
    @pytest.mark.parametrize(
        ("column", "rule"),
        [
            ({"name": "contact_id", "required": True}, "contact_id is required"),
            (
                {"name": "order_amount", "logicalTypeOptions": {"minimum": 0}},
                "order_amount is not between 0 and 1000000000000",
            ),
            ({"name": "order_status", "quality": [allowed("completed", "returned")]}, None),
            ({"name": "order_amount", "quality": [{"metric": "nullValues", "severity": "critical"}]}, None),
            (
                {"name": "contact_id", "quality": [{"metric": "nullValues", "mustBe": 0}]},
                "contact_id is missing",
            ),
            (
                {"name": "order_channel", "quality": [{**allowed("web", "store", severity="critical"), "mustBe": 0}]},
                None,
            ),
            ({"name": "currency", "unique": True}, "currency is not unique"),
        ],
    )
    def test_a_rule_may_be_sharper_or_new(self, column: dict[str, Any], rule: str | None) -> None:
        change = changed("orders", column)
        assert len(change.added_rules) == 1
        assert change.added_rules[0] == (rule or change.added_rules[0])
        assert change.loosened == ()

    def test_a_rule_over_several_columns(self) -> None:
        rule = {
            **SQL,
            "name": "a return is worth something",
            "query": "select count(*) from {object} where order_amount > 0 and order_status = 'returned'",
        }
        assert changed("orders", quality=[rule]).added_rules == ("a return is worth something",)

    def test_what_is_not_said_stays(self) -> None:
        ours, theirs = load_contract("orders"), changed("orders", {"name": "contact_id", "required": True}).contract
        assert theirs.column_names == ours.column_names
        assert [rule for rule in theirs.rules if rule.name != "contact_id is required"] == list(ours.rules)
        assert (theirs.time_column, theirs.version_columns) == (ours.time_column, ours.version_columns)

    def test_the_result_is_a_document_of_the_standard_that_says_the_same(self) -> None:
        from data_contracts.contract import read_contract

        change = changed("orders", {"name": "store_id", **OWN}, {"name": "contact_id", "required": True})
        assert read_contract(change.document.to_yaml()) == change.contract

    def test_a_shorter_retention_is_the_companys_own_affair(self) -> None:
        kept = [{"property": "retention", "value": 400, "unit": "d"}]
        assert changed("orders", slaProperties=kept).contract.retention_days == 400


class TestOwnColumns:
    def test_a_column_of_its_own_has_type_classification_and_rules(self) -> None:
        change = changed(
            "orders",
            {
                "name": "store_id",
                **OWN,
                "required": True,
                "quality": [{**allowed("a", "b", severity="warning"), "mustBe": 0}],
            },
        )
        column = change.contract.column("store_id")
        assert (column.type, column.classification, column.required) == ("VARCHAR", "internal", True)
        assert column.allowed_values == ("a", "b")
        assert column.purpose == load_contract("orders").purpose
        assert change.added_columns == ("store_id",)
        assert change.added_rules == ()

    @pytest.mark.parametrize(
        ("column", "complaint"),
        [
            ({"name": "store_id"}, "'store_id' is no column of orders; a column of your own states its physicalType"),
            ({"name": "Store", **OWN}, "must be lower case letters, digits and single underscores"),
            ({"name": "_file", **OWN}, "must be lower case letters, digits and single underscores"),
            ({"name": "a__uncastable", **OWN}, "must be lower case letters, digits and single underscores"),
            ({"name": "store_id", **OWN, "physicalType": "MAP"}, "the type 'MAP' is none of VARCHAR, DOUBLE"),
            ({"name": "attr_store", **OWN}, "orders has no attributes"),
            ({"name": "store_id", **OWN, "classification": "personal"}, "store_id is personal but states no purpose"),
        ],
    )
    def test_what_a_column_of_its_own_needs(self, column: dict[str, Any], complaint: str) -> None:
        with pytest.raises(ContractChangeError, match=complaint) as caught:
            changed("orders", column)
        assert caught.value.location[:2] == ("schema", 0)

    def test_an_attribute_may_be_declared(self) -> None:
        tier = {"name": "attr_tier", **OWN, "description": "Loyalty tier."}
        assert changed("contacts", tier).contract.column("attr_tier").type == "VARCHAR"
        with pytest.raises(ContractChangeError, match="an attribute is one of VARCHAR, DOUBLE, BOOLEAN"):
            changed("contacts", {**tier, "physicalType": "DATE"})


LOOSER = [
    ({"name": "order_id", "required": False}, "order_id is required", "the rule is gone"),
    ({"name": "order_status", "quality": [allowed("completed", "on hold")]}, STATUS_RULE, "becomes"),
    (
        {"name": "order_status", "quality": [allowed("completed", severity="warning")]},
        STATUS_RULE,
        "critical becomes warning",
    ),
    (
        {"name": "order_amount", "logicalTypeOptions": {"maximum": 1e15}},
        "order_amount is not between -1000000000000 and 1000000000000",
        "becomes",
    ),
    (
        {"name": "order_amount", "logicalTypeOptions": {"minimum": None}},
        "order_amount is not between -1000000000000 and 1000000000000",
        "becomes",
    ),
]


class TestLoosening:
    @pytest.mark.parametrize(("column", "rule", "how"), LOOSER)
    def test_a_critical_rule_is_not_loosened_without_a_reason(
        self, column: dict[str, Any], rule: str, how: str
    ) -> None:
        with pytest.raises(ContractChangeError) as caught:
            changed("orders", column)
        assert f"this loosens the critical rule '{rule}'" in str(caught.value)
        assert how in str(caught.value)
        assert caught.value.location[:4] == ("schema", 0, "properties", 0)

    @pytest.mark.parametrize(("column", "rule", "how"), LOOSER)
    def test_with_a_reason_it_is_and_is_told(self, column: dict[str, Any], rule: str, how: str) -> None:
        change = changed("orders", column, loosens={rule: "The shop before 2024 wrote it so."})
        (loosening,) = change.loosened
        assert (loosening.rule, loosening.is_critical) == (rule, True)
        assert loosening.reason == "The shop before 2024 wrote it so."
        assert change.added_rules == ()
        assert f"- {rule} (critical; " in contract_markdown(change.contract, change)

    def test_a_longer_retention_needs_a_reason(self) -> None:
        kept = [{"property": "retention", "value": 4000, "unit": "d"}]
        with pytest.raises(ContractChangeError, match="'retention': 1825 days becomes 4000 days"):
            changed("orders", slaProperties=kept)
        reason = "Tax law asks for ten years."
        assert changed("orders", slaProperties=kept, loosens={"retention": reason}).contract.retention_days == 4000

    def test_a_warning_may_be_loosened_and_is_told(self) -> None:
        tolerated = {"metric": "nullValues", "mustBeLessOrEqualTo": 90, "unit": "percent"}
        change = changed("orders", {"name": "contact_id", "quality": [tolerated]})
        assert [(each.rule, each.is_critical, each.how) for each in change.loosened] == [
            ("contact_id is missing", False, "50 % becomes 90 %")
        ]
        reference = {"to": "contacts.odcs.yaml#/schema/contacts/properties/contact_id"}
        reference["customProperties"] = [{"property": "toleratedPercent", "value": 30}]
        (loosening,) = changed("orders", {"name": "contact_id", "relationships": [reference]}).loosened
        assert (loosening.rule, loosening.how) == ("contact_id is not among the contacts", "5 % becomes 30 %")

    def test_a_rule_of_sql_that_says_something_else_counts_as_loosened(self) -> None:
        rule = {
            "name": "updated_at lies before ordered_at",
            "type": "sql",
            "query": "select count(*) from {object} where false",
        }
        assert [each.how for each in changed("orders", quality=[rule]).loosened] == [
            "what it asks for is another thing"
        ]

    def test_a_reason_for_what_is_not_loosened_is_a_mistake(self) -> None:
        with pytest.raises(ContractChangeError, match="nothing here loosens a rule named 'order_id is required'"):
            changed("orders", loosens={"order_id is required": "It was in the old file."})


class TestWhatStays:
    @pytest.mark.parametrize(
        ("column", "minimum", "complaint"),
        [
            ("order_amount", "none", "'none' is no number"),
            ("ordered_at", "2026", "'2026' is no moment"),
            ("currency", 3, "a text has no range"),
        ],
    )
    def test_a_range_has_ends_of_the_columns_type(self, column: str, minimum: Any, complaint: str) -> None:
        with pytest.raises(ContractChangeError, match=complaint) as caught:
            changed("orders", {"name": column, "logicalTypeOptions": {"minimum": minimum}})
        assert caught.value.location[-1] == "minimum"

    @pytest.mark.parametrize(
        ("entity", "column", "complaint"),
        [
            (
                "orders",
                {"name": "order_amount", "physicalType": "VARCHAR"},
                "the physicalType of order_amount is DOUBLE",
            ),
            (
                "contacts",
                {"name": "email", "classification": "internal"},
                "email is personal data, whatever a file says",
            ),
            (
                "orders",
                {"name": "order_amount", "logicalTypeOptions": {"multipleOf": 5}},
                "'multipleOf' is not checked",
            ),
            (
                "orders",
                {"name": "order_id", "relationships": [{"to": "shops.odcs.yaml#/schema/shops/properties/id"}]},
                "no column shops.id",
            ),
            (
                "orders",
                {
                    "name": "currency",
                    "quality": [
                        {"metric": "invalidValues", "arguments": {"pattern": "("}, "mustBe": 0, "severity": "warning"}
                    ],
                },
                "no regular expression",
            ),
            (
                "orders",
                {
                    "name": "currency",
                    "quality": [{"type": "sql", "name": "r", "query": "select 1", "mustBe": 0, "severity": "warning"}],
                },
                "must read",
            ),
        ],
    )
    def test_what_tables_are_made_of_is_not_changed(self, entity: str, column: dict[str, Any], complaint: str) -> None:
        with pytest.raises(ContractChangeError, match=complaint):
            changed(entity, column)

    def test_a_file_is_about_its_entity(self) -> None:
        with pytest.raises(ContractChangeError, match="this file is about contacts, not about 'orders'"):
            changed_contract("contacts", file("orders"))


def test_only_what_decides_over_rows_counts_as_another_contract():
    ours = what_decides_rows(load_contract("orders"))
    told = changed(
        "orders",
        {
            "name": "order_channel",
            "description": "Where.",
            "quality": [{**allowed("web", severity="warning"), "mustBe": 0}],
        },
    )
    assert what_decides_rows(told.contract) == ours
    assert what_decides_rows(changed("orders", {"name": "contact_id", "required": True}).contract) != ours
    assert what_decides_rows(changed("orders", {"name": "store_id", **OWN}).contract) != ours


def test_pages_and_templates_follow_the_company():
    change = changed("orders", {"name": "store_id", **OWN, "required": True}, {"name": "contact_id", "required": True})
    page = contract_markdown(change.contract, change)
    assert "| **`store_id`** (required) | VARCHAR |" in page
    assert "## What this company changes" in page
    assert "- contact_id is required" in page
    mapping = yaml.safe_load(mapping_template(change.contract))
    assert list(mapping["entities"]["orders"]["columns"]) == ["order_id", "ordered_at", "contact_id", "store_id"]


def test_a_template_brings_declared_attributes_with_a_role():
    tier = {"name": "attr_tier", **OWN, "required": True}
    shoe = {"name": "attr_shoe_size", **OWN, "physicalType": "DOUBLE"}
    text = mapping_template(changed("contacts", tier, shoe).contract)
    assert yaml.safe_load(text)["entities"]["contacts"]["attributes"] == {"tier": "feature"}
    assert "      # shoe_size: feature\n" in text

"""Every contract file keeps to the standard and to the table of columns in docs/architecture.md."""

import json
import re
from pathlib import Path

import duckdb
import pytest
from jsonschema import Draft201909Validator
from open_data_contract_standard.model import OpenDataContractStandard

from data_contracts.contract import ENTITIES, load_contract, load_contracts, read_contract
from data_contracts.odcs_rules import LOGICAL_TYPES, ContractError
from data_contracts.rules import broken_rules_sql, quoted, unique_columns, warning_counts_sql

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "data_contracts"


def documented_entities() -> dict[str, tuple[list[str], list[str], set[str]]]:
    """Entity -> key, columns (time columns included) and required columns, from the table of the architecture."""
    table = (ROOT / "docs/architecture.md").read_text().split("| entity | key | time | columns |")[1]
    entities = {}
    for line in table.splitlines()[2:]:
        if not line.startswith("|"):
            break
        entity, key, time, columns = (cell.strip() for cell in line.strip("|").split("|"))
        starred = re.findall(r"(\w+)(\*?)", re.sub(r"\([^)]*\)", "", f"{time}, {columns}"))
        entities[entity] = (
            [] if key == "–" else [key],
            [name for name, _ in starred],
            {n for n, star in starred if star},
        )
    return entities


DOCUMENTED = documented_entities()


def test_there_is_a_contract_for_every_entity_of_the_architecture_and_no_other():
    assert list(DOCUMENTED) == list(ENTITIES) == list(load_contracts())
    assert {path.name for path in FOLDER.glob("*.odcs.yaml")} == {f"{entity}.odcs.yaml" for entity in ENTITIES}


@pytest.mark.parametrize("entity", ENTITIES)
def test_a_contract_file_is_valid_by_the_standard(entity):
    odcs = OpenDataContractStandard.from_file(str(FOLDER / f"{entity}.odcs.yaml"))
    assert odcs.kind == "DataContract"
    assert odcs.apiVersion == "v3.1.0"
    schema = json.loads(OpenDataContractStandard.json_schema())
    written = odcs.model_dump(exclude_none=True, by_alias=True)
    assert [error.message for error in Draft201909Validator(schema).iter_errors(written)] == []


@pytest.mark.parametrize("entity", ENTITIES)
def test_the_standards_model_loses_nothing_of_a_contract_file(entity):
    import yaml

    path = FOLDER / f"{entity}.odcs.yaml"
    odcs = OpenDataContractStandard.from_file(str(path))
    assert odcs.model_dump(exclude_none=True, by_alias=True) == yaml.safe_load(path.read_text())


@pytest.mark.parametrize("entity", ENTITIES)
def test_a_contract_has_the_key_and_the_columns_of_the_architecture(entity):
    key, columns, required = DOCUMENTED[entity]
    contract = load_contract(entity)
    assert list(contract.primary_key) == key
    assert set(contract.column_names) == set(columns)
    assert set(contract.required_columns) == required


@pytest.mark.parametrize("entity", ENTITIES)
def test_every_column_is_described_typed_and_classified(entity):
    odcs = OpenDataContractStandard.from_file(str(FOLDER / f"{entity}.odcs.yaml"))
    for prop in odcs.schema_[0].properties:
        assert prop.logicalType == LOGICAL_TYPES[prop.physicalType], prop.name
        assert prop.description.endswith("."), prop.name
        assert prop.classification in ("personal", "pseudonymous", "internal"), prop.name
    for rule in load_contract(entity).rules:
        assert rule.description or rule.kind in ("required", "type", "range", "unique"), rule.name


def test_every_column_says_what_it_is_for_and_how_long_it_is_kept():
    for contract in load_contracts().values():
        for column in contract.columns:
            assert column.purpose, f"{contract.entity}.{column.name}"
            assert 0 < column.retention_days <= contract.retention_days
            if column.classification == "personal":
                assert column.purpose != contract.purpose, f"{contract.entity}.{column.name}"


def test_every_key_of_another_entity_is_a_reference_to_its_key():
    contracts = load_contracts()
    keys = {contract.primary_key[0]: entity for entity, contract in contracts.items() if contract.primary_key}
    stated = {
        (entity, reference.column, reference.entity, reference.entity_column)
        for entity, contract in contracts.items()
        for reference in contract.references
    }
    expected = {
        (entity, name, keys[name], name)
        for entity, contract in contracts.items()
        for name in contract.column_names
        if name in keys and keys[name] != entity
    }
    assert stated == expected


def test_a_reference_names_an_id_of_the_file_it_points_to():
    for contract in load_contracts().values():
        for reference in contract.references:
            target = OpenDataContractStandard.from_file(str(FOLDER / f"{reference.entity}.odcs.yaml")).schema_[0]
            assert target.id == reference.entity
            assert [prop.name for prop in target.properties if prop.id == reference.entity_column] == [
                reference.entity_column
            ]


def test_every_entity_says_what_makes_a_row_unique():
    for entity, contract in load_contracts().items():
        unique = [rule.unique_columns for rule in contract.rules if rule.kind == "unique"]
        assert len(unique) == 1, entity
        assert set(contract.primary_key) <= set(unique[0])


def test_where_a_source_tells_no_version_one_file_holds_one_version_of_each_key():
    contacts, lines = load_contract("contacts"), load_contract("order_lines")
    name = "contact_id and updated_at are not unique together"
    assert unique_columns(contacts, {"contact_id", "updated_at"}) == [(name, ("contact_id", "updated_at"))]
    assert unique_columns(contacts, {"contact_id"}) == [(name, ("contact_id",))]
    assert unique_columns(lines, {"order_id"}) == []


@pytest.mark.parametrize("entity", ENTITIES)
def test_every_contract_states_purpose_limits_and_retention(entity):
    contract = load_contract(entity)
    assert contract.purpose and contract.limitations and contract.granularity
    assert contract.retention_days >= 365


@pytest.mark.parametrize("entity", ENTITIES)
def test_every_rule_of_every_contract_runs_in_duckdb(entity):
    contract = load_contract(entity)
    columns = set(contract.column_names)
    declared = ", ".join(
        f"{quoted(column.name)} {column.type}, {quoted(column.name + '__uncastable')} BOOLEAN"
        for column in contract.columns
    )
    counts = ", ".join(count for _, count in warning_counts_sql(contract, columns))
    with duckdb.connect() as connection:
        connection.execute(f"create table candidate ({declared})")
        broken = connection.sql(f"select {broken_rules_sql(contract, columns, columns)} as broken from candidate")
        assert broken.types == ["VARCHAR[]"]
        connection.sql(f"select {counts or 'count(*)'} from candidate").fetchall()


def test_people_are_never_described_by_undeclared_personal_columns():
    contacts = load_contract("contacts")
    assert {column.name for column in contacts.columns if column.classification == "personal"} >= {
        "email",
        "phone",
        "first_name",
        "last_name",
        "postal_code",
    }
    assert contacts.column("contact_id").is_personal
    assert all(
        column.is_personal
        for contract in load_contracts().values()
        for column in contract.columns
        if column.name in ("contact_id", "device_id", "session_id")
    )


def test_only_entities_that_change_after_delivery_have_versions():
    versioned = {entity for entity, contract in load_contracts().items() if contract.is_versioned}
    assert versioned == {"contacts", "accounts", "orders", "deals", "tickets"}
    assert load_contract("orders").version_columns == ("updated_at", "_delivered_at", "ordered_at")


def test_what_the_code_asks_of_a_contract_is_there():
    orders = load_contract("orders")
    assert orders.time_column == "ordered_at"
    assert orders.column("order_status").allowed_values == ("completed", "cancelled", "returned", "pending")
    assert orders.column("currency").pattern == "^[A-Z]{3}$"
    assert load_contract("accounts").column("employee_count").minimum == 0
    assert load_contract("accounts").column("employee_count").unit == "people"
    assert load_contract("contacts").allows_attributes
    assert not orders.allows_attributes


MINIMAL = """
apiVersion: v3.1.0
kind: DataContract
id: visits
version: 1.0.0
slaProperties: [{property: retention, value: 400, unit: d}]
schema:
  - name: visits
    customProperties: [{property: timeColumn, value: visited_at}]
    properties:
      - {name: visited_at, physicalType: TIMESTAMP, classification: internal, description: When it was.}
      - {name: note, physicalType: VARCHAR, classification: internal, description: What was said.}
    quality: []
"""


def with_rule(rule: str) -> str:
    return MINIMAL.replace("quality: []", f"quality: [{rule}]")


def with_query(query: str, promise: str = "mustBe: 0, severity: warning") -> str:
    return with_rule(f"{{type: sql, name: r, query: '{query}', {promise}}}")


def with_pattern(pattern: str) -> str:
    rule = f"{{metric: invalidValues, arguments: {{pattern: '{pattern}'}}, mustBe: 0, severity: warning}}"
    return MINIMAL.replace("What was said.", f"What was said., quality: [{rule}]")


def with_duplicates(columns: str, severity: str = "warning") -> str:
    return with_rule(
        f"{{metric: duplicateValues, arguments: {{properties: {columns}}}, mustBe: 0, severity: {severity}}}"
    )


def with_reference(target: str, tolerated: str = "5") -> str:
    reference = f"{{to: '{target}', customProperties: [{{property: toleratedPercent, value: {tolerated}}}]}}"
    return MINIMAL.replace("What was said.", f"What was said., relationships: [{reference}]")


def test_a_minimal_contract_is_read():
    assert read_contract(MINIMAL).column_names == ("visited_at", "note")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (MINIMAL.replace("TIMESTAMP", "TIME"), "unknown type TIME"),
        (MINIMAL.replace("value: visited_at", "value: at"), "timeColumn names no column"),
        (MINIMAL.replace("name: note", "name: visited_at"), "declared twice"),
        (MINIMAL.replace("When it was.", "''"), "has no description"),
        (
            MINIMAL.replace("VARCHAR, classification: internal", "VARCHAR, classification: personal"),
            "states no purpose",
        ),
        (MINIMAL.replace("unit: d", "unit: y"), "retention, in days"),
        (with_query("select 1"), "must read"),
        (with_query("select from where"), "must read"),
        (with_query("select count(*) from other where note > 1"), "must read"),
        (with_query("select count(*) from {object} where note = (select 1)"), "must read"),
        (with_query("select count(*) from {object} where missing > 1"), "unknown column missing"),
        (with_query("select count(*) from {object} where note > 1", promise="mustBe: 0"), "needs the severity"),
        (
            with_query("select count(*) from {object} where note > 1", promise="mustBe: 1, severity: warning"),
            "mustBe: 0",
        ),
        (with_pattern("(a|b"), "no regular expression"),
        (with_pattern("(a|b)"), "captures a group"),
        (with_rule("{metric: rowCount, mustBe: 0, severity: warning}"), "no kind that can be checked"),
        (with_duplicates("[note, missing]"), "unknown column missing"),
        (with_duplicates("[note, visited_at]", severity="critical"), "is a warning"),
        (with_reference("visitors.visitor_id"), "must name <entity>.odcs.yaml#/schema/"),
        (with_reference("visitors.odcs.yaml#/schema/people/properties/id"), "must name <entity>.odcs.yaml#/schema/"),
        (with_reference("visitors.odcs.yaml#/schema/visitors/properties/id", tolerated="-1"), "from 0 to 100"),
    ],
)
def test_a_contract_that_cannot_be_kept_is_refused(text, complaint):
    with pytest.raises(ContractError, match=complaint):
        read_contract(text)


def test_an_unknown_entity_is_refused():
    with pytest.raises(ContractError, match="There is no entity 'customers'"):
        load_contract("customers")


def test_an_unknown_column_is_refused():
    with pytest.raises(ContractError, match="orders has no column 'amount'"):
        load_contract("orders").column("amount")

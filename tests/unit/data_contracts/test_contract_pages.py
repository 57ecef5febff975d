"""Contracts as people read them: pages, and a mapping to start from."""

import re
from pathlib import Path

import pytest
import yaml

from data_contracts.contract import ENTITIES, load_contract
from data_contracts.documentation import contract_markdown, mapping_template, write_contract_pages


@pytest.mark.parametrize("entity", ENTITIES)
def test_a_page_names_every_column_and_every_rule(entity):
    contract = load_contract(entity)
    page = contract_markdown(contract)
    assert page.startswith(f"# {contract.title}\n")
    for column in contract.columns:
        assert f"`{column.name}`" in page
        assert column.description in page
    for rule in contract.rules:
        assert f"| {rule.name} | {rule.severity} |" in page
    for reference in contract.references:
        assert f"| {reference.name} | warning | 5 % of rows |" in page


def test_pages_are_written_with_an_index_and_are_the_same_each_time(tmp_path):
    first = write_contract_pages(tmp_path / "pages")
    assert [path.name for path in first] == ["index.md", *(f"{entity}.md" for entity in ENTITIES)]
    texts = [path.read_text() for path in first]
    assert [path.read_text() for path in write_contract_pages(tmp_path / "pages")] == texts
    for linked in re.findall(r"\]\((\w+\.md)\)", texts[0]):
        assert (tmp_path / "pages" / linked).exists()


def test_the_pages_in_the_documentation_are_those_of_the_contracts(tmp_path):
    """Else: python -m data_contracts.documentation docs/contracts."""
    documented = Path(__file__).parents[3] / "docs" / "contracts"
    written = {path.name: path.read_text() for path in write_contract_pages(tmp_path)}
    assert {path.name: path.read_text() for path in documented.iterdir()} == written


@pytest.mark.parametrize("entity", ENTITIES)
def test_a_mapping_template_is_valid_and_maps_what_is_required(entity):
    contract = load_contract(entity)
    mapping = yaml.safe_load(mapping_template(contract))
    assert mapping["extract"] == {"files": f"extracts/{entity}*.csv"}
    assert list(mapping["entities"][entity]["columns"]) == list(contract.required_columns)


@pytest.mark.parametrize("entity", ENTITIES)
def test_a_mapping_template_becomes_complete_when_its_columns_are_uncommented(entity):
    contract = load_contract(entity)
    complete = re.sub(r"^      # (\w+: \w+)$", r"      \1", mapping_template(contract), flags=re.MULTILINE)
    assert set(yaml.safe_load(complete)["entities"][entity]["columns"]) == set(contract.column_names)


def test_the_examples_in_a_mapping_template_are_valid_yaml():
    examples = re.findall(r"^#   (\{.*\})  +\w", mapping_template(load_contract("orders")), flags=re.MULTILINE)
    assert [yaml.safe_load(example) for example in examples] == [
        {"column": "Created", "format": "%d.%m.%Y %H:%M"},
        {"column": "State", "values": {"their word": "completed"}},
        {"value": "EUR"},
        {"sql": 'lower("Address")'},
    ]

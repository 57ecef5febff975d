"""`personae init` writes a workspace that opens, with a mapping proposed for each file it is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_contracts.contract import ENTITIES
from orchestration.ingest.extracts import check_extracts
from orchestration.init import init_workspace
from orchestration.mapping import Mapping
from orchestration.settings_file import SettingsError
from orchestration.workspace import Workspace

FOREIGN_ORDERS = """\
Invoice No;Invoice Date;Customer;Grand Total;Status;no
1001;2024-02-14 10:00:00;77;12.50;completed;x
1002;2025-02-15 11:00:00;78;8.00;pending;y
"""


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "export: #1"
    folder.mkdir()
    return folder


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def columns(mapping: Mapping) -> dict[str, str | None]:
    return {name: source.column for name, source in mapping.entities[0].columns.items()}


def test_foreign_column_names_are_recognized_and_the_proposal_opens(files: Path, tmp_path: Path) -> None:
    init_workspace(tmp_path / "my_shop", [written(files / "orders[1].csv", FOREIGN_ORDERS)])
    opened = Workspace.open(tmp_path / "my_shop")
    check_extracts(opened, set())
    assert opened.settings.company == "My Shop"
    assert opened.first_week.key == "2024-02-12"
    assert list(opened.settings.targets) == ["order_within_30_days"]
    assert opened.entities == ("orders",)
    assert columns(opened.mappings[0]) == {
        "order_id": "Invoice No",
        "ordered_at": "Invoice Date",
        "contact_id": "Customer",
        "order_amount": "Grand Total",
        "order_status": "Status",
    }


def test_names_that_yaml_would_take_for_something_else_are_quoted(files: Path, tmp_path: Path) -> None:
    text = "customer_id,no,null,2024,e mail: work\n1,a,b,c,d\n"
    init_workspace(tmp_path / "yes", [written(files / "people.csv", text)])
    opened = Workspace.open(tmp_path / "yes")
    check_extracts(opened, set())
    assert opened.settings.company == "Yes"
    assert {attribute.source for attribute in opened.attributes("contacts")} == {"no", "null", "2024", "e mail: work"}


def test_files_of_the_same_name_get_a_mapping_each(files: Path, tmp_path: Path) -> None:
    (files / "old").mkdir()
    paths = [written(folder / "orders.csv", FOREIGN_ORDERS) for folder in (files, files / "old")]
    init_workspace(tmp_path / "shop", paths)
    opened = Workspace.open(tmp_path / "shop")
    check_extracts(opened, set())
    assert [mapping.extract.files for mapping in opened.mappings] == ["orders.csv", "old/orders.csv"]


def test_a_required_column_that_is_not_recognized_is_left_to_be_named(files: Path, tmp_path: Path) -> None:
    init_workspace(tmp_path / "shop", [written(files / "x.csv", "order_id,blue\n1,2\n")])
    opened = Workspace.open(tmp_path / "shop")
    with pytest.raises(SettingsError, match="has no column 'TO_BE_NAMED'"):
        check_extracts(opened, set())


def test_without_files_there_are_settings_and_an_example_for_each_entity(tmp_path: Path) -> None:
    paths = init_workspace(tmp_path / "shop", [])
    assert paths[0] == tmp_path / "shop" / "personae.yml"
    assert paths[1].name == "activation.example.yml"
    assert {path.parent.name for path in paths[2:]} == {"examples"}
    with pytest.raises(SettingsError, match="no mapping is here"):
        Workspace.open(tmp_path / "shop")


def test_each_example_is_a_mapping_as_it_stands(tmp_path: Path) -> None:
    for path in init_workspace(tmp_path / "shop", [])[1:]:
        path.rename(path.parent.parent / path.name)
    opened = Workspace.open(tmp_path / "shop")
    assert [mapping.name for mapping in opened.mappings] == sorted(ENTITIES)


@pytest.mark.parametrize("there", ["personae.yml", "mappings/orders.yml"])
def test_a_workspace_that_exists_is_not_written_over(files: Path, tmp_path: Path, there: str) -> None:
    mine = tmp_path / "shop" / there
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(SettingsError, match="there is a workspace here already"):
        init_workspace(tmp_path / "shop", [written(files / "orders.csv", FOREIGN_ORDERS)])
    assert mine.read_text() == "mine"
    assert [path for path in (tmp_path / "shop").rglob("*") if path.is_file()] == [mine]


def test_a_file_that_cannot_be_read_leaves_nothing_behind(files: Path, tmp_path: Path) -> None:
    for path in (files / "missing.csv", written(files / "empty.csv", ""), written(files / "x.parquet", "no")):
        with pytest.raises(SettingsError) as caught:
            init_workspace(tmp_path / "shop", [path])
        assert path.name in str(caught.value)
    assert not (tmp_path / "shop").exists()


def test_the_example_of_audiences_and_destinations_opens_once_it_is_renamed(files: Path, tmp_path: Path) -> None:
    folder = tmp_path / "my_shop"
    init_workspace(folder, [written(files / "orders.csv", FOREIGN_ORDERS)], legal_basis="customers, balanced in May")
    (folder / "activation.example.yml").rename(folder / "activation.yml")
    workspace = Workspace.open(folder)
    assert list(workspace.activation_file.destinations) == ["newsletter"]
    assert not workspace.activation_file.destinations["newsletter"].is_weekly

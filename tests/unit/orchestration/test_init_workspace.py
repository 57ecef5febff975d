"""`personae init` writes a workspace that opens, with a mapping proposed for each file it is shown."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
import yaml

from data_contracts.contract import ENTITIES
from orchestration.ingest.extracts import check_extracts
from orchestration.init import init_workspace, to_be_said
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
    with pytest.raises(
        SettingsError,
        match=r"say which column of x\.csv is ordered_at, in place of TO_BE_NAMED; valid names: blue, order_id",
    ):
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


def proposal(tmp_path: Path, **files: str) -> dict[str, Mapping]:
    paths = [written(tmp_path / f"{name}.csv", text) for name, text in files.items()]
    init_workspace(tmp_path / "w", paths, legal_basis="customers, balanced in May")
    opened = Workspace.open(tmp_path / "w")
    check_extracts(opened, set())
    return {mapping.name: mapping for mapping in opened.mappings}


def table(header: str, rows: list[str]) -> str:
    return "\n".join([header, *rows]) + "\n"


class TestWhatTheHeaderDoesNotTellTheValuesMay:
    def test_a_key_and_a_time_that_are_called_anything_are_found_and_marked(self, tmp_path: Path) -> None:
        people = table("Ref,Mail,Tier", [f"P{n},p{n}@x.example,{'ab'[n % 2]}" for n in range(30)])
        rows = [f"{n},P{n % 30},{n % 28 + 1:02}.03.2026 10:15,clicked,Firefox" for n in range(60)]
        found = proposal(tmp_path, people=people, log=table("#,Member,Moment,Event,Agent", rows))
        assert columns(found["people"]) == {"contact_id": "Ref", "email": "Mail"}
        text = (tmp_path / "w" / "mappings" / "log.yml").read_text()
        assert 'occurred_at: {column: Moment, format: "%d.%m.%Y %H:%M"}    # guessed from what the column holds' in text
        assert "contact_id: Member    # guessed" in text

    def test_times_and_numbers_get_the_one_format_that_reads_them_all(self, tmp_path: Path) -> None:
        rows = [f"{n};{n % 28 + 1:02}/02/2026;1.0{n:02},50 €" for n in range(30)]
        found = proposal(tmp_path, orders=table("order_id;order_date;amount", rows))
        sources = found["orders"].entities[0].columns
        assert sources["ordered_at"].format == ("%d/%m/%Y",)
        assert sources["order_amount"].format == ("1.234,56",)
        assert yaml.safe_load((tmp_path / "w" / "personae.yml").read_text())["first_week"] == date(2026, 1, 26)

    def test_of_several_formats_a_person_has_to_say_which(self, tmp_path: Path) -> None:
        rows = [f"{n},0{n % 9 + 1}/02/2026,5" for n in range(30)]
        with pytest.raises(
            SettingsError, match=r"say how the file writes ordered_at, in place of TO_BE_NAMED"
        ) as caught:
            proposal(tmp_path, orders=table("order_id,order_date,amount", rows))
        line = (tmp_path / "w" / "mappings" / "orders.yml").read_text().splitlines()[(caught.value.line or 0) - 1]
        assert "# it may be any of %d/%m/%Y, %m/%d/%Y: the values do not tell" in line

    def test_words_are_translated_to_the_nearest_of_ours_and_kept_as_names(self, tmp_path: Path) -> None:
        rows = [
            f"2026-02-{n:02} 10:00:00,{word}" for n, word in enumerate(["Page View", "purchase", "beamed"], start=1)
        ]
        sources = proposal(tmp_path, log=table("when,event", rows))["log"].entities[0].columns
        assert sources["event_type"].values == {"Page View": "page_view", "beamed": "other"}
        assert sources["event_name"].column == "event"

    def test_a_word_like_none_of_ours_is_left_to_a_person(self, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match="say what 'beamed' is in place of TO_BE_NAMED; valid names: cancelled"):
            proposal(tmp_path, orders=table("order_id,order_date,status", ["1,2026-02-01,beamed"]))

    def test_files_in_many_folders_are_each_what_they_are_called_and_named_alone(self, tmp_path: Path) -> None:
        paths = [tmp_path / "crm" / "people.csv", tmp_path / "desk" / "tickets.csv", tmp_path / "mail" / "consents.csv"]
        for path in paths:
            path.parent.mkdir()
        written(paths[0], "Id,Created,Email\n1,2026-01-05,a@x.example\n")
        written(paths[1], "ticket,opened,contact,status\nt1,2026-01-06,1,open\n")
        written(paths[2], "contact,recorded,purpose,decision\n1,2026-01-05,profiling,granted\n")
        init_workspace(tmp_path / "w", paths)
        opened = Workspace.open(tmp_path / "w")
        assert opened.data_folder == tmp_path
        found = {mapping.entities[0].entity: columns(mapping) for mapping in opened.mappings}
        assert found["contacts"] == {"contact_id": "Id", "created_at": "Created", "email": "Email"}
        assert found["tickets"] == {
            "ticket_id": "ticket",
            "created_at": "opened",
            "contact_id": "contact",
            "ticket_status": "status",
        }
        assert list(found["consents"].values()) == ["contact", "recorded", "purpose", "decision"]

    def test_a_file_in_which_a_key_stands_again_and_again_holds_what_happened_to_it(self, tmp_path: Path) -> None:
        rows = [f"K{n % 5},2026-02-{n % 28 + 1:02},{n}" for n in range(40)]
        init_workspace(tmp_path / "w", [written(tmp_path / "export.csv", table("customer,order_date,amount", rows))])
        entities = yaml.safe_load((tmp_path / "w" / "mappings" / "export.yml").read_text())["entities"]
        assert list(entities) == ["orders"]

    def test_a_file_whose_header_tells_nothing_is_what_it_is_called(self, tmp_path: Path) -> None:
        init_workspace(tmp_path / "w", [written(tmp_path / "old_tickets.csv", "red,blue\n1,2\n")])
        assert list(yaml.safe_load((tmp_path / "w" / "mappings" / "old_tickets.yml").read_text())["entities"]) == [
            "tickets"
        ]

    def test_what_a_person_has_to_say_is_told_with_file_and_line(self, tmp_path: Path) -> None:
        paths = init_workspace(tmp_path / "w", [written(tmp_path / "x.csv", "order_id,blue\n1,2\n")])
        told = to_be_said(paths)
        assert [line.split(": ", 1)[1].split("    #")[0] for line in told] == [
            '"*": {basis: legitimate_interest, statement: "TO_BE_STATED"}',
            "ordered_at: TO_BE_NAMED",
        ]

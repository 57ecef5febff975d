"""What a mapping may say, and the message for what it may not."""

from __future__ import annotations

from typing import Any

import pytest
from workspace_builder import ORDERS_CSV, ORDERS_MAPPING, WorkspaceBuilder

from orchestration.ingest.extracts import check_extracts
from orchestration.mapping import slug, words_of
from orchestration.settings_file import SettingsError


def complaint(workspace: WorkspaceBuilder, look_at_files: bool = False) -> str:
    """The one message about `orders.yml`, from its line on."""
    with pytest.raises(SettingsError) as caught:
        opened = workspace.open()
        if look_at_files:
            check_extracts(opened, set())
    message = str(caught.value)
    assert "\n" not in message
    return message.removeprefix(f"{workspace.folder}/mappings/orders.yml:")


def changed(old: str, new: str) -> str:
    assert old in ORDERS_MAPPING
    return ORDERS_MAPPING.replace(old, new)


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        (changed("  orders:\n", "  ordres:\n"), "5: 'ordres' is no entity; did you mean 'orders'?"),
        (changed("contact_id: ", "contactid: "), "9: 'contactid' is no column of orders; did you mean 'contact_id'?"),
        (changed("      ordered_at: ordered_at\n", ""), "6: orders needs the column 'ordered_at'"),
        (changed("files:", "file:"), "3: unknown key 'file'; did you mean 'files'?"),
        (changed("  files: orders*.csv", "  format: csv"), "2: 'files' is missing"),
        (changed("extract:", "extracts:"), "2: unknown key 'extracts'; did you mean 'extract'?"),
        (
            changed("files: orders*.csv", "files: o.csv\n  fromat: csv"),
            "4: unknown key 'fromat'; did you mean 'format'?",
        ),
        (
            changed("files: orders*.csv", "files: o.csv\n  format: xls"),
            "4: extract.format: Input should be 'csv', 'tsv', 'jsonl' or 'parquet'",
        ),
        (
            changed("files: orders*.csv", "files: o.csv\n  timezone: Europe/Berln"),
            "4: extract.timezone: 'Europe/Berln' is no time zone; did you mean 'Europe/Berlin'?",
        ),
        (
            changed("contact_id: contact_id", "contact_id: {column: a, value: b}"),
            "9: entities.orders.columns.contact_id: say exactly one of `column:`, `value:` and `sql:`",
        ),
        (
            changed("contact_id: contact_id", "contact_id: {format: '%d'}"),
            "9: entities.orders.columns.contact_id: say exactly one of `column:`, `value:` and `sql:`",
        ),
        (
            changed("contact_id: contact_id", "contact_id: {column: a, colour: b}"),
            "9: unknown key 'colour'; did you mean 'column'?",
        ),
        (
            changed("ordered_at: ordered_at", "ordered_at: {column: a, format: '%Q'}"),
            "8: entities.orders.columns.ordered_at.format: '%Q' is no date format; write it like %d.%m.%Y %H:%M:%S",
        ),
        (ORDERS_MAPPING + "    attributes: {colour: feature}\n", "11: only contacts and accounts have attributes"),
        (changed("  orders:\n", "  orders: []\n  x:\n"), "5: entities.orders: "),
        ("extract: {files: o.csv}\nentities: {}\n", "2: entities: "),
    ],
)
def test_a_wrong_mapping_is_named_with_its_line(workspace: WorkspaceBuilder, mapping: str, message: str) -> None:
    workspace.mapping("orders", mapping)
    assert complaint(workspace).startswith(message)


@pytest.mark.parametrize(
    "files", ["/etc/passwd", "~/orders.csv", "../orders.csv", "a/../../b.csv", "..", "orders\0.csv", "a/**b.csv"]
)
def test_a_pattern_stays_below_the_data_folder(workspace: WorkspaceBuilder, files: str) -> None:
    workspace.mapping("orders", {"extract": {"files": files}, "entities": {"orders": {"columns": {}}}})
    assert complaint(workspace).startswith("2: extract.files: ")


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(", "this is no regular expression"),
        (r"\d+", "the pattern needs exactly one group"),
        (r"(\d+)-(\d+)", "the pattern needs exactly one group"),
    ],
)
def test_the_delivery_date_is_one_group(workspace: WorkspaceBuilder, pattern: str, message: str) -> None:
    workspace.mapping(
        "orders",
        {"extract": {"files": "o.csv", "delivered_at": pattern}, "entities": {"orders": {"columns": {}}}},
    )
    assert complaint(workspace).startswith(f"3: extract.delivered_at: {message}")


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"Plan": "secret"}, "7: entities.contacts.attributes.Plan: Input should be 'feature', "),
        ({"Plan": {"type": "text"}}, "8: 'role' is missing"),
        ({"Plan": {"role": "feature", "typ": "text"}}, "9: unknown key 'typ'; did you mean 'type'?"),
        ({"Plan tier": "feature", "plan_tier": "feature"}, "9: 'plan_tier' and 'Plan tier' are the same name in SQL"),
    ],
)
def test_a_wrong_attribute_is_named_with_its_line(
    workspace: WorkspaceBuilder, attributes: dict[str, Any], message: str
) -> None:
    contacts = {"columns": {"contact_id": "id"}, "attributes": attributes}
    workspace.mapping("orders", {"extract": {"files": "o.csv"}, "entities": {"contacts": contacts}})
    text = (workspace.folder / "mappings" / "orders.yml").read_text().splitlines()
    found = complaint(workspace)
    assert found.split(": ", 1)[1].startswith(message.split(": ", 1)[1])
    line = text[int(found.split(":")[0]) - 1].strip()
    assert line.split(":")[0] in ("Plan", "typ", "plan_tier")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("contact_id: contact_id", "contact_id: contct_id"),
            "9: orders.csv has no column 'contct_id'; did you mean 'contact_id'?",
        ),
        (
            ("order_amount: order_amount", "order_amount: {sql: 'ammount::double'}"),
            "10: orders.csv has no column 'ammount'; did you mean 'order_amount'?",
        ),
        (
            ("    columns:", "    where: state = 'paid'\n    columns:"),
            "6: orders.csv has no column 'state'; valid names: contact_id, order_amount, order_id, ordered_at",
        ),
        (
            ("order_amount: order_amount", "order_amount: {sql: 'order_amount::double * 2.5'}"),
            None,
        ),
        (
            ("order_amount: order_amount", "order_amount: {sql: order_amount * order_id}"),
            "10: 'order_amount * order_id' does not fit the types in orders.csv; text becomes a number by ::double",
        ),
        (("files: orders*.csv", "files: oders.csv"), "3: no file matches 'oders.csv' in "),
    ],
)
def test_a_mapping_is_held_against_its_file_before_anything_runs(
    workspace: WorkspaceBuilder, change: tuple[str, str], message: str | None
) -> None:
    workspace.orders().mapping("orders", changed(*change))
    if message is None:
        check_extracts(workspace.open(), set())
    else:
        assert complaint(workspace, look_at_files=True).startswith(message)


def test_no_matching_file_names_the_nearest_one(workspace: WorkspaceBuilder) -> None:
    workspace.orders().mapping("orders", changed("orders*.csv", "oders.csv"))
    (workspace.data / ".personae").mkdir()
    (workspace.data / ".personae" / "oders2.csv").write_text("what a run wrote itself")
    assert complaint(workspace, look_at_files=True).endswith("did you mean 'orders.csv'?")


def test_a_source_that_was_loaded_before_may_have_been_archived(workspace: WorkspaceBuilder) -> None:
    workspace.mapping("orders", ORDERS_MAPPING)
    check_extracts(workspace.open(), {"orders"})


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\x1f\x8b not gzip"])
def test_a_file_without_a_header_is_named_with_the_mappings_line(workspace: WorkspaceBuilder, content: bytes) -> None:
    workspace.mapping("orders", ORDERS_MAPPING).extract("orders.csv", content)
    assert complaint(workspace, look_at_files=True).startswith(("3: orders.csv: ", "7: orders.csv has no column"))


def test_a_file_that_has_no_header_gives_nothing_of_its_first_line_away(workspace: WorkspaceBuilder) -> None:
    workspace.mapping("orders", ORDERS_MAPPING).extract("orders.csv", "jane@example.com,17,99.5\n")
    found = complaint(workspace, look_at_files=True)
    assert "orders.csv has no column 'order_id'" in found
    assert not any(value in found for value in ("jane", "17", "99.5"))


def test_two_mappings_have_different_names(workspace: WorkspaceBuilder) -> None:
    workspace.orders()
    path = workspace.folder / "mappings" / "orders.yaml"
    path.write_text(ORDERS_MAPPING)
    with pytest.raises(SettingsError, match=r"orders.yaml: orders.yml is here too"):
        workspace.open()


def test_column_names_are_found_in_any_case(workspace: WorkspaceBuilder) -> None:
    workspace.orders().extract("orders.csv", ORDERS_CSV.replace("contact_id", "Contact_ID"))
    check_extracts(workspace.open(), set())


def test_the_content_hash_follows_the_meaning_of_a_mapping_not_its_comments(workspace: WorkspaceBuilder) -> None:
    before = workspace.orders().open().mappings[0].content_hash
    workspace.mapping("orders", "# a comment\n" + ORDERS_MAPPING)
    assert workspace.open().mappings[0].content_hash == before
    workspace.mapping("orders", changed("order_amount: order_amount", "order_amount: total"))
    assert workspace.open().mappings[0].content_hash != before
    workspace.orders().settings(timezone="Europe/Berlin")
    assert workspace.open().mappings[0].content_hash != before


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("MonthlyCharges", "monthly_charges"),
        ("E-mail opened?", "e_mail_opened"),
        ("2024 total", "n_2024_total"),
        ("€", "unnamed"),
    ],
)
def test_a_column_name_is_made_of_any_name(name: str, column: str) -> None:
    assert slug(name) == column


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("report_exported", "report exported"),
        ("api_called", "API called"),
        ("csv_and_pdf_exported", "CSV and PDF exported"),
        ("MonthlyCharges", "MonthlyCharges"),
        ("capital_raised", "capital raised"),
    ],
)
def test_a_name_is_read_as_words_and_abbreviations_in_capitals(name: str, words: str) -> None:
    assert words_of(name) == words


def orders_of(count: int, time: str, status: str) -> str:
    rows = [f"o{n},{time},c{n},{n},{status}" for n in range(count)]
    return "\n".join(["order_id,ordered_at,contact_id,order_amount,order_status", *rows]) + "\n"


class TestAMappingUnderWhichNoFirstRowCanBeRead:
    def test_is_told_with_the_format_that_reads_them(self, workspace: WorkspaceBuilder) -> None:
        workspace.orders().extract("orders.csv", orders_of(12, "24.12.2025 10:15", "completed"))
        assert complaint(workspace, look_at_files=True) == (
            "8: no value of 'ordered_at' in the first rows of orders.csv is a time; "
            'did you mean format: "%d.%m.%Y %H:%M"?'
        )

    def test_is_told_to_need_no_format_where_one_is_too_much(self, workspace: WorkspaceBuilder) -> None:
        mapping = changed("ordered_at: ordered_at", 'ordered_at: {column: ordered_at, format: "%d.%m.%Y"}')
        workspace.settings().mapping("orders", mapping).extract("orders.csv", orders_of(12, "2025-12-24", "completed"))
        assert complaint(workspace, look_at_files=True).endswith(
            'is a time in the format "%d.%m.%Y"; leave out the format, they are read without one'
        )

    def test_is_told_with_our_words_where_it_holds_others(self, workspace: WorkspaceBuilder) -> None:
        mapping = changed("contact_id: contact_id", "contact_id: contact_id\n      order_status: order_status")
        workspace.settings().mapping("orders", mapping).extract("orders.csv", orders_of(12, "2025-12-24", "beamed"))
        assert complaint(workspace, look_at_files=True) == (
            "10: no value of 'order_status' in the first rows of orders.csv is one of completed, cancelled, returned, "
            "pending; translate them: {column: order_status, values: {'their word': completed}}"
        )

    def test_is_a_bad_delivery_once_its_files_were_loaded_and_nothing_where_rows_are_few(
        self, workspace: WorkspaceBuilder
    ) -> None:
        workspace.orders().extract("orders.csv", orders_of(12, "yesterday", "completed"))
        check_extracts(workspace.open(), {"orders"})
        workspace.extract("orders.csv", orders_of(3, "yesterday", "completed"))
        check_extracts(workspace.open(), set())


def test_a_format_without_a_placeholder_is_none(workspace: WorkspaceBuilder) -> None:
    workspace.mapping("orders", changed("ordered_at: ordered_at", "ordered_at: {column: at, format: DD.MM.YYYY}"))
    assert "'DD.MM.YYYY' is no date format; write it like %d.%m.%Y %H:%M:%S" in complaint(workspace)

"""What a workspace says of identities is answered before anything runs."""

from __future__ import annotations

from datetime import date

import pytest

from orchestration.identity_settings import (
    DECISIONS_FILE,
    Decision,
    add_decision,
    read_decisions,
    remove_decisions,
)
from orchestration.settings_file import SettingsError
from orchestration.weeks import Week
from orchestration.workspace import Workspace

SETTINGS = "company: X\nfirst_week: 2026-01-05\n"
MAPPING = """
extract: {files: people.csv}
entities:
  contacts:
    columns: {contact_id: id}
    attributes: {Birthday: identifier, Church: sensitive}
"""
WEEK = Week(date(2026, 11, 16))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "mappings").mkdir()
    (tmp_path / "mappings" / "people.yml").write_text(MAPPING)
    return tmp_path


def opened(folder, identity: str) -> Workspace:
    (folder / "personae.yml").write_text(SETTINGS + identity)
    return Workspace.open(folder)


def test_columns_of_contacts_and_identifiers_are_compared(folder):
    columns = "{first_name: name, last_name: name, city: text, Birthday: date}"
    workspace = opened(folder, f"identity: {{probabilistic: {{enabled: true, columns: {columns}}}}}")
    assert dict(workspace.compared) == {
        "attr_birthday": "date",
        "city": "text",
        "first_name": "name",
        "last_name": "name",
    }


@pytest.mark.parametrize(
    ("identity", "words"),
    [
        (
            "identity: {max_people_per_emial: 3}",
            "unknown key 'max_people_per_emial'; did you mean 'max_people_per_email'?",
        ),
        ("identity: {max_people_per_email: 0}", "greater than or equal to 1"),
        ("identity: {phone_region: Germany}", "'Germany' is no country code"),
        ("identity: {probabilistic: {columns: {Birthdy: date}}}", "did you mean 'Birthday'?"),
        (
            "identity: {probabilistic: {columns: {Church: text}}}",
            "neither a column of contacts nor an attribute with the role",
        ),
        ("identity: {probabilistic: {columns: {city: words}}}", "columns.city"),
        ("identity: {probabilistic: {enabled: true, columns: {city: text}}}", "at least four columns"),
    ],
)
def test_a_wrong_setting_is_answered_with_its_line(folder, identity, words):
    with pytest.raises(SettingsError) as error:
        opened(folder, identity)
    assert words in str(error.value) and error.value.line == 3


def test_decisions_are_lines_that_come_and_go_and_leave_the_rest_as_it_is(tmp_path):
    first = Decision(("a", "b"), WEEK, date(2026, 11, 25), "Ada", 'father & "son"')
    second = Decision(("c", "d: 1"), WEEK)
    for decision in (first, second):
        add_decision(tmp_path, decision)
    path = tmp_path / DECISIONS_FILE
    path.write_text(path.read_text() + "  # seen by Bob\n")
    assert read_decisions(tmp_path) == (first, second)
    assert remove_decisions(tmp_path, lambda each: each.is_about("b", "a")) == 1
    assert read_decisions(tmp_path) == (second,)
    assert "# seen by Bob" in path.read_text()
    assert remove_decisions(tmp_path, lambda each: each.is_about("a", "b")) == 0


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("  - {contacts: [a, b], from_wek: 2026-11-16}", "unknown key 'from_wek'; did you mean 'from_week'?"),
        ("  - {contacts: [a, a], from_week: 2026-11-16}", "cannot be kept apart from itself"),
        ("  - {contacts: [a], from_week: 2026-11-16}", "two contacts"),
        ("  - {contacts: [a, b]}", "'from_week' is missing"),
    ],
)
def test_a_wrong_line_of_decisions_is_answered_with_file_and_line(folder, line, words):
    (folder / DECISIONS_FILE).write_text(f"# decisions\napart:\n{line}\n")
    with pytest.raises(SettingsError) as error:
        opened(folder, "")
    assert words in str(error.value) and error.value.file.name == DECISIONS_FILE and error.value.line == 3


def test_a_decision_counts_for_a_weeks_features_from_its_week_on(folder):
    workspace = opened(folder, "")
    assert workspace.decisions == ()
    add_decision(folder, Decision(("a", "b"), WEEK))
    assert [each.from_week for each in workspace.decisions] == [WEEK]

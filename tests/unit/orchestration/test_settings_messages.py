"""A wrong setting is one message: file, line, what is wrong, and the nearest valid name."""

from __future__ import annotations

import pytest
from workspace_builder import WorkspaceBuilder

from orchestration.settings_file import SettingsError, nearest
from orchestration.workspace import Workspace


def complaint(workspace: WorkspaceBuilder) -> str:
    """The one message, with the workspace's folder left out."""
    with pytest.raises(SettingsError) as caught:
        workspace.open()
    message = str(caught.value)
    assert "\n" not in message
    return message.removeprefix(f"{workspace.folder}/")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("company: X\nfirst_week: 2026-01-05\ntimezoen: UTC\n", "3: unknown key 'timezoen'; did you mean 'timezone'?"),
        (
            "company: X\nfirst_week: 2026-01-05\npersonas:\n  refit_every_week: 2\n",
            "4: unknown key 'refit_every_week'; did you mean 'refit_every_weeks'?",
        ),
        (
            "company: X\nfirst_week: 2026-01-05\ntargets:\n  churn: {outcome: order, horizon: 3}\n",
            "4: unknown key 'horizon'; valid names: action, attribute, bands, description, eligible,",
        ),
        ("company: X\n", "1: 'first_week' is missing"),
        ("", "'company' is missing"),
        ("company: X\nfirst_week: soon\n", "2: first_week: "),
        ("company: X\nfirst_week: 2026-02-30\n", "2: '2026-02-30' cannot be: "),
        ("company: 7\nfirst_week: 2026-01-05\n", '1: company: Input should be a valid string; put it in "quotes"'),
        ("company: X\nfirst_week: 2026-01-05\nminimum_cell: 0\n", "3: minimum_cell: "),
        ("company: X\nfirst_week: 2026-01-05\npersonas: {k: 1}\n", "3: personas.k: k must lie between 2 and 20"),
        ("company: X\nfirst_week: 2026-01-05\npersonas:\n  k: [8, 3]\n", "4: personas.k: k must lie between 2 and 20"),
        ("company: X\nfirst_week: 2026-01-05\npersonas: [3]\n", "3: personas: "),
        ("company: X\nfirst_week: 2026-01-05\ncompany: Y\n", "3: 'company' stands twice"),
        ("company: X\npersonas:\n  k: 3\n  k: 4\n", "4: 'k' stands twice"),
        ("company: X\n  first_week: 2026-01-05\n", "2: this is not YAML: "),
        ("company: [X\nfirst_week: 2026-01-05\n", "2: this is not YAML: "),
        ("company: X\nfirst_week: \x01\n", "2: this is not YAML: "),
        ("- company\n", "1: the file must hold `key: value` lines"),
        ("just words\n", "1: the file must hold `key: value` lines"),
        ("? [a, b]\n: c\n", "1: a key must be a name"),
        ("company: &x [*x]\n", "1: an alias is not supported here; write it out"),
        (
            "company: X\nfirst_week: 2026-01-05\ntimezone: Europe/Berln\n",
            "3: timezone: 'Europe/Berln' is no time zone; did you mean 'Europe/Berlin'?",
        ),
        ("company: X\nfirst_week: 2026-01-05\ndata: nowhere\n", "3: the data folder 'nowhere' is missing"),
        (
            "company: X\nfirst_week: 2026-01-05\ntargets:\n  Churn!: {outcome: order}\n",
            "3: targets: the target's name 'Churn!' must be lower case letters, digits and underscores",
        ),
        (
            "company: X\nfirst_week: 2026-01-05\nlookalikes:\n  Best!: {seed: {persona: persona-01}}\n",
            "3: lookalikes: the look-alike's name 'Best!' must be lower case letters, digits and underscores",
        ),
        (
            "company: X\nfirst_week: 2026-01-05\nfeatures:\n  events: [report exported, report_exported]\n",
            "4: features.events: 'report_exported' and 'report exported' are the same name in SQL",
        ),
    ],
)
def test_a_wrong_setting_is_named_with_its_line(workspace: WorkspaceBuilder, settings: str, message: str) -> None:
    workspace.orders().settings_text(settings)
    where = "personae.yml:" if message[0].isdigit() else "personae.yml: "
    assert complaint(workspace).startswith(where + message.removeprefix(": "))


def test_a_missing_or_unreadable_file_is_named(workspace: WorkspaceBuilder) -> None:
    (workspace.folder / "personae.yml").rename(workspace.folder / "personas.yml")
    assert complaint(workspace) == "personae.yml: the file is missing; did you mean 'personas.yml'?"
    (workspace.folder / "personae.yml").write_bytes(b"company: caf\xe9\n")
    assert complaint(workspace) == "personae.yml: the file is not UTF-8 (byte 12)"


def test_a_folder_that_is_no_workspace_says_what_makes_one(workspace: WorkspaceBuilder) -> None:
    elsewhere = workspace.folder / "elsewhere"
    with pytest.raises(SettingsError, match=f"there is no personae.yml here; `personae init {elsewhere}` makes one"):
        Workspace.open(elsewhere)
    with pytest.raises(SettingsError, match="this is a file; name the folder of the workspace"):
        Workspace.open(workspace.orders().folder / "personae.yml")


def test_a_workspace_without_mappings_says_what_to_do(workspace: WorkspaceBuilder) -> None:
    assert complaint(workspace) == "mappings: no mapping is here; `personae init` writes examples"


def test_a_data_folder_given_on_the_command_line_must_exist(workspace: WorkspaceBuilder) -> None:
    workspace.orders()
    with pytest.raises(SettingsError, match="elsewhere: the data folder is missing"):
        Workspace.open(workspace.folder, workspace.folder / "elsewhere")


CONTACTS = """
extract: {files: contacts.csv}
entities:
  contacts:
    columns: {contact_id: id}
    attributes: {Churned: label, Plan: feature}
"""


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (
            {"outcome": "event", "event": "report_exportd"},
            "'report_exportd' is not among features.events; did you mean 'report_exported'?",
        ),
        (
            {"outcome": "label", "label": "Churnd", "positive": "Yes"},
            "'Churnd' is no attribute with the role label in a contacts mapping; did you mean 'Churned'?",
        ),
        (
            {"outcome": "label", "label": "Plan", "positive": "Yes"},
            "'Plan' is no attribute with the role label in a contacts mapping; valid names: Churned",
        ),
        ({"outcome": "order"}, "no mapping delivers orders or order_lines"),
        ({"outcome": "event"}, "targets.likely: a target with `outcome: event` names the event: `event: <name>`"),
        (
            {"outcome": "label", "label": "Churned", "positive": True},
            'targets.likely.positive: Input should be a valid string; put it in "quotes"',
        ),
    ],
)
def test_a_target_names_only_what_exists(workspace: WorkspaceBuilder, target: dict, message: str) -> None:
    workspace.mapping("contacts", CONTACTS)
    workspace.settings(features={"events": ["report_exported"]}, targets={"likely": target})
    found = complaint(workspace)
    line = int(found.split(":")[1])
    assert found == f"personae.yml:{line}: {message}"
    text = (workspace.folder / "personae.yml").read_text().splitlines()[line - 1]
    assert text.strip().split(":")[0] in ("likely", *target)


def test_an_attribute_has_one_role_in_all_mappings(workspace: WorkspaceBuilder) -> None:
    workspace.mapping("contacts", CONTACTS)
    workspace.mapping("more", CONTACTS.replace("Plan: feature", "Plan: sensitive"))
    assert complaint(workspace) == "mappings/more.yml:6: 'Plan' is sensitive here and feature in contacts.yml"


def test_the_nearest_name_ignores_case_and_a_long_list_is_cut() -> None:
    assert nearest("CUSTOMERID", ["CustomerID", "Country"]) == "did you mean 'CustomerID'?"
    assert nearest("zzz", ["b", "a"]) == "valid names: a, b"
    assert nearest("zzz", [f"n{number:02}" for number in range(30)]).endswith("n24, ...")
    assert nearest("zzz", []) == "no name is valid here"


def test_what_is_written_is_what_is_read(workspace: WorkspaceBuilder) -> None:
    workspace.orders().settings_text("""
        company: Garden Tools
        data: data
        first_week: 2026-01-07
        features:
          events: {report_exported: report readers, No: ~}
        personas: {k: 4}
    """)
    opened = workspace.open()
    assert opened.settings.features.events == {"report_exported": "report readers", "No": None}
    assert opened.settings.personas.k == 4
    assert opened.first_week.key == "2026-01-05"
    assert opened.data_folder == workspace.data
    assert opened.entities == ("orders",)


def test_the_fingerprint_changes_with_what_may_change_a_feature(workspace: WorkspaceBuilder) -> None:
    before = workspace.orders().open().fingerprint()
    assert workspace.settings(minimum_cell=20).open().fingerprint() == before
    assert workspace.settings(timezone="Europe/Berlin").open().fingerprint() != before


@pytest.mark.parametrize(
    ("personas", "message"),
    [
        ("families: {prodcut: 2}", "'prodcut' is no feature family; did you mean 'product'?"),
        ("families: {product: -1}", "personas.families.product: Input should be greater than or equal to 0"),
        ("families: {product: 0}", "personas.families: at least one family needs a weight above 0"),
        ("per_market: contact_contry", "'contact_contry' is no category that says where people are"),
        ("algorithm: kmeans", "personas.algorithm: Input should be 'auto', 'k_means'"),
        ("costs: {per_message: 1}", "'margin' is missing"),
        ("kpis: [revenue_91d]", "personas.kpis"),
    ],
)
def test_how_personas_are_found_is_validated(workspace, personas, message):
    workspace.orders().settings_text(f"company: X\nfirst_week: 2026-01-05\npersonas:\n  {personas}\n")
    assert message in complaint(workspace)

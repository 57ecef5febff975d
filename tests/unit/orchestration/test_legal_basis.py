"""Which bases a workspace may state, per purpose and market, and what it must have answered before a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner
from workspace_builder import SETTINGS, WorkspaceBuilder

from orchestration.cli import EXIT_WRONG_SETTING, app
from orchestration.init import init_workspace
from orchestration.legal_basis import TO_BE_STATED, why_nobody_may_be_contacted
from orchestration.settings_file import SettingsError
from orchestration.workspace import Workspace

CONSENTS = """
extract: {files: consents.csv}
entities:
  consents: {columns: {contact_id: a, recorded_at: b, purpose: c, consent_state: d}}
"""
BALANCED = {"basis": "legitimate_interest", "statement": "balancing test 7"}


def complaint(workspace: WorkspaceBuilder, before_run: bool = False) -> str:
    with pytest.raises(SettingsError) as caught:
        opened = workspace.open()
        if before_run:
            opened.check_before_run()
    return str(caught.value).removeprefix(f"{workspace.folder}/")


@pytest.mark.parametrize(
    ("legal_basis", "message"),
    [
        ({"profilling": BALANCED}, "'profilling' is no purpose; did you mean 'profiling'?"),
        ({"profiling": {"Germany": BALANCED}}, "'Germany' is neither \"*\" (every market) nor a country; two letters"),
        ({"profiling": {"UK": BALANCED}}, "'UK' is neither \"*\" (every market) nor a country; "),
        ({"profiling": {"de": BALANCED}}, "'de' is neither \"*\" (every market) nor a country; did you mean 'DE'?"),
        ({"profiling": {"*": {"basis": "legitimate_interest"}}}, "legal_basis.profiling.*: say in words why"),
        (
            {"profiling": {"*": {"basis": "interest", "statement": "x"}}},
            "legal_basis.profiling.*.basis: Input should be",
        ),
        ({"profiling": {"*": {**BALANCED, "reviewed": "yes"}}}, "unknown key 'reviewed'"),
        ({"profiling": {}}, "legal_basis.profiling: "),
    ],
)
def test_a_wrong_basis_is_named_with_its_line(
    workspace: WorkspaceBuilder, legal_basis: dict[str, Any], message: str
) -> None:
    if "basis" in next(iter(legal_basis.values())):
        legal_basis = {purpose: {"*": basis} for purpose, basis in legal_basis.items()}
    workspace.orders().settings(legal_basis=legal_basis)
    found = complaint(workspace)
    where, line, rest = found.split(":", 2)
    assert where == "personae.yml" and int(line) > len(SETTINGS)
    assert message in rest


def test_a_sentence_alone_holds_in_every_market_and_consent_needs_no_sentence(workspace: WorkspaceBuilder) -> None:
    workspace.orders().settings(legal_basis={"email_marketing": "existing customers", "profiling": {"DE": "consent"}})
    variables = workspace.open().dbt_vars()["legal_basis"]
    assert variables == {
        "email_marketing": [{"market": "*", "basis": "legitimate_interest", "statement": "existing customers"}],
        "profiling": [{"market": "DE", "basis": "consent", "statement": ""}],
    }


def test_norway_is_a_country_and_not_a_no(workspace: WorkspaceBuilder) -> None:
    text = yaml.safe_dump({**SETTINGS, "data": "data"}) + "legal_basis:\n  profiling:\n    NO: consent\n"
    assert list(workspace.orders().settings_text(text).open().settings.legal_basis["profiling"]) == ["NO"]


def test_the_purpose_of_activation_is_a_purpose(workspace: WorkspaceBuilder) -> None:
    settings = {"activation": {"purpose": "phone_calls", "channel": "phone"}, "legal_basis": {"phone_calls": "because"}}
    assert "phone_calls" in workspace.orders().settings(**settings).open().settings.legal_basis


def test_without_consents_and_without_a_basis_a_run_does_not_begin(workspace: WorkspaceBuilder) -> None:
    workspace.orders()
    assert "nobody may be profiled: no mapping delivers `consents`" in complaint(workspace, before_run=True)
    workspace.settings(legal_basis={"profiling": {"DE": "consent"}, "email_marketing": "existing customers"})
    assert "nobody may be profiled" in complaint(workspace, before_run=True)
    done = CliRunner().invoke(app, ["run", str(workspace.folder), "--week", "2026-01-05"])
    assert done.exit_code == EXIT_WRONG_SETTING
    assert len(done.output.strip().splitlines()) == 1
    assert not (workspace.folder / ".personae").exists()


@pytest.mark.parametrize("market", ["*", "DE"])
def test_a_ledger_or_a_basis_is_enough_to_begin(workspace: WorkspaceBuilder, market: str) -> None:
    workspace.orders().settings(legal_basis={"profiling": {market: BALANCED}}).open().check_before_run()
    workspace.settings().mapping("consents", CONSENTS).open().check_before_run()


def test_that_nobody_can_be_in_a_file_is_told_where_it_is_certain(workspace: WorkspaceBuilder) -> None:
    said = why_nobody_may_be_contacted({}, "email_marketing", ["orders"])
    assert said is not None and said.startswith("Nobody may be contacted for email_marketing: no mapping delivers")
    assert why_nobody_may_be_contacted({}, "email_marketing", ["orders", "consents"]) is None
    stated = workspace.orders().settings(legal_basis={"email_marketing": "existing customers"}).open().settings
    assert why_nobody_may_be_contacted(stated.legal_basis, "email_marketing", ["orders"]) is None


def test_init_asks_for_the_basis_in_words_and_a_run_waits_for_the_answer(tmp_path: Path) -> None:
    orders = tmp_path / "orders.csv"
    orders.write_text("order_id,ordered_at,contact_id\n1,2026-01-05,c1\n")
    settings = init_workspace(tmp_path / "shop", [orders])[0]
    with pytest.raises(SettingsError, match=f"say here, in words, .* in place of {TO_BE_STATED}") as caught:
        Workspace.open(tmp_path / "shop").check_before_run()
    assert TO_BE_STATED in settings.read_text().splitlines()[(caught.value.line or 0) - 1]
    settings.write_text(settings.read_text().replace(TO_BE_STATED, "balancing test 7"))
    Workspace.open(tmp_path / "shop").check_before_run()


def test_init_takes_the_words_from_the_command_line(tmp_path: Path) -> None:
    words = 'our customers: "test 7", reviewed by Ada'
    done = CliRunner().invoke(app, ["init", str(tmp_path / "shop"), "--legal-basis", words])
    assert done.exit_code == 0
    written = yaml.safe_load((tmp_path / "shop" / "personae.yml").read_text())
    assert written["legal_basis"] == {"profiling": {"*": {"basis": "legitimate_interest", "statement": words}}}


def test_init_states_no_basis_for_a_company_that_delivers_consents(tmp_path: Path) -> None:
    consents = tmp_path / "consents.csv"
    consents.write_text("contact_id,recorded_at,purpose,consent_state\nc1,2026-01-05,profiling,granted\n")
    init_workspace(tmp_path / "shop", [consents])
    opened = Workspace.open(tmp_path / "shop")
    assert opened.settings.legal_basis == {}
    opened.check_before_run()


def test_a_basis_changes_the_features_and_the_smallest_cell_does_not(workspace: WorkspaceBuilder) -> None:
    before = workspace.orders().open().fingerprint()
    assert workspace.settings(minimum_cell=20).open().fingerprint() == before
    assert workspace.settings(legal_basis={"profiling": "because"}).open().fingerprint() != before

"""`datacontract lint`, the tool of the standard's community, finds nothing to complain of."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from data_contracts.changes import ContractChanges, changed_contract

FOLDER = Path(__file__).parents[3] / "data_contracts"
FILES = sorted(FOLDER.glob("*.odcs.yaml"))


@pytest.fixture(scope="module")
def lint(no_network: None):
    """The linter as `datacontract lint FILE` calls it, in this process: its start costs more than all files."""
    from datacontract.data_contract import DataContract

    def problems(path: Path) -> list[str]:
        run = DataContract(data_contract_file=str(path), all_errors=True).lint()
        assert run.checks
        return [f"{check.name}: {check.reason}" for check in run.checks if check.result.value != "passed"]

    return problems


@pytest.fixture(scope="module")
def no_network():
    """A connection to anywhere is an error: the schema is the one that came with the linter."""
    import socket

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(socket.socket, "connect", lambda *_: pytest.fail("the linter asks the network"))
        yield


@pytest.mark.parametrize("path", FILES, ids=[path.name for path in FILES])
def test_a_contract_file_is_linted_clean(lint, path):
    assert lint(path) == []


def test_the_linter_sees_what_is_wrong(lint, tmp_path):
    text = (FOLDER / "orders.odcs.yaml").read_text()
    (tmp_path / "orders.odcs.yaml").write_text(
        text.replace("mustBe: 0", "mustBe: nothing", 1).replace("id: ", "ident: ", 1)
    )
    assert lint(tmp_path / "orders.odcs.yaml") != []


def test_a_companys_file_and_what_becomes_of_it_are_linted_clean(lint, tmp_path):
    """The example of the README: a company's file is a document of the standard, and so is ours with its changes."""
    example = (FOLDER / "README.md").read_text().split("```yaml\n")[1].split("```")[0]
    change = changed_contract("orders", ContractChanges.model_validate(yaml.safe_load(example)))
    assert change.added_columns == ("store_id",)
    assert len(change.added_rules) == 2
    assert [loosening.is_critical for loosening in change.loosened] == [True]
    for text in (example, change.document.to_yaml()):
        (tmp_path / "orders.odcs.yaml").write_text(text)
        assert lint(tmp_path / "orders.odcs.yaml") == []

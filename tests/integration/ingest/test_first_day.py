"""A newcomer's first day: ready mappings, an export that is missing, rows that are wrong, and how they come back in.

What belongs here: the whole way along the messages that a person sees; each step has tests of its own elsewhere.
"""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestration.cli import EXIT_WRONG_SETTING, app
from orchestration.ingest.ledger import Ledger
from orchestration.ingest.load import IngestResult, ingest
from orchestration.warehouse import Warehouse
from orchestration.workspace import Workspace

CANARY = "jane.doe@canary.example"
CHARGES = "stripe/charge_data.csv"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A workspace made of Stripe's ready mappings, without its export."""
    done = CliRunner().invoke(
        app, ["init", str(tmp_path / "shop"), "--source", "stripe", "--legal-basis", "test 7, reviewed by Ada"]
    )
    assert done.exit_code == 0
    return tmp_path / "shop"


@pytest.fixture
def delivered(folder: Path, shared_data: Path) -> Path:
    """The same with its export, of which two charges of sixteen are wrong."""
    shutil.copytree(shared_data / "fivetran_seeds" / "stripe", folder / "stripe", copy_function=shutil.copyfile)

    def spoil(charges: list[dict[str, str]]) -> None:
        charges[2]["amount"] = CANARY
        charges[4]["created"] = "yesterday"

    change(folder, spoil)
    settings = folder / "personae.yml"
    settings.write_text(settings.read_text().replace("quarantine_threshold: 0.05", "quarantine_threshold: 0.2"))
    return folder


def change(folder: Path, how: Callable[[list[dict[str, str]]], None]) -> None:
    """Change the export's charges."""
    path = folder / CHARGES
    with path.open(newline="") as stream:
        charges = list(csv.DictReader(stream))
    how(charges)
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, charges[0])
        writer.writeheader()
        writer.writerows(charges)


def personae(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert "Traceback" not in done.output
    return done.exit_code, done.output


def load(folder: Path) -> IngestResult:
    """What a run does first."""
    workspace = Workspace.open(folder)
    workspace.state_folder.mkdir(exist_ok=True)
    with Warehouse.of(workspace).connect() as connection:
        result = ingest(connection, workspace)
        assert Ledger(connection).unaccounted("orders") == []
    return result


def orders(folder: Path) -> int:
    with Warehouse.of(Workspace.open(folder)).connect(read_only=True) as connection:
        return int(connection.execute("select count(*) from raw.orders").fetchall()[0][0])


def test_a_missing_export_is_asked_for_and_our_own_files_are_not_offered(folder: Path) -> None:
    status, told = personae("run", folder, "--week", "2025-06-02")
    assert status == EXIT_WRONG_SETTING
    assert told.startswith(f"{folder}/mappings/stripe_cancellations.yml:")
    assert told.endswith(f"no file matches 'stripe/subscription_data*' in {folder}; put the export there\n")


def test_wrong_rows_are_listed_explained_mended_and_come_back_in(delivered: Path) -> None:
    load(delivered)
    assert orders(delivered) == 14
    _, listed = personae("quarantine", delivered)
    assert listed.splitlines() == [
        f"orders  {CHARGES}",
        "          1 rows  order_amount is not a number",
        "          1 rows  ordered_at is not a timestamp",
        "--entity, --file and --row explain a row; after the fix, --retry judges all of them again.",
    ]
    row = ["quarantine", delivered, "--entity", "orders", "--file", CHARGES, "--row", 3]
    _, explained = personae(*row)
    assert explained.startswith(f"{CHARGES}, row 3 (mapping stripe_charges)\n  order_amount is not a number\n")
    assert "order_amount, computed: (amount::decimal(18, 2)" in explained
    assert CANARY not in listed + explained
    assert f"    amount = '{CANARY}'" in personae(*row, "--show-values")[1]

    assert "2 still wrong" in personae("quarantine", delivered, "--retry")[1]
    mapping = delivered / "mappings" / "stripe_charges.yml"
    mended = "(case when amount like '%@%' then '0' else amount end)::decimal(18, 2)"
    mapping.write_text(mapping.read_text().replace("(amount::decimal(18, 2)", f"({mended}"))
    status, told = personae("quarantine", delivered, "--retry")
    assert (status, "1 loaded" in told, "1 still wrong" in told) == (0, True, True)
    assert orders(delivered) == 15

    def correct(charges: list[dict[str, str]]) -> None:
        charges[4]["created"] = "2021-02-18 14:07:00"

    change(delivered, correct)
    assert [each.status for each in load(delivered).of("orders")] == ["corrected"]
    assert orders(delivered) == 16
    assert personae("quarantine", delivered) == (0, "No row is in quarantine.\n")


def test_a_file_with_too_many_wrong_rows_is_refused_and_what_was_loaded_before_stands(delivered: Path) -> None:
    load(delivered)

    def spoil(charges: list[dict[str, str]]) -> None:
        for charge in charges[:8]:
            charge["created"] = CANARY

    change(delivered, spoil)
    assert [each.status for each in load(delivered).of("orders")] == ["refused"]
    assert orders(delivered) == 14
    _, told = personae("quarantine", delivered)
    assert "refused whole by the last run: 8 of 16 rows are wrong, more than quarantine_threshold (20%)" in told
    assert CANARY not in told

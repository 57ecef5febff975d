"""Commands about what comes in: connectors, contracts, quarantine.

A command imports what it needs when it is called: `personae --help` shall not wait for Dagster.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestration.commands.shared import (
    EXIT_RUN_FAILED,
    DataFolder,
    Folder,
    console,
    fail,
    one_run_at_a_time,
    settings_errors,
    workspace_with_weeks,
)
from orchestration.settings_file import SettingsError, nearest
from orchestration.workspace import Workspace


def fetch(
    folder: Folder,
    connector: Annotated[
        list[str] | None, typer.Option("--connector", help="Only this one. Repeatable; default: all.")
    ] = None,
    data: DataFolder = None,
) -> None:
    """Fetch what is new behind the connectors of connectors.yml into the data folder; `personae run` does it too."""
    with settings_errors():
        workspace = Workspace.open(folder, data)
        _check_connector_names(workspace, connector or [])
    from orchestration.connectors.fetch import FetchError
    from orchestration.connectors.fetch import fetch as fetch_new

    with one_run_at_a_time(workspace), settings_errors():
        try:
            fetch_new(workspace, tuple(connector or ()), progress=console.print)
        except FetchError as error:
            fail(str(error), EXIT_RUN_FAILED)


def contracts(
    folder: Folder,
    output: Annotated[
        Path | None, typer.Option(help="Where to write the pages; default: .personae/contracts in the workspace.")
    ] = None,
) -> None:
    """Write a page per contract as it holds here, and tell what the workspace changes."""
    from data_contracts.documentation import write_contract_pages
    from orchestration.contracts import read_contracts
    from orchestration.workspace import STATE_FOLDER

    with settings_errors():
        if not folder.is_dir():
            raise SettingsError(folder, None, "the workspace is missing")
        held = read_contracts(folder)
    for line in held.in_words():
        console.print(line, markup=False)
    written = write_contract_pages(output or folder / STATE_FOLDER / "contracts", held.changed)
    console.print(f"  pages  {written[0]}")


def quarantine(
    folder: Folder,
    entity: Annotated[str | None, typer.Option(help="Only this entity.")] = None,
    file: Annotated[str | None, typer.Option(help="Only this file, as the list names it.")] = None,
    row: Annotated[int | None, typer.Option(min=1, help="Explain this row; needs --entity and --file.")] = None,
    retry: Annotated[
        bool, typer.Option("--retry", help="Judge the rows again and load those that are good now.")
    ] = False,
    show_values: Annotated[
        bool, typer.Option("--show-values", help="Tell what the rows say; it may be somebody's data.")
    ] = False,
    data: DataFolder = None,
) -> None:
    """List the rows that broke a critical rule, explain them, or load them after the fix."""
    from orchestration.ingest.quarantine import explanation, listing, open_read_only
    from orchestration.settings_file import nearest

    with settings_errors():
        workspace = Workspace.open(folder, data)
        if entity is not None and entity not in workspace.entities:
            raise SettingsError(folder, None, f"no mapping brings '{entity}'; {nearest(entity, workspace.entities)}")
        if (row or show_values) and not (entity and file):
            raise SettingsError(folder, None, "name the rows to explain: --entity and --file")
    if not workspace.warehouse_file.is_file():
        console.print("Nothing was loaded yet.")
        return
    if retry:
        _retry(workspace, entity, file)
        return
    try:
        with open_read_only(workspace.warehouse_file) as connection:
            lines = (
                explanation(connection, workspace, entity, file, row, show_values)
                if entity and file
                else listing(connection, workspace, entity, file)
            )
    except OSError:
        fail("another run is writing to this workspace's warehouse; try again", EXIT_RUN_FAILED)
    for line in lines:
        console.print(line, markup=False)


def _retry(workspace: Workspace, entity: str | None, file: str | None) -> None:
    from orchestration.ingest.redrive import redrive
    from orchestration.warehouse import Warehouse

    with one_run_at_a_time(workspace), Warehouse.of(workspace).connect() as connection:
        retries = redrive(connection, workspace, entity, file)
    for retry in retries:
        console.print(retry.in_words(), markup=False)
    loaded = sum(retry.redriven.loaded for retry in retries if retry.redriven)
    console.print(f"{loaded:,} rows came out of quarantine." if retries else "No row is in quarantine.")
    if loaded:
        console.print(f"They count from the next run on: personae run {workspace.folder}")


def _check_connector_names(workspace: Workspace, names: list[str]) -> None:
    from orchestration.connectors.settings import CONNECTORS_FILE

    known = [connector.name for connector in workspace.connectors]
    if not known:
        raise SettingsError(workspace.folder / CONNECTORS_FILE, None, "no connector is declared")
    for name in names:
        if name not in known:
            path = workspace.folder / CONNECTORS_FILE
            raise SettingsError(path, None, f"'{name}' is no connector; {nearest(name, known)}")


def dbt(
    folder: Folder,
    arguments: Annotated[
        list[str], typer.Argument(help="What dbt shall do, such as `build --select tag:features`.", show_default=False)
    ],
) -> None:
    """Run dbt by hand, with this workspace's settings; everything after the folder is dbt's."""
    workspace = workspace_with_weeks(folder)
    from orchestration.dbt_runs import run_by_hand

    with one_run_at_a_time(workspace):
        raise typer.Exit(run_by_hand(workspace, arguments))

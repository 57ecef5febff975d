"""Commands that make a workspace and run its weeks.

A command imports what it needs when it is called: `personae --help` shall not wait for Dagster.
"""

from __future__ import annotations

import os
import sys
import time
from datetime import date, datetime
from pathlib import Path
from typing import Annotated

import typer

from orchestration.commands.shared import (
    EXIT_RUN_FAILED,
    EXIT_WRONG_SETTING,
    DataFolder,
    Folder,
    console,
    day,
    fail,
    one_run_at_a_time,
    settings_errors,
    workspace_with_weeks,
)
from orchestration.legal_basis import why_nobody_may_be_contacted
from orchestration.settings_file import SettingsError
from orchestration.weeks import Week
from orchestration.workspace import Workspace


def init(
    folder: Annotated[Path, typer.Argument(help="The folder of the new workspace.")],
    extract: Annotated[
        list[Path] | None, typer.Option("--extract", help="A file of yours; a mapping is proposed for it. Repeatable.")
    ] = None,
    legal_basis: Annotated[
        str | None, typer.Option(help="In words: why people may be profiled where no consent is recorded.")
    ] = None,
    source: Annotated[
        list[str] | None,
        typer.Option("--source", help="A system with ready mappings, such as hubspot or stripe. Repeatable."),
    ] = None,
) -> None:
    """Write a commented personae.yml and example mappings."""
    from orchestration.init import BASIS_QUESTION, in_words, init_workspace, to_be_said

    if legal_basis is None and sys.stdin.isatty() and sys.stdout.isatty():
        legal_basis = typer.prompt(BASIS_QUESTION, default="", show_default=False) or None
    with settings_errors():
        written = init_workspace(folder, extract or [], source or [], legal_basis)
    for line in in_words(written):
        console.print(f"  {line}", markup=False)
    if left := to_be_said(written):
        console.print("Only you can say:", style="yellow")
        for line in left:
            console.print(f"  {line}", markup=False)
    console.print(f"Read these and correct what is wrong, then: [bold]personae run {folder}[/bold]")


def demo(
    folder: Annotated[Path, typer.Argument(help="The folder of the demo workspace.")],
    people: Annotated[int, typer.Option(min=100, help="How many people.")] = 10_000,
    weeks: Annotated[int, typer.Option(min=8, help="How many weeks of history.")] = 26,
    seed: Annotated[int, typer.Option(help="The same seed gives the same company.")] = 7,
    last_week: Annotated[datetime | None, day("Monday of the last week; default: the last complete week.")] = None,
    file_format: Annotated[str, typer.Option("--format", help="csv (as systems deliver) or parquet (fast).")] = "csv",
) -> None:
    """Generate the demo company: extracts, settings and mappings."""
    from examples.demo.generate import generate_demo

    started = time.perf_counter()
    with console.status("generating the demo company ..."):
        generate_demo(
            folder,
            people=people,
            weeks=weeks,
            seed=seed,
            last_week=last_week.date() if last_week else None,
            file_format="parquet" if file_format == "parquet" else "csv",
        )
    console.print(f"✓ demo company of {people:,} people in {folder} ({time.perf_counter() - started:.1f} s)")


def run(
    folder: Folder,
    week: Annotated[datetime | None, day("Any day of the week to run; default: the last complete week.")] = None,
    weeks: Annotated[int, typer.Option(min=1, max=520, help="Backfill this many weeks, ending with --week.")] = 1,
    data: DataFolder = None,
) -> None:
    """Run the weekly job for a week, or backfill many."""
    started = time.perf_counter()
    with settings_errors():
        workspace = Workspace.open(folder, data)
        wanted = _wanted_weeks(workspace, week.date() if week else None, weeks)
        _check_extracts(workspace)
        workspace.check_before_run()
        _check_personas(workspace)
    for sentence in workspace.contracts.loosened():
        console.print(sentence, style="yellow", markup=False)
    with one_run_at_a_time(workspace):
        from orchestration.weekly_run import run_weekly_job

        succeeded = run_weekly_job(workspace, wanted, console)
    seconds = time.perf_counter() - started
    if not succeeded:
        console.print(f"[bold red]The run failed[/bold red] after {seconds:.0f} s. What was published before stands.")
        raise typer.Exit(EXIT_RUN_FAILED)
    _print_outcome(workspace, wanted, seconds)


def rollback(
    folder: Folder,
    week: Annotated[datetime | None, day("From this week on; default: the latest one that was run.")] = None,
    target: Annotated[
        str | None, typer.Option(help="The target whose propensity model is meant; default: the persona model.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Why, for whoever reads it later.")] = "",
    data: DataFolder = None,
) -> None:
    """Go back from the standing persona model, or a target's, to the one before it. Earlier weeks stay as they are."""
    from orchestration.turning_back import NothingToTurnBackFrom, turn_back
    from orchestration.warehouse import Warehouse

    workspace = workspace_with_weeks(folder, data)
    try:
        with one_run_at_a_time(workspace), Warehouse.of(workspace).connect(read_only=True) as connection:
            turned = turn_back(connection, workspace, Week.containing(week.date()) if week else None, reason, target)
    except NothingToTurnBackFrom as error:
        fail(str(error), EXIT_WRONG_SETTING)
    console.print(
        f"From week {turned.from_week.key} on, the model of week {turned.fitted.key} is not used; the one of week "
        f"{turned.back_to.key} is. Written to {turned.path}."
    )
    console.print(
        f"Publish again with: [bold]personae run {folder} --week {turned.last_week.key} --weeks {turned.weeks}[/bold]"
    )


def ui(
    folder: Folder,
    port: Annotated[int, typer.Option(help="The port on this machine.")] = 3000,
    data: DataFolder = None,
) -> None:
    """Open Dagster's UI on this workspace; the Monday schedule and the sensor run while it is open."""
    with settings_errors():
        workspace = Workspace.open(folder, data)
    from orchestration.dagster_home import open_instance
    from orchestration.dbt_runs import prepare_manifest
    from orchestration.definitions import DATA_VARIABLE, WORKSPACE_VARIABLE

    open_instance(workspace).dispose()
    with console.status("reading the dbt project ..."):
        prepare_manifest(workspace)
    os.environ |= {WORKSPACE_VARIABLE: str(workspace.folder), DATA_VARIABLE: str(workspace.data_folder)}
    os.environ.setdefault("PYTHONWARNINGS", "ignore")  # libraries' own, of no use to who reads the terminal
    console.print(f"Dagster's UI: http://127.0.0.1:{port}  (Ctrl-C ends it)")
    dagster = str(Path(sys.executable).with_name("dagster"))
    command = [dagster, "dev", "-m", "orchestration.definitions", "-h", "127.0.0.1", "-p", str(port)]
    sys.stdout.flush()
    # In place of this process, so that whatever ends it ends Dagster's.
    os.execv(dagster, [*command, "--log-level", "warning"])  # noqa: S606


def _wanted_weeks(workspace: Workspace, day: date | None, weeks: int) -> list[Week]:
    last_complete = Week.last_complete(datetime.now(workspace.timezone))
    last = Week.containing(day) if day else last_complete
    if last > last_complete:
        raise SettingsError(
            workspace.folder, None, f"the week {last.key} is not over; the last one is {last_complete.key}"
        )
    first = last.back(weeks - 1)
    if first < workspace.first_week:
        raise SettingsError(
            workspace.folder,
            None,
            f"the week {first.key} lies before first_week ({workspace.first_week.key}) in personae.yml",
        )
    return first.until(last)


def _check_personas(workspace: Workspace) -> None:
    """Personas that audiences name, before anything runs; of a warehouse that somebody writes to the run will tell."""
    activation = workspace.activation_file.activation
    if activation.is_declared:
        from orchestration.activation_file import check_personas
        from orchestration.audience_week import personas_of_all_weeks

        known = personas_of_all_weeks(workspace.warehouse_file)
        check_personas(
            workspace.folder, activation, known | set(workspace.personas_file.rename.values()) if known else ()
        )


def _check_extracts(workspace: Workspace) -> None:
    from orchestration.ingest.extracts import check_extracts
    from orchestration.ingest.tables import loaded_sources

    check_extracts(workspace, loaded_sources(workspace.warehouse_file))


def _print_outcome(workspace: Workspace, weeks: list[Week], seconds: float) -> None:
    from orchestration.ingest.tables import newest_row

    latest = workspace.published_folder / "latest"
    which = weeks[0].key if len(weeks) == 1 else f"{weeks[0].key} to {weeks[-1].key}"
    console.print(f"\n[bold green]Done[/bold green] in {seconds:.0f} s, week {which}.")
    console.print(f"  report            {latest / 'report.html'}")
    console.print(f"  published tables  {latest}/*.parquet")
    console.print(f"  activation files  {workspace.activation_folder / weeks[-1].key}/*.csv")
    console.print(f"  lineage, runs     personae ui {workspace.folder}")
    _print_audiences(workspace, weeks[-1])
    settings = workspace.settings
    why = why_nobody_may_be_contacted(settings.legal_basis, settings.activation.purpose, workspace.entities)
    if why and not workspace.activation_file.activation.is_declared:
        console.print(why, style="yellow", markup=False)
    newest = newest_row(workspace.warehouse_file)
    if newest and newest.date() < weeks[-1].monday:
        there = f"--week {Week.containing(newest.date()).key}"
        words = f"The newest row is from {newest.date()}, before that week; to go there: {there}"
        console.print(words, style="yellow")


def _print_audiences(workspace: Workspace, week: Week) -> None:
    """Audiences that were held back, and why; where a workspace declares audiences, how many people each has."""
    from orchestration.audience_week import BLOCKED, told_of
    from orchestration.warehouse import Warehouse

    with Warehouse.of(workspace).connect(read_only=True) as connection:
        audiences = told_of(connection, week)
    if workspace.activation_file.activation.is_declared:
        people = ", ".join(f"{one['audience']} {one['approved']:,}" for one in audiences)
        console.print(f"  audiences         {people}", markup=False)
    by_hand = [name for name, one in workspace.activation_file.destinations.items() if not one.is_weekly]
    if by_hand:
        console.print(f"  sent by hand      personae sync {workspace.folder}   ({', '.join(by_hand)})", markup=False)
    for one in audiences:
        if one["state"] == BLOCKED:
            words = f"{one['audience']} was held back, what was published before stands: {one['state_reason']}"
            console.print(words, style="yellow", markup=False)

"""Commands about what goes out, and to whom.

A command imports what it needs when it is called: `personae --help` shall not wait for Dagster.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from orchestration.commands.shared import (
    EXIT_RUN_FAILED,
    EXIT_WRONG_SETTING,
    DataFolder,
    Folder,
    ShownWeek,
    check_has_run,
    console,
    day,
    fail,
    one_run_at_a_time,
    settings_errors,
    workspace_with_weeks,
)
from orchestration.settings_file import SettingsError
from orchestration.weeks import Week
from orchestration.workspace import Workspace


def preview(
    folder: Folder,
    audience: Annotated[str, typer.Option(help="An audience of activation.yml.")],
    persona: Annotated[str, typer.Option(help="A persona, by id or name.")],
    week: ShownWeek = None,
    data: DataFolder = None,
) -> None:
    """Show what an audience sends of a persona's people, and how its texts read; nobody's data are shown."""
    from orchestration.preview import NothingToPreview
    from orchestration.preview import preview as show
    from orchestration.warehouse import Warehouse

    workspace = workspace_with_weeks(folder, data)
    try:
        with Warehouse.of(workspace).connect(read_only=True) as connection:
            wanted = Week.containing(week.date()) if week else None
            for line in show(connection, workspace, audience, persona, wanted):
                console.print(line, markup=False)
    except NothingToPreview as error:
        fail(str(error), EXIT_WRONG_SETTING)


def sync(
    folder: Folder,
    destination: Annotated[
        list[str] | None, typer.Option(help="Only this destination of activation.yml. Repeatable; default: all.")
    ] = None,
    week: Annotated[datetime | None, day("Any day of a week of the last run; default: the newest.")] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Say what would be sent, and send nothing.")] = False,
    full: Annotated[bool, typer.Option("--full", help="Send every member again, changed or not.")] = False,
    allow_mass_removal: Annotated[
        bool,
        typer.Option("--allow-mass-removal", help="You looked at the plan: let it remove as many as it wants to."),
    ] = False,
    data: DataFolder = None,
) -> None:
    """Bring destinations up to date with a week's audiences, and prove it by what they say they hold."""
    from orchestration.sync_command import Request, sync_all
    from orchestration.warehouse import WarehouseBusy

    with settings_errors():
        workspace = Workspace.open(folder, data)
        wanted = Week.containing(week.date()) if week else None
        asked = Request(tuple(destination or ()), wanted, plan, full, allow_mass_removal)
        names = asked.names(workspace)
    check_has_run(workspace)
    with one_run_at_a_time(workspace), settings_errors():
        try:
            is_well = sync_all(workspace, asked, names, console)
        except WarehouseBusy as error:
            fail(str(error), EXIT_RUN_FAILED)
    if not is_well:
        raise typer.Exit(EXIT_RUN_FAILED)


def lookalike(
    folder: Folder,
    persona: Annotated[
        list[str] | None, typer.Option(help="The seed: a persona, found or defined, by id or name. Repeatable.")
    ] = None,
    seed: Annotated[
        str | None,
        typer.Option(help="The seed in the words of personae.yml, such as 'propensity: {churn: high}'."),
    ] = None,
    size: Annotated[int, typer.Option(min=1, help="How many people to list at most.")] = 1_000,
    grow: Annotated[bool, typer.Option("--grow", help="Add those high in the characteristics of --on.")] = False,
    on: Annotated[
        str | None, typer.Option(help="Features, targets, phrases: 'API,active_days_28d,days_since_last_event:low'.")
    ] = None,
    method: Annotated[str, typer.Option(help="classifiers, or distance to the seed's centre.")] = "classifiers",
    platform: Annotated[
        list[str] | None, typer.Option(help="Only files for this ad platform: google, meta, linkedin, tiktok.")
    ] = None,
    name: Annotated[str, typer.Option(help="What to call the list and its files.")] = "lookalike",
    week: ShownWeek = None,
    data: DataFolder = None,
) -> None:
    """Find people who are like a seed, or grow it, and write who may be reached, also hashed for ad platforms."""
    from orchestration.dbt_runs import prepare_manifest
    from orchestration.feature_catalogue import read_catalogue
    from orchestration.lookalike_command import NoSuchWeek, Request, find_and_write
    from orchestration.warehouse import Warehouse

    with settings_errors():
        workspace = Workspace.open(folder, data)
        asked = Request(name, tuple(persona or ()), seed, size, on if grow else None, method, tuple(platform or ()))
        if grow != bool(on):
            raise SettingsError(folder, None, "--grow and --on belong together: --grow --on a,b,c")
        settings = asked.settings(workspace)
    check_has_run(workspace)
    manifest = prepare_manifest(workspace)
    wanted = Week.containing(week.date()) if week else None
    with one_run_at_a_time(workspace), Warehouse.of(workspace).connect(read_only=True) as connection:
        catalogue = read_catalogue(connection, workspace, manifest)
        try:
            done = find_and_write(connection, workspace, catalogue, wanted, name, settings)
        except NoSuchWeek as error:
            fail(str(error), EXIT_WRONG_SETTING)
    if done.lookalike.abstained_reason:
        fail(done.lookalike.abstained_reason, EXIT_RUN_FAILED)
    for line in done.in_words():
        console.print(line, markup=False)


def suggest_phrases(folder: Folder, data: DataFolder = None) -> None:
    """Propose phrases for brand/phrases.yml, from the brief and from what people say; nothing enters by itself."""
    from contextlib import nullcontext

    from orchestration.phrase_suggestions import suggest_phrases as suggest
    from orchestration.phrase_suggestions import write_proposal
    from orchestration.warehouse import Warehouse

    with settings_errors():
        workspace = Workspace.open(folder, data)
        has_run = workspace.warehouse_file.is_file()
        with Warehouse.of(workspace).connect() if has_run else nullcontext() as connection:
            candidates = suggest(connection, workspace)
    for one in candidates:
        console.print(f"{one.list_name[:-1]:8} {one.phrase}", style="bold", markup=False)
        console.print(f"         {'; '.join(one.reasons)}", markup=False)
        for sample in one.samples:
            console.print(f"           {sample}", markup=False, style="dim")
    path = write_proposal(workspace, candidates)
    console.print(f"{len(candidates)} proposals. Copy what you accept from {path} to {path.with_name('phrases.yml')}.")

"""The command `personae`: thin over the job that Dagster schedules."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from orchestration.garbage import seldom_looked_for
from orchestration.settings_file import SettingsError, nearest
from orchestration.weeks import Week
from orchestration.workspace import Workspace

EXIT_RUN_FAILED = 1
EXIT_WRONG_SETTING = 2

app = typer.Typer(
    help="Find out who your customers are, every week.", no_args_is_help=True, pretty_exceptions_enable=False
)
console = Console(highlight=False, soft_wrap=True)

Folder = Annotated[Path, typer.Argument(help="The workspace: the folder with personae.yml.")]
DataFolder = Annotated[
    Path | None, typer.Option("--data", help="Where the extracts are, in place of `data:` in personae.yml.")
]


@app.command()
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
    from orchestration.init import BASIS_QUESTION, init_workspace

    if legal_basis is None and sys.stdin.isatty() and sys.stdout.isatty():
        legal_basis = typer.prompt(BASIS_QUESTION, default="", show_default=False) or None
    with _settings_errors():
        written = init_workspace(folder, extract or [], source or [], legal_basis)
    for path in written:
        console.print(f"  {path}")
    console.print(f"Edit these, then: [bold]personae run {folder}[/bold]")


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="The folder of the demo workspace.")],
    people: Annotated[int, typer.Option(min=100, help="How many people.")] = 10_000,
    weeks: Annotated[int, typer.Option(min=8, help="How many weeks of history.")] = 26,
    seed: Annotated[int, typer.Option(help="The same seed gives the same company.")] = 7,
    last_week: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Monday of the last week; default: the last complete week."),
    ] = None,
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


@app.command()
def run(
    folder: Folder,
    week: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Any day of the week to run; default: the last complete week."),
    ] = None,
    weeks: Annotated[int, typer.Option(min=1, max=520, help="Backfill this many weeks, ending with --week.")] = 1,
    data: DataFolder = None,
) -> None:
    """Run the weekly job for a week, or backfill many."""
    started = time.perf_counter()
    with _settings_errors():
        workspace = Workspace.open(folder, data)
        wanted = _wanted_weeks(workspace, week.date() if week else None, weeks)
        _check_extracts(workspace)
        workspace.check_before_run()
        _check_personas(workspace)
    for sentence in workspace.contracts.loosened():
        console.print(sentence, style="yellow", markup=False)
    with _one_run_at_a_time(workspace):
        from orchestration.weekly_run import run_weekly_job

        succeeded = run_weekly_job(workspace, wanted, console)
    seconds = time.perf_counter() - started
    if not succeeded:
        console.print(f"[bold red]The run failed[/bold red] after {seconds:.0f} s. What was published before stands.")
        raise typer.Exit(EXIT_RUN_FAILED)
    _print_outcome(workspace, wanted, seconds)


@app.command()
def why(
    folder: Folder,
    person: Annotated[str, typer.Argument(help="A person id, a contact id or an address.")],
    week: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d"], help="Any day of the week to look at; default: the latest one that was run."
        ),
    ] = None,
    not_in: Annotated[
        str | None, typer.Option("--not", help="Why not in this persona (id or name); default: the runner-up.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    data: DataFolder = None,
) -> None:
    """Say why a person is in a persona, a band and an audience, what they were sent, and that the erased never are."""
    from orchestration.dbt_runs import prepare_manifest
    from orchestration.feature_catalogue import read_catalogue
    from orchestration.warehouse import Warehouse
    from orchestration.why import NotFound, Question, answer, answer_of_erased
    from orchestration.why_erased import erasure_of, tables_without

    with _settings_errors():
        workspace = Workspace.open(folder, data)
    if not workspace.warehouse_file.is_file():
        _fail("no week was run yet; `personae run DIR` first", EXIT_WRONG_SETTING)
    question = Question(person, Week.containing(week.date()) if week else None, not_in)
    with Warehouse.of(workspace).connect(read_only=True) as connection:
        erasure = erasure_of(connection, workspace, person)
    if erasure is not None:
        told = answer_of_erased(erasure.with_refusal(tables_without(workspace, person)))
    else:
        manifest = prepare_manifest(workspace)
        try:
            with Warehouse.of(workspace).connect(read_only=True) as connection:
                told = answer(connection, workspace, read_catalogue(connection, workspace, manifest), question)
        except NotFound as error:
            _fail(str(error), EXIT_WRONG_SETTING)
    if as_json:
        print(told.to_json())
    for line in () if as_json else told.lines:
        console.print(line, markup=False)
    if erasure is not None and not told.facts["every_place_refuses"]:
        raise typer.Exit(EXIT_RUN_FAILED)


@app.command()
def preview(
    folder: Folder,
    audience: Annotated[str, typer.Option(help="An audience of activation.yml.")],
    persona: Annotated[str, typer.Option(help="A persona, by id or name.")],
    week: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Any day of the week to look at; default: the latest that was run."),
    ] = None,
    data: DataFolder = None,
) -> None:
    """Show what an audience sends of a persona's people, and how its texts read; nobody's data are shown."""
    from orchestration.preview import NothingToPreview
    from orchestration.preview import preview as show
    from orchestration.warehouse import Warehouse

    with _settings_errors():
        workspace = Workspace.open(folder, data)
    if not workspace.warehouse_file.is_file():
        _fail("no week was run yet; `personae run DIR` first", EXIT_WRONG_SETTING)
    try:
        with Warehouse.of(workspace).connect(read_only=True) as connection:
            wanted = Week.containing(week.date()) if week else None
            for line in show(connection, workspace, audience, persona, wanted):
                console.print(line, markup=False)
    except NothingToPreview as error:
        _fail(str(error), EXIT_WRONG_SETTING)


@app.command()
def sync(
    folder: Folder,
    destination: Annotated[
        list[str] | None, typer.Option(help="Only this destination of activation.yml. Repeatable; default: all.")
    ] = None,
    week: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Any day of a week of the last run; default: the newest."),
    ] = None,
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

    with _settings_errors():
        workspace = Workspace.open(folder, data)
        wanted = Week.containing(week.date()) if week else None
        asked = Request(tuple(destination or ()), wanted, plan, full, allow_mass_removal)
        names = asked.names(workspace)
    if not workspace.warehouse_file.is_file():
        _fail("no week was run yet; `personae run DIR` first", EXIT_WRONG_SETTING)
    with _one_run_at_a_time(workspace), _settings_errors():
        try:
            is_well = sync_all(workspace, asked, names, console)
        except WarehouseBusy as error:
            _fail(str(error), EXIT_RUN_FAILED)
    if not is_well:
        raise typer.Exit(EXIT_RUN_FAILED)


@app.command()
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
    week: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d"], help="Any day of the week to look at; default: the latest one that was run."
        ),
    ] = None,
    data: DataFolder = None,
) -> None:
    """Find people who are like a seed, or grow it, and write who may be reached, also hashed for ad platforms."""
    from orchestration.dbt_runs import prepare_manifest
    from orchestration.feature_catalogue import read_catalogue
    from orchestration.lookalike_command import NoSuchWeek, Request, find_and_write
    from orchestration.warehouse import Warehouse

    with _settings_errors():
        workspace = Workspace.open(folder, data)
        asked = Request(name, tuple(persona or ()), seed, size, on if grow else None, method, tuple(platform or ()))
        if grow != bool(on):
            raise SettingsError(folder, None, "--grow and --on belong together: --grow --on a,b,c")
        settings = asked.settings(workspace)
    if not workspace.warehouse_file.is_file():
        _fail("no week was run yet; `personae run DIR` first", EXIT_WRONG_SETTING)
    manifest = prepare_manifest(workspace)
    wanted = Week.containing(week.date()) if week else None
    with _one_run_at_a_time(workspace), Warehouse.of(workspace).connect(read_only=True) as connection:
        catalogue = read_catalogue(connection, workspace, manifest)
        try:
            done = find_and_write(connection, workspace, catalogue, wanted, name, settings)
        except NoSuchWeek as error:
            _fail(str(error), EXIT_WRONG_SETTING)
    if done.lookalike.abstained_reason:
        _fail(done.lookalike.abstained_reason, EXIT_RUN_FAILED)
    for line in done.in_words():
        console.print(line, markup=False)


@app.command(name="suggest-phrases")
def suggest_phrases(folder: Folder, data: DataFolder = None) -> None:
    """Propose phrases for brand/phrases.yml, from the brief and from what people say; nothing enters by itself."""
    from contextlib import nullcontext

    from orchestration.phrase_suggestions import suggest_phrases as suggest
    from orchestration.phrase_suggestions import write_proposal
    from orchestration.warehouse import Warehouse

    with _settings_errors():
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


@app.command()
def rollback(
    folder: Folder,
    week: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="From this week on; default: the latest one that was run."),
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="The target whose propensity model is meant; default: the persona model.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Why, for whoever reads it later.")] = "",
    data: DataFolder = None,
) -> None:
    """Go back from the standing persona model, or a target's, to the one before it. Earlier weeks stay as they are."""
    from orchestration.turning_back import NothingToTurnBackFrom, turn_back
    from orchestration.warehouse import Warehouse

    with _settings_errors():
        workspace = Workspace.open(folder, data)
    if not workspace.warehouse_file.is_file():
        _fail("no week was run yet; `personae run DIR` first", EXIT_WRONG_SETTING)
    try:
        with _one_run_at_a_time(workspace), Warehouse.of(workspace).connect(read_only=True) as connection:
            turned = turn_back(connection, workspace, Week.containing(week.date()) if week else None, reason, target)
    except NothingToTurnBackFrom as error:
        _fail(str(error), EXIT_WRONG_SETTING)
    console.print(
        f"From week {turned.from_week.key} on, the model of week {turned.fitted.key} is not used; the one of week "
        f"{turned.back_to.key} is. Written to {turned.path}."
    )
    console.print(
        f"Publish again with: [bold]personae run {folder} --week {turned.last_week.key} --weeks {turned.weeks}[/bold]"
    )


@app.command()
def fetch(
    folder: Folder,
    connector: Annotated[
        list[str] | None, typer.Option("--connector", help="Only this one. Repeatable; default: all.")
    ] = None,
    data: DataFolder = None,
) -> None:
    """Fetch what is new behind the connectors of connectors.yml into the data folder; `personae run` does it too."""
    with _settings_errors():
        workspace = Workspace.open(folder, data)
        _check_connector_names(workspace, connector or [])
    from orchestration.connectors.fetch import FetchError
    from orchestration.connectors.fetch import fetch as fetch_new

    with _one_run_at_a_time(workspace), _settings_errors():
        try:
            fetch_new(workspace, tuple(connector or ()), progress=console.print)
        except FetchError as error:
            _fail(str(error), EXIT_RUN_FAILED)


@app.command()
def ui(
    folder: Folder,
    port: Annotated[int, typer.Option(help="The port on this machine.")] = 3000,
    data: DataFolder = None,
) -> None:
    """Open Dagster's UI on this workspace; the Monday schedule and the sensor run while it is open."""
    with _settings_errors():
        workspace = Workspace.open(folder, data)
    from orchestration.dagster_home import open_instance
    from orchestration.dbt_runs import prepare_manifest
    from orchestration.definitions import DATA_VARIABLE, WORKSPACE_VARIABLE

    open_instance(workspace).dispose()
    with console.status("reading the dbt project ..."):
        prepare_manifest(workspace)
    os.environ |= {WORKSPACE_VARIABLE: str(workspace.folder), DATA_VARIABLE: str(workspace.data_folder)}
    console.print(f"Dagster's UI: http://127.0.0.1:{port}  (Ctrl-C ends it)")
    dagster = str(Path(sys.executable).with_name("dagster"))
    command = [dagster, "dev", "-m", "orchestration.definitions", "-h", "127.0.0.1", "-p", str(port)]
    raise typer.Exit(subprocess.run([*command, "--log-level", "warning"], check=False).returncode)  # noqa: S603


@app.command()
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

    with _settings_errors():
        if not folder.is_dir():
            raise SettingsError(folder, None, "the workspace is missing")
        held = read_contracts(folder)
    for line in held.in_words():
        console.print(line, markup=False)
    written = write_contract_pages(output or folder / STATE_FOLDER / "contracts", held.changed)
    console.print(f"  pages  {written[0]}")


@app.command()
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

    with _settings_errors():
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
        _fail("another run is writing to this workspace's warehouse; try again", EXIT_RUN_FAILED)
    for line in lines:
        console.print(line, markup=False)


def _retry(workspace: Workspace, entity: str | None, file: str | None) -> None:
    from orchestration.ingest.redrive import redrive
    from orchestration.warehouse import Warehouse

    with _one_run_at_a_time(workspace), Warehouse.of(workspace).connect() as connection:
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


@app.command()
def erase(
    folder: Folder,
    identifiers: Annotated[
        list[str] | None,
        typer.Argument(
            help="Addresses, contact ids or person ids, or a file with one per line; none: finish what was begun."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would go.")] = False,
    reference: Annotated[
        str | None, typer.Option(help="Who asked, or under which number; it is kept, so name nobody who is erased.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    data: DataFolder = None,
) -> None:
    """Erase people from every table and file, for good: they never come back in, and never go out again."""
    import json

    from orchestration.erasure import ErasureFailed, NotErased, survey
    from orchestration.erasure import erase as erase_people
    from orchestration.erasure_people import read_identifiers

    with _settings_errors():
        workspace = Workspace.open(folder, data)
    if not workspace.warehouse_file.is_file():
        _fail("no week was run yet; `personae run DIR` first", EXIT_WRONG_SETTING)
    given = read_identifiers(identifiers or [])
    if identifiers and not given:
        _fail("there is no identifier in what was given", EXIT_WRONG_SETTING)
    if dry_run and not given:
        _fail("say whom: --dry-run needs identifiers", EXIT_WRONG_SETTING)
    progress = (lambda _: None) if as_json else (lambda words: console.print(f"{words} ...", style="dim"))
    try:
        with _one_run_at_a_time(workspace):
            erased = survey(workspace, given) if dry_run else erase_people(workspace, given, reference, progress)
    except NotErased as error:
        _fail(str(error), EXIT_WRONG_SETTING)
    except ErasureFailed as error:
        _fail(str(error), EXIT_RUN_FAILED)
    if as_json:
        print(json.dumps(erased.to_dict(), indent=2))
        return
    for line in erased.in_words():
        console.print(line, markup=False)


@app.command()
def identity(folder: Folder, contact: Annotated[str, typer.Argument(help="A contact's id.")]) -> None:
    """Say who a contact is merged with, and by what."""
    from orchestration.identity import LINKS_IN_WORDS, explain

    with _settings_errors():
        told = explain(Workspace.open(folder), contact)
    console.print(f"[bold]{told.person_id}[/bold]")
    for member in told.members:
        console.print(f"  {member.kind:8} {member.identity_id}  since {member.since:%Y-%m-%d}: {member.why}")
    if told.links:
        console.print("Links")
    for link in told.links:
        weight = f", weight {link.weight:.1f}" if link.weight is not None else ""
        console.print(f"  {link.one} and {link.other}: {LINKS_IN_WORDS[link.kind]} since {link.since:%Y-%m-%d}{weight}")
        for column, value in link.weights_by_column.items():
            console.print(f"      {column:20} {value:+.1f}")
    console.print(f"How contact {contact} came here")
    for as_of, why in told.history:
        console.print(f"  week ending {as_of}: {why}")
    for each in told.decisions:
        console.print(
            f"Kept apart since the week {each.from_week.key}: {' and '.join(each.contacts)}. {each.why or ''}"
        )


@app.command()
def unmerge(
    folder: Folder,
    contact: Annotated[str, typer.Argument(help="A contact's id.")],
    other: Annotated[str, typer.Argument(help="The id of a contact that is somebody else.")],
    from_week: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Any day of the first week it holds in; default: the last week run."),
    ] = None,
    by: Annotated[str | None, typer.Option(help="Who decided.")] = None,
    why: Annotated[str | None, typer.Option(help="For what reason.")] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Take the decision back.")] = False,
) -> None:
    """Split two contacts that are not one person, for good."""
    from orchestration.identity import keep_apart, keep_apart_no_more, last_week_run
    from orchestration.identity_settings import DECISIONS_FILE, Decision

    with _settings_errors():
        workspace = Workspace.open(folder)
        if undo:
            keep_apart_no_more(workspace, contact, other)
            console.print(f"✓ {contact} and {other} may be one person again. Next: [bold]personae run {folder}[/bold]")
            return
        now = datetime.now(workspace.timezone)
        week = Week.containing(from_week.date()) if from_week else last_week_run(workspace) or Week.last_complete(now)
        keep_apart(workspace, Decision((contact, other), week, now.date(), by, why))
    console.print(f"✓ {contact} and {other} are two people from the week {week.key} on ({DECISIONS_FILE}).")
    console.print(
        f"Earlier weeks stand as they were published. Next: [bold]personae run {folder} --week {week.key}[/bold]"
    )


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


@contextmanager
def _settings_errors() -> Iterator[None]:
    """A wrong setting is one line and exit status 2, never a traceback."""
    try:
        yield
    except SettingsError as error:
        _fail(str(error), EXIT_WRONG_SETTING)


@contextmanager
def _one_run_at_a_time(workspace: Workspace) -> Iterator[None]:
    workspace.state_folder.mkdir(parents=True, exist_ok=True)
    with (workspace.state_folder / "run.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _fail("another run or sync of this workspace is going on; try again when it is over", EXIT_RUN_FAILED)
        yield


def _fail(message: str, status: int) -> NoReturn:
    Console(stderr=True, highlight=False, soft_wrap=True).print(message, style="red", markup=False)
    raise typer.Exit(status)


def main() -> None:
    """The command `personae`."""
    warnings.simplefilter("ignore")
    with seldom_looked_for():
        app()


if __name__ == "__main__":
    main()

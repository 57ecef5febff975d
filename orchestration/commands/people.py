"""Commands about single people: why, who they are, and their erasure.

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
    console,
    day,
    fail,
    one_run_at_a_time,
    settings_errors,
    workspace_with_weeks,
)
from orchestration.weeks import Week
from orchestration.workspace import Workspace


def why(
    folder: Folder,
    person: Annotated[str, typer.Argument(help="A person id, a contact id or an address.")],
    week: ShownWeek = None,
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

    workspace = workspace_with_weeks(folder, data)
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
            fail(str(error), EXIT_WRONG_SETTING)
    if as_json:
        print(told.to_json())
    for line in () if as_json else told.lines:
        console.print(line, markup=False)
    if erasure is not None and not told.facts["every_place_refuses"]:
        raise typer.Exit(EXIT_RUN_FAILED)


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

    workspace = workspace_with_weeks(folder, data)
    given = read_identifiers(identifiers or [])
    if identifiers and not given:
        fail("there is no identifier in what was given", EXIT_WRONG_SETTING)
    if dry_run and not given:
        fail("say whom: --dry-run needs identifiers", EXIT_WRONG_SETTING)
    progress = (lambda _: None) if as_json else (lambda words: console.print(f"{words} ...", style="dim"))
    try:
        with one_run_at_a_time(workspace):
            erased = survey(workspace, given) if dry_run else erase_people(workspace, given, reference, progress)
    except NotErased as error:
        fail(str(error), EXIT_WRONG_SETTING)
    except ErasureFailed as error:
        fail(str(error), EXIT_RUN_FAILED)
    if as_json:
        print(json.dumps(erased.to_dict(), indent=2))
        return
    for line in erased.in_words():
        console.print(line, markup=False)


def identity(folder: Folder, contact: Annotated[str, typer.Argument(help="A contact's id.")]) -> None:
    """Say who a contact is merged with, and by what."""
    from orchestration.identity import LINKS_IN_WORDS, explain

    with settings_errors():
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


def unmerge(
    folder: Folder,
    contact: Annotated[str, typer.Argument(help="A contact's id.")],
    other: Annotated[str, typer.Argument(help="The id of a contact that is somebody else.")],
    from_week: Annotated[datetime | None, day("Any day of the first week it holds in; default: the last run.")] = None,
    by: Annotated[str | None, typer.Option(help="Who decided.")] = None,
    why: Annotated[str | None, typer.Option(help="For what reason.")] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Take the decision back.")] = False,
) -> None:
    """Split two contacts that are not one person, for good."""
    from orchestration.identity import keep_apart, keep_apart_no_more, last_week_run
    from orchestration.identity_settings import DECISIONS_FILE, Decision

    with settings_errors():
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

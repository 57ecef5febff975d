"""What `personae sync` does: one destination after the other, with a progress bar, the plan, the result, the receipt.

What belongs here: what a person sees in the shell, and the exit status. `sync_week.py` does the work.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from activation.gate_terms import GateError
from orchestration.activation_file import ACTIVATION_FILE
from orchestration.settings_file import SettingsError, nearest
from orchestration.sync_connectors import channels_of, connector_of
from orchestration.sync_events import tell_dagster
from orchestration.sync_week import DestinationSync, OlderWeek, forgotten_destinations, newest_week, sync_destination
from orchestration.sync_words import headline, hint, plan_lines, result_lines
from orchestration.warehouse import Warehouse
from orchestration.weeks import Week
from orchestration.workspace import Workspace


@dataclass(frozen=True)
class Request:
    """What the command line asks for.

    Attributes:
        destinations: Names; none means all.
        week: One of the weeks of the last run; None means the newest.
        is_plan: Whether nothing is sent.
        full: Whether every member is sent again.
        allow_mass_removal: Whether the guards on removal are lifted.
    """

    destinations: tuple[str, ...] = ()
    week: Week | None = None
    is_plan: bool = False
    full: bool = False
    allow_mass_removal: bool = False

    def names(self, workspace: Workspace) -> list[str]:
        """The destinations that are meant, in order of the file, each of which can be made.

        Raises:
            SettingsError: There is none of a name, or none at all, or a credential is missing.
        """
        known = list(workspace.activation_file.destinations)
        path = workspace.folder / ACTIVATION_FILE
        if not known:
            raise SettingsError(path, None, "no destination is declared; files are written by `personae run`")
        for name in self.destinations:
            if name not in known:
                raise SettingsError(path, None, f"'{name}' is no destination; {nearest(name, known)}")
        names = [name for name in known if not self.destinations or name in self.destinations]
        for name in names:
            connector_of(workspace, name).close()
            channels_of(workspace, name)
        return names


def sync_all(workspace: Workspace, request: Request, names: list[str], console: Console) -> bool:
    """Bring destinations up to date, or make their plans, and print what came of each.

    Args:
        workspace: The workspace; nobody else may be running in it.
        request: What is asked for.
        names: `request.names`.
        console: Where it is printed.

    Returns:
        Whether all of them ended well.

    Raises:
        SettingsError: The week was not run, or lies before one that was sent.
        WarehouseBusy: Another process holds the warehouse.
    """
    is_well = True
    for name in names:
        done = _sync(workspace, request, name, console)
        is_well = is_well and done.is_well
        _print(done, workspace.folder, console)
        if not request.is_plan:
            _tell_dagster(workspace, done, console)
    _print_forgotten(workspace, console)
    return is_well


def _sync(workspace: Workspace, request: Request, name: str, console: Console) -> DestinationSync:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(f"{name}: comparing", total=None)

        def on_progress(rows: int, planned: int) -> None:
            bar.update(task, description=f"{name}: sending", completed=rows, total=planned)

        with Warehouse.of(workspace).connect() as connection:
            week = request.week or newest_week(connection)
            if week is None:
                raise SettingsError(workspace.folder, None, "no week was run yet; `personae run DIR` first")
            try:
                return sync_destination(
                    connection,
                    workspace,
                    week,
                    name,
                    send=not request.is_plan,
                    full=request.full,
                    allow_mass_removal=request.allow_mass_removal,
                    on_progress=on_progress,
                )
            except (GateError, OlderWeek) as error:
                raise SettingsError(workspace.folder, None, str(error)) from None


def _tell_dagster(workspace: Workspace, done: DestinationSync, console: Console) -> None:
    try:
        tell_dagster(workspace, done)
    except Exception as error:
        # What was sent is sent, and stands in the warehouse: that alone decides how the command ends.
        console.print(f"  Dagster could not be told of it ({type(error).__name__})", style="yellow", markup=False)


def _print_forgotten(workspace: Workspace, console: Console) -> None:
    with Warehouse.of(workspace).connect(read_only=True) as connection:
        forgotten = forgotten_destinations(connection, workspace)
    for name, people in forgotten.items():
        console.print(
            f"{name} is not declared any more and holds {people:,} people of ours: who refuses or is erased stays "
            "there. Declare it once more without an audience, and sync it with --allow-mass-removal",
            style="yellow",
            markup=False,
        )


def _print(done: DestinationSync, folder: Path, console: Console) -> None:
    console.print(headline(done), style=None if done.is_well else "bold red", markup=False)
    for line in (*plan_lines(done), *result_lines(done)):
        console.print(line, markup=False)
    what_to_do = hint(done, folder)
    if what_to_do:
        console.print(f"  {what_to_do}", style="yellow", markup=False)

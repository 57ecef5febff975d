"""One run of the weekly job, for one week or many, with a line per asset.

What belongs here: what surrounds a run in Dagster (`dagster_run.py`), and what goes on while Dagster is imported, which
takes seconds: dbt's libraries are imported in a process of their own, and dbt reads its project where it has changed.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from rich.console import Console

from orchestration.dbt_runs import dbt_environment, parse_ahead, prepare_manifest
from orchestration.dbt_server import dbt_kept_ready
from orchestration.weeks import Week
from orchestration.workspace import Workspace


def run_weekly_job(workspace: Workspace, weeks: list[Week], console: Console) -> bool:
    """Run the job for `weeks` (in order, without a gap) as a single run.

    Returns:
        Whether it succeeded; what failed has been printed.
    """
    warnings.simplefilter("ignore")
    with _only_progress(console) as terminal, dbt_kept_ready(dbt_environment(workspace)):
        with terminal.status("reading the dbt project ..."), ThreadPoolExecutor(1) as beside:
            parsed = beside.submit(_parse, workspace)
            from orchestration.dagster_run import run_in_dagster  # noqa: PLC0415

            parsed.result()
        return run_in_dagster(workspace, weeks, terminal)


def _parse(workspace: Workspace) -> None:
    prepare_manifest(workspace)
    parse_ahead(workspace)


@contextmanager
def _only_progress(console: Console) -> Iterator[Console]:
    """A console on the terminal as it was, while what libraries and child processes print goes nowhere.

    Nothing is lost: Dagster keeps the output of each step, and a failure carries its message.
    """
    sys.stdout.flush()
    terminal, errors = os.dup(1), os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    with os.fdopen(os.dup(terminal), "w", buffering=1, encoding="utf-8") as stream:
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        try:
            yield Console(file=stream, highlight=False, soft_wrap=True, force_terminal=console.is_terminal)
        finally:
            os.dup2(terminal, 1)
            os.dup2(errors, 2)
            for descriptor in (terminal, errors, nowhere):
                os.close(descriptor)

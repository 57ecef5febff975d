"""One run of the weekly job in this process, for one week or many, with a line per asset."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run
from rich.console import Console

from orchestration.dagster_home import (
    PROCESS_TAG,
    open_instance,
    process_tag,
)
from orchestration.dbt_runs import dbt_environment, prepare_manifest
from orchestration.dbt_server import dbt_kept_ready
from orchestration.definitions import definitions_for
from orchestration.defs.schedule import WEEKLY_JOB
from orchestration.imports_ahead import import_ahead
from orchestration.progress import LOGGER_NAME, RunProgress, progress_logger
from orchestration.warehouse import Warehouse
from orchestration.weeks import Week
from orchestration.workspace import Workspace

RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


def run_weekly_job(workspace: Workspace, weeks: list[Week], console: Console) -> bool:
    """Run the job for `weeks` (in order, without a gap) as a single run.

    Returns:
        Whether it succeeded; what failed has been printed.
    """
    warnings.simplefilter("ignore")
    with _only_progress(console) as terminal, dbt_kept_ready(dbt_environment(workspace)):
        import_ahead()
        return _run(workspace, weeks, terminal)


def _run(workspace: Workspace, weeks: list[Week], console: Console) -> bool:
    with console.status("reading the dbt project ..."):
        prepare_manifest(workspace)
    progress = RunProgress(console)
    job = definitions_for(workspace, loggers={LOGGER_NAME: progress_logger(progress)}).resolve_job_def(WEEKLY_JOB)
    instance = open_instance(workspace)
    try:
        # `execute_in_process` would take an executor of its own, and `execute_job` makes the definitions once more.
        run = instance.create_run_for_job(
            job,
            run_config={"loggers": {LOGGER_NAME: {}}},
            tags=dict(job.run_tags) | _partition_tags(weeks) | {PROCESS_TAG: process_tag()},
        )
        return execute_run(InMemoryJob(job), run, instance).success
    finally:
        Warehouse.of(workspace).let_go()
        progress.close()
        instance.dispose()


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


def _partition_tags(weeks: list[Week]) -> dict[str, str]:
    if len(weeks) == 1:
        return {"dagster/partition": weeks[0].key}
    return {RANGE_START: weeks[0].key, RANGE_END: weeks[-1].key}

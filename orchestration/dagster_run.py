"""One run of the weekly job as Dagster knows it: its instance, its tags, the job, and who follows it."""

from __future__ import annotations

from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run
from rich.console import Console

from orchestration.dagster_home import PROCESS_TAG, open_instance, process_tag
from orchestration.definitions import definitions_for
from orchestration.defs.schedule import WEEKLY_JOB
from orchestration.progress import LOGGER_NAME, RunProgress, progress_logger
from orchestration.warehouse import Warehouse
from orchestration.weeks import Week
from orchestration.workspace import Workspace

RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


def run_in_dagster(workspace: Workspace, weeks: list[Week], console: Console) -> bool:
    """Run the job for `weeks` (in order, without a gap) in this process; says whether it succeeded."""
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


def _partition_tags(weeks: list[Week]) -> dict[str, str]:
    if len(weeks) == 1:
        return {"dagster/partition": weeks[0].key}
    return {RANGE_START: weeks[0].key, RANGE_END: weeks[-1].key}

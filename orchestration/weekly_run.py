"""One run of the weekly job in this process, for one week or many, with a line per asset."""

from __future__ import annotations

import warnings

from rich.console import Console

from orchestration.dagster_home import PROCESS_TAG, open_instance, process_tag
from orchestration.dbt_runs import prepare_manifest
from orchestration.definitions import definitions_for
from orchestration.defs.schedule import WEEKLY_JOB
from orchestration.progress import LOGGER_NAME, RunProgress, progress_logger
from orchestration.weeks import Week
from orchestration.workspace import Workspace

RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


def run_weekly_job(workspace: Workspace, weeks: list[Week], console: Console) -> bool:
    """Run the job for `weeks` (in order, without a gap) as a single run.

    Returns:
        Whether it succeeded; what failed has been printed.
    """
    warnings.simplefilter("ignore")
    with console.status("reading the dbt project ..."):
        prepare_manifest(workspace)
    progress = RunProgress(console)
    job = definitions_for(workspace, loggers={LOGGER_NAME: progress_logger(progress)}).resolve_job_def(WEEKLY_JOB)
    instance = open_instance(workspace)
    try:
        return job.execute_in_process(
            run_config={"loggers": {LOGGER_NAME: {}}},
            instance=instance,
            raise_on_error=False,
            tags=_partition_tags(weeks) | {PROCESS_TAG: process_tag()},
        ).success
    finally:
        progress.close()
        instance.dispose()


def _partition_tags(weeks: list[Week]) -> dict[str, str]:
    if len(weeks) == 1:
        return {"dagster/partition": weeks[0].key}
    return {RANGE_START: weeks[0].key, RANGE_END: weeks[-1].key}

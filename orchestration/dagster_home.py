"""A workspace's Dagster home: its settings, its instance, and runs whose process died."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import dagster as dg

from orchestration.workspace import Workspace

PROCESS_TAG = "personae/process"
DAGSTER_YAML = """\
telemetry:
  enabled: false
nux: # no invitation to a newsletter before the lineage is seen
  enabled: false
# DuckDB takes one writing process, so runs wait for each other.
concurrency:
  runs:
    max_concurrent_runs: 1
run_retries:
  enabled: true
event_log_storage:
  module: orchestration.event_log
  class: OpenSqliteEventLogStorage
  config:
    base_dir: {event_logs}
"""


def open_instance(workspace: Workspace) -> dg.DagsterInstance:
    """The workspace's Dagster instance; runs of processes that died are closed first."""
    prepare_home(workspace)
    _end_orphans(workspace)
    os.environ["DAGSTER_HOME"] = str(workspace.dagster_home)
    instance = dg.DagsterInstance.get()
    _close_abandoned_runs(instance)
    return instance


def prepare_home(workspace: Workspace) -> None:
    """Write `dagster.yaml` where it is missing or out of date."""
    workspace.dagster_home.mkdir(parents=True, exist_ok=True)
    settings = workspace.dagster_home / "dagster.yaml"
    wanted = DAGSTER_YAML.format(event_logs=json.dumps(str(workspace.dagster_home / "history" / "runs")))
    if not settings.is_file() or settings.read_text() != wanted:
        settings.write_text(wanted)


def process_tag() -> str:
    """This process, told apart from a later one with the same number by its start time."""
    return _identity(os.getpid()) or str(os.getpid())


def _close_abandoned_runs(instance: dg.DagsterInstance) -> None:
    """A run that was killed would otherwise count as running for ever, and hold back those that wait."""
    unfinished = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.NOT_STARTED]
    for run in instance.get_runs(filters=dg.RunsFilter(statuses=unfinished)):
        process = run.tags.get(PROCESS_TAG)
        if process and _identity(int(process.split("-")[0])) != process:
            instance.report_run_failed(run, "The process of this run ended before the run did.")


def _end_orphans(workspace: Workspace) -> None:
    """End dbt processes whose run was killed: they would hold the warehouse's lock, and their work is done again."""
    mine = f"PERSONAE_WAREHOUSE={workspace.warehouse_file}".encode()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            is_orphan = int((process / "stat").read_text().rsplit(")", 1)[1].split()[1]) == 1
            if is_orphan and mine in (process / "environ").read_bytes().split(b"\0"):
                os.kill(int(process.name), signal.SIGKILL)
        except OSError:
            continue


def _identity(pid: int) -> str | None:
    try:
        start_time = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    except OSError:
        try:
            os.kill(pid, 0)
        except OSError:
            return None
        return str(pid)
    return f"{pid}-{start_time}"

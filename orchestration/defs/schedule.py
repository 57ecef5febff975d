"""When the weekly job runs: every Monday, and when new extracts have landed."""

import hashlib
from datetime import datetime

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from orchestration.ingest.extracts import find_extracts
from orchestration.weeks import Week
from orchestration.workspace import Workspace

WEEKLY_JOB = "weekly"
RUN_TAGS = {"dagster/max_retries": "2"}


def weekly_job() -> UnresolvedAssetJobDefinition:
    """Everything, from extracts to activation files, for one week or for many."""
    return dg.define_asset_job(
        WEEKLY_JOB,
        selection=dg.AssetSelection.all(),
        description="From extracts to personas, published tables, the report and activation files.",
        tags=RUN_TAGS,
    )


def monday_schedule(workspace: Workspace, job: UnresolvedAssetJobDefinition) -> dg.ScheduleDefinition:
    """Every Monday, for the week that has just ended, in the workspace's time zone."""
    settings = workspace.settings.schedule

    @dg.schedule(
        name="every_monday",
        job=job,
        cron_schedule=f"{settings.minute} {settings.hour} * * 1",
        execution_timezone=workspace.settings.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
    def every_monday(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        now = context.scheduled_execution_time.astimezone(workspace.timezone)
        week = Week.last_complete(now)
        if week < workspace.first_week:
            return dg.SkipReason(f"the week {week.key} lies before first_week")
        return dg.RunRequest(run_key=week.key, partition_key=week.key)

    return every_monday


def new_extracts_sensor(workspace: Workspace, job: UnresolvedAssetJobDefinition) -> dg.SensorDefinition:
    """A run for the last complete week when a file is new or has changed."""

    @dg.sensor(
        name="new_extracts",
        job=job,
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Starts the weekly job when extracts have landed or were corrected.",
    )
    def new_extracts(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        listing = hashlib.sha256()
        for mapping in workspace.mappings:
            if mapping.connectors:  # a run fetches itself, and what it fetched shall not start the next one
                continue
            for extract in find_extracts(workspace, mapping):
                size, time = extract.size_and_time
                listing.update(f"{mapping.name}\0{extract.name}\0{size}\0{time}\n".encode())
        seen = listing.hexdigest()
        if context.cursor == seen:
            return dg.SkipReason("no extract is new")
        first_look = context.cursor is None
        context.update_cursor(seen)
        if first_look:
            return dg.SkipReason("the extracts that are here now are remembered; the next ones start a run")
        key = Week.last_complete(datetime.now(workspace.timezone)).key
        return dg.RunRequest(run_key=f"{key}-{seen[:16]}", partition_key=key)

    return new_extracts

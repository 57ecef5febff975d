"""The weekly partition that every asset of a workspace has, and the weeks of a run."""

from typing import Any

import dagster as dg

from orchestration.two_at_once import BESIDE_OTHERS
from orchestration.weeks import Week
from orchestration.workspace import Workspace


def weekly_partitions(workspace: Workspace) -> dg.WeeklyPartitionsDefinition:
    """Weeks by their Monday, in the workspace's time zone."""
    return dg.WeeklyPartitionsDefinition(
        start_date=workspace.first_week.key, timezone=workspace.settings.timezone, day_offset=1
    )


def weekly(workspace: Workspace) -> dict[str, Any]:
    """What every asset shares: weekly partitions, and a backfill of many weeks in one run."""
    return {"partitions_def": weekly_partitions(workspace), "backfill_policy": dg.BackfillPolicy.single_run()}


def weekly_beside_others(workspace: Workspace, priority: int = 0) -> dict[str, Any]:
    """The same for a step that may run beside others; the one with the highest priority begins first."""
    return {**weekly(workspace), "op_tags": {**BESIDE_OTHERS, "dagster/priority": str(priority)}}


def run_weeks(context: dg.AssetExecutionContext) -> list[Week]:
    """The weeks a run is for, in order."""
    return sorted(Week.parse(key) for key in context.partition_keys)

"""A destination's assets in Dagster, and the events that tell of a sync, whether a run or the shell carried it out.

What belongs here: asset keys, metadata and check results of a sync. The assets are made in `defs/sync.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dagster as dg

from orchestration.dagster_home import open_instance
from orchestration.sync_week import DONE, NOTHING, DestinationSync
from orchestration.sync_words import (
    headline,
    plan_metadata,
    receipt_metadata,
    sync_metadata,
)
from orchestration.workspace import Workspace

PLAN, SYNC, RECEIPT = "plan", "sync", "receipt"
GUARDS_CHECK, SYNC_CHECK, RECEIPT_CHECK = "no_guard_speaks_against_it", "is_brought_up_to_date", "held_equals_desired"
CHECKS = {PLAN: GUARDS_CHECK, SYNC: SYNC_CHECK, RECEIPT: RECEIPT_CHECK}
"""The check on each of a destination's assets."""


def asset_key(destination: str, part: str) -> dg.AssetKey:
    """The key of a destination's plan, sync or receipt."""
    return dg.AssetKey(["activation", destination, part])


def parts_of(done: DestinationSync) -> list[str]:
    """Which assets a sync has made: a plan always, what was sent and its receipt where it came to that."""
    if done.result is None or done.result.state == "planned":
        return [PLAN]
    return [PLAN, SYNC, RECEIPT] if done.result.receipts else [PLAN, SYNC]


def metadata_of(workspace: Workspace, done: DestinationSync, part: str) -> dict[str, Any]:
    """A part's metadata, as Dagster shows it."""
    told = {PLAN: plan_metadata, SYNC: sync_metadata, RECEIPT: receipt_metadata}[part](done)
    shown: dict[str, Any] = {
        name: dg.MetadataValue.json(value) if isinstance(value, dict | list) else value for name, value in told.items()
    }
    if "rows" in shown:
        shown["rows"] = dg.MetadataValue.md(f"```sql\n{shown['rows']}\n```")
        shown["warehouse"] = dg.MetadataValue.path(str(workspace.warehouse_file))
    return shown


def check_of(done: DestinationSync, part: str) -> tuple[bool, str | None]:
    """Whether a part's check passes, and what is told of it."""
    result = done.result
    if part == PLAN:
        stopped = done.state == "blocked" or (done.state == "failed" and result is not None and result.plan is None)
        return not stopped, headline(done) if stopped else None
    if part == SYNC:
        is_well = done.state in (DONE, NOTHING)
        return is_well, None if is_well else headline(done)
    different = {one.segment: one.differences for one in (result.receipts if result else ()) if one.differences}
    told = ", ".join(f"{count:,} people of {segment} are not as desired" for segment, count in different.items())
    return not different, told or None


def check_figures(done: DestinationSync, part: str) -> dict[str, int]:
    """Figures of a part's check, which Dagster draws over the weeks."""
    result = done.result
    if result is None:
        return {}
    plan = result.plan
    if part == PLAN:
        leaves = sum(one.leaves for one in plan.segments) if plan else 0
        return {"rows": plan.operations, "people that leave": leaves} if plan else {}
    if part == SYNC:
        return {"rows confirmed": result.outcomes.confirmed, "rows refused": result.outcomes.rejected}
    return {"people that differ": sum(one.differences for one in result.receipts)}


def tell_dagster(workspace: Workspace, done: DestinationSync) -> None:
    """Tell Dagster of a sync that no run of its own carried out, so that the lineage shows it."""
    instance = open_instance(workspace)
    try:
        for event in _events(workspace, done):
            instance.report_runless_asset_event(event)
    finally:
        instance.dispose()


def _events(workspace: Workspace, done: DestinationSync) -> Iterator[dg.AssetMaterialization | dg.AssetCheckEvaluation]:
    for part in parts_of(done):
        key = asset_key(done.destination, part)
        yield dg.AssetMaterialization(key, metadata=metadata_of(workspace, done, part), partition=done.week.key)
        passed, told = check_of(done, part)
        yield dg.AssetCheckEvaluation(
            asset_key=key,
            check_name=CHECKS[part],
            passed=passed,
            description=told,
            severity=dg.AssetCheckSeverity.ERROR,
            metadata=check_figures(done, part),
        )

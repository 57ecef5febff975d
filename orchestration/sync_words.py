"""What is told of a sync: lines for the shell, metadata and checks for Dagster. Counts and reasons; nobody's data.

What belongs here: words. `sync_week.py` says what happened.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from activation.gate_terms import REASONS
from activation.sync.receipts import DIFFERENCES
from orchestration.sync_week import DONE, NOTHING, PLANNED, DestinationSync, SentAudience, standing

STATES = {
    DONE: "it holds whom the gate let through and nobody else of ours",
    PLANNED: "the plan is made, nothing was sent",
    NOTHING: "no audience goes there, and nobody is there",
    "blocked": "a guard or the gate stopped it before anything was sent",
    "stopped": "a guard stopped it while it was sent",
    "incomplete": "the destination did not answer in time; the next sync goes on",
    "differs": "everything was sent, and the destination holds something else",
    "failed": "it failed",
}
"""Every state, in words."""

MASS_REMOVAL = (
    "Where this is wanted, look at the plan and send it with: personae sync {folder} --destination {name} {flag}"
)


def headline(done: DestinationSync) -> str:
    """One line: the destination, how it ended, and why."""
    words = f"{done.destination} ({done.kind}), week {done.week.key}: {STATES.get(done.state, done.state)}"
    receipts = done.result.receipts if done.result else ()
    aside = sum(one.people.get("set aside", 0) for one in receipts)
    without = f" (but for {aside:,} whom it refuses)" if aside else ""
    return f"{words}{without}: {done.reason}" if done.reason else words + without


def plan_lines(done: DestinationSync) -> Iterator[str]:
    """What was to be done: rows, calls, minutes, and of whom and why not of others."""
    for sentence in standing(done.audiences):
        yield f"  {sentence}"
    plan = done.result.plan if done.result else None
    if plan is None:
        return
    of_all = sum(plan.calls.values())
    some = f"{of_all:,} {'call' if of_all == 1 else 'calls'}"
    yield f"  plan       {plan.operations:,} rows, {some}, {plan.minutes:.1f} minutes at least"
    if set(plan.calls) != {"*"}:  # a file is one operation, without a name
        yield f"  calls      {', '.join(f'{count:,} {name}' for name, count in sorted(plan.calls.items())) or 'none'}"
    by_name = {one.name: one for one in done.audiences}
    for segment in plan.segments:
        yield (
            f"  {segment.segment} ({segment.mode}): {segment.desired:,} people wanted, {segment.members_before:,} are "
            f"there; {segment.joins:,} join, {segment.upserts:,} change, {segment.leaves:,} leave"
        )
        yield from _audience_lines(by_name.get(segment.segment))
        aside = {
            "suppressed there": segment.suppressed,
            "erased": segment.erased,
            "set aside, refused before": segment.set_aside,
        }
        if any(aside.values()):
            yield f"    taken out again: {_counts({name: count for name, count in aside.items() if count})}"
    if plan.deletes:
        yield f"  {plan.deletes:,} people are erased there"


def _audience_lines(audience: SentAudience | None) -> Iterator[str]:
    if audience is None:
        return
    if audience.refused:
        held = {REASONS.get(reason, reason): count for reason, count in audience.refused.items()}
        yield f"    held back by the gate: {_counts(held)}"
    if audience.fields:
        yield f"    goes out beside the identifier: {', '.join(audience.fields)}"
    if audience.fields:
        yield f"    personal attributes: {', '.join(audience.personal_fields) or 'none'}"


def result_lines(done: DestinationSync) -> Iterator[str]:
    """What was done, and what the destination says it holds."""
    result = done.result
    if result is None or done.state == PLANNED:
        return
    if result.calls:
        yield (
            f"  sent       {result.outcomes.confirmed:,} rows confirmed, {result.outcomes.rejected:,} refused, "
            f"{result.outcomes.unfinished:,} not answered; {sum(result.calls.values()):,} calls, "
            f"{result.seconds / 60:.1f} minutes"
        )
    if done.rejected:
        yield f"  refused    {_counts(done.rejected)}"
    for drift in result.drift:
        yield f"  the field {drift.field} is {drift.found} there and {drift.expected} here"
    for receipt in result.receipts:
        wrong = f"{receipt.differences:,} differ" if receipt.differences else "as desired"
        yield f"  receipt    {receipt.segment}: {wrong} ({_counts(receipt.people)})"
    yield f"  rows       select * from activation.sync_changelog where run_id = '{result.run_id}'"


def _counts(counted: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in sorted(counted.items())) or "nobody"


def hint(done: DestinationSync, folder: Path) -> str | None:
    """What to do about a guard, where a person may decide."""
    plan = done.result.plan if done.result else None
    if done.state != "blocked" or plan is None or not any(one.leaves for one in plan.segments):
        return None
    return MASS_REMOVAL.format(folder=folder, name=done.destination, flag="--allow-mass-removal")


# Dagster: plain values; `defs/sync.py` and `sync_events.py` make metadata of them.


def plan_metadata(done: DestinationSync) -> dict[str, Any]:
    """Of the plan: rows, calls, minutes, people per audience and reason, and the fields that leave the house."""
    plan = done.result.plan if done.result else None
    told: dict[str, Any] = {
        "state": done.state,
        "week": done.week.key,
        "audiences": {
            one.name: {
                "state": one.state,
                "considered": one.considered,
                "approved": one.approved,
                "held back by the gate": dict(one.refused),
            }
            for one in done.audiences
        },
        "fields": {one.name: list(one.fields) for one in done.audiences},
        "personal attributes": {one.name: list(one.personal_fields) for one in done.audiences if one.personal_fields},
    }
    sentences = standing(done.audiences)
    if sentences:
        told["not of this week"] = "; ".join(sentences)
    if done.reason:
        told["why it would not be sent"] = done.reason
    if plan is not None:
        told |= {
            "dagster/row_count": plan.operations,
            "operations": {
                "join": sum(one.joins for one in plan.segments),
                "upsert": sum(one.upserts for one in plan.segments),
                "leave": sum(one.leaves for one in plan.segments),
                "delete": plan.deletes,
            },
            "calls": dict(sorted(plan.calls.items())),
            "minutes": round(plan.minutes, 2),
            "segments": plan.as_document()["segments"],
        }
    return told | _rows(done, "sync_changelog")


def sync_metadata(done: DestinationSync) -> dict[str, Any]:
    """Of what was sent: counts per operation and what became of them, calls, minutes, and rows refused by reason."""
    result = done.result
    told: dict[str, Any] = {"state": done.state, "week": done.week.key, "in words": headline(done)}
    if result is not None:
        told |= {
            "dagster/row_count": result.outcomes.confirmed,
            "operations": {operation: dict(counts) for operation, counts in done.operations.items()},
            "refused": result.outcomes.rejected,
            "refused, by reason": dict(done.rejected),
            "calls": dict(sorted(result.calls.items())),
            "minutes": round(result.seconds / 60, 2),
            "fields that drifted": [f"{one.field}: {one.expected} here, {one.found} there" for one in result.drift],
        }
    return told | _rows(done, "sync_changelog")


def receipt_metadata(done: DestinationSync) -> dict[str, Any]:
    """Of the read-back: people by outcome, and how many differ."""
    receipts = done.result.receipts if done.result else ()
    return {
        "state": done.state,
        "week": done.week.key,
        "dagster/row_count": sum(sum(one.people.values()) for one in receipts),
        "people that differ": sum(one.differences for one in receipts),
        "receipts": {one.segment: dict(sorted(one.people.items())) for one in receipts},
        "what makes it fail": ", ".join(sorted(DIFFERENCES)),
    } | _rows(done, "receipts")


def _rows(done: DestinationSync, table: str) -> dict[str, Any]:
    """Where the rows are: a table of the warehouse, and the query that finds them."""
    if done.result is None:
        return {}
    return {
        "run id": done.result.run_id,
        "table": f"activation.{table}",
        "rows": f"select * from activation.{table} where run_id = '{done.result.run_id}'",
    }

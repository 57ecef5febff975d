"""What stops a sync: a plan that looks like an accident, a source that is old, too many refusals.

Pure functions over counts. They never change a plan: a sync is carried out as planned or not at all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from statistics import median

from activation.sync.diff import Plan, SegmentPlan


@dataclass(frozen=True)
class Guards:
    """When a sync stops. Shares are from 0 to 1; a floor is a number of people below which the share does not count.

    Attributes:
        max_removal_share: Of the confirmed members, how many may leave in one sync. Who is suppressed or erased may
            always leave and is not counted.
        removal_floor: For it.
        max_age_days: How long ago the audience's week may have ended.
        max_count_deviation: How far the number of people may be from the median of the last weeks.
        deviation_floor: For it, as a difference in people.
        weeks_compared: How many weeks that median is of; fewer than three say nothing.
        max_rejection_share: Of the rows sent, how many may be refused before the sync ends.
        rejection_floor: For it.
    """

    max_removal_share: float = 0.2
    removal_floor: int = 20
    max_age_days: int = 10
    max_count_deviation: float = 0.5
    deviation_floor: int = 100
    weeks_compared: int = 4
    max_rejection_share: float = 0.1
    rejection_floor: int = 50


WEEKS_THAT_SAY_SOMETHING = 3


def reasons_to_stop(
    plan: Plan,
    earlier_counts: Mapping[str, Sequence[int]],
    guards: Guards,
    now: datetime,
    allow_mass_removal: bool,
) -> list[str]:
    """Return what speaks against carrying out a plan; nothing where it may go on.

    Args:
        plan: The plan.
        earlier_counts: Desired people of the last weeks by segment, newest first.
        guards: The limits.
        now: The time, in UTC.
        allow_mass_removal: Somebody looked at the plan and wants it: lifts the limits on removal, on empty sources and
            on counts that fall. It does not make a stale source fresh.
    """
    reasons: list[str] = []
    for segment in plan.segments:
        reasons += _staleness(segment, guards, now)
        if not allow_mass_removal:
            reasons += _removal(segment, guards)
        reasons += _deviation(segment, earlier_counts.get(segment.segment, ()), guards, allow_mass_removal)
    return reasons


def too_many_refused(rejected: int, sent: int, guards: Guards) -> bool:
    """Say whether so many of the rows sent were refused that the rest should not be tried."""
    return rejected > max(guards.rejection_floor, guards.max_rejection_share * sent)


def _staleness(segment: SegmentPlan, guards: Guards, now: datetime) -> list[str]:
    week_end = date.fromisoformat(segment.as_of)
    age = now.date() - week_end
    if age > timedelta(days=guards.max_age_days):
        return [f"{segment.segment} is stale: its week ended {age.days} days ago, {guards.max_age_days} are allowed"]
    if age < timedelta(days=-1):
        return [f"{segment.segment} is of a week that ends {-age.days} days from now: a clock is wrong"]
    return []


def _removal(segment: SegmentPlan, guards: Guards) -> list[str]:
    if segment.desired == 0 and segment.members_before > 0 and segment.leaves > segment.leaves_suppressed:
        return [f"{segment.segment} is empty, and {segment.members_before} people are there"]
    leavers = segment.leaves - segment.leaves_suppressed
    if leavers > max(guards.removal_floor, guards.max_removal_share * segment.members_before):
        return [f"{leavers} of {segment.members_before} people would leave {segment.segment}"]
    return []


def _deviation(segment: SegmentPlan, earlier: Sequence[int], guards: Guards, may_fall: bool) -> list[str]:
    if len(earlier) < WEEKS_THAT_SAY_SOMETHING:
        return []
    usual = median(earlier)
    difference = segment.desired - usual
    if abs(difference) <= max(guards.deviation_floor, guards.max_count_deviation * usual) or (
        may_fall and difference < 0
    ):
        return []
    return [f"{segment.segment} has {segment.desired} people, and the last weeks had {usual:.0f}"]

"""Weeks: the partition everything is computed for. Pure dates; no files, no Dagster."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

ONE_WEEK = timedelta(days=7)


@dataclass(frozen=True, order=True)
class Week:
    """A calendar week, named by its Monday; `as_of` is its exclusive end."""

    monday: date

    def __post_init__(self) -> None:
        """Refuse a day that is no Monday."""
        if self.monday.weekday() != 0:
            raise ValueError(f"{self.monday} is not a Monday")

    @classmethod
    def containing(cls, day: date) -> Week:
        """The week that `day` falls in."""
        return cls(day - timedelta(days=day.weekday()))

    @classmethod
    def parse(cls, key: str) -> Week:
        """The week of a partition key such as `2026-11-09`."""
        return cls(date.fromisoformat(key))

    @classmethod
    def last_complete(cls, now: datetime) -> Week:
        """The latest week that is over at `now` (a moment in the workspace's time zone)."""
        return cls.containing(now.date() - ONE_WEEK)

    @classmethod
    def ending(cls, as_of: date) -> Week:
        """The week whose exclusive end is `as_of`."""
        return cls(as_of - ONE_WEEK)

    @property
    def key(self) -> str:
        """The partition key, also the name of the published folder."""
        return self.monday.isoformat()

    @property
    def as_of(self) -> date:
        """The exclusive end: the next Monday."""
        return self.monday + ONE_WEEK

    def as_of_at(self, timezone: str) -> datetime:
        """The exclusive end as a UTC instant without tzinfo, as the warehouse keeps it."""
        return local_midnight(self.as_of, timezone)

    def back(self, weeks: int) -> Week:
        """The week `weeks` earlier."""
        return Week(self.monday - weeks * ONE_WEEK)

    def until(self, last: Week) -> list[Week]:
        """This week and those after it up to and with `last`, in order."""
        count = (last.monday - self.monday).days // 7 + 1
        return [Week(self.monday + step * ONE_WEEK) for step in range(count)]


def local_midnight(day: date, timezone: str) -> datetime:
    """Midnight of `day` in `timezone` as a UTC instant without tzinfo."""
    return datetime.combine(day, time(), tzinfo=ZoneInfo(timezone)).astimezone(UTC).replace(tzinfo=None)

"""Weeks as the demo company lives them: local Mondays, and instants in UTC.

What belongs here: the only place where local time becomes UTC. Instants are whole seconds since 1970 in UTC (int64).
"""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import polars as pl

from examples.demo.sampling import IntArray

TIMEZONE = "Europe/Berlin"
HOUR = 3_600
DAY = 24 * HOUR


def midnight(day: date) -> int:
    """The instant at which `day` begins in the company's time zone."""
    return int(datetime.combine(day, time(), tzinfo=ZoneInfo(TIMEZONE)).timestamp())


def last_complete_week(today: date) -> date:
    """The Monday that names the last week that was over before `today`."""
    return today - timedelta(days=today.weekday() + 7)


@dataclass(frozen=True)
class DemoWeek:
    """One week of history."""

    number: int
    monday: date

    @property
    def as_of(self) -> date:
        """The next Monday: the week's exclusive end, and the day its files are delivered."""
        return self.monday + timedelta(days=7)

    @property
    def start(self) -> int:
        """The instant the week begins."""
        return midnight(self.monday)

    @property
    def end(self) -> int:
        """The instant the week is over (exclusive); 167 or 169 hours later where the clocks change."""
        return midnight(self.as_of)

    def later(self, weeks: int) -> "DemoWeek":
        """The week that begins so many weeks after this one."""
        return DemoWeek(self.number + weeks, self.monday + timedelta(days=7 * weeks))

    def instants(self, wall_seconds: npt.NDArray[np.floating]) -> IntArray:
        """Seconds a wall clock shows since Monday midnight (0 to 604,800), as instants inside the week."""
        wall = wall_seconds.astype(np.int64)
        return self.clip(self._first_instant_of_hour()[np.minimum(wall // HOUR, 7 * 24 - 1)] + wall % HOUR)

    def clip(self, instants: npt.NDArray[np.number]) -> IntArray:
        """Instants held inside the week."""
        return np.clip(instants.astype(np.int64), self.start, self.end - 1)

    def _first_instant_of_hour(self) -> IntArray:
        """The instant of each of the week's 168 wall-clock hours."""
        zone = ZoneInfo(TIMEZONE)
        hours = [datetime.combine(self.monday, time()) + timedelta(hours=hour) for hour in range(7 * 24)]
        return np.array([hour.replace(tzinfo=zone).timestamp() for hour in hours], dtype=np.int64)


def history(last_week: date, weeks: int) -> list[DemoWeek]:
    """The `weeks` weeks up to and with `last_week`, oldest first."""
    first = last_week - timedelta(days=7 * (weeks - 1))
    return [DemoWeek(0, first).later(number) for number in range(weeks)]


def utc(instants: npt.NDArray[np.integer]) -> pl.Series:
    """Instants as a column of UTC timestamps."""
    return pl.Series(instants * 1_000_000, dtype=pl.Int64).cast(pl.Datetime("us", "UTC"))


def local(instants: npt.NDArray[np.integer]) -> pl.Series:
    """Instants as a column of local timestamps without a zone, as many systems export them."""
    return utc(instants).dt.convert_time_zone(TIMEZONE).dt.replace_time_zone(None)

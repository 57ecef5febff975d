"""The ledger of identities: instants to weeks, the resolution, and weeks back to instants.

What belongs here: what time means for `identity_resolution.py`, which knows weeks as numbers only.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import polars as pl

from ml.identity_resolution import ResolutionRules, resolve_identities

# A Monday; week 0 begins here.
FIRST_MONDAY = date(1970, 1, 5)
# Dates that are no dates (1900-01-01, 9999-12-31) count as the first or last of these.
EARLIEST, LATEST = np.datetime64("1970-01-06", "us"), np.datetime64("2100-01-01", "us")


def identity_ledger(
    identities: pl.DataFrame,
    links: pl.DataFrame,
    decisions: pl.DataFrame,
    timezone: str,
    max_people: dict[str, int],
    include_anonymous: bool = False,
) -> pl.DataFrame:
    """Every change of every identity: which person it belongs to, from when on, and why.

    Args:
        identities: `identity_kind`, `identity_id`, `seen_from_at` (UTC), `own_person_id`; see `resolve_identities`.
        links: `identity_kind`, `identity_id`, `other_kind`, `other_id`, `link_kind`, `linked_from_at` (UTC),
            `match_weight`.
        decisions: contacts kept apart: `contact_id`, `other_contact_id`, `from_week` (the Monday of the first week in
            which the decision holds).
        timezone: where weeks begin, on Monday at midnight.
        max_people: by kind of link, how many may share an identifier.
        include_anonymous: whether a device that nobody identified on is a person of its own.

    Returns:
        In the order of identities' age and of time: `identity_kind`, `identity_id`, `person_before`, `person_after`,
        `as_of` (the first week's end that knows the change), `known_at` and `changed_again_at` (UTC; what is valid at
        an `as_of_at` has `known_at < as_of_at <= changed_again_at`), `makes_person`, `is_first`, `reason`, `link_kind`,
        `match_weight`. Weeks are all that is told apart: several changes within one week are one.
    """
    weeks = _Weeks(timezone, [identities["seen_from_at"], links["linked_from_at"]])
    ledger = resolve_identities(
        identities.with_columns(seen_week=weeks.of(identities["seen_from_at"])),
        links.with_columns(link_week=weeks.of(links["linked_from_at"])).drop("linked_from_at"),
        ResolutionRules(max_people, include_anonymous),
        decisions.select(
            "contact_id",
            "other_contact_id",
            from_week=((pl.col("from_week") - FIRST_MONDAY).dt.total_days() // 7).cast(pl.Int32),
        ),
    )
    return ledger.with_columns(
        starts_at=weeks.beginning(ledger["from_week"]), changed_again_at=weeks.beginning(ledger["to_week"])
    ).select(
        "identity_kind",
        "identity_id",
        "person_before",
        "person_after",
        as_of=pl.lit(FIRST_MONDAY) + pl.duration(days=7 * (pl.col("from_week").cast(pl.Int64) + 1)),
        known_at=pl.when("is_first").then(pl.max_horizontal("starts_at", "seen_from_at")).otherwise("starts_at"),
        changed_again_at="changed_again_at",
        makes_person="makes_person",
        is_first="is_first",
        reason="reason",
        link_kind="link_kind",
        match_weight="match_weight",
    )


def end_of_week(instant: datetime, timezone: str) -> datetime:
    """When the week ends that an instant (UTC) lies in: the first end that knows of it."""
    weeks = _Weeks(timezone, [pl.Series([instant])])
    return weeks.beginning(weeks.of(pl.Series([instant])) + 1)[0]


class _Weeks:
    """The weeks between the earliest and the latest of some instants, as a place's clocks count them."""

    def __init__(self, timezone: str, instants: list[pl.Series]):
        """Compute the beginnings of all weeks that may be asked for."""
        found = np.concatenate([np.zeros(0, dtype="datetime64[us]"), *(_utc(series) for series in instants)])
        first = _monday_number(found.min()) - 1 if len(found) else 0
        last = _monday_number(found.max()) + 2 if len(found) else 0
        self._first = first
        self._beginnings = np.array(
            [_midnight(number, timezone) for number in range(first, last + 1)], "datetime64[us]"
        )

    def of(self, instants: pl.Series) -> pl.Series:
        """The number of the week each instant lies in: its end is the first that knows of it."""
        place = np.searchsorted(self._beginnings, _utc(instants), side="right") - 1
        return pl.Series((place + self._first).astype(np.int32))

    def beginning(self, week: pl.Series) -> pl.Series:
        """When each week begins, in UTC; null stays null."""
        beginnings = pl.Series(self._beginnings)
        place = (week.cast(pl.Int64) - self._first).clip(0, len(beginnings) - 1)
        return beginnings.gather(place)


def _utc(instants: pl.Series) -> npt.NDArray[np.datetime64]:
    plain = instants.cast(pl.Datetime("us")).to_numpy()
    return np.clip(plain, EARLIEST, LATEST)


def _monday_number(instant: np.datetime64) -> int:
    return int((instant.astype("datetime64[D]").astype(date) - FIRST_MONDAY).days // 7)


def _midnight(week: int, timezone: str) -> datetime:
    monday = FIRST_MONDAY + timedelta(weeks=week)
    local = datetime(monday.year, monday.month, monday.day, tzinfo=ZoneInfo(timezone))
    return local.astimezone(UTC).replace(tzinfo=None)

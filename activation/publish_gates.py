"""What stops a week's audiences before anybody leaves: they, or what they are made of, look like an accident.

Pure functions over counts. Which people pass is the gate's; here a whole audience is held back, and last week's stands.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from activation.audience import Accepted, PublishGates


@dataclass(frozen=True)
class Found:
    """Something a gate found.

    Attributes:
        gate: Which gate.
        audience: Which audience it holds back; every one where none is named.
        words: What was found, in a sentence without personal data.
    """

    gate: str
    words: str
    audience: str | None = None


@dataclass(frozen=True)
class Source:
    """What is known of a delivered entity.

    Attributes:
        entity: Its name.
        rows: Rows loaded, by all deliveries.
        rows_before: The same when audiences were last published; None where they never were.
        age_days: Days from its newest row to the end of the week; None where it has none.
        age_before: The same when audiences were last published.
        refused_files: Files of it that broke their contract and were not loaded.
    """

    entity: str
    rows: int
    rows_before: int | None = None
    age_days: float | None = None
    age_before: float | None = None
    refused_files: int = 0


@dataclass(frozen=True)
class Ledger:
    """Statements on consent that had been made when audiences were last published: counted then, and now."""

    statements_before: int
    statements: int
    refusals_before: int
    refusals: int


@dataclass(frozen=True)
class Week:
    """What the gates look at.

    Attributes:
        people: People the week knows.
        approved: People who passed the gate, by audience.
        approved_before: The same when each audience was last published; absent where it never was.
        overlaps: People in both of two audiences that must not share any.
        sources: Every delivered entity.
        ledger: Statements on consent; None where audiences were never published.
        unknown_names: Sentences on names that mean nothing this week, by audience.
    """

    people: int
    approved: Mapping[str, int]
    approved_before: Mapping[str, int] = field(default_factory=dict)
    overlaps: Mapping[tuple[str, str], int] = field(default_factory=dict)
    sources: Sequence[Source] = ()
    ledger: Ledger | None = None
    unknown_names: Mapping[str, Sequence[str]] = field(default_factory=dict)


def find(week: Week, gates: PublishGates) -> list[Found]:
    """Everything that speaks against publishing a week's audiences."""
    return [
        *_sources(week, gates),
        *_ledger(week.ledger, gates),
        *_names(week),
        *_sizes(week, gates),
        *_overlaps(week),
    ]


def without_accepted(found: Sequence[Found], accepted: Sequence[Accepted], monday: date) -> list[Found]:
    """Those that nobody accepted for the week that begins on `monday`."""
    return [
        one
        for one in found
        if not any(
            each.gate == one.gate and each.audience in (None, one.audience) and 0 <= (each.week - monday).days < 7
            for each in accepted
        )
    ]


def _sources(week: Week, gates: PublishGates) -> Iterator[Found]:
    if week.people == 0:
        yield Found("empty_source", "nobody is known this week")
    for source in week.sources:
        if source.refused_files:
            files = "a file" if source.refused_files == 1 else f"{source.refused_files} files"
            yield Found("failing_contracts", f"{files} of {source.entity} broke the contract and came in no further")
        if source.rows == 0 and source.rows_before:
            yield Found("empty_source", f"{source.entity} is empty; it had {source.rows_before:,} rows")
        was_fresh = source.age_before is not None and source.age_before <= gates.source_max_age_days
        if was_fresh and source.age_days is not None and source.age_days > gates.source_max_age_days:
            yield Found(
                "stale_source",
                f"the newest row of {source.entity} is {source.age_days:.0f} days older than the week's end; "
                f"{gates.source_max_age_days} are allowed",
            )


def _ledger(ledger: Ledger | None, gates: PublishGates) -> Iterator[Found]:
    if ledger is None:
        return
    for words, before, now in (
        ("statements on consent", ledger.statements_before, ledger.statements),
        ("withdrawals and objections", ledger.refusals_before, ledger.refusals),
    ):
        if before - now > gates.consent_shrink * before:
            yield Found(
                "consent_ledger_shrank",
                f"of {before:,} {words} that had been made when audiences were last published, {now:,} are there",
            )


def _names(week: Week) -> Iterator[Found]:
    for audience, sentences in week.unknown_names.items():
        for sentence in sentences:
            yield Found("unknown_name", sentence, audience)


def _sizes(week: Week, gates: PublishGates) -> Iterator[Found]:
    for audience, people in week.approved.items():
        before = week.approved_before.get(audience)
        if before is None:
            continue
        if abs(people - before) > max(gates.size_jump * before, gates.size_jump_floor):
            yield Found("size_jump", f"{people:,} people may be contacted; last time there were {before:,}", audience)


def _overlaps(week: Week) -> Iterator[Found]:
    for (one, other), people in week.overlaps.items():
        if people:
            for audience, with_whom in ((one, other), (other, one)):
                yield Found("overlap", f"{people:,} people are in {with_whom} as well, which must not be", audience)

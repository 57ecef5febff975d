"""Three weekly tables in a row, a death in each, and what has to be there afterwards.

Here belong the tables, what happens on the server between the weeks, and the comparison. A rehearsal without deaths
counts the steps of each week; the scenarios die at steps spread evenly over them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from activation.sync.payload import key_of
from tests.real_servers.weeks import Ended, Person, Server, Week, carry_out, killed_on_the_way, rejections

NAMES = ("Ada", "=cmd|x", "True", 'Zoë "Z", Ünal', "undefined", None)
PERSONAS = ("Night Owls", "Bargain, Hunters", None)
WEEKS = 3
counted: Counter[str] = Counter()


class Membership(Protocol):
    """A server as the scenario sees it."""

    def held(self, segment: str) -> Mapping[str, Mapping[str, Any]]: ...

    def unsubscribe(self, segment: str, address: str) -> None: ...

    def put_there_by_hand(self, segment: str, address: str) -> None: ...

    def change_fields(self, segment: str, address: str) -> None: ...

    def knows(self, address: str) -> bool: ...

    def wrong_fields(self, person: Person, held: Mapping[str, Any]) -> list[str]: ...


@dataclass
class Scenario:
    """One segment at one server, from an empty table to the third week.

    Attributes:
        tag: Part of every address, so that scenarios share a server without meeting.
        size: People in the first week.
        goes_wrong_every: Every how many calls one goes wrong, each time in another way.
    """

    server: Server
    there: Membership
    folder: Path
    tag: str
    size: int
    goes_wrong_every: int = 0
    unsubscribed: set[str] = field(default_factory=set)
    erased: list[str] = field(default_factory=list)
    by_hand: set[str] = field(default_factory=set)

    @property
    def segment(self) -> str:
        return f"loyal-{self.tag}"

    def address(self, number: int) -> str:
        special = {0: f"o'brien.{self.tag}@example.com", 1: f"+plus.{self.tag}@example.com"}
        return special.get(number, f"p{number}.{self.tag}@example.com")

    @property
    def bad(self) -> str:
        return f"no-address-at-all.{self.tag}"

    @property
    def without_consent(self) -> str:
        return f"silent.{self.tag}@example.com"

    def table(self, week: int) -> list[Person]:
        """Week by week a sixth leaves, as many come, and some who left return; every fourth one changes."""
        step = max(1, self.size // 6)
        numbers = {*range(week * step, self.size + week * step), *((0, 1) if week == 2 else ())}
        people = [
            Person(
                self.address(number),
                NAMES[(number + (week if number % 4 == 0 else 0)) % len(NAMES)],
                PERSONAS[(number + (week if number % 4 == 0 else 0)) % len(PERSONAS)],
            )
            for number in sorted(numbers)
        ]
        return [*people, Person(self.bad, "Bad"), Person(self.without_consent, "Silent", consented=False)]

    def desired(self, week: int) -> dict[str, Person]:
        kept_out = {self.bad, self.without_consent, *self.unsubscribed, *self.erased}
        return {one.address: one for one in self.table(week) if one.address not in kept_out}

    def between(self, week: int) -> None:
        """What people do there before a week: unsubscribe, put somebody there by hand, change what we wrote."""
        if week == 0:
            return
        leaves = self.address(self.size - week)  # desired this week too, and held
        self.there.unsubscribe(self.segment, leaves)
        self.unsubscribed.add(leaves)
        stranger = f"stranger{week}.{self.tag}@example.com"
        self.there.put_there_by_hand(self.segment, stranger)
        self.by_hand.add(stranger)
        self.there.change_fields(self.segment, self.address(self.size - 5))  # held, and desired with the same fields
        if week == 1:
            self.erased.append(self.address(self.size - 3))  # desired in both weeks that follow

    def run(self, week: int, dies_at: int = 0) -> Ended:
        """Sync a week; where it dies on the way, once more."""
        one = Week(
            str(self.folder),
            self.server,
            self.segment,
            week,
            self.table(week),
            tuple(self.erased),
            goes_wrong_every=self.goes_wrong_every,
        )
        if dies_at:
            killed_on_the_way(replace(one, dies_at=dies_at))
            counted["killed"] += 1
        ended = carry_out(one)
        assert (ended.state, ended.reason, ended.not_as_desired) == ("done", "", 0)
        counted["weeks"] += 1
        return ended

    def check(self, week: int) -> None:
        """The server holds whom it should: nobody wrongly there, nobody wrongly absent."""
        held, desired = self.there.held(self.segment), self.desired(week)
        expected = {*desired, *self.by_hand}
        wrongly_there, wrongly_absent = held.keys() - expected, expected - held.keys()
        counted["people compared"] += len(expected)
        counted["wrongly there"] += len(wrongly_there)
        counted["wrongly absent"] += len(wrongly_absent)
        assert (wrongly_there, wrongly_absent) == (set(), set())
        wrong = {address: self.there.wrong_fields(one, held[address]) for address, one in desired.items()}
        assert not {address: fields for address, fields in wrong.items() if fields}
        for address in self.erased:
            assert not self.there.knows(address), "who was erased is still known there"
        aside = rejections(self.folder)
        counted["rows set aside"] += len(aside)
        assert aside.keys() == {key_of(self.bad), key_of(self.without_consent)}
        assert aside[key_of(self.without_consent)] == "no_dated_consent" and aside[key_of(self.bad)]
        assert not self.there.knows(self.without_consent) and not self.there.knows(self.bad)


def weeks(scenario: Scenario, deaths: Sequence[int] = (0,) * WEEKS) -> list[int]:
    """Three weeks, and the last once more; returns the steps of each as its last try took them."""
    steps = []
    for week in range(WEEKS):
        scenario.between(week)
        ended = scenario.run(week, deaths[week])
        scenario.check(week)
        steps.append(ended.steps)
    again = scenario.run(WEEKS - 1)
    scenario.check(WEEKS - 1)
    assert again.operations == 0, "a second sync has nothing to do"
    return steps


def deaths(steps: Sequence[int], plan: int, plans: int) -> list[int]:
    """A step to die at for each week; all plans together spread them evenly over each week."""
    return [
        1 + int(((plan * WEEKS + 2 * week) % (WEEKS * plans) + 0.5) / (WEEKS * plans) * (count - 1))
        for week, count in enumerate(steps)
    ]


@dataclass
class Company:
    """A company that syncs what a test gives it, a week at a time."""

    server: Server
    folder: Path
    weeks: int = 0

    def sync(self, segment: str, people: Sequence[Person], erased: Sequence[str] = ()) -> Ended:
        ended = carry_out(Week(str(self.folder), self.server, segment, self.weeks % WEEKS, people, erased))
        self.weeks += 1
        counted["short syncs"] += 1
        return ended

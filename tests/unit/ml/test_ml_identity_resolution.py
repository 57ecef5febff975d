"""One person per human: who belongs together, under which id, and what the ledger says of it.

`make test-worlds` draws more worlds (DRAWN_WORLDS).
"""

from __future__ import annotations

import os
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from identity_world import LIMITS, Link, World, own_id, people_by_hand, people_in

C1, C2, C3, C4 = (("contact", name) for name in ("c1", "c2", "c3", "c4"))
D, E, F, P, U = ("device", "d"), ("email", "e"), ("email", "f"), ("phone", "p"), ("user", "u")
LAST_WEEK = 8


def of(world: World, identity: tuple[str, str]) -> list[tuple]:
    """What the ledger says of one identity."""
    rows = world.ledger().filter(identity_kind=identity[0], identity_id=identity[1])
    return rows.select("from_week", "person_before", "person_after", "reason", "link_kind").rows()


class TestLinks:
    @pytest.mark.parametrize("shared", [U, E, P, D])
    def test_two_contacts_with_a_common_identifier_are_one_person(self, shared):
        limits = LIMITS | {"same_device": 2}
        seen = {C1: 1, C2: 2, **({shared: 1} if shared[0] in ("user", "device") else {})}
        world = World(seen, (Link(C1, shared, 1), Link(C2, shared, 3)), limits=limits)
        assert of(world, C2) == [
            (2, None, own_id(C2), "appeared", None),
            (3, own_id(C2), own_id(C1), "merged", f"same_{shared[0]}"),
        ]

    def test_identifiers_chain(self):
        world = World({C1: 1, C2: 1, C3: 1}, (Link(C1, E, 1), Link(C2, E, 2), Link(C2, P, 1), Link(C3, P, 4)))
        assert people_in(world.ledger(), 4) == dict.fromkeys([C1, C2, C3], own_id(C1))

    def test_a_contact_that_appears_with_a_known_address_appears_within_that_person(self):
        world = World({C1: 1, C2: 3}, (Link(C1, E, 1), Link(C2, E, 3)))
        assert of(world, C2) == [(3, None, own_id(C1), "appeared", "same_email")]

    def test_a_match_says_with_which_weight(self):
        world = World({C1: 1, C2: 1}, (Link(C2, C1, 2, weight=11.5),))
        merge = world.ledger().filter(reason="merged").row(0, named=True)
        assert (merge["identity_id"], merge["link_kind"], merge["match_weight"]) == ("c2", "probabilistic_match", 11.5)

    def test_a_device_of_a_contact_is_the_contacts_and_makes_nobody_a_person(self):
        ledger = World({C1: 1, D: 1}, (Link(C1, D, 2),)).ledger()
        assert people_in(ledger, 2) == {C1: own_id(C1), D: own_id(C1)}
        assert dict(ledger.select("identity_kind", "makes_person").rows()) == {"contact": True, "device": False}

    def test_a_link_to_somebody_unknown_is_an_error(self):
        with pytest.raises(ValueError, match="not among the identities"):
            World({C1: 1}, (Link(C1, D, 1),)).ledger()


class TestTheOldestGivesTheId:
    def test_a_merge_keeps_the_older_id_whoever_brings_the_link(self):
        world = World({C2: 1, C1: 2}, (Link(C1, E, 2), Link(C2, E, 5)))
        assert of(world, C1)[-1] == (5, own_id(C1), own_id(C2), "merged", "same_email")
        assert len(of(world, C2)) == 1

    def test_of_the_same_age_the_lower_id_is_the_older(self):
        assert people_in(World({C2: 1, C1: 1}, (Link(C1, E, 1), Link(C2, E, 1))).ledger(), 1)[C2] == own_id(C1)

    def test_a_device_seen_before_its_contact_does_not_name_the_person(self):
        world = World({D: 1, C1: 3}, (Link(C1, D, 3),), include_anonymous=True)
        assert of(world, D) == [
            (1, None, own_id(D), "appeared", None),
            (3, own_id(D), own_id(C1), "merged", "same_device"),
        ]


class TestGuards:
    def test_an_address_of_too_many_links_nobody_and_those_it_linked_are_who_they_were(self):
        world = World({C1: 1, C2: 2, C3: 4}, (Link(C1, E, 1), Link(C2, E, 3), Link(C3, E, 4)))
        assert of(world, C2) == [
            (2, None, own_id(C2), "appeared", None),
            (3, own_id(C2), own_id(C1), "merged", "same_email"),
            (4, own_id(C1), own_id(C2), "split_by_shared_identifier", "same_email"),
        ]
        assert people_in(world.ledger(), 4) == {C1: own_id(C1), C2: own_id(C2), C3: own_id(C3)}

    def test_those_who_share_something_else_as_well_stay_together(self):
        links = (Link(C1, E, 1), Link(C2, E, 1), Link(C3, E, 2), Link(C1, P, 1), Link(C2, P, 1))
        assert people_in(World({C1: 1, C2: 1, C3: 2}, links).ledger(), 2)[C2] == own_id(C1)

    def test_a_familys_tablet_is_nobodys(self):
        world = World({C1: 1, C2: 1, D: 1}, (Link(C1, D, 1), Link(C2, D, 2)))
        assert of(world, D) == [
            (1, None, own_id(C1), "appeared", "same_device"),
            (2, own_id(C1), None, "split_by_shared_identifier", "same_device"),
        ]

    def test_logins_without_a_contact_count_as_well(self):
        world = World({C1: 1, U: 1, D: 1}, (Link(C1, D, 1), Link(U, D, 1)))
        assert people_in(world.ledger(), 1) == {C1: own_id(C1), U: own_id(U)}

    def test_a_device_that_is_everybodys_at_once_is_no_person_either(self):
        world = World({C1: 2, C2: 2, D: 1}, (Link(C1, D, 2), Link(C2, D, 2)), include_anonymous=True)
        assert [row[:3] for row in of(world, D)] == [(1, None, own_id(D)), (2, own_id(D), None)]


class TestDecisions:
    LINKS = (Link(C1, E, 1), Link(C2, E, 1))

    def test_two_contacts_kept_apart_are_two_people_from_that_week_on(self):
        world = World({C1: 1, C2: 1}, self.LINKS, apart=(("c2", "c1", 3),))
        assert of(world, C2) == [
            (1, None, own_id(C1), "appeared", "same_email"),
            (3, own_id(C1), own_id(C2), "unmerged_by_decision", None),
        ]

    def test_no_later_link_brings_them_together_again(self):
        links = (*self.LINKS, Link(C1, P, 5), Link(C2, P, 5), Link(C2, C1, 6, weight=30.0))
        people = people_in(World({C1: 1, C2: 1}, links, apart=(("c1", "c2", 3),)).ledger(), LAST_WEEK)
        assert people == {C1: own_id(C1), C2: own_id(C2)}

    def test_whoever_belongs_to_both_goes_with_the_stronger_link(self):
        links = (Link(C1, P, 1), Link(C3, P, 1), Link(C3, E, 2), Link(C2, E, 2))
        people = people_in(World({C1: 1, C2: 1, C3: 1}, links, apart=(("c1", "c2", 4),)).ledger(), 4)
        assert people == {C1: own_id(C1), C2: own_id(C2), C3: own_id(C2)}

    def test_contacts_that_nothing_links_need_no_decision(self):
        world = World({C1: 1, C2: 1}, apart=(("c1", "c2", 1), ("c1", "nobody", 1)))
        assert people_in(world.ledger(), 1) == {C1: own_id(C1), C2: own_id(C2)}


CONTACTS = [("contact", f"c{i}") for i in range(7)]
USERS = [("user", f"u{i}") for i in range(2)]
DEVICES = [("device", f"d{i}") for i in range(3)]
IDENTIFIERS = [*(("email", f"e{i}") for i in range(3)), *(("phone", f"p{i}") for i in range(2))]


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Worlds small enough to count by hand and dense enough that guards and decisions meet."""
    seen = {identity: draw(st.integers(0, LAST_WEEK)) for identity in [*CONTACTS, *USERS, *DEVICES]}
    pairs = {}
    for _ in range(draw(st.integers(0, 22))):
        holder = draw(st.sampled_from([*CONTACTS, *USERS]))
        others = [*IDENTIFIERS, *DEVICES, *([*USERS, *CONTACTS] if holder[0] == "contact" else [])]
        other = draw(st.sampled_from(others))
        if other != holder and (other, holder) not in pairs:
            earliest = max(seen[holder], seen.get(other, 0))
            week = draw(st.integers(earliest, LAST_WEEK))
            weight = draw(st.floats(1, 30, width=16)) if other[0] == "contact" else None
            pairs[holder, other] = Link(holder, other, week, weight)
    names = [name for _, name in CONTACTS]
    decisions = draw(
        st.lists(st.tuples(st.sampled_from(names), st.sampled_from(names), st.integers(0, LAST_WEEK)), max_size=3)
    )
    apart = tuple((a, b, week) for a, b, week in decisions if a != b)
    limits = {kind: draw(st.integers(1, 3)) for kind in LIMITS}
    return World(seen, tuple(pairs.values()), apart, limits, draw(st.booleans()))


WORLDS = int(os.environ.get("DRAWN_WORLDS", "30"))
MANY = settings(max_examples=WORLDS, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@MANY
@given(worlds())
def test_every_week_is_what_one_computes_from_nothing(world):
    ledger = world.ledger()
    for week in range(LAST_WEEK + 1):
        assert people_in(ledger, week) == people_by_hand(world, week)


@MANY
@given(worlds(), st.randoms())
def test_no_order_of_arrival_changes_anything(world, chance):
    seen, links, apart = list(world.seen.items()), list(world.links), list(world.apart)
    for listed in (seen, links, apart):
        chance.shuffle(listed)
    shuffled = World(dict(seen), tuple(links), tuple(apart), world.limits, world.include_anonymous)
    assert shuffled.ledger().equals(world.ledger())


@MANY
@given(worlds(), st.integers(0, LAST_WEEK))
def test_what_comes_later_changes_no_earlier_week(world, week):
    short = world.until(week).ledger()
    known = pl.col("from_week") <= week
    whole = world.ledger().filter(known).with_columns(to_week=pl.when(pl.col("to_week") <= week).then("to_week"))
    assert short.equals(whole)


@MANY
@given(worlds())
def test_a_person_keeps_the_id_while_its_oldest_identity_stays_in_it(world):
    ledger = world.ledger()
    for row in ledger.filter(pl.col("reason") == "merged").iter_rows(named=True):
        # Whoever gives up an id had the younger one.
        kind, name = row["person_before"][2:-1].split(":")
        assert people_in(ledger, row["from_week"])[kind, name] == row["person_after"] or row["person_after"] is None


@MANY
@given(worlds())
def test_the_ledger_tells_every_change_and_nothing_else(world):
    for _, rows in world.ledger().group_by("identity_kind", "identity_id", maintain_order=True):
        steps = rows.select("from_week", "to_week", "person_before", "person_after", "is_first").rows()
        assert [step[4] for step in steps] == [True, *(False for _ in steps[1:])]
        assert steps[0][2] is None and steps[-1][1] is None
        for (_, until, _, after, _), (since, _, before, now, _) in pairwise(steps):
            assert (until, after) == (since, before) and before != now

"""Small worlds of identities, and who belongs together in them by counting on one's fingers.

What belongs here: builders for `ml.identity_resolution`, and an oracle that computes each week's people from nothing
with sets and loops.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import polars as pl

from ml.identity_resolution import LINK_KINDS, PERSON_KINDS, ResolutionRules, resolve_identities

KIND_OF_LINK = {"user": "same_user", "email": "same_email", "phone": "same_phone", "device": "same_device"}
LIMITS = {"same_user": 2, "same_email": 2, "same_phone": 2, "same_device": 1}

Identity = tuple[str, str]


@dataclass(frozen=True)
class Link:
    """A contact or login that was seen with something; `other` is a contact where two contacts matched."""

    holder: Identity
    other: Identity
    week: int
    weight: float | None = None

    @property
    def kind(self) -> str:
        return "probabilistic_match" if self.other[0] == "contact" else KIND_OF_LINK[self.other[0]]


@dataclass(frozen=True)
class World:
    """Who was seen when, what links them, and what people decided: (contact, contact, week)."""

    seen: dict[Identity, int]
    links: tuple[Link, ...] = ()
    apart: tuple[tuple[str, str, int], ...] = ()
    limits: dict[str, int] = field(default_factory=lambda: dict(LIMITS))
    include_anonymous: bool = False

    def until(self, week: int) -> World:
        """What is known by the end of a week."""
        return World(
            {identity: since for identity, since in self.seen.items() if since <= week},
            tuple(link for link in self.links if link.week <= week),
            tuple(decision for decision in self.apart if decision[2] <= week),
            self.limits,
            self.include_anonymous,
        )

    def ledger(self) -> pl.DataFrame:
        """What the resolution says of it."""
        start = datetime(2026, 1, 5)
        identities = pl.DataFrame(
            [
                (kind, name, start + timedelta(weeks=week), week, own_id((kind, name)))
                for (kind, name), week in self.seen.items()
            ],
            schema={
                "identity_kind": pl.String,
                "identity_id": pl.String,
                "seen_from_at": pl.Datetime,
                "seen_week": pl.Int32,
                "own_person_id": pl.String,
            },
            orient="row",
        )
        links = pl.DataFrame(
            [(*link.holder, *link.other, link.kind, link.week, link.weight) for link in self.links],
            schema={
                "identity_kind": pl.String,
                "identity_id": pl.String,
                "other_kind": pl.String,
                "other_id": pl.String,
                "link_kind": pl.String,
                "link_week": pl.Int32,
                "match_weight": pl.Float64,
            },
            orient="row",
        )
        apart = pl.DataFrame(
            list(self.apart),
            schema={"contact_id": pl.String, "other_contact_id": pl.String, "from_week": pl.Int32},
            orient="row",
        )
        return resolve_identities(identities, links, ResolutionRules(self.limits, self.include_anonymous), apart)


def own_id(identity: Identity) -> str:
    return f"p({identity[0]}:{identity[1]})"


def people_in(ledger: pl.DataFrame, week: int) -> dict[Identity, str]:
    """Who everybody is in a week, by a ledger."""
    valid = ledger.filter(
        pl.col("person_after").is_not_null(),
        pl.col("from_week") <= week,
        pl.col("to_week").is_null() | (pl.col("to_week") > week),
    )
    assert not valid.select("identity_kind", "identity_id").is_duplicated().any()
    return {
        (kind, name): person
        for kind, name, person in valid.select("identity_kind", "identity_id", "person_after").rows()
    }


def people_by_hand(world: World, week: int) -> dict[Identity, str]:
    """Who everybody is in a week, computed from nothing."""
    known = world.until(week)
    holders: dict[Identity, set[Identity]] = {}
    for link in known.links:
        holders.setdefault(link.other, set()).add(link.holder)
    counts = [
        link
        for link in known.links
        if len(holders[link.other]) <= known.limits.get(link.kind, 10**9) or link.weight is not None
    ]
    age = lambda identity: (PERSON_KINDS.index(identity[0]), world.seen[identity], identity[1])  # noqa: E731
    group = {node: {node} for link in counts for node in (link.holder, link.other)} | {
        node: {node} for node in known.seen
    }

    def join(links: list[Link], apart: tuple[tuple[str, str, int], ...]) -> None:
        for link in links:
            one, other = group[link.holder], group[link.other]
            if one is other:
                continue
            both = one | other
            if any(("contact", a) in both and ("contact", b) in both for a, b, _ in apart):
                continue
            for node in both:
                group[node] = both

    order = sorted(
        counts,
        key=lambda link: (
            LINK_KINDS.index(link.kind),
            -(link.weight or 0.0),
            link.week,
            age(link.holder),
            age(link.other) if link.other in world.seen else (9, 0, link.other[1]),
        ),
    )
    join(order, known.apart)
    linked = {link.other for link in known.links}
    people = {}
    for node in known.seen:
        oldest = min((member for member in group[node] if member in known.seen), key=age)
        is_nobodys = oldest[0] == "device" and not (world.include_anonymous and node not in linked)
        if not is_nobodys:
            people[node] = own_id(oldest)
    return people

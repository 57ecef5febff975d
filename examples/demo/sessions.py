"""Sessions: when people come, with which device, and how many events follow each other.

What belongs here: what product and web have in common. Which events they are stands in `product.py` and `web.py`.
"""

from dataclasses import dataclass

import numpy as np

from examples.demo import company
from examples.demo.clock import HOUR, DemoWeek
from examples.demo.devices import Devices
from examples.demo.people import People
from examples.demo.sampling import BoolArray, Choice, FloatArray, IntArray, expand, running_total_within

SECONDS_BETWEEN_EVENTS = 80.0
SHARE_ON_FIRST_DEVICE = 0.7
SHARE_AS_SECOND_CONTACT = 0.4

_HOUR_OF_WEEK = Choice([np.outer(company.WEEKDAYS[p], company.HOURS[p]).ravel() for p in range(len(company.PERSONAS))])


@dataclass(frozen=True)
class Sessions:
    """Sessions of one week: the human (or stranger) of each, its start as an instant, and its persona's index."""

    owner: IntArray
    start: IntArray
    persona: IntArray

    def __len__(self) -> int:
        """The number of sessions."""
        return len(self.owner)


@dataclass(frozen=True)
class SessionEvents:
    """The events of sessions, in order of session: which session, which instant, and whether it is its first."""

    session: IntArray
    at: IntArray
    is_first: BoolArray


def draw_sessions(rng: np.random.Generator, week: DemoWeek, rates: FloatArray, persona: IntArray) -> Sessions:
    """Draw a week's sessions from the expected number `rates` and the `persona` of each owner."""
    owner, _ = expand(rng.poisson(rates))
    of_session = persona[owner]
    hour = _HOUR_OF_WEEK.draw(rng, of_session)
    start = week.instants(hour * float(HOUR) + rng.random(len(owner)) * HOUR)
    return Sessions(owner, start, of_session)


def moved_after_joining(sessions: Sessions, week: DemoWeek, people: People) -> Sessions:
    """The same sessions, those of people who joined this week moved evenly into what is left of it."""
    is_new = people.joined_week[sessions.owner] == week.number
    joined_at = people.joined_at[sessions.owner[is_new]]
    share = (sessions.start[is_new] - week.start) / (week.end - week.start)
    start = sessions.start.copy()
    start[is_new] = joined_at + 1 + (share * (week.end - joined_at - 1)).astype(np.int64)
    return Sessions(sessions.owner, start, sessions.persona)


def draw_events(rng: np.random.Generator, week: DemoWeek, sessions: Sessions) -> SessionEvents:
    """Draw at least one event per session, `company.EVENTS_PER_SESSION` on average, about a minute apart."""
    counts = 1 + rng.poisson(company.EVENTS_PER_SESSION - 1, len(sessions))
    session, is_first = expand(counts)
    passed = running_total_within(rng.exponential(SECONDS_BETWEEN_EVENTS, len(session)), session, is_first)
    return SessionEvents(session, week.clip(sessions.start[session] + passed), is_first)


def own_devices(rng: np.random.Generator, owner: IntArray, devices: Devices) -> IntArray:
    """A device of each session's human: mostly the first."""
    others = np.maximum(devices.count[owner] - 1, 1)
    other = np.minimum(1 + (rng.random(len(owner)) * others).astype(np.int64), devices.count[owner] - 1)
    return devices.first[owner] + np.where(rng.random(len(owner)) < SHARE_ON_FIRST_DEVICE, 0, other)


def contacts_in_use(rng: np.random.Generator, sessions: Sessions, people: People) -> IntArray:
    """The contact each session's human signs in as: the second one now and then, from the moment it exists."""
    has_second = sessions.start > people.second_contact_at[sessions.owner]
    uses_second = has_second & (rng.random(len(sessions)) < SHARE_AS_SECOND_CONTACT)
    return np.where(uses_second, people.second_contact[sessions.owner], people.first_contact[sessions.owner])

"""The product's event stream: what signed-in people do, as the product's own tracker delivers it.

What belongs here: which events a session holds, and the stream's habits: rows delivered twice, phones that deliver
a week late.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from examples.demo import company
from examples.demo.clock import DemoWeek, utc
from examples.demo.columns import numbered
from examples.demo.devices import Devices
from examples.demo.lives import Lives
from examples.demo.people import People
from examples.demo.sampling import Choice, IntArray, Stream, generator
from examples.demo.sessions import contacts_in_use, draw_events, draw_sessions, moved_after_joining, own_devices

SHARE_DELIVERED_TWICE = 0.001
SHARE_OF_PHONE_EVENTS_A_WEEK_LATE = 0.004
SHARE_IN_MEETING_ROOMS = 0.02

_NAMES = list(company.PRODUCT_EVENTS)
_CATEGORIES = [category for category, _ in company.PRODUCT_EVENTS.values()]
_WEIGHTS = np.array([weights for _, weights in company.PRODUCT_EVENTS.values()]).T
_LOGIN, _ASSISTANT = _NAMES.index("logged_in"), _NAMES.index("assistant_asked")
_BUILDING = [_NAMES.index(name) for name in ("api_called", "integration_connected", "automation_run")]
_INTEREST = [_NAMES.index("addon_browsed")]


@dataclass(frozen=True)
class Visits:
    """A week's sessions in the product, one entry each: whose, by which ids, and the instant of its last event."""

    human: IntArray
    ended_at: IntArray
    user_id: pl.Series
    device_id: pl.Series
    session: pl.Series


@dataclass(frozen=True)
class ProductWeek:
    """A week's delivery, its sessions, and its counts per human as `Lives.remember` wants them."""

    rows: pl.DataFrame
    visits: Visits
    usage: IntArray
    building: IntArray
    interest: IntArray


class Product:
    """The product's tracker."""

    def __init__(self, people: People, devices: Devices, sessions_per_week: float, seed: int):
        """Track `people` on `devices`; `sessions_per_week` scales the personas' sessions."""
        self._people, self._devices = people, devices
        self._sessions_per_week = sessions_per_week * company.PRODUCT_SESSIONS
        self._seed = seed
        self._late: pl.DataFrame | None = None

    def live(self, week: DemoWeek, lives: Lives) -> ProductWeek:
        """Let a week pass."""
        rng = generator(self._seed, Stream.PRODUCT, week.number)
        rates = lives.activity(week) * self._sessions_per_week[lives.persona]
        drawn = draw_sessions(rng, week, rates, lives.persona)
        sessions = moved_after_joining(drawn, week, self._people)
        device = own_devices(rng, sessions.owner, self._devices)
        # Far too many people sign in at a meeting room's screen for it to be somebody's device.
        rooms = self._devices.strangers_from - self._devices.rooms_from
        in_room = rng.random(len(sessions)) < SHARE_IN_MEETING_ROOMS
        device = np.where(in_room, self._devices.rooms_from + sessions.owner % rooms, device)
        contact = contacts_in_use(rng, sessions, self._people)

        events = draw_events(rng, week, sessions)
        kind = Choice(self._weights(week)).draw(rng, sessions.persona[events.session])
        is_login = events.is_first & (rng.random(len(kind)) < company.SHARE_OF_SESSIONS_WITH_LOGIN)
        kind[is_login] = _LOGIN

        order = np.argsort(events.at, kind="stable")
        session, kind_in_order = events.session[order], kind[order]
        session_id = numbered(f"s{week.number:03d}-", 7, len(sessions))
        rows = pl.DataFrame(
            {
                "event_id": numbered(f"p{week.number:03d}-", 7, len(order)),
                "ts": utc(events.at[order]),
                "user_id": self._people.contact_id.gather(contact[session]),
                "device_id": self._devices.device_id.gather(device[session]),
                "session": session_id.gather(session),
                "event": pl.Series(_NAMES).gather(kind_in_order),
                "category": pl.Series(_CATEGORIES).gather(kind_in_order),
                "platform": self._devices.device_type.gather(device[session]),
                "locale": self._devices.language.gather(device[session]),
            }
        )
        human = sessions.owner[events.session]
        ended_at = sessions.start.copy()
        np.maximum.at(ended_at, events.session, events.at)
        visits = Visits(
            human=sessions.owner,
            ended_at=ended_at,
            user_id=self._people.contact_id.gather(contact),
            device_id=self._devices.device_id.gather(device),
            session=session_id,
        )
        return ProductWeek(
            rows=self._as_delivered(rng, rows),
            visits=visits,
            usage=np.bincount(human, minlength=len(self._people)),
            building=np.bincount(human[np.isin(kind, _BUILDING)], minlength=len(self._people)),
            interest=np.bincount(human[np.isin(kind, _INTEREST)], minlength=len(self._people)),
        )

    def _weights(self, week: DemoWeek) -> np.ndarray:
        weights = _WEIGHTS.copy()
        weights[:, _ASSISTANT] *= min(1.0, week.number / company.WEEKS_UNTIL_ASSISTANT_IS_KNOWN)
        return weights

    def _as_delivered(self, rng: np.random.Generator, rows: pl.DataFrame) -> pl.DataFrame:
        """A week's rows, without those still on a phone, with those of last week's phones, and a few rows twice."""
        draws = pl.Series(rng.random(rows.height))
        is_late = (rows["platform"] != "desktop") & (draws < SHARE_OF_PHONE_EVENTS_A_WEEK_LATE)
        is_twice = draws > 1 - SHARE_DELIVERED_TWICE
        parts = [rows.filter(~is_late), rows.filter(is_twice)]
        if self._late is not None:
            parts.insert(0, self._late)
        self._late = rows.filter(is_late)
        return pl.concat(parts)

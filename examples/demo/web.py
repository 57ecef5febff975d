"""The web site's tracker: visits of people and strangers, known by a cookie and, once signed in, by their contact id.

What belongs here: pages, how visits begin, and the tracker's own column names. It writes local time without a zone.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from examples.demo import company
from examples.demo.clock import DemoWeek, local
from examples.demo.columns import numbered
from examples.demo.devices import Devices
from examples.demo.lives import Lives
from examples.demo.people import People
from examples.demo.sampling import BoolArray, Choice, IntArray, Stream, generator
from examples.demo.sessions import (
    SessionEvents,
    Sessions,
    contacts_in_use,
    draw_events,
    draw_sessions,
    moved_after_joining,
    own_devices,
)

SITE = "https://www.havelgrid.example"
WEEKS_OF_LOOKING_AROUND = 2
VISITS_PER_WEEK_BEFORE_JOINING = 0.8
VISITS_PER_STRANGER = 1.6
SHARE_OF_STRANGERS_WHO_RETURN = 0.25

_NAMES = list(company.WEB_EVENTS)
_KINDS = [kind for kind, _, _, _ in company.WEB_EVENTS.values()]
_URLS = [SITE + path for _, path, _, _ in company.WEB_EVENTS.values()]
_TITLES = [title for _, _, title, _ in company.WEB_EVENTS.values()]
_INTEREST = [_NAMES.index("pricing_viewed"), _NAMES.index("addons_viewed")]
_SEARCH = list(company.CHANNELS).index("search")
_WORDS = [word for words in company.SEARCH_WORDS for word in words]
_WORDS_PER_PERSONA = len(company.SEARCH_WORDS[0])
# One row more than there are personas: whoever is not signed up yet behaves as an anonymous visitor.
_ANONYMOUS = len(company.PERSONAS)
_PAGES = Choice([*np.array([weights for *_, weights in company.WEB_EVENTS.values()]).T, company.ANONYMOUS_WEB_MIX])
_CHANNEL = Choice(np.array([weights for *_, weights in company.CHANNELS.values()]).T)


@dataclass(frozen=True)
class WebWeek:
    """A week's delivery, and how often each human looked at prices and add-ons."""

    rows: pl.DataFrame
    interest: IntArray


@dataclass(frozen=True)
class _Visits:
    """Sessions with the device of each, its contact (-1: not signed in), and the row of `_PAGES` to draw from."""

    sessions: Sessions
    device: IntArray
    contact: IntArray
    mix: IntArray


class Web:
    """The web site's tracker."""

    def __init__(self, people: People, devices: Devices, sessions_per_week: float, seed: int):
        """Track `people` and strangers on `devices`; `sessions_per_week` scales the personas' visits."""
        self._people, self._devices = people, devices
        self._scale = sessions_per_week
        self._seed = seed

    def live(self, week: DemoWeek, lives: Lives) -> WebWeek:
        """Let a week pass."""
        rng = generator(self._seed, Stream.WEB, week.number)
        visits = _together(
            self._visits_of_people(rng, week, lives),
            self._visits_before_joining(rng, week),
            self._visits_of_strangers(rng, week),
        )
        events = draw_events(rng, week, visits.sessions)
        page = _PAGES.draw(rng, visits.mix[events.session])
        is_interest = np.isin(page, _INTEREST) & (visits.mix[events.session] != _ANONYMOUS)
        return WebWeek(
            rows=self._hits(rng, week, visits, events, page),
            interest=np.bincount(visits.sessions.owner[events.session[is_interest]], minlength=len(self._people)),
        )

    def _visits_of_people(self, rng: np.random.Generator, week: DemoWeek, lives: Lives) -> _Visits:
        rates = lives.activity(week) * self._scale * company.WEB_SESSIONS[lives.persona]
        sessions = moved_after_joining(draw_sessions(rng, week, rates, lives.persona), week, self._people)
        contact = contacts_in_use(rng, sessions, self._people)
        is_signed_in = rng.random(len(sessions)) < company.SHARE_LOGGED_IN_ON_WEB
        device = own_devices(rng, sessions.owner, self._devices)
        return _Visits(sessions, device, np.where(is_signed_in, contact, -1), sessions.persona)

    def _visits_before_joining(self, rng: np.random.Generator, week: DemoWeek) -> _Visits:
        """People who will sign up within two weeks look around with the device they will sign up with."""
        is_looking = self._people.joined_week > week.number
        is_looking &= self._people.joined_week <= week.number + WEEKS_OF_LOOKING_AROUND
        rates = np.where(is_looking, VISITS_PER_WEEK_BEFORE_JOINING, 0.0)
        sessions = draw_sessions(rng, week, rates, self._people.persona_at_start)
        return _anonymous(sessions, self._devices.first[sessions.owner])

    def _visits_of_strangers(self, rng: np.random.Generator, week: DemoWeek) -> _Visits:
        """Devices that come this week or come back from last week, and never sign in."""
        begins = self._devices.strangers_by_week
        fresh = np.arange(begins[week.number], begins[week.number + 1])
        last = np.arange(begins[max(week.number - 1, 0)], begins[week.number])
        devices = np.concatenate([last[rng.random(len(last)) < SHARE_OF_STRANGERS_WHO_RETURN], fresh])
        persona = devices % len(company.PERSONAS)
        sessions = draw_sessions(rng, week, np.full(len(devices), VISITS_PER_STRANGER), persona)
        return _anonymous(sessions, devices[sessions.owner])

    def _hits(
        self, rng: np.random.Generator, week: DemoWeek, visits: _Visits, events: SessionEvents, page: IntArray
    ) -> pl.DataFrame:
        """The rows in order of time. How a visit began stands in its first row only."""
        channel = _CHANNEL.draw(rng, visits.sessions.persona)
        word = visits.sessions.persona * _WORDS_PER_PERSONA + rng.integers(0, _WORDS_PER_PERSONA, len(channel))
        order = np.argsort(events.at, kind="stable")
        session, page, is_first = events.session[order], page[order], events.is_first[order]
        device, contact = visits.device[session], visits.contact[session]
        beginning = _text_or_null(channel[session], is_first)
        referrers, sources, mediums, campaigns = zip(*(row[:4] for row in company.CHANNELS.values()), strict=True)
        is_search = is_first & (channel[session] == _SEARCH)
        return pl.DataFrame(
            {
                "hit_id": numbered(f"w{week.number:03d}-", 7, len(order)),
                "visited_at": local(events.at[order]),
                "visitor": self._devices.device_id.gather(device),
                "login": self._people.contact_id.gather(_text_or_null(contact, contact >= 0)),
                "visit": numbered(f"v{week.number:03d}-", 7, len(visits.sessions)).gather(session),
                "kind": pl.Series(_KINDS).gather(page),
                "action": pl.Series(_NAMES).gather(page),
                "url": pl.Series(_URLS).gather(page),
                "title": pl.Series(_TITLES).gather(page),
                "referrer": pl.Series(referrers, dtype=pl.String).gather(beginning),
                "utm_source": pl.Series(sources, dtype=pl.String).gather(beginning),
                "utm_medium": pl.Series(mediums, dtype=pl.String).gather(beginning),
                "utm_campaign": _campaigns(campaigns, week).gather(beginning),
                "search_term": pl.Series(_WORDS).gather(_text_or_null(word[session], is_search)),
                "device": self._devices.device_type.gather(device),
                "browser": self._devices.browser.gather(device),
                "country": self._devices.country.gather(device),
                "lang": self._devices.language.gather(device),
            }
        )


def _anonymous(sessions: Sessions, device: IntArray) -> _Visits:
    count = len(sessions)
    return _Visits(sessions, device, np.full(count, -1), np.full(count, _ANONYMOUS))


def _together(*parts: _Visits) -> _Visits:
    return _Visits(
        sessions=Sessions(
            owner=np.concatenate([part.sessions.owner for part in parts]),
            start=np.concatenate([part.sessions.start for part in parts]),
            persona=np.concatenate([part.sessions.persona for part in parts]),
        ),
        device=np.concatenate([part.device for part in parts]),
        contact=np.concatenate([part.contact for part in parts]),
        mix=np.concatenate([part.mix for part in parts]),
    )


def _text_or_null(index: IntArray, is_given: BoolArray) -> pl.Series:
    """Indexes to gather by: null, and so no text, where `is_given` is false."""
    return pl.select(pl.when(pl.Series(is_given)).then(pl.Series(index))).to_series()


def _campaigns(prefixes: tuple[str | None, ...], week: DemoWeek) -> pl.Series:
    """This week's campaign of each channel; the newsletter's is the campaign the mails carry."""
    names = {
        "newsletter": campaign_of(week),
        "brand": f"brand_{week.monday.year}_q{(week.monday.month + 2) // 3}",
        "partners": "partners",
    }
    return pl.Series([names[prefix] if prefix else None for prefix in prefixes], dtype=pl.String)


def campaign_of(week: DemoWeek) -> str:
    """The name of a week's mailing, such as add_on_week_2026_w46."""
    year, number, _ = week.monday.isocalendar()
    name, *_ = company.CAMPAIGNS[week.number % len(company.CAMPAIGNS)]
    return f"{name}_{year}_w{number:02d}"

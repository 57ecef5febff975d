"""The devices people and strangers use: browsers and phones known by a cookie or an app id.

What belongs here: which devices exist, whose they are and what they look like. When they are used stands in
`sessions.py`.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from examples.demo.crm import COUNTRIES
from examples.demo.people import People
from examples.demo.sampling import IntArray, Stream, choose, generator

DEVICES_PER_PERSON = (0.55, 0.35, 0.10)
# Screens in meeting rooms, at which far more people sign in than share a device as friends or family do.
PEOPLE_PER_MEETING_ROOM = 1_000
SHARE_OF_STRANGERS = 0.2
DEVICE_TYPES = ("desktop", "mobile", "tablet")
BROWSERS = ("Chrome", "Safari", "Firefox", "Edge")


@dataclass(frozen=True)
class Devices:
    """All devices, in three ranges: people's own, meeting rooms' (from `rooms_from`), strangers' (`strangers_from`).

    Attributes:
        first: index of each human's first device; the human's others follow it.
        count: how many devices each human has, 1 to 3.
        strangers_by_week: index of the first stranger's device that appears in each week, and the end.
        device_id, device_type, browser, country, language: one entry per device, as text.
    """

    first: IntArray
    count: IntArray
    rooms_from: int
    strangers_from: int
    strangers_by_week: IntArray
    device_id: pl.Series
    device_type: pl.Series
    browser: pl.Series
    country: pl.Series
    language: pl.Series


def draw_devices(people: People, country: IntArray, weeks: int, seed: int) -> Devices:
    """Draw every device of the history.

    Args:
        people: the humans.
        country: each human's country, as an index into `crm.COUNTRIES`.
        weeks: how long history is.
        seed: the demo's seed.
    """
    rng = generator(seed, Stream.DEVICES)
    count = 1 + choose(rng, DEVICES_PER_PERSON, len(people))
    first = np.cumsum(count) - count
    own = int(count.sum())
    rooms = max(1, len(people) // PEOPLE_PER_MEETING_ROOM)
    strangers = round(own * SHARE_OF_STRANGERS / (1 - SHARE_OF_STRANGERS))
    total = own + rooms + strangers

    position = np.arange(own) - np.repeat(first, count)
    kind = np.where(position == 0, choose(rng, (8, 2, 0), own), choose(rng, (2, 6, 2), own))
    kinds = np.concatenate([kind, np.zeros(rooms, dtype=np.int64), choose(rng, (4, 5, 1), strangers)])
    countries = np.concatenate([np.repeat(country, count), choose(rng, COUNTRIES.weights, rooms + strangers)])
    languages = pl.Series(COUNTRIES.languages).gather(countries)
    english = pl.Series(rng.random(total) < 0.1)
    return Devices(
        first=first,
        count=count,
        rooms_from=own,
        strangers_from=own + rooms,
        strangers_by_week=own + rooms + np.linspace(0, strangers, weeks + 1).astype(np.int64),
        device_id=_device_ids(total, seed),
        device_type=pl.Series(DEVICE_TYPES).gather(kinds),
        browser=pl.Series(BROWSERS).gather(choose(rng, (55, 22, 13, 10), total)),
        country=pl.Series(COUNTRIES.codes).gather(countries),
        language=pl.select(pl.when(english).then(pl.lit("en")).otherwise(languages)).to_series(),
    )


def _device_ids(count: int, seed: int) -> pl.Series:
    """Ids that look random and never collide: an odd factor permutes the numbers below 2**32."""
    scrambled = (np.arange(count, dtype=np.uint64) * np.uint64(2_654_435_761) + np.uint64(seed)) % np.uint64(2**32)
    return pl.Series([f"d{number:08x}" for number in scrambled.tolist()])

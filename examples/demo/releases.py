"""What is new in the product: who tries it when, who passes it on and who writes about it.

What belongs here: the planted innovativeness and influence, and the extract they show in. All of it draws from a stream
of its own and happens at the end of sessions that take place anyway, so that nothing else about the company depends on
it.
"""

import numpy as np
import polars as pl

from examples.demo import company
from examples.demo.clock import DAY, DemoWeek, utc
from examples.demo.columns import numbered
from examples.demo.people import People
from examples.demo.product import Visits
from examples.demo.sampling import IntArray, Stream, generator


class Releases:
    """The tool that tells of new things.

    Attributes:
        innovativeness: per human, normally distributed: how readily something new is tried.
        is_influencer: per human, whether others listen and there is something to listen to.
    """

    def __init__(self, people: People, seed: int):
        """Draw who `people` are in this."""
        rng = generator(seed, Stream.RELEASES)
        self.innovativeness = rng.normal(size=len(people))
        self.is_influencer = rng.random(len(people)) < company.SHARE_OF_INFLUENCERS
        self._has_tried = np.zeros((len(company.RELEASES), len(people)), dtype=np.bool_)
        self._seed = seed

    def live(self, week: DemoWeek, visits: Visits) -> pl.DataFrame:
        """Let a week pass: what happens at the end of some of its sessions."""
        rng = generator(self._seed, Stream.RELEASES, week.number)
        readiness = np.exp(company.INNOVATIVENESS_EFFECT * self.innovativeness[visits.human])
        found: list[tuple[str, IntArray]] = []
        for number, (event, release_week) in enumerate(company.RELEASES.items()):
            chance = rng.random(len(visits.human))
            is_there = week.number > release_week or (
                (week.number == release_week) & (visits.ended_at >= week.start + company.RELEASE_DAY * DAY)
            )
            tries = is_there & (chance < 1 - np.exp(-company.TRIES_PER_SESSION * readiness))
            session = np.flatnonzero(tries & ~self._has_tried[number, visits.human])
            in_time = session[np.argsort(visits.ended_at[session], kind="stable")]
            _, first = np.unique(visits.human[in_time], return_index=True)
            self._has_tried[number, visits.human[in_time]] = True
            found.append((event, in_time[np.sort(first)]))
        for event, (usual, of_influencers) in company.INFLUENCE.items():
            rate = np.where(self.is_influencer[visits.human], of_influencers, usual)
            found.append((event, np.flatnonzero(rng.random(len(visits.human)) < rate)))
        return self._as_rows(week, visits, found)

    def _as_rows(self, week: DemoWeek, visits: Visits, found: list[tuple[str, IntArray]]) -> pl.DataFrame:
        session = np.concatenate([which for _, which in found])
        events = [event for event, which in found for _ in range(len(which))]
        order = np.argsort(visits.ended_at[session], kind="stable")
        session = session[order]
        return pl.DataFrame(
            {
                "event_id": numbered(f"r{week.number:03d}-", 6, len(session)),
                "happened_at": utc(week.clip(visits.ended_at[session] + 20)),
                "user_id": visits.user_id.gather(session),
                "device_id": visits.device_id.gather(session),
                "session": visits.session.gather(session),
                "event": pl.Series(events, dtype=pl.String).gather(order),
            }
        )

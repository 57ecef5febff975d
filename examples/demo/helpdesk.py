"""The helpdesk: tickets, delivered when opened and again when solved, and the answers to its survey.

What belongs here: what people ask and what they say of the company.
"""

from collections import defaultdict

import numpy as np
import polars as pl

from examples.demo import company
from examples.demo.clock import DAY, HOUR, DemoWeek, local
from examples.demo.columns import constant, numbered
from examples.demo.lives import Lives
from examples.demo.people import People
from examples.demo.sampling import Choice, FloatArray, IntArray, Stream, choose, generator
from examples.demo.sessions import Sessions, draw_sessions, moved_after_joining

DAYS_UNTIL_SOLVED = 2.0
LONGEST_WEEKS_UNTIL_SOLVED = 4
PRIORITIES = ("low", "normal", "high")
SUBJECTS = ("How do I do this?", "Something is broken", "Question on my invoice", "Integration fails", "How to cancel?")
SURVEY = "pulse"

_CATEGORY = Choice(company.TICKET_WEIGHTS)


class Helpdesk:
    """Tickets and survey answers."""

    def __init__(self, people: People, seed: int):
        """Help `people`."""
        self._people, self._seed = people, seed
        self._solved_later: defaultdict[int, list[pl.DataFrame]] = defaultdict(list)

    def tickets(self, week: DemoWeek, lives: Lives) -> pl.DataFrame:
        """The tickets opened in a week as they stand at its end, and older ones solved in it."""
        rng = generator(self._seed, Stream.TICKETS, week.number)
        rates = lives.activity(week) * company.TICKETS_PER_WEEK[lives.persona]
        sessions = moved_after_joining(draw_sessions(rng, week, rates, lives.persona), week, self._people)
        solved_at = sessions.start + HOUR + (rng.exponential(DAYS_UNTIL_SOLVED, len(sessions)) * DAY).astype(np.int64)
        solved_at = np.minimum(solved_at, week.end + (LONGEST_WEEKS_UNTIL_SOLVED * 7 - 1) * DAY)
        final = self._final_versions(rng, sessions, solved_at, f"T{week.number:03d}-")
        is_open = pl.Series(solved_at >= week.end)
        still_open = final.filter(is_open).with_columns(
            pl.lit(None).cast(pl.Datetime("us")).alias("solved"),
            pl.lit(None).cast(pl.Int64).alias("rating"),
            changed=pl.col("opened"),
            status=pl.lit("open"),
        )
        weeks_open = (solved_at - week.end) // (7 * DAY) + 1
        for later in range(1, LONGEST_WEEKS_UNTIL_SOLVED + 1):
            due = final.filter(is_open & pl.Series(weeks_open == later))
            self._solved_later[week.number + later].append(due)
        parts = [final.filter(~is_open), still_open, *self._solved_later.pop(week.number, [])]
        return pl.concat(parts).sort("changed", "ticket")

    def _final_versions(
        self, rng: np.random.Generator, sessions: Sessions, solved_at: IntArray, prefix: str
    ) -> pl.DataFrame:
        count = len(sessions)
        category = _CATEGORY.draw(rng, sessions.persona)
        # Whoever drifts away is hard to please; half of the others do not rate at all.
        mean = np.where(sessions.persona == company.DRIFTING, 2.4, 4.0)
        rating = np.clip(np.round(rng.normal(mean, 0.9)), 1, 5).astype(np.int64)
        has_rated = rng.random(count) < 0.5
        return pl.DataFrame(
            {
                "ticket": numbered(prefix, 6, count),
                "opened": local(sessions.start),
                "solved": local(solved_at),
                "changed": local(solved_at),
                "requester": self._people.contact_id.gather(self._people.first_contact[sessions.owner]),
                "subject": pl.Series(SUBJECTS).gather(category),
                "category": pl.Series(company.TICKET_CATEGORIES).gather(category),
                "priority": pl.Series(PRIORITIES).gather(choose(rng, (30, 55, 15), count)),
                "status": constant("solved", count),
                "rating": pl.select(pl.when(pl.Series(has_rated)).then(pl.Series(rating))).to_series(),
            },
        )

    def survey(self, week: DemoWeek, lives: Lives) -> pl.DataFrame:
        """The answers of those who took the survey in a week: five questions from 1 to 5, and nps from 0 to 10."""
        rng = generator(self._seed, Stream.SURVEYS, week.number)
        is_asked = lives.is_active(week) & (self._people.joined_week < week.number)
        human = np.flatnonzero(is_asked & (rng.random(len(self._people)) < company.SURVEYED_PER_WEEK))
        at = week.instants((rng.integers(0, 5, len(human)) + rng.uniform(9 / 24, 18 / 24, len(human))) * DAY)
        contact = self._people.contact_id.gather(self._people.first_contact[human])
        answers = [
            pl.DataFrame(
                {
                    "contact": contact,
                    "answered": local(at),
                    "survey": constant(f"{SURVEY}_{week.monday.year}", len(human)),
                    "question": constant(question, len(human)),
                    "answer": _answers(rng, np.array(means)[lives.persona[human]], question),
                },
            )
            for question, means in company.SURVEY_QUESTIONS.items()
        ]
        return pl.concat(answers).sort("answered", "contact", maintain_order=True)


def _answers(rng: np.random.Generator, mean: FloatArray, question: str) -> IntArray:
    lowest, highest, spread = (0, 10, 1.6) if question == "nps" else (1, 5, 0.7)
    return np.clip(np.round(rng.normal(mean, spread)), lowest, highest).astype(np.int64)

"""The preference centre: a ledger of who agreed to what, and who took it back.

What belongs here: consent to mails (`email_marketing`, per channel) and to profiling, and objections to direct
marketing as a whole. Many were never asked.
"""

import numpy as np
import polars as pl

from examples.demo.clock import DemoWeek, local
from examples.demo.columns import constant
from examples.demo.people import People
from examples.demo.sampling import BoolArray, IntArray, Stream, choose, generator

NEVER_ASKED, GRANTED, WITHDRAWN, OBJECTED = range(4)
STATES = ("", "granted", "withdrawn", "objected")
MAIL_AT_SIGNUP = (0.25, 0.63, 0.12)
PROFILING_AT_SIGNUP = (0.10, 0.84, 0.06)
SHARE_ASKED_PER_WEEK = 0.01
SHARE_AGREEING_WHEN_ASKED = 0.6
SHARE_WITHDRAWING_PER_WEEK = 0.001
SHARE_OBJECTING_PER_WEEK = 0.0005
TEXT_VERSION = "2025-05"


class Preferences:
    """What every human has agreed to, and the ledger of it. A second contact of a human is never asked."""

    def __init__(self, people: People, seed: int):
        """Draw what everybody will answer when signing up."""
        rng = generator(seed, Stream.CONSENTS)
        self._people, self._seed = people, seed
        self._at_signup = choose(rng, MAIL_AT_SIGNUP, len(people))
        self._profiling_at_signup = choose(rng, PROFILING_AT_SIGNUP, len(people))
        self._mail = np.where(people.joined_week < 0, self._at_signup, NEVER_ASKED)

    @property
    def may_be_mailed(self) -> BoolArray:
        """For each human, whether mails are agreed to now."""
        return self._mail == GRANTED

    def snapshot(self) -> pl.DataFrame:
        """The ledger as delivered when history begins."""
        return _in_order(self._signups(np.arange(self._people.present(-1))))

    def live(self, week: DemoWeek, unsubscribed: IntArray, unsubscribed_at: IntArray) -> pl.DataFrame:
        """Let a week pass: what people said while signing up, when asked again, and when they took it back.

        Args:
            week: the week.
            unsubscribed: humans who unsubscribed in a mail this week.
            unsubscribed_at: the instants at which they did.
        """
        rng = generator(self._seed, Stream.CONSENTS, week.number)
        people = self._people
        is_known = (people.joined_week < week.number) & (week.number < people.left_week)
        moment = week.start + (rng.random(len(people)) * (week.end - week.start)).astype(np.int64)
        chance = rng.random(len(people))

        new = np.arange(people.present(week.number - 1), people.present(week.number))
        self._mail[new] = self._at_signup[new]
        asked = np.flatnonzero(is_known & (self._mail == NEVER_ASKED) & (chance < SHARE_ASKED_PER_WEEK))
        answer = np.where(rng.random(len(asked)) < SHARE_AGREEING_WHEN_ASKED, GRANTED, WITHDRAWN)
        self._mail[unsubscribed] = WITHDRAWN
        leaving = np.flatnonzero(is_known & (self._mail == GRANTED) & (chance > 1 - SHARE_WITHDRAWING_PER_WEEK))
        self._mail[asked], self._mail[leaving] = answer, WITHDRAWN
        denying = np.flatnonzero(is_known & (rng.random(len(people)) < SHARE_WITHDRAWING_PER_WEEK / 2))
        objecting = np.flatnonzero(is_known & (rng.random(len(people)) < SHARE_OBJECTING_PER_WEEK))
        self._mail[objecting] = WITHDRAWN
        objection = np.full(len(objecting), OBJECTED)
        return _in_order(
            pl.concat(
                [
                    self._signups(new),
                    self._ledger(asked, moment[asked], answer, "email_marketing", "in_app_question"),
                    self._withdrawals(unsubscribed, unsubscribed_at, "email_marketing", "unsubscribe_link"),
                    self._withdrawals(leaving, moment[leaving], "email_marketing", "preference_centre"),
                    self._withdrawals(denying, moment[denying], "profiling", "preference_centre"),
                    self._ledger(objecting, moment[objecting], objection, "direct_marketing", "letter"),
                ]
            )
        )

    def _signups(self, human: IntArray) -> pl.DataFrame:
        at = self._people.joined_at[human]
        return pl.concat(
            [
                self._ledger(human, at, self._at_signup[human], "email_marketing", "signup_form"),
                self._ledger(human, at, self._profiling_at_signup[human], "profiling", "signup_form"),
            ]
        )

    def _withdrawals(self, human: IntArray, at: IntArray, purpose: str, origin: str) -> pl.DataFrame:
        return self._ledger(human, at, np.full(len(human), WITHDRAWN), purpose, origin)

    def _ledger(self, human: IntArray, at: IntArray, state: IntArray, purpose: str, origin: str) -> pl.DataFrame:
        """Rows for those of `human` who said anything at all."""
        spoke = state != NEVER_ASKED
        count = int(spoke.sum())
        return pl.DataFrame(
            {
                "contact": self._people.contact_id.gather(self._people.first_contact[human[spoke]]),
                "recorded": local(at[spoke]),
                "purpose": constant(purpose, count),
                "channel": constant("email" if purpose == "email_marketing" else None, count),
                "decision": pl.Series(STATES).gather(state[spoke]),
                "origin": constant(origin, count),
                "text_version": constant(TEXT_VERSION, count),
            },
        )


def _in_order(ledger: pl.DataFrame) -> pl.DataFrame:
    return ledger.sort("recorded", "contact", "purpose", "decision")

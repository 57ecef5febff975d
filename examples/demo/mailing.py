"""The mailing tool: one campaign a week to some of those who agreed, and what they did with it.

What belongs here: sends, deliveries, opens, clicks, bounces and unsubscriptions. Who may be written to is asked of
`preferences.py`, which also learns of unsubscriptions.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from examples.demo import company
from examples.demo.clock import DAY, HOUR, DemoWeek, utc
from examples.demo.columns import constant, numbered
from examples.demo.lives import Lives
from examples.demo.people import People
from examples.demo.sampling import BoolArray, IntArray, Stream, generator
from examples.demo.web import campaign_of

LAUNCH = DAY + 10 * HOUR  # Tuesday, ten o'clock
SHARE_BOUNCED = 0.015
HOURS_UNTIL_OPENED = 9.0
ACTIONS = ("sent", "delivered", "bounced", "opened", "clicked", "unsubscribed")
SENT, DELIVERED, BOUNCED, OPENED, CLICKED, UNSUBSCRIBED = range(len(ACTIONS))


@dataclass(frozen=True)
class MailingWeek:
    """A week's delivery, clicks per human, and who unsubscribed when."""

    rows: pl.DataFrame
    clicks: IntArray
    unsubscribed: IntArray
    unsubscribed_at: IntArray


class Mailing:
    """The mailing tool."""

    def __init__(self, people: People, seed: int):
        """Write to `people`."""
        self._people, self._seed = people, seed

    def live(self, week: DemoWeek, lives: Lives, may_be_mailed: BoolArray) -> MailingWeek:
        """Let a week pass.

        Args:
            week: the week.
            lives: the personas people have.
            may_be_mailed: for each human, whether mails are agreed to as the week begins.
        """
        rng = generator(self._seed, Stream.EMAIL, week.number)
        people = self._people
        _, offer, open_rates, click_rates = company.CAMPAIGNS[week.number % len(company.CAMPAIGNS)]
        is_known = lives.is_active(week) & (people.joined_week < week.number) & may_be_mailed
        human = np.flatnonzero(is_known & (rng.random(len(people)) < company.SHARE_REACHED_PER_CAMPAIGN))
        persona, count = lives.persona[human], len(human)

        sent_at = week.instants(LAUNCH + rng.uniform(0, HOUR / 2, count))
        arrived_at = sent_at + 1 + rng.integers(0, 60, count)
        is_delivered = rng.random(count) >= SHARE_BOUNCED
        is_machine = is_delivered & people.is_behind_mail_proxy[human]
        is_opened = is_delivered & (rng.random(count) < np.array(open_rates)[persona])
        opened_at = arrived_at + 30 + (rng.exponential(HOURS_UNTIL_OPENED, count) * HOUR).astype(np.int64)
        is_clicked = is_opened & (rng.random(count) < np.array(click_rates)[persona])
        clicked_at = opened_at + 5 + rng.exponential(40, count).astype(np.int64)
        is_unsubscribed = is_opened & (rng.random(count) < company.UNSUBSCRIBE_RATES[persona] * 2)
        is_unsubscribed |= is_delivered & (rng.random(count) < company.UNSUBSCRIBE_RATES[persona])
        unsubscribed_at = week.clip(clicked_at + 60)

        steps = (
            (SENT, np.ones(count, dtype=np.bool_), sent_at, False),
            (DELIVERED, is_delivered, arrived_at, False),
            (BOUNCED, ~is_delivered, arrived_at, False),
            (OPENED, is_machine, arrived_at + 3, True),
            (OPENED, is_opened, opened_at, False),
            (CLICKED, is_clicked, clicked_at, False),
            (UNSUBSCRIBED, is_unsubscribed, unsubscribed_at, False),
        )
        mail = np.concatenate([np.flatnonzero(happened) for _, happened, _, _ in steps])
        at = week.clip(np.concatenate([instants[happened] for _, happened, instants, _ in steps]))
        action = np.concatenate([np.full(int(happened.sum()), kind) for kind, happened, _, _ in steps])
        by_machine = np.concatenate([np.full(int(happened.sum()), machine) for _, happened, _, machine in steps])
        variant = rng.integers(0, 2, count)
        order = np.lexsort((mail, action, at))
        mail, size = mail[order], len(order)
        rows = pl.DataFrame(
            {
                "activity_id": numbered(f"m{week.number:03d}-", 8, size),
                "activity_at": utc(at[order]),
                "recipient": people.contact_id.gather(people.first_contact[human[mail]]),
                "activity": pl.Series(ACTIONS).gather(action[order]),
                "mailing": constant(campaign_of(week), size),
                "offer": constant(offer, size),
                "variant": pl.Series(["short_text", "long_text"]).gather(variant[mail]),
                "by_machine": by_machine[order].astype(np.int8),
            }
        )
        return MailingWeek(
            rows=rows,
            clicks=np.bincount(human[is_clicked], minlength=len(people)),
            unsubscribed=human[is_unsubscribed],
            unsubscribed_at=unsubscribed_at[is_unsubscribed],
        )

"""The billing system: invoices, delivered once when they are booked and again when their state changes.

What belongs here: orders and what becomes of them. Who orders is decided by the chance in `lives.py`.
"""

from collections import defaultdict

import numpy as np
import polars as pl

from examples.demo import company
from examples.demo.clock import DAY, HOUR, DemoWeek, local
from examples.demo.columns import constant, numbered
from examples.demo.crm import Crm
from examples.demo.lives import Lives
from examples.demo.sampling import Choice, IntArray, Stream, choose, generator
from examples.demo.sessions import Sessions, contacts_in_use, moved_after_joining
from examples.demo.web import campaign_of

# State on booking, state later (or the same), how often.
FATES = (
    ("PAID", "PAID", 80),
    ("OPEN", "PAID", 12),
    ("PAID", "VOID", 4),
    ("OPEN", "VOID", 2),
    ("PAID", "REFUNDED", 2),
)
WEEKS_UNTIL_FATE = (1, 2, 3)
PAYMENT_RUN = 2 * DAY + 18 * HOUR  # Wednesday, six in the evening
DISCOUNT = 0.8

_ITEM = Choice(company.ITEM_WEIGHTS)
_SALES_CHANNEL = Choice(company.SALES_CHANNEL_WEIGHTS)


class Billing:
    """The billing system."""

    def __init__(self, crm: Crm, seed: int):
        """Bill the people of `crm`."""
        self._crm, self._seed = crm, seed
        self._changing: defaultdict[int, list[pl.DataFrame]] = defaultdict(list)

    def live(self, week: DemoWeek, lives: Lives) -> pl.DataFrame:
        """Let a week pass: the invoices booked in it, and older ones whose state changed in it."""
        rng = generator(self._seed, Stream.ORDERS, week.number)
        buyer = np.flatnonzero(rng.random(len(self._crm.people)) < lives.order_chance(week))
        booked = self._booked(rng, week, buyer, lives.persona[buyer])
        parts = [booked, *self._changing.pop(week.number, [])]
        return pl.concat(parts).sort("changed", "invoice")

    def _booked(self, rng: np.random.Generator, week: DemoWeek, buyer: IntArray, persona: IntArray) -> pl.DataFrame:
        people, count = self._crm.people, len(buyer)
        day = choose(rng, (20, 21, 20, 20, 15, 2, 2), count)
        start = week.instants((day + rng.uniform(8 / 24, 19 / 24, count)) * DAY)
        sessions = moved_after_joining(Sessions(buyer, start, persona), week, people)
        contact = contacts_in_use(rng, sessions, people)
        item = _ITEM.draw(rng, persona)
        channel = _SALES_CHANNEL.draw(rng, persona)
        quantity = np.where(item == 0, 1 + rng.poisson(3, count), 1)
        # Bargain seekers buy what is reduced.
        is_reduced = (persona == company.BARGAIN) & (item != len(company.ITEMS) - 1) & (rng.random(count) < 0.7)
        cents = company.ITEM_PRICES_CENTS[item] * quantity * np.where(is_reduced, DISCOUNT, 1.0)
        fate = choose(rng, [weight for *_, weight in FATES], count)
        frame = pl.DataFrame(
            {
                "invoice": numbered(f"R{week.number:03d}-", 6, count),
                "booked": local(sessions.start),
                "changed": local(sessions.start),
                "customer": people.contact_id.gather(contact),
                "account": self._crm.account_id.gather(people.account[buyer]),
                "item": pl.Series(company.ITEMS).gather(item),
                "quantity": quantity,
                "amount_cents": np.round(cents).astype(np.int64),
                "currency": constant(company.CURRENCY, count),
                "state": pl.Series([first for first, _, _ in FATES]).gather(fate),
                "channel": pl.Series(company.SALES_CHANNELS).gather(channel),
                "campaign": pl.Series([campaign_of(week)]).gather(np.where(is_reduced, 0, 1), null_on_oob=True),
            }
        )
        self._foresee(rng, week, frame, fate)
        return frame

    def _foresee(self, rng: np.random.Generator, week: DemoWeek, frame: pl.DataFrame, fate: IntArray) -> None:
        """Keep the later versions of invoices whose state will change, by the week in which it does."""
        later = pl.Series([state for _, state, _ in FATES]).gather(fate)
        paid_at = PAYMENT_RUN + rng.random(len(fate)) * HOUR
        wait = rng.integers(WEEKS_UNTIL_FATE[0], WEEKS_UNTIL_FATE[-1] + 1, len(fate))
        will_change = later != frame["state"]
        versions = frame.with_columns(state=later)
        for weeks in WEEKS_UNTIL_FATE:
            changed = local(week.later(weeks).instants(paid_at))
            due = versions.with_columns(changed=changed).filter(will_change & pl.Series(wait == weeks))
            self._changing[week.number + weeks].append(due)

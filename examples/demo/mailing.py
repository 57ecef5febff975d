"""The mailing tool: one campaign a week to some of those who agreed, when it reached them, and what they did with it.

What belongs here: sends, deliveries, opens, clicks, bounces, unsubscriptions, and whom a control group kept from it.
Who may be written to is asked of `preferences.py`, which also learns of unsubscriptions.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from examples.demo import company
from examples.demo.clock import DAY, HOUR, DemoWeek, utc
from examples.demo.columns import constant, numbered
from examples.demo.lives import Lives
from examples.demo.people import People
from examples.demo.sampling import BoolArray, FloatArray, IntArray, Stream, generator
from examples.demo.web import campaign_of

LAUNCH = DAY + 10 * HOUR  # Tuesday, ten o'clock
SHARE_BOUNCED = 0.015
HOURS_UNTIL_OPENED = 9.0
ACTIONS = ("sent", "delivered", "bounced", "opened", "clicked", "unsubscribed", "withheld")
SENT, DELIVERED, BOUNCED, OPENED, CLICKED, UNSUBSCRIBED, WITHHELD = range(len(ACTIONS))


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

        trials = generator(self._seed, Stream.MAIL_TRIALS, week.number)
        moment, open_factor = _send_times(trials, persona)
        variant = trials.integers(0, 2, count)
        click_factor = _likes_variant(persona, variant)
        is_withheld = trials.random(count) < company.SHARE_WITHHELD

        sent_at = week.instants(moment + rng.uniform(0, HOUR / 2, count))
        arrived_at = sent_at + 1 + rng.integers(0, 60, count)
        is_delivered = (rng.random(count) >= SHARE_BOUNCED) & ~is_withheld
        is_machine = is_delivered & people.is_behind_mail_proxy[human]
        is_opened = is_delivered & (rng.random(count) < np.array(open_rates)[persona] * open_factor)
        opened_at = arrived_at + 30 + (rng.exponential(HOURS_UNTIL_OPENED, count) * HOUR).astype(np.int64)
        click_chances = np.minimum(np.array(open_rates)[persona] * open_factor, 1.0)
        click_chances *= np.minimum(np.array(click_rates)[persona] * click_factor, 1.0)
        is_clicked = is_opened & (rng.random(count) < np.array(click_rates)[persona] * click_factor)
        approaches = generator(self._seed, Stream.MAIL_APPROACHES, week.number)
        angle = _angles(approaches, persona, click_chances, is_clicked, is_delivered)
        clicked_at = opened_at + 5 + rng.exponential(40, count).astype(np.int64)
        is_unsubscribed = is_opened & (rng.random(count) < company.UNSUBSCRIBE_RATES[persona] * 2)
        is_unsubscribed |= is_delivered & (rng.random(count) < company.UNSUBSCRIBE_RATES[persona])
        unsubscribed_at = week.clip(clicked_at + 60)

        steps = (
            (SENT, ~is_withheld, sent_at, False),
            (WITHHELD, is_withheld, sent_at, False),
            (DELIVERED, is_delivered, arrived_at, False),
            (BOUNCED, ~is_delivered & ~is_withheld, arrived_at, False),
            (OPENED, is_machine, arrived_at + 3, True),
            (OPENED, is_opened, opened_at, False),
            (CLICKED, is_clicked, clicked_at, False),
            (UNSUBSCRIBED, is_unsubscribed, unsubscribed_at, False),
        )
        mail = np.concatenate([np.flatnonzero(happened) for _, happened, _, _ in steps])
        at = week.clip(np.concatenate([instants[happened] for _, happened, instants, _ in steps]))
        action = np.concatenate([np.full(int(happened.sum()), kind) for kind, happened, _, _ in steps])
        by_machine = np.concatenate([np.full(int(happened.sum()), machine) for _, happened, _, machine in steps])
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
                "test_group": pl.Series(["treatment", "control"]).gather(is_withheld[mail].astype(np.int64)),
                "angle": pl.Series(company.ANGLES).gather(angle[mail]),
            }
        )
        return MailingWeek(
            rows=rows,
            clicks=np.bincount(human[is_clicked], minlength=len(people)),
            unsubscribed=human[is_unsubscribed],
            unsubscribed_at=unsubscribed_at[is_unsubscribed],
        )


def _send_times(rng: np.random.Generator, persona: IntArray) -> tuple[FloatArray, FloatArray]:
    """Seconds since Monday at which each mail goes out, and how much more or less often it is opened for that.

    What a persona opens in all stays as it is: a mail at another than the favourite time is opened so much less.
    """
    count = len(persona)
    hours = np.array(company.TRIAL_HOURS)
    day, hour = rng.integers(0, 7, count), hours[rng.integers(0, len(hours), count)]
    at_launch = rng.random(count) < company.SHARE_SENT_AT_LAUNCH
    kind = np.select([day < 4, day == 4], [0, 1], 2)
    favourite = np.array(company.FAVOURITE_TIMES)[persona]
    suits = (kind == favourite[:, 0]) & (hour == favourite[:, 1]) & ~at_launch
    days_of_kind = np.array([4, 1, 2])[favourite[:, 0]]
    share = (1 - company.SHARE_SENT_AT_LAUNCH) * days_of_kind / 7 / len(hours)
    factor = company.FAVOURITE_TIME_FACTOR[persona]
    otherwise = (1 - share * factor) / (1 - share)
    return np.where(at_launch, float(LAUNCH), day * DAY + hour * HOUR), np.where(suits, factor, otherwise)


def _likes_variant(persona: IntArray, variant: IntArray) -> FloatArray:
    """How much more or less often a mail is clicked for its variant (0 short, 1 long); both together stay as they
    are."""
    long_text = company.LONG_TEXT_FACTOR[persona]
    short_text = 2 / (1 + long_text)
    likes: FloatArray = np.where(variant == 1, long_text * short_text, short_text)
    return likes


def _angles(
    rng: np.random.Generator, persona: IntArray, chance: FloatArray, is_clicked: BoolArray, is_delivered: BoolArray
) -> IntArray:
    """The angle of each mail, an index of `company.ANGLES`.

    Angles go out alike often in every persona, and the persona's favourite is clicked more often than the others. What
    is clicked was drawn before: the angle is drawn given the click, by Bayes' rule, so what people do stays as it was.

    Args:
        rng: the generator.
        persona: of the recipients.
        chance: to click, before the angle is known.
        is_clicked: whether they did.
        is_delivered: whether they could.
    """
    many = len(company.ANGLES)
    favourite = np.array(company.FAVOURITE_ANGLES)[persona]
    factor = np.where(favourite >= 0, np.minimum(company.FAVOURITE_ANGLE_FACTOR, 0.95 / np.maximum(chance, 1e-9)), 1.0)
    of_favourite = np.where(is_clicked, factor, (1 - chance * factor) / np.maximum(1 - chance, 1e-9)) / many
    share = np.where(is_delivered, of_favourite, 1 / many)
    is_favourite = (rng.random(len(persona)) < share) & (favourite >= 0)
    other = rng.integers(0, many - 1, len(persona))
    others = np.where(favourite >= 0, other + (other >= favourite), rng.integers(0, many, len(persona)))
    angles: IntArray = np.where(is_favourite, favourite, others)
    return angles

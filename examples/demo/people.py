"""Who exists: humans, and the contacts that stand for them in the CRM.

What belongs here: everything about people that is drawn once. What changes from week to week stands in `lives.py`.
Humans are ordered by the moment they join, so that those present in a week are always the first ones.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from examples.demo import company
from examples.demo.clock import DAY, DemoWeek
from examples.demo.columns import numbered
from examples.demo.sampling import BoolArray, Choice, FloatArray, IntArray, Stream, choose, generator

SHARE_PRESENT_AT_START = 0.8
SHARE_TWICE_IN_CRM = 0.028
SHARE_OF_TWINS_WITH_OTHER_EMAIL = 0.3
# Of these, how many were typed in anew: with a slip in the name, and without a telephone number.
SHARE_TYPED_ANEW = 0.5
SHARE_LEAVING = 0.002
SHARE_BEHIND_MAIL_PROXY = 0.06
PEOPLE_PER_ACCOUNT = 12
NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class People:
    """Humans (arrays of one length, ordered by `joined_at`) and contacts (arrays of another).

    Attributes:
        joined_at: instant a human signed up; `joined_week` is its week's number, -1 before history.
        left_week: number of the week in which the human asks to be erased, or `NEVER`.
        persona_at_start: index into `company.PERSONAS`.
        account: index of the human's account.
        activity: factor on the number of sessions, mean 1.
        is_behind_mail_proxy: whether a machine opens this human's mails.
        first_contact, second_contact: indexes of contacts; the second is -1 where there is none.
        second_contact_at: instant the second contact was created, or `NEVER`.
        contact_id: the CRM's ids, in the order the contacts were created.
        contact_human, contact_created_at: the human a contact stands for, and when it was created.
        contact_is_second, contact_has_other_email: whether it is a duplicate, and whether under another address.
        contact_is_typed_anew: whether it is a duplicate that has nothing but most of a name in common with the first.
    """

    joined_at: IntArray
    joined_week: IntArray
    left_week: IntArray
    persona_at_start: IntArray
    account: IntArray
    accounts: int
    activity: FloatArray
    is_behind_mail_proxy: BoolArray
    first_contact: IntArray
    second_contact: IntArray
    second_contact_at: IntArray
    contact_id: pl.Series
    contact_human: IntArray
    contact_created_at: IntArray
    contact_is_second: BoolArray
    contact_has_other_email: BoolArray
    contact_is_typed_anew: BoolArray

    def __len__(self) -> int:
        """The number of humans."""
        return len(self.joined_at)

    def present(self, week: int) -> int:
        """How many humans have joined by the end of week `week`: the first so many."""
        return int(np.searchsorted(self.joined_week, week, side="right"))


def draw_people(people: int, weeks: list[DemoWeek], seed: int) -> People:
    """Draw `people` humans and their contacts for the given history."""
    rng = generator(seed, Stream.PEOPLE)
    joined_at, joined_week = _joining(rng, people, weeks)
    persona = _first_persona(rng, joined_week, len(weeks))
    activity = rng.lognormal(-(company.ACTIVITY_SPREAD**2) / 2, company.ACTIVITY_SPREAD, people)
    left_week = np.full(people, NEVER)
    is_leaving = rng.random(people) < SHARE_LEAVING
    left_week[is_leaving] = joined_week[is_leaving] + 2 + rng.integers(0, len(weeks), int(is_leaving.sum()))

    accounts = max(1, people // PEOPLE_PER_ACCOUNT)
    account = choose(rng, (np.arange(accounts) + 10.0) ** -0.8, people)
    is_behind_mail_proxy = rng.random(people) < SHARE_BEHIND_MAIL_PROXY

    end = weeks[-1].end
    earliest = np.maximum(joined_at, weeks[0].start - 180 * DAY) + DAY
    is_twin = (rng.random(people) < SHARE_TWICE_IN_CRM) & (earliest < end - DAY)
    latest = np.where(is_twin, end, earliest)
    second_at = earliest + (rng.random(people) * (latest - earliest)).astype(np.int64)
    second_at[~is_twin] = NEVER

    twins = np.flatnonzero(is_twin)
    human = np.concatenate([np.arange(people), twins])
    created_at = np.concatenate([joined_at, second_at[twins]])
    is_second = np.arange(len(human)) >= people
    order = np.argsort(created_at, kind="stable")
    position = np.empty(len(order), dtype=np.int64)
    position[order] = np.arange(len(order))
    second_contact = np.full(people, -1)
    second_contact[twins] = position[people:]
    has_other_email = is_second & (rng.random(len(human)) < SHARE_OF_TWINS_WITH_OTHER_EMAIL)
    is_typed_anew = has_other_email & (rng.random(len(human)) < SHARE_TYPED_ANEW)
    return People(
        joined_at=joined_at,
        joined_week=joined_week,
        left_week=left_week,
        persona_at_start=persona,
        account=account,
        accounts=accounts,
        activity=activity,
        is_behind_mail_proxy=is_behind_mail_proxy,
        first_contact=position[:people],
        second_contact=second_contact,
        second_contact_at=second_at,
        contact_id=numbered("HG", 7, len(human)),
        contact_human=human[order],
        contact_created_at=created_at[order],
        contact_is_second=is_second[order],
        contact_has_other_email=has_other_email[order],
        contact_is_typed_anew=is_typed_anew[order],
    )


def _joining(rng: np.random.Generator, people: int, weeks: list[DemoWeek]) -> tuple[IntArray, IntArray]:
    present_at_start = round(SHARE_PRESENT_AT_START * people)
    years_back = 3 * rng.random(present_at_start) ** 1.3
    before = weeks[0].start - 1 - (years_back * 365 * DAY).astype(np.int64)
    week = np.sort(rng.integers(0, len(weeks), people - present_at_start))
    hour_of_week = np.outer(company.WEEKDAYS[company.LEARNER], company.HOURS[company.LEARNER]).ravel()
    wall = (choose(rng, hour_of_week, len(week)) + rng.random(len(week))) * 3_600
    after = [demo_week.instants(wall[week == demo_week.number]) for demo_week in weeks]
    joined_at = np.sort(np.concatenate([before, *after]))
    joined_week = np.searchsorted([demo_week.start for demo_week in weeks], joined_at, side="right") - 1
    return joined_at, joined_week


def _first_persona(rng: np.random.Generator, joined_week: IntArray, weeks: int) -> IntArray:
    """Personas at joining; the mix of those who arrive moves evenly from the first week's to the last week's."""
    way = np.linspace(0, 1, weeks)[:, None]
    arrivals = (1 - way) * np.array(company.SHARE_OF_FIRST_ARRIVALS) + way * np.array(company.SHARE_OF_LAST_ARRIVALS)
    return Choice(np.vstack([company.SHARE_AT_START, arrivals])).draw(rng, joined_week + 1)

"""Simulated people who answer messages at some times more than at others, and how well their best time is found.

The world of the acceptance test: 36 local slots (twelve of two hours on working days, Fridays and weekends), five
personas with a favourite time each, people who differ in how readily they answer and, a little, in when.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from ml.neighbouring_values import Circles
from ml.preferences import PreferenceRules, Preferences, prefer_by_answers

SLOTS = 36
HOURS = Circles({str(slot): divmod(slot, 12) for slot in range(SLOTS)}, 12)
# Where each persona's favourite time lies (kind of day, middle of the two-hour slot) and how much it lifts answers.
FAVOURITES = ((0, 4.0, 1.3), (0, 5.0, 1.2), (1, 6.0, 1.2), (2, 5.0, 1.2), (0, 9.0, 1.2))


@dataclass(frozen=True)
class World:
    """Per person and slot the true rate, the persona of each, and messages with their answers."""

    rates: np.ndarray
    personas: np.ndarray
    messages: pl.DataFrame

    def learned(self) -> Preferences:
        """What is learned from the messages."""
        in_sample = np.ones(len(self.personas), dtype=np.bool_)
        return prefer_by_answers(self.messages, self.personas, in_sample, PreferenceRules(), HOURS)

    def rate_of(self, slots: np.ndarray) -> float:
        """Mean true rate where each person gets a slot."""
        return float(self.rates[np.arange(len(self.rates)), slots].mean())

    @property
    def oracle(self) -> float:
        """Mean rate where everybody gets their own best slot."""
        return float(self.rates.max(axis=1).mean())

    @property
    def overall_best(self) -> float:
        """Mean rate where everybody gets the slot that is best for all together, as the truth says."""
        return float(self.rates.mean(axis=0).max())

    def achieved(self) -> float:
        """Mean rate where everybody gets what was learned, and who is told nothing the slot most answered by all."""
        counts = self.messages.group_by("value").agg(pl.col("answered").mean()).sort("answered", "value")
        slots = np.full(len(self.rates), int(counts["value"][-1]))
        people = self.learned().people.filter(pl.col("best_value").is_not_null())
        slots[people["person"].to_numpy()] = people["best_value"].cast(pl.Int64).to_numpy()
        return self.rate_of(slots)


def world(
    seed: int,
    people: int = 4_000,
    sends: int = 20,
    *,
    differ: bool = True,
    overall_peak: bool = True,
    own_spread: float = 0.3,
) -> World:
    """One simulated world.

    Args:
        seed: Of everything random.
        people: How many.
        sends: Messages per person, at slots drawn by chance.
        differ: Whether personas and people differ in when they answer.
        overall_peak: Whether there is a time that suits everybody, where they do not differ.
        own_spread: Standard deviation, in log odds, of what is a person's own about each slot.
    """
    rng = np.random.default_rng(seed)
    personas = rng.integers(0, len(FAVOURITES), people)
    day, middle = np.divmod(np.arange(SLOTS), 12)
    lifts = np.zeros((len(FAVOURITES), SLOTS))
    for persona, (kind, favourite, lift) in enumerate(FAVOURITES if differ else (FAVOURITES[0],) * len(FAVOURITES)):
        distance = np.abs(middle - favourite)
        near = np.exp(-0.5 * (np.minimum(distance, 12 - distance) / 1.3) ** 2)
        lifts[persona] = lift * near * np.where(day == kind, 1.0, 0.5)
    if not differ and not overall_peak:
        lifts[:] = 0
    readiness = rng.normal(0, 0.5, people)[:, None]
    own = rng.normal(0, own_spread, (people, SLOTS)) if differ else 0.0
    rates = 1 / (1 + np.exp(-(-1.85 + lifts[personas] + readiness + own)))
    person = np.repeat(np.arange(people), sends)
    slot = rng.integers(0, SLOTS, len(person))
    answered = rng.random(len(person)) < rates[person, slot]
    messages = pl.DataFrame(
        {
            "person": person.astype(np.uint32),
            "value": pl.Series(slot).cast(pl.String).cast(pl.Categorical),
            "answered": answered,
        }
    )
    return World(rates, personas, messages)

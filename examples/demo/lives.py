"""How people live through history: who changes persona, whose mood rises, what they did of late, who will order.

What belongs here: the state that is carried from week to week, and the planted truth about personas and orders. What
people do within a week stands with the systems that record it.
"""

from dataclasses import dataclass, field

import numpy as np

from examples.demo import company
from examples.demo.clock import DemoWeek
from examples.demo.people import People
from examples.demo.sampling import BoolArray, Choice, FloatArray, IntArray, Stream, generator


@dataclass(frozen=True)
class PersonaChange:
    """Who became what in one week (arrays of one length): humans, and their personas before and after."""

    week: DemoWeek
    human: IntArray
    before: IntArray
    after: IntArray


@dataclass
class Lives:
    """The state of all humans, one entry per human.

    Attributes:
        persona: index into `company.PERSONAS`.
        mood: logarithm of this week's factor on a human's activity.
        recent: events and clicks of late, each week weighing `MEMORY_OF_BEHAVIOUR` of the next: `usage` (in the
            product), `building` (API, integrations, automations), `interest` (prices and add-ons), `clicks` (in mails).
        changes: every change of persona so far.
    """

    people: People
    seed: int
    persona: IntArray = field(init=False)
    mood: FloatArray = field(init=False)
    recent: dict[str, FloatArray] = field(init=False)
    changes: list[PersonaChange] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin with everybody's first persona; behaviour is remembered from the first week on."""
        rng = generator(self.seed, Stream.LIVES)
        humans = len(self.people)
        self.persona = self.people.persona_at_start.copy()
        self.mood = rng.normal(0.0, company.MOOD_SPREAD, humans)
        self.recent = {name: np.zeros(humans) for name in company.ORDER_WEIGHTS}
        self._changes = Choice(company.CHANGES)

    def is_active(self, week: DemoWeek) -> BoolArray:
        """Whether each human has joined by the end of the week and has not left."""
        return (self.people.joined_week <= week.number) & (week.number < self.people.left_week)

    def begin(self, week: DemoWeek) -> None:
        """Let a week begin: some people change persona, and everybody's mood moves on."""
        rng = generator(self.seed, Stream.LIVES, week.number)
        is_known = self.is_active(week) & (self.people.joined_week < week.number)
        human = np.flatnonzero(is_known & (rng.random(len(self.people)) < company.CHANGES_PER_WEEK))
        before = self.persona[human]
        after = self._changes.draw(rng, before)
        self.persona[human] = after
        self.changes.append(PersonaChange(week, human, before, after))
        fresh = company.MOOD_SPREAD * np.sqrt(1 - company.MOOD_MEMORY**2)
        self.mood = company.MOOD_MEMORY * self.mood + rng.normal(0.0, fresh, len(self.mood))

    def activity(self, week: DemoWeek) -> FloatArray:
        """This week's factor on each human's sessions: mean 1 among the active, more for the new, else 0."""
        mood = np.exp(self.mood - company.MOOD_SPREAD**2 / 2)
        is_new = week.number - self.people.joined_week < company.ONBOARDING_WEEKS
        is_new &= self.people.joined_week >= 0
        factor = np.where(is_new, company.ONBOARDING_FACTOR, 1.0)
        return np.where(self.is_active(week), self.people.activity * mood * factor, 0.0)

    def remember(self, counts: dict[str, IntArray]) -> None:
        """Add a week's counts per human to what is remembered."""
        self.recent = {
            name: of_late * company.MEMORY_OF_BEHAVIOUR + counts[name] for name, of_late in self.recent.items()
        }

    def order_chance(self, week: DemoWeek) -> FloatArray:
        """The planted chance of each human to order in `week`, from persona and what was remembered before it."""
        logit = company.ORDER_BASE[self.persona] + company.ORDER_TREND_PER_YEAR * week.number / 52
        for name, weight in company.ORDER_WEIGHTS.items():
            logit = logit + weight * np.log1p(self.recent[name])
        return np.where(self.is_active(week), 1 / (1 + np.exp(-logit)), 0.0)

    def chance_ahead(self, week: DemoWeek) -> FloatArray:
        """The chance of at least one order within `company.DAYS_AHEAD` days of `week`, if all stays as it is."""
        return 1 - (1 - self.order_chance(week)) ** (company.DAYS_AHEAD / 7)

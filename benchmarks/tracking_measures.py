"""What is measured of personas over weeks: switched ids, events found and invented, spurious churn, movers caught.

What belongs here: living through a world with the pipeline's own functions, and counting. The worlds are
`persona_worlds`, the command that writes the table is `tracking`.
"""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from benchmarks.persona_worlds import WorldSettings, WorldWeek, catalogue_of_world, simulate_weeks
from ml.persona_tracking import (
    INCUMBENT_SCHEMA,
    GateSettings,
    StandingPersonas,
    fit_challenger,
    odds_for_week,
    place_people,
)
from ml.personas import PersonaSettings

CAUGHT_WITHIN = 3
RECOGNIZED_FROM = 0.6
"""An id is a true persona's when it holds this share of its people, and they are this share of the id's."""
OPEN_GATE = GateSettings(stability=-1.0, validity=0.0, identity=0.0)


@dataclass
class Tracked:
    """What one world came to."""

    id_switches: int = 0
    events: list[tuple[int, str, str]] = field(default_factory=list)
    ids_ever: set[str] = field(default_factory=set)
    spurious: list[float] = field(default_factory=list)
    caught_same_week: list[bool] = field(default_factory=list)
    caught_later: list[bool] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)
    refits: int = 0
    rejected: int = 0

    def summary(self) -> dict[str, float]:
        """The figures of the world."""
        return {
            "id switches": self.id_switches,
            "ids ever": len(self.ids_ever),
            "spurious churn": float(np.mean(self.spurious)),
            "caught the same week": float(np.mean(self.caught_same_week)),
            "caught within 3 weeks": float(np.mean(self.caught_later)),
            "accuracy": float(np.mean(self.accuracy)),
            "refits": self.refits,
            "rejected": self.rejected,
        }


def track_world(
    settings: WorldSettings,
    seed: int,
    odds: float | None = None,
    refit_every: int = 1,
    gate: GateSettings = OPEN_GATE,
    k: int | tuple[int, int] | None = None,
    starts: int = 10,
) -> Tracked:
    """Live through a world as the weekly job does.

    Args:
        settings: The world.
        seed: Its seed.
        odds: Odds from which a person moves; None: as the weekly job has it, see `odds_for_week`.
        refit_every: Weeks between refits.
        gate: What a challenger has to show.
        k: How many personas, or from how many to choose; None: as many as are alive, which is what the simulation that
            the demands come from was given.
        starts: k-means starts per fit.
    """
    catalogue = catalogue_of_world(settings)
    champion: StandingPersonas | None = None
    incumbents = pl.DataFrame(schema=INCUMBENT_SCHEMA)
    result = Tracked()
    labels: list[dict[str, str]] = []
    truths: list[WorldWeek] = []
    id_of_persona: dict[int, str] = {}
    for week in simulate_weeks(settings, seed):
        from_odds = odds if odds is not None else 4.0
        if odds is None and champion is not None:
            from_odds = odds_for_week(champion, week.features, incumbents)
        if week.number % refit_every == 0:
            wanted = k if k is not None else week.alive
            fixed = wanted if isinstance(wanted, int) else None
            fit = PersonaSettings(
                k=fixed,
                k_range=(fixed, fixed) if isinstance(wanted, int) else wanted,  # type: ignore[arg-type]
                starts=starts,
                sample_size=settings.people,
            )
            challenge = fit_challenger(
                week.features, catalogue, fit, champion, incumbents, sorted(result.ids_ever), gate, from_odds
            )
            if challenge.verdict.passed:
                champion = challenge.personas
                result.refits += 1
                told = challenge.match.events.filter(pl.col("event") != "continuation")
                result.events += [(week.number, event, one) for one, event in told["persona_id", "event"].iter_rows()]
            else:
                result.rejected += 1
        assert champion is not None
        placed = place_people(champion, week.features, incumbents, from_odds)
        incumbents = placed
        result.ids_ever |= set(champion.persona_ids.values())
        _compare_with_truth(result, week, placed, id_of_persona)
        labels.append(dict(placed.select("person_id", "persona_id").iter_rows()))
        truths.append(week)
    _count_changes(result, labels, truths)
    return result


def _compare_with_truth(result: Tracked, week: WorldWeek, placed: pl.DataFrame, id_of_persona: dict[int, str]) -> None:
    both = placed.join(week.truth, on="person_id")
    majority = (
        both.group_by("persona_id", "persona")
        .len()
        .sort(["len", "persona"], descending=[True, False])
        .group_by("persona_id", maintain_order=True)
        .first()
    )
    truth_of_id = dict(majority.select("persona_id", "persona").iter_rows())
    sizes = dict(both.group_by("persona").len().iter_rows())
    ids = dict(both.group_by("persona_id").len().iter_rows())
    for persona_id, persona, people in majority.iter_rows():
        if min(people / sizes[persona], people / ids[persona_id]) < RECOGNIZED_FROM:
            continue
        known = id_of_persona.setdefault(persona, persona_id)
        if known != persona_id:
            result.id_switches += 1
            id_of_persona[persona] = persona_id
    right = both.filter(
        pl.col("persona_id").replace_strict(truth_of_id, default=-1, return_dtype=pl.Int64) == pl.col("persona")
    )
    result.accuracy.append(right.height / both.height)


def _count_changes(result: Tracked, labels: list[dict[str, str]], weeks: list[WorldWeek]) -> None:
    """Count label changes that nothing explains, and the movers that were found."""
    last_moved: dict[str, int] = {}
    persona_names = _names_of_personas(labels, weeks)
    for number in range(1, len(weeks)):
        truth = weeks[number].truth
        for person, moved in truth.select("person_id", "moved").iter_rows():
            if moved:
                last_moved[person] = number
        both = [person for person in labels[number] if person in labels[number - 1]]
        unmoved = [person for person in both if number - last_moved.get(person, -99) > CAUGHT_WITHIN]
        # A persona that appears or ends takes people with it, and that is no noise.
        structural = number in (weeks_of_change(weeks))
        if not structural:
            changed = sum(labels[number][person] != labels[number - 1][person] for person in unmoved)
            result.spurious.append(changed / max(len(unmoved), 1))
        if structural or number + CAUGHT_WITHIN >= len(weeks):
            continue
        for person, persona in truth.filter(pl.col("moved")).select("person_id", "persona").iter_rows():
            wanted = persona_names[number].get(persona)
            result.caught_same_week.append(labels[number].get(person) == wanted)
            later = number + CAUGHT_WITHIN
            if person in labels[later] and last_moved.get(person) == number and not _moves_until(weeks, person, number):
                result.caught_later.append(labels[later][person] == persona_names[later].get(persona))


def _moves_until(weeks: list[WorldWeek], person: str, number: int) -> bool:
    """Whether a person moves again before they are looked at."""
    return any(person in _movers(weeks[later]) for later in range(number + 1, number + CAUGHT_WITHIN + 1))


_MOVERS: dict[int, tuple[pl.DataFrame, set[str]]] = {}


def _movers(week: WorldWeek) -> set[str]:
    known = _MOVERS.get(week.number)
    if known is None or known[0] is not week.truth:
        known = (week.truth, set(week.truth.filter(pl.col("moved"))["person_id"].to_list()))
        _MOVERS[week.number] = known
    return known[1]


def weeks_of_change(weeks: list[WorldWeek]) -> set[int]:
    """The weeks in which a persona appeared or ended, and those in which that is still being taken in."""
    changes = {number for number in range(1, len(weeks)) if weeks[number].alive != weeks[number - 1].alive}
    return {number + later for number in changes for later in range(CAUGHT_WITHIN + 1)}


def _names_of_personas(labels: list[dict[str, str]], weeks: list[WorldWeek]) -> list[dict[int, str]]:
    """By week, the id most people of each true persona have."""
    named = []
    for number, week in enumerate(weeks):
        votes: dict[int, Counter[str]] = {}
        for person, persona in week.truth.select("person_id", "persona").iter_rows():
            votes.setdefault(persona, Counter())[labels[number][person]] += 1
        named.append({persona: count.most_common(1)[0][0] for persona, count in votes.items()})
    return named

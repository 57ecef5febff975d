"""What is measured of personas over weeks: switched ids, events found and invented, spurious churn, movers caught.

What belongs here: living through a world with the pipeline's own functions, and counting. The worlds are
`persona_worlds`, the command that writes the table is `tracking`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import polars as pl

from benchmarks.persona_worlds import WorldSettings, catalogue_of_world, simulate_weeks
from ml.persona_challenge import GateSettings, fit_challenger
from ml.persona_tracking import INCUMBENT_SCHEMA, StandingPersonas, odds_for_week, place_people
from ml.personas import PersonaSettings

CAUGHT_WITHIN = 3
RECOGNIZED_FROM = 0.6
"""An id is a true persona's when it holds this share of its people, and they are this share of the id's."""
OPEN_GATE = GateSettings(stability=-1.0, validity=0.0, identity=0.0)
NOBODY = pl.DataFrame(schema=INCUMBENT_SCHEMA)


class PlantedWeek(Protocol):
    """One week of which the truth is known."""

    @property
    def truth(self) -> pl.DataFrame:
        """person_id, persona (planted), moved (truly changed persona this week)."""

    @property
    def alive(self) -> int:
        """Personas with people."""


@dataclass
class Changes:
    """How labels changed over the weeks, and whether they changed for those who did.

    Attributes:
        spurious: By week, share of those who did not move of late whose label changed.
        astray: By week, share of the same whose label changed to a wrong one; the others' became right.
        caught_same_week: Of each mover, whether the label was right in that week.
        caught_later: The same three weeks later.
    """

    spurious: list[float] = field(default_factory=list)
    astray: list[float] = field(default_factory=list)
    caught_same_week: list[bool] = field(default_factory=list)
    caught_later: list[bool] = field(default_factory=list)

    def summary(self) -> dict[str, float]:
        """Mean of each."""
        return {
            "spurious churn": float(np.mean(self.spurious)),
            "of that to a wrong persona": float(np.mean(self.astray)),
            "caught the same week": float(np.mean(self.caught_same_week)),
            "caught within 3 weeks": float(np.mean(self.caught_later)),
        }


@dataclass
class Tracked:
    """What one world came to; `unsmoothed` is everybody where the same models find them most probable each week."""

    id_switches: int = 0
    events: list[tuple[int, str, str]] = field(default_factory=list)
    ids_ever: set[str] = field(default_factory=set)
    accuracy: list[float] = field(default_factory=list)
    changes: Changes = field(default_factory=Changes)
    unsmoothed: Changes = field(default_factory=Changes)
    refits: int = 0
    rejected: int = 0


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
    unsmoothed: list[dict[str, str]] = []
    lived: list[PlantedWeek] = []
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
        compare_with_truth(result, week.truth, placed, id_of_persona)
        labels.append(labels_of(placed))
        unsmoothed.append(labels_of(place_people(champion, week.features, NOBODY)))
        lived.append(week)
    result.changes, result.unsmoothed = count_changes(labels, lived), count_changes(unsmoothed, lived)
    return result


def labels_of(placed: pl.DataFrame) -> dict[int, str]:
    """Persona by person."""
    return dict(placed.select("person_id", "persona_id").iter_rows())


def compare_with_truth(
    result: Tracked, truth: pl.DataFrame, placed: pl.DataFrame, id_of_persona: dict[Any, str]
) -> None:
    """Count ids that went to another true persona, and people placed right.

    Args:
        result: What is added to.
        truth: person_id, persona.
        placed: person_id, persona_id.
        id_of_persona: The id each true persona was known by so far; kept up to date.
    """
    both = placed.join(truth, on="person_id")
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
        pl.col("persona_id").replace_strict(truth_of_id, default=None, return_dtype=both.schema["persona"])
        == pl.col("persona")
    )
    result.accuracy.append(right.height / both.height)


def count_changes(labels: Sequence[dict[int, str]], weeks: Sequence[PlantedWeek]) -> Changes:
    """Count label changes that nothing explains, and the movers that were found.

    Args:
        labels: By week, persona by person.
        weeks: The truth of the same weeks.
    """
    changes = Changes()
    last_moved: dict[int, int] = {}
    persona_names = _names_of_personas(labels, weeks)
    movers = [_movers(week) for week in weeks]
    structural_weeks = weeks_of_change(weeks)
    for number in range(1, len(weeks)):
        last_moved |= dict.fromkeys(movers[number], number)
        both = [person for person in labels[number] if person in labels[number - 1]]
        unmoved = [person for person in both if number - last_moved.get(person, -99) > CAUGHT_WITHIN]
        # A persona that appears or ends takes people with it, and that is no noise.
        if number in structural_weeks:
            continue
        changed = [person for person in unmoved if labels[number][person] != labels[number - 1][person]]
        changes.spurious.append(len(changed) / max(len(unmoved), 1))
        planted = dict(weeks[number].truth.select("person_id", "persona").iter_rows())
        wrong = sum(labels[number][one] != persona_names[number].get(planted.get(one)) for one in changed)
        changes.astray.append(wrong / max(len(unmoved), 1))
        later = number + CAUGHT_WITHIN
        if later >= len(weeks):
            continue
        for person, persona in movers[number].items():
            changes.caught_same_week.append(labels[number].get(person) == persona_names[number].get(persona))
            moves_again = any(person in movers[week] for week in range(number + 1, later + 1))
            if person in labels[later] and not moves_again:
                changes.caught_later.append(labels[later][person] == persona_names[later].get(persona))
    return changes


def _movers(week: PlantedWeek) -> dict[int, Any]:
    """Where everybody who truly moved this week went."""
    return dict(week.truth.filter(pl.col("moved")).select("person_id", "persona").iter_rows())


def weeks_of_change(weeks: Sequence[PlantedWeek]) -> set[int]:
    """The weeks in which a persona appeared or ended, and those in which that is still being taken in."""
    changes = {number for number in range(1, len(weeks)) if weeks[number].alive != weeks[number - 1].alive}
    return {number + later for number in changes for later in range(CAUGHT_WITHIN + 1)}


def _names_of_personas(labels: Sequence[dict[int, str]], weeks: Sequence[PlantedWeek]) -> list[dict[Any, str]]:
    """By week, the id most people of each true persona have."""
    named = []
    for number, week in enumerate(weeks):
        votes: dict[Any, Counter[str]] = {}
        for person, persona in week.truth.select("person_id", "persona").iter_rows():
            if person in labels[number]:
                votes.setdefault(persona, Counter())[labels[number][person]] += 1
        named.append({persona: count.most_common(1)[0][0] for persona, count in votes.items()})
    return named

"""Simulated companies whose personas are known: for 26 weeks people behave, drift, move, come and go.

What belongs here: the worlds, and no measuring. They follow the simulation of identity across weeks that the project's
demands were taken from: 6 personas, then 7, then 6 again, centres that drift, 1 % of the people who truly move and 1 %
who are replaced each week.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

FIRST_WEEK = date(2026, 1, 5)


@dataclass(frozen=True)
class WorldSettings:
    """How a world is.

    Attributes:
        people: People at any time.
        weeks: Weeks it lasts.
        columns: Features.
        separation: Distance that the centres of two personas keep at least, in standard deviations within a persona.
        drift: Standard deviation of what each centre moves per week and column.
        persistence: How much of what sets a person apart from their persona is still so a week later.
        moving: Share of people who truly change persona each week.
        replaced: Share of people who leave each week, and as many join.
        birth_week: Week (from 0) in which a seventh persona appears, from an eighth of everybody; None: never.
        death_week: Week in which the people of one persona scatter over the others; None: never.
        heavy_tails: Whether half of the features are exponentials and one in twenty values is missing.
    """

    people: int = 2_000
    weeks: int = 26
    columns: int = 8
    separation: float = 3.2
    drift: float = 0.03
    persistence: float = 0.98
    moving: float = 0.01
    replaced: float = 0.01
    birth_week: int | None = 9
    death_week: int | None = 15
    heavy_tails: bool = False


@dataclass(frozen=True)
class WorldWeek:
    """One week: what can be seen, and what is true.

    Attributes:
        number: 0, 1, ...
        features: person_id, as_of, x0, x1, ...
        truth: person_id, persona (a number), moved (truly changed persona this week).
        alive: Personas with people.
    """

    number: int
    features: pl.DataFrame
    truth: pl.DataFrame
    alive: int


def catalogue_of_world(settings: WorldSettings) -> pl.DataFrame:
    """The feature catalogue of a world."""
    names = [f"x{column}" for column in range(settings.columns)]
    return pl.DataFrame(
        {
            "feature": names,
            "family": [f"family {column}" for column in range(settings.columns)],
            "label": [f"Measure {column}" for column in range(settings.columns)],
            "high_words": [f"high in {column}" for column in range(settings.columns)],
            "low_words": [f"low in {column}" for column in range(settings.columns)],
            "kind": ["number"] * settings.columns,
            "is_persona_input": [True] * settings.columns,
            "is_propensity_input": [True] * settings.columns,
        }
    )


def spread_centres(random: np.random.Generator, count: int, columns: int, separation: float) -> NDArray[np.float64]:
    """Random centres of which the nearest two are just `separation` apart, as far as many tries allow."""
    centres = random.normal(0, 1, (count, columns))
    distances = np.sqrt(((centres[:, None] - centres[None]) ** 2).sum(axis=2))
    nearest = distances[np.triu_indices(count, 1)].min()
    scaled: NDArray[np.float64] = centres * separation / nearest
    # One tight pair must not blow up all the others: draw again until the spread is even.
    return scaled if distances.max() / nearest < 2.2 else spread_centres(random, count, columns, separation)


def simulate_weeks(settings: WorldSettings, seed: int) -> Iterator[WorldWeek]:
    """Live through a world, week by week."""
    random = np.random.default_rng(seed)
    centres = spread_centres(random, 7, settings.columns, settings.separation)
    alive = [0, 1, 2, 3, 4, 5]
    shares = random.dirichlet(np.full(6, 12.0))
    persona = random.choice(6, settings.people, p=shares)
    own = random.normal(0, 1, (settings.people, settings.columns))
    ids = np.arange(settings.people)
    next_id = settings.people
    innovation = np.sqrt(1 - settings.persistence**2)
    for number in range(settings.weeks):
        before = persona.copy()
        is_new = np.zeros(settings.people, dtype=bool)
        if number > 0:
            centres = centres + random.normal(0, settings.drift, centres.shape)
            own = settings.persistence * own + innovation * random.normal(0, 1, own.shape)
            is_new = random.random(settings.people) < settings.replaced
            ids = np.where(is_new, next_id + np.arange(settings.people), ids)
            next_id += settings.people
            own[is_new] = random.normal(0, 1, (int(is_new.sum()), settings.columns))
            persona = np.where(is_new, random.choice(alive, settings.people), persona)
            persona = _move(random, persona, random.random(settings.people) < settings.moving, alive)
        if number == settings.birth_week:
            alive = [*alive, 6]
            persona = np.where(random.random(settings.people) < 1 / 8, 6, persona)
        if number == settings.death_week:
            gone, alive = alive[0], alive[1:]
            persona = np.where(persona == gone, random.choice(alive, settings.people), persona)
        yield WorldWeek(
            number,
            _features(random, settings, number, ids, centres[persona] + own),
            pl.DataFrame(
                {
                    "person_id": ids.astype(np.uint64),
                    "persona": persona,
                    "moved": (persona != before) & ~is_new,
                    "is_new": is_new,
                }
            ),
            len(alive),
        )


def _move(
    random: np.random.Generator, persona: NDArray[np.int64], moves: NDArray[np.bool_], alive: list[int]
) -> NDArray[np.int64]:
    steps = random.integers(1, len(alive), len(persona))
    places = {one: place for place, one in enumerate(alive)}
    now = np.array([places[one] for one in persona.tolist()])
    return np.where(moves, np.array(alive)[(now + steps) % len(alive)], persona)


def _features(
    random: np.random.Generator,
    settings: WorldSettings,
    number: int,
    ids: NDArray[np.int64],
    positions: NDArray[np.float64],
) -> pl.DataFrame:
    columns: dict[str, pl.Series] = {}
    for column in range(settings.columns):
        values = positions[:, column]
        if settings.heavy_tails:
            values = np.exp(0.7 * values) if column % 2 else values
            values = np.where(random.random(len(values)) < 0.05, np.nan, values)
        columns[f"x{column}"] = pl.Series(values, nan_to_null=True)
    return pl.DataFrame(
        {"person_id": ids.astype(np.uint64), "as_of": FIRST_WEEK + timedelta(weeks=number + 1), **columns}
    )

"""Simulated people whose groups are known: worlds that the finding of personas is measured on.

Here belong generators: a seed and the traits of a world give a `World`. What is measured on them stands in
`personas.py` beside this, and, in small, among the tests.

The mixed worlds follow the description in our methods note (five groups; seven numbers: log-normal, cubed, counts,
zero-inflated, noise; five categories); the rest widens them: heavy tails, unequal shapes, missing sources, and
sets of people without any groups.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

Random = np.random.Generator
Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class World:
    """People, what their columns are, and the group each was drawn from."""

    people: pl.DataFrame
    catalogue: pl.DataFrame
    truth: NDArray[np.int64]


def make_world(columns: dict[str, object], kinds: dict[str, str], truth: NDArray[np.int64], families=None) -> World:
    """Put columns together to a feature frame and its catalogue."""
    people = pl.DataFrame({"person_id": np.arange(len(truth), dtype=np.uint64), **columns})
    rows = [
        (name, (families or {}).get(name, "all"), name, None, None, kind, True, True) for name, kind in kinds.items()
    ]
    names = ["feature", "family", "label", "high_words", "low_words", "kind", "is_persona_input", "is_propensity_input"]
    types = [pl.String] * 6 + [pl.Boolean] * 2
    return World(people, pl.DataFrame(rows, schema=dict(zip(names, types, strict=True)), orient="row"), truth)


def unequal_shares(random: Random, k: int, smallest: float = 0.07) -> Matrix:
    """Shares of `k` groups, unequal, none below `smallest`."""
    return smallest + (1 - k * smallest) * random.dirichlet(np.full(k, 2.0))


def spread_centres(random: Random, k: int, columns: int, separation: float) -> Matrix:
    """Centres in random directions, of which the nearest two lie `separation` apart."""
    centres = random.normal(size=(k, columns))
    apart = np.linalg.norm(centres[:, None] - centres[None], axis=2)[np.triu_indices(k, 1)]
    return centres * separation / apart.min()


def planted_world(
    seed: int,
    k: int,
    separation: float,
    people: int = 1_500,
    columns: int = 8,
    noise: int = 3,
    tails: str = "normal",
    shapes: str = "equal",
    missing: float = 0.0,
) -> World:
    """People of `k` groups of unequal size in numeric columns, and columns of noise.

    Args:
        seed: Seed of the world.
        k: Number of groups.
        separation: Distance of the nearest two centres in standard deviations within groups.
        people: Number of people.
        columns: Columns that tell groups apart.
        noise: Columns that do not.
        tails: "normal"; or "t", Student's t with five degrees of freedom, scaled to variance one.
        shapes: "equal", round groups; or "unequal", each with a covariance and a size of its own.
        missing: Share of people for whom the last third of the columns is missing, as when a source is absent.
    """
    random = np.random.default_rng([seed, k, round(100 * separation)])
    truth = random.choice(k, people, p=unequal_shares(random, k))
    centres = spread_centres(random, k, columns, separation)
    within = random.normal(size=(people, columns))
    if shapes == "unequal":
        for group in range(k):
            mixing = np.linalg.qr(random.normal(size=(columns, columns)))[0] * np.sqrt(
                random.uniform(0.4, 1.6, columns)
            )
            within[truth == group] = within[truth == group] @ mixing.T
    if tails == "t":
        within *= np.sqrt(3 / random.chisquare(5, size=(people, 1)))
    values = np.column_stack([centres[truth] + within, random.normal(size=(people, noise))])
    values *= np.exp(random.normal(0, 1, values.shape[1]))  # units differ
    if missing:
        absent = random.random(people) < missing
        values[np.ix_(absent, np.arange(columns - columns // 3, columns))] = np.nan
    names = [f"c{number:02d}" for number in range(values.shape[1])]
    frame = {name: pl.Series(values[:, place]).fill_nan(None) for place, name in enumerate(names)}
    return make_world(frame, dict.fromkeys(names, "number"), truth)


MIXED_SETTINGS = {"strong numbers": (1.5, 0.55), "weak numbers": (0.8, 0.7)}
"""Standard deviation of the groups' means, in that within groups; share of a group that has its group's level."""


def mixed_world(seed: int, number_strength: float, level_share: float, people: int = 1_200, k: int = 5) -> World:
    """People of five groups as customer data show them: skewed, counted, mostly zero, in words, and beside the point.

    Args:
        seed: Seed of the world.
        number_strength: Standard deviation of the groups' means of each number, which has one of 1 within groups.
        level_share: Share of a group that has the level its group is known for; the rest has another.
        people: Number of people.
        k: Number of groups.
    """
    random = np.random.default_rng([seed, round(100 * number_strength), round(100 * level_share)])
    truth = random.choice(k, people, p=unequal_shares(random, k, 0.1))
    latent = number_strength * random.normal(size=(k, 5))[truth] + random.normal(size=(people, 5))
    numbers = {
        "amount": np.exp(1.2 * latent[:, 0]),
        "revenue": np.exp(3 + 1.2 * latent[:, 1]),
        "balance": latent[:, 2] ** 3,
        "visits": random.poisson(np.exp(1 + 0.8 * latent[:, 3])),
        "spent": np.where(latent[:, 4] > 0.3, np.exp(2 + latent[:, 4]), 0.0),
        "noise": random.normal(size=people),
        "skewed_noise": np.exp(random.normal(size=people)),
    }
    categories = {}
    for place, levels in enumerate((3, 4, 4, 5, 6)):
        own = random.integers(levels, size=k)[truth]
        other = (own + random.integers(1, levels, size=people)) % levels
        codes = np.where(random.random(people) < level_share, own, other)
        categories[f"category_{place}"] = np.array(list("abcdef"))[codes]
    kinds = dict.fromkeys(numbers, "number") | dict.fromkeys(categories, "category")
    return make_world({**numbers, **categories}, kinds, truth)


def survey_world(seed: int, k: int, people: int = 1_500, items: int = 12, contrast: float = 1.2) -> World:
    """Yes-or-no answers that are independent within groups: what a latent class analysis takes survey data for."""
    random = np.random.default_rng([seed, k, items])
    truth = random.choice(k, people, p=unequal_shares(random, k, 0.1))
    chances = 1 / (1 + np.exp(-(random.normal(-0.3, 0.6, items) + contrast * random.normal(size=(k, items)))))
    answers = random.random((people, items)) < chances[truth]
    names = [f"item_{place:02d}" for place in range(items)]
    return make_world(dict(zip(names, answers.T, strict=True)), dict.fromkeys(names, "flag"), truth)


def _factors(random: Random, people: int, columns: int, factors: int, strength: float = 0.7) -> Matrix:
    loadings = strength * random.normal(size=(factors, columns))
    latent = random.normal(size=(people, factors)) @ loadings + random.normal(size=(people, columns))
    return latent / latent.std(axis=0)


def _one_cloud(random: Random, people: int) -> dict[str, object]:
    mixing = random.normal(size=(8, 8)) * np.sqrt(np.linspace(3, 0.3, 8))
    return _numbers(random.normal(size=(people, 8)) @ mixing)


def _one_factor(random: Random, people: int) -> dict[str, object]:
    return _numbers(_factors(random, people, 10, 1, 1.2))


def _skewed(random: Random, people: int) -> dict[str, object]:
    return _numbers(np.exp(1.2 * _factors(random, people, 9, 2)))


def _counts(random: Random, people: int) -> dict[str, object]:
    return _numbers(random.poisson(np.exp(0.3 + 0.8 * _factors(random, people, 9, 2))).astype(float))


def _mostly_zero(random: Random, people: int) -> dict[str, object]:
    latent = _factors(random, people, 8, 2)
    return _numbers(np.where(latent > 0.3, np.exp(latent), 0.0))


def _uniform(random: Random, people: int) -> dict[str, object]:
    return _numbers(random.random((people, 6)))


def _answers(random: Random, people: int) -> dict[str, object]:
    return {
        f"c{j:02d}": column
        for j, column in enumerate((_factors(random, people, 11, 1, 1.0) > random.normal(0.2, 0.6, 11)).T)
    }


def _answers_two_factors(random: Random, people: int) -> dict[str, object]:
    return {
        f"c{j:02d}": column
        for j, column in enumerate((_factors(random, people, 12, 2, 1.0) > random.normal(0, 0.6, 12)).T)
    }


def _everything(random: Random, people: int) -> dict[str, object]:
    latent = _factors(random, people, 12, 2)
    columns = _numbers(np.exp(latent[:, :4])) | {
        f"z{j}": np.where(latent[:, 4 + j] > 0.4, np.exp(latent[:, 4 + j]), 0.0) for j in range(3)
    }
    columns |= {f"f{j}": latent[:, 7 + j] > 0.5 for j in range(3)}
    return columns | {
        f"k{j}": np.array(list("abcd"))[np.digitize(latent[:, 10 + j], [-0.8, 0.2, 1.0])] for j in range(2)
    }


def _source_absent(random: Random, people: int) -> dict[str, object]:
    values = np.exp(_factors(random, people, 9, 2))
    values[np.ix_(random.random(people) < 0.3, [6, 7, 8])] = np.nan
    return {f"c{j:02d}": pl.Series(values[:, j]).fill_nan(None) for j in range(9)}


def _numbers(values: Matrix) -> dict[str, object]:
    return {f"c{place:02d}": values[:, place] for place in range(values.shape[1])}


STRUCTURELESS: dict[str, Callable[[Random, int], dict[str, object]]] = {
    "one correlated cloud": _one_cloud,
    "one factor": _one_factor,
    "skewed": _skewed,
    "counts": _counts,
    "mostly zero": _mostly_zero,
    "uniform": _uniform,
    "yes-or-no answers, one factor": _answers,
    "yes-or-no answers, two factors": _answers_two_factors,
    "numbers, flags and categories": _everything,
    "a source absent for a third": _source_absent,
}
"""Ten kinds of people without groups: all columns are monotone in a few Gaussian factors, or independent."""


def structureless_world(seed: int, kind: str, people: int = 1_500) -> World:
    """People without groups, of one of the kinds in `STRUCTURELESS`."""
    columns = STRUCTURELESS[kind](np.random.default_rng([seed, list(STRUCTURELESS).index(kind)]), people)
    types = {pl.Boolean: "flag", pl.String: "category"}
    kinds = {name: types.get(pl.Series(values).dtype.base_type(), "number") for name, values in columns.items()}
    return make_world(columns, kinds, np.zeros(people, dtype=np.int64))

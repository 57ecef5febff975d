"""Simulated people whose probabilities are known, to hold learned ones against.

Here belong the worlds. What is measured in them stands in `models`.
"""

from datetime import date, timedelta

import numpy as np
import polars as pl
from scipy.special import expit

FIRST = date(2026, 3, 2)
COUNTRIES = np.array(["DE", "FR", "IT", "ES", "NL"])


def simulated_weeks(people: int, weeks: int, seed: int, is_bent: bool, base: float = -2.5) -> pl.DataFrame:
    """Weekly rows of people whose features move a little each week.

    Args:
        people: Number of people, the same every week.
        weeks: Number of weeks.
        seed: Seed.
        is_bent: Whether features work together and bend, which a logistic regression cannot follow.
        base: Log-odds of the average person.

    Returns:
        person_id, as_of, ten features (skewed, missing, categorical, and three that mean nothing), truth, outcome.
    """
    random = np.random.default_rng(seed)
    person = random.normal(size=(people, 10))
    nearby = 0.5 * person[:, [1, 2, 3, 0]]
    parts = []
    for week in range(weeks):
        x = 0.8 * person + 0.6 * random.normal(size=person.shape)
        x[:, :4] += nearby
        spend = np.exp(x[:, 4])
        country = COUNTRIES[np.clip(np.abs(2.5 * person[:, 5]).astype(int), 0, 4)]
        linear = base + 0.8 * x[:, 0] + 0.5 * x[:, 1] - 0.5 * x[:, 2] + 0.3 * x[:, 4] + 0.4 * (country == "IT")
        if is_bent:
            linear += 0.5 * x[:, 0] * x[:, 1] - 0.6 * (np.abs(x[:, 3]) - 0.8)
        truth = expit(linear)
        parts.append(
            pl.DataFrame(
                {
                    "person_id": np.arange(people, dtype=np.uint64),
                    "days": x[:, 0],
                    "visits": x[:, 1],
                    "silence": x[:, 2],
                    "rhythm": x[:, 3],
                    "spend": spend,
                    "country": country,
                    "has_app": random.random(people) < 0.4,
                    **{f"noise_{number}": x[:, number] for number in (6, 7, 8)},
                    "truth": truth,
                    "outcome": (random.random(people) < truth).astype(np.int8),
                }
            ).with_columns(as_of=pl.lit(FIRST + timedelta(weeks=week)))
        )
    return pl.concat(parts)


def honest_world(rows: int, seed: int) -> pl.DataFrame:
    """One extract of honest features: effects and likeness between features are drawn anew for each seed.

    Args:
        rows: Number of people.
        seed: Seed.

    Returns:
        person_id, as_of, 6 to 40 features f0.., outcome.
    """
    random = np.random.default_rng(seed)
    features = int(random.integers(6, 41))
    causes = random.normal(size=(rows, int(random.integers(2, features))))
    mixing = random.normal(size=(causes.shape[1], features)) * (random.random((causes.shape[1], features)) < 0.4)
    x = causes @ mixing + 0.7 * random.normal(size=(rows, features))
    x = x / np.maximum(x.std(axis=0), 1e-9)
    effects = random.normal(size=features) * (random.random(features) < 0.5) * 0.8
    linear = x @ effects + 0.3 * x[:, 0] * x[:, 1]
    outcome = random.random(rows) < expit(linear - np.quantile(linear, random.uniform(0.6, 0.97)))
    skewed = np.where(random.random(features) < 0.5, np.exp(x), x)
    return pl.DataFrame({f"f{number}": skewed[:, number] for number in range(features)}).with_columns(
        person_id=pl.int_range(pl.len(), dtype=pl.UInt64),
        as_of=pl.lit(FIRST),
        outcome=pl.Series(outcome.astype(np.int8)),
    )

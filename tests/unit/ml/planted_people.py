"""Builders of people whose groups and outcomes are known, for the tests of ml."""

from datetime import date, timedelta

import numpy as np
import polars as pl

from tests.people_by_name import person_ids

WEEK = date(2026, 11, 9)
FIRST_PERSON = 2**60  # so high that no id stands in the bytes of a model by chance


def catalogue_of(*rows):
    """Rows of (feature, family, label, high_words, low_words, kind)."""
    names = ["feature", "family", "label", "high_words", "low_words", "kind"]
    frame = pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")
    return frame.with_columns(is_persona_input=True, is_propensity_input=True)


CATALOGUE = catalogue_of(
    ("active_days_28d", "engagement", "active days in the last 4 weeks", "very active", "inactive", "number"),
    ("events_28d", "engagement", "events in the last 4 weeks", "busy", "quiet", "number"),
    ("reports_28d", "product", "reports read in the last 4 weeks", "report readers", None, "number"),
    ("revenue_365d", "purchases", "revenue in the last year", "big spenders", "thrifty", "number"),
    ("orders_365d", "purchases", "orders in the last year", "frequent buyers", "rarely buying", "number"),
    ("days_since_order", "purchases", "days since the last order", None, "recent buyers", "number"),
    ("tickets_91d", "support", "tickets in the last quarter", "help seekers", None, "number"),
    ("is_admin", "account", "administrators", "administrators", None, "flag"),
    ("country", "profile", "country", None, None, "category"),
)

# per group: log events, report share, chance to have ordered, log amount, ticket rate, chance to be an admin
GROUPS = np.array(
    [
        [3.6, 0.60, 0.02, 3.0, 0.03, 0.03],
        [3.4, 0.15, 0.97, 6.0, 0.03, 0.03],
        [1.0, 0.01, 0.02, 3.0, 0.02, 0.02],
        [2.4, 0.35, 0.03, 4.0, 6.00, 0.95],
    ]
)
SHARES = [0.4, 0.3, 0.2, 0.1]


def planted_people(count=2_000, seed=2, groups=GROUPS, shares=SHARES, as_of=WEEK):
    """People of one week, and the group each was drawn from."""
    random = np.random.default_rng(seed)
    truth = random.choice(len(shares), count, p=shares)
    log_events, reading, ordering, log_amount, tickets, admin = groups[truth].T
    events = random.poisson(np.exp(log_events + random.normal(0, 0.3, count)))
    has_ordered = random.random(count) < ordering
    orders = np.where(has_ordered, 1 + random.poisson(1.5, count), 0)
    frame = pl.DataFrame(
        {
            "person_id": person_ids(count, FIRST_PERSON)[random.permutation(count)],
            "as_of": as_of,
            "active_days_28d": np.minimum(28, random.binomial(28, 1 - np.exp(-events / 28))),
            "events_28d": events,
            "reports_28d": random.binomial(events, reading),
            "revenue_365d": orders * np.exp(log_amount + random.normal(0, 0.5, count)),
            "orders_365d": orders,
            "days_since_order": np.where(has_ordered, random.exponential(60, count), np.nan),
            "tickets_91d": random.poisson(tickets),
            "is_admin": random.random(count) < admin,
            "country": random.choice(["DE", "FR", "IT", "XX"], count, p=[0.5, 0.3, 0.195, 0.005]),
        }
    ).with_columns(pl.col("days_since_order").fill_nan(None))
    return frame, truth


def in_order_of(people, assigned, column="cluster"):
    """The assigned column in the row order of the people."""
    joined = people.select("person_id").join(assigned, on="person_id", how="left", maintain_order="left")
    return joined[column].to_numpy()


def planted_weeks(weeks=4, count=3_000, seed=3, strength=1.5):
    """Weekly training rows with an outcome whose true probability is known (column true_probability)."""
    parts = []
    for week in range(weeks):
        people, _ = planted_people(count, seed=seed, as_of=WEEK + timedelta(weeks=week))
        random = np.random.default_rng([seed, week])
        signal = np.log1p(people["events_28d"].to_numpy()) - 3 + people["is_admin"].to_numpy()
        noise = random.normal(0, 1, count)
        probability = 1 / (1 + np.exp(2.2 - strength * signal))
        parts.append(
            people.with_columns(
                noise=pl.Series(noise),
                true_probability=pl.Series(probability),
                outcome=pl.Series((random.random(count) < probability).astype(np.int8)),
            )
        )
    return pl.concat(parts)

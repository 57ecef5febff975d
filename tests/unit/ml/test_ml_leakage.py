from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from planted_people import CATALOGUE, WEEK, planted_weeks

from ml.catalogue import inputs_of
from ml.leakage import find_suspects, identifiers, in_words

LAST = WEEK + timedelta(weeks=3)


@pytest.fixture(scope="module")
def weeks():
    return planted_weeks(count=2_500, seed=5)


def suspects(frame, scored=None, **planted):
    """By feature, of the planted people with further features, which are numbers unless their values are text."""
    frame = frame.with_columns(**planted)
    inputs = inputs_of(CATALOGUE, frame.columns, "is_propensity_input")
    inputs |= {name: "category" if frame[name].dtype == pl.String else "number" for name in planted}
    learned_from = frame.filter(pl.col("as_of") < LAST)
    return {one.feature: one for one in find_suspects(frame, inputs, learned_from, scored)}


def random_of(frame, seed=0):
    return np.random.default_rng(seed), frame.height, frame["outcome"].to_numpy()


def test_honest_features_are_not_accused(weeks):
    assert suspects(weeks) == {}
    assert suspects(planted_weeks(count=2_500, seed=6, strength=4)) == {}


def test_the_outcome_itself_is_found(weeks):
    found = suspects(
        weeks, copy=pl.col("outcome") * 2.5, backwards=pl.lit("p") + (1 - pl.col("outcome")).cast(pl.String)
    )
    assert set(found) == {"copy", "backwards"}
    assert found["copy"].reason.startswith("it is all but the outcome itself")


def test_a_column_that_is_missing_unless_the_outcome_came_is_found(weeks):
    random, count, outcome = random_of(weeks)
    refund = pl.Series(np.where((outcome == 1) & (random.random(count) < 0.97), random.random(count), np.nan)).fill_nan(
        None
    )
    assert set(suspects(weeks, refund=refund)) == {"refund"}


def test_a_planted_future_column_is_found(weeks):
    random, _, outcome = random_of(weeks)
    orders_afterwards = pl.Series(random.poisson(3 * outcome + 0.1))
    found = suspects(weeks, orders_afterwards=orders_afterwards)
    assert set(found) == {"orders_afterwards"}


def test_a_weaker_future_column_is_found_when_the_scored_week_lacks_it(weeks):
    random, count, outcome = random_of(weeks)
    opened = weeks.with_columns(opened_later=pl.Series(random.random(count) < 0.3 + 0.4 * outcome))
    now = opened.filter(pl.col("as_of") == LAST).with_columns(opened_later=False)
    found = suspects(opened, now, opened_later=pl.col("opened_later").cast(pl.Int8))
    assert found["opened_later"].reason.startswith("it knows the future: 3")
    same = opened.filter(pl.col("as_of") == LAST)
    assert suspects(opened, same, opened_later=pl.col("opened_later").cast(pl.Int8)) == {}


@pytest.mark.parametrize("name", ["number", "category", "missing"])
def test_a_planted_clock_is_found(weeks, name):
    random, count, _ = random_of(weeks)
    week = (weeks["as_of"].rank("dense").cast(pl.Float64) - 1).rename("week")
    clocks = {
        "number": week * 0.7 + pl.Series(random.normal(0, 0.2, count)),
        "category": pl.Series([f"season {int(value)}" for value in week]),
        "missing": pl.Series(np.where(week > 1, random.random(count), np.nan)).fill_nan(None),
    }
    found = suspects(weeks, clock=clocks[name])
    assert found["clock"].reason.startswith("it is a clock: ")
    assert found["clock"].figure > 0.8


def test_identifiers_are_found(weeks):
    numbers = weeks["person_id"].rank("dense").cast(pl.Int64) * 7 + 100_000
    found = suspects(weeks, account=numbers, address=pl.format("{}@example.org", "person_id"))
    assert set(found) == {"account", "address"}
    assert found["account"].reason.startswith("it names people: 100%")


def test_measures_that_differ_for_everybody_are_no_identifiers(weeks):
    random, _, _ = random_of(weeks)
    week = weeks.filter(pl.col("as_of") == LAST).with_columns(amount=pl.Series(random.exponential(100, 2_500)))
    assert identifiers(week, {"amount": "number", "revenue_365d": "number"}) == []


def test_suspects_are_named_in_one_line(weeks):
    found = suspects(weeks, copy=pl.col("outcome") * 2.5)
    assert in_words(list(found.values())) == f"copy: {found['copy'].reason}"


@pytest.mark.parametrize("left_out", [[], ["duration"]])
def test_how_long_a_call_took_is_named_without_being_told(shared_data: Path, left_out):
    calls = pl.read_csv(shared_data / "bank_marketing" / "bank-full.csv", separator=";").drop(left_out)
    calls = calls.with_columns(
        person_id=pl.int_range(pl.len(), dtype=pl.UInt64),
        as_of=pl.lit(WEEK),
        outcome=(pl.col("y") == "yes").cast(pl.Int8),
    ).drop("y")
    inputs = {
        name: "category" if kind == pl.String else "number"
        for name, kind in calls.schema.items()
        if name not in ("person_id", "as_of", "outcome")
    }
    assert [one.feature for one in find_suspects(calls, inputs, calls)] == ([] if left_out else ["duration"])

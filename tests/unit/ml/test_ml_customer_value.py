"""Purchases and amounts expected: published figures, what was planted, and when nothing is said."""

from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ml.customer_value import TOTAL_SCHEMA, VALUE_SCHEMA, ValueAbstention, ValueModel, ValueSettings
from tests.people_by_name import person_ids

END_OF_LEARNING = date(1997, 9, 30)
HOLDOUT_DAYS = 39 * 7


@pytest.fixture(scope="module")
def cdnow(shared_data: Path) -> pl.DataFrame:
    """A row per customer and day of the CDNOW sample: person_id, day, amount."""
    lines = (shared_data / "cdnow" / "CDNOW_sample.txt").read_text().splitlines()
    rows = [line.split() for line in lines]
    return (
        pl.DataFrame(
            {
                "person_id": pl.Series([int(row[1]) for row in rows], dtype=pl.UInt64),
                "day": [date(int(row[2][:4]), int(row[2][4:6]), int(row[2][6:])) for row in rows],
                "amount": [float(row[4]) for row in rows],
            }
        )
        .group_by("person_id", "day")
        .agg(pl.col("amount").sum())
        .sort("person_id", "day")
    )


def histories(days: pl.DataFrame, until: date) -> pl.DataFrame:
    known = days.filter(pl.col("day") <= until).sort("person_id", "day")
    gaps = pl.col("day").diff().dt.total_days()
    return (
        known.group_by("person_id", maintain_order=True)
        .agg(
            frequency=pl.len() - 1,
            recency_days=(pl.col("day").max() - pl.col("day").min()).dt.total_days(),
            age_days=(pl.lit(until) - pl.col("day").min()).dt.total_days(),
            amount=pl.col("amount").slice(1).mean(),
            gap_variation=pl.when(pl.len() > 3).then(gaps.std() / gaps.mean()),
        )
        .sort("person_id")
    )


def simulated(people: int, seed: int, weeks: float = 52, ahead: float = 26) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Histories of people who buy as the models say, and what each did afterwards (purchases, value)."""
    rng = np.random.default_rng(seed)
    rate = rng.gamma(0.8, 1 / 6.0, people)
    stop = rng.beta(0.8, 2.5, people)
    scale = rng.gamma(3.7, 1 / 15.0, people)
    start = rng.uniform(0, 20, people)
    rows = []
    for person in range(people):
        times, amounts, now = [start[person]], [0.0], start[person]
        while rng.random() >= (stop[person] if len(times) > 1 else 0.0):
            now += rng.exponential(1 / rate[person])
            if now > weeks + ahead:
                break
            times.append(now)
            amounts.append(rng.gamma(6.25, 1 / scale[person]))
        inside = [t for t in times if t <= weeks]
        repeat = [a for t, a in zip(times[1:], amounts[1:], strict=True) if t <= weeks]
        later = [a for t, a in zip(times, amounts, strict=True) if t > weeks]
        rows.append(
            {
                "person_id": person,
                "frequency": len(inside) - 1,
                "recency_days": 7 * (inside[-1] - inside[0]),
                "age_days": 7 * (weeks - inside[0]),
                "amount": float(np.mean(repeat)) if repeat else None,
                "gap_variation": None,
                "later": len(later),
                "later_value": float(np.sum(later)),
            }
        )
    frame = pl.DataFrame(rows, infer_schema_length=None)
    return frame.drop("later", "later_value"), frame.select("person_id", "later", "later_value")


@pytest.fixture(scope="module")
def fitted(cdnow: pl.DataFrame) -> ValueModel:
    model = ValueModel.fit(histories(cdnow, END_OF_LEARNING), ValueSettings(horizon_days=HOLDOUT_DAYS))
    assert isinstance(model, ValueModel)
    return model


class TestCdnow:
    def test_purchases_have_the_published_parameters(self, fitted: ValueModel) -> None:
        found = fitted.purchases
        assert [found.r, found.alpha, found.a, found.b] == pytest.approx([0.2426, 4.414, 0.793, 2.426], rel=0.005)
        assert found.log_likelihood == pytest.approx(-9582.4, abs=0.1)

    def test_amounts_have_the_published_parameters(self, fitted: ValueModel) -> None:
        assert fitted.amounts is not None
        assert [fitted.amounts.p, fitted.amounts.q, fitted.amounts.v] == pytest.approx([6.25, 3.74, 15.44], rel=0.005)
        assert fitted.amounts.buyers == 946

    def test_the_holdout_is_expected_within_the_demanded_error(self, cdnow: pl.DataFrame, fitted: ValueModel) -> None:
        known = histories(cdnow, END_OF_LEARNING)
        later = cdnow.filter(pl.col("day") > END_OF_LEARNING).group_by("person_id").agg(happened=pl.len())
        both = fitted.score(known).join(later, on="person_id", how="left").with_columns(pl.col("happened").fill_null(0))
        error = (both["expected_purchases"] - both["happened"]).abs().mean()
        assert error <= 0.80
        assert both["happened"].sum() == 1882
        assert -0.15 <= both["expected_purchases"].sum() / both["happened"].sum() - 1 <= 0.05


class TestExpectations:
    def test_planted_parameters_are_recovered(self) -> None:
        known, _ = simulated(8_000, 3)
        model = ValueModel.fit(known)
        assert isinstance(model, ValueModel) and model.amounts is not None
        assert model.purchases.r == pytest.approx(0.8, rel=0.12)
        assert model.purchases.alpha == pytest.approx(6.0, rel=0.12)
        assert model.amounts.p == pytest.approx(6.25, rel=0.2)

    def test_intervals_of_totals_hold_what_happens(self) -> None:
        inside = 0
        for seed in range(12):
            known, later = simulated(800, seed)
            model = ValueModel.fit(known, ValueSettings(horizon_days=26 * 7))
            assert isinstance(model, ValueModel)
            everybody = known.select("person_id", segment_id=pl.lit("all"))
            total = model.totals(known, model.score(known), everybody).row(0, named=True)
            happened = later["later_value"].sum()
            inside += total["expected_value_low"] <= happened <= total["expected_value_high"]
        assert inside >= 9

    def test_a_history_without_an_end_gives_sensible_purchases(self) -> None:
        rng = np.random.default_rng(5)
        count = rng.poisson(rng.gamma(2.0, 0.5, 600))
        age = rng.integers(60, 150, 600)
        known = pl.DataFrame(
            {
                "person_id": person_ids(600),
                "frequency": count,
                "recency_days": np.where(count > 0, age * count // (count + 1), 0),
                "age_days": age,
                "amount": pl.Series(np.where(count > 0, rng.gamma(4, 20, 600), np.nan)).fill_nan(None),
                "gap_variation": pl.Series([None] * 600, dtype=pl.Float64),
            }
        )
        model = ValueModel.fit(known)
        assert isinstance(model, ValueModel)
        scores = model.score(known)
        assert scores["expected_purchases"].max() < 20
        assert scores["purchase_probability"].is_between(0, 1).all()
        assert scores["alive_probability"].is_between(0, 1).all()
        total = model.totals(known, scores, known.select("person_id", segment_id=pl.lit("all"))).row(0, named=True)
        assert 0 < total["expected_value_low"] < total["expected_value"] < total["expected_value_high"]

    def test_order_and_sampling_do_not_depend_on_the_rows_places(self) -> None:
        known, _ = simulated(1_200, 4)
        one, other = ValueModel.fit(known, sample=700), ValueModel.fit(known.reverse(), sample=700)
        assert isinstance(one, ValueModel) and isinstance(other, ValueModel)
        assert one.people == 700 and one.model_id == other.model_id
        assert_frame_equal(one.score(known), one.score(known.reverse()))
        assert one.score(known).schema == VALUE_SCHEMA

    def test_nobody_in_no_segment_is_an_empty_table(self, fitted: ValueModel, cdnow: pl.DataFrame) -> None:
        known = histories(cdnow, END_OF_LEARNING)
        nobody = pl.DataFrame(schema={"person_id": pl.UInt64, "segment_id": pl.String})
        assert fitted.totals(known, fitted.score(known), nobody).schema == TOTAL_SCHEMA


class TestAbstention:
    def test_too_few_repeat_buyers(self) -> None:
        known, _ = simulated(300, 1)
        found = ValueModel.fit(known, ValueSettings(minimum_repeat_buyers=400))
        assert isinstance(found, ValueAbstention) and "400 are needed" in found.reason

    def test_purchases_as_regular_as_a_subscription(self) -> None:
        months = pl.DataFrame(
            {
                "person_id": person_ids(400),
                "frequency": [11] * 400,
                "recency_days": [334] * 400,
                "age_days": [350] * 400,
                "amount": [9.9] * 400,
                "gap_variation": [0.03] * 400,
            }
        )
        found = ValueModel.fit(months)
        assert isinstance(found, ValueAbstention) and "subscription" in found.reason

    def test_amounts_that_hang_together_with_frequency_are_withheld(self) -> None:
        known, _ = simulated(1_500, 2)
        tied = known.with_columns(amount=pl.when(pl.col("frequency") > 0).then(10.0 * pl.col("frequency") + 1))
        model = ValueModel.fit(tied)
        assert isinstance(model, ValueModel) and "hangs together" in (model.amounts_withheld or "")
        scores = model.score(tied)
        assert scores["expected_value"].null_count() == scores.height
        assert scores["expected_purchases"].null_count() == 0

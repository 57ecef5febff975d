"""Past predictions against what happened, from cells of like probability."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from ml.backtest import CELLS_PER_LOG_ODD, compare, compare_by
from ml.evaluation import area_under_curve, brier_score, calibration_error, log_loss


def people(count: int = 50_000, slope: float = 1.0, shift: float = 0.0, seed: int = 5) -> pl.DataFrame:
    """People with predictions, and outcomes whose true log-odds are a line of the predicted ones."""
    random = np.random.default_rng(seed)
    log_odds = random.normal(-2, 1, count)
    truth = 1 / (1 + np.exp(-(slope * log_odds + shift)))
    return pl.DataFrame(
        {
            "probability": 1 / (1 + np.exp(-log_odds)),
            "outcome": (random.random(count) < truth).astype(int),
            "persona": np.where(random.random(count) < 0.5, "a", "b"),
        }
    )


def cells(rows: pl.DataFrame) -> pl.DataFrame:
    log_odds = (pl.col("probability") / (1 - pl.col("probability"))).log()
    return rows.group_by("persona", cell=(log_odds * CELLS_PER_LOG_ODD).floor()).agg(
        people=pl.len(), positives=pl.col("outcome").sum(), probability_sum=pl.col("probability").sum()
    )


def test_measures_of_cells_are_those_of_the_people():
    rows = people()
    found = compare_by(cells(rows), None, 1)["everybody"]
    outcome, probability = rows["outcome"].cast(float).to_numpy(), rows["probability"].to_numpy()
    assert (found.people, found.positives) == (rows.height, rows["outcome"].sum())
    assert found.predicted_mean == pytest.approx(probability.mean())
    assert found.log_loss == pytest.approx(log_loss(outcome, probability), abs=2e-5)
    assert found.brier == pytest.approx(brier_score(outcome, probability), abs=2e-5)
    assert found.calibration_error == pytest.approx(calibration_error(outcome, probability), abs=2e-4)
    exact = area_under_curve(outcome, probability)
    assert (found.auc, found.auc_low, found.auc_high) == pytest.approx(exact, abs=2e-4)


def test_predictions_that_come_true_have_slope_one_and_no_complaint():
    found = compare_by(cells(people()), None, 1)["everybody"]
    assert abs(found.slope - 1) < 3 * found.slope_error < 0.1
    assert found.complaint() is None


def test_broken_calibration_is_told_in_words():
    high = compare_by(cells(people(shift=-0.5)), None, 1)["everybody"]
    assert "probabilities were too high" in high.complaint()
    extreme = compare_by(cells(people(slope=0.6, shift=-0.75)), None, 1)["everybody"]
    assert "too far apart (calibration slope 0.6" in extreme.complaint()


def test_thin_weeks_do_not_alarm():
    assert compare(np.array([100, 100]), np.array([10, 9]), np.array([30.0, 40.0])).complaint() is None
    alarms = [compare_by(cells(people(800, seed=seed)), None, 1)["everybody"].complaint() for seed in range(100)]
    assert sum(alarm is not None for alarm in alarms) <= 2


def test_groups_are_compared_apart_and_small_ones_left_out():
    rows = people(2_000).with_columns(
        persona=pl.when(pl.int_range(pl.len()) < 9).then(pl.lit("c")).otherwise("persona")
    )
    found = compare_by(cells(rows), "persona", 10)
    assert list(found) == ["a", "b"]
    assert found["a"].people == rows.filter(persona="a").height


def test_a_week_in_which_nothing_happened_has_no_area_and_no_line():
    nothing = compare(np.array([50, 50]), np.array([0, 0]), np.array([1.0, 5.0]))
    assert (nothing.auc, nothing.slope, nothing.intercept, nothing.observed_share) == (None, None, None, 0)
    with pytest.raises(ValueError, match="no predictions"):
        compare(np.array([], int), np.array([], int), np.array([]))

import numpy as np
import pytest
from scipy.special import expit, logit

from ml.evaluation import (
    area_under_curve,
    calibration_error,
    calibration_line,
    drift_in_words,
    evaluate,
    log_loss,
    mean_interval,
    reliability,
)


@pytest.fixture(scope="module")
def world():
    random = np.random.default_rng(1)
    truth = expit(random.normal(-2, 1, 60_000))
    return truth, (random.random(60_000) < truth).astype(float)


def test_the_area_under_the_curve_and_its_interval():
    assert area_under_curve(np.array([0, 0, 1, 1.0]), np.array([0.1, 0.4, 0.35, 0.8]))[0] == pytest.approx(0.75)
    assert area_under_curve(np.array([0, 0, 1, 1.0]), np.array([0.1, 0.2, 0.3, 0.4])) == (1.0, 1.0, 1.0)
    random = np.random.default_rng(0)
    covered = 0
    for _ in range(300):
        outcomes = (random.random(200) < 0.3).astype(float)
        _, low, high = area_under_curve(outcomes, random.random(200))
        covered += low <= 0.5 <= high
    assert covered / 300 == pytest.approx(0.95, abs=0.03)


def test_true_probabilities_are_calibrated(world):
    truth, outcomes = world
    line = calibration_line(outcomes, truth)
    assert abs(line.slope - 1) < 2.5 * line.slope_error < 0.06
    assert abs(line.intercept) < 2.5 * line.intercept_error < 0.06
    assert calibration_error(outcomes, truth) < 0.01
    assert drift_in_words(line, truth.mean(), outcomes.mean(), "the week") is None


def test_probabilities_that_are_too_extreme_or_too_low_are_told(world):
    truth, outcomes = world
    extreme = expit(2 * logit(truth))
    assert calibration_line(outcomes, extreme).slope == pytest.approx(0.5, abs=0.03)
    assert "too extreme (calibration slope 0.5" in drift_in_words(
        calibration_line(outcomes, extreme), extreme.mean(), outcomes.mean(), "the week"
    )
    low = expit(logit(truth) - 0.5)
    line = calibration_line(outcomes, low)
    assert line.intercept == pytest.approx(0.5, abs=0.05)
    assert drift_in_words(line, low.mean(), outcomes.mean(), "the week").endswith("probabilities are too low")


def test_weights_give_the_figures_of_all_rows(world):
    truth, outcomes = world
    random = np.random.default_rng(2)
    kept = (outcomes == 1) | (random.random(len(outcomes)) < 0.2)
    weights = np.where(outcomes == 1, 1.0, 5.0)[kept]
    whole, drawn = evaluate(outcomes, truth), evaluate(outcomes[kept], truth[kept], weights)
    for name in ("log_loss", "brier", "base_rate", "mean_probability", "auc", "calibration_slope"):
        assert drawn[name] == pytest.approx(whole[name], abs=0.02), name
    assert drawn["log_loss_low"] < whole["log_loss"] < drawn["log_loss_high"]
    assert sum(part["people"] for part in reliability(outcomes[kept], truth[kept], weights)) == pytest.approx(
        len(outcomes), rel=0.02
    )


def test_bins_are_equally_large_with_and_without_weights(world):
    truth, outcomes = world
    assert {part["people"] for part in reliability(outcomes, truth)} == {6_000}
    weights = np.where(outcomes == 1, 1.0, 3.0)
    people = [part["people"] for part in reliability(outcomes, truth, weights)]
    assert len(people) == 10
    assert max(people) - min(people) < 0.001 * sum(people)


def test_a_mean_has_an_interval_that_holds_it():
    random = np.random.default_rng(3)
    held = 0
    for _ in range(300):
        low, high = mean_interval(random.exponential(1, 400))
        held += low <= 1 <= high
    assert held / 300 == pytest.approx(0.95, abs=0.03)


def test_outcomes_told_without_a_mistake_have_no_line():
    outcomes = np.array([0.0, 0, 1, 1])
    assert np.isnan(calibration_line(outcomes, np.array([0.1, 0.2, 0.8, 0.9])).slope)
    assert log_loss(outcomes, outcomes) < 1e-6

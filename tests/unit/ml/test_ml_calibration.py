import numpy as np
import pytest
from scipy.special import expit

from ml.calibration import Calibration, choose_calibration, learn_calibration
from ml.evaluation import calibration_error, log_loss


def predictions(count, said_of, seed=1, base=-2.0):
    """Log-odds said, outcomes, weights and parts; `said_of` bends the true log-odds."""
    random = np.random.default_rng(seed)
    truth = random.normal(base, 1.2, count)
    outcomes = (random.random(count) < expit(truth)).astype(float)
    return said_of(truth), outcomes, np.ones(count), np.arange(count) % 5


def test_what_is_calibrated_is_left_as_it_is():
    for seed in range(5):
        chosen = choose_calibration(*predictions(20_000, lambda truth: truth, seed), "tests")
        assert chosen.calibration.method in ("none", "intercept")
        assert np.abs(chosen.calibration.log_odds(np.zeros(1))).max() < 0.1
    assert choose_calibration(*predictions(20_000, lambda truth: truth), "tests").in_words.startswith("none: no map")


@pytest.mark.parametrize(
    ("method", "said_of"),
    [
        ("intercept", lambda truth: truth - 0.7),
        ("sigmoid", lambda truth: 2.2 * truth + 1),
        ("isotonic", lambda truth: np.where(truth < -2, truth, -2 + 4 * (truth + 2))),
    ],
)
def test_the_simplest_map_that_mends_is_chosen(method, said_of):
    chosen = choose_calibration(*predictions(40_000, said_of), "tests")
    assert chosen.calibration.method == method
    assert chosen.in_words.startswith(f"{method}, learned from 40,000 predictions with")
    assert chosen.log_loss_after < chosen.log_loss_before
    said, outcomes, _, _ = predictions(40_000, said_of, seed=2)
    assert calibration_error(outcomes, chosen.calibration.probabilities(said)) < 0.008


def test_no_curve_below_a_thousand_outcomes_and_nothing_below_fifty():
    def bend(truth):
        return np.where(truth < -2, truth, -2 + 4 * (truth + 2))

    few = choose_calibration(*predictions(3_000, bend), "tests")
    assert few.calibration.method in ("intercept", "sigmoid")
    fewest = choose_calibration(*predictions(200, bend, base=-3), "tests")
    assert fewest.calibration == Calibration()
    assert fewest.in_words.startswith("none: too few predictions")


def test_what_learned_from_less_is_not_drawn_further_apart():
    def timid(truth):
        return 0.6 * truth

    few = predictions(3_000, timid)
    assert choose_calibration(*few, "tests").calibration.slope > 1.3
    assert choose_calibration(*few, "tests", may_stretch=False).calibration.slope == 1
    # What is too extreme is drawn together all the same.
    extreme = predictions(3_000, lambda truth: 2 * truth)
    assert choose_calibration(*extreme, "tests", may_stretch=False).calibration.slope < 0.7


def test_a_curve_ties_nobody_and_ends_nowhere():
    said, outcomes, weights, _ = predictions(20_000, lambda truth: 1.5 * truth)
    curve = learn_calibration("isotonic", said, outcomes, weights)
    everywhere = np.linspace(-30, 30, 10_001)
    assert (np.diff(curve.log_odds(everywhere)) > 0).all()
    assert np.isfinite(log_loss(outcomes, curve.probabilities(said)))
    assert (curve.probabilities(said) > 0).all() and (curve.probabilities(said) < 1).all()


def test_weights_stand_for_rows_that_were_not_drawn():
    said, outcomes, _, part = predictions(60_000, lambda truth: truth - 0.7)
    kept = (outcomes == 1) | (np.random.default_rng(0).random(len(said)) < 0.25)
    weights = np.where(outcomes == 1, 1.0, 4.0)[kept]
    chosen = choose_calibration(said[kept], outcomes[kept], weights, part[kept], "tests").calibration
    assert chosen.method == "intercept"
    assert chosen.intercept == pytest.approx(0.7, abs=0.06)


def test_a_map_is_written_and_read_exactly():
    said, outcomes, weights, _ = predictions(5_000, lambda truth: 1.5 * truth)
    for method in ("none", "intercept", "sigmoid", "isotonic"):
        learned = learn_calibration(method, said, outcomes, weights)
        assert Calibration.from_dict(learned.to_dict()) == learned


def test_outcomes_told_without_a_mistake_are_left_alone():
    outcomes = np.repeat([0.0, 1.0], 100)
    assert learn_calibration("sigmoid", outcomes * 10 - 5, outcomes, np.ones(200)).method == "none"

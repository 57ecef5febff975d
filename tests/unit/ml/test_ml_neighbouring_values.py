"""Neighbouring hours: pooled where they are alike, left alone where they are not."""

import numpy as np
import pytest
from scipy.special import expit

from ml.neighbouring_values import SURELY, Circles, smooth

LABELS = tuple(str(number) for number in range(36))
CIRCLES = Circles({label: divmod(number, 12) for number, label in enumerate(LABELS)}, 12)


def answers_of(departures, seed, messages=400, rate=0.2):
    """Messages and answers of groups that depart from a common rate."""
    random = np.random.default_rng(seed)
    sent = np.full(departures.shape, float(messages))
    base = np.full(departures.shape, rate)
    truth = expit(np.log(rate / (1 - rate)) + departures)
    return sent, random.binomial(messages, truth).astype(float), base, truth


def bumps(seed, groups=5):
    """One favourite hour per group, and less so the hours around it."""
    random = np.random.default_rng(seed)
    circle, place = np.divmod(np.arange(36), 12)
    middle = random.integers(0, 36, groups)
    apart = np.abs(place - middle[:, None] % 12)
    near = np.exp(-0.5 * (np.minimum(apart, 12 - apart) / 1.3) ** 2)
    return 1.2 * near * np.where(circle == middle[:, None] // 12, 1.0, 0.5)


def error(told, truth):
    return float(np.sqrt(((told - truth) ** 2).mean()))


def alone(sent, answered):
    """Each value by itself, shrunk by nothing."""
    return answered / sent


@pytest.mark.parametrize("seed", range(4))
def test_hours_that_are_alike_help_each_other(seed):
    sent, answered, base, truth = answers_of(bumps(seed), seed)
    told = smooth(sent, answered, base, LABELS, CIRCLES)
    rates = expit(np.log(base / (1 - base)) + told.departures)
    assert error(rates, truth) < 0.85 * error(alone(sent, answered), truth)
    # Nine tenths of the true departures lie within 1.645 standard errors, give or take.
    z = (told.departures - bumps(seed)) / np.sqrt(told.variances)
    assert 0.8 < (np.abs(z) < 1.645).mean() <= 1.0


@pytest.mark.parametrize("seed", range(4))
def test_hours_that_have_nothing_in_common_are_left_alone(seed):
    departures = np.random.default_rng(100 + seed).normal(0, 0.6, (5, 36))
    sent, answered, base, truth = answers_of(departures, seed)
    told = smooth(sent, answered, base, LABELS, CIRCLES)
    rates = expit(np.log(base / (1 - base)) + told.departures)
    assert error(rates, truth) < 1.05 * error(alone(sent, answered), truth)


@pytest.mark.parametrize("seed", range(6))
def test_without_a_difference_none_is_surely_found(seed):
    sent, answered, base, _ = answers_of(np.zeros((5, 36)), seed)
    told = smooth(sent, answered, base, LABELS, CIRCLES)
    nothing = (answered * np.log(base) + (sent - answered) * np.log1p(-base)).sum()
    assert told.log_likelihood < nothing + SURELY


def test_midnight_has_neighbours_on_both_sides():
    departures = np.zeros((3, 36))
    departures[:, [0, 11]] = 1.0
    sent, answered, base, _ = answers_of(departures, 1)
    sent[0, 0], answered[0, 0] = 0.0, 0.0  # one group was never tried at midnight
    told = smooth(sent, answered, base, LABELS, CIRCLES)
    assert told.departures[0, 0] > 0.3 and told.variances[0, 0] > told.variances[1, 0]


def test_values_that_lie_nowhere_are_not_smoothed():
    assert smooth(*answers_of(np.zeros((2, 2)), 1)[:3], ("a", "b"), CIRCLES) is None

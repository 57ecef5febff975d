"""How good predicted probabilities are: ranking, calibration, and how sure one can be.

Here belong measures of predictions against outcomes, over plain arrays. Which rows are fair to measure on is
decided in `propensity`.
"""

from typing import TypedDict

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, rankdata

Floats = NDArray[np.float64]

CALIBRATION_BINS = 10
_SMALLEST = 1e-7


class ReliabilityBin(TypedDict):
    """One tenth of the people, from the least to the most likely."""

    mean_probability: float
    observed_share: float
    people: int


def area_under_curve(outcomes: Floats, probabilities: Floats, confidence: float = 0.95) -> tuple[float, float, float]:
    """Chance that someone with the outcome is ranked above someone without, and its confidence interval.

    The variance is that of DeLong et al. 1988, "Comparing the areas under two or more correlated receiver
    operating characteristic curves", computed from ranks (Sun and Xu 2014).

    Args:
        outcomes: 0 or 1.
        probabilities: Any score.
        confidence: Of the interval.

    Returns:
        Area, lower and upper limit, 0..1; not a number where there are fewer than two of either outcome.
    """
    positive = outcomes > 0
    positives, negatives = int(positive.sum()), int((~positive).sum())
    if min(positives, negatives) < 2:
        return float("nan"), float("nan"), float("nan")
    overall = rankdata(probabilities)
    above_negatives = (overall[positive] - rankdata(probabilities[positive])) / negatives
    below_positives = 1 - (overall[~positive] - rankdata(probabilities[~positive])) / positives
    area = float(above_negatives.mean())
    deviation = np.sqrt(above_negatives.var(ddof=1) / positives + below_positives.var(ddof=1) / negatives)
    half_width = float(norm.ppf(0.5 + confidence / 2) * deviation)
    return area, max(0.0, area - half_width), min(1.0, area + half_width)


def log_loss(outcomes: Floats, probabilities: Floats) -> float:
    """Mean negative log likelihood, in nats; lower is better."""
    bounded = np.clip(probabilities, _SMALLEST, 1 - _SMALLEST)
    return float(-np.mean(outcomes * np.log(bounded) + (1 - outcomes) * np.log1p(-bounded)))


def brier_score(outcomes: Floats, probabilities: Floats) -> float:
    """Mean squared difference of probability and outcome, 0..1; lower is better."""
    return float(np.mean((probabilities - outcomes) ** 2))


def reliability(outcomes: Floats, probabilities: Floats) -> list[ReliabilityBin]:
    """Compare predicted and observed in ten equally large parts of the people.

    Args:
        outcomes: 0 or 1.
        probabilities: 0..1.

    Returns:
        From the least to the most likely tenth; fewer parts where there are fewer than ten people.
    """
    order = np.argsort(probabilities, kind="stable")
    return [
        {
            "mean_probability": float(probabilities[rows].mean()),
            "observed_share": float(outcomes[rows].mean()),
            "people": len(rows),
        }
        for rows in np.array_split(order, min(CALIBRATION_BINS, len(order)))
    ]


def calibration_error(outcomes: Floats, probabilities: Floats) -> float:
    """Expected calibration error over ten equally large parts, 0..1: how far shares are from what was predicted."""
    parts = reliability(outcomes, probabilities)
    distance = sum(abs(part["mean_probability"] - part["observed_share"]) * part["people"] for part in parts)
    return float(distance / len(outcomes))

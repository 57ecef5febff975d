"""How good predicted probabilities are: ranking, calibration, and how sure one can be.

Here belong measures of predictions against outcomes, over plain arrays. Which rows are fair to measure on is
decided in `temporal_validation`. Where rows of one outcome were drawn at a rate, `weights` of one over the rate make
every figure that of all rows.
"""

from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import norm, rankdata

Floats = NDArray[np.float64]

CALIBRATION_BINS = 10
CONFIDENCE = 0.95
_SMALLEST = 1e-7
_STEPS = 25


class ReliabilityBin(TypedDict):
    """One tenth of the people, from the least to the most likely."""

    mean_probability: float
    observed_share: float
    people: int


@dataclass(frozen=True)
class CalibrationLine:
    """The logistic regression of outcomes on predicted log-odds (Cox 1958, "Two further applications of a model for
    binary regression").

    Attributes:
        slope: 1 where probabilities are as far apart as they should be; below 1 they are too extreme.
        slope_error: Its standard error.
        intercept: Log-odds that are missing on average, with the slope held at 1; above 0 probabilities are too low.
        intercept_error: Its standard error.
    """

    slope: float
    slope_error: float
    intercept: float
    intercept_error: float


def area_under_curve(
    outcomes: Floats, probabilities: Floats, confidence: float = CONFIDENCE
) -> tuple[float, float, float]:
    """Chance that someone with the outcome is ranked above someone without, and its confidence interval.

    The variance is that of DeLong et al. 1988, "Comparing the areas under two or more correlated receiver
    operating characteristic curves", computed from ranks (Sun and Xu 2014). Drawing rows of one outcome at a rate
    does not change the area, so there are no weights.

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


def log_losses(outcomes: Floats, probabilities: Floats) -> Floats:
    """Negative log likelihood per row, in nats."""
    bounded = np.clip(probabilities, _SMALLEST, 1 - _SMALLEST)
    return -(outcomes * np.log(bounded) + (1 - outcomes) * np.log1p(-bounded))


def log_loss(outcomes: Floats, probabilities: Floats, weights: Floats | None = None) -> float:
    """Mean negative log likelihood, in nats; lower is better."""
    return float(np.average(log_losses(outcomes, probabilities), weights=weights))


def brier_score(outcomes: Floats, probabilities: Floats, weights: Floats | None = None) -> float:
    """Mean squared difference of probability and outcome, 0..1; lower is better."""
    return float(np.average((probabilities - outcomes) ** 2, weights=weights))


def mean_interval(values: Floats, weights: Floats | None = None, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Normal confidence interval of a (weighted) mean.

    Args:
        values: One per row.
        weights: One over the rate a row was drawn at; by default 1.
        confidence: Of the interval.

    Returns:
        Lower and upper limit.
    """
    shares = np.ones(len(values)) if weights is None else weights
    mean = np.average(values, weights=shares)
    error = np.sqrt((shares**2 * (values - mean) ** 2).sum()) / shares.sum()
    half_width = norm.ppf(0.5 + confidence / 2) * error
    return float(mean - half_width), float(mean + half_width)


def reliability(outcomes: Floats, probabilities: Floats, weights: Floats | None = None) -> list[ReliabilityBin]:
    """Compare predicted and observed in ten equally large parts of the people.

    Args:
        outcomes: 0 or 1.
        probabilities: 0..1.
        weights: How many people a row stands for; by default 1.

    Returns:
        From the least to the most likely tenth; fewer parts where there are fewer than ten people.
    """
    order = np.argsort(probabilities, kind="stable")
    bins: list[ReliabilityBin] = []
    for rows in _equal_parts(order, weights):
        people = None if weights is None else weights[rows]
        bins.append(
            {
                "mean_probability": float(np.average(probabilities[rows], weights=people)),
                "observed_share": float(np.average(outcomes[rows], weights=people)),
                "people": len(rows) if people is None else round(float(people.sum())),
            }
        )
    return bins


def calibration_error(outcomes: Floats, probabilities: Floats, weights: Floats | None = None) -> float:
    """Expected calibration error over ten equally large parts, 0..1: how far shares are from what was predicted."""
    return error_of_bins(reliability(outcomes, probabilities, weights))


def error_of_bins(bins: list[ReliabilityBin]) -> float:
    """The calibration error that the bins of `reliability` amount to."""
    distance = sum(abs(part["mean_probability"] - part["observed_share"]) * part["people"] for part in bins)
    return float(distance / sum(part["people"] for part in bins))


def calibration_line(outcomes: Floats, probabilities: Floats, weights: Floats | None = None) -> CalibrationLine:
    """Slope and intercept of calibration, by Newton's method.

    Args:
        outcomes: 0 or 1, both of them present.
        probabilities: 0..1.
        weights: One over the rate a row was drawn at; standard errors allow for them.

    Returns:
        The line; not a number where probabilities do not vary, or tell outcomes apart without a mistake.
    """
    shares = np.ones(len(outcomes)) if weights is None else weights
    linear = logit(np.clip(probabilities, _SMALLEST, 1 - _SMALLEST))
    only_intercept = _logistic(np.ones((len(linear), 1)), linear, outcomes, shares)
    both = _logistic(np.column_stack([linear, np.ones(len(linear))]), np.zeros(len(linear)), outcomes, shares)
    return CalibrationLine(both[0][0], both[1][0], only_intercept[0][0], only_intercept[1][0])


def _logistic(columns: Floats, offset: Floats, outcomes: Floats, weights: Floats) -> tuple[list[float], list[float]]:
    """Coefficients and robust standard errors of a logistic regression with an offset, by damped Newton steps."""
    width = columns.shape[1]
    unknown = [float("nan")] * width

    def loss(at: Floats) -> float:
        linear = columns @ at + offset
        return float((weights * (np.logaddexp(0, linear) - outcomes * linear)).sum())

    point = np.zeros(width)
    reached = loss(point)
    for _ in range(_STEPS):
        likely = expit(columns @ point + offset)
        curvature = (columns * (weights * likely * (1 - likely))[:, None]).T @ columns
        if np.linalg.cond(curvature) > 1e12:
            return unknown, unknown
        step = np.linalg.solve(curvature, columns.T @ (weights * (outcomes - likely)))
        while loss(point + step) > reached + 1e-9 * abs(reached) and np.abs(step).max() > 1e-10:
            step /= 2
        point = point + step
        reached = loss(point)
        if np.abs(step).max() < 1e-8:
            break
    else:
        return unknown, unknown
    scores = columns * (weights * (outcomes - expit(columns @ point + offset)))[:, None]
    bread = np.linalg.inv(curvature)
    errors = np.sqrt(np.diag(bread @ (scores.T @ scores) @ bread))
    return [float(value) for value in point], [float(value) for value in errors]


def drift_in_words(line: CalibrationLine, predicted: float, observed: float, where: str) -> str | None:
    """Say how what happened has come away from what was predicted, where chance does not explain it.

    Args:
        line: The calibration of the rows measured on.
        predicted: Mean probability, 0..1.
        observed: Share with the outcome, 0..1.
        where: The rows, in words.

    Returns:
        A sentence, or None where predictions hold: shares within a twentieth of each other, or within three standard
        errors, and a slope within 0.9 to 1.1, or three standard errors of 1.
    """
    told = []
    if abs(line.intercept) > 3 * line.intercept_error and abs(observed / max(predicted, _SMALLEST) - 1) > 0.05:
        much = "low" if observed > predicted else "high"
        told.append(
            f"{observed:.1%} had the outcome where {predicted:.1%} were expected, so probabilities are too {much}"
        )
    if abs(line.slope - 1) > max(0.1, 3 * line.slope_error):
        much = "extreme" if line.slope < 1 else "alike"
        told.append(f"probabilities are too {much} (calibration slope {line.slope:.2f})")
    return f"calibration has drifted: in {where}, {'; and '.join(told)}" if told else None


def evaluate(outcomes: Floats, probabilities: Floats, weights: Floats | None = None) -> dict[str, Any]:
    """Every measure of one set of predictions.

    Args:
        outcomes: 0 or 1.
        probabilities: 0..1.
        weights: One over the rate a row was drawn at; by default 1.

    Returns:
        auc, log_loss and brier, each with _low and _high (95 % interval); base_rate_log_loss, that of telling everybody
        the base rate; calibration_error; calibration_slope and calibration_intercept with their standard errors
        (_error), None where there is no such line; base_rate, the share with the outcome; mean_probability; positives
        and rows, as counted; reliability, ten bins.
    """
    auc, auc_low, auc_high = area_under_curve(outcomes, probabilities)
    losses = log_losses(outcomes, probabilities)
    squares = (probabilities - outcomes) ** 2
    base_rate = float(np.average(outcomes, weights=weights))
    bins = reliability(outcomes, probabilities, weights)
    line = calibration_line(outcomes, probabilities, weights)
    loss_low, loss_high = mean_interval(losses, weights)
    brier_low, brier_high = mean_interval(squares, weights)
    return {
        "auc": auc,
        "auc_low": auc_low,
        "auc_high": auc_high,
        "log_loss": float(np.average(losses, weights=weights)),
        "log_loss_low": loss_low,
        "log_loss_high": loss_high,
        "base_rate_log_loss": log_loss(outcomes, np.full(len(outcomes), base_rate), weights),
        "brier": float(np.average(squares, weights=weights)),
        "brier_low": brier_low,
        "brier_high": brier_high,
        "calibration_error": error_of_bins(bins),
        "calibration_slope": _finite(line.slope),
        "calibration_slope_error": _finite(line.slope_error),
        "calibration_intercept": _finite(line.intercept),
        "calibration_intercept_error": _finite(line.intercept_error),
        "base_rate": base_rate,
        "mean_probability": float(np.average(probabilities, weights=weights)),
        "positives": int(outcomes.sum()),
        "rows": len(outcomes),
        "reliability": bins,
    }


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _equal_parts(order: NDArray[np.int64], weights: Floats | None) -> list[NDArray[np.int64]]:
    parts = min(CALIBRATION_BINS, len(order))
    if weights is None:
        return np.array_split(order, parts)
    before = np.cumsum(weights[order]) - weights[order]
    edges = np.searchsorted(before, weights.sum() * np.arange(1, parts) / parts)
    return [rows for rows in np.split(order, edges) if len(rows)]

"""Past predictions against what has happened since: did the probabilities come true?

Here belong the measures, from people counted in cells of like probability, so that a million people are some thousand
rows. Counting them, and knowing what has happened, belongs to who keeps the tables.
"""

from dataclasses import asdict, dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import norm

Floats = NDArray[np.float64]
CELLS_PER_LOG_ODD = 50
"""Cells of a fiftieth of a log-odd: within one, probabilities differ by a two-hundredth at most, and log loss, Brier
score and slope of the cells' means are those of the people to the fifth digit."""
CALIBRATION_BINS = 10
FEWEST_POSITIVES = 20
"""Fewest people with the outcome, and without it, to judge calibration by."""
RATIO_OFF, SLOPE_OFF, STANDARD_ERRORS = 0.1, 0.2, 3.0
"""Calibration is broken where shares differ by a tenth of what was predicted, or the slope by a fifth from 1; and both
by more than three standard errors, so that thin weeks do not alarm."""


@dataclass(frozen=True)
class Comparison:
    """How the predictions of some people compare with what happened.

    Attributes:
        people: People whose outcome is known.
        positives: Of them, those with the outcome.
        predicted_mean: Mean probability.
        observed_share: Share with the outcome.
        log_loss: In nats.
        base_rate_log_loss: Of giving everybody the observed share.
        brier: Mean squared error.
        calibration_error: Over ten equally large parts.
        auc: Chance that somebody with the outcome had the higher probability, with its 95 % interval (DeLong 1988).
        auc_low: Lower limit.
        auc_high: Upper limit.
        slope: Of the logistic regression of outcomes on predicted log-odds (Cox 1958); 1 is right, less too extreme.
        slope_error: Its standard error.
        intercept: Log-odds missing with the slope at 1.
        intercept_error: Its standard error.
    """

    people: int
    positives: int
    predicted_mean: float
    observed_share: float
    log_loss: float
    base_rate_log_loss: float
    brier: float
    calibration_error: float
    auc: float | None
    auc_low: float | None
    auc_high: float | None
    slope: float | None
    slope_error: float | None
    intercept: float | None
    intercept_error: float | None

    def complaint(self) -> str | None:
        """In words where calibration broke; None where it holds, or too little happened to tell."""
        if min(self.positives, self.people - self.positives) < FEWEST_POSITIVES:
            return None
        told = []
        is_off = self.intercept is not None and abs(self.intercept) > STANDARD_ERRORS * (self.intercept_error or 0.0)
        ratio = self.observed_share / max(self.predicted_mean, 1e-12)
        if is_off and abs(ratio - 1) > RATIO_OFF:
            much = "low" if ratio > 1 else "high"
            told.append(
                f"{self.predicted_mean:.1%} were expected and {self.observed_share:.1%} came: "
                f"probabilities were too {much}"
            )
        if self.slope is not None and abs(self.slope - 1) > max(SLOPE_OFF, STANDARD_ERRORS * (self.slope_error or 0.0)):
            much = "far apart" if self.slope < 1 else "close together"
            told.append(f"probabilities were too {much} (calibration slope {self.slope:.2f})")
        return "; ".join(told) or None

    def to_dict(self) -> dict[str, int | float | None]:
        """As a row of a table."""
        return asdict(self)


def compare(people: NDArray[np.int64], positives: NDArray[np.int64], probability_sum: Floats) -> Comparison:
    """Compare the predictions of cells with what happened.

    Args:
        people: People per cell, at least one, cells of like probability each; in any order.
        positives: Of them, those with the outcome.
        probability_sum: Sum of their probabilities.

    Raises:
        ValueError: There are no cells.
    """
    if len(people) == 0:
        raise ValueError("there are no predictions to compare")
    probability = (probability_sum / people).clip(1e-7, 1 - 1e-7)
    order = np.argsort(probability, kind="stable")
    probability, count, happened = probability[order], people[order].astype(float), positives[order].astype(float)
    everybody, total = float(count.sum()), float(happened.sum())
    observed = total / everybody
    losses = -(happened * np.log(probability) + (count - happened) * np.log1p(-probability))
    errors = happened * (1 - probability) ** 2 + (count - happened) * probability**2
    auc = _area(count - happened, happened)
    line = _line(probability, count, happened)
    return Comparison(
        people=int(everybody),
        positives=int(total),
        predicted_mean=float((probability * count).sum() / everybody),
        observed_share=observed,
        log_loss=float(losses.sum() / everybody),
        base_rate_log_loss=_entropy(observed),
        brier=float(errors.sum() / everybody),
        calibration_error=_calibration_error(probability, count, happened),
        auc=auc[0],
        auc_low=auc[1],
        auc_high=auc[2],
        slope=line[0],
        slope_error=line[1],
        intercept=line[2],
        intercept_error=line[3],
    )


def compare_by(cells: pl.DataFrame, by: str | None, minimum_people: int) -> dict[str, Comparison]:
    """Compare everybody, or each group apart.

    Args:
        cells: people, positives, probability_sum per cell and group.
        by: The column with the groups (rows without one are left out); None for everybody, told as `everybody`.
        minimum_people: Smaller groups are left out: their figures would be about single people.

    Returns:
        By group, in alphabetical order.
    """
    grouped = cells.with_columns(group=pl.col(by) if by else pl.lit("everybody")).drop_nulls("group")
    found: dict[str, Comparison] = {}
    for (group,), rows in sorted(grouped.partition_by("group", as_dict=True).items()):
        merged = rows.group_by("cell").agg(pl.col("people", "positives", "probability_sum").sum()).sort("cell")
        if int(merged["people"].sum()) >= minimum_people:
            found[str(group)] = compare(
                merged["people"].to_numpy(), merged["positives"].to_numpy(), merged["probability_sum"].to_numpy()
            )
    return found


def _entropy(share: float) -> float:
    return float(-sum(part * np.log(part) for part in (share, 1 - share) if part > 0))


def _calibration_error(probability: Floats, count: Floats, happened: Floats) -> float:
    """Ten parts of equally many people; a cell on a border is divided between its parts."""
    everybody = count.sum()
    edges = np.linspace(0, everybody, CALIBRATION_BINS + 1)
    reached = np.concatenate([[0.0], np.cumsum(count)])
    predicted = np.interp(edges, reached, np.concatenate([[0.0], np.cumsum(probability * count)]))
    observed = np.interp(edges, reached, np.concatenate([[0.0], np.cumsum(happened)]))
    return float(np.abs(np.diff(predicted) - np.diff(observed)).sum() / everybody)


def _area(negatives: Floats, positives: Floats) -> tuple[float | None, float | None, float | None]:
    """Area under the ROC curve of cells in ascending order, and its interval; ties within a cell count half."""
    all_negatives, all_positives = negatives.sum(), positives.sum()
    if min(all_negatives, all_positives) < 2:
        return None, None, None
    above = (np.cumsum(negatives) - negatives / 2) / all_negatives
    below = 1 - (np.cumsum(positives) - positives / 2) / all_positives
    area = float((positives * above).sum() / all_positives)
    variance = (positives * (above - area) ** 2).sum() / (all_positives - 1) / all_positives
    variance += (negatives * (below - area) ** 2).sum() / (all_negatives - 1) / all_negatives
    half = float(norm.ppf(0.975) * np.sqrt(variance))
    return area, max(0.0, area - half), min(1.0, area + half)


def _line(probability: Floats, count: Floats, happened: Floats) -> tuple[float | None, ...]:
    """Slope and intercept of calibration with standard errors, by Newton's method; None where they are not defined."""
    linear = logit(probability)
    both = _logistic(np.column_stack([linear, np.ones_like(linear)]), np.zeros_like(linear), count, happened)
    alone = _logistic(np.ones((len(linear), 1)), linear, count, happened)
    slope = (both[0][0], both[1][0]) if both else (None, None)
    return (*slope, alone[0][0], alone[1][0]) if alone else (*slope, None, None)


def _logistic(
    columns: Floats, offset: Floats, count: Floats, happened: Floats
) -> tuple[list[float], list[float]] | None:
    if not 0 < happened.sum() < count.sum():
        return None
    point = np.zeros(columns.shape[1])
    point[0] = 1.0 if columns.shape[1] == 2 else 0.0
    for _ in range(25):
        likely = expit(columns @ point + offset)
        curvature = (columns * (count * likely * (1 - likely))[:, None]).T @ columns
        if not np.isfinite(curvature).all() or np.linalg.cond(curvature) > 1e12:
            return None
        step = np.linalg.solve(curvature, columns.T @ (happened - count * likely))
        point += np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-9:
            errors = np.sqrt(np.diag(np.linalg.inv(curvature)))
            return [float(value) for value in point], [float(value) for value in errors]
    return None

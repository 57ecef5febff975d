"""How groups of people depart from everybody where values have neighbours: hours of a day that is a circle.

Here belongs the smoothing: what a group answers at ten tells something of eleven, and of ten on another kind of day.
How much it tells is learned by marginal likelihood, and where neighbours tell nothing, nothing is taken from them
(Gaussian process with a binomial likelihood, by Laplace's approximation; Rasmussen and Williams 2006, "Gaussian
Processes for Machine Learning", algorithms 3.1 and 5.1).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

Floats = NDArray[np.float64]

SPREADS = (0.15, 0.3, 0.6, 1.2)
"""Standard deviations, in log-odds, of a group's departures."""
REACHES = (0.8, 1.3, 2.0, 3.0)
"""How many places on the circle a departure reaches."""
ALIKE_ACROSS = (0.0, 0.5, 0.9)
"""Correlation of the same place on other circles."""
SHARED = (0.6, 0.8, 0.95, 0.99)
"""Part of the variance that neighbours share."""
SURELY = 3.0
"""Log-likelihood that neighbours have to add: the price of three more numbers that are learned (AIC)."""
STEPS = 6


@dataclass(frozen=True)
class Circles:
    """Where values lie: each on a circle, at a place.

    Attributes:
        places: Circle and place by value.
        around: Places of a circle.
    """

    places: Mapping[str, tuple[int, int]]
    around: int

    def of(self, labels: tuple[str, ...]) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
        """Circle and place of each label; None where one has none."""
        if not all(label in self.places for label in labels):
            return None
        told = np.array([self.places[label] for label in labels], dtype=np.int64)
        return told[:, 0], told[:, 1]


@dataclass(frozen=True)
class Smoothed:
    """What was learned of the groups.

    Attributes:
        departures: Per group and value, in log-odds.
        variances: Of these, in squared log-odds.
        log_likelihood: Of all answers, the departures integrated out, up to the binomial coefficients.
    """

    departures: Floats
    variances: Floats
    log_likelihood: float


def smooth(sent: Floats, answered: Floats, base: Floats, labels: tuple[str, ...], circles: Circles) -> Smoothed | None:
    """Learn how groups depart from what is expected of them, from a value and its neighbours.

    Args:
        sent: Messages per group and value.
        answered: Answers among them.
        base: The rate that is expected, above 0 and below 1.
        labels: The values.
        circles: Where they lie.

    Returns:
        The most likely smoothing; None where the values do not all lie on circles.
    """
    where = circles.of(labels)
    if where is None:
        return None
    found = (_smoothed(sent, answered, base, covariance) for covariance in _covariances(*where, circles.around))
    return max(found, key=lambda one: one.log_likelihood)


def _covariances(circle: NDArray[np.int64], place: NDArray[np.int64], around: int) -> Iterator[Floats]:
    # The distance along the chord: with the one along the arc, not every such table is a covariance.
    apart = np.sin(np.pi * (place[:, None] - place[None, :]) / around) * around / np.pi
    is_same = circle[:, None] == circle[None, :]
    alone = np.eye(len(place))
    for spread, reach, across, shared in product(SPREADS, REACHES, ALIKE_ACROSS, SHARED):
        near = np.exp(-0.5 * (apart / reach) ** 2) * np.where(is_same, 1.0, across)
        yield spread**2 * (shared * near + (1 - shared) * alone)


def _smoothed(sent: Floats, answered: Floats, base: Floats, covariance: Floats) -> Smoothed:
    """Mode and variances of all groups' departures, side by side, and the likelihood of their answers."""
    offset, alone = np.log(base / (1 - base)), np.eye(base.shape[1])
    departures = np.zeros_like(base)
    for _ in range(STEPS):
        rate = expit(offset + departures)
        weight = sent * rate * (1 - rate)
        root = np.sqrt(weight)
        spread = alone + root[:, :, None] * covariance * root[:, None, :]
        pull = weight * departures + answered - sent * rate
        solved = np.linalg.solve(spread, (root * (pull @ covariance))[:, :, None])[:, :, 0]
        weights = pull - root * solved
        departures = weights @ covariance
    rate = np.clip(expit(offset + departures), 1e-12, 1 - 1e-12)
    reached = root[:, :, None] * covariance
    variances = np.diag(covariance) - (reached * np.linalg.solve(spread, reached)).sum(axis=1)
    fits = (answered * np.log(rate) + (sent - answered) * np.log1p(-rate)).sum()
    likelihood = fits - 0.5 * (weights * departures).sum() - 0.5 * np.linalg.slogdet(spread)[1].sum()
    return Smoothed(departures, np.maximum(variances, 0.0), float(likelihood))

"""Turns the log-odds a model says into probabilities that come true, by what became of earlier predictions.

Here belong the maps and the choice between them. Which predictions are out of time is decided in
`temporal_validation`.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from sklearn.isotonic import isotonic_regression

from ml.evaluation import calibration_line, log_losses

Floats = NDArray[np.float64]
Method = Literal["none", "intercept", "sigmoid", "isotonic"]

ISOTONIC_FROM = 1_000
"""Positives, and negatives, from which a free monotone curve is more than noise."""
FEWEST = 50
"""Positives, and negatives, from which anything is changed at all."""


@dataclass(frozen=True)
class Calibration:
    """A map of log-odds.

    Attributes:
        method: "none"; "intercept", a shift; "sigmoid", a shift and a slope (Platt 1999); "isotonic", a rising curve.
        slope: Of the sigmoid; else 1.
        intercept: Of the shift and the sigmoid; else 0.
        knots: Of the curve: log-odds said.
        values: Of the curve: log-odds observed there. Between two knots the curve is straight, beyond the last it goes
            on in parallel to what was said, so that nobody is tied with anybody.
    """

    method: Method = "none"
    slope: float = 1.0
    intercept: float = 0.0
    knots: tuple[float, ...] = ()
    values: tuple[float, ...] = ()

    def log_odds(self, said: Floats) -> Floats:
        """Map log-odds.

        Args:
            said: What the model says.

        Returns:
            What was observed where the like was said.
        """
        if self.method != "isotonic":
            return said * self.slope + self.intercept
        inside = np.interp(said, self.knots, self.values)
        return inside + np.minimum(said - self.knots[0], 0) + np.maximum(said - self.knots[-1], 0)

    def probabilities(self, said: Floats) -> Floats:
        """Map log-odds to probabilities, 0..1."""
        return expit(self.log_odds(said))

    def to_dict(self) -> dict[str, Any]:
        """Write it as a JSON object."""
        return asdict(self)

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Self:
        """Read what `to_dict` wrote."""
        return cls(**state | {"knots": tuple(state["knots"]), "values": tuple(state["values"])})


@dataclass(frozen=True)
class ChosenCalibration:
    """A map, and why it is this one.

    Attributes:
        calibration: The map.
        in_words: The method, what it was learned from, and what was gained out of time.
        log_loss_before: Of the predictions it was chosen by, as they were; None where there were too few.
        log_loss_after: Of the same predictions, mapped by maps that were learned from the others.
    """

    calibration: Calibration
    in_words: str
    log_loss_before: float | None
    log_loss_after: float | None


def learn_calibration(
    method: Method, said: Floats, outcomes: Floats, weights: Floats, may_stretch: bool = True
) -> Calibration:
    """Learn one kind of map.

    Args:
        method: Which.
        said: Log-odds.
        outcomes: 0 or 1, both of them present.
        weights: How many rows a row stands for.
        may_stretch: Whether a sigmoid may draw probabilities further apart than they are (a slope above 1).

    Returns:
        The map; "none" where the data cannot say (log-odds that do not vary, or that tell outcomes apart).
    """
    if method == "isotonic":
        return _rising_curve(said, outcomes, weights)
    if method == "none":
        return Calibration()
    if method == "intercept":
        shift = calibration_line(outcomes, expit(said), weights).intercept
        return Calibration("intercept", 1.0, shift) if np.isfinite(shift) else Calibration()
    slope = calibration_line(outcomes, expit(said), weights).slope
    if not np.isfinite(slope) or slope <= 0:
        return Calibration()
    slope = slope if may_stretch else min(slope, 1.0)
    shift = calibration_line(outcomes, expit(said * slope), weights).intercept
    return Calibration("sigmoid", slope, shift) if np.isfinite(shift) else Calibration()


def choose_calibration(
    said: Floats,
    outcomes: Floats,
    weights: Floats,
    part: NDArray[np.int64],
    learned_from: str,
    may_stretch: bool = True,
) -> ChosenCalibration:
    """Choose the simplest map that no more flexible one beats.

    Each map is learned from all parts but one and tried on that one. A more flexible map has to lower the log loss of
    these predictions by more than one standard error of the difference; "none" is the simplest.

    Args:
        said: Log-odds of rows the model was not fitted on.
        outcomes: 0 or 1.
        weights: How many rows a row stands for.
        part: A number per row; rows of different parts are of different weeks or people.
        learned_from: The rows, in words.
        may_stretch: As in `learn_calibration`. False for a penalized regression: what it says after learning from fewer
            rows, as in a trial, is more timid than what it says after learning from all, and a stretch learned from the
            one makes the other too extreme.

    Returns:
        The map, learned from all rows.
    """
    positives = int(outcomes.sum())
    fewer = min(positives, len(outcomes) - positives)
    parts = np.unique(part)
    if fewer < FEWEST or len(parts) < 2:
        return ChosenCalibration(
            Calibration(),
            f"none: too few predictions to learn from, {positives:,} outcomes in {learned_from}",
            None,
            None,
        )
    methods: list[Method] = ["none", "intercept", "sigmoid"]
    if fewer >= ISOTONIC_FROM:
        methods.append("isotonic")
    losses = {method: _tried(method, said, outcomes, weights, part, may_stretch) for method in methods}
    chosen: Method = "none"
    for method in methods[1:]:
        gain = (losses[chosen] - losses[method]) * weights
        if gain.sum() > np.sqrt(((gain - gain.mean()) ** 2).sum()):
            chosen = method
    before, after = (float(np.average(losses[method], weights=weights)) for method in ("none", chosen))
    calibration = learn_calibration(chosen, said, outcomes, weights, may_stretch)
    source = f"{len(outcomes):,} predictions with {positives:,} outcomes, of {learned_from}"
    if calibration.method == "none":
        words = f"none: no map lowered the log loss of {source}"
    else:
        words = f"{calibration.method}, learned from {source}; log loss there {before:.4f} before, {after:.4f} after"
    return ChosenCalibration(calibration, words, before, after)


def _tried(
    method: Method,
    said: Floats,
    outcomes: Floats,
    weights: Floats,
    part: NDArray[np.int64],
    may_stretch: bool,
) -> Floats:
    losses = np.empty(len(said))
    for number in np.unique(part):
        own = part == number
        rest = ~own
        is_mixed = 0 < outcomes[rest].sum() < rest.sum()
        calibration = (
            learn_calibration(method, said[rest], outcomes[rest], weights[rest], may_stretch)
            if is_mixed
            else Calibration()
        )
        losses[own] = log_losses(outcomes[own], calibration.probabilities(said[own]))
    return losses


def _rising_curve(said: Floats, outcomes: Floats, weights: Floats) -> Calibration:
    """Isotonic regression, joined at the centres of its steps.

    (Oron and Flournoy 2017, "Centered isotonic regression".) The first and the last step hold shares of 0 and 1 where
    outcomes end; each share is drawn in to half an outcome among the rows of its step.
    """
    order = np.argsort(said, kind="stable")
    said, outcomes, weights = said[order], outcomes[order], weights[order]
    level = isotonic_regression(outcomes, sample_weight=weights)
    starts = np.flatnonzero(np.r_[True, np.diff(level) > 1e-12])
    mass = np.add.reduceat(weights, starts)
    knots = np.add.reduceat(weights * said, starts) / mass
    share = np.add.reduceat(weights * outcomes, starts) / mass
    share = np.clip(share, 0.5 / (mass + 1), 1 - 0.5 / (mass + 1))
    values = np.maximum.accumulate(logit(share))
    rises = np.r_[True, (np.diff(knots) > 1e-9) & (np.diff(values) > 1e-9)]
    knots, values = knots[rises], values[rises]
    if len(knots) < 2:
        return Calibration()
    return Calibration("isotonic", 1.0, 0.0, tuple(knots.tolist()), tuple(values.tolist()))

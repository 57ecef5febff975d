"""When a target's model is fitted anew, when its algorithms are compared, and whether a new model takes over.

What belongs here: the decisions, as pure functions. Reading, fitting and writing stand in `propensity_week.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from orchestration.target_settings import ModelSettings

FEWEST_WEEKS_BETWEEN_COMPARISONS = 4
"""Weeks before drift or a broken calibration bring another comparison: what broke takes that long to show anything."""


@dataclass(frozen=True)
class Due:
    """What a week has to do, and why.

    Attributes:
        refit: fit the model anew.
        compare: compare all algorithms, not only fit the one that stands.
        trigger: `first`, `features`, `schedule`, `drift`, `backtest`, `refit`, or empty where nothing is due.
    """

    refit: bool
    compare: bool
    trigger: str


def what_is_due(
    as_of: date,
    fitted_as_of: date | None,
    compared_as_of: date | None,
    settings: ModelSettings,
    features_are_there: bool,
    has_drifted: bool,
    has_complaint: bool,
) -> Due:
    """Decide what a week does about a target's model.

    Args:
        as_of: the week's end.
        fitted_as_of: when the standing model was fitted; None without one.
        compared_as_of: when its algorithm was last chosen.
        settings: the target's.
        features_are_there: whether the standing model can still be applied.
        has_drifted: whether people differ from those it was fitted to.
        has_complaint: whether past predictions did not come true.
    """
    if fitted_as_of is None or compared_as_of is None:
        return Due(True, True, "first")
    if not features_are_there:
        return Due(True, True, "features")
    since_compared = (as_of - compared_as_of).days // 7
    if since_compared >= settings.compare_every_weeks:
        return Due(True, True, "schedule")
    if since_compared >= FEWEST_WEEKS_BETWEEN_COMPARISONS and has_complaint:
        return Due(True, True, "backtest")
    if since_compared >= FEWEST_WEEKS_BETWEEN_COMPARISONS and has_drifted:
        return Due(True, True, "drift")
    is_due = (as_of - fitted_as_of).days // 7 >= settings.refit_every_weeks
    return Due(is_due, False, "refit" if is_due else "")


@dataclass(frozen=True)
class Verdict:
    """Whether a newly fitted model takes over, and why."""

    passed: bool
    reason: str


def judge(challenger: dict[str, Any], standing: dict[str, Any] | None, worse_at_most: float) -> Verdict:
    """Compare a new model with the standing one, each on the week it was measured on.

    Both were measured in the same way, on the latest week whose outcomes were complete and that neither the algorithm
    was chosen by nor the measured fit learned from. Their log losses are compared as shares of that of knowing only how
    many people have the outcome, because weeks differ in that. On the newer week itself the standing model would be
    flattered: it has learned from weeks whose outcomes lie largely in the same days.

    Args:
        challenger: evaluation of the new model.
        standing: that of the standing one; None without one.
        worse_at_most: share by which the new one may be worse; a difference within its interval is none.
    """
    new = _relative_loss(challenger["log_loss"], challenger)
    told = f"log loss {challenger['log_loss']:.4f}, {new:.1%} of that of the base rate, on {challenger['measured_on']}"
    if standing is None:
        return Verdict(True, f"the first one: {told}")
    old = _relative_loss(standing["log_loss"], standing)
    told += f"; the standing model had {standing['log_loss']:.4f}, {old:.1%}, on {standing['measured_on']}"
    surely = _relative_loss(challenger.get("log_loss_low", challenger["log_loss"]), challenger)
    if new > old * (1 + worse_at_most) and surely > old:
        return Verdict(False, f"worse than the standing model by more than {worse_at_most:.0%}: {told}")
    return Verdict(True, f"not surely worse than the standing model by more than {worse_at_most:.0%}: {told}")


def _relative_loss(loss: float, evaluation: dict[str, Any]) -> float:
    return float(loss / max(evaluation["base_rate_log_loss"], 1e-9))

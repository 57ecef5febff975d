"""The card of a propensity model: what it was made from, how good it is out of time, and where not to trust it.

Here belongs the telling, as data. The figures come from `propensity`; cards are written elsewhere.
"""

from dataclasses import asdict
from datetime import date
from typing import Any

import polars as pl

from ml.propensity_model import CrossFit, PropensityModel

LIMITS = (
    "A probability holds for people like those it was learned from, in weeks like those; when the market or the offer "
    "changes, the check on calibration is the first to tell.",
    "It says what happens when nothing is done differently, not what a message would change.",
    "Contributions say what moved the model, not what would move the person.",
)
MOST_IMPORTANT = 20


def propensity_card(
    model: PropensityModel | CrossFit,
    target: str,
    snapshots: list[date],
    fitted_as_of: date,
    window_start: date | None = None,
    drift: pl.DataFrame | None = None,
) -> dict[str, Any]:
    """Tell what a fitted model is, as a JSON object.

    Args:
        model: The model, or the cross-fit of one.
        target: The outcome, in words.
        snapshots: The weeks its rows are of.
        fitted_as_of: Exclusive end of the week it was fitted in: nothing after it was known.
        window_start: First day that any feature looks at, where that is known.
        drift: How the people it was fitted to score differ from those it learned from, as `feature_drift` gives it.

    Returns:
        model_id, target, data (window, snapshots, rows, positives, base rate, how rows were drawn), method, features,
        quality (each figure with low and high where there is an interval, and what it was measured on), calibration,
        comparison, suspects, importance, drift (features tested, and those that drifted) and limits.
    """
    fitted = model.model if isinstance(model, CrossFit) else model
    figures = model.evaluation
    limits = list(LIMITS)
    if not figures["is_out_of_time"]:
        limits.append("It was not measured out of time: figures of later weeks will be lower.")
    if figures["calibration_drift"]:
        limits.append(figures["calibration_drift"])
    return {
        "model_id": model.model_id,
        "target": target,
        "data": {
            "from": window_start.isoformat() if window_start else None,
            "as_of": fitted_as_of.isoformat(),
            "snapshots": [snapshot.isoformat() for snapshot in snapshots],
            "horizon_days": fitted.settings.horizon_days,
            "rows": figures["training_rows"],
            "positives": figures["training_positives"],
            "base_rate": figures["training_base_rate"],
            "drawn": figures["drawn"],
        },
        "method": {
            "algorithm": model.algorithm,
            "chosen_because": figures["chosen_because"],
            "compared": figures["compared"],
            "monotonic": dict(fitted.settings.monotonic),
            "seed": fitted.settings.seed,
        },
        "features": [{"feature": name, "kind": kind} for name, kind in fitted.inputs.items()],
        "quality": {
            "measured_on": figures["measured_on"],
            "is_out_of_time": figures["is_out_of_time"],
            "rows": figures["rows"],
            "positives": figures["positives"],
            "base_rate": figures["base_rate"],
            "base_rate_log_loss": figures["base_rate_log_loss"],
            **{
                name: {"value": figures[name], "low": figures[f"{name}_low"], "high": figures[f"{name}_high"]}
                for name in ("auc", "log_loss", "brier")
            },
        },
        "calibration": {
            "method": figures["calibration"],
            "error": figures["calibration_error"],
            "slope": figures["calibration_slope"],
            "slope_error": figures["calibration_slope_error"],
            "intercept": figures["calibration_intercept"],
            "intercept_error": figures["calibration_intercept_error"],
            "drift": figures["calibration_drift"],
            "reliability": figures["reliability"],
        },
        "suspects": [asdict(suspect) for suspect in model.suspects],
        "suspects_are": fitted.settings.suspects,
        "importance": model.importance[:MOST_IMPORTANT],
        "drift": None
        if drift is None or drift.is_empty()
        else {
            "tested": drift.height,
            "drifted": drift.filter("is_drifted").drop("is_drifted", "kind").to_dicts(),
        },
        "limits": limits,
    }

"""What the sample report predicts, and how good that is."""

from datetime import timedelta

import polars as pl
from sample_company import AS_OF, PERSONAS


def propensities() -> dict[str, pl.DataFrame]:
    """Frames of the report by field."""
    return {
        "propensity": _propensity(),
        "propensity_models": _models(),
        "propensity_by_segment": _propensity_by_segment(),
        "propensity_notes": _notes(),
        "propensity_moved_by": _moved_by(),
        "propensity_reliability": _reliability(),
        "propensity_gains": _gains(),
        "propensity_backtest": _backtest(),
        "propensity_fairness": _fairness(),
    }


def _propensity() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "target": ["order_within_30_days"] * 3,
            "label": ["order within 30 days"] * 3,
            "band": ["low", "medium", "high"],
            "people": [7430, 3170, 1525],
            "mean_probability": [0.041, 0.153, 0.342],
        }
    )


def _models() -> pl.DataFrame:
    fitted = {
        "target": "order_within_30_days", "label": "order within 30 days", "algorithm": "gradient_boosting",
        "auc": 0.784, "auc_low": 0.761, "auc_high": 0.806, "log_loss": 0.298, "brier": 0.0871,
        "calibration_error": 0.009, "base_rate": 0.108, "training_rows": 148_210, "abstained_reason": None,
        "action": "offer an add-on", "eligible_people": 12_125, "calibration_slope": 0.98,
        "measured_on": "the week of 2026-10-12", "chosen_because": "the simplest", "refit": "champion (refit)",
        "calibration_drift": "calibration has drifted: 12% had the outcome",
    }  # fmt: skip
    abstained = dict.fromkeys(fitted) | {
        "target": "upgrade_within_90_days",
        "label": "upgrade within 90 days",
        "abstained_reason": "only 31 people did it in the training weeks, 50 are needed.",
    }
    return pl.DataFrame([fitted, abstained])


def _propensity_by_segment() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "target": ["order_within_30_days"] * 5,
            "segment_id": list(PERSONAS),
            "mean_probability": [0.137, 0.171, 0.162, 0.031, 0.062],
            "high_people": [512, 398, 560, 48, 7],
            "medium_people": [900, 420, 800, 900, 150],
            "low_people": [1708, 662, 950, 3327, 783],
        }
    )


def _notes() -> pl.DataFrame:
    target = "order_within_30_days"
    return pl.DataFrame(
        [
            {"target": target, "kind": "not_eligible", "words": "has ordered before", "people": 1204},
            {"target": target, "kind": "not_eligible", "words": "known for less than 60 days", "people": 4},
            {"target": target, "kind": "band", "words": "nobody measured was in the band high", "people": None},
            {"target": target, "kind": "suspect", "words": "invoice number: names single people", "people": None},
            {"target": target, "kind": "drift", "words": "sessions: lower than before", "people": None},
            {"target": target, "kind": "drift", "words": "country: 'DE': 60% of people", "people": None},
        ]
    )


def _moved_by() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "target": ["order_within_30_days"] * 2,
            "label": ["days since last order", "sessions in the last 4 weeks"],
            "log_loss_increase": [0.02, 0.01],
        }
    )


def _reliability() -> pl.DataFrame:
    predicted = [0.01 * 1.5**tenth for tenth in range(10)]
    return pl.DataFrame(
        {
            "target": ["order_within_30_days"] * 10,
            "mean_probability": predicted,
            "observed_share": [0.97 * share for share in predicted],
            "observed_low": [0.9 * share for share in predicted],
            "observed_high": [1.05 * share for share in predicted],
            "people": [1200] * 10,
        }
    )


def _gains() -> pl.DataFrame:
    depths = [0.01, 0.1, 0.3, 0.6, 1.0]
    gain = [0.05, 0.34, 0.65, 0.88, 1.0]
    profit = [900.0, 4100.0, 6200.0, 2100.0, -7000.0]
    curve = {
        "target": ["order_within_30_days"] * 5,
        "kind": ["curve"] * 5,
        "band": [None] * 5,
        "depth": depths,
        "people": [round(depth * 12_125) for depth in depths],
        "observed": [0.5, 0.36, 0.23, 0.16, 0.108],
        "observed_low": [0.4, 0.33, 0.22, 0.15, 0.1],
        "observed_high": [0.6, 0.39, 0.24, 0.17, 0.115],
        "lift": [share / depth for share, depth in zip(gain, depths, strict=True)],
        "gain": gain,
        "profit": profit,
        "profit_low": [amount - 500 for amount in profit],
        "profit_high": [amount + 500 for amount in profit],
    }
    band = {name: values[1] for name, values in curve.items()} | {"kind": "band", "band": "high"}
    return pl.concat([pl.DataFrame(curve, schema_overrides={"band": pl.String}), pl.DataFrame([band])])


def _backtest() -> pl.DataFrame:
    def row(weeks_ago: int, kind: str, segment: str, people: int, complaint: str | None) -> dict[str, object]:
        as_of = AS_OF - timedelta(days=7 * weeks_ago)
        return {
            "as_of": as_of, "scored_as_of": as_of - timedelta(days=35), "target": "order_within_30_days",
            "segment_type": kind, "segment_id": segment, "people": people, "predicted_mean": 0.11,
            "observed_share": 0.1, "observed_low": 0.09, "observed_high": 0.12, "calibration_error": 0.012,
            "auc": 0.78, "complaint": complaint,
        }  # fmt: skip

    too_high = "11% were expected and 8% came: probabilities were too high"
    return pl.DataFrame(
        [
            *(row(ago, "everybody", "everybody", 11_800, too_high if ago == 2 else None) for ago in range(4)),
            row(0, "persona", "persona-01", 3000, None),
            row(0, "market", "DE", 7000, None),
            row(0, "market", "IS", 3, None),
        ],
        infer_schema_length=None,
    )


def _fairness() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "target": ["order_within_30_days"] * 2,
            "attribute": ["language", "language"],
            "group": ["de", "fr"],
            "people": [9000, 1200],
            "mean_probability": [0.11, 0.12],
            "observed": [0.11, 0.07],
            "auc": [0.78, 0.74],
            "is_off": [False, True],
        }
    )

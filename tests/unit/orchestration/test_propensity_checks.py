"""The checks on propensities: each fails on what it is there for, and on nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from orchestration.defs.propensities import findings
from orchestration.propensity_week import TargetWeek

FINE = TargetWeek("churn", 900, 400, None, {"auc": 0.8, "calibration_drift": None}, "champion (refit): not worse")


def test_a_week_in_which_all_is_well_passes_every_check() -> None:
    assert not any(findings([FINE, replace(FINE, target="upsell")]).values())


@pytest.mark.parametrize(
    ("check", "changed", "told"),
    [
        ("better_than_chance", {"abstained_reason": "3 examples with the outcome"}, "churn abstains: 3 examples"),
        ("no_feature_knows_the_future", {"suspects": ["season: it is a clock: 97%"]}, "churn: season: it is a clock"),
        ("new_models_take_over", {"refit": "rejected (refit): worse by more than 2%"}, "churn: rejected (refit)"),
        ("predictions_came_true", {"complaint": "probabilities were too high"}, "churn: probabilities were too high"),
        (
            "predictions_came_true",
            {"evaluation": {"auc": 0.8, "calibration_drift": "probabilities are too low"}},
            "churn: probabilities are too low",
        ),
        ("probabilities_hold_for_all_groups", {"unfair": ["gender f: 5 points too low"]}, "churn: gender f: 5 points"),
        ("features_are_as_in_training", {"drifted": "2 of 5 features have drifted"}, "churn: 2 of 5 features"),
    ],
)
def test_a_check_fails_on_what_it_is_there_for(check: str, changed: dict[str, Any], told: str) -> None:
    found = findings([replace(FINE, target="upsell"), replace(FINE, **changed)])
    assert [name for name, words in found.items() if words] == [check]
    assert found[check][0].startswith(told)

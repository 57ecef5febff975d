"""What people are likely to do next, and whether what was said came true, as assets."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from orchestration.defs.partitions import run_weeks, weekly_beside_others
from orchestration.defs.personas import FEATURES, picture
from orchestration.feature_catalogue import read_catalogue
from orchestration.warehouse import Warehouse
from orchestration.workspace import Workspace

if TYPE_CHECKING:
    from orchestration.propensity_week import TargetWeek

OUTCOMES = dg.AssetKey(["features", "person_outcomes"])
# Past predictions are compared persona by persona.
PERSONA_WEEKS = dg.AssetKey(["ml", "persona_weeks"])
DESCRIPTIONS = {
    "propensity_scores": "How likely each person is to do what a target names, or why nothing is said of them.",
    "model_runs": "Each week's propensity models: algorithm, quality out of time, or why there is none.",
    "propensity_models": "Fitted propensity models as numbers and arrays, why each stands, and their cards.",
    "propensity_gains": "What contacting the likeliest people, or those of a band, is expected to earn.",
    "propensity_backtest": "Past predictions against what has happened since, for everybody, per persona and market.",
    "propensity_fairness": "Gaps of scores and errors across market, language, gender and age, where they are known.",
    "propensity_drift": "How each input of the models in use is distributed, against the weeks they were fitted on.",
}


def propensity_assets(workspace: Workspace, manifest: Path) -> dg.AssetsDefinition:
    """Probabilities per person and target, how good each model is, and what became of earlier predictions."""
    specs = {
        name: dg.AssetSpec(
            ["ml", name],
            deps=[FEATURES, OUTCOMES, PERSONA_WEEKS],
            group_name="ml",
            description=text,
            kinds={"python", "scikitlearn"},
        )
        for name, text in DESCRIPTIONS.items()
    }
    checks = {
        name: dg.AssetCheckSpec(name, asset=specs[table].key, description=text)
        for name, table, text in (
            ("better_than_chance", "model_runs", "Every target has a model that is surely better than chance."),
            ("no_feature_knows_the_future", "model_runs", "No feature looks like a leak, a clock or an identifier."),
            ("new_models_take_over", "propensity_models", "What was fitted this week is not worse than what stood."),
            ("predictions_came_true", "propensity_backtest", "Past probabilities and what has happened agree."),
            ("probabilities_hold_for_all_groups", "propensity_fairness", "No group's probabilities are off."),
            ("features_are_as_in_training", "propensity_drift", "Models see people like those they learned from."),
        )
    }

    @dg.multi_asset(
        name="propensities",
        specs=list(specs.values()),
        check_specs=list(checks.values()),
        **weekly_beside_others(workspace, priority=1),  # longer than all others together that wait for personas
    )
    def score_propensities(context: dg.AssetExecutionContext, warehouse: Warehouse) -> Iterator[dg.MaterializeResult]:
        from orchestration.propensity_week import run_propensity_week

        people = 0
        latest: list[TargetWeek] = []
        with warehouse.connect() as connection:
            catalogue = read_catalogue(connection, workspace, manifest)
            for week in run_weeks(context):
                latest = run_propensity_week(connection, workspace, catalogue, week)
                people += sum(target.people for target in latest)
                for target in latest:
                    what = target.abstained_reason or f"AUC {target.evaluation['auc']:.3f}; {target.refit}"
                    context.log.info(f"{week.as_of}: {target.target}: {target.eligible:,} people; {what}")
        found = findings(latest)
        metadata: dict[str, dict[str, dg.MetadataValue]] = {
            "propensity_scores": {"dagster/row_count": dg.MetadataValue.int(people)},
            "model_runs": _run_metadata(latest),
        }
        for table, spec in specs.items():
            yield dg.MaterializeResult(
                asset_key=spec.key,
                metadata=metadata.get(table, {}),
                check_results=[
                    dg.AssetCheckResult(
                        check_name=name,
                        asset_key=check.asset_key,
                        passed=not found[name],
                        severity=dg.AssetCheckSeverity.WARN,
                        description="; ".join(found[name]) or None,
                    )
                    for name, check in checks.items()
                    if check.asset_key == spec.key
                ],
            )

    return score_propensities


def findings(latest: list["TargetWeek"]) -> dict[str, list[str]]:
    """What each check has to say of the last week, in words; a check without words passes."""
    return {
        "better_than_chance": [f"{t.target} abstains: {t.abstained_reason}" for t in latest if t.abstained_reason],
        "no_feature_knows_the_future": [f"{t.target}: {words}" for t in latest for words in t.suspects],
        "new_models_take_over": [f"{t.target}: {t.refit}" for t in latest if t.refit.startswith("rejected")],
        "predictions_came_true": [
            f"{t.target}: {words}"
            for t in latest
            for words in (t.complaint, t.evaluation.get("calibration_drift"))
            if words
        ],
        "probabilities_hold_for_all_groups": [f"{t.target}: {words}" for t in latest for words in t.unfair],
        "features_are_as_in_training": [f"{t.target}: {t.drifted}" for t in latest if t.drifted],
    }


def _run_metadata(latest: list["TargetWeek"]) -> dict[str, dg.MetadataValue]:
    from ml.plots import plot_reliability

    metadata: dict[str, dg.MetadataValue] = {"dagster/row_count": dg.MetadataValue.int(len(latest))}
    for target in latest:
        figures = {name: value for name, value in target.evaluation.items() if name != "reliability"}
        told = figures | {"abstained": target.abstained_reason, "eligible people": target.eligible}
        metadata[target.target] = dg.MetadataValue.json(json.loads(json.dumps(told, default=str)))
        if target.evaluation.get("reliability"):
            metadata[f"{target.target}: predicted and observed"] = picture(
                plot_reliability(target.evaluation["reliability"])
            )
    return metadata

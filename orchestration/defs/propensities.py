"""What people are likely to do next, as assets."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg

from ml.plots import plot_reliability
from orchestration.defs.partitions import run_weeks, weekly
from orchestration.defs.personas import FEATURES, picture
from orchestration.feature_catalogue import read_catalogue
from orchestration.propensity_week import TargetWeek, run_propensity_week
from orchestration.warehouse import Warehouse
from orchestration.workspace import Workspace

OUTCOMES = dg.AssetKey(["features", "person_outcomes"])


def propensity_assets(workspace: Workspace, manifest: Path) -> dg.AssetsDefinition:
    """Probabilities per person and target, and how good each model is."""
    scores = dg.AssetSpec(
        ["ml", "propensity_scores"],
        deps=[FEATURES, OUTCOMES],
        group_name="ml",
        description="How likely each person is to do what a target names; null where the target abstains.",
        kinds={"python", "scikitlearn"},
    )
    runs = dg.AssetSpec(
        ["ml", "model_runs"],
        deps=[FEATURES, OUTCOMES],
        group_name="ml",
        description="Each week's propensity models: algorithm, quality out of time, or why there is none.",
        kinds={"python", "scikitlearn"},
    )
    better = dg.AssetCheckSpec("better_than_chance", asset=runs.key)

    @dg.multi_asset(name="propensities", specs=[scores, runs], check_specs=[better], **weekly(workspace))
    def score_propensities(context: dg.AssetExecutionContext, warehouse: Warehouse) -> Iterator[dg.MaterializeResult]:
        people = 0
        latest: list[TargetWeek] = []
        with warehouse.connect() as connection:
            catalogue = read_catalogue(connection, workspace, manifest)
            for week in run_weeks(context):
                latest = run_propensity_week(connection, workspace, catalogue, week)
                people += sum(target.people for target in latest)
                for target in latest:
                    what = target.abstained_reason or f"AUC {target.evaluation['auc']:.3f}"
                    context.log.info(f"{week.as_of}: {target.target}: {target.people:,} people; {what}")
        abstained = {t.target: t.abstained_reason for t in latest if t.abstained_reason}
        yield dg.MaterializeResult(asset_key=scores.key, metadata={"dagster/row_count": people})
        yield dg.MaterializeResult(
            asset_key=runs.key,
            metadata=_run_metadata(latest),
            check_results=[
                dg.AssetCheckResult(
                    passed=not abstained,
                    severity=dg.AssetCheckSeverity.WARN,
                    description="; ".join(f"{name} abstains: {why}" for name, why in abstained.items()) or None,
                )
            ],
        )

    return score_propensities


def _run_metadata(latest: list[TargetWeek]) -> dict[str, dg.MetadataValue]:
    metadata: dict[str, dg.MetadataValue] = {"dagster/row_count": dg.MetadataValue.int(len(latest))}
    for target in latest:
        figures = {name: value for name, value in target.evaluation.items() if name != "reliability"}
        metadata[target.target] = dg.MetadataValue.json(figures | {"abstained": target.abstained_reason})
        if target.evaluation.get("reliability"):
            metadata[f"{target.target}: predicted and observed"] = picture(
                plot_reliability(target.evaluation["reliability"])
            )
    return metadata

"""What campaigns with a control group brought about, as an asset."""

import dagster as dg

from orchestration.defs.partitions import run_weeks, weekly
from orchestration.uplift_week import UpliftWeek, run_uplift_week
from orchestration.warehouse import Warehouse
from orchestration.workspace import Workspace


def uplift_asset(workspace: Workspace) -> dg.AssetsDefinition:
    """Effect, Qini coefficient and uplift in the first 30 %, or why nothing is told."""

    @dg.asset(
        key=["ml", "uplift_results"],
        deps=[dg.AssetKey(["intermediate", "int_experiment_people"])],
        group_name="ml",
        description="What campaigns with a control group brought about, and in whom most; or why nothing is told.",
        kinds={"python", "scikitlearn"},
        **weekly(workspace),
    )
    def measure_campaigns(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:
        done: list[UpliftWeek] = []
        with warehouse.connect() as connection:
            for week in run_weeks(context):
                done.append(run_uplift_week(connection, workspace, week))
                context.log.info(f"{week.as_of}: {done[-1].judged} campaigns judged; not: {done[-1].refused or 'none'}")
        return dg.MaterializeResult(
            metadata={"campaigns judged": done[-1].judged, "not judged": dg.MetadataValue.json(done[-1].refused)}
        )

    return measure_campaigns

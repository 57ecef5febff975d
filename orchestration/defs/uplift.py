"""What campaigns with a control group brought about, as assets."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import dagster as dg

from orchestration.defs.partitions import run_weeks, weekly_beside_others
from orchestration.warehouse import Warehouse
from orchestration.workspace import Workspace

if TYPE_CHECKING:
    from orchestration.uplift_week import UpliftWeek


def uplift_assets(workspace: Workspace) -> dg.AssetsDefinition:
    """Effect, Qini coefficient, uplift in the first 30 % and per person, or why nothing is told."""
    descriptions = {
        "uplift_results": "What campaigns with a control group brought about, and in whom most; or why it is not told.",
        "person_uplift": "What such a campaign is expected to bring about in each of its people, or why not.",
    }
    specs = [
        dg.AssetSpec(
            ["ml", name],
            deps=[dg.AssetKey(["intermediate", "int_experiment_people"])],
            group_name="ml",
            description=text,
            kinds={"python", "scikitlearn"},
        )
        for name, text in descriptions.items()
    ]

    @dg.multi_asset(name="uplift", specs=specs, **weekly_beside_others(workspace))
    def measure_campaigns(context: dg.AssetExecutionContext, warehouse: Warehouse) -> Iterator[dg.MaterializeResult]:
        from orchestration.uplift_week import run_uplift_week

        done: list[UpliftWeek] = []
        with warehouse.connect() as connection:
            for week in run_weeks(context):
                done.append(run_uplift_week(connection, workspace, week))
                context.log.info(f"{week.as_of}: {done[-1].judged} campaigns judged; not: {done[-1].refused or 'none'}")
        figures: dict[str, dict[str, dg.MetadataValue]] = {
            "uplift_results": {
                "campaigns judged": dg.MetadataValue.int(done[-1].judged),
                "not judged": dg.MetadataValue.json(done[-1].refused),
            },
            "person_uplift": {
                "dagster/row_count": dg.MetadataValue.int(sum(week.people for week in done)),
                "people with an uplift": dg.MetadataValue.int(done[-1].told),
            },
        }
        for spec in specs:
            yield dg.MaterializeResult(asset_key=spec.key, metadata=figures[spec.key.path[-1]])

    return measure_campaigns

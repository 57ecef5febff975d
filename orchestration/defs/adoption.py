"""How early people try what is launched, as assets."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import dagster as dg

from orchestration.defs.partitions import run_weeks, weekly_beside_others
from orchestration.warehouse import Warehouse
from orchestration.workspace import Workspace

if TYPE_CHECKING:
    from orchestration.adoption_week import AdoptionWeek

INPUTS = [
    *(dg.AssetKey(["intermediate", name]) for name in ("int_launch_adoptions", "int_influence")),
    dg.AssetKey(["features", "person_features"]),
    dg.AssetKey(["ml", "affinity_scores"]),
]


def adoption_assets(workspace: Workspace) -> dg.AssetsDefinition:
    """Cut points, places on the curve, and how well the data bear them out."""
    descriptions = {
        "adoption_models": "Cut points between classes, set once at a reference date and kept as plain numbers.",
        "adoption_scores": "How early each person tries what is launched, and the class of it, or why nothing is said.",
        "adoption_validity": "How alike classes from separate launches are, and whether early people stay early.",
        "adoption_moves": "How many people went from which class to which since the week before.",
    }
    specs = {
        name: dg.AssetSpec(["ml", name], deps=INPUTS, group_name="ml", description=text, kinds={"python", "polars"})
        for name, text in descriptions.items()
    }
    tried = dg.AssetCheckSpec(
        "launches_are_tried",
        asset=specs["adoption_scores"].key,
        description="Somebody tried each launch within two weeks: its event, product or property is called so.",
    )
    supported = dg.AssetCheckSpec(
        "classes_are_supported",
        asset=specs["adoption_validity"].key,
        description="Who tries one launch early says enough about who tries another early.",
    )

    @dg.multi_asset(
        name="adoption", specs=list(specs.values()), check_specs=[tried, supported], **weekly_beside_others(workspace)
    )
    def place_on_the_curve(context: dg.AssetExecutionContext, warehouse: Warehouse) -> Iterator[dg.MaterializeResult]:
        from orchestration.adoption_week import run_adoption_week

        done: list[AdoptionWeek] = []
        with warehouse.connect() as connection:
            for week in run_weeks(context):
                done.append(run_adoption_week(connection, workspace, week))
                told = done[-1].withheld or f"{done[-1].placed:,} of {done[-1].people:,} people are placed"
                context.log.info(f"{week.as_of}: {told}")
        latest = done[-1]
        yield dg.MaterializeResult(asset_key=specs["adoption_models"].key, metadata={"launches": latest.launches})
        yield dg.MaterializeResult(
            asset_key=specs["adoption_scores"].key,
            metadata={
                "dagster/row_count": sum(week.people for week in done),
                "people_placed": latest.placed,
                "people_moved": latest.moved,
            },
            check_results=[
                dg.AssetCheckResult(
                    asset_key=tried.asset_key,
                    check_name=tried.name,
                    passed=not latest.untried,
                    severity=dg.AssetCheckSeverity.WARN,
                    description=f"Of {latest.launches} launches nobody tried: {', '.join(latest.untried) or 'none'}.",
                )
            ],
        )
        yield dg.MaterializeResult(
            asset_key=specs["adoption_validity"].key,
            check_results=[
                dg.AssetCheckResult(
                    asset_key=supported.asset_key,
                    check_name=supported.name,
                    passed=latest.withheld is None,
                    severity=dg.AssetCheckSeverity.WARN,
                    description=latest.withheld or "The classes stand, or no launches are declared.",
                )
            ],
        )
        yield dg.MaterializeResult(asset_key=specs["adoption_moves"].key, metadata={"people_moved": latest.moved})

    return place_on_the_curve

"""What customers will probably still buy, as assets."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import dagster as dg

from orchestration.defs.partitions import run_weeks, weekly_beside_others
from orchestration.warehouse import Warehouse
from orchestration.workspace import Workspace

if TYPE_CHECKING:
    from orchestration.value_week import ValueWeek

HISTORIES = dg.AssetKey(["intermediate", "int_purchase_histories"])
ASSIGNMENTS = dg.AssetKey(["ml", "persona_assignments"])


def value_assets(workspace: Workspace) -> dg.AssetsDefinition:
    """Expected purchases and value per person and persona, RFM scores, and the models they come from."""
    descriptions = {
        "customer_values": "What each person who has bought will probably still buy, and RFM scores.",
        "segment_values": "The same added up per persona, with an interval.",
        "value_models": "Each week's models of purchases and amounts, or why there are none; cut points of RFM scores.",
    }
    specs = {
        name: dg.AssetSpec(
            ["ml", name],
            deps=[HISTORIES, ASSIGNMENTS],
            group_name="ml",
            description=text,
            kinds={"python", "scipy"},
        )
        for name, text in descriptions.items()
    }
    told = dg.AssetCheckSpec(
        "value_is_told", asset=specs["value_models"].key, description="There is enough to expect value from."
    )

    @dg.multi_asset(
        name="customer_value", specs=list(specs.values()), check_specs=[told], **weekly_beside_others(workspace)
    )
    def expect_value(context: dg.AssetExecutionContext, warehouse: Warehouse) -> Iterator[dg.MaterializeResult]:
        from orchestration.value_week import run_value_week

        done: list[ValueWeek] = []
        with warehouse.connect() as connection:
            for week in run_weeks(context):
                done.append(run_value_week(connection, workspace, week))
                what = done[-1].abstained_reason or f"{done[-1].figures.get('expected_purchases', 0):,.0f} purchases"
                context.log.info(f"{week.as_of}: {done[-1].buyers:,} people have bought; {what}")
        latest = done[-1]
        why = latest.abstained_reason or latest.value_withheld_reason
        yield dg.MaterializeResult(
            asset_key=specs["customer_values"].key, metadata={"dagster/row_count": sum(week.buyers for week in done)}
        )
        yield dg.MaterializeResult(asset_key=specs["segment_values"].key)
        yield dg.MaterializeResult(
            asset_key=specs["value_models"].key,
            metadata={"dagster/row_count": len(done), **latest.figures},
            check_results=[
                dg.AssetCheckResult(passed=why is None, severity=dg.AssetCheckSeverity.WARN, description=why)
            ],
        )

    return expect_value

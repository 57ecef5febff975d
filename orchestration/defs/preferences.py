"""When, over which channel and with what people are best reached, as assets."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import dagster as dg

from orchestration.defs.partitions import run_weeks, weekly_beside_others
from orchestration.defs.personas import FEATURES
from orchestration.warehouse import Warehouse
from orchestration.workspace import Workspace

if TYPE_CHECKING:
    from orchestration.preference_week import PreferenceWeek

EVIDENCE = [
    dg.AssetKey(["intermediate", "int_message_history"]),
    dg.AssetKey(["intermediate", "int_message_outcomes"]),
    dg.AssetKey(["intermediate", "int_person_choices"]),
    dg.AssetKey(["ml", "persona_assignments"]),
    FEATURES,
]


def preference_assets(workspace: Workspace) -> dg.AssetsDefinition:
    """The best value of every dimension per person and per persona."""
    descriptions = {
        "person_preferences": "The best time, weekday, channel, content, offer and place per person, with evidence.",
        "segment_preferences": "The same per persona and for everybody, or why nothing is said.",
    }
    specs = {
        name: dg.AssetSpec(["ml", name], deps=EVIDENCE, group_name="ml", description=text, kinds={"python", "numpy"})
        for name, text in descriptions.items()
    }
    told = dg.AssetCheckSpec(
        "a_dimension_is_told",
        asset=specs["segment_preferences"].key,
        description="There is enough evidence of some dimension to say something.",
    )

    @dg.multi_asset(
        name="preferences", specs=list(specs.values()), check_specs=[told], **weekly_beside_others(workspace)
    )
    def learn_preferences(context: dg.AssetExecutionContext, warehouse: Warehouse) -> Iterator[dg.MaterializeResult]:
        from orchestration.preference_week import DIMENSIONS, run_preference_week

        done: list[PreferenceWeek] = []
        with warehouse.connect() as connection:
            for week in run_weeks(context):
                done.append(run_preference_week(connection, workspace, week))
                context.log.info(f"{week.as_of}: people with a preference: {done[-1].told}")
        latest = done[-1]
        yield dg.MaterializeResult(
            asset_key=specs["person_preferences"].key,
            metadata={
                "dagster/row_count": sum(week.rows for week in done),
                "people": dg.MetadataValue.json(latest.told),
            },
        )
        yield dg.MaterializeResult(
            asset_key=specs["segment_preferences"].key,
            metadata={"abstained": dg.MetadataValue.json(latest.abstained)},
            check_results=[
                dg.AssetCheckResult(
                    passed=len(latest.abstained) < len(DIMENSIONS),
                    severity=dg.AssetCheckSeverity.WARN,
                    description="; ".join(f"{name}: {why}" for name, why in latest.abstained.items()) or None,
                    metadata={"dimensions": len(DIMENSIONS)},
                )
            ],
        )

    return learn_preferences

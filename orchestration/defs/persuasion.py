"""Which way of persuading each group answers to, as assets."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import dagster as dg

from orchestration.defs.partitions import run_weeks, weekly_beside_others
from orchestration.warehouse import Warehouse
from orchestration.workspace import Workspace

if TYPE_CHECKING:
    from orchestration.persuasion_week import PersuasionWeek

EVIDENCE = [
    dg.AssetKey(["intermediate", "int_message_outcomes"]),
    dg.AssetKey(["intermediate", "int_people"]),
    dg.AssetKey(["intermediate", "int_persuasion_responses"]),
    dg.AssetKey(["intermediate", "int_people_spared_pressure"]),
    dg.AssetKey(["ml", "persona_assignments"]),
    dg.AssetKey(["ml", "personas"]),
    # Classes are groups as well: they are learned before.
    dg.AssetKey(["ml", "adoption_scores"]),
]


def persuasion_assets(workspace: Workspace) -> dg.AssetsDefinition:
    """Answers per group and approach, and what each person carries of them."""
    descriptions = {
        "persuasion_estimates": "How each group answered to each approach, their order of use, and the evidence.",
        "persuasion_models": "How much groups, and approaches within a group, differ; a row per kind of group.",
        "persuasion_people": "The labels of each person's groups, and the person's own history of answers.",
    }
    specs = {
        name: dg.AssetSpec(["ml", name], deps=EVIDENCE, group_name="ml", description=text, kinds={"python", "numpy"})
        for name, text in descriptions.items()
    }
    found = dg.AssetCheckSpec(
        "tags_and_segments_are_found",
        asset=specs["persuasion_estimates"].key,
        description="Every tag is on some message, and every segment that the settings name has people.",
    )
    chance = dg.AssetCheckSpec(
        "randomized_campaigns_are_randomized",
        asset=specs["persuasion_estimates"].key,
        description="Where campaigns are stated as randomized, all groups got each approach about equally often.",
    )

    @dg.multi_asset(
        name="persuasion", specs=list(specs.values()), check_specs=[found, chance], **weekly_beside_others(workspace)
    )
    def estimate_persuasion(context: dg.AssetExecutionContext, warehouse: Warehouse) -> Iterator[dg.MaterializeResult]:
        from orchestration.persuasion_week import run_persuasion_week

        done: list[PersuasionWeek] = []
        with warehouse.connect() as connection:
            for week in run_weeks(context):
                done.append(run_persuasion_week(connection, workspace, week))
                context.log.info(f"{week.as_of}: evidence of {done[-1].observed} of {done[-1].segments} groups")
        latest = done[-1]
        missing = [*latest.unmatched_tags, *latest.unknown_segments]
        is_stated = bool(workspace.settings.persuasion.randomized)
        yield dg.MaterializeResult(
            asset_key=specs["persuasion_estimates"].key,
            metadata={"groups": latest.segments, "groups_with_evidence": latest.observed, "counted": latest.counted},
            check_results=[
                dg.AssetCheckResult(
                    check_name=found.name,
                    passed=not missing,
                    severity=dg.AssetCheckSeverity.WARN,
                    description="Not found: " + "; ".join(missing) if missing else None,
                ),
                dg.AssetCheckResult(
                    check_name=chance.name,
                    passed=latest.is_randomized or not is_stated,
                    severity=dg.AssetCheckSeverity.WARN,
                    description=latest.caution,
                ),
            ],
        )
        yield dg.MaterializeResult(asset_key=specs["persuasion_models"].key)
        yield dg.MaterializeResult(
            asset_key=specs["persuasion_people"].key,
            metadata={"dagster/row_count": sum(week.people for week in done), "spared_pressure": latest.spared},
        )

    return estimate_persuasion

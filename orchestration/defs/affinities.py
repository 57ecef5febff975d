"""How much each person cares for what the brand's phrases say, as assets."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import dagster as dg

from orchestration.defs.partitions import run_weeks, weekly_beside_others
from orchestration.warehouse import Warehouse
from orchestration.workspace import Workspace

if TYPE_CHECKING:
    from orchestration.affinity_week import AffinityWeek

TEXTS = [dg.AssetKey(["intermediate", name]) for name in ("int_people", "int_texts", "int_contact_texts")]


def affinity_assets(workspace: Workspace) -> dg.AssetsDefinition:
    """What texts say of phrases, and scores per person."""
    descriptions = {
        "phrase_models": "Weights of words, and words related to each phrase, learned once for a list of phrases.",
        "text_phrase_hits": "What each distinct text says of each phrase; only new texts are scored.",
        "affinity_scores": "How much each person cares, per group of phrases and phrase, with the texts that say so.",
    }
    specs = {
        name: dg.AssetSpec(["ml", name], deps=TEXTS, group_name="ml", description=text, kinds={"python", "polars"})
        for name, text in descriptions.items()
    }
    found = dg.AssetCheckSpec(
        "phrases_are_found",
        asset=specs["affinity_scores"].key,
        description="Somebody says what at least half of the phrases say.",
    )

    @dg.multi_asset(
        name="affinities", specs=list(specs.values()), check_specs=[found], **weekly_beside_others(workspace)
    )
    def score_affinities(context: dg.AssetExecutionContext, warehouse: Warehouse) -> Iterator[dg.MaterializeResult]:
        from orchestration.affinity_week import forget_texts_of_nobody, run_affinity_week

        done: list[AffinityWeek] = []
        with warehouse.connect() as connection:
            for week in run_weeks(context):
                done.append(run_affinity_week(connection, workspace, week))
                context.log.info(f"{week.as_of}: {done[-1].judged:,} of {done[-1].people:,} people have enough text")
            forget_texts_of_nobody(connection)
        latest = done[-1]
        yield dg.MaterializeResult(asset_key=specs["phrase_models"].key, metadata={"phrases": latest.phrases})
        yield dg.MaterializeResult(
            asset_key=specs["text_phrase_hits"].key,
            metadata={"texts": latest.texts, "new_texts": sum(week.new_texts for week in done)},
        )
        yield dg.MaterializeResult(
            asset_key=specs["affinity_scores"].key,
            metadata={
                "dagster/row_count": sum(week.rows for week in done),
                "people": latest.people,
                "people_with_enough_text": latest.judged,
                "phrases_found": latest.phrases_found,
            },
            check_results=[
                dg.AssetCheckResult(
                    passed=2 * latest.phrases_found >= latest.phrases,
                    severity=dg.AssetCheckSeverity.WARN,
                    description=f"{latest.phrases_found} of {latest.phrases} phrases are found in what people say.",
                )
            ],
        )

    return score_affinities

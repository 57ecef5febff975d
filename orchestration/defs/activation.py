"""Who may be reached: audiences judged at the gate, told of in tables, and written as files."""

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg

from activation.answers import first_row
from orchestration.defs.partitions import run_weeks, weekly_beside_others
from orchestration.warehouse import Warehouse
from orchestration.workspace import Workspace

if TYPE_CHECKING:
    from orchestration.audience_week import AudienceState

INPUTS = [
    ["marts", "segment_memberships"],
    ["marts", "person_propensities"],
    ["marts", "lookalikes"],
    ["marts", "person_affinities"],
    ["marts", "person_preferences"],
    ["features", "person_features"],
    ["intermediate", "int_contactability"],
]
TABLES = {
    "audiences": "Everybody whom an audience means, in or out, and the reason; a row per week, audience and person.",
    "audience_weeks": "What became of each audience in each week: published, blocked or not due; counts; fields.",
    "experiment_people": "Whom chance put where, in every experiment with a holdout; it only ever grows.",
}


DRAWN_PEOPLE = dg.AssetSpec(
    ["raw", "drawn_people"],
    group_name="raw",
    description="Whom chance kept out of which experiment, as earlier runs drew them.",
)


def activation_assets(workspace: Workspace) -> dg.AssetsDefinition:
    """The tables of the gate, and the files of a week."""
    specs = {
        name: dg.AssetSpec(
            ["activation", name], deps=INPUTS, group_name="activation", description=text, kinds={"duckdb"}
        )
        for name, text in TABLES.items()
    }
    files = dg.AssetSpec(
        ["activation", "audience_files"],
        deps=[spec.key for spec in specs.values()],
        group_name="activation",
        description="One CSV per audience with the people who may be contacted, and a manifest of who was left out.",
        kinds={"csv"},
    )
    published = dg.AssetCheckSpec(
        "audiences_are_published",
        asset=specs["audience_weeks"].key,
        description="No publish gate held an audience back: no size jump, no stale or empty source, no forbidden "
        "overlap, no broken contract, no consent ledger that shrank. Where one did, what was published before stands, "
        "less whoever may no longer be contacted.",
    )

    @dg.multi_asset(
        name="audiences",
        specs=[*specs.values(), files],
        check_specs=[published],
        **weekly_beside_others(workspace, priority=1),
    )
    def judge_audiences(context: dg.AssetExecutionContext, warehouse: Warehouse) -> Iterator[dg.MaterializeResult]:
        from orchestration.audience_week import BLOCKED, JudgedWeek

        considered = approved = written = 0
        refused: Counter[str] = Counter()
        with warehouse.connect() as connection:
            for week in run_weeks(context):
                judged = JudgedWeek(connection, workspace, week)
                try:
                    judged.tell()
                    written += sum(file.rows for file in judged.write_files())
                finally:
                    judged.close()
                for state in judged.states.values():
                    considered += state.decision.considered
                    approved += state.decision.approved
                    refused.update(state.decision.refused)
                blocked = {key: state.why for key, state in judged.states.items() if state.state == BLOCKED}
                for key, why in blocked.items():
                    context.log.warning(f"{week.key}: {key} is held back: {'; '.join(why)}")
            drawn = first_row(connection, "select count(*) from activation.experiment_people")
        yield dg.MaterializeResult(
            asset_key=specs["audiences"].key,
            metadata={
                "dagster/row_count": considered,
                "people in": approved,
                "people out, by reason": dg.MetadataValue.json(dict(sorted(refused.items()))),
            },
        )
        yield dg.MaterializeResult(
            asset_key=specs["audience_weeks"].key,
            metadata={
                "audiences of the last week": dg.MetadataValue.json(
                    {key: _in_metadata(state) for key, state in judged.states.items()}
                )
            },
            check_results=[
                dg.AssetCheckResult(
                    passed=not blocked,
                    severity=dg.AssetCheckSeverity.ERROR,
                    description="; ".join(f"{key}: {', '.join(why)}" for key, why in blocked.items()) or None,
                    metadata={"audiences": len(judged.states), "held back": len(blocked)},
                )
            ],
        )
        yield dg.MaterializeResult(
            asset_key=specs["experiment_people"].key, metadata={"dagster/row_count": drawn[0] if drawn else 0}
        )
        yield dg.MaterializeResult(
            asset_key=files.key,
            metadata={
                "dagster/row_count": written,
                "folder": dg.MetadataValue.path(str(workspace.activation_folder)),
            },
        )

    return judge_audiences


def _in_metadata(state: "AudienceState") -> dict[str, Any]:
    return {
        "state": state.state,
        "why": state.why,
        "people": state.decision.approved,
        "left out": dict(state.decision.refused),
        "destination": state.audience.destination,
        "fields": [one.name for one in state.mapping.fields],
    }

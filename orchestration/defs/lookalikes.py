"""Who is like the people a marketer chose, and the files of them for ad platforms, as assets."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import polars as pl

from activation.publishing import publish_folder
from orchestration.defs.partitions import run_weeks, weekly, weekly_beside_others
from orchestration.feature_catalogue import read_catalogue
from orchestration.warehouse import Warehouse
from orchestration.workspace import Workspace

if TYPE_CHECKING:
    from orchestration.lookalike_files import PlatformFiles
    from orchestration.lookalike_week import Lookalike

KNOWN_OF_PEOPLE = [
    dg.AssetKey(["features", "person_features"]),
    dg.AssetKey(["intermediate", "int_contactability"]),
    *(
        dg.AssetKey(["ml", name])
        for name in (
            "persona_assignments",
            "propensity_scores",
            "affinity_scores",
            "adoption_scores",
            "persuasion_people",
        )
    ),
]
DESCRIPTIONS = {
    "lookalike_scores": "Who is most like the seed of each look-alike that the workspace declares.",
    "lookalike_models": "How well hidden people of each seed are found, by size of list; or why nothing is said.",
}


def lookalike_assets(workspace: Workspace, manifest: Path) -> dg.AssetsDefinition:
    """Lists of people who are like a seed."""
    specs = {
        name: dg.AssetSpec(
            ["ml", name], deps=KNOWN_OF_PEOPLE, group_name="ml", description=text, kinds={"python", "scikitlearn"}
        )
        for name, text in DESCRIPTIONS.items()
    }
    checks = {
        name: dg.AssetCheckSpec(name, asset=specs["lookalike_models"].key, description=text)
        for name, text in (
            ("seeds_can_be_learned_from", "Every look-alike has a seed that is large enough and unlike everybody."),
            ("lookalikes_are_like_everybody_in_gender_age_region", "No group is listed much more or less often."),
        )
    }

    @dg.multi_asset(
        name="lookalikes",
        specs=list(specs.values()),
        check_specs=list(checks.values()),
        **weekly_beside_others(workspace),
    )
    def find_lookalikes(context: dg.AssetExecutionContext, warehouse: Warehouse) -> Iterator[dg.MaterializeResult]:
        from orchestration.lookalike_week import run_lookalike_week

        latest: list[Lookalike] = []
        rows = 0
        with warehouse.connect() as connection:
            declared = workspace.settings.lookalikes
            catalogue = read_catalogue(connection, workspace, manifest) if declared else pl.DataFrame()
            for week in run_weeks(context):
                latest = run_lookalike_week(connection, workspace, catalogue, week)
                rows += sum(one.scores.height for one in latest)
                for one in latest:
                    what = one.abstained_reason or f"{one.scores.height:,} people, AUC {one.model['auc']:.2f}"
                    context.log.info(f"{week.as_of}: {one.name}: {what}")
        wrong = {
            "seeds_can_be_learned_from": [
                f"{one.name}: {one.abstained_reason}" for one in latest if one.abstained_reason
            ],
            "lookalikes_are_like_everybody_in_gender_age_region": [
                f"{one.name}: {row['attribute']} {row['group']}"
                for one in latest
                for row in one.groups.filter("is_off").iter_rows(named=True)
            ],
        }
        yield dg.MaterializeResult(asset_key=specs["lookalike_scores"].key, metadata={"dagster/row_count": rows})
        yield dg.MaterializeResult(
            asset_key=specs["lookalike_models"].key,
            metadata={"dagster/row_count": len(latest)} | {one.name: _told(one) for one in latest},
            check_results=[
                dg.AssetCheckResult(
                    check_name=name,
                    asset_key=check.asset_key,
                    passed=not wrong[name],
                    severity=dg.AssetCheckSeverity.WARN,
                    description="; ".join(wrong[name]) or None,
                )
                for name, check in checks.items()
            ],
        )

    return find_lookalikes


def lookalike_files_asset(workspace: Workspace) -> dg.AssetsDefinition:
    """Hashed files of seeds and look-alikes, per ad platform."""

    @dg.asset(
        key=["activation", "lookalike_files"],
        deps=[
            ["marts", "lookalikes"],
            ["ml", "lookalike_models"],
            ["intermediate", "int_advertising_permissions"],
        ],
        group_name="activation",
        description="Per look-alike and ad platform the seed and those listed, hashed, under consent to advertising.",
        kinds={"csv"},
        **weekly(workspace),
    )
    def write_files(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:
        from orchestration.lookalike_files import write_manifest, write_platform_files
        from orchestration.lookalike_week import stored_lookalikes

        written: list[PlatformFiles] = []
        if workspace.settings.lookalikes:
            with warehouse.connect(read_only=True) as connection:
                for week in run_weeks(context):
                    made = stored_lookalikes(connection, workspace, week)
                    written = []

                    def build(folder: Path, week=week, made=made, written=written) -> None:  # type: ignore[no-untyped-def]
                        written.extend(write_platform_files(connection, workspace, week, one, folder) for one in made)
                        write_manifest(folder, week, written)

                    root = workspace.lookalike_folder
                    publish_folder(build, root, week.key, also_latest=False, keep_unlinked=0)
        files = [file for one in written for file in (*one.seed, *one.listed)]
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": sum(file.rows for file in files),
                "files of the last week": {file.path.name: file.rows for file in files},
                "folder": dg.MetadataValue.path(str(workspace.lookalike_folder)),
            }
        )

    return write_files


def _told(one: "Lookalike") -> dg.MetadataValue:
    from orchestration.lookalike_week import LOOKALIKE_TABLES

    told = {name: one.model[name] for name in LOOKALIKE_TABLES["lookalike_models"] if name not in _LONG}
    return dg.MetadataValue.json({name: value for name, value in told.items() if name != "as_of"})


_LONG = ("precision_by_size", "parity", "notes", "card", "markdown")

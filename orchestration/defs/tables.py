"""The dbt models as assets: up to the features before the models learn, the marts after."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DbtProject, dbt_assets

from orchestration.dbt_metadata import ColumnMemory, events_with_metadata
from orchestration.dbt_resource import InstalledDbt
from orchestration.dbt_runs import BUILD_TARGET, vars_argument
from orchestration.defs.partitions import weekly
from orchestration.freed_memory import give_back_freed_memory
from orchestration.imports_ahead import MODULES_OF_MODELS, import_ahead
from orchestration.warehouse import Warehouse
from orchestration.workspace import Workspace

PUBLISHED_AT_LEAST_EVERY = timedelta(days=8)


class Translator(DagsterDbtTranslator):
    """Groups follow the folders; marts must stay fresh."""

    def get_asset_spec(self, manifest: Mapping[str, Any], unique_id: str, project: DbtProject | None) -> dg.AssetSpec:
        """The asset of one dbt resource."""
        spec = super().get_asset_spec(manifest, unique_id, project)
        properties = self.get_resource_props(manifest, unique_id)
        if properties["resource_type"] == "source":
            return spec
        spec = spec.replace_attributes(group_name=properties["fqn"][1])
        if properties["fqn"][1] == "marts":
            return spec.replace_attributes(freshness_policy=published_freshness())
        return spec


def published_freshness() -> dg.FreshnessPolicy:
    """A published table is late when it is older than a week and a day."""
    return dg.FreshnessPolicy.time_window(fail_window=PUBLISHED_AT_LEAST_EVERY)


def feature_tables(workspace: Workspace, manifest: Path) -> dg.AssetsDefinition:
    """Staging, intermediate and feature models."""

    @dbt_assets(
        manifest=manifest,
        select="tag:features",
        name="feature_tables",
        dagster_dbt_translator=Translator(),
        **weekly(workspace),
    )
    def build_feature_tables(
        context: dg.AssetExecutionContext, dbt: InstalledDbt, warehouse: Warehouse
    ) -> Iterator[Any]:
        import_ahead(MODULES_OF_MODELS)  # this process waits for dbt
        yield from _build(context, dbt, workspace, warehouse)
        with warehouse.connect() as connection:
            connection.execute("delete from raw.changed_days")

    return build_feature_tables


def mart_tables(workspace: Workspace, manifest: Path) -> dg.AssetsDefinition:
    """The models outsiders read."""

    @dbt_assets(
        manifest=manifest,
        select="tag:marts",
        name="mart_tables",
        dagster_dbt_translator=Translator(),
        **weekly(workspace),
    )
    def build_mart_tables(context: dg.AssetExecutionContext, dbt: InstalledDbt, warehouse: Warehouse) -> Iterator[Any]:
        yield from _build(context, dbt, workspace, warehouse)

    return build_mart_tables


def _build(
    context: dg.AssetExecutionContext, dbt: InstalledDbt, workspace: Workspace, warehouse: Warehouse
) -> Iterator[Any]:
    """Run dbt to its end, then tell what it made; checks are told also where a model or a test failed.

    Telling while dbt runs would keep one core busy with waiting, and DuckDB answers no second process meanwhile.
    """
    # Unit tests say whether the SQL is right, not the data; whoever changes it runs them.
    only_data = ["--exclude-resource-type", "unit_test"]
    arguments = ["build", "--target", BUILD_TARGET, *only_data, "--vars", vars_argument(workspace)]
    warehouse.let_go()
    give_back_freed_memory()
    invocation = dbt.cli(arguments, context=context, raise_on_error=False)
    succeeded = invocation.is_successful()
    warehouse.hold()  # the steps that follow run in this process
    memory = ColumnMemory.open(workspace.dbt_target_folder / "column_metadata.json")
    yield from events_with_metadata(invocation, lambda: warehouse.connect(read_only=True), memory)
    if not succeeded:
        raise invocation.get_error() or dg.Failure("dbt failed")

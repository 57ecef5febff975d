"""Extracts into raw tables, each delivery held to its contract; then which weeks the run is for."""

from collections.abc import Callable, Iterator

import dagster as dg

from data_contracts.contract import ENTITIES
from orchestration.dbt_runs import feature_code_hash
from orchestration.defs.delivery_checks import (
    ContractReports,
    check_results,
    check_specs,
    drift_metadata,
    load_metadata,
)
from orchestration.defs.partitions import run_weeks, weekly
from orchestration.erasure_keys import has_unfinished
from orchestration.imports_ahead import LIBRARIES_FOR_NEW_ROWS, import_ahead
from orchestration.ingest.ledger import Ledger
from orchestration.ingest.load import IngestResult, ingest
from orchestration.ingest.retention import count_past_retention
from orchestration.target_data import check_target_values, horizons_without_history
from orchestration.warehouse import Warehouse
from orchestration.weekly_plan import plan_weeks, write_plan
from orchestration.workspace import Workspace


def extract_specs(workspace: Workspace) -> list[dg.AssetSpec]:
    """The deliveries themselves, one per mapping: where the lineage begins. Those that are fetched are assets."""
    return [
        dg.AssetSpec(
            ["extracts", mapping.name],
            group_name="extracts",
            description=f"Files `{mapping.extract.files}` as some system delivers them.",
            kinds={mapping.extract.format or "file"},
        )
        for mapping in workspace.mappings
        if not mapping.connectors
    ]


def ingest_assets(workspace: Workspace) -> dg.AssetsDefinition:
    """One raw table per entity, with the contract's checks; raw/changed_days remembers which days changed."""
    entity_keys = {entity: dg.AssetKey(["raw", entity]) for entity in ENTITIES}
    specs = [
        dg.AssetSpec(
            entity_keys[entity],
            deps=[
                ["extracts", mapping.name]
                for mapping in workspace.mappings
                if entity in {mapped.entity for mapped in mapping.entities}
            ],
            group_name="raw",
            description=workspace.contracts[entity].description,
            kinds={"duckdb"},
        )
        for entity in ENTITIES
    ]
    changed_days = dg.AssetSpec(
        ["raw", "changed_days"],
        deps=list(entity_keys.values()),
        group_name="raw",
        description="The days whose rows changed since they were last counted.",
        kinds={"duckdb"},
    )
    checks = [spec for entity in workspace.entities for spec in check_specs(workspace, entity)]

    @dg.multi_asset(name="ingest", specs=[*specs, changed_days], check_specs=checks, **weekly(workspace))
    def ingest_extracts(context: dg.AssetExecutionContext, warehouse: Warehouse) -> Iterator[dg.MaterializeResult]:
        _finish_erasures(context, workspace, warehouse)
        with ContractReports(workspace) as reports:
            with warehouse.connect() as connection:
                for sentence in workspace.contracts.loosened():
                    context.log.warning(sentence)
                result = ingest(connection, workspace, progress=_told_of(context), is_sampled=reports.begin)
            # Somebody erased whose address came back under a new id: what that id brought before goes now.
            _finish_erasures(context, workspace, warehouse)
            with warehouse.connect(read_only=True) as connection:
                ledger = Ledger(connection)
                unaccounted = {entity: ledger.unaccounted(entity) for entity in workspace.entities}
                as_of = run_weeks(context)[-1].as_of
                past_retention = {
                    entity: count_past_retention(connection, workspace.contracts[entity], as_of)
                    for entity in workspace.entities
                }
                counts = {e: connection.execute(f'select count(*) from raw."{e}"').fetchall()[0][0] for e in ENTITIES}
                days = connection.execute("select count(distinct changed_day) from raw.changed_days").fetchall()[0][0]
            for entity in ENTITIES:
                found: list[dg.AssetCheckResult] = []
                if entity in workspace.entities:
                    found += check_results(
                        workspace, entity, result, unaccounted[entity], past_retention[entity], reports
                    )
                yield dg.MaterializeResult(
                    asset_key=entity_keys[entity],
                    metadata=_metadata(workspace, entity, counts[entity], result),
                    check_results=found,
                )
            yield dg.MaterializeResult(asset_key=changed_days.key, metadata={"dagster/row_count": days})

    return ingest_extracts


def _finish_erasures(context: dg.AssetExecutionContext, workspace: Workspace, warehouse: Warehouse) -> None:
    if has_unfinished(warehouse):
        from orchestration.erasure import finish

        finish(workspace, context.log.info)


def _told_of(context: dg.AssetExecutionContext) -> Callable[[str], None]:
    """Logs each file; the first one begins the import of what new rows are judged with, and no other run needs."""
    is_first = True

    def tell(sentence: str) -> None:
        nonlocal is_first
        if is_first:
            import_ahead(LIBRARIES_FOR_NEW_ROWS)
        is_first = False
        context.log.info(sentence)

    return tell


def plan_asset(workspace: Workspace) -> dg.AssetsDefinition:
    """The weeks of this run, for dbt to read."""
    key = dg.AssetKey(["raw", "run_weeks"])
    history = dg.AssetCheckSpec(
        "horizons_fit_the_history", asset=key, description="Every target's horizon fits into the history there is."
    )

    @dg.asset(
        key=key,
        check_specs=[history],
        deps=[["raw", entity] for entity in ENTITIES],
        group_name="raw",
        description="The weeks this run is for: those it scores, and the past weeks its models learn from.",
        kinds={"duckdb"},
        **weekly(workspace),
    )
    def plan_run_weeks(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:
        weeks = run_weeks(context)
        with warehouse.connect() as connection:
            check_target_values(connection, workspace)
            plan = plan_weeks(connection, workspace, weeks, feature_code_hash())
            write_plan(connection, workspace, plan)
            too_far = horizons_without_history(connection, workspace, weeks)
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": len(plan),
                "scored": sum(planned.is_scored for planned in plan),
                "built": sum(planned.build_features for planned in plan),
            },
            check_results=[
                dg.AssetCheckResult(
                    check_name=history.name,
                    passed=not too_far,
                    severity=dg.AssetCheckSeverity.WARN,
                    description="; ".join(too_far) or None,
                )
            ],
        )

    return plan_run_weeks


def _metadata(workspace: Workspace, entity: str, rows: int, result: IngestResult) -> dict[str, dg.MetadataValue]:
    contract, loads = workspace.contracts[entity], result.of(entity)
    metadata: dict[str, dg.MetadataValue] = {
        "dagster/row_count": dg.MetadataValue.int(rows),
        "delivered": dg.MetadataValue.bool(entity in workspace.entities),
        "dagster/column_schema": dg.MetadataValue.table_schema(
            dg.TableSchema([dg.TableColumn(c.name, c.type, description=c.description) for c in contract.columns])
        ),
    }
    if loads:
        drift = [each for each in result.drift if each.entity == entity]
        metadata |= load_metadata(loads) | {"schema drift": drift_metadata(drift)}
    return metadata

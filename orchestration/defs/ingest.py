"""Extracts into raw tables, each delivery held to its contract; then which weeks the run is for."""

from collections.abc import Iterator

import dagster as dg
import pandas as pd
import polars as pl

from data_contracts.contract import ENTITIES, load_contract
from data_contracts.expectations import BatchReport, validate_batch
from orchestration.dbt_runs import feature_code_hash
from orchestration.defs.partitions import run_weeks, weekly
from orchestration.ingest.load import IngestResult, Load, ingest
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
            description=load_contract(entity).description,
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
    checks = [
        dg.AssetCheckSpec(name, asset=entity_keys[entity], blocking=blocking, description=description)
        for entity in workspace.entities
        for name, blocking, description in (
            ("contract", True, "The delivery keeps its contract; rows that break a critical rule are in quarantine."),
            ("every_row_is_accounted_for", True, "Rows read = loaded + quarantined + duplicates + filtered."),
        )
    ]

    @dg.multi_asset(name="ingest", specs=[*specs, changed_days], check_specs=checks, **weekly(workspace))
    def ingest_extracts(context: dg.AssetExecutionContext, warehouse: Warehouse) -> Iterator[dg.MaterializeResult]:
        with warehouse.connect() as connection:
            result = ingest(connection, workspace, progress=context.log.info)
            counts = {e: connection.execute(f'select count(*) from raw."{e}"').fetchall()[0][0] for e in ENTITIES}
            days = connection.execute("select count(distinct changed_day) from raw.changed_days").fetchall()[0][0]
        for entity in ENTITIES:
            delivered = entity in workspace.entities
            yield dg.MaterializeResult(
                asset_key=entity_keys[entity],
                metadata=_metadata(entity, delivered, counts[entity], result.of(entity)),
                check_results=list(_check_results(entity, result)) if delivered else [],
            )
        yield dg.MaterializeResult(asset_key=changed_days.key, metadata={"dagster/row_count": days})

    return ingest_extracts


def plan_asset(workspace: Workspace) -> dg.AssetsDefinition:
    """The weeks of this run, for dbt to read."""

    @dg.asset(
        key=["raw", "run_weeks"],
        deps=[["raw", entity] for entity in ENTITIES],
        group_name="raw",
        description="The weeks this run is for: those it scores, and the past weeks its models learn from.",
        kinds={"duckdb"},
        **weekly(workspace),
    )
    def plan_run_weeks(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:
        with warehouse.connect() as connection:
            plan = plan_weeks(connection, workspace, run_weeks(context), feature_code_hash())
            write_plan(connection, workspace, plan)
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": len(plan),
                "scored": sum(planned.is_scored for planned in plan),
                "built": sum(planned.build_features for planned in plan),
            }
        )

    return plan_run_weeks


def _metadata(entity: str, delivered: bool, rows: int, loads: list[Load]) -> dict[str, dg.MetadataValue]:
    metadata: dict[str, dg.MetadataValue] = {
        "dagster/row_count": dg.MetadataValue.int(rows),
        "delivered": dg.MetadataValue.bool(delivered),
        "dagster/column_schema": dg.MetadataValue.table_schema(
            dg.TableSchema(
                [dg.TableColumn(c.name, c.type, description=c.description) for c in load_contract(entity).columns]
            )
        ),
    }
    if loads:
        metadata |= {
            "files": dg.MetadataValue.int(len(loads)),
            "rows read": dg.MetadataValue.int(sum(load.rows_read for load in loads)),
            "rows loaded": dg.MetadataValue.int(sum(load.rows_loaded for load in loads)),
            "rows in quarantine": dg.MetadataValue.int(
                sum(load.rows_quarantined + load.rows_unreadable for load in loads)
            ),
            "exact duplicates": dg.MetadataValue.int(sum(load.rows_duplicate for load in loads)),
            "files and their figures": dg.MetadataValue.json(
                [{"file": load.file, "status": load.status, "columns": load.profile} for load in loads[-30:]]
            ),
        }
    return metadata


def _check_results(entity: str, result: IngestResult) -> Iterator[dg.AssetCheckResult]:
    loads = result.of(entity)
    refused = [load for load in loads if load.status == "refused"]
    report = _contract_report(entity, result)
    warnings = [f"{name}: {count:,} rows" for load in loads for name, count in load.warnings.items()]
    failed = [expectation for expectation in report.results if not expectation.is_met] if report else []
    metadata: dict[str, dg.MetadataValue] = {
        "sampled rows": dg.MetadataValue.int(report.rows if report else 0),
        "expectations": dg.MetadataValue.int(len(report.results) if report else 0),
        "expectations not met": dg.MetadataValue.json(
            [
                {
                    "rule": e.rule,
                    "column": e.column,
                    "severity": e.severity,
                    "unexpected %": round(e.unexpected_percent, 4),
                }
                for e in failed
            ]
        ),
        "warnings": dg.MetadataValue.json(warnings[:50]),
    }
    if refused:
        files = ", ".join(load.file for load in refused[:5])
        yield dg.AssetCheckResult(
            check_name="contract",
            asset_key=["raw", entity],
            passed=False,
            severity=dg.AssetCheckSeverity.ERROR,
            description=f"Refused whole, too many rows break the contract: {files}",
            metadata=metadata,
        )
    else:
        in_quarantine = sum(load.rows_quarantined + load.rows_unreadable for load in loads)
        words = f"{in_quarantine:,} rows are in quarantine." if in_quarantine else "Nothing new." if not loads else ""
        yield dg.AssetCheckResult(
            check_name="contract",
            asset_key=["raw", entity],
            passed=not in_quarantine and not failed,
            severity=dg.AssetCheckSeverity.WARN,
            description=words or (f"{len(failed)} expectations are not met." if failed else None),
            metadata=metadata,
        )
    unbalanced = [load.file for load in loads if load.status in ("loaded", "corrected") and not load.is_balanced]
    yield dg.AssetCheckResult(
        check_name="every_row_is_accounted_for",
        asset_key=["raw", entity],
        passed=not unbalanced,
        severity=dg.AssetCheckSeverity.ERROR,
        description=f"Rows are missing from {', '.join(unbalanced[:5])}" if unbalanced else None,
    )


def _contract_report(entity: str, result: IngestResult) -> BatchReport | None:
    samples = [sample for sample in result.samples.get(entity, []) if sample.height]
    if not samples:
        return None
    frame: pd.DataFrame = pl.concat(samples, how="diagonal_relaxed").to_pandas()
    return validate_batch(load_contract(entity), frame)

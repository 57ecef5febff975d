"""What is published: the marts as Parquet and the report, a week at a time, swapped in whole."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import duckdb

from activation.publishing import publish_folder
from orchestration.defs.partitions import run_weeks, weekly
from orchestration.defs.tables import published_freshness
from orchestration.sql import identifier, literal
from orchestration.warehouse import Warehouse
from orchestration.weeks import Week
from orchestration.workspace import Workspace

# Each published table and the columns that order its rows.
PUBLISHED_TABLES = {
    "segment_memberships": ("person_id", "segment_type", "segment_id"),
    "segment_profiles": ("segment_type", "segment_id", "characteristic"),
    "segment_migrations": ("previous_as_of", "from_segment_id", "to_segment_id"),
    "segment_kpis": ("segment_id",),
    "person_propensities": ("person_id", "target"),
    "people_left_out": ("purpose", "reason"),
}


def published_assets(workspace: Workspace) -> dg.AssetsDefinition:
    """One asset per published table, all swapped in together with the report."""
    specs = {
        table: dg.AssetSpec(
            ["published", table],
            deps=[["marts", table], ["report", "persona_report"]],
            group_name="published",
            description=f"`published/<week>/{table}.parquet`, and the same under `published/latest`.",
            freshness_policy=published_freshness(),
            kinds={"parquet"},
        )
        for table in PUBLISHED_TABLES
    }

    @dg.multi_asset(name="publish", specs=list(specs.values()), **weekly(workspace))
    def publish_weeks(context: dg.AssetExecutionContext, warehouse: Warehouse) -> Iterator[dg.MaterializeResult]:
        rows = dict.fromkeys(PUBLISHED_TABLES, 0)
        with warehouse.connect(read_only=True) as connection:
            for week in run_weeks(context):
                publish_folder(
                    lambda folder, week=week: _write_week(connection, workspace, week, folder, rows),  # type: ignore[misc]
                    workspace.published_folder,
                    week.key,
                    also_latest=True,
                )
        for table, spec in specs.items():
            yield dg.MaterializeResult(
                asset_key=spec.key,
                metadata={
                    "dagster/row_count": rows[table],
                    "file": dg.MetadataValue.path(str(workspace.published_folder / "latest" / f"{table}.parquet")),
                },
            )

    return publish_weeks


def _write_week(
    connection: duckdb.DuckDBPyConnection, workspace: Workspace, week: Week, folder: Path, rows: dict[str, int]
) -> None:
    """The files of one week: the same rows give the same bytes."""
    manifest = {"week": week.key, "as_of": week.as_of.isoformat(), "company": workspace.settings.company, "tables": {}}
    for table, order in PUBLISHED_TABLES.items():
        ordered = ", ".join(f"{identifier(column)} nulls first" for column in order)
        path = literal(str(folder / f"{table}.parquet"))
        count = connection.execute(
            f"copy (select * from marts.{identifier(table)} where as_of = {literal(week.as_of.isoformat())}::date "
            f"order by {ordered}) to {path} (format parquet, compression zstd)"
        ).fetchall()[0][0]
        rows[table] += count
        manifest["tables"][table] = count  # type: ignore[index]
    shutil.copyfile(workspace.report_folder / f"{week.key}.html", folder / "report.html")
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")

"""What is published: the marts as Parquet and the report, a week at a time, swapped in whole."""

import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import polars as pl

from activation.label_files import write_label_file
from activation.people import person_name_sql
from activation.publishing import publish_folder
from orchestration.defs.partitions import run_weeks, weekly
from orchestration.defs.tables import published_freshness
from orchestration.sql import identifier, literal
from orchestration.warehouse import Warehouse
from orchestration.weeks import Week
from orchestration.workspace import Workspace

PEOPLE_AT_A_TIME = 100_000

LABELS = "person_labels"
# Each published table and the columns that order its rows.
PUBLISHED_TABLES = {
    "segment_memberships": ("person_id", "segment_type", "segment_id"),
    "segment_profiles": ("segment_type", "segment_id", "characteristic"),
    "persona_index": ("segment_type", "segment_id", "characteristic"),
    "market_sizes": ("segment_type", "segment_id", "audience"),
    "trigger_subgroups": ("segment_type", "segment_id", "phrase"),
    "segment_migrations": ("segment_type", "previous_as_of", "from_segment_id", "to_segment_id"),
    "segment_kpis": ("segment_type", "segment_id"),
    "segment_rhythms": ("segment_type", "segment_id", "weekday", "hour"),
    "segment_stages": ("segment_type", "segment_id", "stage"),
    "person_propensities": ("person_id", "target"),
    "propensity_backtest": ("target", "segment_type", "segment_id"),
    "propensity_gains": ("target", "kind", "band", "depth"),
    "person_values": ("person_id",),
    "segment_values": ("segment_type", "segment_id"),
    "person_preferences": ("person_id", "dimension"),
    "segment_preferences": ("segment_type", "segment_id", "dimension"),
    LABELS: ("person_id",),
    "person_affinities": ("person_id", "phrase_group", "phrase"),
    "adoption_classes": ("person_id",),
    "adoption_validity": ("measure", "adoption_class", "launch_id", "days"),
    "segment_persuasion": ("segment_type", "segment_id", "approach"),
    "person_persuasion": ("person_id",),
    "lookalikes": ("lookalike", "lookalike_rank"),
    "uplift_results": ("campaign", "learner"),
    "person_uplift": ("campaign", "person_id"),
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
    manifest: dict[str, Any] = {
        "week": week.key,
        "as_of": week.as_of.isoformat(),
        "company": workspace.settings.company,
        "made_from": _made_from(connection, week),
    }
    counts = {LABELS: _write_table(connection, LABELS, week, folder)}
    with ThreadPoolExecutor(1) as beside:  # the file of labels is written on one core, tables on all that are free
        labels = beside.submit(_write_labels, connection.cursor(), workspace, week, folder)
        counts |= {
            table: _write_table(connection, table, week, folder) for table in PUBLISHED_TABLES if table != LABELS
        }
        labels.result()
    for table in PUBLISHED_TABLES:
        rows[table] += counts[table]
    manifest["tables"] = {table: counts[table] for table in PUBLISHED_TABLES}
    shutil.copyfile(workspace.report_folder / f"{week.key}.html", folder / "report.html")
    _write_card(connection, week, folder)
    _write_propensity_cards(connection, week, folder)
    _write_lookalike_cards(connection, week, folder)
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def _write_table(connection: duckdb.DuckDBPyConnection, table: str, week: Week, folder: Path) -> int:
    """One table as Parquet, in order; says how many rows it has."""
    columns = {row[0] for row in connection.execute(f"describe marts.{identifier(table)}").fetchall()}
    # Outside the warehouse people have names instead of numbers, which are in the same order.
    named = f"replace ({person_name_sql('person_id')} as person_id)" if "person_id" in columns else ""
    ordered = ", ".join(f"mart.{identifier(column)} nulls first" for column in PUBLISHED_TABLES[table])
    path = literal(str(folder / f"{table}.parquet"))
    rows: int = connection.execute(
        f"copy (select * {named} from marts.{identifier(table)} as mart "
        f"where as_of = {literal(week.as_of.isoformat())}::date "
        f"order by {ordered}) to {path} (format parquet, compression zstd, compression_level 1)"
    ).fetchall()[0][0]
    return rows


def _write_labels(connection: duckdb.DuckDBPyConnection, workspace: Workspace, week: Week, folder: Path) -> None:
    """The labels of people for people to read, from the file of the table: it is in order already."""
    contacts = connection.execute(
        f"select {person_name_sql('person_id')} as person_id, contact_id from intermediate.int_people where as_of = ?",
        [week.as_of],
    ).pl()
    targets = list(workspace.settings.targets)
    parts = ("probability", "band", "abstained_reason", "model_id")
    row = "list_filter(propensities, lambda one: one.target = {})[1]"
    by_target = ", ".join(
        f"{row.format(literal(target))}.{part} as {identifier(f'{target}_{part}')}"
        for target in targets
        for part in parts
    )
    columns = f"* exclude (propensities){', ' if by_target else ''}{by_target}"
    result = connection.execute(f"select {columns} from read_parquet(?)", [str(folder / f"{LABELS}.parquet")])

    def frames() -> Iterator[pl.DataFrame]:
        for batch in result.fetch_record_batch(PEOPLE_AT_A_TIME):
            frame = pl.from_arrow(batch)
            assert isinstance(frame, pl.DataFrame)  # noqa: S101 - a record batch is a frame
            yield frame.join(contacts, on="person_id", how="left", maintain_order="left")

    write_label_file(frames(), folder / f"{LABELS}.csv", targets)


def _write_card(connection: duckdb.DuckDBPyConnection, week: Week, folder: Path) -> None:
    """The card of the model the week was assigned with: as data, and for people to read."""
    row = connection.execute(
        "select card, markdown from ml.persona_model_cards where as_of = "
        "(select fitted_as_of from ml.persona_weeks where as_of = ?)",
        [week.as_of],
    ).fetchone()
    if row is not None:
        (folder / "persona_model_card.json").write_text(
            json.dumps(json.loads(row[0]), indent=2) + "\n", encoding="utf-8"
        )
        (folder / "persona_model_card.md").write_text(row[1], encoding="utf-8")


def _write_propensity_cards(connection: duckdb.DuckDBPyConnection, week: Week, folder: Path) -> None:
    """The cards of the models that each target was scored with."""
    rows = connection.execute(
        "select r.target, m.card, m.markdown from ml.model_runs as r inner join ml.propensity_models as m "
        "on m.target = r.target and m.as_of = r.fitted_as_of where r.as_of = ? order by r.target",
        [week.as_of],
    ).fetchall()
    for target, card, markdown in rows:
        (folder / f"propensity_model_card_{target}.json").write_text(
            json.dumps(json.loads(card), indent=2) + "\n", encoding="utf-8"
        )
        (folder / f"propensity_model_card_{target}.md").write_text(markdown, encoding="utf-8")


def _write_lookalike_cards(connection: duckdb.DuckDBPyConnection, week: Week, folder: Path) -> None:
    """How far each list of look-alikes can be trusted."""
    rows = connection.execute(
        "select lookalike, card, markdown from ml.lookalike_models where as_of = ? and card is not null order by all",
        [week.as_of],
    ).fetchall()
    for name, card, markdown in rows:
        (folder / f"lookalike_model_card_{name}.json").write_text(
            json.dumps(json.loads(card), indent=2) + "\n", encoding="utf-8"
        )
        (folder / f"lookalike_model_card_{name}.md").write_text(markdown, encoding="utf-8")


def _made_from(connection: duckdb.DuckDBPyConnection, week: Week) -> dict[str, str | None]:
    """What the week can be made from again: its model, its inputs, the settings and the code, each as a hash."""
    columns = ("model_id", "defined_model_id", "feature_fingerprint", "settings_hash", "code_version")
    row = connection.execute(
        f"select {', '.join(columns)} from ml.persona_weeks where as_of = ?", [week.as_of]
    ).fetchone()
    return dict(zip(columns, row, strict=True)) if row else dict.fromkeys(columns)

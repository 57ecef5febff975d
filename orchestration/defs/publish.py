"""What is published: the marts as Parquet and the report, a week at a time, swapped in whole.

Files of tables are written beside other steps; what is published is those files, and a report that was drawn meanwhile.
"""

import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import polars as pl

from activation.answers import first_row, read_frame
from activation.label_files import write_label_file
from activation.people import person_name_sql
from activation.publishing import publish_folder
from orchestration.defs.partitions import run_weeks, weekly, weekly_beside_others
from orchestration.defs.tables import published_freshness
from orchestration.sql import identifier, literal, optional
from orchestration.warehouse import Warehouse
from orchestration.weeks import Week
from orchestration.workspace import Workspace

PEOPLE_AT_A_TIME = 122_880  # so many rows DuckDB writes into a group of Parquet, which is read as a whole

TABLE_FILES = ["report", "table_files"]
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


def table_files_asset(workspace: Workspace) -> dg.AssetsDefinition:
    """The files of all published tables, written while audiences are judged and the report is drawn."""

    @dg.asset(
        key=TABLE_FILES,
        deps=[["marts", table] for table in PUBLISHED_TABLES],
        group_name="report",
        description="What is published of a week besides the report: written before, published with it, gone after.",
        kinds={"parquet"},
        **weekly_beside_others(workspace),
    )
    def write_table_files(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:
        shutil.rmtree(workspace.table_files_folder, ignore_errors=True)  # of a run that died
        with warehouse.connect() as connection:
            for week in run_weeks(context):
                _write_files(connection, workspace, week, _files_of(context, workspace, week))
        return dg.MaterializeResult(metadata={"weeks": len(run_weeks(context)), "tables": len(PUBLISHED_TABLES)})

    return write_table_files


def published_assets(workspace: Workspace) -> dg.AssetsDefinition:
    """One asset per published table, all swapped in together with the report."""
    specs = {
        table: dg.AssetSpec(
            ["published", table],
            deps=[["marts", table], TABLE_FILES, ["report", "persona_report"]],
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
                files = _files_of(context, workspace, week)
                if not files.is_dir():  # where only this step was asked for
                    _write_files(connection, workspace, week, files)
                publish_folder(
                    lambda folder, week=week, files=files: _put_together(  # type: ignore[misc]
                        connection, workspace, week, files, folder, rows
                    ),
                    workspace.published_folder,
                    week.key,
                    also_latest=True,
                )
        shutil.rmtree(workspace.table_files_folder)
        for table, spec in specs.items():
            yield dg.MaterializeResult(
                asset_key=spec.key,
                metadata={
                    "dagster/row_count": rows[table],
                    "file": dg.MetadataValue.path(str(workspace.published_folder / "latest" / f"{table}.parquet")),
                },
            )

    return publish_weeks


def _files_of(context: dg.AssetExecutionContext, workspace: Workspace, week: Week) -> Path:
    """Where the files of a week stand until they are published; a run that is tried again finds those of before."""
    return workspace.table_files_folder / (context.run.root_run_id or context.run_id) / week.key


def _write_files(connection: duckdb.DuckDBPyConnection, workspace: Workspace, week: Week, target: Path) -> None:
    """The files of a week's tables: the same rows give the same bytes. `target` is there when all of them are."""
    folder = target.with_suffix(".unfinished")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    _write_table(connection, LABELS, week, folder)
    with ThreadPoolExecutor(1) as beside:  # the file of labels is written on one core, tables on all that are free
        labels = beside.submit(_write_labels, connection.cursor(), workspace, week, folder)
        for table in PUBLISHED_TABLES:
            if table != LABELS:
                _write_table(connection, table, week, folder)
        labels.result()
    folder.rename(target)


def _put_together(
    connection: duckdb.DuckDBPyConnection,
    workspace: Workspace,
    week: Week,
    files: Path,
    folder: Path,
    rows: dict[str, int],
) -> None:
    """All files of a week in `folder`; what its tables have is added to `rows`."""
    for file in sorted(files.iterdir()):
        _link_or_copy(file, folder / file.name)
    counts = {
        table: pl.scan_parquet(folder / f"{table}.parquet").select(pl.len()).collect().item()
        for table in PUBLISHED_TABLES
    }
    for table in PUBLISHED_TABLES:
        rows[table] += counts[table]
    shutil.copyfile(workspace.report_folder / f"{week.key}.html", folder / "report.html")
    _write_card(connection, week, folder)
    _write_propensity_cards(connection, week, folder)
    _write_lookalike_cards(connection, week, folder)
    manifest: dict[str, Any] = {
        "week": week.key,
        "as_of": week.as_of.isoformat(),
        "company": workspace.settings.company,
        "made_from": _made_from(connection, week),
        "tables": counts,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def _link_or_copy(file: Path, target: Path) -> None:
    """The same file at a second place, or a copy where the file system knows no such thing."""
    try:
        target.hardlink_to(file)
    except OSError:
        shutil.copyfile(file, target)


def _write_table(connection: duckdb.DuckDBPyConnection, table: str, week: Week, folder: Path) -> None:
    """One table as Parquet, in order."""
    columns = {row[0] for row in connection.execute(f"describe marts.{identifier(table)}").fetchall()}
    # Outside the warehouse people have names instead of numbers, in the same order; to sort numbers takes less.
    named = f"replace ({person_name_sql('person_id')} as person_id)" if "person_id" in columns else ""
    ordered = ", ".join(f"{identifier(column)} nulls first" for column in PUBLISHED_TABLES[table])
    of_week = f"select * from marts.{identifier(table)} where as_of = {literal(week.as_of.isoformat())}::date"
    path = literal(str(folder / f"{table}.parquet"))
    connection.execute(
        f"copy (select * {named} from ({optional(of_week, 'as_of')} order by {ordered})) to {path} "
        "(format parquet, compression zstd, compression_level 1)"
    )


def _write_labels(connection: duckdb.DuckDBPyConnection, workspace: Workspace, week: Week, folder: Path) -> None:
    """The labels of people for people to read, from the file of the table: it is in order already."""
    contacts = read_frame(
        connection,
        f"select {person_name_sql('person_id')} as person_id, contact_id from intermediate.int_people as people "
        "where as_of = ? order by people.person_id",
        [week.as_of],
    )
    targets = list(workspace.settings.targets)
    told_of_targets = [
        pl.col("propensities")
        .list.filter(pl.element().struct.field("target") == target)
        .list.first()
        .struct.field(part)
        .alias(f"{target}_{part}")
        for target in targets
        for part in ("probability", "band", "abstained_reason", "model_id")
    ]
    file = folder / f"{LABELS}.parquet"
    people = pl.scan_parquet(file).select(pl.len()).collect().item()

    def frames() -> Iterator[pl.DataFrame]:
        for start in range(0, people, PEOPLE_AT_A_TIME):
            frame = pl.scan_parquet(file).slice(start, PEOPLE_AT_A_TIME).with_columns(told_of_targets).collect()
            # Both are in order and everybody is in both, so that it takes no search to find who belongs together.
            beside = contacts.slice(start, PEOPLE_AT_A_TIME)
            if frame["person_id"].equals(beside["person_id"]):
                yield frame.with_columns(beside["contact_id"])
            else:
                yield frame.join(contacts, on="person_id", how="left", maintain_order="left")

    write_label_file(frames(), folder / f"{LABELS}.csv", targets)


def _write_card(connection: duckdb.DuckDBPyConnection, week: Week, folder: Path) -> None:
    """The card of the model the week was assigned with: as data, and for people to read."""
    row = first_row(
        connection,
        "select card, markdown from ml.persona_model_cards where as_of = "
        "(select fitted_as_of from ml.persona_weeks where as_of = ?)",
        [week.as_of],
    )
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
    row = first_row(connection, f"select {', '.join(columns)} from ml.persona_weeks where as_of = ?", [week.as_of])
    return dict(zip(columns, row, strict=True)) if row else dict.fromkeys(columns)

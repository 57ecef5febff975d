"""The warehouse without those who are erased: written anew beside the old one, and put in its place in one rename.

What belongs here: the copy. DuckDB keeps the bytes of deleted rows in its file until they are written over, so rows are
not deleted: every table is copied without them, in its order, and the old file goes. A process that dies before the
rename leaves the old warehouse as it was; after it everything is done.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import duckdb

from orchestration.erasure_people import OLD, columns_of
from orchestration.erasure_plan import FileCount, Plan
from orchestration.sql import identifier, literal
from orchestration.workspace import Workspace

DRAFT_FOLDER = "erasing"
NEEDED_SPACE = 1.5
"""Times the old file: what the disk must have free, with what DuckDB puts aside while it sorts nothing but copies."""


class ErasureFailed(Exception):
    """Nothing was changed in the warehouse; the message says why and holds nobody's data."""


def write_without(
    connection: duckdb.DuckDBPyConnection,
    workspace: Workspace,
    plan: Plan,
    finish: Callable[[duckdb.DuckDBPyConnection], None],
) -> Path:
    """Write the warehouse without what a plan erases.

    Args:
        connection: made by `erasure_people.attached`; people were found and planned for. The draft is its catalog
            `warehouse`, named like the real one because views name it.
        workspace: the workspace.
        plan: what goes.
        finish: writes to the draft what is to be remembered.

    Returns:
        The draft, complete and on disk.

    Raises:
        ErasureFailed: there is no room, or a table lost other rows than it was to lose.
    """
    folder = workspace.state_folder / DRAFT_FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    draft = folder / workspace.warehouse_file.name
    _check_room(workspace, folder)
    catalog = identifier(draft.stem)
    connection.execute(f"attach {literal(str(draft))} as {catalog}")
    connection.execute(f"use {catalog}")
    connection.execute("begin")
    for (schema,) in connection.execute(
        f"select schema_name from duckdb_schemas() where database_name = '{OLD}' and not internal order by 1"
    ).fetchall():
        connection.execute(f"create schema if not exists {identifier(schema)}")
    tables = connection.execute(
        f"select schema_name, table_name, sql from duckdb_tables() where database_name = '{OLD}' order by 1, 2"
    ).fetchall()
    for schema, table, create in tables:
        connection.execute(create)
        name = f"{identifier(schema)}.{identifier(table)}"
        told = plan.conditions.get((schema, table)) if plan.rows.get(f"{schema}.{table}") else None
        there = connection.execute(f"select count(*) from {OLD}.{name}").fetchall()[0][0]
        kept = connection.execute(
            f"insert into {name} select * from {OLD}.{name}{f' where not ({told})' if told else ''}"
        ).fetchall()[0][0]
        if kept != there - plan.rows.get(f"{schema}.{table}", 0):
            raise ErasureFailed(f"{schema}.{table} would lose other rows than it is to lose; nothing was changed")
    connection.execute("commit")
    _copy_views(connection)
    _correct_ledger(connection, plan.files)
    if plan.shared_days:
        connection.execute(
            "insert into raw.changed_days (entity, changed_day, _delivered_at) "
            "select 'events', day, _delivered_at from erased_shared_days order by all"
        )
    finish(connection)
    connection.execute(f"checkpoint {catalog}")
    connection.execute(f"use {OLD}")
    connection.execute(f"detach {catalog}")
    return draft


def put_in_place(workspace: Workspace, draft: Path) -> None:
    """Let the draft be the warehouse. Nobody may have the old one open; all that was in it is checkpointed."""
    log = workspace.warehouse_file.with_name(f"{workspace.warehouse_file.name}.wal")
    if log.exists() or draft.with_name(f"{draft.name}.wal").exists():
        raise ErasureFailed("the warehouse is being written to; nothing was changed")
    descriptor = os.open(draft, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.replace(draft, workspace.warehouse_file)
    clear_draft(workspace)


def clear_draft(workspace: Workspace) -> None:
    """Remove what a copy that was cut short left."""
    shutil.rmtree(workspace.state_folder / DRAFT_FOLDER, ignore_errors=True)


def _check_room(workspace: Workspace, folder: Path) -> None:
    needed = int(workspace.warehouse_file.stat().st_size * NEEDED_SPACE)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ErasureFailed(
            f"the warehouse is written anew, which takes {needed / 1e9:.1f} GB; {free / 1e9:.1f} GB are free"
        )


def _copy_views(connection: duckdb.DuckDBPyConnection) -> None:
    """All views, in whatever order they can be made, each in a transaction of its own: one that fails ends it."""
    left = connection.execute(
        f"select sql from duckdb_views() where database_name = '{OLD}' and not internal order by schema_name, view_name"
    ).fetchall()
    while left:
        again = []
        for (create,) in left:
            try:
                connection.execute(create)
            except duckdb.Error:
                again.append((create,))
        if len(again) == len(left):
            raise ErasureFailed(f"{len(again)} views of the warehouse cannot be made anew; nothing was changed")
        left = again


def _correct_ledger(connection: duckdb.DuckDBPyConnection, files: Sequence[FileCount]) -> None:
    """Move rows of files from what is loaded or refused to what is erased."""
    for name in ("rows_erased", "rows_erased_refused"):
        if name not in columns_of(connection, _catalog(connection))[("raw", "ingested_files")]:
            connection.execute(f"alter table raw.ingested_files add column {name} bigint default 0")
    for one in files:
        connection.execute(
            "update raw.ingested_files set rows_loaded = rows_loaded - $loaded, "
            "rows_quarantined = rows_quarantined - $refused, rows_unreadable = rows_unreadable - $unreadable, "
            "rows_erased = coalesce(rows_erased, 0) + $loaded + $refused, "
            "rows_erased_refused = coalesce(rows_erased_refused, 0) + $refused "
            "where file = $file and source = $source and entity = $entity",
            {
                "loaded": one.loaded,
                "refused": one.refused,
                "unreadable": one.unreadable,
                "file": one.file,
                "source": one.source,
                "entity": one.entity,
            },
        )


def _catalog(connection: duckdb.DuckDBPyConnection) -> str:
    return str(connection.execute("select current_database()").fetchall()[0][0])

"""What Dagster is told of a table that dbt made: how many rows, which columns, and which columns those come from.

The same SQL over the same columns comes from the same columns: what was traced is kept beside dbt's manifest and told
again until one of the two changes.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
from dagster import deserialize_value, serialize_value
from dagster_dbt import DbtCliInvocation
from sqlglot.errors import SqlglotError

from orchestration.column_lineage import Tables, trace_columns
from orchestration.warehouse import columns_of_tables

COLUMN_SCHEMA, COLUMN_LINEAGE = "dagster/column_schema", "dagster/column_lineage"
DAY_MOMENT_OR_LOAD = re.compile(r"\b(date|timestamp|coalesce\(_load_sequence, 0\) >) ('[\d :.-]+'|-?\d+)")
ROW_COUNT, STORAGE_KIND = "dagster/row_count", "dagster/storage_kind"


def events_with_metadata(
    invocation: DbtCliInvocation, connection_of: Any, memory: ColumnMemory
) -> Iterator[dg.Output[Any] | dg.AssetMaterialization | Any]:
    """The events of a finished dbt run, those of models with rows and columns.

    Args:
        invocation: a dbt run that has ended.
        connection_of: gives a context manager of a read-only connection to the warehouse.
        memory: what was traced before.
    """
    events = list(invocation.stream())
    with connection_of() as connection:
        rows = _row_counts(connection, invocation, events)
        columns = columns_of_tables(connection)
    for event in events:
        node = _model_of(invocation, event)
        if node is None:
            yield event
            continue
        key = _key(invocation, node, columns)
        told = memory.recall(node["unique_id"], key)
        if told is None:
            told = _trace(invocation, node, columns)
            memory.keep(node["unique_id"], key, told)
        counted = rows.get(node["unique_id"])
        figures: dict[str, Any] = {} if counted is None else {ROW_COUNT: counted, STORAGE_KIND: "duckdb"}
        yield event.with_metadata({**event.metadata, **told, **figures})
    memory.save()


@dataclass
class ColumnMemory:
    """Column metadata by model, each with a hash of what it was traced from."""

    file: Path
    known: dict[str, tuple[str, str]] = field(default_factory=dict)

    @classmethod
    def open(cls, file: Path) -> ColumnMemory:
        """What `file` holds; nothing where it is missing or was cut off."""
        try:
            known = {model: (key, told) for model, (key, told) in json.loads(file.read_text(encoding="utf-8")).items()}
        except (OSError, ValueError):
            known = {}
        return cls(file, known)

    def recall(self, model: str, key: str) -> dict[str, Any] | None:
        """What was traced for the same SQL over the same columns."""
        if model not in self.known or self.known[model][0] != key:
            return None
        told = json.loads(self.known[model][1])
        return {name: deserialize_value(value) for name, value in told.items()}

    def keep(self, model: str, key: str, told: dict[str, Any]) -> None:
        """Remember what was traced."""
        self.known[model] = (key, json.dumps({name: serialize_value(value) for name, value in told.items()}))

    def save(self) -> None:
        """Write everything in one step."""
        unfinished = self.file.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(self.known), encoding="utf-8")
        unfinished.replace(self.file)


def _model_of(invocation: DbtCliInvocation, event: Any) -> dict[str, Any] | None:
    if not isinstance(event, dg.Output | dg.AssetMaterialization) or "unique_id" not in event.metadata:
        return None
    node: dict[str, Any] | None = invocation.manifest["nodes"].get(event.metadata["unique_id"].value)
    return node


def _row_counts(
    connection: duckdb.DuckDBPyConnection, invocation: DbtCliInvocation, events: list[Any]
) -> dict[str, int]:
    """Rows by model; views have none, because counting would run them."""
    models = [node for event in events if (node := _model_of(invocation, event)) is not None]
    tables = {node["unique_id"]: node for node in models if node["config"]["materialized"] != "view"}
    return {
        name: connection.execute(f"select count(*) from {node['relation_name']}").fetchall()[0][0]
        for name, node in tables.items()
    }


def _key(invocation: DbtCliInvocation, node: dict[str, Any], columns: Tables) -> str:
    """A hash of what a model's columns are traced from; which days and loads a week's SQL names is no part of it."""
    tables = sorted({_table(node), *_parents(invocation, node)})
    sql = DAY_MOMENT_OR_LOAD.sub(r"\1", _compiled(invocation, node))
    content = [sql, *(f"{table}: {columns.get(table)}" for table in tables)]
    return hashlib.sha256("\n".join(content).encode()).hexdigest()


def _trace(invocation: DbtCliInvocation, node: dict[str, Any], columns: Tables) -> dict[str, Any]:
    """The columns of a model's table; and of a model in SQL that is understood, those that they come from."""
    there = columns.get(_table(node), {})
    schema = dg.TableSchema([dg.TableColumn(name, kind) for name, kind in there.items()])
    told: dict[str, Any] = {COLUMN_SCHEMA: dg.MetadataValue.table_schema(schema)}
    if node["language"] != "sql":
        return told
    try:
        traced = trace_columns(_compiled(invocation, node), columns)
    except SqlglotError:
        return told
    keys = {
        table: invocation.dagster_dbt_translator.get_asset_spec(
            invocation.manifest, parent["unique_id"], invocation.project
        ).key
        for table, parent in _parents(invocation, node).items()
    }
    dependencies = {
        column: [
            dg.TableColumnDep(keys[table], source) for table, source in sorted(traced.get(column, ())) if table in keys
        ]
        for column in there
    }
    return told | {COLUMN_LINEAGE: dg.MetadataValue.column_lineage(dg.TableColumnLineage(dependencies))}


def _parents(invocation: DbtCliInvocation, node: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What a model reads, by `schema.table`."""
    manifest = invocation.manifest
    parents = [manifest["nodes"].get(name) or manifest["sources"][name] for name in node["depends_on"]["nodes"]]
    return {_table(parent): parent for parent in parents}


def _table(node: dict[str, Any]) -> str:
    return f"{node['schema']}.{node.get('identifier') or node.get('alias') or node['name']}"


def _compiled(invocation: DbtCliInvocation, node: dict[str, Any]) -> str:
    file = invocation.target_path / "compiled" / node["package_name"] / node["original_file_path"]
    return file.read_text(encoding="utf-8")

"""What Dagster is told of a table that dbt made: how many rows, which columns, and which columns those come from.

Tracing columns through SQL costs several seconds of a run, and the same SQL over the same columns comes from the same
columns: what was traced is kept beside dbt's manifest and told again until one of the two changes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
from dagster import deserialize_value, serialize_value
from dagster_dbt import DbtCliInvocation
from dagster_dbt.core.dbt_event_iterator import DbtEventIterator

COLUMN_METADATA = ("dagster/column_schema", "dagster/column_lineage")
ROW_COUNT, STORAGE_KIND = "dagster/row_count", "dagster/storage_kind"


def events_with_metadata(
    invocation: DbtCliInvocation, connection_of: Any, memory: ColumnMemory, prepare_tracing: Callable[[], None]
) -> Iterator[dg.Output[Any] | dg.AssetMaterialization | Any]:
    """The events of a finished dbt run, those of models with rows and columns.

    Args:
        invocation: a dbt run that has ended.
        connection_of: gives a context manager of a read-only connection to the warehouse.
        memory: what was traced before.
        prepare_tracing: is called before columns are traced, if any are.
    """
    events = list(invocation.stream())
    with connection_of() as connection:
        rows = _row_counts(connection, invocation, events)
        columns = _columns(connection)
    for event in events:
        node = _model_of(invocation, event)
        if node is None:
            yield event
            continue
        key = _key(invocation, node, columns)
        told = memory.recall(node["unique_id"], key)
        if told is None:
            prepare_tracing()
            (traced,) = DbtEventIterator(iter([event]), invocation).fetch_column_metadata()
            told = {name: traced.metadata[name] for name in COLUMN_METADATA if name in traced.metadata}
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


def _columns(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """The columns of each table and their types, as one text by `schema.table`."""
    return dict(
        connection.execute(
            "select schema_name || '.' || table_name, "
            "string_agg(column_name || ' ' || data_type, ',' order by column_index) "
            "from duckdb_columns() where not internal group by all"
        ).fetchall()
    )


def _key(invocation: DbtCliInvocation, node: dict[str, Any], columns: dict[str, str]) -> str:
    manifest = invocation.manifest
    parents = [manifest["nodes"].get(name) or manifest["sources"][name] for name in sorted(node["depends_on"]["nodes"])]
    tables = [
        f"{each['schema']}.{each.get('identifier') or each.get('alias') or each['name']}" for each in [node, *parents]
    ]
    compiled = invocation.target_path / "compiled" / node["package_name"] / node["original_file_path"]
    content = [compiled.read_text(encoding="utf-8"), *(f"{table}: {columns.get(table)}" for table in tables)]
    return hashlib.sha256("\n".join(content).encode()).hexdigest()

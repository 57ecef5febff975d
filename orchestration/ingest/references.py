"""References: rows that name a row of another entity which is not there.

What belongs here: asking it set-wise of the loaded tables, after all files of a run. Which references there are, and
how many rows may point to nothing, stands in the contracts. No row is refused for it: the other often comes later.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import duckdb

from data_contracts.contract import ENTITIES
from data_contracts.odcs_references import Reference
from orchestration.sql import identifier
from orchestration.workspace import Workspace


@dataclass(frozen=True)
class ReferenceCount:
    """How the new rows of one entity keep one reference.

    Attributes:
        entity: whose rows.
        reference: the reference.
        rows: new rows that name something.
        rows_unfound: those among them that name what is not there.
        values_unfound: how many different things that are.
    """

    entity: str
    reference: Reference
    rows: int
    rows_unfound: int
    values_unfound: int

    @property
    def percent_unfound(self) -> float:
        """Rows that name what is not there, in percent of those that name something."""
        return 100 * self.rows_unfound / self.rows if self.rows else 0.0

    @property
    def is_kept(self) -> bool:
        """Whether no more rows than the contract tolerates name what is not there."""
        return self.percent_unfound <= self.reference.tolerated_percent


def count_references(
    connection: duckdb.DuckDBPyConnection, workspace: Workspace, entities: Iterable[str], first_sequence: int
) -> list[ReferenceCount]:
    """Count what rows of this run name that is not there.

    Args:
        connection: an open connection.
        workspace: its contracts, and which entities it delivers; what is not delivered cannot be missed.
        entities: those with new rows.
        first_sequence: the lowest load sequence of this run. Loads lie in the table in their order, so that DuckDB
            passes over the older ones.
    """
    counts = []
    for entity in sorted(entities, key=ENTITIES.index):
        for reference in workspace.contracts[entity].references:
            if reference.entity not in workspace.entities or not _is_mapped(workspace, entity, reference.column):
                continue
            column, key = identifier(reference.column), identifier(reference.entity_column)
            found = connection.execute(
                f"with named as (select {column} as value, count(*) as rows from raw.{identifier(entity)} "
                f"where _load_sequence >= ? and {column} is not null group by {column}), "
                f"unfound as (select * from named where not exists "
                f"(select 1 from raw.{identifier(reference.entity)} as other where other.{key} = named.value)) "
                "select (select coalesce(sum(rows), 0)::bigint from named), "
                "(select coalesce(sum(rows), 0)::bigint from unfound), (select count(*) from unfound)",
                [first_sequence],
            ).fetchall()[0]
            counts.append(ReferenceCount(entity, reference, *found))
    return counts


def _is_mapped(workspace: Workspace, entity: str, column: str) -> bool:
    return any(
        column in mapped.columns
        for mapping in workspace.mappings
        for mapped in mapping.entities
        if mapped.entity == entity
    )

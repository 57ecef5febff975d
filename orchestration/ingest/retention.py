"""Retention: rows that are older than their contract says they are kept.

What belongs here: counting them. Nothing is deleted: whether an old row may go is a decision of the company, and weeks
that were published from it would change without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import duckdb

from data_contracts.contract import Contract
from orchestration.sql import identifier


@dataclass(frozen=True)
class RetentionCount:
    """How many rows of one entity are kept longer than stated.

    Attributes:
        entity: whose rows.
        retention_days: how long rows are kept, by the contract that holds.
        kept_from: the first day that is still kept.
        rows: rows of an earlier day; a row without a time is as old as its delivery.
    """

    entity: str
    retention_days: int
    kept_from: date
    rows: int


def count_past_retention(connection: duckdb.DuckDBPyConnection, contract: Contract, as_of: date) -> RetentionCount:
    """Count an entity's rows that are kept longer than its contract says.

    Args:
        connection: an open connection.
        contract: the contract that holds in the workspace.
        as_of: the day from which is counted back: the end of the run's last week.
    """
    kept_from = as_of - timedelta(days=contract.retention_days)
    table, time = f"raw.{identifier(contract.entity)}", identifier(contract.time_column)
    # Two counts, because DuckDB passes over what lies later only where a condition looks at a column as it stands.
    (rows,) = connection.execute(
        f"select (select count(*) from {table} where {time} < ?) "
        f"+ (select count(*) from {table} where {time} is null and _delivered_at < ?)",
        [kept_from, kept_from],
    ).fetchall()[0]
    return RetentionCount(contract.entity, contract.retention_days, kept_from, int(rows))

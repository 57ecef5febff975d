"""What is in quarantine, for a person who wants to mend it: lists, and explanations of single rows.

What belongs here: reading the quarantine, read-only. What a row says may be somebody's data, so it is told only to who
asks for it; file, row number, rules and columns tell nothing of anybody.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import duckdb

from activation.answers import first_row
from data_contracts.contract import ENTITIES, Contract
from data_contracts.odcs_rules import Rule, read_columns
from data_contracts.rules import NOT_COMPUTED
from orchestration.ingest.loader import IS_A_ROW
from orchestration.mapping import ColumnSource, MappedEntity
from orchestration.sql import expression_columns, identifier
from orchestration.workspace import Workspace

ROWS_EXPLAINED = 20


@dataclass(frozen=True)
class RuleCount:
    """How many rows of one file break one rule; a row that breaks two is counted with both."""

    entity: str
    file: str
    rule: str
    rows: int


@dataclass(frozen=True)
class RefusedFile:
    """A file that the last run refused whole, and the rules its rows broke."""

    entity: str
    file: str
    rows_read: int
    rows_wrong: int
    rules: dict[str, int]


@dataclass(frozen=True)
class BrokenRule:
    """One rule that a row breaks.

    Attributes:
        name: of the rule.
        why: why there is such a rule; empty where its name says all, or the contract knows it no more.
        columns: the canonical columns it looks at, each with where the mapping takes it from.
        values: what the row says in the columns of the file it comes from; None where that was not asked for.
    """

    name: str
    why: str
    columns: dict[str, str]
    values: dict[str, Any] | None


@dataclass(frozen=True)
class QuarantinedRow:
    """One row, or one line that could not be read as a row.

    Attributes:
        source: the mapping.
        file: the file.
        row_number: 1 = first row; of a line that is no row its number in the file, the header is 1.
        is_row: whether it could be read as a row, so that it can be judged again.
        rules: what is wrong.
        delivered: the whole of it; None where that was not asked for.
    """

    source: str
    file: str
    row_number: int
    is_row: bool
    rules: tuple[BrokenRule, ...]
    delivered: str | None


def count_quarantine(
    connection: duckdb.DuckDBPyConnection, entity: str | None = None, file: str | None = None
) -> list[RuleCount]:
    """How many rows break which rule, per entity and file, the most first.

    Args:
        connection: an open connection, which may be read-only.
        entity: only this one's.
        file: only this one.
    """
    counts = []
    for name in [entity] if entity else ENTITIES:
        rows = connection.execute(
            f"select _file, rule, count(*) as rows from (select _file, unnest(rules) as rule "
            f"from quarantine.{identifier(name)} where _file = coalesce(?, _file)) "
            "group by _file, rule order by _file, rows desc, rule",
            [file],
        ).fetchall()
        counts += [RuleCount(name, *row) for row in rows]
    return counts


def refused_files(connection: duckdb.DuckDBPyConnection) -> list[RefusedFile]:
    """The files that the last run refused whole; nothing of them was loaded."""
    known = "select 1 from duckdb_tables() where schema_name = 'quarantine' and table_name = 'refused_files'"
    if not first_row(connection, known):
        return []
    rows = connection.execute(
        "select entity, file, rows_read - rows_filtered + rows_unreadable, rows_broken + rows_unreadable, rules "
        "from quarantine.refused_files order by entity, file"
    ).fetchall()
    return [RefusedFile(entity, file, read, wrong, json.loads(rules)) for entity, file, read, wrong, rules in rows]


def explain_rows(
    connection: duckdb.DuckDBPyConnection,
    workspace: Workspace,
    entity: str,
    file: str | None,
    row_number: int | None,
    show_values: bool,
) -> list[QuarantinedRow]:
    """Which rules rows break, and which columns those rules look at; at most 20 rows.

    Args:
        connection: an open connection, which may be read-only.
        workspace: its contracts and mappings.
        entity: whose rows.
        file: only this file's.
        row_number: only this one.
        show_values: whether to tell what the rows say.
    """
    rows = connection.execute(
        f"select _source, _file, _row_number, {IS_A_ROW}, rules, delivered_row from quarantine.{identifier(entity)} "
        "where _file = coalesce(?, _file) and _row_number = coalesce(?, _row_number) "
        f"order by _source, _file, _row_number limit {ROWS_EXPLAINED}",
        [file, row_number],
    ).fetchall()
    contract, mapped = workspace.contracts[entity], _mapped_entities(workspace, entity)
    return [
        QuarantinedRow(
            source,
            file_name,
            number,
            is_row,
            tuple(
                _broken_rule(contract, mapped.get(source), name, delivered if show_values and is_row else None)
                for name in names
            ),
            delivered if show_values else None,
        )
        for source, file_name, number, is_row, names, delivered in rows
    ]


@contextmanager
def open_read_only(warehouse_file: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that changes nothing.

    Raises:
        OSError: another process is writing.
    """
    try:
        connection = duckdb.connect(str(warehouse_file), read_only=True)
    except duckdb.IOException:
        raise OSError("the warehouse is locked") from None
    try:
        yield connection
    finally:
        connection.close()


def listing(
    connection: duckdb.DuckDBPyConnection, workspace: Workspace, entity: str | None, file: str | None
) -> list[str]:
    """What is in quarantine, as lines to print: counts per entity, file and rule; then the files refused whole."""
    lines: list[str] = []
    for (name, of_file), counts in groupby(
        count_quarantine(connection, entity, file), key=lambda count: (count.entity, count.file)
    ):
        lines.append(f"{name}  {of_file}")
        lines += [f"  {count.rows:>9,} rows  {count.rule}" for count in counts]
    hint = (
        ["--entity, --file and --row explain a row; after the fix, --retry judges all of them again."] if lines else []
    )
    lines = lines or ["No row is in quarantine."]
    for refused in refused_files(connection):
        if (entity or refused.entity, file or refused.file) == (refused.entity, refused.file):
            lines.append(
                f"{refused.entity}  {refused.file}  refused whole by the last run: {refused.rows_wrong:,} of "
                f"{refused.rows_read:,} rows are wrong, more than quarantine_threshold "
                f"({workspace.settings.quarantine_threshold:.0%})"
            )
            lines += [f"  {rows:>9,} rows  {rule}" for rule, rows in refused.rules.items()]
    return lines + hint


def explanation(
    connection: duckdb.DuckDBPyConnection,
    workspace: Workspace,
    entity: str,
    file: str,
    row_number: int | None,
    show_values: bool,
) -> list[str]:
    """What is wrong with rows, as lines to print."""
    rows = explain_rows(connection, workspace, entity, file, row_number, show_values)
    if not rows:
        return [f"No such row is in quarantine; personae quarantine {workspace.folder} lists what is."]
    lines: list[str] = []
    for row in rows:
        lines.append(f"{row.file}, {'row' if row.is_row else 'line'} {row.row_number:,} (mapping {row.source})")
        for rule in row.rules:
            lines.append(f"  {rule.name}{f': {rule.why}' if rule.why else ''}")
            lines += [f"    {column}, {origin}" for column, origin in rule.columns.items()]
            lines += [f"    {name} = {value!r}" for name, value in (rule.values or {}).items()]
        if row.delivered is not None:
            lines.append(f"  as delivered: {row.delivered}")
    if len(rows) == ROWS_EXPLAINED:
        lines.append(f"These are the first {ROWS_EXPLAINED}; --row N explains another one.")
    return lines


def _mapped_entities(workspace: Workspace, entity: str) -> dict[str, MappedEntity]:
    return {
        mapping.name: mapped for mapping in workspace.mappings for mapped in mapping.entities if mapped.entity == entity
    }


def _broken_rule(contract: Contract, mapped: MappedEntity | None, name: str, delivered: str | None) -> BrokenRule:
    rule = next((rule for rule in contract.rules if rule.name == name), None)
    computed = name.removesuffix(f" {NOT_COMPUTED}")
    columns = list(_columns_of(rule)) if rule else [computed] if computed in contract.column_names else []
    origins = {column: mapped.columns[column] for column in columns if mapped and column in mapped.columns}
    values = None
    if delivered is not None:
        row = {key.casefold(): value for key, value in json.loads(delivered).items()}
        read = dict.fromkeys(name for origin in origins.values() for name in _source_columns(origin))
        values = {name: row.get(name.casefold()) for name in read}
    shown = {column: _origin_in_words(origins.get(column)) for column in columns}
    return BrokenRule(name, rule.description if rule else "", shown, values)


def _columns_of(rule: Rule) -> Iterator[str]:
    if rule.column:
        yield rule.column
    elif rule.condition:
        yield from sorted(read_columns(rule.condition))


def _source_columns(origin: ColumnSource) -> list[str]:
    if origin.column is not None:
        return [origin.column]
    return expression_columns(origin.sql) if origin.sql else []


def _origin_in_words(origin: ColumnSource | None) -> str:
    if origin is None:
        return "not mapped"
    if origin.column is not None:
        return f"from the file's column '{origin.column}'"
    return f"computed: {origin.sql}" if origin.sql else f"always {origin.value}"

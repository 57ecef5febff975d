"""Lookups: what an extract's rows take from another extract of the same source, such as a campaign's name by its id.

What belongs here: composing the SQL. How the files are read stands in `reading.py`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from orchestration.mapping import ColumnSource, Lookup
from orchestration.sql import identifier, literal, rewrite_expression

if TYPE_CHECKING:
    from orchestration.ingest.reading import ExtractTable

# Begins the name of a lookup's column in an extract's relation.
LOOKUP = "_lookup_"
ROWS_PER_FILE = 1_000_000_000_000


def join_lookups(table: ExtractTable, lookup: Lookup, files: list[ExtractTable]) -> ExtractTable:
    """The table with one more column: the lookup's row of the same key, or null.

    Of several rows with one key the last holds: that of the latest file, and in a file that of the highest number.

    Args:
        table: the extract, with the lookups before this one.
        lookup: what is looked up.
        files: the lookup's files, the latest last.

    Raises:
        UnreadableExtract: a file lacks a column.
    """
    key = _key(lookup.extract.equals, table)
    wanted = f" and _key in (select {key} from {table.relation})" if _is_larger(files, table) else ""
    names = ", ".join(f"{literal(name)}: {identifier(name)}" for name in lookup.columns)
    rows = " union all ".join(_rows(lookup, file, place) for place, file in enumerate(files)) or _no_rows(lookup)
    found = (
        f"select _key, max_by({{{names}}}, _place) as _found from ({rows}) where _key is not null{wanted} group by _key"
    )
    relation = (
        f"(select first.*, found._found as {identifier(LOOKUP + lookup.name)} from {table.relation} as first "
        f"left join ({found}) as found on found._key = {key})"
    )
    return replace(table, relation=relation, lookups={**table.lookups, lookup.name: tuple(lookup.columns)})


def _is_larger(files: list[ExtractTable], table: ExtractTable) -> bool:
    """Whether reading the extract's keys first spares more than it costs: a week's consents among years of events."""
    # Rows from the quarantine are few, and their file may be gone.
    size = table.extract.path.stat().st_size if table.extract.path.exists() else 0
    return sum(file.extract.path.stat().st_size for file in files) > size


def _rows(lookup: Lookup, file: ExtractTable, place: int) -> str:
    columns = ", ".join(f"{file.column_sql(name)} as {identifier(name)}" for name in lookup.columns)
    where = f" where {rewrite_expression(lookup.extract.where, file.column_sql)}" if lookup.extract.where else ""
    return (
        f"(select {_key(lookup.extract.key, file)} as _key, {place * ROWS_PER_FILE} + _row_number as _place, {columns} "
        f"from {file.relation}{where})"
    )


def _no_rows(lookup: Lookup) -> str:
    columns = ", ".join(f"null::varchar as {identifier(name)}" for name in lookup.columns)
    return f"select null::varchar as _key, 0 as _place, {columns} where false"


def _key(key: ColumnSource, table: ExtractTable) -> str:
    value = rewrite_expression(key.sql, table.column_sql) if key.sql else table.column_sql(str(key.column))
    return f"nullif(trim(({value})::varchar), '')"

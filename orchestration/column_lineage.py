"""From which columns of which tables the columns of a query come, read from its SQL.

What belongs here: that reading. Dagster's own parses a query again for each of its columns, and makes dbt's adapter
first to ask it which columns there are; the two together were a fifth of a workspace's first run.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlglot import exp, parse_one
from sqlglot.lineage import Node, lineage
from sqlglot.schema import MappingSchema

DIALECT = "duckdb"

Tables = Mapping[str, Mapping[str, str]]
"""By `schema.table` the type of each column by its name."""


def trace_columns(sql: str, tables: Tables) -> dict[str, set[tuple[str, str]]]:
    """What each column of a query is made of.

    Args:
        sql: a query; it may read other tables than those that are known.
        tables: the tables whose columns are known, so that a `*` and a name without its table can be told.

    Returns:
        By column of the query, in lower case, the columns it comes from as (`schema.table`, column), in lower case.

    Raises:
        sqlglot.errors.SqlglotError: the SQL is not understood.
    """
    query = parse_one(sql, dialect=DIALECT)
    schema = MappingSchema(dialect=DIALECT)
    for table in query.find_all(exp.Table):
        table.set("catalog", None)  # there is one database, whether it is named or not
        columns = tables.get(name_of(table))
        if columns:
            schema.add_table(table, dict(columns), dialect=DIALECT)
    sources: dict[int, set[tuple[str, str]]] = {}
    traced = lineage(None, query, schema, dialect=DIALECT, trim_selects=False, copy=False)
    return {column.lower(): _sources_of(node, sources) for column, node in traced.items()}


def name_of(table: exp.Table) -> str:
    """A table's name as `schema.table`, in lower case; the database is always the warehouse."""
    return f"{table.db}.{table.name}".lower()


def _sources_of(node: Node, known: dict[int, set[tuple[str, str]]]) -> set[tuple[str, str]]:
    """Columns of tables at the ends of a lineage; columns share parts of it, and each part is walked once."""
    if id(node) not in known:
        known[id(node)] = set()  # a query that reads itself ends here
        if node.downstream:
            known[id(node)] = set().union(*(_sources_of(each, known) for each in node.downstream))
        elif (table := node.expression.find(exp.Table)) is not None:
            known[id(node)] = {(name_of(table), exp.to_column(node.name).name.lower())}
    return known[id(node)]

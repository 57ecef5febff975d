"""SQL as text: names, literals, and the scalar expressions that a mapping may hold.

What belongs here: telling an expression over one row from anything that reaches beyond it, with DuckDB's own parser.
Which columns an expression may name is known to whoever reads the file.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import duckdb

from activation.answers import first_row

Node = dict[str, Any]

_ROW_NODES = frozenset(
    {
        "BETWEEN",
        "CASE",
        "CAST",
        "COLLATE",
        "COLUMN_REF",
        "COMPARISON",
        "CONJUNCTION",
        "CONSTANT",
        "FUNCTION",
        "OPERATOR",
        "TYPE",
    }
)
# What DuckDB's parser says of `select <expression>` beside the expression itself.
_NOTHING_ELSE = {
    "type": "SELECT_NODE",
    "cte_map": {},
    "from_table": {"type": "EMPTY"},
    "aggregate_handling": "STANDARD_HANDLING",
}
# DuckDB calls these consistent although they tell of the clock or of the session.
_LOOKS_BEYOND_THE_ROW = frozenset(
    {"age", "current_localtime", "current_localtimestamp", "current_setting", "getvariable", "version"}
)
# Functions of the row that DuckDB keeps as macros.
_ROW_MACROS = frozenset({"array_to_string", "days_in_month", "fdiv", "fmod", "nullif", "round_even", "split_part"})


def literal(value: str) -> str:
    """A text as SQL literal."""
    return "'" + value.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """A name as quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def optional(query: str, column: str) -> str:
    """`query`, every column of whose answer may be empty; `column` is one of them.

    A Parquet column is `required` where DuckDB knows that nothing of what it read is missing, and it knows that of a
    whole table, other weeks included. A union with nobody, in whom everything is missing, leaves a file to its rows.
    """
    return f"{query} union all by name select null as {identifier(column)} where random() < 0"


def check_expression(text: str) -> str:
    """`text` itself, once it is known to be one scalar expression over a row's columns.

    Raises:
        ValueError: it is no expression, or it reaches beyond the row (a query, an aggregate, a window, a parameter, the
            clock, chance, the session).
    """
    select = _parse(text)
    expressions = select.get("select_list", [])[:1]
    if select != {**_NOTHING_ELSE, "select_list": expressions}:
        raise ValueError(f"one expression over the row's columns is expected: {text}")
    for node in _nodes(expressions):
        if node["class"] == "FUNCTION" and node["function_name"].lower() not in _row_functions():
            raise ValueError(f"the function '{node['function_name']}' is not allowed in a mapping")
        if node["class"] not in _ROW_NODES:
            raise ValueError(f"an expression may use only the row's own columns: {text}")
    if "alias" in expressions[0]:
        raise ValueError(f"an expression has no name of its own: {text}")
    return text


def expression_columns(text: str) -> list[str]:
    """The columns that a checked expression names, each once, in order of appearance."""
    return list(dict.fromkeys(_column_name(node) for node in _nodes(_parse(text)) if node["class"] == "COLUMN_REF"))


def rewrite_expression(text: str, column_sql: Callable[[str], str]) -> str:
    """A checked expression with each of its columns replaced.

    Args:
        text: the expression.
        column_sql: gives the SQL that stands for a column.
    """

    def replaced(node: Any) -> Any:
        if isinstance(node, dict):
            if node.get("class") == "COLUMN_REF":
                return _statement(column_sql(_column_name(node)))["statements"][0]["node"]["select_list"][0]
            return {key: replaced(value) for key, value in node.items()}
        return [replaced(each) for each in node] if isinstance(node, list) else node

    select = str(_ask("select json_deserialize_sql(?)", json.dumps(replaced(_statement(text)))))
    return f"({select.removeprefix('SELECT ')})"


def check_date_format(text: str) -> str:
    """`text` itself, once DuckDB's strptime is known to understand it.

    Raises:
        ValueError: it is no format.
    """
    try:
        _ask("select try_strptime('', ?)", text)
        is_format = "%" in text
    except duckdb.Error:
        is_format = False
    if not is_format:
        raise ValueError(f"'{text}' is no date format; write it like %d.%m.%Y %H:%M:%S")
    return text


@cache
def _parse(text: str) -> Node:
    """The one select that `select <text>` is; defaults left out."""
    parsed = _statement(text, ", skip_empty := true, skip_null := true, skip_default := true")
    if parsed.get("error") or len(parsed["statements"]) != 1:
        raise ValueError(f"this is no SQL expression: {text}")
    select: Node = parsed["statements"][0]["node"]
    return select


def _statement(text: str, options: str = "") -> Node:
    parsed: Node = json.loads(str(_ask(f"select json_serialize_sql(?{options})", f"select {text}")))
    return parsed


def _nodes(tree: Any) -> Iterator[Node]:
    if isinstance(tree, dict):
        if "class" in tree:
            yield tree
        tree = list(tree.values())
    if isinstance(tree, list):
        for each in tree:
            yield from _nodes(each)


def _column_name(node: Node) -> str:
    return ".".join(node["column_names"])


@cache
def _row_functions() -> frozenset[str]:
    """DuckDB's functions that give the same value for the same row, always.

    Of such a function the variants that take a moment with a zone count as consistent within a query alone: they ask
    the session for its time zone, which here is UTC.
    """
    query = (
        "select function_name from duckdb_functions() group by function_name "
        "having bool_and(function_type = 'scalar' and stability <> 'VOLATILE') and bool_or(stability = 'CONSISTENT') "
        "and not starts_with(function_name, '__')"
    )
    rows = _parser().cursor().execute(query).fetchall()
    return frozenset(row[0] for row in rows) - _LOOKS_BEYOND_THE_ROW | _ROW_MACROS


def _ask(query: str, value: str) -> object:
    row = first_row(_parser().cursor(), query, [value])
    return row[0] if row else None


@cache
def _parser() -> duckdb.DuckDBPyConnection:
    """An empty database: only its parser is asked."""
    return duckdb.connect()

"""The rules of a contract as SQL, so that one pass over a batch decides every row.

Here belongs what turns a rule into a DuckDB expression. Reading files, casting and quarantining belong to ingestion,
which prepares for each mapped canonical column `c` a column `c` of its type and, where a value was delivered that could
not be read as that type or from which the mapping's expression could not compute one, true in a BOOLEAN
`c__uncastable`.

A rule's name, and nothing of the row, is what leaves this module. An expression that is null counts as "not broken":
what is absent breaks only the rules that ask for it.
"""

from collections.abc import Callable
from datetime import date, datetime
from typing import Final

import sqlglot
from sqlglot import exp

from data_contracts.contract import Contract
from data_contracts.odcs_rules import Bound, ContractError, Rule

ATTRIBUTE_PREFIX: Final = "attr_"
UNCASTABLE_SUFFIX: Final = "__uncastable"
NOT_COMPUTED: Final = "cannot be computed by the mapping's expression"
"""What is wrong with a text that an expression fails to give; any text is of its type."""


def broken_rules_sql(contract: Contract, columns: set[str], uncastable: set[str]) -> str:
    """Compile the critical rules to one expression: which of them a row breaks.

    The names are made only for rows that break something; a clean row costs the comparisons alone.

    Args:
        contract: Contract of the entity.
        columns: Mapped columns, canonical or `attr_<name>`; the relation has each, typed.
        uncastable: The columns `c` among them for which the relation has a BOOLEAN `c__uncastable`.

    Returns:
        A DuckDB expression of type VARCHAR[], never null: the names of the broken rules in the order of the contract,
        empty for a row that keeps all of them.

    Raises:
        ContractError: A required column is not mapped, or a mapped column is none of the entity's.
    """
    _check_columns(contract, columns | uncastable)
    unmapped = [name for name in contract.required_columns if name not in columns]
    if unmapped:
        raise ContractError(f"{contract.entity} needs a column for {', '.join(unmapped)}")
    checks = [
        (rule.name, condition)
        for rule in contract.rules
        if rule.severity == "critical" and (condition := broken_when(rule, columns, uncastable)) is not None
    ]
    checks += [
        (f"{name} {NOT_COMPUTED}", quoted(name + UNCASTABLE_SUFFIX))
        for name in contract.column_names
        if name in uncastable and contract.column(name).type == "VARCHAR"
    ]
    checks += [
        (f"{name} is not of its declared type", quoted(name + UNCASTABLE_SUFFIX))
        for name in sorted(uncastable - set(contract.column_names))
    ]
    if not checks:
        return "[]::VARCHAR[]"
    is_broken = " or ".join(f"({condition})" for _, condition in checks)
    names = ", ".join(f"case when {condition} then {_text(name)} end" for name, condition in checks)
    return (
        f"case when {is_broken} then list_filter([{names}], lambda name: name is not null)"  # a list keeps its nulls
        " else []::VARCHAR[] end"
    )


def warning_counts_sql(contract: Contract, columns: set[str]) -> list[tuple[str, str]]:
    """Compile the warning rules to aggregates: how many rows break each.

    Args:
        contract: Contract of the entity.
        columns: Mapped columns, as for `broken_rules_sql`.

    Returns:
        Pairs of a rule's name and a DuckDB aggregate of type BIGINT, in the order of the contract. A rule about one
        column that is not mapped is left out; one about several reads a column that is not mapped as null.

    Raises:
        ContractError: A mapped column is none of the entity's.
    """
    _check_columns(contract, columns)
    return [
        (rule.name, f"count(*) filter (where {condition})")
        for rule in contract.rules
        if rule.severity == "warning" and (condition := broken_when(rule, columns, set())) is not None
    ]


def broken_when(rule: Rule, columns: set[str], uncastable: set[str]) -> str | None:
    """Compile one rule to a DuckDB condition that is true of a row that breaks it.

    Args:
        rule: The rule.
        columns: Mapped columns.
        uncastable: The columns among them that have a BOOLEAN `c__uncastable`.

    Returns:
        The condition, or None where no row alone can break the rule: its column is not mapped, or it is about rows
        among each other, which `unique_columns` tells.
    """
    if (rule.column is not None and rule.column not in columns) or rule.kind == "unique":
        return None
    if rule.kind == "condition":
        return _condition(str(rule.condition), columns)
    is_unreadable = quoted(f"{rule.column}{UNCASTABLE_SUFFIX}") if rule.column in uncastable else None
    if rule.kind == "type":
        return is_unreadable
    is_broken = _BROKEN_WHEN[rule.kind](quoted(str(rule.column)), rule)
    if rule.kind == "required" and is_unreadable:
        return f"{is_broken} and {is_unreadable} is not true"
    return is_broken


def unique_columns(contract: Contract, columns: set[str]) -> list[tuple[str, tuple[str, ...]]]:
    """Tell which columns no two rows of a file may share.

    Args:
        contract: Contract of the entity.
        columns: Mapped columns.

    Returns:
        Pairs of a rule's name and its columns, in the order of the contract. A row that lacks a value in one of them is
        not judged. A rule with a column that is not mapped is left out, but where that column tells the version, one
        file is taken to hold one version of each key.
    """
    found = []
    for rule in contract.rules:
        together = tuple(
            name for name in rule.unique_columns if name in columns or name not in contract.version_columns
        )
        if together and set(together) <= columns:
            found.append((rule.name, together))
    return found


def quoted(name: str) -> str:
    """Quote an identifier for DuckDB.

    Args:
        name: Name of a column or table.

    Examples:
        >>> quoted("order_id")
        '"order_id"'
    """
    return '"' + name.replace('"', '""') + '"'


def _check_columns(contract: Contract, columns: set[str]) -> None:
    unknown = sorted(
        name
        for name in columns - set(contract.column_names)
        if not (contract.allows_attributes and name.startswith(ATTRIBUTE_PREFIX))
    )
    if unknown:
        raise ContractError(f"{contract.entity} has no column {', '.join(unknown)}")


def _required(column: str, rule: Rule) -> str:
    return f"({column} is null or trim({column}) = '')" if rule.blank_is_missing else f"{column} is null"


def _missing(column: str, rule: Rule) -> str:
    return f"{column} is null"


def _range(column: str, rule: Rule) -> str:
    """NaN is above every number in DuckDB, so a range with a maximum refuses it, as it does infinity."""
    sides = ((rule.minimum, "<"), (rule.maximum, ">"))
    return " or ".join(f"{column} {operator} {_literal(bound)}" for bound, operator in sides if bound is not None)


def _allowed(column: str, rule: Rule) -> str:
    return f"{column} not in ({', '.join(_text(value) for value in rule.allowed_values)})"


def _pattern(column: str, rule: Rule) -> str:
    return f"not regexp_full_match({column}, {_text(str(rule.pattern))})"


_BROKEN_WHEN: Final[dict[str, Callable[[str, Rule], str]]] = {
    "required": _required,
    "missing": _missing,
    "range": _range,
    "allowed": _allowed,
    "pattern": _pattern,
}


def _condition(condition: str, columns: set[str]) -> str:
    def null_where_unmapped(node: exp.Expression) -> exp.Expression:
        return exp.null() if isinstance(node, exp.Column) and node.name not in columns else node

    tree = sqlglot.parse_one(condition, dialect="duckdb").transform(null_where_unmapped)
    return str(tree.sql(dialect="duckdb", identify=True))


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _literal(bound: Bound) -> str:
    if isinstance(bound, datetime):
        return f"timestamp '{bound:%Y-%m-%d %H:%M:%S}'"
    return f"date '{bound:%Y-%m-%d}'" if isinstance(bound, date) else repr(bound)

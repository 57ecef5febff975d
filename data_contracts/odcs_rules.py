"""One rule of a contract, and how the Open Data Contract Standard (v3.1) states it.

Here belongs what a rule *is* and how it is read. Which columns and keys a contract has belongs in `contract`; how a
rule is checked, in `rules` (every row, in SQL) and `expectations` (a batch, in Great Expectations).

Rules come from six places of a contract file:

* `required: true`: the value may not be missing.
* `physicalType`: a value that was delivered must be readable as the type.
* `logicalTypeOptions.minimum` and `.maximum`: both ends allowed.
* `quality` with `metric: nullValues` or `metric: invalidValues` (`validValues` or `pattern`).
* `quality` with `type: sql`, a query `select count(*) from {object} where <the row breaks the rule>`.
* `unique: true` on a column, or `quality` with `metric: duplicateValues` on the table for several columns together.

The first three are promises, and critical: a row that breaks one is refused. A quality rule states its severity.
Uniqueness is a warning: of two rows that share a key nobody can say which is wrong.

A `relationships` entry is a reference and no rule of a row: `odcs_references` reads it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final, Literal, get_args

import sqlglot
from open_data_contract_standard.model import DataQuality, SchemaProperty
from sqlglot import exp

TYPE_WORDS: Final = {
    "VARCHAR": "a text",
    "DOUBLE": "a number",
    "BIGINT": "a whole number",
    "BOOLEAN": "true or false",
    "TIMESTAMP": "a timestamp",
    "DATE": "a date",
}
"""The DuckDB types a column may have, each in plain words."""

LOGICAL_TYPES: Final = {
    "VARCHAR": "string",
    "DOUBLE": "number",
    "BIGINT": "integer",
    "BOOLEAN": "boolean",
    "TIMESTAMP": "timestamp",
    "DATE": "date",
}
"""What the standard calls each of them."""

Severity = Literal["critical", "warning"]
RuleKind = Literal["required", "type", "range", "missing", "allowed", "pattern", "condition", "unique"]
Bound = float | date | datetime


class ContractError(ValueError):
    """A contract, or a mapping held against one, cannot be used as it stands."""


@dataclass(frozen=True)
class Rule:
    """One statement that is true or false of a single row; for kind `unique`, of a row among the others of its file.

    Attributes:
        name: Says what is wrong with a row that breaks the rule; never holds a value of the data.
        kind: How the rule is checked.
        severity: `critical` refuses the row, `warning` counts it.
        column: The column the rule is about, or None where it is about several.
        tolerated_percent: Share of a batch, 0 to 100, that may break the rule before the batch counts as bad.
        description: Why the rule is there.
        allowed_values: For kind `allowed`.
        minimum: Lowest value allowed, for kind `range`.
        maximum: Highest value allowed, for kind `range`.
        pattern: Regular expression the whole value must match, for kind `pattern`.
        condition: SQL condition that is true of a row that breaks the rule, for kind `condition`.
        unique_columns: For kind `unique`: the columns that no two rows of a file share, where each has a value.
        blank_is_missing: For kind `required`: whether text of nothing but spaces counts as missing.
    """

    name: str
    kind: RuleKind
    severity: Severity
    column: str | None = None
    tolerated_percent: float = 0.0
    description: str = ""
    allowed_values: tuple[str, ...] = ()
    minimum: Bound | None = None
    maximum: Bound | None = None
    pattern: str | None = None
    condition: str | None = None
    unique_columns: tuple[str, ...] = ()
    blank_is_missing: bool = False


def promises(prop: SchemaProperty, name: str, type_: str) -> Iterator[Rule]:
    """Give the rules that follow from what a column is: that it is there, of its type, within its range, and unique.

    Args:
        prop: The column as the standard states it.
        name: Its canonical name.
        type_: Its DuckDB type.
    """
    if prop.required:
        yield Rule(
            name=f"{name} is required",
            kind="required",
            severity="critical",
            column=name,
            blank_is_missing=type_ == "VARCHAR",
        )
    if type_ != "VARCHAR":
        words = TYPE_WORDS.get(type_, type_)
        yield Rule(name=f"{name} is not {words}", kind="type", severity="critical", column=name)
    options = prop.logicalTypeOptions or {}
    minimum, maximum = read_bound(options.get("minimum"), type_), read_bound(options.get("maximum"), type_)
    if minimum is not None or maximum is not None:
        yield Rule(
            name=f"{name} is {_outside(minimum, maximum)}",
            kind="range",
            severity="critical",
            column=name,
            minimum=minimum,
            maximum=maximum,
        )
    if prop.unique:
        yield Rule(
            name=f"{name} is not unique",
            kind="unique",
            severity="warning",
            column=name,
            unique_columns=(name,),
        )


def read_bound(value: Any, type_: str) -> Bound | None:
    """Read one end of a range.

    Args:
        value: What the file says; None where the range has no such end.
        type_: DuckDB type of the column.

    Raises:
        ContractError: The column's values have no order, or the value is none of its type.
    """
    if value is None:
        return None
    try:
        if type_ == "TIMESTAMP":
            return datetime.fromisoformat(str(value))
        if type_ == "DATE":
            return date.fromisoformat(str(value))
    except ValueError:
        raise ContractError(f"'{value}' is no {'moment' if type_ == 'TIMESTAMP' else 'day'}") from None
    if type_ not in ("DOUBLE", "BIGINT"):
        raise ContractError(f"{TYPE_WORDS.get(type_, type_)} has no range")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ContractError(f"'{value}' is no number")
    return value


def _outside(minimum: Bound | None, maximum: Bound | None) -> str:
    low, high = (f"{bound:%Y-%m-%d}" if isinstance(bound, date) else f"{bound}" for bound in (minimum, maximum))
    if maximum is None:
        return f"below {low}"
    return f"above {high}" if minimum is None else f"not between {low} and {high}"


def quality_rule(quality: DataQuality, entity: str, column: str | None) -> Rule:
    """Read one entry of a `quality` list.

    Args:
        quality: The entry.
        entity: Entity it stands in.
        column: Column it stands in, or None where it stands in the table.

    Raises:
        ContractError: The entry has no severity we know, or cannot be checked row by row.
    """
    where = f"{entity}.{column}" if column else entity
    if quality.severity not in get_args(Severity):
        raise ContractError(f"A quality rule of {where} needs the severity critical or warning")
    common: dict[str, Any] = {
        "severity": quality.severity,
        "column": column,
        "tolerated_percent": _tolerated_percent(quality, where),
        "description": quality.description or "",
    }
    arguments = quality.arguments or {}
    if quality.type == "sql" and quality.query and quality.name:
        return Rule(name=quality.name, kind="condition", condition=_condition(quality.query, entity, column), **common)
    if column and quality.metric == "nullValues":
        return Rule(name=quality.name or f"{column} is missing", kind="missing", **common)
    if column and quality.metric == "invalidValues" and "validValues" in arguments:
        allowed = tuple(str(value) for value in arguments["validValues"])
        name = quality.name or f"{column} is none of {', '.join(allowed)}"
        return Rule(name=name, kind="allowed", allowed_values=allowed, **common)
    if column and quality.metric == "invalidValues" and "pattern" in arguments:
        name = quality.name or f"{column} does not match its pattern"
        return Rule(name=name, kind="pattern", pattern=_pattern(str(arguments["pattern"]), where), **common)
    if not column and quality.metric == "duplicateValues" and len(arguments.get("properties", ())) > 1:
        if quality.severity != "warning":
            raise ContractError(f"A rule of {where} on duplicates is a warning: no single row breaks it")
        together = tuple(str(name) for name in arguments["properties"])
        name = quality.name or f"{' and '.join(together)} are not unique together"
        return Rule(name=name, kind="unique", unique_columns=together, **common)
    raise ContractError(f"A quality rule of {where} is of no kind that can be checked row by row")


def _tolerated_percent(quality: DataQuality, where: str) -> float:
    if quality.mustBe == 0:
        return 0.0
    if quality.mustBeLessOrEqualTo is not None and quality.unit == "percent" and quality.severity == "warning":
        return float(quality.mustBeLessOrEqualTo)
    raise ContractError(
        f"A quality rule of {where} needs mustBe: 0, or, as a warning, mustBeLessOrEqualTo with unit: percent"
    )


def _pattern(pattern: str, where: str) -> str:
    """A pattern that Python reads too; groups are written (?:...), because nothing is captured."""
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise ContractError(f"The pattern of {where} is no regular expression") from error
    if groups:
        raise ContractError(f"The pattern of {where} captures a group; write (?:...) instead of (...)")
    return pattern


def _condition(query: str, entity: str, column: str | None) -> str:
    """The `where` of a quality query, as DuckDB SQL over the columns of one row."""
    unusable = ContractError(
        f"A quality query of {entity} must read `select count(*) from {{object}} where ...` and look at one row"
    )
    try:
        statement = sqlglot.parse_one(
            query.replace("{object}", entity).replace("{property}", column or "{property}"), dialect="duckdb"
        )
    except sqlglot.ParseError as error:
        raise unusable from error
    where = statement.args.get("where")
    if where is None or where.find(exp.Query, exp.AggFunc, exp.Window):
        raise unusable
    statement.set("where", None)
    if statement != sqlglot.parse_one(f"select count(*) from {entity}", dialect="duckdb"):
        raise unusable
    return str(where.this.sql(dialect="duckdb"))


def read_columns(condition: str) -> set[str]:
    """Name the columns a condition reads.

    Args:
        condition: SQL condition of a rule of kind `condition`.
    """
    return {node.name for node in sqlglot.parse_one(condition, dialect="duckdb").find_all(exp.Column)}

"""The rules of a contract as Great Expectations, so that a batch gets a verdict and a report.

Here belongs everything that touches Great Expectations, and nothing else: it is imported inside the functions, because
the import alone takes seconds. Single rows are decided in `rules`; a batch here is a bounded sample of typed rows.

Great Expectations knows no DuckDB, so a batch is a pandas frame. Rules that are SQL become columns that DuckDB computes
and that are expected to be false. Whether rows are unique, and whether what they refer to is there, a sample cannot
tell: ingestion asks it of whole files and tables. Counts and percentages leave this module, values of the data never.
"""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import duckdb
import pandas as pd

from data_contracts.contract import Contract
from data_contracts.odcs_rules import Bound, Rule, Severity
from data_contracts.rules import UNCASTABLE_SUFFIX, broken_when, quoted

if TYPE_CHECKING:
    from great_expectations import ExpectationSuite
    from great_expectations.core.batch_definition import BatchDefinition
    from great_expectations.core.expectation_validation_result import ExpectationValidationResult

_LARGEST_BATCH: Final = 200_000
_COMPUTED: Final = ("required", "condition")
_COUNTS_ONLY: Final = {"result_format": "SUMMARY", "partial_unexpected_count": 0}


class ExpectationError(RuntimeError):
    """An expectation could not be evaluated; names the rule, never what the data held."""


@dataclass(frozen=True)
class ExpectationResult:
    """What became of one expectation.

    Attributes:
        rule: Name of the rule of the contract.
        expectation: Type of the expectation in Great Expectations.
        column: Column it is about, or None where it is about several.
        severity: Severity of the rule.
        is_met: Whether no more rows break the rule than it tolerates.
        rows: Rows of the batch.
        missing: Rows without a value, which break no rule but those that ask for one.
        unexpected: Rows that break the rule.
        unexpected_percent: `unexpected` in percent of the rows that could break the rule, 0 to 100.
        tolerated_percent: Percentage of rows that may break the rule.
    """

    rule: str
    expectation: str
    column: str | None
    severity: Severity
    is_met: bool
    rows: int
    missing: int
    unexpected: int
    unexpected_percent: float
    tolerated_percent: float


@dataclass(frozen=True)
class BatchReport:
    """What Great Expectations says of one batch.

    Attributes:
        entity: Entity of the contract.
        rows: Rows of the batch.
        results: One result for each expectation, in the order of the contract.
    """

    entity: str
    rows: int
    results: tuple[ExpectationResult, ...]

    @property
    def is_met(self) -> bool:
        """Whether every critical expectation is met; warnings do not fail a batch."""
        return all(result.is_met for result in self.results if result.severity == "critical")

    def unmet(self, severity: Severity) -> tuple[ExpectationResult, ...]:
        """Return the expectations of one severity that are not met.

        Args:
            severity: `critical` or `warning`.
        """
        return tuple(result for result in self.results if result.severity == severity and not result.is_met)


def validate_batch(contract: Contract, frame: pd.DataFrame) -> BatchReport:
    """Hold a bounded batch to its contract with Great Expectations.

    Args:
        contract: Contract of the entity.
        frame: Typed rows, at most 200,000: the mapped canonical columns, where ingestion made them also BOOLEAN columns
            `<column>__uncastable`. Other columns are not looked at. NaN counts as missing, as everywhere in pandas.

    Returns:
        One result for each rule that the columns of the frame can be held to. A required column the frame lacks is
        reported as broken by every row.

    Raises:
        ValueError: The frame is larger than a batch may be.
        ExpectationError: An expectation could not be evaluated on these columns.
    """
    if len(frame) > _LARGEST_BATCH:
        raise ValueError(f"A batch has at most {_LARGEST_BATCH} rows, this one has {len(frame)}")
    try:
        checked, plans = _checked_frame(contract, frame)
    except (duckdb.Error, ValueError, TypeError, AttributeError):  # their messages quote the data
        raise ExpectationError(f"The columns of this batch do not have the types of {contract.entity}") from None
    definition = _batch_definition()
    batch = definition.get_batch(batch_parameters={"dataframe": checked})
    outcome = batch.validate(_suite(contract, plans), result_format=_COUNTS_ONLY)
    definition.get_batch(batch_parameters={"dataframe": checked.head(0)})  # the context keeps the last frame it saw
    by_rule = {str(config.meta["rule"]): result for result in outcome.results if (config := result.expectation_config)}
    results = tuple(_result(plan, by_rule[plan.rule.name], len(frame)) for plan in plans)
    return BatchReport(entity=contract.entity, rows=len(frame), results=results)


@dataclass(frozen=True)
class _Plan:
    """One rule, the expectation it becomes with its arguments, and the column of the checked frame it looks at."""

    rule: Rule
    expectation: str
    arguments: dict[str, Any]
    column: str


def _checked_frame(contract: Contract, frame: pd.DataFrame) -> tuple[pd.DataFrame, list[_Plan]]:
    """The columns that expectations look at, and the expectations."""
    mapped = {name for name in contract.column_names if name in frame.columns}
    uncastable = {name for name in mapped if f"{name}{UNCASTABLE_SUFFIX}" in frame.columns}
    plans = [plan for rule in contract.rules if (plan := _plan(rule, mapped, uncastable)) is not None]
    frame = frame.reset_index(drop=True)
    columns = {
        name: _column(frame[name], contract.column(name).type) for name in contract.column_names if name in mapped
    }
    columns |= {name + UNCASTABLE_SUFFIX: frame[name + UNCASTABLE_SUFFIX] for name in sorted(uncastable)}
    computed = [plan.rule for plan in plans if plan.column == plan.rule.name]
    if computed:
        verdicts = _computed_columns(computed, contract, frame, mapped, uncastable)
        columns |= {rule.name: verdicts[rule.name] for rule in computed}
    return pd.DataFrame(columns), plans


def _plan(rule: Rule, mapped: set[str], uncastable: set[str]) -> _Plan | None:
    """What Great Expectations is to expect for one rule; None where the batch has nothing to hold to it."""
    if rule.kind == "required" and rule.column not in mapped:
        return _Plan(rule, "ExpectColumnToExist", {}, str(rule.column))
    if broken_when(rule, mapped, uncastable) is None:
        return None
    expectation, arguments = _EXPECTATIONS[rule.kind](rule)
    column = f"{rule.column}{UNCASTABLE_SUFFIX}" if rule.kind == "type" else str(rule.column)
    return _Plan(
        rule,
        expectation,
        {**arguments, "mostly": 1 - rule.tolerated_percent / 100},
        rule.name if rule.kind in _COMPUTED else column,
    )


def _no_null(rule: Rule) -> tuple[str, dict[str, Any]]:
    return "ExpectColumnValuesToNotBeNull", {}


def _false(rule: Rule) -> tuple[str, dict[str, Any]]:
    return "ExpectColumnValuesToBeInSet", {"value_set": [False]}


def _between(rule: Rule) -> tuple[str, dict[str, Any]]:
    return "ExpectColumnValuesToBeBetween", {"min_value": _moment(rule.minimum), "max_value": _moment(rule.maximum)}


def _in_set(rule: Rule) -> tuple[str, dict[str, Any]]:
    return "ExpectColumnValuesToBeInSet", {"value_set": list(rule.allowed_values)}


def _matching(rule: Rule) -> tuple[str, dict[str, Any]]:
    return "ExpectColumnValuesToMatchRegex", {"regex": rf"\A(?:{rule.pattern})\Z"}


_EXPECTATIONS: Final[dict[str, Callable[[Rule], tuple[str, dict[str, Any]]]]] = {
    "required": _no_null,
    "missing": _no_null,
    "type": _false,
    "range": _between,
    "allowed": _in_set,
    "pattern": _matching,
    "condition": _false,
}


def _suite(contract: Contract, plans: list[_Plan]) -> "ExpectationSuite":
    import great_expectations as gx  # noqa: PLC0415 - see the module's docstring

    return gx.ExpectationSuite(
        name=contract.entity,
        expectations=[
            getattr(gx.expectations, plan.expectation)(
                column=plan.column, severity=plan.rule.severity, meta={"rule": plan.rule.name}, **plan.arguments
            )
            for plan in plans
        ],
    )


def _result(plan: _Plan, result: "ExpectationValidationResult", rows: int) -> ExpectationResult:
    counts = result.result
    if "unexpected_count" not in counts and plan.expectation != "ExpectColumnToExist":
        raise ExpectationError(f"Great Expectations could not evaluate: {plan.rule.name}")
    broken = int(counts.get("unexpected_count", 0 if result.success else rows))
    return ExpectationResult(
        rule=plan.rule.name,
        expectation=plan.expectation,
        column=plan.rule.column,
        severity=plan.rule.severity,
        is_met=bool(result.success),
        rows=rows,
        missing=int(counts.get("missing_count", 0)),
        unexpected=broken,
        unexpected_percent=float(counts.get("unexpected_percent") or (100.0 if broken else 0.0)),
        tolerated_percent=plan.rule.tolerated_percent,
    )


def _column(values: pd.Series, type_: str) -> pd.Series:
    """Dates come from DuckDB as timestamps or as objects; expectations compare timestamps."""
    return pd.to_datetime(values) if type_ in ("TIMESTAMP", "DATE") else values


def _moment(bound: Bound | None) -> Bound | None:
    if isinstance(bound, date) and not isinstance(bound, datetime):
        return datetime(bound.year, bound.month, bound.day)
    return bound


def _computed_columns(
    rules: list[Rule], contract: Contract, frame: pd.DataFrame, mapped: set[str], uncastable: set[str]
) -> pd.DataFrame:
    """One BOOLEAN column per rule, named after it: null where a required value is missing, true where SQL is broken."""
    typed = [
        f"{'null' if frame[name].isna().all() else quoted(name)}::{contract.column(name).type} as {quoted(name)}"
        for name in contract.column_names
        if name in mapped
    ]
    typed += [quoted(f"{name}{UNCASTABLE_SUFFIX}") for name in sorted(uncastable)]
    computed = []
    for rule in rules:
        is_broken = f"coalesce({broken_when(rule, mapped, uncastable)}, false)"
        value = f"case when not {is_broken} then true end" if rule.kind == "required" else is_broken
        computed.append(f"{value} as {quoted(rule.name)}")
    with _database().cursor() as connection:
        connection.register("batch", frame)  # a cursor's own, gone as it is closed
        return connection.sql(f"select {', '.join(computed)} from (select {', '.join(typed)} from batch)").df()


@cache
def _database() -> duckdb.DuckDBPyConnection:
    """One empty database for the whole process: making one costs more than most of what it is asked."""
    return duckdb.connect()


@cache
def _batch_definition() -> "BatchDefinition":
    """One ephemeral context for the whole process; importing the library is most of what a validation costs."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    logging.getLogger("great_expectations").setLevel(logging.CRITICAL)
    import great_expectations as gx  # noqa: PLC0415 - see the module's docstring
    from great_expectations.data_context.types.base import ProgressBarsConfig  # noqa: PLC0415

    context = gx.get_context(mode="ephemeral")
    context.enable_analytics(False)
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("batches").add_dataframe_asset("batch")
    return asset.add_batch_definition_whole_dataframe("whole")

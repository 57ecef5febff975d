"""A batch in Great Expectations: agrees with the row rules, and says nothing of what the data holds."""

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import asdict

import duckdb
import numpy as np
import pandas as pd
import pytest

from data_contracts.contract import ENTITIES, Contract, load_contract
from data_contracts.expectations import BatchReport, ExpectationError, validate_batch
from data_contracts.rules import broken_rules_sql, warning_counts_sql

CANARY = "canary-7f3a@"
TIMES = ["2026-01-05 08:00:00", "2026-03-01 23:59:59", "0001-01-01", "9999-12-31", None]


def random_rows(contract: Contract, rows: int, seed: int) -> duckdb.DuckDBPyRelation:
    """Typed candidate rows, good and bad by chance, as ingestion prepares them."""
    random = np.random.default_rng(seed)
    columns = {}
    for column in contract.columns:
        if column.type == "VARCHAR":
            choices = [*(column.allowed_values or ("EUR", "mia@example.com")), "eur", CANARY, "", "  ", None]
        else:
            choices = {
                "DOUBLE": ["-2.5", "0", "17", "1e13", None],
                "BIGINT": ["-1", "0", "12", "99000000", "2000000000000", None],
                "BOOLEAN": ["true", "false", None],
                "TIMESTAMP": TIMES,
                "DATE": TIMES,
            }[column.type]
        picked = random.integers(len(choices), size=rows)
        columns[column.name] = pd.Series([choices[i] for i in picked], dtype="object")
        if column.type != "VARCHAR":
            unreadable = random.random(rows) < 0.2
            columns[column.name] = columns[column.name].mask(pd.Series(unreadable), None)
            columns[f"{column.name}__uncastable"] = pd.Series(unreadable)
    raw = pd.DataFrame(columns)  # noqa: F841 - DuckDB reads it by its name
    types = {column.name: column.type for column in contract.columns}
    selected = ", ".join(f"{name}::{types.get(name, 'BOOLEAN')} as {name}" for name in columns)
    return duckdb.sql(f"select {selected} from raw")


def rows_breaking(contract: Contract, relation: duckdb.DuckDBPyRelation) -> Counter:
    columns = set(contract.column_names)
    uncastable = {name for name in columns if f"{name}__uncastable" in relation.columns}
    counts = Counter()
    for (names,) in relation.project(broken_rules_sql(contract, columns, uncastable)).fetchall():
        counts.update(names)
    warned = warning_counts_sql(contract, columns)
    if warned:
        (values,) = relation.aggregate(", ".join(count for _, count in warned)).fetchall()
        counts.update(dict(zip((name for name, _ in warned), values, strict=True)))
    return counts


@pytest.mark.parametrize("entity", ENTITIES)
def test_expectations_and_row_rules_agree_on_random_rows(entity):
    contract = load_contract(entity)
    relation = random_rows(contract, rows=400, seed=11)
    report = validate_batch(contract, relation.df())
    # Whether a row is unique is asked of whole files, where it is loaded: a sample cannot tell.
    rules = [rule.name for rule in contract.rules if rule.kind != "unique"]
    broken = rows_breaking(contract, relation)
    assert [result.rule for result in report.results] == rules
    assert {result.rule: result.unexpected for result in report.results} == {rule: broken[rule] for rule in rules}


@pytest.mark.parametrize("entity", ENTITIES)
def test_a_report_holds_no_value_of_the_data(entity):
    contract = load_contract(entity)
    report = validate_batch(contract, random_rows(contract, rows=60, seed=3).df())
    assert CANARY not in json.dumps(asdict(report), default=str)


def orders(**columns) -> BatchReport:
    rows = len(next(iter(columns.values())))
    frame = {"order_id": [str(i) for i in range(rows)], "ordered_at": [pd.Timestamp("2026-11-02")] * rows, **columns}
    return validate_batch(load_contract("orders"), pd.DataFrame(frame))


def test_a_batch_is_good_when_no_critical_rule_is_broken():
    report = orders(currency=["EUR", "euro"])
    assert report.is_met
    assert [result.rule for result in report.unmet("warning")] == ["currency is not three capital letters"]
    assert report.unmet("critical") == ()


def test_a_batch_is_bad_when_a_critical_rule_is_broken():
    report = orders(order_status=["completed", "completed", None, "shipped"])
    (unmet,) = report.unmet("critical")
    assert not report.is_met
    assert (unmet.column, unmet.rows, unmet.missing, unmet.unexpected) == ("order_status", 4, 1, 1)
    assert unmet.unexpected_percent == pytest.approx(100 / 3)


def test_a_warning_tolerates_the_percentage_it_states():
    tolerated, too_many = (orders(contact_id=["c"] * known + [None] * (4 - known)) for known in (2, 1))
    assert [result.rule for result in tolerated.unmet("warning")] == []
    assert [result.rule for result in too_many.unmet("warning")] == ["contact_id is missing"]


def test_a_required_column_that_is_not_there_is_broken_by_every_row():
    report = validate_batch(load_contract("orders"), pd.DataFrame({"order_id": ["1", "2"]}))
    (unmet,) = report.unmet("critical")
    assert (unmet.rule, unmet.unexpected) == ("ordered_at is required", 2)


def test_an_empty_batch_breaks_nothing():
    contract = load_contract("deals")
    assert validate_batch(contract, random_rows(contract, rows=1, seed=0).df().head(0)).is_met


def test_one_batch_leaves_nothing_to_the_next():
    assert not orders(order_status=["shipped"]).is_met
    assert orders(order_status=["completed"]).is_met


def test_a_batch_larger_than_its_bound_is_refused():
    with pytest.raises(ValueError, match="at most 200000 rows"):
        validate_batch(load_contract("orders"), pd.DataFrame({"order_id": ["1"] * 200_001}))


def test_columns_of_the_wrong_type_are_refused_without_quoting_them():
    with pytest.raises(ExpectationError) as refused:
        orders(updated_at=[CANARY])
    assert CANARY not in str(refused.value)
    assert refused.value.__cause__ is None and refused.value.__suppress_context__


def test_great_expectations_is_imported_only_to_validate_and_calls_nobody():
    script = (
        "import socket, sys, data_contracts.expectations as expectations, data_contracts.documentation\n"
        "assert 'great_expectations' not in sys.modules\n"
        "import pandas\n"
        "from data_contracts.contract import load_contract\n"
        "calls = []\n"
        "socket.getaddrinfo = socket.socket.connect = lambda *arguments, **options: calls.append(arguments)\n"
        "expectations.validate_batch(load_contract('consents'), pandas.DataFrame({'contact_id': ['1']}))\n"
        "assert not calls\n"
        "context = expectations._batch_definition().data_asset.datasource.data_context\n"
        "assert context.config.analytics_enabled is False\n"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GX_")}
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")

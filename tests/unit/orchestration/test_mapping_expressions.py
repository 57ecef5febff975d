"""An expression in a mapping is a function of its own row, and of nothing else."""

from __future__ import annotations

import duckdb
import pytest

from activation.answers import first_row
from orchestration.sql import (
    check_date_format,
    check_expression,
    expression_columns,
    identifier,
    literal,
    rewrite_expression,
)


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("quantity * unit_price", ["quantity", "unit_price"]),
        ("cast(cast(CustomerID as bigint) as varchar)", ["CustomerID"]),
        ("InvoiceNo like 'C%' or not paid", ["InvoiceNo", "paid"]),
        ("case when a > b then nullif(a, '') else coalesce(a, 'x') end", ["a", "b"]),
        ("user.id || '-' || \"a b\"", ["user.id", "a b"]),
        ("split_part(email, '@', 2)", ["email"]),
        ("try_cast(x as double) between 1 and 2 and y in ('a', 'b') and z is null", ["x", "y", "z"]),
        ("md5(lower(trim(email)))", ["email"]),
        ("date_trunc('month', day::timestamp) + interval 1 day", ["day"]),
        ("json_extract_string(payload, '$.id')", ["payload"]),
        ("'a constant'", []),
        ("x -- a comment", ["x"]),
    ],
)
def test_a_function_of_the_row_is_allowed(text: str, columns: list[str]) -> None:
    assert check_expression(text) == text
    assert expression_columns(text) == columns


@pytest.mark.parametrize(
    "text",
    [
        "(select 1)",
        "(select email from contacts)",
        "exists(select 1)",
        "a in (select 1)",
        "a from other",
        "a union select 1",
        "a; drop table raw.orders",
        "a; select 1",
        "a, b",
        "a as b",
        "a where b",
        "a order by b",
        "a limit 1",
        "a group by all",
        "distinct a",
        "*",
        "columns('.*')",
        "#1",
        "?",
        "$1",
        "sum(a)",
        "list(a)",
        "count(*)",
        "sum(a) over ()",
        "row_number() over ()",
        "unnest([1, 2])",
        "getenv('HOME')",
        "getvariable('x')",
        "current_setting('temp_directory')",
        "nextval('s')",
        "now()",
        "today()",
        "age(a)",
        "random()",
        "gen_random_uuid()",
        "read_text('/etc/passwd')",
        "no_such_function(a)",
        "error(a)",
        "write_log(a)",
        "",
        "a +",
        "a /*",
        "'unclosed",
    ],
)
def test_what_reaches_beyond_the_row_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expression|function"):
        check_expression(text)


def test_columns_are_replaced_wherever_they_stand() -> None:
    sql = rewrite_expression('case when a <> b.c then a else "b c" end', lambda name: f"upper({identifier(name)})")
    row = first_row(duckdb, f"select {sql} from (select '2' as a, '1' as \"b.c\", 'x' as \"b c\")")
    assert row == ("2",)
    assert "upper(a)" in sql
    assert 'upper("b c")' in sql


def test_names_and_texts_cannot_leave_their_quotes() -> None:
    assert identifier('a"b') == '"a""b"'
    assert literal("it's") == "'it''s'"


def test_a_date_format_is_one_that_duckdb_knows() -> None:
    assert check_date_format("%d.%m.%Y %H:%M") == "%d.%m.%Y %H:%M"
    with pytest.raises(ValueError, match="is no date format"):
        check_date_format("%d.%m.%")

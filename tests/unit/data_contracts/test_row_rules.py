"""Which rows are refused and which are counted: one test for each kind of rule, in a real DuckDB."""

import duckdb
import pytest

from data_contracts.contract import Contract, load_contract
from data_contracts.odcs_rules import ContractError
from data_contracts.rules import broken_rules_sql, quoted, warning_counts_sql

ORDERED_AT = "timestamp '2026-11-02 09:00:00'"


def broken(entity: str, rows: str, uncastable: set[str] = frozenset()) -> list[list[str]]:
    """The rules each row breaks, in the order of the rows; `rows` is a `values` list with named columns."""
    contract = load_contract(entity)
    with duckdb.connect() as connection:
        relation = connection.sql(f"select * from {rows}")
        columns = {name for name in relation.columns if not name.endswith("__uncastable")}
        return [row[0] for row in relation.project(broken_rules_sql(contract, columns, set(uncastable))).fetchall()]


def warnings(entity: str, rows: str, mapped: set[str] | None = None) -> dict[str, int]:
    contract = load_contract(entity)
    with duckdb.connect() as connection:
        relation = connection.sql(f"select * from {rows}")
        counts = warning_counts_sql(contract, mapped or set(relation.columns))
        (values,) = relation.aggregate(", ".join(count for _, count in counts)).fetchall()
    return {name: value for (name, _), value in zip(counts, values, strict=True) if value}


def test_a_row_that_keeps_every_rule_breaks_none():
    assert broken("orders", f"(values ('1', {ORDERED_AT}, 'completed')) as t(order_id, ordered_at, order_status)") == [
        []
    ]


def test_a_required_column_may_not_be_missing():
    rows = f"(values ('1', {ORDERED_AT}), (null, {ORDERED_AT}), ('3', null)) as t(order_id, ordered_at)"
    assert broken("orders", rows) == [[], ["order_id is required"], ["ordered_at is required"]]


def test_blank_text_is_no_key():
    rows = f"(values ('', {ORDERED_AT}), ('   ', {ORDERED_AT}), (' 7', {ORDERED_AT})) as t(order_id, ordered_at)"
    assert broken("orders", rows) == [["order_id is required"], ["order_id is required"], []]


def test_a_value_that_could_not_be_read_is_refused_and_is_not_called_missing():
    rows = (
        f"(values ('1', null::timestamp, true), ('2', null, false), ('3', {ORDERED_AT}, false), ('4', null, null))"
        " as t(order_id, ordered_at, ordered_at__uncastable)"
    )
    assert broken("orders", rows, {"ordered_at"}) == [
        ["ordered_at is not a timestamp"],
        ["ordered_at is required"],
        [],
        ["ordered_at is required"],
    ]


def test_an_optional_value_that_could_not_be_read_is_refused_too():
    rows = (
        "(values ('1', null::bigint, true), ('2', null, false))"
        " as t(account_id, employee_count, employee_count__uncastable)"
    )
    assert broken("accounts", rows, {"employee_count"}) == [["employee_count is not a whole number"], []]


def test_a_value_must_be_one_of_those_allowed():
    rows = (
        f"(values ('1', {ORDERED_AT}, 'pending'), ('2', {ORDERED_AT}, 'shipped'), ('3', {ORDERED_AT}, null))"
        " as t(order_id, ordered_at, order_status)"
    )
    assert broken("orders", rows) == [[], ["order_status is none of completed, cancelled, returned, pending"], []]


def test_both_ends_of_a_range_are_allowed():
    rows = (
        "(values ('1', 0), ('2', -1), ('3', 10000000), ('4', 10000001), ('5', null)) as t(account_id, employee_count)"
    )
    outside = ["employee_count is not between 0 and 10000000"]
    assert broken("accounts", rows) == [[], outside, [], outside, []]


def test_nan_and_infinity_are_no_amounts():
    amounts = ("'nan'::double", "'inf'::double", "'-inf'::double", "-12.5")
    rows = "(values " + ", ".join(f"('{i}', {ORDERED_AT}, {amount})" for i, amount in enumerate(amounts)) + ")"
    refused = ["order_amount is not between -1000000000000 and 1000000000000"]
    assert broken("orders", f"{rows} as t(order_id, ordered_at, order_amount)") == [refused, refused, refused, []]


def test_a_time_that_cannot_be_is_refused():
    rows = "(values ('1', timestamp '0001-01-01'), ('2', timestamp '9999-12-31')) as t(order_id, ordered_at)"
    assert broken("orders", rows) == [["ordered_at is not between 1970-01-01 and 2100-01-01"]] * 2


def test_a_row_names_all_rules_it_breaks_in_the_order_of_the_contract():
    rows = (
        "(values (null::varchar, null::timestamp, 'shipped', 1e15))"
        " as t(order_id, ordered_at, order_status, order_amount)"
    )
    assert broken("orders", rows) == [
        [
            "order_id is required",
            "ordered_at is required",
            "order_amount is not between -1000000000000 and 1000000000000",
            "order_status is none of completed, cancelled, returned, pending",
        ]
    ]


def test_what_was_refused_is_named_without_the_value():
    canary = "canary-7f3a"
    rows = f"(values ('{canary}', {ORDERED_AT}, '{canary}')) as t(order_id, ordered_at, order_status)"
    assert canary not in str(broken("orders", rows))


def test_a_warning_refuses_nothing():
    assert broken("contacts", "(values ('1', 'no address')) as t(contact_id, email)") == [[]]


def test_a_pattern_holds_for_the_whole_value():
    sha = "a" * 64
    emails = (
        "mia@example.com",
        "mia@example",
        "x mia@example.com",
        sha,
        sha + "0",
        "MIA@EXAMPLE.COM",
        "mia@example.com\n",
    )
    rows = "(values " + ", ".join(f"('{i}', '{email}')" for i, email in enumerate(emails)) + ") as t(contact_id, email)"
    assert warnings("contacts", rows) == {"email is neither an address nor a SHA-256": 4}


def test_missing_values_are_counted():
    rows = "(values ('1', 'mia@example.com'), ('2', null), ('3', null)) as t(contact_id, email)"
    assert warnings("contacts", rows) == {"email is missing": 2}


def test_a_column_that_is_not_mapped_is_not_missing():
    assert warnings("contacts", "(values ('1')) as t(contact_id)") == {}


def test_rules_about_several_columns_are_counted():
    rows = (
        "(values ('1', timestamp '2026-01-02', timestamp '2026-01-01', 'won', 'c'),"
        " ('2', timestamp '2026-01-02', null, 'lost', null), ('3', timestamp '2026-01-02', null, 'open', 'c'))"
        " as t(deal_id, created_at, closed_at, deal_status, contact_id)"
    )
    assert warnings("deals", rows) == {
        "closed_at lies before created_at": 1,
        "the deal is decided but has no closed_at": 1,
        "the deal names neither contact nor account": 1,
    }


def test_a_rule_about_several_columns_reads_what_is_not_mapped_as_missing():
    rows = (
        f"(values ('login', {ORDERED_AT}, 'd1'), ('login', {ORDERED_AT}, null))"
        " as t(event_type, occurred_at, device_id)"
    )
    assert warnings("events", rows) == {"the event names neither contact nor login nor device": 1}


def test_attributes_of_contacts_are_held_to_their_declared_type():
    rows = (
        "(values ('1', null::double, true), ('2', 3.5, false)) as t(contact_id, attr_income, attr_income__uncastable)"
    )
    assert broken("contacts", rows, {"attr_income"}) == [["attr_income is not of its declared type"], []]


@pytest.mark.parametrize(
    ("columns", "complaint"),
    [
        ({"order_id"}, "orders needs a column for ordered_at"),
        ({"order_id", "ordered_at", "total"}, "orders has no column total"),
        ({"order_id", "ordered_at", "attr_gift"}, "orders has no column attr_gift"),
    ],
)
def test_a_mapping_that_cannot_keep_the_contract_is_refused_before_any_row_is_read(columns, complaint):
    with pytest.raises(ContractError, match=complaint):
        broken_rules_sql(load_contract("orders"), columns, set())


def test_names_are_quoted():
    assert quoted('a"b') == '"a""b"'
    contract: Contract = load_contract("contacts")
    sql = broken_rules_sql(contract, {"contact_id", 'attr_"; drop table x; --'}, {'attr_"; drop table x; --'})
    assert '"attr_""; drop table x; --__uncastable"' in sql

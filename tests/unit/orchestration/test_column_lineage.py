"""Columns are traced to the columns they come from, through common table expressions, joins, stars and aggregates."""

import pytest
from sqlglot.errors import SqlglotError

from orchestration.column_lineage import trace_columns

TABLES = {
    "staging.orders": {"order_id": "VARCHAR", "contact_id": "VARCHAR", "amount": "DOUBLE"},
    "staging.contacts": {"contact_id": "VARCHAR", "country": "VARCHAR"},
}


def test_what_a_column_is_made_of_is_found_through_every_step() -> None:
    traced = trace_columns(
        """
        with paid as (select contact_id, sum(amount) as revenue from "warehouse"."staging"."orders" group by all),
        people as (select * from "warehouse"."staging"."contacts")
        select
            people.*,
            coalesce(paid.revenue, 0) as revenue,
            people.country || paid.contact_id as Both,
            (select max(o.order_id) from staging.orders as o where o.contact_id = people.contact_id) as last_order,
            1 as one
        from people left join paid on paid.contact_id = people.contact_id
        """,
        TABLES,
    )
    orders, contacts = "staging.orders", "staging.contacts"
    assert traced["contact_id"] == {(contacts, "contact_id")}
    assert traced["country"] == {(contacts, "country")}
    assert traced["revenue"] == {(orders, "amount")}
    assert traced["both"] == {(contacts, "country"), (orders, "contact_id")}
    assert (orders, "order_id") in traced["last_order"]
    assert traced["one"] == set()


def test_all_parts_of_a_union_count() -> None:
    traced = trace_columns(
        "select contact_id as who from staging.orders union all select contact_id from staging.contacts", TABLES
    )
    assert traced == {"who": {("staging.orders", "contact_id"), ("staging.contacts", "contact_id")}}


def test_what_is_no_sql_is_refused() -> None:
    with pytest.raises(SqlglotError):
        trace_columns("def model(dbt, session):\n    return dbt.ref('x')", TABLES)

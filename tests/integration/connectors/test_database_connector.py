"""A SQL database, here a real PostgreSQL: tables and queries arrive whole, once, with the values they had."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from connected_company import ConnectedCompany
from postgres_server import missing, running_postgres
from sqlalchemy import Engine, create_engine, text

from orchestration.connectors.fetch import FetchError

CURSOR = {"field": "updated_at", "start": "2026-01-01"}
TABLE = """
create schema shop;
create table shop.orders (
    id bigint primary key, at timestamptz not null, updated_at timestamptz not null, amount numeric(12, 2),
    note text, details jsonb, code uuid, picture bytea, day date
);
"""
ADD = (
    "insert into shop.orders (id, at, updated_at, amount, note, details, code, picture, day) "
    "select n, timestamptz '2026-01-01 10:00+02' + n * interval '1 hour', "
    "timestamptz '2026-01-01 10:00+02' + n * interval '1 hour', n + 0.25, 'say \"hi\"' || chr(10) || n, "
    "jsonb_build_object('n', n, 'list', jsonb_build_array(1, null)), "
    "('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid, '\\x00ff', date '2026-01-01' "
    "from generate_series(cast(:first as int), cast(:last as int)) as n"
)
COLUMNS = {
    "order_id": "id",
    "ordered_at": "at",
    "updated_at": "updated_at",
    "order_amount": "amount",
    "contact_id": "note",
    "order_channel": "details.list",
    "account_id": "code",
}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    if reason := missing():
        pytest.skip(reason)
    with running_postgres() as address:
        yield address


@pytest.fixture
def engine(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    engine = create_engine(server)
    with engine.begin() as connection:
        connection.execute(text(f"drop schema if exists shop cascade; {TABLE}"))
    monkeypatch.setenv("SHOP_DATABASE", server)
    yield engine
    engine.dispose()


def add(engine: Engine, first: int, last: int) -> None:
    with engine.begin() as connection:
        connection.execute(text(ADD), {"first": first, "last": last})


def database(**source: Any) -> dict[str, Any]:
    return {"url": {"environment": "SHOP_DATABASE"}, **source}


def test_a_table_arrives_with_its_values(company: ConnectedCompany, engine: Engine) -> None:
    add(engine, 1, 3)
    company.connects({"database": database(table="shop.orders")}, COLUMNS)
    assert company.fetch().records == 3
    company.ingest()
    assert company.rows(
        "select order_id, ordered_at, order_amount, contact_id, order_channel, account_id from raw.orders "
        "order by order_id limit 1"
    ) == [
        (
            "1",
            datetime(2026, 1, 1, 9, tzinfo=UTC).replace(tzinfo=None),
            1.25,
            'say "hi"\n1',
            "[1,null]",
            "00000000-0000-0000-0000-000000000001",
        )
    ]


def test_only_new_rows_are_asked_for(company: ConnectedCompany, engine: Engine) -> None:
    company.connects({"database": database(table="shop.orders"), "cursor": {"field": "updated_at"}})
    add(engine, 1, 9_000)
    assert company.fetch().records == 9_000
    assert company.fetch().records == 0
    add(engine, 9_001, 9_010)
    with engine.begin() as connection:  # a change, and a row of the moment that was the last
        connection.execute(
            text("update shop.orders set amount = 0, updated_at = timestamptz '2031-01-01 00:00Z' where id = 7")
        )
        connection.execute(
            text(
                "insert into shop.orders (id, at, updated_at) "
                "select -1, at, updated_at from shop.orders where id = 9000"
            )
        )
    assert company.fetch().records == 12
    company.ingest()
    assert company.values("select count(distinct order_id) from raw.orders") == [9_011]
    assert company.values("select order_amount from raw.orders where order_id = '7' order by updated_at") == [7.25, 0]


def test_a_table_may_be_read_from_a_day_on(company: ConnectedCompany, engine: Engine) -> None:
    add(engine, 1, 40)
    company.connects(
        {"database": database(table="shop.orders"), "cursor": {"field": "updated_at", "start": "2026-01-02 12:00+02"}}
    )
    assert company.fetch().records == 15
    add(engine, 41, 41)
    assert company.fetch().records == 1


def test_a_query_names_where_to_go_on(company: ConnectedCompany, engine: Engine) -> None:
    add(engine, 1, 5)
    query = "select id, at, updated_at, amount from shop.orders where id <> 2 and updated_at >= :since"
    company.connects({"database": database(query=query), "cursor": CURSOR})
    assert company.fetch().records == 4
    assert company.fetch().records == 0
    add(engine, 6, 6)
    assert company.fetch().records == 1
    assert [key for key, _ in company.orders()] == ["1", "3", "4", "5", "6"]


def test_a_query_without_a_cursor_is_a_snapshot(company: ConnectedCompany, engine: Engine) -> None:
    add(engine, 1, 2)
    company.connects({"database": database(query="select id, at, updated_at, amount from shop.orders")})
    assert [company.fetch().records, company.fetch().records] == [2, 2]
    assert len(company.files()) == 2


def test_what_the_database_says_is_told_by_its_kind_only(
    company: ConnectedCompany, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    company.connects({"database": database(query="select 'canary' / 0 as x")})
    with pytest.raises(FetchError, match=r"^connector shop: the database refuses \(\w+\)$"):
        company.fetch()
    monkeypatch.setenv("SHOP_DATABASE", "postgresql+psycopg2://somebody:canary@127.0.0.1:1/nothing")
    with pytest.raises(FetchError) as failed:
        company.fetch()
    assert str(failed.value) == "connector shop: the database refuses (OperationalError)"
    monkeypatch.setenv("SHOP_DATABASE", "canary")
    with pytest.raises(FetchError) as failed:
        company.fetch()
    assert str(failed.value) == "connector shop: the database refuses (ArgumentError)"


def test_a_table_that_is_not_there(company: ConnectedCompany, engine: Engine) -> None:
    company.connects({"database": database(table="shop.order")})
    with pytest.raises(FetchError, match=r"connector shop: the database refuses \(NoSuchTableError\)"):
        company.fetch()

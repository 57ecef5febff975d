"""A lookup gives each row what another extract of the same source says of its key, and never loses or adds a row."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from ingest_company import Company, order

from orchestration.ingest.extracts import UnreadableExtract, check_extracts
from orchestration.ingest.load import ingest
from orchestration.settings_file import SettingsError

COLUMNS = {"order_id": "id", "ordered_at": "at", "contact_id": "customer", "order_channel": "shop.name"}
SHOP = {"files": "shops*.csv", "key": "number", "equals": "amount"}
CHANNELS = "select order_channel from raw.orders order by order_id"


def map_orders(company: Company, lookups: dict[str, Any], columns: dict[str, Any] = COLUMNS, **extract: object) -> None:
    company.mapping(
        "orders",
        {
            "extract": {"files": "orders*.csv", **extract},
            "lookups": lookups,
            "entities": {"orders": {"columns": columns}},
        },
    )


def test_every_row_finds_the_row_of_its_key_or_nothing(company: Company) -> None:
    map_orders(company, {"shop": SHOP})
    company.extract("shops.csv", "number,name\n1,Kiel\n2, \n ,nobody\n")
    company.delivers("orders.csv", [order(1), order(2), order(3), order(4, amount=""), order(5, amount=" 1 ")])
    load = company.load_one()
    assert (load.rows_read, load.rows_loaded) == (5, 5)
    assert company.values(CHANNELS) == ["Kiel", None, None, None, "Kiel"]
    assert company.values("select _row_number from raw.orders order by order_id") == [1, 2, 3, 4, 5]


def test_of_several_rows_with_one_key_the_last_holds(company: Company) -> None:
    map_orders(company, {"shop": SHOP})
    company.extract("shops_1.csv", "number,name\n1,Kiel\n2,Bonn\n").extract("shops_2.csv", "name,number\nA,1\nB,1\n")
    company.delivers("orders.csv", [order(1), order(2)])
    assert company.load_one().rows_loaded == 2
    assert company.values(CHANNELS) == ["B", "Bonn"]


def test_only_the_rows_that_meet_its_condition_are_found(company: Company) -> None:
    map_orders(company, {"shop": {**SHOP, "where": "closed = 'no'"}})
    company.extract("shops.csv", "number,name,closed\n1,Kiel,no\n1,Bonn,yes\n")
    company.delivers("orders.csv", [order(1)]).ingest()
    assert company.values(CHANNELS) == ["Kiel"]


def test_keys_may_be_expressions_and_a_lookup_may_follow_another(company: Company) -> None:
    columns = {**COLUMNS, "order_channel": {"sql": "upper(region.title) || ' ' || shop.name"}}
    shop = {**SHOP, "key": {"sql": "ltrim(number, '0')"}, "equals": {"sql": "(amount::int + 1)::varchar"}}
    region = {"files": "regions.jsonl", "key": "place.code", "equals": "shop.region"}
    map_orders(company, {"shop": shop, "region": region}, columns)
    company.extract("shops.csv", "number,name,region\n002,Kiel,N\n")
    company.extract("regions.jsonl", json.dumps({"place": {"code": "N"}, "title": "north"}) + "\n")
    company.delivers("orders.csv", [order(1), order(3)])
    check_extracts(company.open(), set())
    company.ingest()
    assert company.values(CHANNELS) == ["NORTH Kiel", None]


def test_an_attribute_may_come_from_a_lookup(company: Company) -> None:
    entity = {"columns": {"contact_id": "id"}, "attributes": {"plan.price": "feature"}}
    lookups = {"plan": {"files": "plans.csv", "key": "name", "equals": "plan"}}
    company.mapping("c", {"extract": {"files": "contacts.csv"}, "lookups": lookups, "entities": {"contacts": entity}})
    company.extract("plans.csv", "name,price\ngold,9.5\n").extract("contacts.csv", "id,plan\na,gold\nb,tin\n").ingest()
    assert company.rows("select contact_id, attr_plan_price from raw.contacts order by 1") == [("a", 9.5), ("b", None)]


def test_a_changed_lookup_loads_its_extracts_again(company: Company) -> None:
    map_orders(company, {"shop": SHOP})
    company.extract("shops.csv", "number,name\n1,Kiel\n").delivers("orders.csv", [order(1)]).ingest()
    assert company.ingest().loads == []
    company.extract("shops.csv", "number,name\n1,Bonn\n")
    assert company.load_one().status == "corrected"
    assert company.values(CHANNELS) == ["Bonn"]
    os.utime(company.data / "shops.csv", (1, 1))
    assert company.ingest().loads == []


def test_a_delivery_sees_only_what_was_delivered_with_it_or_before(company: Company) -> None:
    dated = r"(\d{4}-\d{2}-\d{2})"
    map_orders(company, {"shop": {**SHOP, "delivered_at": dated}}, delivered_at=dated)
    company.delivers("orders_2026-02-02.csv", [order(1)]).delivers("orders_2026-02-09.csv", [order(2, amount=1)])
    company.extract("shops_2026-02-02.csv", "number,name\n1,Kiel\n")
    company.extract("shops_2026-02-09.csv", "number,name\n1,Bonn\n")
    company.ingest()
    assert company.values(CHANNELS) == ["Kiel", "Bonn"]
    company.extract("shops_2026-02-16.csv", "number,name\n1,Trier\n")
    assert company.ingest().loads == []
    company.delivers("orders_2026-01-26.csv", [order(0, amount=1)]).ingest()
    assert company.values(CHANNELS) == [None, "Kiel", "Bonn"]


def test_a_refused_row_stands_in_quarantine_as_delivered(company: Company) -> None:
    company.settings(quarantine_threshold=1)
    map_orders(company, {"shop": SHOP})
    company.extract("shops.csv", "number,name\n1,Kiel\n").delivers("orders.csv", [order(1, at="soon")]).ingest()
    (kept,) = company.values("select delivered_row from quarantine.orders")
    assert json.loads(kept) == {"id": "o1", "at": "soon", "customer": "c1", "amount": "1", "status": "completed"}


def test_unreadable_lines_of_the_extract_are_counted_beside_a_lookup(company: Company) -> None:
    company.settings(quarantine_threshold=1)
    map_orders(company, {"shop": SHOP})
    company.extract("shops.csv", "number,name\n1,Kiel\n").delivers("orders.csv", [order(1), "o2,too,few"])
    load = company.load_one()
    assert (load.rows_loaded, load.rows_unreadable) == (1, 1)


@pytest.mark.parametrize(
    ("shops", "reason"),
    [
        ("number,name\n1,Kiel\n2,a,b\n", "shops.csv: line 3: a row that other extracts look up cannot be read"),
        ("", "shops.csv: the file is empty"),
        ("number\n1\n", "shops.csv: there is no column 'name'"),
    ],
)
def test_a_lookup_that_cannot_be_read_is_named(company: Company, shops: str, reason: str) -> None:
    map_orders(company, {"shop": SHOP})
    company.extract("shops.csv", shops).delivers("orders.csv", [order(1)])
    with pytest.raises(UnreadableExtract) as refused:
        ingest(company.connection, company.open())
    assert str(refused.value) == reason


@pytest.mark.parametrize(
    ("lookups", "message"),
    [
        ({"shop": {**SHOP, "files": "shop.csv"}}, "5: no file matches 'shop.csv'"),
        ({"shop": {**SHOP, "key": "numbr"}}, "6: shops.csv has no column 'numbr'; did you mean 'number'?"),
        ({"shop": {**SHOP, "equals": "amnt"}}, "7: orders.csv has no column 'amnt'; did you mean 'amount'?"),
        ({"shop": {**SHOP, "where": "closed"}}, "8: shops.csv has no column 'closed'"),
        ({"shop": {**SHOP, "key": {"sql": "number + 1"}}}, "6: 'number + 1' does not fit the types in shops.csv"),
        ({"store": SHOP}, "4: no column is taken from it; name one as 'store.<column>'"),
        ({"a": {**SHOP, "equals": "shop.x"}, "shop": SHOP}, "7: 'shop.x' is looked up only later; change the order"),
        ({"shop": {**SHOP, "key": {"value": 1}}}, "6: lookups.shop.key: a key is a column"),
        ({"shop": {**SHOP, "files": "../shops.csv"}}, "5: lookups.shop.files: the pattern must stay below"),
        ({"Shop": SHOP}, "4: the lookup's name 'Shop' must be lower case letters, digits and _"),
    ],
)
def test_a_wrong_lookup_is_answered_with_its_line(company: Company, lookups: dict[str, Any], message: str) -> None:
    map_orders(company, lookups)
    company.extract("shops.csv", "number,name\n1,Kiel\n").delivers("orders.csv", [order(1)])
    with pytest.raises(SettingsError) as wrong:
        check_extracts(company.open(), set())
    assert str(wrong.value).startswith(f"{company.folder / 'mappings' / 'orders.yml'}:{message}")


def test_a_name_that_is_a_lookups_and_a_columns_is_refused(company: Company) -> None:
    map_orders(company, {"shop": SHOP})
    company.extract("shops.csv", "number,name\n1,Kiel\n")
    company.extract("orders.csv", "id,at,customer,amount,shop.name\no1,2026-01-05,c1,1,x\n")
    with pytest.raises(SettingsError, match=r"4: orders\.csv has 'shop' too; call the lookup something else"):
        check_extracts(company.open(), set())

"""Connectors where a user meets them: in `connectors.yml`, in a mapping, in Dagster, and without the extra."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest
import yaml
from connected_company import ConnectedCompany
from order_api import OrderApi, serving

from orchestration.connectors.fetch import FetchError, fetch
from orchestration.defs.connectors import connector_assets
from orchestration.defs.ingest import extract_specs, ingest_assets
from orchestration.settings_file import SettingsError
from orchestration.warehouse import Warehouse


@pytest.fixture
def api() -> Iterator[OrderApi]:
    with serving(OrderApi().add(1, 2, 3, 4)) as running:
        yield running


def rest(url: str) -> dict[str, Any]:
    return {"rest": {"url": url, "records": "data.orders", "pages": {"next_link": "paging.next"}}}


def test_dagster_fetches_before_it_ingests(company: ConnectedCompany, api: OrderApi) -> None:
    company.connection.close()
    company.connects(rest(api.url))
    company.map_events().delivers("events.csv", [])
    workspace = company.open()
    assert [spec.key for spec in extract_specs(workspace)] == [dg.AssetKey(["extracts", "events"])]
    (fetched,) = connector_assets(workspace)
    result = dg.materialize(
        [fetched, ingest_assets(workspace), *extract_specs(workspace)],
        resources={"warehouse": Warehouse.of(workspace)},
        partition_key="2026-01-05",
    )
    assert result.success
    keys = [event.asset_key.to_user_string() for event in result.get_asset_materialization_events() if event.asset_key]
    assert keys.index("extracts/shop_orders") < keys.index("raw/orders")
    (brought,) = result.asset_materializations_for_node("fetch")
    assert {name: value.value for name, value in brought.metadata.items()}["records"] == 4
    with Warehouse.of(workspace).connect() as connection:
        assert connection.execute("select count(*) from raw.orders").fetchall() == [(4,)]


def test_without_connectors_nothing_is_fetched(company: ConnectedCompany) -> None:
    company.map_orders().delivers("orders.csv", [])
    assert connector_assets(company.open()) == []


def test_without_the_extra_it_is_said_how_to_get_it(
    company: ConnectedCompany, api: OrderApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    company.connects(rest(api.url))
    monkeypatch.setitem(sys.modules, "dlt", None)
    with pytest.raises(FetchError, match=r"connectors need more packages \(dlt\): pip install -e '\.\[connectors\]'"):
        fetch(company.open())


def test_a_lookup_may_come_from_a_connector(company: ConnectedCompany, api: OrderApi) -> None:
    company.connects(rest(api.url))
    mapping = {
        "extract": {"files": "visits.csv"},
        "lookups": {"order": {"connector": "shop", "key": "id", "equals": "number"}},
        "entities": {"events": {"columns": {"occurred_at": "at", "event_type": {"value": "other"}}}},
    }
    mapping["lookups"]["bought"] = mapping["lookups"].pop("order")  # type: ignore[index]
    mapping["entities"]["events"]["columns"]["event_value"] = "bought.amount"  # type: ignore[index]
    company.mapping("visits", mapping).extract("visits.csv", "at,number\n2026-01-05,o2\n")
    company.fetch()
    company.ingest()
    assert company.values("select event_value from raw.events") == [2.5]


@pytest.mark.parametrize(
    ("connector", "message"),
    [
        ({"rest": {"url": "ftp://x.example"}}, "4: connectors.shop.rest.url: an address begins with https://"),
        ({"rest": {"url": "https://a:b@x.example"}}, "4: connectors.shop.rest.url: a secret is never written here"),
        ({"rest": {"url": "https://x", "authorization": {"bearer": "abc"}}}, "6: connectors.shop.rest.authorization"),
        ({"rest": {"url": "https://x", "pages": {}}}, "5: connectors.shop.rest.pages: say exactly one of"),
        ({"rest": {"url": "https://x", "page": {}}}, "5: unknown key 'page'; did you mean 'pages'?"),
        ({"database": {"url": "postgresql://a:b@c/d", "table": "t"}}, "4: connectors.shop.database.url: a secret is"),
        ({"database": {"url": {"environment": "X"}}}, "3: connectors.shop.database: say exactly one of `table:`"),
        ({"bucket": {"url": "/tmp"}}, "4: connectors.shop.bucket.url: a bucket's address begins with its kind"),
        ({}, "2: connectors.shop: say exactly one of `rest:`, `database:` and `bucket:`"),
        (
            {"database": {"url": {"environment": "X"}, "query": "select 1"}, "cursor": {"field": "a", "start": 1}},
            "2: connectors.shop: a query with a cursor names it: `where updated_at >= :since`",
        ),
    ],
)
def test_a_wrong_connector_is_answered_with_its_line(
    company: ConnectedCompany, connector: dict[str, Any], message: str
) -> None:
    company.connects(connector)
    with pytest.raises(SettingsError) as wrong:
        company.open()
    assert str(wrong.value).startswith(f"{company.folder / 'connectors.yml'}:{message}")
    assert "a:b" not in str(wrong.value)


def test_a_mapping_of_an_unknown_connector_is_answered_with_the_nearest(company: ConnectedCompany) -> None:
    company.connects(rest("https://x.example"))
    path = company.folder / "mappings" / "shop_orders.yml"
    content = yaml.safe_load(path.read_text())
    content["extract"]["connector"] = "shopp"
    company.mapping("shop_orders", content)
    with pytest.raises(SettingsError, match=r"shop_orders.yml:2: 'shopp' is no connector; did you mean 'shop'\?"):
        company.open()

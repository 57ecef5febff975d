"""The vendors' own SDKs as witnesses: for each call they send what we send.

Skipped where the SDK, a test extra, is missing.
"""

import json
from types import SimpleNamespace

import duckdb
import pytest

from activation.destinations.hubspot import HubSpot
from activation.sync.engine import SyncSettings, sync
from activation.sync.guards import Guards
from activation.sync.payload import key_of
from activation.sync.secrets import Secret
from tests.unit.activation.sync.scripted import FakeClock, gated
from tests.vendors.hubspot import LocalHubSpot


def weeks_of(server, connector) -> None:
    warehouse, clock = duckdb.connect(config={"threads": 1}), FakeClock()
    settings = SyncSettings(guards=Guards(max_removal_share=1.0), seed=1)
    server.suppressed = {"out@example.com": "opted out"}
    for people, erased in (
        (["a@example.com", "b@example.com", "c@example.com"], []),
        (["a@example.com"], ["b@example.com"]),
    ):
        audience = gated(warehouse, people)
        result = sync(warehouse, connector(), [audience], erased=erased, settings=settings, clock=clock, channels=())
        assert result.state == "done", result.reason


def test_hubspots_sdk_sends_what_we_send(monkeypatch):
    hubspot = pytest.importorskip("hubspot", reason="hubspot-api-client is a test extra")
    from hubspot.crm import contacts, lists, properties

    server = LocalHubSpot()
    weeks_of(server, lambda: HubSpot("newsletter", Secret("canary-token", "env:T"), transport=server))
    client = hubspot.Client.create(access_token="canary-token")
    client.config.setdefault("retry", None)
    sent: list[tuple[str, str, object]] = []

    class Stop(Exception):
        pass

    def capture(
        self, method, url, query_params=None, headers=None, body=None, post_params=None, _request_timeout=None, **_
    ):
        sent.append((method, url.removeprefix("https://api.hubapi.com"), body))
        raise Stop

    for package in (contacts, lists, properties):
        monkeypatch.setattr(package.rest.RESTClientObject, "request", capture)

    def model(package, name, body):  # the SDK's own reading of our body: what it does not know it drops
        answer = SimpleNamespace(data=json.dumps(body))
        return package.ApiClient().deserialize(answer, name)

    def witness(path: str, body: object):
        if path.endswith("/batch/upsert"):
            return lambda: client.crm.contacts.batch_api.upsert(
                model(contacts, "BatchInputSimplePublicObjectBatchInputUpsert", body)
            )
        if path.endswith("/batch/read"):
            return lambda: client.crm.contacts.batch_api.read(
                model(contacts, "BatchReadInputSimplePublicObjectId", body)
            )
        if path.endswith("/contacts/search"):
            return lambda: client.crm.contacts.search_api.do_search(model(contacts, "PublicObjectSearchRequest", body))
        if path.endswith("/add-and-remove"):
            return lambda: client.crm.lists.memberships_api.add_and_remove(
                path.split("/")[4], model(lists, "MembershipChangeRequest", body)
            )
        if path == "/crm/v3/lists/":
            return lambda: client.crm.lists.lists_api.create(model(lists, "ListCreateRequest", body))
        if path == "/crm/v3/properties/contacts":
            return lambda: client.crm.properties.core_api.create("contacts", model(properties, "PropertyCreate", body))
        if path.endswith("/memberships"):
            return lambda: client.crm.lists.memberships_api.get_page(path.split("/")[4], limit=250)
        if "/name/" in path:
            return lambda: client.crm.lists.lists_api.get_by_name(path.rsplit("/", 1)[1], "0-1")
        if path.startswith("/crm/v3/properties/contacts/"):
            return lambda: client.crm.properties.core_api.get_by_name("contacts", path.rsplit("/", 1)[1])
        return None

    compared = set()
    for method, path, body in server.requests:
        call = witness(path, body)
        if call is None:
            continue
        with pytest.raises(Stop):
            call()
        assert sent[-1][:2] == (method, path)
        assert (sent[-1][2] or None) == body
        compared.add((method, path.rsplit("/", 1)[-1]))
    print(f"compared with the SDK: {sorted(compared)}")
    assert {"upsert", "read", "search", "add-and-remove", "memberships", "contacts", ""} <= {
        name for _, name in compared
    }


@pytest.mark.parametrize("tells_rows", [True, False])
def test_hubspot_rows_that_got_no_answer_are_sent_alone(tells_rows):
    server = LocalHubSpot()
    server.refuses, server.tells_rows = {"bad@example.com"}, tells_rows
    warehouse = duckdb.connect(config={"threads": 1})
    connector = HubSpot("newsletter", Secret("canary-token", "env:T"), transport=server)
    audience = gated(warehouse, ["a@example.com", "bad@example.com", "c@example.com"])
    result = sync(warehouse, connector, [audience], settings=SyncSettings(seed=1), clock=FakeClock(), channels=())
    assert result.state == "done" and server.held("loyal").keys() == {"a@example.com", "c@example.com"}
    assert warehouse.execute("select key from activation.sync_rejections").fetchall() == [(key_of("bad@example.com"),)]


def test_hubspot_blocks_nobody_by_erasing_them():
    server = LocalHubSpot()
    weeks_of(server, lambda: HubSpot("newsletter", Secret("canary-token", "env:T"), transport=server))
    assert server.blocked == set()

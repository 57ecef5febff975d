"""The vendors' own SDKs as witnesses: for each call they send what we send.

Skipped where the SDK, a test extra, is missing.
"""

import json
from types import SimpleNamespace

import duckdb
import pytest

from activation.destinations.hubspot import HubSpot
from activation.destinations.mailchimp import Mailchimp
from activation.sync.engine import SyncSettings, sync
from activation.sync.guards import Guards
from activation.sync.payload import key_of
from activation.sync.protocol import FieldMapping, MappedField
from activation.sync.secrets import Secret
from tests.unit.activation.sync.scripted import MAPPING, FakeClock, gated
from tests.vendors.hubspot import LocalHubSpot
from tests.vendors.mailchimp import LocalMailchimp


class Stop(BaseException):
    """A call got as far as the wire."""


def weeks_of(server, connector, mapping: FieldMapping = MAPPING) -> None:
    warehouse, clock = duckdb.connect(config={"threads": 1}), FakeClock()
    settings = SyncSettings(guards=Guards(max_removal_share=1.0), seed=1)
    server.suppressed = {"out@example.com": "opted out"}
    everybody = ["a@example.com", "b@example.com", "c@example.com"]
    for people, erased in (
        (everybody, []),
        (["a@example.com"], ["b@example.com"]),
        (["a@example.com", "c@example.com"], []),
    ):
        audience = gated(warehouse, people, mapping=mapping)
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


def test_mailchimps_sdk_has_every_call_we_make(monkeypatch):
    mailchimp = pytest.importorskip("mailchimp_marketing", reason="mailchimp-marketing is a test extra")
    server = LocalMailchimp()
    key = "canary-us19"
    mapping = FieldMapping("1", (MappedField("PERSONA", "persona"),))
    weeks_of(server, lambda: Mailchimp("newsletter", Secret(key, "env:K"), "L1", transport=server), mapping)
    client = mailchimp.Client({"api_key": key, "server": "us19"})
    sent: list[tuple[str, str, object]] = []

    def capture(self, method, url, query_params=None, headers=None, body=None, **_):
        sent.append((method, url, body))
        raise Stop

    monkeypatch.setattr(mailchimp.ApiClient, "request", capture)
    calls = {
        ("POST", "/lists/L1"): lambda path, body: client.lists.batch_list_members("L1", body),
        ("GET", "/lists/L1/members"): lambda path, body: client.lists.get_list_members_info("L1"),
        ("GET", "/lists/L1/merge-fields"): lambda path, body: client.lists.get_list_merge_fields("L1"),
        ("POST", "/lists/L1/merge-fields"): lambda path, body: client.lists.add_list_merge_field("L1", body),
        ("GET", "/lists/L1/segments"): lambda path, body: client.lists.list_segments("L1"),
        ("POST", "/lists/L1/segments"): lambda path, body: client.lists.create_segment("L1", body),
        ("POST", "/lists/L1/segments/1"): lambda path, body: client.lists.batch_segment_members(body, "L1", "1"),
        ("GET", "/lists/L1/segments/1/members"): lambda path, body: client.lists.get_segment_members_list("L1", "1"),
        ("PATCH", "members"): lambda path, body: client.lists.update_list_member("L1", path.split("/")[4], body),
        ("POST", "delete"): lambda path, body: client.lists.delete_list_member_permanent("L1", path.split("/")[4]),
    }
    compared = set()
    for method, path, _, body in server.requests:
        name = "delete" if path.endswith("permanent") else "members" if method == "PATCH" else path
        with pytest.raises(Stop):
            calls[method, name](path, body)
        assert sent[-1][0] == method and sent[-1][1].endswith("/3.0" + path)
        assert (sent[-1][2] or None) == body
        compared.add((method, name))
    print(f"compared with the SDK: {sorted(compared)}")
    assert compared == calls.keys()


def test_mailchimp_subscribes_nobody_without_a_dated_consent():
    server = LocalMailchimp()
    warehouse = duckdb.connect(config={"threads": 1})
    mapping = FieldMapping("1", (MappedField("CONSENTED", "persona"),))
    connector = Mailchimp("newsletter", Secret("canary-us19", "env:K"), "L1", "CONSENTED", transport=server)
    people = {"dated@example.com": ("2026-01-02T03:04:05Z", None), "undated@example.com": (None, None)}
    server.contacts["left@example.com"] = {"status": "unsubscribed", "merge_fields": {}}
    people["left@example.com"] = ("2026-01-02T03:04:05Z", None)
    result = sync(warehouse, connector, [gated(warehouse, people, mapping=mapping)], clock=FakeClock(), channels=())
    assert result.state == "done"
    statuses = {address: contact["status"] for address, contact in server.contacts.items()}
    assert statuses == {
        "dated@example.com": "subscribed",
        "undated@example.com": "transactional",
        "left@example.com": "unsubscribed",
    }

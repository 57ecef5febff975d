"""The vendors' own SDKs as witnesses: for each call they send what we send.

Skipped where the SDK, a test extra, is missing.
"""

import json
from types import SimpleNamespace

import duckdb
import httpx
import pytest

from activation.destinations.hubspot import HubSpot
from activation.destinations.klaviyo import REVISION, Klaviyo
from activation.destinations.mailchimp import Mailchimp
from activation.sync.engine import SyncSettings, sync
from activation.sync.guards import Guards
from activation.sync.payload import key_of
from activation.sync.protocol import FieldMapping, FieldType, MappedField
from activation.sync.secrets import Secret
from tests.unit.activation.sync.scripted import MAPPING, FakeClock, gated
from tests.vendors.hubspot import LocalHubSpot
from tests.vendors.klaviyo import LocalKlaviyo
from tests.vendors.mailchimp import LocalMailchimp


class Stop(BaseException):
    """A call got as far as the wire."""


def weeks_of(server, connector, mapping: FieldMapping = MAPPING) -> None:
    warehouse, clock = duckdb.connect(config={"threads": 1}), FakeClock()
    settings = SyncSettings(guards=Guards(max_removal_share=1.0, rejection_floor=1000), seed=1)
    server.suppressed = {"out@example.com": "UNSUBSCRIBE"}
    everybody = ["a@example.com", "b@example.com", "c@example.com"]
    for people, erased in (
        (everybody, []),
        (["a@example.com"], ["b@example.com"]),
        (["a@example.com", "c@example.com"], []),
    ):
        audience = gated(warehouse, people, mapping=mapping)
        result = sync(warehouse, connector(), [audience], erased=erased, settings=settings, clock=clock, channels=())
        assert result.state == "done", result.reason


class Recording(httpx.BaseTransport):
    """A local vendor, and every request it got."""

    def __init__(self, server: httpx.BaseTransport) -> None:
        self.server = server
        self.requests: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.requests.append(request)
        return self.server.handle_request(request)


def without_nulls_of_its_own(theirs: object, ours: object) -> object:
    """What the SDK sends without the null it writes for each attribute that was not given; ours stay."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        return {
            name: without_nulls_of_its_own(value, ours.get(name))
            for name, value in theirs.items()
            if value is not None or name in ours
        }
    if isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        return [without_nulls_of_its_own(*pair) for pair in zip(theirs, ours, strict=True)]
    return theirs


def test_klaviyos_sdk_sends_what_we_send(monkeypatch):
    klaviyo = pytest.importorskip("klaviyo_api", reason="klaviyo-api is a test extra")
    import openapi_client as sdk

    server = LocalKlaviyo()
    server.refuses = {"a@example.com"}  # so that errors of an import are asked for
    recording = Recording(server)
    weeks_of(server, lambda: Klaviyo("newsletter", Secret("canary-key", "env:K"), transport=recording))
    client = klaviyo.KlaviyoAPI("canary-key", max_retries=1)
    assert client._REVISION == REVISION, "another revision's SDK is no witness"
    sent: list[tuple[str, httpx.URL, dict[str, str], object]] = []

    def capture(self, method, url, headers=None, body=None, **_):
        sent.append((method, httpx.URL(url), headers, body))
        raise Stop

    monkeypatch.setattr(sdk.rest.RESTClientObject, "request", capture)
    names = {
        "filter": "filter",
        "page[size]": "page_size",
        "page[cursor]": "page_cursor",
        "fields[list]": "fields_list",
        "fields[profile]": "fields_profile",
        "additional-fields[profile]": "additional_fields_profile",
    }

    def asked(url: httpx.URL) -> dict[str, object]:  # our query as the SDK's arguments; it spells them itself
        given: dict[str, object] = {names[name]: value for name, value in url.params.items()}
        given |= {name: str(value).split(",") for name, value in given.items() if "fields" in name}
        return given | ({"page_size": int(str(given["page_size"]))} if "page_size" in given else {})

    def witness(request: httpx.Request):
        body = json.loads(request.content) if request.content else None
        query, parts = asked(request.url), request.url.path.split("/")
        return {
            ("GET", "lists", 3): lambda: client.Lists.get_lists(**query),
            ("POST", "lists", 3): lambda: client.Lists.create_list(sdk.ListCreateQuery.from_dict(body)),
            ("GET", "lists", 5): lambda: client.Lists.get_profiles_for_list(parts[3], **query),
            ("DELETE", "lists", 6): lambda: client.Lists.remove_profiles_from_list(
                parts[3], sdk.ListMembersDeleteQuery.from_dict(body)
            ),
            ("GET", "profiles", 3): lambda: client.Profiles.get_profiles(**query),
            ("POST", "profile-bulk-import-jobs", 3): lambda: client.Profiles.bulk_import_profiles(
                sdk.ProfileImportJobCreateQuery.from_dict(body)
            ),
            ("GET", "profile-bulk-import-jobs", 4): lambda: client.Profiles.get_bulk_import_profiles_job(parts[3]),
            ("GET", "profile-bulk-import-jobs", 5): lambda: client.Profiles.get_errors_for_bulk_import_profiles_job(
                parts[3], **query
            ),
            ("POST", "data-privacy-deletion-jobs", 3): lambda: client.Data_Privacy.request_profile_deletion(
                sdk.DataPrivacyCreateDeletionJobQuery.from_dict(body)
            ),
        }[request.method, parts[2], len(parts)]

    compared = set()
    for ours in recording.requests:
        with pytest.raises(Stop):
            witness(ours)()
        method, url, headers, body = sent[-1]
        assert (method, url.host, url.path) == (ours.method, ours.url.host, ours.url.path)
        assert sorted(url.params.multi_items()) == sorted(ours.url.params.multi_items())
        our_body = json.loads(ours.content) if ours.content else None
        assert without_nulls_of_its_own(body, our_body) == our_body
        assert {name: headers[name] for name in ("Authorization", "revision")} == {
            name: ours.headers[name] for name in ("Authorization", "revision")
        }
        assert headers["Accept"] == ours.headers["accept"]
        assert body is None or headers["Content-Type"] == ours.headers["content-type"]
        compared.add((method, url.path.rsplit("/", 1)[-1]))
    print(f"compared with the SDK: {sorted(compared)}")
    assert {name for _, name in compared} >= {
        "lists",
        "profiles",
        "profile-bulk-import-jobs",
        "import-errors",
        "data-privacy-deletion-jobs",
    }
    assert ("DELETE", "profiles") in compared


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
            assert path.endswith("/gdpr-delete"), "the one call that the SDK does not have"
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


def test_a_field_changed_at_mailchimp_is_set_right_though_a_consent_is_mapped():
    server = LocalMailchimp()
    warehouse = duckdb.connect(config={"threads": 1})
    mapping = FieldMapping(
        "1", (MappedField("PERSONA", "persona"), MappedField("CONSENTED", "score", FieldType.NUMBER))
    )
    for operations in (1, 0, 0):
        connector = Mailchimp("newsletter", Secret("canary-us19", "env:K"), "L1", "CONSENTED", transport=server)
        audience = gated(warehouse, {"ada@example.com": ("owl", 1.0)}, mapping=mapping)
        result = sync(warehouse, connector, [audience], clock=FakeClock(), channels=())
        assert (result.state, result.plan.operations) == ("done", operations)
        assert server.held("loyal") == {"ada@example.com": {"persona": "owl"}}
        server.contacts["ada@example.com"]["merge_fields"]["PERSONA"] = "theirs"


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

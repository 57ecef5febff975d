"""The harness proves itself: wrong requests that the vendors' descriptions must refuse, and rates that must be
theirs."""

import json

import pytest

from activation.destinations.klaviyo import RATES
from activation.sync.protocol import Window
from tests.vendors.brevo import LocalBrevo
from tests.vendors.description import WrongAnswer, WrongRequest
from tests.vendors.klaviyo import LocalKlaviyo
from tests.vendors.sendgrid import LocalSendGrid

JSON = {"content-type": "application/json"}
JSON_API = {"content-type": "application/vnd.api+json", "revision": "2026-07-15"}


def profile(**attributes: object) -> dict[str, object]:
    return {
        "data": {
            "type": "profile-bulk-import-job",
            "attributes": {"profiles": {"data": [{"type": "profile", "attributes": attributes}]}},
        }
    }


IMPORT, LISTS = "/api/profile-bulk-import-jobs", "/api/lists"
WRONG = {
    "klaviyo": (
        LocalKlaviyo,
        [
            ("no revision", "POST", IMPORT, "", {"content-type": "application/vnd.api+json"}, profile(email="a@b.de")),
            (
                "another content type",
                "POST",
                IMPORT,
                "",
                {**JSON_API, "content-type": "text/csv"},
                profile(email="a@b.de"),
            ),
            ("a misspelled field", "POST", IMPORT, "", JSON_API, profile(email_address="a@b.de")),
            ("a consent where there is none", "POST", IMPORT, "", JSON_API, profile(email="a@b.de", subscriptions={})),
            ("an address that is a number", "POST", IMPORT, "", JSON_API, profile(email=7)),
            (
                "another type of resource",
                "POST",
                IMPORT,
                "",
                JSON_API,
                {"data": {"type": "list", "attributes": {"profiles": {"data": []}}}},
            ),
            (
                "profiles without data",
                "POST",
                IMPORT,
                "",
                JSON_API,
                {"data": {"type": "profile-bulk-import-job", "attributes": {"profiles": {}}}},
            ),
            ("no body", "POST", IMPORT, "", JSON_API, None),
            ("no JSON", "POST", IMPORT, "", JSON_API, b"{"),
            ("another version's path", "POST", "/api/v2/lists", "", JSON_API, {}),
            ("a list without a name", "POST", LISTS, "", JSON_API, {"data": {"type": "list", "attributes": {}}}),
            ("a page that is too large", "GET", LISTS, "page[size]=11", JSON_API, None),
            ("a parameter there is not", "GET", LISTS, "page_size=10", JSON_API, None),
            (
                "members by address",
                "DELETE",
                "/api/lists/L1/relationships/profiles",
                "",
                JSON_API,
                {"data": [{"type": "profile", "email": "a@b.de"}]},
            ),
            ("a method there is not", "PUT", "/api/lists/L1/relationships/profiles", "", JSON_API, {"data": []}),
        ],
    ),
    "sendgrid": (
        LocalSendGrid,
        [
            ("no contacts", "PUT", "/v3/marketing/contacts", "", JSON, {"contacts": []}),
            ("contacts missing", "PUT", "/v3/marketing/contacts", "", JSON, {"list_ids": []}),
            (
                "too many contacts",
                "PUT",
                "/v3/marketing/contacts",
                "",
                JSON,
                {"contacts": [{"email": "a@b.de"}] * 30_001},
            ),
            (
                "a misspelled field",
                "PUT",
                "/v3/marketing/contacts",
                "",
                JSON,
                {"contacts": [{"email_address": "a@b.de"}]},
            ),
            (
                "a custom field beside the others",
                "PUT",
                "/v3/marketing/contacts",
                "",
                JSON,
                {"contacts": [{"email": "a@b.de", "persona": "x"}]},
            ),
            (
                "a name that is too long",
                "PUT",
                "/v3/marketing/contacts",
                "",
                JSON,
                {"contacts": [{"email": "a@b.de", "first_name": "x" * 51}]},
            ),
            (
                "a custom field that is an object",
                "PUT",
                "/v3/marketing/contacts",
                "",
                JSON,
                {"contacts": [{"email": "a@b.de", "custom_fields": {"e1_T": {}}}]},
            ),
            ("POST for PUT", "POST", "/v3/marketing/contacts", "", JSON, {"contacts": [{"email": "a@b.de"}]}),
            ("a removal without ids", "DELETE", "/v3/marketing/lists/l/contacts", "", JSON, None),
            ("a removal with a body", "DELETE", "/v3/marketing/lists/l/contacts", "contact_ids=1", JSON, {"ids": []}),
            (
                "a field type there is not",
                "POST",
                "/v3/marketing/field_definitions",
                "",
                JSON,
                {"name": "x", "field_type": "Boolean"},
            ),
            (
                "an export as XML",
                "POST",
                "/v3/marketing/contacts/exports",
                "",
                JSON,
                {"list_ids": [], "file_type": "xml"},
            ),
            ("more suppressions than a page holds", "GET", "/v3/suppression/unsubscribes", "limit=501", {}, None),
            ("a look-up without addresses", "POST", "/v3/marketing/contacts/search/emails", "", JSON, {}),
        ],
    ),
    "brevo": (
        LocalBrevo,
        [
            (
                "a misspelled field",
                "POST",
                "/v3/contacts/import",
                "",
                JSON,
                {"jsonBody": [{"email_address": "a@b.de"}]},
            ),
            ("lists as text", "POST", "/v3/contacts/import", "", JSON, {"jsonBody": [], "listIds": "1"}),
            (
                "a flag as text",
                "POST",
                "/v3/contacts/import",
                "",
                JSON,
                {"jsonBody": [], "updateExistingContacts": "yes"},
            ),
            ("no body", "POST", "/v3/contacts/import", "", JSON, None),
            ("a form", "POST", "/v3/contacts/import", "", {"content-type": "multipart/form-data"}, {"jsonBody": []}),
            (
                "too many to remove",
                "POST",
                "/v3/contacts/lists/1/contacts/remove",
                "",
                JSON,
                {"emails": ["a@b.de"] * 151},
            ),
            ("nobody to remove", "POST", "/v3/contacts/lists/1/contacts/remove", "", JSON, {"emails": []}),
            (
                "a list by its name",
                "POST",
                "/v3/contacts/lists/loyal/contacts/remove",
                "",
                JSON,
                {"emails": ["a@b.de"]},
            ),
            ("a list without a folder", "POST", "/v3/contacts/lists", "", JSON, {"name": "loyal"}),
            (
                "an attribute type there is not",
                "POST",
                "/v3/contacts/attributes/normal/X",
                "",
                JSON,
                {"type": "number"},
            ),
            (
                "an attribute category there is not",
                "POST",
                "/v3/contacts/attributes/custom/X",
                "",
                JSON,
                {"type": "text"},
            ),
            ("a page that is too large", "GET", "/v3/contacts", "limit=1001", {}, None),
            ("without the version", "GET", "/contacts", "limit=10", {}, None),
        ],
    ),
}


@pytest.mark.parametrize(
    ("vendor", "case"),
    [(vendor, case) for vendor, (_, cases) in WRONG.items() for case in cases],
    ids=lambda one: one[0] if isinstance(one, tuple) else one,
)
def test_a_wrong_request_is_refused(vendor, case):
    _, method, path, query, headers, body = case
    content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    with pytest.raises(WrongRequest):
        WRONG[vendor][0]().description.check_request(method, path, query, headers, content)


def test_a_wrong_answer_of_the_local_server_is_refused():
    description = LocalKlaviyo().description
    operation, _ = description.check_request("POST", IMPORT, "", JSON_API, json.dumps(profile(email="a@b.de")).encode())
    with pytest.raises(WrongAnswer):
        description.check_answer(operation, 202, {"data": {"id": "job"}})
    with pytest.raises(WrongAnswer):
        description.check_answer(operation, 200, {"data": {}})


def test_klaviyos_rates_are_those_of_its_description():
    described = LocalKlaviyo().description.operations()
    seconds = {"s": 1, "m": 60, "d": 86_400}
    for name, windows in RATES.items():
        stated = described[name]["x-klaviyo-ratelimit"].values()
        assert {Window(int(one.split("/")[0]), seconds[one.split("/")[1]]) for one in stated} == set(windows), name

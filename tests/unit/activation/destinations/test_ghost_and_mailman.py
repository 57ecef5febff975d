"""What can be said of Ghost's and Mailman's connectors without their servers; the rest is in `tests/real_servers`."""

import base64
import hashlib
import hmac
import json
from datetime import date

import duckdb
import httpx
import pytest

from activation.destinations import ghost_admin
from activation.destinations.ghost import Ghost
from activation.destinations.ghost_admin import NewMember
from activation.destinations.mailman import Mailman
from activation.sync.engine import SyncSettings, sync
from activation.sync.protocol import FieldMapping, FieldType, MappedField
from activation.sync.secrets import Secret
from tests.unit.activation.sync.scripted import FakeClock, gated

KEY_ID, SECRET = "6470f1e2a3b4c5d6e7f80912", "0f" * 32
CONSENT = "consented_at"


def decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def test_a_token_is_signed_for_the_admin_api_and_soon_over():
    token = ghost_admin._token(KEY_ID, SECRET, 1_800_000_000)
    header, claims, signature = token.split(".")
    assert json.loads(decoded(header)) == {"alg": "HS256", "typ": "JWT", "kid": KEY_ID}
    told = json.loads(decoded(claims))
    assert told["aud"] == "/admin/" and told["iat"] == 1_800_000_000 and 0 < told["exp"] - told["iat"] <= 300
    expected = hmac.new(bytes.fromhex(SECRET), f"{header}.{claims}".encode(), hashlib.sha256).digest()
    assert decoded(signature) == expected and "=" not in token


@pytest.mark.parametrize("key", ["", SECRET, f"{KEY_ID}:", f"{KEY_ID}:zz", f"{KEY_ID}:{SECRET}\n"])
def test_what_is_no_key_of_the_admin_api_is_refused_and_not_told(key):
    with pytest.raises(ValueError, match="Admin API") as raised:
        Ghost("newsletter", Secret(key, "env:KEY"), "https://news.example.org")
    assert SECRET not in str(raised.value)


def test_credentials_do_not_go_out_in_the_clear():
    with pytest.raises(ValueError, match="https"):
        Ghost("newsletter", Secret(f"{KEY_ID}:{SECRET}", "env:KEY"), "http://news.example.org")
    with pytest.raises(ValueError, match="https"):
        Mailman("lists", Secret("p", "env:KEY"), "http://lists.example.org:8001/3.1", "lists.example.org", CONSENT)


@pytest.mark.parametrize(
    "text", ["=cmd|x", "+x@example.com", "-1", "@here", "\tx", "'=x", "True", "undefined", "false"]
)
def test_what_an_import_would_change_is_created_otherwise(text):
    assert not NewMember(text, {}).survives_import() and not NewMember("a@b.de", {"name": text}).survives_import()


@pytest.mark.parametrize("text", ["", "Ada", "o'brien@example.com", "truely", "a=b", "not true", 'a "b", c'])
def test_what_an_import_leaves_as_it_is_is_imported(text):
    assert NewMember("a@b.de", {"name": text}).survives_import()


def test_text_in_a_filter_cannot_end_it():
    assert ghost_admin.any_of("email", ["o'x", "a\\'],id:['b"]) == "email:['o\\'x','a\\\\\\'],id:[\\'b']"


def rejected_without_consent(connector, field):
    """Why two people without a time of consent are set aside."""
    mapping = FieldMapping("1", (MappedField(field, "persona"), MappedField(CONSENT, "score", FieldType.NUMBER)))
    warehouse = duckdb.connect(config={"threads": 1})
    people = {"ada@example.com": ("Ada", None), "bob@example.com": ("Bob", None)}
    audience = gated(warehouse, people, as_of=date(2026, 11, 16), mapping=mapping)
    sync(warehouse, connector, [audience], settings=SyncSettings(seed=1), clock=FakeClock(), channels=())
    return warehouse.execute("select code from activation.sync_rejections").fetchall()


def test_nobody_becomes_a_member_without_a_dated_consent():
    changes = []

    def site(request: httpx.Request) -> httpx.Response:
        if request.method != "GET":
            changes.append(request.url.path)
        if request.url.path.endswith("/labels/"):
            labels = [{"id": "6" * 24, "name": "loyal", "slug": "loyal"}]
            return httpx.Response(200, json={"labels": labels, "meta": {"pagination": {"next": None}}})
        return httpx.Response(200, json={"members": []})

    key, transport = Secret(f"{KEY_ID}:{SECRET}", "env:KEY"), httpx.MockTransport(site)
    connector = Ghost("newsletter", key, "https://news.example.org", consent_field=CONSENT, transport=transport)
    assert rejected_without_consent(connector, "name") == [("no_dated_consent",)] * 2
    assert changes == []


def test_nobody_is_put_on_a_list_without_a_dated_consent():
    changes = []

    def server(request: httpx.Request) -> httpx.Response:
        if request.method != "GET":
            changes.append(request.url.path)
        if request.url.path.endswith("/lists"):
            return httpx.Response(200, json={"entries": [{"list_name": "loyal", "list_id": "loyal.example.org"}]})
        return httpx.Response(200, json={"start": 0, "total_size": 0})

    key, transport = Secret("password", "env:KEY"), httpx.MockTransport(server)
    connector = Mailman("newsletter", key, "https://lists.example.org/3.1", "example.org", CONSENT, transport=transport)
    assert rejected_without_consent(connector, "display_name") == [("no_dated_consent",)] * 2
    assert changes == []

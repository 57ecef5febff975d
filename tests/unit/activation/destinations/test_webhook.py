"""The webhook: signed, idempotent, row by row; what it does not confirm is not confirmed."""

import hashlib
import hmac
import json
from collections.abc import Callable

import duckdb
import httpx
import pytest

from activation.answers import first_row
from activation.destinations.webhook import SIGNATURE_HEADER, Webhook
from activation.sync.engine import SyncResult, SyncSettings, sync
from activation.sync.gated import NotGated
from activation.sync.secrets import Secret
from tests.unit.activation.sync.scripted import START, FakeClock, gated

KEY = "canary-signing-key"
PEOPLE = ["ann@example.com", "bob@example.com", "cem@example.com"]


class Receiver:
    """The company's own server, as a transport."""

    def __init__(self, answer: Callable[[dict], httpx.Response]) -> None:  # type: ignore[type-arg]
        self.answer = answer
        self.requests: list[httpx.Request] = []
        self.warehouse = duckdb.connect(config={"threads": 1})

    def take(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.requests.append(request)
        return self.answer(json.loads(request.content))

    def sync(self, people: list[str] = PEOPLE) -> SyncResult:
        hook = Webhook(
            "newsletter", "https://in.example.com/personae", Secret(KEY, "env:K"), httpx.MockTransport(self.take), 2
        )
        audience = gated(self.warehouse, people)
        settings = SyncSettings(seed=1, call_deadline_seconds=20)
        return sync(self.warehouse, hook, [audience], settings=settings, clock=FakeClock(), channels=())

    def confirmed(self) -> int:
        found = first_row(self.warehouse, "select count(*) from activation.sync_snapshot where is_member")
        return found[0] if found else 0


def outcomes(document: dict, **told: str) -> httpx.Response:  # type: ignore[type-arg]
    rows = [row["identifier"] for row in document["rows"]]
    return httpx.Response(
        200,
        json={"results": [{"identifier": one, "outcome": told.get(one.split("@")[0], "confirmed")} for one in rows]},
    )


def test_what_is_sent_is_signed_and_named():
    receiver = Receiver(lambda document: httpx.Response(204))
    assert receiver.sync().state == "done"
    # Two calls at once: either may come first.
    sent = max(receiver.requests, key=lambda request: len(request.content))
    stated = dict(part.split("=", 1) for part in sent.headers[SIGNATURE_HEADER].split(","))
    assert int(stated["t"]) == int(START.timestamp())
    expected = hmac.new(KEY.encode(), stated["t"].encode() + b"." + sent.content, hashlib.sha256).hexdigest()
    assert stated["v1"] == expected
    document = json.loads(sent.content)
    assert document["operation"] == "join" and document["segment"] == "loyal" and len(document["rows"]) == 2
    assert document["rows"][0]["fields"] == {"persona": "loyal", "score": 0.5}
    assert len({request.headers["Idempotency-Key"] for request in receiver.requests}) == 2


def test_each_row_is_told():
    receiver = Receiver(lambda document: outcomes(document, bob="permanent"))
    result = receiver.sync()
    assert result.state == "done" and receiver.confirmed() == 2
    assert dict(result.receipts[0].people) == {"not asked": 2, "set aside": 1}


@pytest.mark.parametrize("word", ["retryable", "perhaps"])
def test_a_row_that_is_not_confirmed_stays_to_be_sent(word):
    receiver = Receiver(lambda document: outcomes(document, cem=word))
    result = receiver.sync()
    assert result.state == "differs" and receiver.confirmed() == 2
    receiver.answer = lambda document: httpx.Response(204)
    assert receiver.sync().state == "done" and receiver.confirmed() == 3


@pytest.mark.parametrize("answer", [httpx.Response(200, text="ok"), httpx.Response(200, json={}), httpx.Response(404)])
def test_an_answer_that_says_nothing_confirms_nobody(answer):
    receiver = Receiver(lambda document: answer)
    assert receiver.sync().state == "failed" and receiver.confirmed() == 0


def test_a_receiver_that_is_down_leaves_everything_for_the_next_run():
    receiver = Receiver(lambda document: httpx.Response(503))
    assert receiver.sync().state == "incomplete" and receiver.confirmed() == 0
    receiver.answer = lambda document: httpx.Response(204)
    assert receiver.sync(PEOPLE[:1]).state == "done"
    operations = [json.loads(request.content)["operation"] for request in receiver.requests[-2:]]
    assert operations == ["leave", "join"], "who may have been sent and is desired no more is taken back"


def test_addresses_in_the_clear_and_unsealed_batches_are_refused():
    with pytest.raises(ValueError, match="https"):
        Webhook("newsletter", "http://in.example.com", Secret(KEY, "env:K"))
    with pytest.raises(NotGated):
        Webhook("newsletter", "https://in.example.com", Secret(KEY, "env:K")).apply([{"identifier": "a"}])  # type: ignore[arg-type]

"""An API: every record arrives once, however it pages, fails or is interrupted, and its secret stays a secret."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest
from connected_company import ConnectedCompany
from order_api import OrderApi, serving

from orchestration.connectors import fetch as fetch_module
from orchestration.connectors.fetch import FetchError, fetch
from orchestration.ingest.extracts import check_extracts
from orchestration.settings_file import SettingsError
from tests.running import PROJECT, personae_command

CANARY = "s3cr3t-canary-token"
CURSOR = {"field": "updated_at", "parameter": "since", "start": "2026-01-01"}
PAGINGS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "cursor": ({"cursor": "paging.after", "parameter": "after"}, {}),
    "next_link": ({"next_link": "paging.next"}, {}),
    "next_header": ({"next_header": True}, {"records": "$", "parameters": {"shape": "list"}}),
    "page": ({"page": "page"}, {}),
    "offset": ({"offset": "offset", "limit": 2}, {}),
}


@pytest.fixture
def api() -> Iterator[OrderApi]:
    with serving(OrderApi()) as running:
        yield running


def rest(api: OrderApi, paging: str = "cursor", cursor: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    pages, others = PAGINGS[paging]
    source = {"url": api.url, "records": "data.orders", "pages": pages, **others, **more}
    return {"rest": source, "cursor": cursor} if cursor else {"rest": source}


def expected(*numbers: int) -> list[tuple[str, float]]:
    return [(f"o{number}", number + 0.5) for number in sorted(numbers, key=str)]


@pytest.mark.parametrize("paging", PAGINGS)
def test_all_pages_are_fetched(company: ConnectedCompany, api: OrderApi, paging: str) -> None:
    api.add(*range(1, 9))
    company.connects(rest(api, paging))
    check_extracts(company.open(), set())  # nothing is there yet, and nothing has to be
    assert company.fetch().records == 8
    assert company.orders() == expected(*range(1, 9))
    (file,) = company.files()
    assert file.name.startswith("shop_20")
    assert file.name.endswith(".jsonl.gz")
    check_extracts(company.open(), set())


def test_the_next_fetch_brings_only_what_is_new(company: ConnectedCompany, api: OrderApi) -> None:
    company.connects(rest(api, cursor=CURSOR))
    api.add(1, 2, 3, 4)
    assert company.fetch().records == 4
    assert company.fetch().files == ()
    api.add(5).add(4, id="o4b")  # of the same moment as one that was fetched
    assert company.fetch().records == 2
    assert api.requests[0]["since"] == "2026-01-01"
    assert api.requests[-1]["since"] == "2026-01-04T10:00:00Z"
    assert company.orders() == [*expected(1, 2, 3, 4), ("o4b", 4.5), *expected(5)]


def test_a_changed_record_is_a_new_version(company: ConnectedCompany, api: OrderApi) -> None:
    company.connects(rest(api, cursor=CURSOR))
    api.add(1, 2)
    company.fetch()
    api.add(1, amount=9.0, updated_at="2026-02-01T00:00:00Z")
    assert company.fetch().records == 1
    assert company.orders() == [("o1", 1.5), ("o1", 9.0), ("o2", 2.5)]


def test_records_stay_the_json_they_were(company: ConnectedCompany, api: OrderApi) -> None:
    odd = {"CamelCase": {"deep": [1, {"a": None}]}, "amount": "12.50", "ünï": "=1+1", "at": 5}
    api.add(1, **odd).add(2, amount=7)
    company.connects(rest(api, paging="page"))
    company.fetch()
    import gzip

    first, second = gzip.decompress(company.files()[0].read_bytes()).decode().splitlines()
    assert json.loads(first) == api.orders[0]
    assert json.loads(second) == api.orders[1]


@pytest.mark.parametrize("status", [429, 500])
def test_a_server_that_stumbles_once_is_asked_again(company: ConnectedCompany, api: OrderApi, status: int) -> None:
    api.add(*range(1, 5))
    api.fail_next = [status]
    company.connects(rest(api))
    assert company.fetch().records == 4
    assert len(api.requests) == 3


@pytest.mark.parametrize(
    ("changes", "status", "message"),
    [
        ({}, 404, "connector shop: the server answers with status 404"),
        ({}, 302, "connector shop: the server sends us elsewhere; state the address it really has"),
        ({"records": "data.order"}, None, "connector shop: the answer holds no list at `records: data.order`"),
        ({"url": "http://127.0.0.1:9/x"}, None, "connector shop: the server cannot be reached"),
    ],
)
def test_what_went_wrong_is_said_and_the_next_fetch_goes_on(
    company: ConnectedCompany,
    api: OrderApi,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    status: int | None,
    message: str,
) -> None:
    monkeypatch.setenv("RUNTIME__REQUEST_MAX_ATTEMPTS", "1")
    api.add(1, 2)
    api.fail_next = [status] if status else []
    company.connects(rest(api, cursor=CURSOR) | {"rest": {**rest(api)["rest"], **changes}})
    with pytest.raises(FetchError) as failed:
        company.fetch()
    assert str(failed.value) == message
    company.connects(rest(api, cursor=CURSOR))
    assert company.fetch().records == 2
    assert company.orders() == expected(1, 2)


class TestSecrets:
    def test_a_token_comes_from_the_environment_and_is_shown_nowhere(
        self,
        company: ConnectedCompany,
        api: OrderApi,
        monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setenv("SHOP_TOKEN", CANARY)
        api.add(1, 2, 3, 4).token = CANARY
        company.connects(rest(api, authorization={"bearer": {"environment": "SHOP_TOKEN"}}))
        assert company.fetch().records == 4
        api.token = "another"
        with pytest.raises(FetchError) as failed:
            company.fetch()
        assert str(failed.value) == "connector shop: the server answers with status 401"
        assert failed.value.__cause__ is None
        captured = capfd.readouterr()
        assert CANARY not in captured.out + captured.err
        written = [path for path in company.folder.rglob("*") if path.is_file()]
        assert [path for path in written if CANARY.encode() in path.read_bytes()] == []

    def test_a_token_comes_from_a_file(self, company: ConnectedCompany, api: OrderApi) -> None:
        (company.folder / "token.txt").write_text(f"{CANARY}\n")
        api.add(1).token = CANARY
        company.connects(rest(api, authorization={"bearer": {"file": "token.txt"}}))
        assert company.fetch().records == 1

    def test_a_token_is_not_sent_to_a_server_that_a_link_leads_to(
        self, company: ConnectedCompany, api: OrderApi, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SHOP_TOKEN", CANARY)
        api.add(1, 2, 3, 4)
        with serving(OrderApi().add(1, 2, 3, 4)) as elsewhere:
            api.next_link_host = elsewhere.url
            company.connects(rest(api, "next_link", authorization={"bearer": {"environment": "SHOP_TOKEN"}}))
            company.fetch()
            assert api.authorizations == [f"Bearer {CANARY}"]
            assert elsewhere.authorizations == [None]

    def test_a_missing_secret_is_named_with_its_line(self, company: ConnectedCompany, api: OrderApi) -> None:
        company.connects(rest(api, authorization={"bearer": {"environment": "NOT_SET"}}))
        with pytest.raises(
            SettingsError, match=r"connectors\.yml:2: the environment variable NOT_SET is missing or empty"
        ):
            company.fetch()
        assert api.requests == []


class TestInterruptions:
    def test_a_fetch_that_is_killed_while_it_reads_is_repeated(self, company: ConnectedCompany, api: OrderApi) -> None:
        company.connects(rest(api, cursor=CURSOR))
        api.add(1, 2)
        company.fetch()
        api.add(*range(3, 12))
        api.hold_from_request = len(api.requests) + 3
        environment = os.environ | {"PYTHONPATH": str(PROJECT)}
        process = subprocess.Popen(personae_command("fetch", company.folder), cwd=PROJECT, env=environment)
        try:
            for _ in range(300):
                if len(api.requests) >= api.hold_from_request:
                    break
                time.sleep(0.1)
            assert len(api.requests) >= api.hold_from_request
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert company.orders() == expected(1, 2)
        api.hold_from_request = None
        api.hold.set()
        assert company.fetch().records == 9
        assert company.orders() == expected(*range(1, 12))

    def test_a_fetch_that_dies_while_it_writes_puts_the_same_records_in_place_later(
        self, company: ConnectedCompany, api: OrderApi, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        company.connects(rest(api, cursor=CURSOR))
        api.add(1, 2, 3)
        with monkeypatch.context() as broken:
            broken.setattr(fetch_module, "_put_records", _no_space)
            with pytest.raises(FetchError, match="connector shop: a file cannot be read or written"):
                company.fetch()
        assert company.files() == []
        api.add(4)
        assert company.fetch().records == 4
        assert company.orders() == expected(1, 2, 3, 4)
        assert company.fetch().records == 0

    def test_what_was_written_before_it_died_is_replaced_not_doubled(
        self, company: ConnectedCompany, api: OrderApi, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        company.connects(rest(api, cursor=CURSOR))
        api.add(1, 2, 3)
        put = fetch_module._put_records

        def put_and_die(*arguments: Any) -> int:
            put(*arguments)
            return _no_space()

        with monkeypatch.context() as broken:
            broken.setattr(fetch_module, "_put_records", put_and_die)
            with pytest.raises(FetchError):
                company.fetch()
        before = {path.name: path.read_bytes() for path in company.files()}
        company.fetch()
        assert {path.name: path.read_bytes() for path in company.files()} == before
        assert company.orders() == expected(1, 2, 3)


def _no_space(*_: Any) -> int:
    raise OSError(28, "No space left on device")


def test_only_the_named_connector_is_asked(company: ConnectedCompany, api: OrderApi) -> None:
    company.connects(rest(api))
    assert fetch(company.open(), ("other",)) == []
    assert api.requests == []

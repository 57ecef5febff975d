"""Lists in pages: all of them are read, and an answer that is no page ends the run instead of looking empty."""

import logging

import httpx
import pytest

from activation.sync.http import VendorClient
from activation.sync.protocol import Fatal
from activation.sync.rates import Pacer
from tests.unit.activation.sync.scripted import FakeClock

PEOPLE = [{"email": f"p{number}@example.com"} for number in range(7)]


def client(answer) -> VendorClient:
    made = VendorClient("https://vendor.example", dict, httpx.MockTransport(answer))
    made.connect(Pacer({}, FakeClock()))
    return made


def by_offset(request: httpx.Request) -> httpx.Response:
    first, size = int(request.url.params["offset"]), int(request.url.params["count"])
    found = PEOPLE[first : first + size]
    return httpx.Response(200, json={"people": found} if found else {})


def by_cursor(request: httpx.Request) -> httpx.Response:
    first = int(request.url.params.get("after", 0))
    assert request.url.params["limit"] == "3"
    more = {"after": str(first + 3)} if first + 3 < len(PEOPLE) else {}
    return httpx.Response(200, json={"people": PEOPLE[first : first + 3], **more})


@pytest.mark.parametrize("size", [1, 3, 7, 10])
def test_pages_by_offset_end_with_one_that_is_not_full(size):
    pages = client(by_offset).pages_by_offset(
        "list", "/people", "people", size, size_name="count", is_left_out_when_empty=True
    )
    assert [one for page in pages for one in page] == PEOPLE


def test_pages_by_cursor_end_where_nothing_follows():
    pages = client(by_cursor).pages(
        "list",
        "/people",
        "people",
        {"limit": 3},
        lambda answer: {"after": answer["after"]} if "after" in answer else {},
    )
    assert [len(page) for page in pages] == [3, 3, 1]


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, text="<html>maintenance</html>"),
        httpx.Response(200, json={"message": "all is well"}),
        httpx.Response(200, json={"people": {"email": "p1@example.com"}}),
        httpx.Response(200, json=["p1@example.com"]),
    ],
    ids=["not JSON", "no list", "no list but an object", "another list"],
)
def test_what_is_no_page_is_not_taken_for_an_empty_one(answer):
    made = client(lambda _: answer)
    with pytest.raises(Fatal):
        list(made.pages_by_offset("list", "/people", "people", 10))
    with pytest.raises(Fatal):
        list(made.pages("list", "/people", "people", {}, lambda _: None))


def test_one_thing_may_not_be_there():
    assert client(lambda _: httpx.Response(404)).find("get", "/one") is None
    assert client(lambda _: httpx.Response(200, json={"id": 1})).find("get", "/one") == {"id": 1}


def test_whom_a_vendor_is_asked_for_stands_in_no_log_however_much_is_logged(caplog):
    caplog.set_level(logging.DEBUG)
    made = client(lambda request: httpx.Response(200, json={}))
    made.call("get_people", "GET", "people", params={"filter": 'any(email,["p1@example.com"])'})
    assert "p1" not in caplog.text

"""What the local vendors have in common: a transport for httpx that validates, answers, and misbehaves on request."""

import json
from collections import Counter, deque
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import httpx

from tests.vendors.description import Description, Operation, WrongRequest


class LocalVendor(httpx.BaseTransport):
    """A vendor on this machine, in this process. It outlives the connectors that talk to it.

    Faults are taken one per request, in order: `429`, `500 before`, `500 after`, `lost before`, `lost after`, `ok`.
    A request that the description refuses is answered 400 by nobody: it is a mistake of ours and raises.
    """

    def __init__(self, description: Description, host: str) -> None:
        self.description = description
        self.host = host
        self.faults: deque[str] = deque()
        self.calls: Counter[str] = Counter()
        self.requests: list[tuple[str, Any]] = []
        self.downloads: dict[str, bytes] = {}
        self.page = 3
        self.polls_needed = 1
        self.refuses: set[str] = set()
        self.suppressed: dict[str, str] = {}
        self.handlers: dict[str, Callable[[Operation, dict[str, list[str]], Any], tuple[int, Any]]] = {}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if str(request.url) in self.downloads:
            assert "authorization" not in request.headers, "credentials went to another host"
            return httpx.Response(200, content=self.downloads[str(request.url)])
        if request.url.host != self.host:
            raise WrongRequest(f"a request to {request.url.host}")
        self.check_credentials(request)
        body = request.read()
        query = request.url.query.decode()
        operation, decoded = self.description.check_request(
            request.method, request.url.path, query, request.headers, body
        )
        self.calls[operation.id] += 1
        self.requests.append((operation.id, decoded))
        fault = self.faults.popleft() if self.faults else "ok"
        if fault == "429":
            return httpx.Response(429, headers={"Retry-After": "3"}, json=self.error(429, "slow down"))
        if fault == "500 before":
            return httpx.Response(500, json=self.error(500, "it broke"))
        if fault == "lost before":
            raise httpx.ReadTimeout("lost")
        if operation.id not in self.handlers:
            raise WrongRequest(f"the local vendor does not know {operation.id}")
        status, answer = self.handlers[operation.id](operation, parse_qs(query), decoded)
        self.description.check_answer(operation, status, answer)
        if fault == "500 after":
            return httpx.Response(500, json=self.error(500, "it broke"))
        if fault == "lost after":
            raise httpx.ReadTimeout("lost")
        return httpx.Response(status, content=None if answer is None else json.dumps(answer).encode())

    def check_credentials(self, request: httpx.Request) -> None:
        """Refuse a request without the vendor's credentials."""
        raise NotImplementedError

    def error(self, status: int, message: str) -> dict[str, Any]:
        """An error as this vendor writes it."""
        raise NotImplementedError

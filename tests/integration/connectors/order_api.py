"""A real HTTP server with orders in pages, which can fail, hang, ask for a token, and remember what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


class OrderApi:
    """Orders, newest last, some to a page, by any of the usual ways of paging."""

    def __init__(self, page_size: int = 3) -> None:
        self.orders: list[dict[str, Any]] = []
        self.page_size = page_size
        self.token: str | None = None
        self.fail_next: list[int] = []
        self.requests: list[dict[str, str]] = []
        self.hold = threading.Event()
        self.hold_from_request: int | None = None
        self.next_link_host: str | None = None
        self.authorizations: list[str | None] = []
        self.url = ""

    def add(self, *numbers: int, **changes: Any) -> OrderApi:
        for number in numbers:
            at = f"2026-01-{number:02}T10:00:00Z"
            self.orders.append({"id": f"o{number}", "at": at, "updated_at": at, "amount": number + 0.5, **changes})
        return self

    def answer(self, query: dict[str, str]) -> tuple[int, dict[str, str], Any]:
        """Status, headers and body."""
        since, size = query.get("since", ""), self.page_size
        found = [order for order in self.orders if order["updated_at"] >= since]
        if "page" in query:
            first = (int(query["page"]) - 1) * size
        elif "offset" in query:
            first, size = int(query["offset"]), int(query["limit"])
        else:
            first = int(query.get("after", "0"))
        records, more = found[first : first + size], first + size < len(found)
        if query.get("shape") == "list":
            link = f'<{self.url}?shape=list&after={first + size}>; rel="next"'
            return 200, {"Link": link} if more else {}, records
        host = self.next_link_host or self.url
        paging = {"after": str(first + size), "next": f"{host}?after={first + size}&since={since}"} if more else {}
        return 200, {}, {"data": {"orders": records}, "paging": paging}


def _handler(api: OrderApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = {key: values[0] for key, values in parse_qs(urlsplit(self.path).query).items()}
            api.requests.append(query)
            api.authorizations.append(self.headers.get("Authorization"))
            if api.hold_from_request is not None and len(api.requests) >= api.hold_from_request:
                api.hold.wait(60)
            if api.fail_next:
                status = api.fail_next.pop(0)
                self._send(status, {"Retry-After": "1"} if status == 429 else {"Location": "/else"}, {})
            elif api.token and self.headers.get("Authorization") != f"Bearer {api.token}":
                self._send(401, {}, {"error": f"wrong token {self.headers.get('Authorization')}"})
            else:
                self._send(*api.answer(query))

        def _send(self, status: int, headers: dict[str, str], body: Any) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@contextmanager
def serving(api: OrderApi) -> Iterator[OrderApi]:
    """The server, on a port of its own."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(api))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()  # looks whether it shall end
    api.url = f"http://127.0.0.1:{server.server_port}/orders"
    try:
        yield api
    finally:
        api.hold.set()
        server.shutdown()
        server.server_close()

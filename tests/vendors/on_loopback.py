"""A local vendor behind a real address of this machine, so that a process of its own can talk to it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

from tests.vendors.server import LocalVendor

HOP_BY_HOP = {"host", "connection", "content-length", "transfer-encoding", "accept-encoding"}


class Served:
    """A vendor that is being served.

    Attributes:
        vendor: Its state.
        base_url: Where it is.
        received: Every request as it came: its line, its headers, its body.
        mistakes: What no vendor would have understood; a test ends with none.
        answers_with: Makes a status and a text of a request's headers, where the vendor is out of order.
    """

    def __init__(self, vendor: LocalVendor) -> None:
        self.vendor = vendor
        self.base_url = ""
        self.received: list[tuple[str, dict[str, str], bytes]] = []
        self.mistakes: list[str] = []
        self.answers_with: Callable[[dict[str, str]], tuple[int, str]] | None = None
        self._lock = threading.Lock()

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> httpx.Response:
        """What the vendor says, with its own addresses turned into ours."""
        with self._lock:
            self.received.append((f"{method} {path}", headers, body))
            if self.answers_with is not None:
                status, text = self.answers_with(headers)
                return httpx.Response(status, text=text)
            kept = {name: value for name, value in headers.items() if name not in HOP_BY_HOP}
            theirs = f"https://{self.vendor.host}"
            # Addresses that the vendor gave, such as the next page, come back as ours.
            url = f"{theirs}{path}".replace(httpx.URL(self.base_url).netloc.decode(), self.vendor.host)
            try:
                answer = self.vendor.handle_request(httpx.Request(method, url, headers=kept, content=body))
                answer.read()
            except Exception as error:
                self.mistakes.append(f"{method} {path}: {type(error).__name__} {error}")
                return httpx.Response(400, text="a mistake")
            content = answer.content.replace(theirs.encode(), self.base_url.encode())
            return httpx.Response(answer.status_code, content=content, headers={"content-type": "application/json"})


@contextmanager
def on_loopback(vendor: LocalVendor) -> Iterator[Served]:
    """Serve a vendor for as long as the block lasts."""
    served = Served(vendor)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = served.answer(self.command, self.path, headers, body)
            self.send_response(answer.status_code)
            for name in ("content-type", "retry-after"):
                if name in answer.headers:
                    self.send_header(name, answer.headers[name])
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    served.base_url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=[0.01], daemon=True)  # looks whether it shall end
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=10)

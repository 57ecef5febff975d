"""Calls over HTTP, as every vendor's connector makes them: paced, classified, redacted.

Here belongs what all vendors have in common. A call ends in an answer the connector asked for, or in one of the
errors of `protocol`: later may help (`Retryable`, which the pacer retries), the rows are wrong (`Refused`), or
everything is (`Fatal`).
"""

import base64
import json as json_text
import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import httpx

from activation.sync.protocol import Fatal, Refused, Retryable
from activation.sync.rates import Pacer, retry_after_seconds
from activation.sync.redaction import redact
from activation.sync.secrets import Secret

TIMEOUT = httpx.Timeout(30.0, connect=10.0)
LARGEST_DOWNLOAD = 2_000_000_000
WRONG_CREDENTIALS = (401, 403)
NOT_THERE = (404, 405, 410)
"""The list, the field or the call itself: nothing about rows, unless the connector expects it."""
LATER = (408, 425, 429)

for _library in ("httpx", "httpcore"):
    # They log every address they call, and some vendors are asked for people in it.
    logging.getLogger(_library).setLevel(logging.WARNING)


class VendorClient:
    """One vendor's account over HTTP.

    Redirects are not followed: credentials go to the vendor's address and to no other.
    """

    def __init__(
        self,
        base_url: str,
        headers: Callable[[], Mapping[str, str]],
        transport: httpx.BaseTransport | None = None,
        describe: Callable[[httpx.Response], tuple[str, str]] | None = None,
        wait_header: str = "Retry-After",
    ) -> None:
        """Store the arguments.

        Args:
            base_url: Of the account; `https`, or a server on this machine.
            headers: Makes the headers of a call, credentials among them.
            transport: For tests.
            describe: Reads code and message out of an answer that is an error.
            wait_header: Where the vendor says how many seconds to wait, beside `Retry-After`.

        Raises:
            ValueError: The address would send credentials in the clear.
        """
        check_address(base_url)
        self._headers = headers
        self._describe = describe or code_and_message
        self._wait_header = wait_header
        self._pacer: Pacer | None = None
        self._client = httpx.Client(
            base_url=base_url, transport=transport, timeout=TIMEOUT, follow_redirects=False, trust_env=transport is None
        )

    def connect(self, pacer: Pacer) -> None:
        """Take the run's pacer."""
        self._pacer = pacer

    def close(self) -> None:
        """Close connections."""
        self._client.close()

    def call(
        self,
        operation: str,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int] | None = None,
        json: object = None,
        content: bytes | None = None,
        files: Mapping[str, tuple[str, bytes, str]] | None = None,
        headers: Mapping[str, str] | None = None,
        expect: Collection[int] = (200,),
    ) -> httpx.Response:
        """Make one call, as often as it takes, and return an answer with one of the expected statuses.

        Args:
            operation: The vendor's operation, by which its rate windows are found.
            method: GET and so on.
            path: Below the base address, or a whole address the vendor gave for the next page; of the same host then.
            params: Query.
            json: Body, as JSON.
            content: Body, as it is.
            files: Body, as a form with files.
            headers: Beside the usual ones.
            expect: Statuses that are an answer. 404 belongs here where it means something.

        Raises:
            Refused: The vendor will never take this.
            Fatal: Credentials are wrong, what is addressed is not there, or the answer is none the vendor documents.
            OutOfTime: It was retried until the deadline.
        """
        assert self._pacer is not None, "connect comes first"  # noqa: S101
        self._check_host(path)
        body = None if json is None else json_text.dumps(json, ensure_ascii=False, separators=(",", ":")).encode()

        def once() -> httpx.Response:
            sent = dict(self._headers())
            if body is not None:
                sent.setdefault("Content-Type", "application/json")
            sent.update(headers or {})
            try:
                answer = self._client.request(
                    method,
                    path,
                    params=params,
                    content=body if body is not None else content,
                    files=files,
                    headers=sent,
                )
            except httpx.TimeoutException:
                raise Retryable(f"{operation}: no answer in time") from None
            except httpx.TransportError as error:
                raise Retryable(f"{operation}: the connection failed ({type(error).__name__})") from None
            return self._classified(operation, answer, expect)

        return self._pacer.call(operation, once)

    def create(
        self,
        operation: str,
        path: str,
        already: str,
        *,
        json: object = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response | None:
        """Create something, unless it is there, as after a call whose answer was lost; nothing then.

        Args:
            operation: As in `call`.
            path: As in `call`.
            already: How the vendor says that it is there.
            json: As in `call`.
            content: As in `call`.
            headers: As in `call`.
        """
        try:
            return self.call(operation, "POST", path, json=json, content=content, headers=headers, expect=(201,))
        except Refused as error:
            if already not in str(error):
                raise
            return None

    def retried(self, operation: str) -> int:
        """How often calls of an operation were made again in this run: what they did may be done twice."""
        return self._pacer.retries[operation] if self._pacer else 0

    def find(self, operation: str, path: str) -> dict[str, Any] | None:
        """Ask for one thing of which the vendor may know nothing; its JSON, or nothing where the answer is 404."""
        answer = self.call(operation, "GET", path, expect=(200, 404))
        return None if answer.status_code == 404 else answer.json()

    def pages(
        self,
        operation: str,
        path: str,
        rows: str,
        params: Mapping[str, str | int],
        following: Callable[[dict[str, Any]], Mapping[str, str | int] | None],
    ) -> Iterator[list[dict[str, Any]]]:
        """The pages of a list whose answers say where the next one begins.

        Args:
            operation: As in `call`.
            path: As in `call`.
            rows: Under which name an answer holds its rows.
            params: Of the first page.
            following: What is asked for the next page, beside or in the place of `params`; nothing after the last one.
        """
        asked: dict[str, str | int] = dict(params)
        while True:
            answer = _answered(operation, self.call(operation, "GET", path, params=asked))
            yield _rows(operation, answer, rows)
            more = following(answer)
            if not more:
                return
            asked |= more

    def pages_by_offset(
        self,
        operation: str,
        path: str,
        rows: str | None,
        size: int,
        params: Mapping[str, str | int] | None = None,
        size_name: str = "limit",
        page_name: str | None = None,
        is_left_out_when_empty: bool = False,
    ) -> Iterator[list[dict[str, Any]]]:
        """The pages of a list that is asked for by how many rows were seen; a page that is not full is the last.

        Args:
            operation: As in `call`.
            path: As in `call`.
            rows: Under which name an answer holds its rows; None where it is them.
            size: Rows of a page.
            params: Beside size and offset.
            size_name: What the vendor calls the size.
            page_name: What it calls the number of a page, from 1 on, where that is asked for in the place of an offset.
            is_left_out_when_empty: Whether an answer without the name stands for no rows.
        """
        offset = 0
        while True:
            place = {page_name: offset // size + 1} if page_name else {"offset": offset}
            asked: dict[str, str | int] = {**(params or {}), size_name: size, **place}
            answer = _answered(operation, self.call(operation, "GET", path, params=asked))
            found = [] if is_left_out_when_empty and rows not in answer else _rows(operation, answer, rows)
            yield found
            if len(found) < size:
                return
            offset += size

    def download(self, operation: str, url: str) -> bytes:
        """Fetch a file from an address the vendor gave. It is another host, so it gets no credentials.

        Raises:
            Fatal: The address is not one to fetch from, or the file is not there or too large.
            OutOfTime: It was retried until the deadline.
        """
        assert self._pacer is not None, "connect comes first"  # noqa: S101
        try:
            check_address(url)
        except ValueError:
            raise Fatal(f"{operation}: the vendor gave an address that is not https") from None

        def once() -> bytes:
            try:
                with self._client.stream("GET", url) as answer:
                    if answer.status_code != 200:
                        answer.read()
                        self._classified(operation, answer, (200,))
                    content = bytearray()
                    for piece in answer.iter_bytes():
                        content += piece
                        if len(content) > LARGEST_DOWNLOAD:
                            raise Fatal(f"{operation}: the file is larger than {LARGEST_DOWNLOAD} bytes")
                    return bytes(content)
            except httpx.TransportError as error:
                raise Retryable(f"{operation}: the connection failed ({type(error).__name__})") from None

        return self._pacer.call(operation, once)

    def _classified(self, operation: str, answer: httpx.Response, expect: Collection[int]) -> httpx.Response:
        status = answer.status_code
        if status in expect:
            return answer
        code, message = self._describe(answer)
        said = f"{operation}: {status} {redact(code, 80)} {redact(message)}".strip()
        if status in LATER or status >= 500:
            assert self._pacer is not None  # noqa: S101
            wait = retry_after_seconds(
                answer.headers.get("Retry-After", answer.headers.get(self._wait_header)),
                answer.headers.get("Date"),
                self._pacer.clock.now(),
            )
            raise Retryable(said, status, code, wait, may_have_happened=status != 429)
        if status in WRONG_CREDENTIALS or status in NOT_THERE:
            raise Fatal(said, status, code)
        if 400 <= status < 500:
            raise Refused(said, status, code)
        raise Fatal(f"{operation}: {status} is no answer to this call", status)

    def _check_host(self, path: str) -> None:
        parts = urlsplit(path)
        if (parts.scheme or parts.netloc) and httpx.URL(path).host != self._client.base_url.host:
            raise Fatal("The vendor sent us to another host; credentials do not go there")


def bearer(token: Secret) -> dict[str, str]:
    """The header that opens an account by a token."""
    return {"Authorization": f"Bearer {token.reveal()}"}


def basic(user: str, password: Secret) -> dict[str, str]:
    """The header that opens an account by user and password."""
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password.reveal()}".encode()).decode()}


def check_address(url: str) -> None:
    """Refuse addresses that credentials must not go to.

    Raises:
        ValueError: Not `https`, and not a server on this machine.
    """
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return
    if parts.scheme == "http" and parts.hostname and _is_this_machine(parts.hostname):
        return
    raise ValueError("A destination's address begins with https://")


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def code_and_message(answer: httpx.Response) -> tuple[str, str]:
    """Read code and message out of an error, in the shapes vendors use; neither where it is not JSON."""
    found = json_object(answer)
    errors = found.get("errors")
    if isinstance(errors, list) and errors and isinstance(errors[0], dict):
        found = errors[0]
    code = next((found[name] for name in ("code", "category", "title", "status") if found.get(name)), "")
    message = next((found[name] for name in ("detail", "message", "error", "title") if found.get(name)), "")
    return str(code), str(message)


def json_object(answer: httpx.Response) -> dict[str, Any]:
    """Read an answer's JSON object; an empty one where it is something else."""
    try:
        found = answer.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _answered(operation: str, answer: httpx.Response) -> Any:
    """Read an answer that must be JSON: a page that cannot be read is no empty page."""
    try:
        return answer.json()
    except ValueError:
        raise Fatal(f"{operation}: the answer is not JSON", answer.status_code) from None


def _rows(operation: str, answer: Any, rows: str | None) -> list[dict[str, Any]]:
    found = answer if rows is None else answer.get(rows) if isinstance(answer, dict) else None
    if not isinstance(found, list):
        raise Fatal(f"{operation}: the answer has no list of {rows or 'rows'}")
    return found

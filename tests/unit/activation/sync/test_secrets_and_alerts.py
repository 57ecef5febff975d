"""Credentials come from outside and show themselves to nobody; what is logged, stored or told names nobody."""

import copy
import logging
import pickle
import smtplib
import socketserver
import threading

import httpx
import pytest

from activation.sync.alerts import Alert, EmailChannel, WebhookChannel
from activation.sync.http import VendorClient
from activation.sync.protocol import Fatal, OutOfTime, Refused
from activation.sync.rates import Pacer
from activation.sync.redaction import RedactingFilter, redact
from activation.sync.secrets import Secret, SecretMissing, read_secret
from tests.unit.activation.sync.scripted import FakeClock

CANARY = "canary-3f9a-secret"
ALERT = Alert("newsletter", "blocked", None, "100 of 200 people would leave", "run-1")


def test_a_secret_is_read_from_the_environment_or_a_file(tmp_path):
    (tmp_path / "key").write_text(f"{CANARY}\n")
    assert read_secret("env:KEY", {"KEY": CANARY}).reveal() == CANARY
    assert read_secret(f"file:{tmp_path / 'key'}").reveal() == CANARY


@pytest.mark.parametrize("reference", [CANARY, "", "env:", "vault:key", "env:NOT_THERE", "file:/nowhere/key"])
def test_a_secret_in_the_settings_or_nowhere_is_refused_without_being_repeated(reference):
    with pytest.raises(SecretMissing) as error:
        read_secret(reference, {})
    assert CANARY not in str(error.value)


def test_a_secret_shows_itself_to_nobody():
    secret = Secret(CANARY, "env:KEY")
    for shown in (repr(secret), str(secret), f"{secret}", f"{[secret]}"):
        assert CANARY not in shown
    for escape in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            escape(secret)


@pytest.mark.parametrize(
    "text",
    [
        "Invalid address ann.o'neil+news@sub.example.co.uk",
        "email=ann%40example.com&x=1",
        "Ünï@exämple.com was refused",
        "call +49 (30) 1234-5678 90",
        "Authorization: Bearer abcdef123456",
        "api-key: abcdef123456",
        "Klaviyo-API-Key pk_abcdef123456",
        f"the key {CANARY} is not valid",
    ],
)
def test_addresses_numbers_and_credentials_are_taken_out(text):
    Secret(CANARY, "env:KEY")
    clean = redact(text)
    for part in ("ann", "neil", "exämple", "Ünï", "1234", "abcdef123456", CANARY):
        assert part not in clean


def test_ordinary_words_stay():
    text = "bulk_import_profiles: 400 invalid The list XyZ12 of 2026-11-16 has 1000 rows"
    assert redact(text) == text


def test_a_log_line_and_its_traceback_are_redacted(caplog):
    logger = logging.getLogger("personae.test")
    logger.addFilter(RedactingFilter())
    try:
        raise ValueError("ann@example.com")
    except ValueError:
        logger.exception("it failed for %s", "bob@example.com")
    assert "example.com" not in caplog.text and "ValueError" in caplog.text


def client(answer: httpx.Response | Exception) -> VendorClient:
    def handle(request: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return answer

    made = VendorClient("https://api.example.com", dict, httpx.MockTransport(handle))
    made.connect(Pacer({}, FakeClock(), seed=1, deadline_seconds=30))
    return made


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (httpx.Response(400, json={"errors": [{"code": "invalid", "detail": "ann@example.com is wrong"}]}), Refused),
        (httpx.Response(413), Refused),
        (httpx.Response(422, json={"message": "ann@example.com"}), Refused),
        (httpx.Response(401), Fatal),
        (httpx.Response(404), Fatal),
        (httpx.Response(302, headers={"Location": "https://elsewhere.example"}), Fatal),
        (httpx.Response(204), Fatal),
        (httpx.Response(425), OutOfTime),
        (httpx.Response(503, text="<html>ann@example.com</html>"), OutOfTime),
        (httpx.ConnectError("ann@example.com"), OutOfTime),
        (httpx.ReadTimeout("ann@example.com"), OutOfTime),
    ],
)
def test_answers_are_classified_and_quote_nobody(answer, error):
    with pytest.raises(error) as found:
        client(answer).call("operation", "POST", "/things", json={})
    assert "ann@" not in str(found.value)


def test_credentials_go_to_no_other_host_and_never_in_the_clear():
    with pytest.raises(Fatal, match="another host"):
        client(httpx.Response(200)).call("operation", "GET", "https://elsewhere.example/next")
    with pytest.raises(ValueError, match="https"):
        VendorClient("http://api.example.com", dict)
    VendorClient("http://127.0.0.1:8080", dict).close()


def test_an_alert_is_posted():
    posted: list[httpx.Request] = []

    def take(request: httpx.Request) -> httpx.Response:
        posted.append(request)
        return httpx.Response(200)

    WebhookChannel(Secret("https://hooks.example.com/T0/canary", "env:HOOK"), httpx.MockTransport(take)).send(ALERT)
    assert b"newsletter is blocked: 100 of 200 people would leave" in posted[0].content


def test_an_alert_is_mailed():
    lines: list[bytes] = []

    class Mail(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 here\r\n")
            in_data = False
            for line in self.rfile:
                lines.append(line)
                word = line[:4].upper().strip()
                if in_data:
                    if line == b".\r\n":
                        in_data = False
                        self.wfile.write(b"250 taken\r\n")
                elif word == b"DATA":
                    in_data = True
                    self.wfile.write(b"354 go on\r\n")
                elif word == b"QUIT":
                    self.wfile.write(b"221 bye\r\n")
                    return
                else:
                    self.wfile.write(b"250 fine\r\n")

    with socketserver.TCPServer(("127.0.0.1", 0), Mail) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        EmailChannel("127.0.0.1", server.server_address[1], "personae@example.com", ["team@example.com"]).send(ALERT)
    assert b"Subject: [personae] newsletter: blocked\r\n" in lines


def test_credentials_are_not_mailed_over_a_server_without_tls():
    class Plain(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 here\r\n")
            for line in self.rfile:
                assert CANARY.encode() not in line
                self.wfile.write(b"221 bye\r\n" if line[:4].upper() == b"QUIT" else b"250 no tls\r\n")

    with socketserver.TCPServer(("127.0.0.1", 0), Plain) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        channel = EmailChannel(
            "127.0.0.1", server.server_address[1], "a@example.com", ["b@example.com"], "a", Secret(CANARY, "env:P")
        )
        with pytest.raises(smtplib.SMTPNotSupportedError):
            channel.send(ALERT)

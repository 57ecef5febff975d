"""Telling people that a destination stopped working, and that it works again; not on every run.

Here belong when something is told and over which channels. Messages hold counts and reasons, nobody's data.
"""

import json
import logging
import smtplib
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Protocol

import httpx

from activation.answers import first_row
from activation.sync.redaction import RedactingFilter, redact
from activation.sync.secrets import Secret
from activation.sync.state import SyncState

ALERT_TABLE = """
create table if not exists activation.sync_alerts (
    destination varchar not null, state varchar not null, reason varchar, run_id varchar not null,
    since timestamp not null
)
"""
WORKS = "works"
TIMEOUT_SECONDS = 10.0

logger = logging.getLogger("personae.sync")
logger.addFilter(RedactingFilter())


@dataclass(frozen=True)
class Alert:
    """A change of a destination's state.

    Attributes:
        destination: Its name.
        state: `works`, `blocked`, `incomplete`, `failed` or `differs`.
        before: The state that was told last; nothing the first time.
        reason: Why, redacted.
        run_id: The run that found it.
    """

    destination: str
    state: str
    before: str | None
    reason: str
    run_id: str

    @property
    def sentence(self) -> str:
        """The alert in one line."""
        if self.state == WORKS:
            return f"{self.destination} works again (it was {self.before})"
        return f"{self.destination} is {self.state}: {self.reason or 'no reason given'}"


class Channel(Protocol):
    """A way to tell people."""

    def send(self, alert: Alert) -> None:
        """Tell them. Whatever it raises is logged and stops nothing."""


class LogChannel:
    """The log: a warning, or a line of information for a recovery."""

    def send(self, alert: Alert) -> None:
        """Write the line."""
        logger.log(logging.INFO if alert.state == WORKS else logging.WARNING, "%s", alert.sentence)


class WebhookChannel:
    """A POST of JSON, as chat tools take it (`text`), with the fields beside."""

    def __init__(self, url: Secret, transport: httpx.BaseTransport | None = None) -> None:
        """Store the address, which is a credential with most tools."""
        self._url = url
        self._transport = transport

    def send(self, alert: Alert) -> None:
        """Post it.

        Raises:
            httpx.HTTPError: It was not taken.
        """
        document = {
            "text": alert.sentence,
            "destination": alert.destination,
            "state": alert.state,
            "before": alert.before,
            "reason": alert.reason,
            "run_id": alert.run_id,
        }
        with httpx.Client(transport=self._transport, timeout=TIMEOUT_SECONDS, follow_redirects=False) as client:
            client.post(self._url.reveal(), json=document).raise_for_status()


class EmailChannel:
    """A mail over SMTP; TLS wherever credentials are used."""

    def __init__(
        self,
        host: str,
        port: int,
        sender: str,
        recipients: Sequence[str],
        user: str | None = None,
        password: Secret | None = None,
    ) -> None:
        """Store the arguments."""
        self._host, self._port, self._sender, self._recipients = host, port, sender, tuple(recipients)
        self._user, self._password = user, password

    def send(self, alert: Alert) -> None:
        """Send it.

        Raises:
            OSError: The server cannot be reached, or refused it (`smtplib.SMTPException` is one).
        """
        message = EmailMessage()
        message["Subject"] = f"[personae] {alert.destination}: {alert.state}"
        message["From"], message["To"] = self._sender, ", ".join(self._recipients)
        message.set_content(f"{alert.sentence}\n\nRun {alert.run_id}\n")
        with smtplib.SMTP(self._host, self._port, timeout=TIMEOUT_SECONDS) as server:
            if self._user and self._password:
                server.starttls()
                server.login(self._user, self._password.reveal())
            server.send_message(message)


def tell_changes(state: SyncState, run_id: str, found: str, reason: str, channels: Sequence[Channel]) -> Alert | None:
    """Tell a destination's state if it is another than was told last.

    A first run that works is no news. The state is kept before it is told: a crash in between loses one message and
    never repeats one every week.

    Args:
        state: The destination's.
        run_id: The run.
        found: How it ended; `done` works.
        reason: Why.
        channels: Whom to tell. One that fails is logged and does not keep the others from being told.
    """
    connection = state.connection
    connection.execute(ALERT_TABLE)
    now_is = WORKS if found == "done" else found
    told = first_row(connection, "select state from activation.sync_alerts where destination = ?", [state.destination])
    before = told[0] if told else None
    if now_is == (before or WORKS):
        return None
    alert = Alert(state.destination, now_is, before, redact(reason), run_id)
    with state.transaction():
        connection.execute("delete from activation.sync_alerts where destination = ?", [state.destination])
        connection.execute(
            "insert into activation.sync_alerts values (?, ?, ?, ?, ?)",
            [state.destination, now_is, json.dumps(alert.reason), run_id, state.now()],
        )
    for channel in channels:
        try:
            channel.send(alert)
        except Exception as error:
            logger.warning("an alert could not be sent over %s: %s", type(channel).__name__, redact(error))
    return alert

"""What may not be read in a log, a table or an error: addresses, phone numbers, secrets.

Here belongs taking them out of text. What the secrets are is known to `secrets`, which tells them to this module as
they are read.
"""

import hashlib
import logging
import re
import threading

MASKED_SECRET = "<secret>"  # noqa: S105 - what stands in its place
LONGEST_MESSAGE = 500

_ADDRESS = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~\u0080-\uffff-]{1,64}(?:@|%40)[A-Za-z0-9\u0080-\uffff](?:[A-Za-z0-9\u0080-\uffff.-]{0,253})"
)
_PHONE = re.compile(r"(?<![\w.-])\+?\d(?:[ ()/-]?\d){8,14}(?![\w-])")
_CREDENTIAL = re.compile(
    r"(?i)\b(bearer|basic|klaviyo-api-key|ghost|api[-_]?key|token|password|secret)(\s*[=:]\s*|\s+)(?=[^\s,;]{6})[^\s,;\"']+"
)
_SHORTEST_SECRET = 4

_known: set[str] = set()
_lock = threading.Lock()


def remember_secret(value: str) -> None:
    """Take a value out of all text from now on. Values of fewer than four characters would take words apart."""
    if len(value) >= _SHORTEST_SECRET:
        with _lock:
            _known.add(value)


def masked_address(address: str) -> str:
    """Name an address so that two log lines about one person can be told to be so, without saying who it is."""
    return f"<address {hashlib.sha256(address.strip().lower().encode()).hexdigest()[:12]}>"


def redact(text: object, limit: int = LONGEST_MESSAGE) -> str:
    """Return text without secrets, addresses and phone numbers, at most `limit` characters long.

    Vendors quote what they refuse; whatever comes from them passes through here before it is stored or raised.
    """
    clean = str(text)
    if not clean:
        return clean
    with _lock:
        secrets = sorted(_known, key=len, reverse=True)
    for secret in secrets:
        clean = clean.replace(secret, MASKED_SECRET)
    clean = _CREDENTIAL.sub(lambda found: f"{found[1]}{found[2]}{MASKED_SECRET}", clean)
    clean = _ADDRESS.sub(lambda found: masked_address(found[0].replace("%40", "@")), clean)
    clean = _PHONE.sub("<number>", clean)
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


class RedactingFilter(logging.Filter):
    """Redacts every record of the loggers it is added to, arguments and traceback included."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the record; never drops it."""
        record.msg, record.args = redact(record.getMessage(), limit=4 * LONGEST_MESSAGE), None
        if record.exc_info:
            record.exc_text = redact(logging.Formatter().formatException(record.exc_info), limit=20_000)
            record.exc_info = None
        return True

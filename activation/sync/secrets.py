"""Where credentials come from: an environment variable or a file, never the settings themselves."""

import os
from collections.abc import Mapping
from pathlib import Path

from activation.sync.redaction import MASKED_SECRET, remember_secret

_LARGEST_FILE = 65_536


class SecretMissing(Exception):
    """A credential cannot be had. The message names where it was looked for, never what was found."""


class Secret:
    """A credential that shows itself to nobody who does not ask for it by `reveal`."""

    __slots__ = ("_value", "origin")

    def __init__(self, value: str, origin: str) -> None:
        """Store a credential, and have it taken out of all text from now on."""
        remember_secret(value)
        self._value = value
        self.origin = origin

    def reveal(self) -> str:
        """Return the credential, to be put into a request and nowhere else."""
        return self._value

    def __repr__(self) -> str:
        """Say where it came from."""
        return f"Secret({self.origin}, {MASKED_SECRET})"

    __str__ = __repr__

    def __reduce__(self) -> str:
        """Refuse."""
        raise TypeError("A secret is not pickled or copied")


def read_secret(reference: str, environment: Mapping[str, str] | None = None) -> Secret:
    """Read the credential that a setting refers to.

    Args:
        reference: `env:NAME` or `file:/path`, as in `api_key: env:KLAVIYO_API_KEY`.
        environment: Instead of the process's own.

    Raises:
        SecretMissing: The reference is of neither kind (it may be the credential itself, so it is not repeated), or
            leads to nothing or to nothing usable.
    """
    kind, separator, name = reference.partition(":")
    if not separator or kind not in ("env", "file") or not name:
        raise SecretMissing(
            "A credential is named as env:NAME or file:/path. It never stands in the settings itself; "
            "if it did, replace it at the vendor: it has been in a file that is shared."
        )
    if kind == "env":
        value = (os.environ if environment is None else environment).get(name, "")
        where = f"the environment variable {name}"
    else:
        value, where = _read_file(Path(name)), f"the file {name}"
    value = value.strip()
    if not value:
        raise SecretMissing(f"A credential is missing: {where} is empty or not there")
    if any(character < " " for character in value) and not value.startswith("-----BEGIN"):
        raise SecretMissing(f"The credential in {where} holds a line break or another control character")
    return Secret(value, reference)


def _read_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_LARGEST_FILE).decode("utf-8")
    except (OSError, UnicodeDecodeError):
        return ""

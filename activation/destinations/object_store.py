"""A bucket (S3, Google Cloud Storage, Azure) as a store for file drops.

An object appears whole or not at all, so that nothing needs renaming. `obstore` is imported where a store is opened:
it is needed by those who deliver this way only.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from activation.sync.protocol import Fatal, Retryable
from activation.sync.secrets import Secret


class ObjectStore:
    """One bucket, or a prefix in it."""

    def __init__(self, url: str, options: Mapping[str, str | bool], secrets: Mapping[str, Secret]) -> None:
        """Store how the bucket is reached.

        Args:
            url: `s3://bucket/prefix`, `gs://...`, `az://...`.
            options: Region, endpoint and the like, by obstore's names.
            secrets: Credentials, by obstore's names (`access_key_id`, `secret_access_key`).
        """
        self._url = url
        self._options = dict(options)
        self._secrets = dict(secrets)
        self._opened: Any = None

    def _store(self) -> Any:
        from obstore.store import from_url  # noqa: PLC0415

        if self._opened is None:
            allows_http = str(self._options.get("endpoint", "")).startswith("http://")
            configuration: Any = self._options | {name: secret.reveal() for name, secret in self._secrets.items()}
            self._opened = from_url(self._url, config=configuration, client_options={"allow_http": allows_http})
        return self._opened

    def put(self, name: str, source: Path) -> None:
        """Upload a file."""
        import obstore  # noqa: PLC0415

        with _errors():
            obstore.put(self._store(), name, source)

    def read(self, name: str) -> Iterator[bytes] | None:
        """An object's bytes; nothing where there is none."""
        import obstore  # noqa: PLC0415

        with _errors():
            try:
                found = obstore.get(self._store(), name)
            except FileNotFoundError:
                return None
            return (bytes(piece) for piece in found.stream())

    def names(self, prefix: str) -> list[str]:
        """Names that begin so."""
        import obstore  # noqa: PLC0415

        with _errors():
            # Object stores list by whole path segments, and a prefix of ours is part of a name.
            listed = obstore.list(self._store()).collect()
        return sorted(str(one["path"]) for one in listed if str(one["path"]).startswith(prefix))

    def close(self) -> None:
        """Nothing is held open."""


class _errors:
    """Says of an object store's error whether later may help, and nothing else: it may quote what it was given."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        from obstore.exceptions import (  # noqa: PLC0415
            BaseError,
            PermissionDeniedError,
            UnauthenticatedError,
        )

        if isinstance(error, PermissionDeniedError | UnauthenticatedError | FileNotFoundError):
            raise Fatal(f"the bucket refuses us or is not there: {type(error).__name__}") from None
        if isinstance(error, BaseError | OSError):
            raise Retryable(f"the bucket did not answer: {type(error).__name__}") from None

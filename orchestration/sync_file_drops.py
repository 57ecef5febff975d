"""File drops by what `activation.yml` says of them: a store, and how deliveries into it are written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from activation.destinations.file_drop import Contents, FileDrop, FileFormat, FileStore
from activation.destinations.local_folder import LocalFolder
from activation.destinations.object_store import ObjectStore
from activation.destinations.sftp import SftpFolder
from activation.sync.secrets import Secret

DELIVERY = ("contents", "file_format", "identifier_column", "payload_column", "stays", "is_case_sensitive")


def local_folder_drop(name: str, folder: Path, **delivery: Any) -> FileDrop:
    """Files in a folder of this machine."""
    return _drop(name, LocalFolder(folder), delivery)


def sftp_drop(name: str, **options: Any) -> FileDrop:
    """Files behind SFTP; `options` are those of `SftpFolder` and of the delivery."""
    delivery, account = _parted(options)
    return _drop(name, SftpFolder(**account), delivery)


def object_store_drop(name: str, url: str, **options: Any) -> FileDrop:
    """Files in a bucket; options beside those of the delivery are obstore's."""
    delivery, access = _parted(options)
    secrets = {option: value for option, value in access.items() if isinstance(value, Secret)}
    plain = {option: value for option, value in access.items() if option not in secrets}
    return _drop(name, ObjectStore(url, plain, secrets), delivery)


def _parted(options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    return (
        {name: value for name, value in options.items() if name in DELIVERY},
        {name: value for name, value in options.items() if name not in DELIVERY},
    )


def _drop(name: str, store: FileStore, delivery: dict[str, Any]) -> FileDrop:
    given = dict(delivery)
    contents, file_format = Contents(given.pop("contents")), FileFormat(given.pop("file_format"))
    return FileDrop(name, store, contents, file_format, **given)

"""File drops and lists for ad platforms by what `activation.yml` says of them: a store, and what is written into it."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from activation.destinations.deliveries import FileStore
from activation.destinations.file_drop import Contents, FileDrop, FileFormat
from activation.destinations.hashed_audience import HashedAudience
from activation.destinations.local_folder import LocalFolder
from activation.destinations.object_store import ObjectStore
from activation.destinations.sftp import SftpFolder
from activation.sync.secrets import Secret
from ml.phone_numbers import e164_numbers

DELIVERY = ("contents", "file_format", "identifier_column", "payload_column", "stays", "is_case_sensitive")


LIST = ("platform", "purpose", "phone_region", "tiktok_phone")


def local_folder_drop(name: str, folder: Path, **delivery: Any) -> FileDrop:
    """Files in a folder of this machine."""
    return _drop(name, LocalFolder(folder), delivery)


def sftp_drop(name: str, **options: Any) -> FileDrop:
    """Files behind SFTP; `options` are those of `SftpFolder` and of the delivery."""
    delivery, account = _parted(options, DELIVERY)
    return _drop(name, SftpFolder(**account), delivery)


def object_store_drop(name: str, url: str, **options: Any) -> FileDrop:
    """Files in a bucket; options beside those of the delivery are obstore's."""
    delivery, access = _parted(options, DELIVERY)
    return _drop(name, _bucket(url, access), delivery)


def local_folder_list(name: str, folder: Path, **options: Any) -> HashedAudience:
    """Lists of an ad platform in a folder of this machine."""
    return _list(name, LocalFolder(folder), options)


def sftp_list(name: str, **options: Any) -> HashedAudience:
    """Lists of an ad platform behind SFTP; `options` are those of `SftpFolder` and of the list."""
    written, account = _parted(options, LIST)
    return _list(name, SftpFolder(**account), written)


def object_store_list(name: str, url: str, **options: Any) -> HashedAudience:
    """Lists of an ad platform in a bucket; options beside those of the list are obstore's."""
    written, access = _parted(options, LIST)
    return _list(name, _bucket(url, access), written)


def _parted(options: dict[str, Any], names: Collection[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    return (
        {name: value for name, value in options.items() if name in names},
        {name: value for name, value in options.items() if name not in names},
    )


def _bucket(url: str, access: dict[str, Any]) -> ObjectStore:
    secrets = {option: value for option, value in access.items() if isinstance(value, Secret)}
    plain = {option: value for option, value in access.items() if option not in secrets}
    return ObjectStore(url, plain, secrets)


def _drop(name: str, store: FileStore, delivery: dict[str, Any]) -> FileDrop:
    given = dict(delivery)
    contents, file_format = Contents(given.pop("contents")), FileFormat(given.pop("file_format"))
    return FileDrop(name, store, contents, file_format, **given)


def _list(name: str, store: FileStore, options: dict[str, Any]) -> HashedAudience:
    given = dict(options)
    platform, region = given.pop("platform"), given.pop("phone_region", None)
    return HashedAudience(name, store, platform, lambda spelled: e164_numbers(spelled, region), **given)

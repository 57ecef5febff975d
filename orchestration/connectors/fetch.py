"""`personae fetch`: what is new behind a connector becomes an extract in the data folder; everything after is ingest.

What belongs here: where extracts are put, and that none is lost or doubled when a fetch is killed. dlt keeps what was
fetched in a package until it is put in place, and remembers how far it came only with the package; a package that was
left behind is put in place first, under the same names. Nothing here may show a secret or a value: of an error only its
kind is told.
"""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from orchestration.connectors.settings import Connector, check_secrets
from orchestration.ingest.extracts import UNFINISHED
from orchestration.workspace import Workspace

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

TIMES_TO_PUT = 3
# What a bucket's library calls a server that does not answer, and a key that is nowhere; it is no requirement of ours.
UNREACHABLE = ("EndpointConnectionError", "ConnectTimeoutError", "ReadTimeoutError", "ClientConnectorError")
NO_KEY = ("NoCredentialsError", "PartialCredentialsError")


class FetchError(Exception):
    """A fetch that failed; the message names the connector and the kind of failure, never a value."""


@dataclass(frozen=True)
class Fetched:
    """What one connector brought."""

    connector: str
    files: tuple[str, ...]
    records: int


def fetch(
    workspace: Workspace, names: tuple[str, ...] = (), progress: Callable[[str], None] = lambda _: None
) -> list[Fetched]:
    """Fetch what is new through some or all connectors.

    Args:
        workspace: its connectors and its data folder.
        names: connectors; all where empty.
        progress: told about each connector in a sentence without data.

    Raises:
        FetchError: dlt is not installed, a source cannot be read, or an extract cannot be written. What was fetched
            before stands, and the next fetch goes on from there.
        SettingsError: a secret is missing.
    """
    chosen = tuple(each for each in workspace.connectors if not names or each.name in names)
    check_secrets(workspace.folder, chosen)
    fetched = []
    with _quiet_dlt(workspace):
        for connector in chosen:
            try:
                fetched.append(_fetch_one(workspace, connector))
            except Exception as error:
                raise FetchError(f"connector {connector.name}: {_in_words(error)}") from None
            files = len(fetched[-1].files)
            progress(
                f"{connector.name}: {fetched[-1].records:,} records in {files} new {'file' if files == 1 else 'files'}"
            )
    return fetched


@contextmanager
def _quiet_dlt(workspace: Workspace) -> Iterator[None]:
    """dlt without telemetry, without logs, and with everything it keeps inside the workspace."""
    home = workspace.state_folder / "connectors"
    home.mkdir(parents=True, exist_ok=True)
    settings = {
        "RUNTIME__DLTHUB_TELEMETRY": "false",
        "RUNTIME__LOG_LEVEL": "CRITICAL",
        "DLT_DATA_DIR": str(home),
        "DLT_PROJECT_DIR": str(home),
        "LOAD__RAISE_ON_MAX_RETRIES": str(TIMES_TO_PUT),
        # How far a connector came is kept here alone: to put it beside the extracts would be refused, after a second.
        "RESTORE_FROM_DESTINATION": "false",
    }
    before = {name: os.environ.get(name) for name in settings}
    os.environ |= settings
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _fetch_one(workspace: Workspace, connector: Connector) -> Fetched:
    try:
        import dlt  # noqa: PLC0415  (an optional extra)
        from dlt.common.storages.load_package import load_package_state  # noqa: PLC0415

        from orchestration.connectors.sources import FILE, bucket_store, records_of  # noqa: PLC0415
    except ModuleNotFoundError as missing:
        raise FetchError(f"connectors need more packages ({missing.name}): pip install -e '.[connectors]'") from None
    target = workspace.data_folder / connector.name
    target.mkdir(parents=True, exist_ok=True)
    for left_behind in target.rglob(f"{UNFINISHED}*"):
        left_behind.unlink()
    files: list[str] = []
    counts: list[int] = []
    bucket = connector.settings.bucket
    store = bucket_store(bucket, workspace.folder) if bucket else None

    @dlt.destination(batch_size=0, loader_file_format="typed-jsonl", name="extracts", max_parallel_load_jobs=1)
    def put(items: Any, _table: Any) -> None:
        package_file = str(items)
        if store is not None:
            rows = list(_rows(package_file))
            for row in rows:
                files.append(_copy(connector, store, target, row[FILE]))
            counts.append(len(rows))
        else:
            load_id = load_package_state()["load_id"]
            name = _extract_name(workspace, connector, load_id, Path(package_file).name.split(".")[1])
            counts.append(_put_records(Path(package_file), target / name))
            files.append(f"{connector.name}/{name}")

    home = str(workspace.state_folder / "connectors" / "pipelines")
    pipeline = dlt.pipeline(connector.name, pipelines_dir=home, destination=put)
    pipeline.activate()
    if pipeline.has_pending_data:
        pipeline.normalize()
        pipeline.load()
    pipeline.run(records_of(connector, workspace.folder))
    return Fetched(connector.name, tuple(sorted(set(files))), sum(counts))


def _extract_name(workspace: Workspace, connector: Connector, load_id: str, part: str) -> str:
    """The same package gives the same name, so that putting it in place again replaces it."""
    day = datetime.fromtimestamp(float(load_id), UTC).astimezone(workspace.timezone).date()
    moment = f"{float(load_id):.6f}".replace(".", "")  # of equal length, so that names sort by time
    return f"{connector.name}_{day}_{moment}_{part}.jsonl.gz"


def _rows(package_file: str) -> Iterator[dict[str, str]]:
    from dlt.common import json  # noqa: PLC0415

    with _opened(Path(package_file)) as stream:
        for line in stream:  # each a batch of rows
            yield from json.loadb(line)


def _put_records(package_file: Path, target: Path) -> int:
    """Write the records' own JSON, line by line, and let the file appear whole."""
    records = 0
    with _appears_whole(target) as unfinished, unfinished.open("wb") as raw:
        with gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as stream:
            for row in _rows(str(package_file)):
                stream.write(row["record"].encode() + b"\n")
                records += 1
    return records


def _copy(connector: Connector, store: AbstractFileSystem, target: Path, record: str) -> str:
    """Copy one file of the bucket under its own name, and let it appear whole."""
    from dlt.common import json  # noqa: PLC0415

    from orchestration.connectors.sources import path_in_bucket  # noqa: PLC0415

    source, item = connector.settings.bucket, json.loads(record)
    if source is None:
        raise FetchError("this is no bucket")
    path = PurePosixPath(item["path"])
    if path.is_absolute() or ".." in path.parts:
        raise FetchError("a file's name leads out of the bucket")
    with _appears_whole(target / path) as unfinished:
        with store.open(path_in_bucket(source, store, str(path)), "rb") as given, unfinished.open("wb") as taken:
            shutil.copyfileobj(given, taken, 1 << 20)
        if unfinished.stat().st_size != item["bytes"]:
            raise FetchError("a file of the bucket changed while it was copied; fetch again")
    return f"{connector.name}/{path}"


@contextmanager
def _appears_whole(target: Path) -> Iterator[Path]:
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f"{UNFINISHED}{target.name}")
    yield unfinished
    with unfinished.open("rb") as written:
        os.fsync(written.fileno())
    unfinished.replace(target)


def _opened(path: Path) -> Any:
    with path.open("rb") as stream:
        is_gzip = stream.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if is_gzip else path.open("rb")


def _in_words(error: BaseException) -> str:
    """What happened, without addresses, parameters or values, which texts of libraries may hold."""
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__
    words = next((words for each in chain if (words := _of_its_kind(each))), None)
    return words or f"it cannot be read ({type(chain[-1]).__name__})"


def _of_its_kind(error: BaseException) -> str | None:
    from requests import ConnectionError as NoConnection  # noqa: PLC0415
    from requests import HTTPError, Timeout  # noqa: PLC0415
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

    words = None
    if isinstance(error, FetchError) or type(error) is LookupError or type(error).__name__ == "UnusableAnswer":
        words = str(error)
    elif isinstance(error, HTTPError) and error.response is not None:
        words = f"the server answers with status {error.response.status_code}"
    elif isinstance(error, Timeout):
        words = "the server does not answer in time"
    elif isinstance(error, NoConnection) or type(error).__name__ in UNREACHABLE:
        words = "the server cannot be reached"
    elif type(error).__name__ in NO_KEY:
        words = "there is no key to the bucket, neither under `options:` nor in the environment"
    elif isinstance(error, PermissionError) and not error.strerror:
        words = "the bucket refuses the key"
    elif isinstance(error, FileNotFoundError) and not error.strerror:
        words = "the bucket, or a file that was listed in it, is not there"
    elif isinstance(error, SQLAlchemyError):
        words = f"the database refuses ({type(error).__name__})"
    elif isinstance(error, OSError) and error.strerror:
        words = f"a file cannot be read or written ({error.strerror})"
    return words

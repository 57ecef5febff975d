"""File drops: whole and changed, checksum and manifest, nothing half-visible; a folder, a real SFTP server, a real S3
API."""

import csv
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest

from activation.destinations.file_drop import Contents, FileDrop, FileFormat
from activation.destinations.local_folder import LocalFolder
from activation.destinations.object_store import ObjectStore
from activation.destinations.sftp import SftpFolder
from activation.sync.engine import SyncResult, SyncSettings, sync
from activation.sync.guards import Guards
from activation.sync.secrets import Secret
from tests.unit.activation.sync.scripted import FakeClock, gated

SETTINGS = SyncSettings(guards=Guards(max_removal_share=1.0), call_deadline_seconds=5)
FIRST = {
    "ann@example.com": ("loyal", 1.0),
    "bob@example.com": ("=cmd|x", 0.25),
    "cem@example.com": ('a "b", c\nd', None),
}
SECOND = {
    "ann@example.com": ("loyal", 2.0),
    "dee@example.com": ("", 0.000001),
    "cem@example.com": ('a "b", c\nd', None),
}


class Company:
    """A warehouse that delivers files."""

    def __init__(self) -> None:
        self.warehouse = duckdb.connect(config={"threads": 1})
        self.clock = FakeClock()

    def deliver(self, drop: FileDrop, people: dict[str, tuple[str, float | None]], **options: object) -> SyncResult:
        as_of = date(2026, 11, 16) + timedelta(days=self.clock.monotonic() // 86_400)
        audience = gated(self.warehouse, people, as_of=as_of, destination="files")
        return sync(
            self.warehouse,
            drop,
            [audience],
            settings=SETTINGS,
            clock=self.clock,
            channels=(),
            **options,  # type: ignore[arg-type]
        )

    def next_week(self) -> None:
        self.clock.sleep(7 * 86_400)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def newest(folder: Path, suffix: str = ".csv") -> Path:
    return max(folder.glob(f"*{suffix}"), key=lambda path: path.stat().st_mtime_ns)


def test_a_full_delivery_has_everybody_every_week(tmp_path):
    company = Company()
    for people in (FIRST, SECOND, SECOND):
        result = company.deliver(FileDrop("files", LocalFolder(tmp_path)), people)
        assert (result.state, result.reason) == ("done", "")
        rows = {row["email"]: row for row in rows_of(newest(tmp_path))}
        assert rows.keys() == people.keys()
        assert rows["ann@example.com"] == {
            "email": "ann@example.com",
            "persona": "loyal",
            "score": str(int(people["ann@example.com"][1])),
        }
        assert rows["cem@example.com"]["persona"] == 'a "b", c d' and rows["cem@example.com"]["score"] == ""
        company.next_week()
    assert len(list(tmp_path.glob("*.csv"))) == 3


def test_the_same_week_again_delivers_nothing(tmp_path):
    company = Company()
    for _ in range(2):
        assert company.deliver(FileDrop("files", LocalFolder(tmp_path)), FIRST).state == "done"
    assert len(list(tmp_path.glob("*.csv"))) == 1


def test_lists_whose_names_begin_alike_are_read_back_apart(tmp_path):
    company = Company()
    lists = {"loyal": ["ann@example.com"], "loyal_owls": ["bob@example.com"], "loyal_2026-11-16_x": ["cem@example.com"]}
    audiences = [gated(company.warehouse, people, segment, destination="files") for segment, people in lists.items()]
    drop = FileDrop("files", LocalFolder(tmp_path))
    result = sync(company.warehouse, drop, audiences, settings=SETTINGS, clock=company.clock, channels=())
    assert (result.state, result.reason) == ("done", "")
    for segment, people in lists.items():
        held = [one.identifier for page in drop.read_back(segment) for one in page]
        assert held == people


def test_checksum_and_manifest_are_of_the_file(tmp_path):
    Company().deliver(FileDrop("files", LocalFolder(tmp_path)), FIRST)
    data = newest(tmp_path)
    content = data.read_bytes()
    manifest = json.loads(newest(tmp_path, ".manifest.json").read_text())
    assert manifest["sha256"] == hashlib.sha256(content).hexdigest() and manifest["rows"] == 3
    assert (tmp_path / f"{data.name}.sha256").read_text() == f"{manifest['sha256']}  {data.name}\n"
    assert not content.startswith(b"\xef\xbb\xbf") and content.startswith(b"email,persona,score\r\n")
    assert not list(tmp_path.glob(".*"))


def test_a_delta_says_who_changed_and_who_left(tmp_path):
    company = Company()
    company.deliver(FileDrop("files", LocalFolder(tmp_path), Contents.DELTA), FIRST)
    company.next_week()
    assert company.deliver(FileDrop("files", LocalFolder(tmp_path), Contents.DELTA), SECOND).state == "done"
    rows = {row["email"]: row["operation"] for row in rows_of(newest(tmp_path))}
    assert rows == {"ann@example.com": "upsert", "dee@example.com": "upsert", "bob@example.com": "remove"}


def test_json_lines_with_one_payload_column(tmp_path):
    drop = FileDrop("files", LocalFolder(tmp_path), file_format=FileFormat.JSON_LINES, payload_column="PAYLOAD")
    assert Company().deliver(drop, SECOND).state == "done"
    lines = [json.loads(line) for line in newest(tmp_path, ".jsonl").read_text("utf-8").splitlines()]
    assert {line["email"]: line["PAYLOAD"] for line in lines}["dee@example.com"] == {"score": 0.000001}


def test_a_damaged_delivery_is_delivered_again(tmp_path):
    company = Company()

    class Damaging(LocalFolder):
        def put(self, name: str, source: Path) -> None:
            super().put(name, source)
            if name.endswith(".csv"):
                (tmp_path / name).write_bytes(b"email\r\n")

    assert company.deliver(FileDrop("files", Damaging(tmp_path)), FIRST).state in ("differs", "incomplete")
    assert company.deliver(FileDrop("files", LocalFolder(tmp_path)), FIRST).state == "done"
    assert len(rows_of(newest(tmp_path))) == 3


def test_an_audience_that_emptied_delivers_a_header(tmp_path):
    company = Company()
    company.deliver(FileDrop("files", LocalFolder(tmp_path)), FIRST)
    company.next_week()
    assert company.deliver(FileDrop("files", LocalFolder(tmp_path)), {}).state == "blocked"
    assert company.deliver(FileDrop("files", LocalFolder(tmp_path)), {}, allow_mass_removal=True).state == "done"
    assert newest(tmp_path).read_bytes() == b"email,persona,score\r\n"


@contextmanager
def sftp_server(root: Path) -> Iterator[tuple[int, str, str]]:
    """A real SFTP server on this machine: port, its public key, and a private key it accepts."""
    asyncssh = pytest.importorskip("asyncssh", reason="asyncssh is an extra; SFTP is not tested without it")
    import asyncio

    host_key, user_key = asyncssh.generate_private_key("ssh-ed25519"), asyncssh.generate_private_key("ssh-ed25519")
    started, loop = threading.Event(), asyncio.new_event_loop()
    ports: list[int] = []

    async def serve() -> None:
        listener = await asyncssh.listen(
            "127.0.0.1",
            0,
            server_host_keys=[host_key],
            authorized_client_keys=asyncssh.import_authorized_keys(user_key.export_public_key().decode()),
            sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot=str(root).encode()),
        )
        ports.append(listener.get_port())
        started.set()

    def run() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(serve())
        loop.run_forever()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert started.wait(20)
    try:
        yield ports[0], host_key.export_public_key().decode(), user_key.export_private_key().decode()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


def test_sftp_with_a_pinned_key(tmp_path):
    with sftp_server(tmp_path) as (port, host_key, user_key):

        def drop(pinned: str = host_key) -> FileDrop:
            return FileDrop(
                "files", SftpFolder("127.0.0.1", "/in/personae", "us", pinned, Secret(user_key, "env:KEY"), port=port)
            )

        company = Company()
        result = company.deliver(drop(), FIRST)
        assert (result.state, result.reason) == ("done", "")
        company.next_week()
        assert company.deliver(drop(), SECOND).state == "done"
        folder = tmp_path / "in" / "personae"
        assert {row["email"] for row in rows_of(newest(folder))} == SECOND.keys()
        assert not list(folder.glob(".*"))
        company.next_week()
        result = company.deliver(drop("ssh-ed25519 " + "A" * 8), FIRST)
        assert result.state == "failed"
        other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
        result = company.deliver(drop(other), FIRST)
        assert result.state == "failed" and "pinned" in result.reason


def test_sftp_without_a_pinned_key_is_refused():
    with pytest.raises(ValueError, match="pinned"):
        SftpFolder("files.example.com", "/in", "us", "", password=Secret("canary-password", "env:P"))


def test_a_bucket(monkeypatch):
    pytest.importorskip("obstore", reason="obstore is an extra; buckets are not tested without it")
    pytest.importorskip("moto.server", reason="moto's server is missing")
    import boto3

    from tests.s3_server import REGION, serving_s3

    with serving_s3() as endpoint:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "canary-bucket-key")
        boto3.client("s3", region_name=REGION, endpoint_url=endpoint).create_bucket(Bucket="ours")

        def drop() -> FileDrop:
            secret = Secret("canary-bucket-key", "env:AWS")
            store = ObjectStore(
                "s3://ours/weekly",
                {"endpoint": endpoint, "region": REGION},
                {"access_key_id": secret, "secret_access_key": secret},
            )
            return FileDrop("files", store)

        company = Company()
        result = company.deliver(drop(), FIRST)
        assert (result.state, result.reason) == ("done", "")
        company.next_week()
        assert company.deliver(drop(), SECOND).state == "done"

"""OpenSSH's own server, and one that speaks S3: whole deliveries whatever dies, and to the pinned server alone."""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.real_servers.scenario import counted
from tests.real_servers.servers import LOOPBACK, SshServer
from tests.real_servers.weeks import Person, Server, Week, carry_out, killed_on_the_way

FIELDS = (("name", "name", True), ("persona", "persona", False))
DEATHS = {
    "delta": ((14, 21, 11), (18, 10, 24), (9, 24, 17)),
    "full": ((12, 8, 25), (20, 27, 9), (23, 16, 19)),
}
"""A step to die at for each week, by what is delivered; each three are a scenario. `make test` tries the first one."""
ALL = "REAL_SERVERS" in os.environ
SCENARIOS = [(contents, deaths) for contents, sets in DEATHS.items() for deaths in sets]
BUCKET = "ours"


@dataclass(frozen=True)
class Drop:
    """A place for files: how the connector reaches it, and what is really in it."""

    settings: Mapping[str, Any]
    kind: str
    files: Callable[[], dict[str, bytes]]


def table(week: int) -> list[Person]:
    numbers = range(week * 5, 30 + week * 5)
    return [
        Person(f"p{number}@example.com", ("Ada", "=cmd|x", 'Zoë "Z", Ünal', None)[(number + week) % 4], "Night Owls")
        for number in numbers
    ]


def whole(files: Mapping[str, bytes]) -> Iterator[list[dict[str, str]]]:
    """The rows of each delivery a reader would take: those with a manifest, in the order of their names."""
    for name in sorted(one for one in files if one.endswith(".manifest.json")):
        manifest = json.loads(files[name])
        content = files[manifest["file"]]
        assert hashlib.sha256(content).hexdigest() == manifest["sha256"], "a manifest without its whole file"
        rows = list(csv.DictReader(content.decode().splitlines()))
        assert len(rows) == manifest["rows"]
        yield rows


def read(files: Mapping[str, bytes], contents: str) -> dict[str, dict[str, str]]:
    """What somebody holds who took every delivery."""
    held: dict[str, dict[str, str]] = {}
    for rows in whole(files):
        if contents == "full":
            held = {row["email"]: row for row in rows}
            continue
        for row in rows:
            if row.pop("operation") == "upsert":
                held[row["email"]] = row
            else:
                held.pop(row["email"], None)
    return held


def three_weeks(drop: Drop, contents: str, deaths: tuple[int, int, int], folder: Path) -> None:
    server = Server(drop.kind, {**drop.settings, "contents": contents}, FIELDS)
    erased = ["p20@example.com"]
    for week, dies_at in enumerate(deaths):
        one = Week(str(folder), server, "loyal", week, table(week), erased[: min(week, 1)], dies_at)
        killed_on_the_way(one)
        ended = carry_out(replace(one, dies_at=0))
        assert (ended.state, ended.reason) == ("done", "")
        desired = {one.address: one for one in table(week) if week == 0 or one.address not in erased}
        held = read(drop.files(), contents)
        counted["rows delivered and compared"] += len(desired)
        assert held.keys() == desired.keys()
        assert all(held[address]["name"] == (one.name or "") for address, one in desired.items())
        counted[f"{drop.kind} weeks with a death"] += 1


@pytest.fixture
def over_ssh(sshd: SshServer, tmp_path: Path) -> Drop:
    folder = sshd.folder / tmp_path.name
    settings = {
        "host": LOOPBACK,
        "port": sshd.port,
        "user": sshd.user,
        "host_key": sshd.host_key,
        "private_key": sshd.user_key,
        "folder": str(folder),
    }

    def files() -> dict[str, bytes]:
        return {one.name: one.read_bytes() for one in folder.iterdir() if not one.name.startswith(".")}

    return Drop(settings, "sftp", files)


@pytest.fixture(scope="module")
def s3() -> Iterator[tuple[str, Any]]:
    pytest.importorskip("obstore", reason="obstore is an extra; buckets are not tested without it")
    pytest.importorskip("moto.server", reason="moto's server is missing")
    import boto3

    from tests.s3_server import REGION, serving_s3

    with serving_s3() as endpoint:
        names = {"region_name": REGION, "aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
        client = boto3.client("s3", endpoint_url=endpoint, **names)
        client.create_bucket(Bucket=BUCKET)
        yield endpoint, client


@pytest.fixture
def in_a_bucket(s3: tuple[str, Any], tmp_path: Path) -> Drop:
    endpoint, client = s3
    prefix = tmp_path.name
    settings = {"url": f"s3://{BUCKET}/{prefix}", "options": {"endpoint": endpoint, "region": "us-east-1"}}

    def files() -> dict[str, bytes]:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{prefix}/")
        keys = [one["Key"] for page in pages for one in page.get("Contents", [])]
        return {
            key.removeprefix(f"{prefix}/"): client.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys
        }

    return Drop(settings, "bucket", files)


@pytest.mark.parametrize(("contents", "deaths"), SCENARIOS if ALL else SCENARIOS[:1])
def test_an_ssh_server_gets_whole_deliveries_whatever_dies(over_ssh, contents, deaths, tmp_path):
    three_weeks(over_ssh, contents, deaths, tmp_path)


@pytest.mark.skipif(not ALL, reason="make test-real-servers tries buckets at every death; test_files.py tries one")
@pytest.mark.parametrize(("contents", "deaths"), SCENARIOS)
def test_a_bucket_gets_whole_deliveries_whatever_dies(in_a_bucket, contents, deaths, tmp_path):
    three_weeks(in_a_bucket, contents, deaths, tmp_path)


def test_another_server_than_the_pinned_one_gets_nothing(over_ssh, tmp_path):
    other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
    server = Server("sftp", {**over_ssh.settings, "contents": "full", "host_key": other}, FIELDS)
    ended = carry_out(Week(str(tmp_path), server, "loyal", 0, table(0)))
    assert ended.state == "failed" and "pinned" in ended.reason
    assert not Path(over_ssh.settings["folder"]).exists()

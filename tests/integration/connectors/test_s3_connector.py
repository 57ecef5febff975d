"""A bucket behind S3: listed and read over HTTP, by a key that stands in the environment, and nobody else is asked."""

from __future__ import annotations

import gzip
import socket
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from connected_company import ConnectedCompany

pytest.importorskip("moto", reason="moto[server] is not installed")

from orchestration.connectors.fetch import FetchError
from orchestration.ingest.reading import UnreadableExtract
from orchestration.settings_file import SettingsError
from tests.s3_server import BUCKET, REGION, S3Server, serving_s3

HEADER = "id,at,updated_at,amount"
KEY_FROM_ENVIRONMENT = {"key": {"environment": "SHOP_S3_KEY"}, "secret": {"environment": "SHOP_S3_SECRET"}}


def csv(*numbers: int, amount: float = 0.5) -> bytes:
    rows = [f"o{number},2026-01-05,2026-01-05,{number + amount}" for number in numbers]
    return ("\n".join([HEADER, *rows]) + "\n").encode()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with serving_s3() as url:
        yield url


@pytest.fixture
def s3(server: str, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """A fresh bucket, its key in the environment, and no other place where a key or a region could come from."""
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/nonexistent")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    bucket = S3Server(server)
    monkeypatch.setenv("SHOP_S3_KEY", bucket.key)
    monkeypatch.setenv("SHOP_S3_SECRET", bucket.secret)
    return bucket


@pytest.fixture(autouse=True)
def connections(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The hosts that anybody in this process connects to."""
    hosts: list[str] = []
    connect = socket.socket.connect

    def noted(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            hosts.append(address[0])
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", noted)
    return hosts


def connect(company: ConnectedCompany, s3: S3Server, options: dict[str, Any] | None = None, **source: Any) -> None:
    options = KEY_FROM_ENVIRONMENT if options is None else options
    source = {"url": f"s3://{BUCKET}/tracker", "files": "**/*.csv*", **source}
    company.connects({"bucket": {**source, "options": {"endpoint_url": s3.url, **options}}})


def refusal(company: ConnectedCompany) -> str:
    with pytest.raises(FetchError) as refused:
        company.fetch()
    return str(refused.value)


def test_files_arrive_byte_by_byte_and_later_only_new_ones(company: ConnectedCompany, s3: S3Server) -> None:
    packed = gzip.compress(csv(3), mtime=0)
    s3.put("tracker/orders 1.csv", csv(1, 2))
    s3.put("tracker/2026/orders_ü.csv.gz", packed)
    s3.put("tracker/readme.txt", b"no order")
    s3.put("tracker/2025/", b"")  # as consoles make a folder
    s3.put("else/orders.csv", csv(9))
    connect(company, s3)
    assert company.fetch().files == ("shop/2026/orders_ü.csv.gz", "shop/orders 1.csv")
    assert (company.data / "shop" / "2026" / "orders_ü.csv.gz").read_bytes() == packed
    assert company.orders() == [("o1", 1.5), ("o2", 2.5), ("o3", 3.5)]
    assert company.fetch().files == ()
    s3.put("tracker/orders 2.csv", csv(4))
    assert company.fetch().files == ("shop/orders 2.csv",)
    assert [key for key, _ in company.orders()] == ["o1", "o2", "o3", "o4"]


def test_a_replaced_file_is_a_correction(company: ConnectedCompany, s3: S3Server) -> None:
    s3.put("tracker/orders.csv", csv(1, 2))
    connect(company, s3)
    company.fetch()
    company.orders()
    s3.put("tracker/orders.csv", csv(2, 3, 4))
    assert company.fetch().files == ("shop/orders.csv",)
    assert [key for key, _ in company.orders()] == ["o2", "o3", "o4"]


def test_a_correction_of_the_same_length_at_the_same_moment_is_one_too(
    company: ConnectedCompany, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3 tells times in whole seconds; the mark of what a file holds is its ETag."""
    monkeypatch.setattr("moto.s3.models.utcnow", lambda: datetime(2026, 1, 5, 10))
    connect(company, s3)
    for amount in (0.5, 0.7):
        s3.put("tracker/orders.csv", csv(1, amount=amount))
        assert company.fetch().files == ("shop/orders.csv",)
        assert company.orders() == [("o1", 1 + amount)]
    assert company.fetch().files == ()


def test_a_bucket_of_many_files_is_listed_to_its_end(
    company: ConnectedCompany, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "4")  # names in an answer; S3 gives 1,000
    for number in range(1, 10):
        s3.put(f"tracker/{number:02}.csv", csv(number))
    connect(company, s3)
    assert len(company.fetch().files) == 9
    assert len(company.orders()) == 9


def test_only_the_bucket_is_asked(company: ConnectedCompany, s3: S3Server, connections: list[str]) -> None:
    s3.put("tracker/orders.csv", csv(1))
    connect(company, s3)
    company.fetch()
    assert connections and set(connections) == {"127.0.0.1"}


def test_the_names_that_every_tool_of_amazon_reads_do_as_well(
    company: ConnectedCompany, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.secret)
    s3.put("tracker/orders.csv", csv(1))
    connect(company, s3, options={})
    assert company.fetch().files == ("shop/orders.csv",)


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"SHOP_S3_SECRET": "canary-7f3a"}, "connector shop: the bucket refuses the key"),
        ({"SHOP_S3_KEY": "canary-7f3a"}, "connector shop: the bucket refuses the key"),
    ],
)
def test_a_wrong_key_is_told_and_not_shown(
    company: ConnectedCompany,
    s3: S3Server,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    message: str,
) -> None:
    s3.put("tracker/orders.csv", csv(1))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    connect(company, s3)
    assert refusal(company) == message
    assert company.files() == []


def test_without_a_key_it_is_said_where_one_is_looked_for(company: ConnectedCompany, s3: S3Server) -> None:
    connect(company, s3, options={})
    assert refusal(company) == (
        "connector shop: there is no key to the bucket, neither under `options:` nor in the environment"
    )


def test_a_key_that_is_missing_in_the_environment_is_named_before_anything_is_asked(
    company: ConnectedCompany, s3: S3Server, monkeypatch: pytest.MonkeyPatch, connections: list[str]
) -> None:
    monkeypatch.delenv("SHOP_S3_SECRET")
    connect(company, s3)
    connections.clear()
    with pytest.raises(SettingsError, match="the environment variable SHOP_S3_SECRET is missing or empty"):
        company.fetch()
    assert connections == []


def test_a_bucket_that_is_not_there_is_named(company: ConnectedCompany, s3: S3Server) -> None:
    connect(company, s3, url="s3://export/tracker")
    assert refusal(company) == "connector shop: the bucket, or a file that was listed in it, is not there"


def test_a_server_that_does_not_answer_is_told(
    company: ConnectedCompany, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")  # how long it is asked again is not ours
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    connect(company, s3, {**KEY_FROM_ENVIRONMENT, "endpoint_url": f"http://127.0.0.1:{port}"})
    assert refusal(company) == "connector shop: the server cannot be reached"


def test_a_name_that_leads_out_of_the_folder_is_refused(company: ConnectedCompany, s3: S3Server) -> None:
    """To S3 a name is any text; on a disk it would be a way out."""
    s3.put("tracker/../../escaped.csv", csv(1))
    connect(company, s3)
    assert refusal(company) == "connector shop: a file's name leads out of the bucket"
    assert not [path for path in company.folder.rglob("escaped.csv")]


def test_a_damaged_file_of_a_bucket_is_refused_like_any_other(company: ConnectedCompany, s3: S3Server) -> None:
    s3.put("tracker/orders.csv.gz", gzip.compress(csv(*range(500)))[:-20])
    connect(company, s3)
    company.fetch()
    with pytest.raises(UnreadableExtract, match=r"shop/orders\.csv\.gz"):
        company.orders()
    s3.put("tracker/orders.csv.gz", gzip.compress(csv(1)))
    assert company.fetch().files == ("shop/orders.csv.gz",)
    assert company.orders() == [("o1", 1.5)]

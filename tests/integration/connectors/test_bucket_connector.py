"""A bucket: each file arrives under its own name, byte by byte, once, and again when it was replaced."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from connected_company import ConnectedCompany

from orchestration.connectors import fetch as fetch_module
from orchestration.connectors.fetch import FetchError
from orchestration.connectors.sources import bucket_store

HEADER = "id,at,updated_at,amount"


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    folder = tmp_path / "bucket"
    folder.mkdir()
    return folder


def deliver(bucket: Path, name: str, *numbers: int) -> None:
    path = bucket / name
    path.parent.mkdir(exist_ok=True)
    rows = [f"o{number},2026-01-05,2026-01-05,{number + 0.5}" for number in numbers]
    path.write_text("\n".join([HEADER, *rows]) + "\n")


def connect(company: ConnectedCompany, bucket: Path, **source: Any) -> None:
    company.connects({"bucket": {"url": bucket.as_uri(), **source}})


def test_files_arrive_as_they_are_and_only_new_ones(company: ConnectedCompany, bucket: Path) -> None:
    connect(company, bucket, files="**/*.csv")
    deliver(bucket, "orders 1.csv", 1, 2)
    deliver(bucket, "2026/orders_ü.csv", 3)
    (bucket / "readme.txt").write_text("no order")
    assert company.fetch().files == ("shop/2026/orders_ü.csv", "shop/orders 1.csv")
    assert (company.data / "shop" / "orders 1.csv").read_bytes() == (bucket / "orders 1.csv").read_bytes()
    assert company.fetch().files == ()
    deliver(bucket, "late.csv", 4)
    os.utime(bucket / "late.csv", (1, 1))  # arrives with an old date
    assert company.fetch().files == ("shop/late.csv",)
    assert [key for key, _ in company.orders()] == ["o1", "o2", "o3", "o4"]


def test_a_replaced_file_is_a_correction(company: ConnectedCompany, bucket: Path) -> None:
    connect(company, bucket)
    deliver(bucket, "orders.csv", 1, 2)
    company.fetch()
    company.orders()
    deliver(bucket, "orders.csv", 2, 3, 4)
    assert company.fetch().files == ("shop/orders.csv",)
    assert [key for key, _ in company.orders()] == ["o2", "o3", "o4"]


def test_a_copy_that_dies_is_taken_up_again(
    company: ConnectedCompany, bucket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(company, bucket)
    deliver(bucket, "a.csv", 1)
    deliver(bucket, "b.csv", 2)
    copy, calls = fetch_module._copy, []

    def dies_at_the_second(*arguments: Any) -> str:
        calls.append(arguments)
        if len(calls) > 1:
            raise OSError(5, "Input/output error")
        return copy(*arguments)

    with monkeypatch.context() as broken:
        broken.setattr(fetch_module, "_copy", dies_at_the_second)
        with pytest.raises(FetchError, match="connector shop: a file cannot be read or written"):
            company.fetch()
    company.fetch()
    assert [key for key, _ in company.orders()] == ["o1", "o2"]
    assert [path.name for path in company.files()] == ["a.csv", "b.csv"]


def test_what_was_left_unfinished_is_no_extract(company: ConnectedCompany, bucket: Path) -> None:
    connect(company, bucket)
    deliver(bucket, "a.csv", 1)
    company.fetch()
    (company.data / "shop" / ".unfinished-b.csv").write_text("id,at\no9,")
    assert [key for key, _ in company.orders()] == ["o1"]
    company.fetch()
    assert [path.name for path in company.files()] == ["a.csv"]


def test_a_name_that_leads_out_is_refused(company: ConnectedCompany, bucket: Path) -> None:
    connect(company, bucket)
    (connector,) = company.open().connectors
    store = bucket_store(connector.settings.bucket, company.folder)
    target = company.data / "shop"
    for path in ("../../escaped.csv", "/etc/passwd"):
        with pytest.raises(FetchError, match="leads out of the bucket"):
            fetch_module._copy(connector, store, target, f'{{"path": "{path}", "bytes": 1}}')


def test_a_bucket_that_is_not_there(company: ConnectedCompany, bucket: Path) -> None:
    connect(company, bucket / "nothing")
    assert company.fetch().files == ()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("gs://exports", "connector shop: gs:// needs one more package: pip install gcsfs"),
        ("s4://exports", "connector shop: 's4' is no kind of bucket; there are s3://, gs://, az:// and file://"),
    ],
)
def test_a_kind_of_bucket_that_cannot_be_opened(
    company: ConnectedCompany, monkeypatch: pytest.MonkeyPatch, url: str, message: str
) -> None:
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    company.connects({"bucket": {"url": url}})
    with pytest.raises(FetchError) as refused:
        company.fetch()
    assert str(refused.value) == message

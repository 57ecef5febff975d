"""A real HTTP server that speaks S3, on a port of its own; on demand one bucket and one key that may read it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import requests
from moto.server import ThreadedMotoServer

BUCKET = "exports"
REGION = "us-east-1"


class S3Server:
    """One bucket; whoever asks must sign with the key of a user who may read it, as in a real one."""

    def __init__(self, url: str) -> None:
        self.url = url
        _as_new(url)
        self._s3 = self._client("s3", "first", "first")
        self._s3.create_bucket(Bucket=BUCKET)
        self.key, self.secret = self._reader()

    def put(self, name: str, content: bytes) -> None:
        """Deliver a file, or replace it."""
        with self._open_to_all():
            self._s3.put_object(Bucket=BUCKET, Key=name, Body=content)

    def _client(self, service: str, key: str, secret: str) -> Any:
        names = {"region_name": REGION, "aws_access_key_id": key, "aws_secret_access_key": secret}
        return boto3.client(service, endpoint_url=self.url, **names)

    def _reader(self) -> tuple[str, str]:
        """The key of a user who may list and read, and nothing else."""
        iam = self._client("iam", "first", "first")
        allowed = {"Effect": "Allow", "Action": ["s3:ListBucket", "s3:GetObject"], "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
        iam.create_user(UserName="personae")
        iam.put_user_policy(UserName="personae", PolicyName="reads", PolicyDocument=policy)
        key = iam.create_access_key(UserName="personae")["AccessKey"]
        requests.post(f"{self.url}/moto-api/reset-auth", data=b"0", timeout=10)
        return key["AccessKeyId"], key["SecretAccessKey"]

    @contextmanager
    def _open_to_all(self) -> Iterator[None]:
        requests.post(f"{self.url}/moto-api/reset-auth", data=b"inf", timeout=10)
        try:
            yield
        finally:
            requests.post(f"{self.url}/moto-api/reset-auth", data=b"0", timeout=10)


@contextmanager
def serving_s3() -> Iterator[str]:
    """The server's address. It is empty and open to any key, and so it is left: servers of one process share both."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    try:
        _as_new(url)
        yield url
    finally:
        _as_new(url)
        server.stop()


def _as_new(url: str) -> None:
    requests.post(f"{url}/moto-api/reset", timeout=10).raise_for_status()
    requests.post(f"{url}/moto-api/reset-auth", data=b"inf", timeout=10).raise_for_status()

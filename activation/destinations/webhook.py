"""A webhook: batches of operations posted as signed JSON to an address of the company's own.

The receiver answers 200 with what became of each row, or 204 for "all done"::

    {"results": [{"identifier": "ann@example.com", "outcome": "confirmed"}, ...]}

`outcome` is `confirmed`, `retryable` or `permanent`, the latter with `code` and `message`. The signature is the
HMAC-SHA256 of time and body; the batch's id is in `Idempotency-Key`, so that a receiver can tell a repetition.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from activation.destinations.connector import HttpConnector
from activation.destinations.vendor import confirmed
from activation.sync.gated import Batch
from activation.sync.http import VendorClient, json_object
from activation.sync.protocol import (
    Applied,
    Capabilities,
    Drift,
    Fatal,
    Limits,
    Operation,
    Outcome,
    PlanShape,
    RowResult,
    Window,
)
from activation.sync.secrets import Secret

SIGNATURE_HEADER = "X-Personae-Signature"


class Webhook(HttpConnector):
    """One address that takes everything. It cannot be asked what it holds; what it confirms counts."""

    capabilities = Capabilities(frozenset(Operation), reads_back=False, pulls_suppressions=False)

    def __init__(
        self,
        name: str,
        url: str,
        signing_key: Secret,
        transport: httpx.BaseTransport | None = None,
        batch_rows: int = 500,
        calls_per_second: int = 10,
    ) -> None:
        """Store the address.

        Args:
            name: The destination's.
            url: Where batches are posted.
            signing_key: Shared with the receiver.
            transport: For tests.
            batch_rows: Rows in one call.
            calls_per_second: What the receiver takes.
        """
        self.name = name
        self.limits = Limits(
            batch_rows=dict.fromkeys(Operation, batch_rows),
            windows={"*": (Window(calls_per_second, 1.0),)},
            concurrency=2,
        )
        self._signing_key = signing_key
        self._url = url
        self._run_id = ""
        self._client = VendorClient(url, dict, transport)

    def prepare(self, shape: PlanShape) -> Sequence[Drift]:
        """Remember the run, which is part of every batch."""
        self._run_id = shape.run_id
        return []

    def _apply(self, batch: Batch) -> Applied:
        document = {
            "run_id": self._run_id,
            "batch_id": batch.id,
            "operation": str(batch.operation),
            "segment": batch.segment,
            "rows": [{"identifier": row.identifier, "fields": dict(row.payload)} for row in batch.rows],
        }
        body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
        sent_at = str(int(self._pacer.clock.now().timestamp()))
        answer = self._client.call(
            "post",
            "POST",
            self._url,
            content=body,
            headers={
                "Content-Type": "application/json",
                "Idempotency-Key": f"{self._run_id}-{batch.id}",
                SIGNATURE_HEADER: f"t={sent_at},v1={signature(self._signing_key, sent_at, body)}",
            },
            expect=(200, 204),
        )
        if answer.status_code == 204:
            return Applied([confirmed(row, 204) for row in batch.rows])
        results = json_object(answer).get("results")
        if not isinstance(results, list):
            raise Fatal("the webhook answered 200 without results; 204 says that all is done")
        keys = {row.identifier: row.key for row in batch.rows}
        return Applied(
            [_result(one, keys) for one in results if isinstance(one, dict) and one.get("identifier") in keys]
        )


def signature(key: Secret, sent_at: str, body: bytes) -> str:
    """Sign a body with the time it was sent, so that it cannot be replayed later."""
    return hmac.new(key.reveal().encode(), f"{sent_at}.".encode() + body, hashlib.sha256).hexdigest()


def _result(told: Mapping[str, Any], keys: Mapping[str, str]) -> RowResult:
    outcome = told.get("outcome")
    return RowResult(
        Outcome(outcome) if outcome in set(Outcome) else Outcome.RETRYABLE,
        keys[told["identifier"]],
        status=200,
        code=str(told.get("code") or ""),
        message=str(told.get("message") or ""),
    )

"""SendGrid Marketing Campaigns: contacts, lists and custom fields.

What is special here:

- Custom fields exist before they are used and are addressed by id. Dates go as text: SendGrid reads its own date
  fields in one country's notation.
- A PUT of contacts is a job. It says how many rows failed, and which only in a file behind another address.
- Leaving a list needs contact ids, 100 addresses per look-up, and is accepted, not confirmed: the read-back decides.
- Members are read back by an export, the one way to see a whole list. The first 50 of a search are no list.
- It is not described how a value is cleared, so `nulls: clear` is refused.
"""

import csv
import gzip
import io
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx

from activation.sync.gated import Batch, require_batch
from activation.sync.http import VendorClient
from activation.sync.protocol import (
    NOT_TOLD,
    Applied,
    Capabilities,
    Drift,
    Fatal,
    FieldType,
    Held,
    Job,
    JobState,
    Limits,
    MappedField,
    Operation,
    Outcome,
    OutOfTime,
    PlanShape,
    Row,
    RowResult,
    Scalar,
    Suppression,
    Window,
)
from activation.sync.rates import Pacer
from activation.sync.secrets import Secret

BASE_URL = "https://api.sendgrid.com"
LOOKED_UP_AT_ONCE = 100
PAGE = 500
EXPORT_POLL_SECONDS, EXPORT_POLLS = 5.0, 360
STANDARD_FIELDS = frozenset(
    {"first_name", "last_name", "address_line_1", "address_line_2", "city", "state_province_region", "postal_code"}
    | {"country", "external_id"}
)
FIELD_TYPES = {FieldType.NUMBER: "Number"}
SUPPRESSIONS = {
    "ListGlobalSuppression": ("/v3/suppression/unsubscribes", "unsubscribed"),
    "ListSuppressionBounces": ("/v3/suppression/bounces", "bounced"),
    "ListSpamReport": ("/v3/suppression/spam_reports", "complained"),
    "ListInvalidEmail": ("/v3/suppression/invalid_emails", "invalid address"),
}


class SendGrid:
    """One SendGrid account."""

    capabilities = Capabilities(frozenset(Operation), reads_back_payload=True, clears_fields=False)
    limits = Limits(
        batch_rows={Operation.JOIN: 20_000, Operation.UPSERT: 20_000, Operation.LEAVE: 100, Operation.DELETE: 100},
        batch_bytes=3_500_000,  # of payload; each contact's envelope comes on top, and 6 MB are the limit
        windows={"UpdateContact": (Window(3, 2.0),), "*": (Window(10, 1.0), Window(600, 60.0))},
        calls_per_batch={
            Operation.JOIN: {"UpdateContact": 1, "GetImportContact": 2},
            Operation.UPSERT: {"UpdateContact": 1, "GetImportContact": 2},
            Operation.LEAVE: {"ListContactByEmail": 1, "DeleteContact": 1},
            Operation.DELETE: {"ListContactByEmail": 1, "DeleteContact": 1},
        },
        concurrency=2,
        poll_seconds=5.0,
        settle_seconds=60.0,
    )

    def __init__(
        self,
        name: str,
        api_key: Secret,
        base_url: str = BASE_URL,
        transport: httpx.BaseTransport | None = None,
        list_prefix: str = "",
    ) -> None:
        """Store the account.

        Args:
            name: The destination's.
            api_key: With access to marketing and suppressions.
            base_url: For tests, and `https://api.eu.sendgrid.com`.
            transport: For tests.
            list_prefix: Before the segment, the name of the list.
        """
        self.name = name
        self._list_prefix = list_prefix
        self._list_ids: dict[str, str] = {}
        self._field_ids: dict[str, str] = {}
        self._client = VendorClient(
            base_url,
            lambda: {"Authorization": f"Bearer {api_key.reveal()}", "Accept": "application/json"},
            transport,
            wait_header="X-RateLimit-Reset-In",
        )

    def connect(self, pacer: Pacer) -> None:
        """Take the run's pacer."""
        self._pacer = pacer
        self._client.connect(pacer)

    def close(self) -> None:
        """Close connections."""
        self._client.close()

    def prepare(self, shape: PlanShape) -> Sequence[Drift]:
        """Create lists and custom fields that are missing; report fields of another type."""
        self._find_lists()
        for segment in shape.segments:
            if segment.segment not in self._list_ids:
                created = self._client.call(
                    "CreateMarketingList",
                    "POST",
                    "/v3/marketing/lists",
                    json={"name": self._list_prefix + segment.segment},
                    expect=(201,),
                )
                self._list_ids[segment.segment] = str(created.json()["id"])
        return self._prepare_fields({mapped.name: mapped for one in shape.segments for mapped in one.fields})

    def _prepare_fields(self, mapped: Mapping[str, MappedField]) -> list[Drift]:
        answer = self._client.call("ListFieldDefinition", "GET", "/v3/marketing/field_definitions").json()
        there = {one["name"].lower(): one for one in answer["custom_fields"]}
        drift: list[Drift] = []
        for name, field in sorted(mapped.items()):
            if name in STANDARD_FIELDS:
                continue
            wanted = FIELD_TYPES.get(field.type, "Text")
            found = there.get(name.lower())
            if found is None:
                body = {"name": name, "field_type": wanted}
                found = self._client.call(
                    "CreateFieldDefinition", "POST", "/v3/marketing/field_definitions", json=body
                ).json()
            elif found["field_type"] != wanted:
                drift.append(Drift(name, wanted, str(found["field_type"])))
            self._field_ids[name] = str(found["id"])
        return drift

    def _find_lists(self) -> None:
        params: dict[str, str | int] = {"page_size": 1000}
        while True:
            answer = self._client.call("ListMarketingList", "GET", "/v3/marketing/lists", params=params).json()
            for one in answer.get("result", []):
                if str(one["name"]).startswith(self._list_prefix):
                    self._list_ids.setdefault(str(one["name"])[len(self._list_prefix) :], str(one["id"]))
            following = (answer.get("_metadata") or {}).get("next")
            token = httpx.URL(following).params.get("page_token") if following else None
            if not token:
                return
            params = {"page_size": 1000, "page_token": token}

    def pull_suppressions(self) -> Iterator[Sequence[Suppression]]:
        """Unsubscribed, bounced, complained, invalid."""
        for operation, (path, reason) in SUPPRESSIONS.items():
            offset = 0
            while True:
                params: dict[str, str | int] = {"limit": PAGE, "offset": offset}
                found = self._client.call(operation, "GET", path, params=params).json()
                yield [
                    Suppression(str(one["email"]), reason, datetime.fromtimestamp(int(one["created"]), UTC))
                    for one in found
                ]
                if len(found) < PAGE:
                    break
                offset += PAGE

    def apply(self, batch: Batch) -> Applied:
        """Send one batch."""
        batch = require_batch(batch)
        if batch.operation in (Operation.JOIN, Operation.UPSERT):
            body: dict[str, object] = {"contacts": [self._contact(row) for row in batch.rows]}
            if batch.operation is Operation.JOIN:
                body["list_ids"] = [self._list_id(batch.segment)]
            answer = self._client.call("UpdateContact", "PUT", "/v3/marketing/contacts", json=body, expect=(202,))
            return Applied(job=Job(str(answer.json()["job_id"]), batch.operation, batch.segment))
        ids = self._ids(batch.rows)
        known = [row for row in batch.rows if row.identifier in ids]
        # Who is no contact is in no list, and is erased already.
        results = [RowResult(Outcome.CONFIRMED, row.key, status=404) for row in batch.rows if row.identifier not in ids]
        if not known:
            return Applied(results)
        listed = ",".join(ids[row.identifier] for row in known)
        if batch.operation is Operation.DELETE:
            answer = self._client.call(
                "DeleteContact", "DELETE", "/v3/marketing/contacts", params={"ids": listed}, expect=(202,)
            )
            return Applied(results, Job(str(answer.json()["job_id"]), batch.operation, batch.segment))
        path = f"/v3/marketing/lists/{self._list_id(batch.segment)}/contacts"
        self._client.call("DeleteContact", "DELETE", path, params={"contact_ids": listed}, expect=(202,))
        accepted = [
            RowResult(Outcome.RETRYABLE, row.key, status=202, code=NOT_TOLD, vendor_id=ids[row.identifier])
            for row in known
        ]
        return Applied([*results, *accepted])

    def _contact(self, row: Row) -> dict[str, object]:
        contact: dict[str, object] = {"email": row.identifier}
        custom: dict[str, Scalar] = {}
        for name, value in row.payload.items():
            if name in STANDARD_FIELDS:
                contact[name] = value
            elif name in self._field_ids:
                custom[self._field_ids[name]] = str(value).lower() if isinstance(value, bool) else value
            else:
                raise Fatal(f"SendGrid has no field {name}")
        if custom:
            contact["custom_fields"] = custom
        return contact

    def _ids(self, rows: Sequence[Row]) -> dict[str, str]:
        found: dict[str, str] = {}
        for first in range(0, len(rows), LOOKED_UP_AT_ONCE):
            emails = [row.identifier for row in rows[first : first + LOOKED_UP_AT_ONCE]]
            path = "/v3/marketing/contacts/search/emails"
            answer = self._client.call("ListContactByEmail", "POST", path, json={"emails": emails}, expect=(200, 404))
            if answer.status_code == 200:
                result: dict[str, Any] = answer.json()["result"]
                found |= {email.lower(): str(one["contact"]["id"]) for email, one in result.items() if "contact" in one}
        return found

    def poll(self, job: Job) -> JobState:
        """Ask for a job; where rows failed, read which."""
        path = f"/v3/marketing/contacts/imports/{job.id}"
        answer = self._client.call("GetImportContact", "GET", path, expect=(200, 404))
        if answer.status_code == 404:
            return JobState(finished=True, lost=True)
        found = answer.json()
        if found["status"] == "pending":
            return JobState(finished=False)
        results = found.get("results") or {}
        errored = int(results.get("errored_count") or 0)
        if found["status"] == "completed" and errored == 0:
            return JobState(finished=True)
        if not results.get("errors_url"):
            return JobState(finished=True, lost=found["status"] == "failed", unattributed=max(1, errored))
        rows = _csv_rows(self._client.download("errors_url", str(results["errors_url"])))
        exceptions = [
            RowResult(
                Outcome.PERMANENT,
                identifier=row["email"],
                status=400,
                code="import_error",
                message=row.get("error", ""),
            )
            for row in rows
            if row.get("email")
        ]
        return JobState(finished=True, exceptions=exceptions, unattributed=max(0, errored - len(exceptions)))

    def commit(self, shape: PlanShape) -> None:
        """Nothing to do: jobs are under way."""

    def read_back(self, segment: str) -> Iterator[Sequence[Held]]:
        """The list, by an export."""
        body = {"list_ids": [self._list_id(segment)], "file_type": "csv", "notifications": {"email": False}}
        export = self._client.call("ExportContact", "POST", "/v3/marketing/contacts/exports", json=body, expect=(202,))
        path = f"/v3/marketing/contacts/exports/{export.json()['id']}"
        for _ in range(EXPORT_POLLS):
            found = self._client.call("GetExportContact", "GET", path).json()
            if found["status"] == "ready":
                break
            if found["status"] == "failure":
                raise Fatal("SendGrid could not export the list")
            self._pacer.clock.sleep(EXPORT_POLL_SECONDS)
        else:
            raise OutOfTime("SendGrid's export of the list is not ready")
        names = {name.lower(): name for name in self._field_ids} | {name: name for name in STANDARD_FIELDS}
        for url in found.get("urls") or []:
            rows = _csv_rows(self._client.download("export", str(url)))
            yield [
                Held(
                    row["email"],
                    row.get("contact_id") or None,
                    {names[name]: value for name, value in row.items() if name in names and value != ""},
                )
                for row in rows
                if row.get("email")
            ]

    def _list_id(self, segment: str) -> str:
        if segment not in self._list_ids:
            self._find_lists()
        if segment not in self._list_ids:
            raise Fatal(f"SendGrid has no list for {segment}")
        return self._list_ids[segment]


def _csv_rows(content: bytes) -> list[dict[str, str]]:
    """Read a CSV that may be packed; columns in lower case, because the exports shout."""
    if content.startswith(b"\x1f\x8b"):
        content = gzip.decompress(content)
    reader = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""))
    rows = [{str(name).strip().lower(): value or "" for name, value in row.items()} for row in reader]
    if reader.fieldnames is None or "email" not in [name.strip().lower() for name in reader.fieldnames]:
        raise Fatal("a file of SendGrid has no column for the address")
    return rows

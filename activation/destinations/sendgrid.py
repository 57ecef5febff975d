"""SendGrid Marketing Campaigns: contacts, lists and custom fields.

What is special here:

- Custom fields exist before they are used and are addressed by id. Dates go as text: SendGrid reads its own date
  fields in one country's notation.
- A PUT of contacts is a job. It says how many rows failed, and which only in a file behind another address.
- Leaving a list needs contact ids, 100 addresses per look-up, and is accepted, not confirmed: the read-back decides.
- Members are read back by an export, the one way to see a whole list. The first 50 of a search are no list. It is not
  described that an export tells `external_id`.
- It is not described how a value is cleared, so `nulls: clear` is refused.
"""

import csv
import gzip
import io
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx

from activation.destinations.vendor import Vendor, confirmed, named, started
from activation.sync.gated import Batch
from activation.sync.http import bearer
from activation.sync.protocol import (
    Applied,
    Capabilities,
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
    Row,
    RowResult,
    Scalar,
    Suppression,
    Window,
)
from activation.sync.secrets import Secret

PAGE = 500
EXPORT_POLL_SECONDS, EXPORT_POLLS = 5.0, 360
STANDARD_FIELDS = frozenset(
    {"first_name", "last_name", "address_line_1", "address_line_2", "city", "state_province_region", "postal_code"}
    | {"country", "external_id"}
)
CONTACTS, LISTS = "/v3/marketing/contacts", "/v3/marketing/lists"
FIELDS = "/v3/marketing/field_definitions"
SUPPRESSIONS = {
    "ListGlobalSuppression": ("/v3/suppression/unsubscribes", "unsubscribed"),
    "ListSuppressionBounces": ("/v3/suppression/bounces", "bounced"),
    "ListSpamReport": ("/v3/suppression/spam_reports", "complained"),
    "ListInvalidEmail": ("/v3/suppression/invalid_emails", "invalid address"),
}


class SendGrid(Vendor):
    """One SendGrid account, by a key with access to marketing and suppressions; in Europe with its own `base_url`."""

    vendor = "SendGrid"
    base_url = "https://api.sendgrid.com"
    wait_header = "X-RateLimit-Reset-In"
    tells_removals = False
    field_types = dict.fromkeys(FieldType, "Text") | {FieldType.NUMBER: "Number"}
    capabilities = Capabilities(frozenset(Operation), never_told=frozenset({"external_id"}), clears_fields=False)
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

    def _headers(self, api_key: Secret) -> Mapping[str, str]:
        return bearer(api_key) | {"Accept": "application/json"}

    def _lists(self, names: Collection[str]) -> Iterator[tuple[str, str]]:
        return named(self._client.pages("ListMarketingList", LISTS, "result", {"page_size": 1000}, _following))

    def _create_list(self, name: str) -> str:
        created = self._client.call("CreateMarketingList", "POST", LISTS, json={"name": name}, expect=(201,))
        return str(created.json()["id"])

    def _is_standard(self, field: str) -> bool:
        return field in STANDARD_FIELDS

    def _fields(self, names: Collection[str]) -> Mapping[str, str]:
        answer = self._client.call("ListFieldDefinition", "GET", FIELDS).json()
        by_name = {one["name"].lower(): one for one in answer["custom_fields"]}
        there = {name: by_name[name.lower()] for name in names if name.lower() in by_name}
        self._field_ids = {name: str(one["id"]) for name, one in there.items()}
        return {name: str(one["field_type"]) for name, one in there.items()}

    def _create_field(self, field: MappedField, vendor_type: str) -> None:
        body = {"name": field.name, "field_type": vendor_type}
        created = self._client.call("CreateFieldDefinition", "POST", FIELDS, json=body).json()
        self._field_ids[field.name] = str(created["id"])

    def pull_suppressions(self) -> Iterator[Sequence[Suppression]]:
        """Unsubscribed, bounced, complained, invalid."""
        for operation, (path, reason) in SUPPRESSIONS.items():
            for page in self._client.pages_by_offset(operation, path, None, PAGE):
                yield [
                    Suppression(str(one["email"]), reason, datetime.fromtimestamp(int(one["created"]), UTC))
                    for one in page
                ]

    def _send(self, batch: Batch) -> Applied:
        body: dict[str, object] = {"contacts": [self._contact(row) for row in batch.rows]}
        if batch.operation is Operation.JOIN:
            body["list_ids"] = [self._list_id(batch.segment)]
        answer = self._client.call("UpdateContact", "PUT", CONTACTS, json=body, expect=(202,))
        return started(answer.json()["job_id"], batch)

    def _remove(self, list_id: str, ids: Sequence[str]) -> None:
        listed = {"contact_ids": ",".join(ids)}
        self._client.call("DeleteContact", "DELETE", f"{LISTS}/{list_id}/contacts", params=listed, expect=(202,))

    def _delete(self, batch: Batch) -> Applied:
        ids = self._ids(batch.rows)
        # Who is no contact is erased already.
        unknown = [confirmed(row, 404) for row in batch.rows if row.identifier not in ids]
        if not ids:
            return Applied(unknown)
        listed = {"ids": ",".join(ids.values())}
        answer = self._client.call("DeleteContact", "DELETE", CONTACTS, params=listed, expect=(202,))
        return Applied(unknown, started(answer.json()["job_id"], batch).job)

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

    def _look_up(self, addresses: Sequence[str]) -> Iterator[tuple[str, str]]:
        body = {"emails": addresses}
        answer = self._client.call(
            "ListContactByEmail", "POST", f"{CONTACTS}/search/emails", json=body, expect=(200, 404)
        )
        if answer.status_code == 200:
            for address, one in answer.json()["result"].items():
                if "contact" in one:
                    yield address, str(one["contact"]["id"])

    def poll(self, job: Job) -> JobState:
        """Ask for a job; where rows failed, read which."""
        found = self._client.find("GetImportContact", f"{CONTACTS}/imports/{job.id}")
        if found is None:
            return JobState(finished=True, lost=True)
        if found["status"] == "pending":
            return JobState(finished=False)
        results = found.get("results") or {}
        errored = int(results.get("errored_count") or 0)
        if found["status"] == "completed" and errored == 0:
            return JobState(finished=True)
        if not results.get("errors_url"):
            return JobState(finished=True, lost=found["status"] == "failed", unattributed=max(1, errored))
        rows = _csv_rows(self._client.download("errors_url", str(results["errors_url"])))
        exceptions = [_import_error(row) for row in rows if row.get("email")]
        return JobState(finished=True, exceptions=exceptions, unattributed=max(0, errored - len(exceptions)))

    def read_back(self, segment: str) -> Iterator[Sequence[Held]]:
        """The list, by an export."""
        names = {name.lower(): name for name in self._field_ids} | {name: name for name in STANDARD_FIELDS}
        for url in self._exported(self._list_id(segment)):
            yield [
                Held(
                    row["email"],
                    row.get("contact_id") or None,
                    {names[name]: value for name, value in row.items() if name in names and value != ""},
                )
                for row in _csv_rows(self._client.download("export", url))
                if row.get("email")
            ]

    def _exported(self, list_id: str) -> list[str]:
        """Let a list be exported, and return where its files are."""
        body = {"list_ids": [list_id], "file_type": "csv", "notifications": {"email": False}}
        export = self._client.call("ExportContact", "POST", f"{CONTACTS}/exports", json=body, expect=(202,))
        path = f"{CONTACTS}/exports/{export.json()['id']}"
        for _ in range(EXPORT_POLLS):
            found = self._client.call("GetExportContact", "GET", path).json()
            if found["status"] == "ready":
                return [str(url) for url in found.get("urls") or []]
            if found["status"] == "failure":
                raise Fatal("SendGrid could not export the list")
            self._pacer.clock.sleep(EXPORT_POLL_SECONDS)
        raise OutOfTime("SendGrid's export of the list is not ready")


def _following(answer: Mapping[str, Any]) -> Mapping[str, str] | None:
    link = (answer.get("_metadata") or {}).get("next")
    token = httpx.URL(link).params.get("page_token") if link else None
    return {"page_token": token} if token else None


def _import_error(row: Mapping[str, str]) -> RowResult:
    return RowResult(
        Outcome.PERMANENT,
        identifier=row["email"],
        status=400,
        code="import_error",
        message=row.get("error", ""),
    )


def _csv_rows(content: bytes) -> list[dict[str, str]]:
    """Read a CSV that may be packed; columns in lower case, because the exports shout."""
    if content.startswith(b"\x1f\x8b"):
        content = gzip.decompress(content)
    reader = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""))
    rows = [{str(name).strip().lower(): value or "" for name, value in row.items()} for row in reader]
    if reader.fieldnames is None or "email" not in [name.strip().lower() for name in reader.fieldnames]:
        raise Fatal("a file of SendGrid has no column for the address")
    return rows

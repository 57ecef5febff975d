"""Brevo: contacts, lists and attributes.

What is special here:

- An import is a process that says when it is done and never what became of a row: the read-back decides, and who is
  accepted time and again and held never is set aside.
- Unknown attributes are ignored without a word, so they are created and typed before anything is sent.
- `emptyContactsAttributes` lets an empty value clear the attribute; absent ones stay.
- Nothing here sets `emailBlacklist`: it would put back on a list who had left it.
- Writes to one contact at the same time are answered 425, so batches go one after the other.
- Whom marketing may not write to is a flag of each contact: all contacts are read for it, 1000 at a time.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

import httpx

from activation.sync.gated import Batch, require_batch
from activation.sync.http import VendorClient, json_object
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
    PlanShape,
    Row,
    RowResult,
    Scalar,
    Suppression,
    Window,
)
from activation.sync.rates import Pacer
from activation.sync.secrets import Secret

BASE_URL = "https://api.brevo.com/v3/"
FOLDER = "Personae"
FIELD_TYPES = {FieldType.NUMBER: "float", FieldType.BOOLEAN: "boolean", FieldType.DATE: "date"}


class Brevo:
    """One Brevo account. Attributes are upper-case there, whatever the mapping calls them."""

    capabilities = Capabilities(frozenset(Operation), reads_back_payload=True)
    limits = Limits(
        batch_rows={Operation.JOIN: 10_000, Operation.UPSERT: 10_000, Operation.LEAVE: 150, Operation.DELETE: 1},
        batch_bytes=4_000_000,  # of payload; 8 MB with the envelopes are advised, 10 MB the limit
        windows={"*": (Window(10, 1.0), Window(36_000, 3600.0))},
        calls_per_batch={
            Operation.JOIN: {"importContacts": 1, "getProcess": 2},
            Operation.UPSERT: {"importContacts": 1, "getProcess": 2},
            Operation.LEAVE: {"removeContactFromList": 1},
            Operation.DELETE: {"deleteContact": 1},
        },
        concurrency=1,
        poll_seconds=3.0,
        settle_seconds=15.0,
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
            api_key: Of the account.
            base_url: For tests.
            transport: For tests.
            list_prefix: Before the segment, the name of the list.
        """
        self.name = name
        self._list_prefix = list_prefix
        self._list_ids: dict[str, int] = {}
        self._names: dict[str, str] = {}
        self._client = VendorClient(
            base_url,
            lambda: {"api-key": api_key.reveal(), "Accept": "application/json"},
            transport,
            wait_header="x-sib-ratelimit-reset",
        )

    def connect(self, pacer: Pacer) -> None:
        """Take the run's pacer."""
        self._client.connect(pacer)

    def close(self) -> None:
        """Close connections."""
        self._client.close()

    def prepare(self, shape: PlanShape) -> Sequence[Drift]:
        """Create lists and attributes that are missing; report attributes of another type."""
        self._find_lists()
        for segment in shape.segments:
            if segment.segment not in self._list_ids:
                body = {"name": self._list_prefix + segment.segment, "folderId": self._folder()}
                created = self._client.call("createList", "POST", "contacts/lists", json=body, expect=(201,))
                self._list_ids[segment.segment] = int(created.json()["id"])
        return self._prepare_attributes({mapped.name: mapped for one in shape.segments for mapped in one.fields})

    def _prepare_attributes(self, mapped: Mapping[str, MappedField]) -> list[Drift]:
        answer = self._client.call("getAttributes", "GET", "contacts/attributes").json()
        there = {one["name"].upper(): one for one in answer["attributes"]}
        drift: list[Drift] = []
        self._names = {name.upper(): name for name in mapped}
        for name, field in sorted(mapped.items()):
            wanted = FIELD_TYPES.get(field.type, "text")
            found = there.get(name.upper())
            if found is None:
                path = f"contacts/attributes/normal/{quote(name.upper(), safe='')}"
                self._client.call("createAttribute", "POST", path, json={"type": wanted}, expect=(201,))
            elif found.get("type", wanted) != wanted:
                drift.append(Drift(name, wanted, str(found.get("type"))))
        return drift

    def _folder(self) -> int:
        for page in self._pages("getFolders", "contacts/folders", "folders", 50):
            for one in page:
                if one["name"] == FOLDER:
                    return int(one["id"])
        created = self._client.call("createFolder", "POST", "contacts/folders", json={"name": FOLDER}, expect=(201,))
        return int(created.json()["id"])

    def _find_lists(self) -> None:
        for page in self._pages("getLists", "contacts/lists", "lists", 50):
            for one in page:
                if str(one["name"]).startswith(self._list_prefix):
                    self._list_ids.setdefault(str(one["name"])[len(self._list_prefix) :], int(one["id"]))

    def pull_suppressions(self) -> Iterator[Sequence[Suppression]]:
        """Contacts that marketing may not write to, and addresses that transactional mail may not."""
        for page in self._pages("getContacts", "contacts", "contacts", 1000):
            yield [
                Suppression(str(one["email"]), "blocklisted")
                for one in page
                if one["emailBlacklisted"] and one.get("email")
            ]
        for page in self._pages("getTransacBlockedContacts", "smtp/blockedContacts", "contacts", 100):
            yield [
                Suppression(str(one["email"]), str(one["reason"].get("code", "blocked")), _moment(one["blockedAt"]))
                for one in page
            ]

    def apply(self, batch: Batch) -> Applied:
        """Send one batch."""
        batch = require_batch(batch)
        if batch.operation is Operation.LEAVE:
            return self._leave(batch)
        if batch.operation is Operation.DELETE:
            for row in batch.rows:
                path = f"contacts/{quote(row.identifier, safe='')}"
                params = {"identifierType": "email_id"}
                self._client.call("deleteContact", "DELETE", path, params=params, expect=(204, 404))
            return Applied([RowResult(Outcome.CONFIRMED, row.key) for row in batch.rows])
        body: dict[str, object] = {
            "jsonBody": [{"email": row.identifier, "attributes": _attributes(row)} for row in batch.rows],
            "updateExistingContacts": True,
            "emptyContactsAttributes": True,
            "disableNotification": True,
        }
        # The import of an upsert names the list as well: it is Brevo's only import, and they are in it.
        body["listIds"] = [self._list_id(batch.segment)]
        answer = self._client.call("importContacts", "POST", "contacts/import", json=body, expect=(202,))
        return Applied(job=Job(str(answer.json()["processId"]), batch.operation, batch.segment))

    def _leave(self, batch: Batch) -> Applied:
        path = f"contacts/lists/{self._list_id(batch.segment)}/contacts/remove"
        body = {"emails": [row.identifier for row in batch.rows]}
        # Where none of them is in the list, the answer is 400.
        answer = self._client.call("removeContactFromList", "POST", path, json=body, expect=(201, 400))
        removed = {str(one).lower() for one in (json_object(answer).get("contacts") or {}).get("success") or []}
        return Applied(
            [
                RowResult(Outcome.CONFIRMED, row.key)
                if row.identifier in removed
                else RowResult(Outcome.RETRYABLE, row.key, status=answer.status_code, code=NOT_TOLD)
                for row in batch.rows
            ]
        )

    def poll(self, job: Job) -> JobState:
        """Ask whether the process is done. What became of its rows is asked by the read-back."""
        answer = self._client.call("getProcess", "GET", f"processes/{job.id}", expect=(200, 404))
        if answer.status_code == 404:
            return JobState(finished=True, lost=True)
        return JobState(finished=answer.json()["status"] == "completed", unattributed=1)

    def commit(self, shape: PlanShape) -> None:
        """Nothing to do: processes are under way."""

    def read_back(self, segment: str) -> Iterator[Sequence[Held]]:
        """The list's contacts."""
        path = f"contacts/lists/{self._list_id(segment)}/contacts"
        for page in self._pages("getContactsFromList", path, "contacts", 500):
            yield [
                Held(
                    str(one["email"]),
                    str(one["id"]),
                    {self._names[name]: value for name, value in one["attributes"].items() if name in self._names},
                )
                for one in page
                if one.get("email")
            ]

    def _list_id(self, segment: str) -> int:
        if segment not in self._list_ids:
            self._find_lists()
        if segment not in self._list_ids:
            raise Fatal(f"Brevo has no list for {segment}")
        return self._list_ids[segment]

    def _pages(self, operation: str, path: str, rows: str, most: int) -> Iterator[list[dict[str, Any]]]:
        offset = 0
        while True:
            # Oldest first: what is added meanwhile comes at the end and shifts nothing.
            params: dict[str, str | int] = {"limit": most, "offset": offset, "sort": "asc"}
            found = json_object(self._client.call(operation, "GET", path, params=params)).get(rows) or []
            yield found
            if len(found) < most:
                return
            offset += most


def _attributes(row: Row) -> dict[str, Scalar]:
    return {name.upper(): "" if value is None else value for name, value in row.payload.items()}


def _moment(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text))
    except ValueError:
        return None

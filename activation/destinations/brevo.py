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

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from activation.destinations.vendor import Vendor, confirmed_where, named, started
from activation.sync.gated import Batch
from activation.sync.http import json_object
from activation.sync.protocol import (
    Applied,
    Capabilities,
    FieldType,
    Held,
    Job,
    JobState,
    Limits,
    MappedField,
    Operation,
    Row,
    Scalar,
    Suppression,
    Window,
)
from activation.sync.secrets import Secret

FOLDER = "Personae"
OTHER_TYPES = {FieldType.NUMBER: "float", FieldType.BOOLEAN: "boolean", FieldType.DATE: "date"}


class Brevo(Vendor):
    """One Brevo account, by its key. Attributes are upper-case there, whatever the mapping calls them."""

    vendor = "Brevo"
    base_url = "https://api.brevo.com/v3/"
    wait_header = "x-sib-ratelimit-reset"
    field_types = dict.fromkeys(FieldType, "text") | OTHER_TYPES
    capabilities = Capabilities(frozenset(Operation))
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

    def _headers(self, api_key: Secret) -> Mapping[str, str]:
        return {"api-key": api_key.reveal(), "Accept": "application/json"}

    def _lists(self, names: Collection[str]) -> Iterator[tuple[str, str]]:
        return named(self._pages("getLists", "contacts/lists", "lists", 50))

    def _create_list(self, name: str) -> str:
        body = {"name": name, "folderId": self._folder()}
        created = self._client.call("createList", "POST", "contacts/lists", json=body, expect=(201,))
        return str(created.json()["id"])

    def _folder(self) -> int:
        for name, folder in named(self._pages("getFolders", "contacts/folders", "folders", 50)):
            if name == FOLDER:
                return int(folder)
        created = self._client.call("createFolder", "POST", "contacts/folders", json={"name": FOLDER}, expect=(201,))
        return int(created.json()["id"])

    def _fields(self, names: Collection[str]) -> Mapping[str, str]:
        answer = self._client.call("getAttributes", "GET", "contacts/attributes").json()
        there = {one["name"].upper(): one.get("type") for one in answer["attributes"]}
        # Attributes of Brevo's own may have no type; they are taken as they are.
        return {
            name: str(there[name.upper()] or self.field_types[self._mapped[name].type])
            for name in names
            if name.upper() in there
        }

    def _create_field(self, field: MappedField, vendor_type: str) -> None:
        path = f"contacts/attributes/normal/{quote(field.name.upper(), safe='')}"
        self._client.call("createAttribute", "POST", path, json={"type": vendor_type}, expect=(201,))

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

    def _send(self, batch: Batch) -> Applied:
        body: dict[str, object] = {
            "jsonBody": [{"email": row.identifier, "attributes": _attributes(row)} for row in batch.rows],
            "updateExistingContacts": True,
            "emptyContactsAttributes": True,
            "disableNotification": True,
            # The import of an upsert names the list as well: it is Brevo's only import, and they are in it.
            "listIds": [int(self._list_id(batch.segment))],
        }
        answer = self._client.call("importContacts", "POST", "contacts/import", json=body, expect=(202,))
        return started(answer.json()["processId"], batch)

    def _leave(self, batch: Batch) -> Applied:
        path = f"contacts/lists/{self._list_id(batch.segment)}/contacts/remove"
        body = {"emails": [row.identifier for row in batch.rows]}
        # Where none of them is in the list, the answer is 400.
        answer = self._client.call("removeContactFromList", "POST", path, json=body, expect=(201, 400))
        removed = {str(one).lower() for one in (json_object(answer).get("contacts") or {}).get("success") or []}
        return Applied(confirmed_where(lambda row: row.identifier in removed, batch.rows, answer.status_code))

    def _erase(self, row: Row) -> None:
        path, params = f"contacts/{quote(row.identifier, safe='')}", {"identifierType": "email_id"}
        self._client.call("deleteContact", "DELETE", path, params=params, expect=(204, 404))

    def poll(self, job: Job) -> JobState:
        """Ask whether the process is done. What became of its rows is asked by the read-back."""
        found = self._client.find("getProcess", f"processes/{job.id}")
        if found is None:
            return JobState(finished=True, lost=True)
        return JobState(finished=found["status"] == "completed", unattributed=1)

    def read_back(self, segment: str) -> Iterator[Sequence[Held]]:
        """The list's contacts."""
        path = f"contacts/lists/{self._list_id(segment)}/contacts"
        names = {name.upper(): name for name in self._mapped}
        for page in self._pages("getContactsFromList", path, "contacts", 500):
            yield [
                Held(
                    str(one["email"]),
                    str(one["id"]),
                    {names[name]: value for name, value in one["attributes"].items() if name in names},
                )
                for one in page
                if one.get("email")
            ]

    def _pages(self, operation: str, path: str, rows: str, size: int) -> Iterator[list[dict[str, Any]]]:
        # Oldest first: what is added meanwhile comes at the end and shifts nothing.
        return self._client.pages_by_offset(operation, path, rows, size, {"sort": "asc"}, is_left_out_when_empty=True)


def _attributes(row: Row) -> dict[str, Scalar]:
    return {name.upper(): "" if value is None else value for name, value in row.payload.items()}


def _moment(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text))
    except ValueError:
        return None

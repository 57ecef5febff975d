"""Mailchimp: one audience (`list_id`), its merge fields, and a static segment for each of ours.

What is special here:

- `update_existing` together with a status would subscribe again who had left. So new contacts are created without it,
  and contacts that are there already get their fields by a PATCH that names no status.
- New contacts are `transactional`, which no campaign reaches, unless a mapped field tells when they consented: then
  they are `subscribed`, with that time.
- A segment ignores unknown addresses without a word: only those it names as added are confirmed, of the others the
  read-back decides.
- What goes out unasked, persona and class, has merge tags of its own (`TAGS`), for its names are none.
- Tags are not touched: setting them takes others away.
- Deleting for good forbids the address for ever, which is what erasure asks for and nothing else gets.
- A contact in a compliance state, or one that was forgotten, is a refused row and not a refused batch.
"""

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import httpx

from activation.destinations.vendor import Vendor, confirmed, confirmed_where, named, not_told, refused
from activation.fields import DEFAULT_FIELDS
from activation.sync.gated import Batch
from activation.sync.http import basic
from activation.sync.protocol import (
    Applied,
    Capabilities,
    Fatal,
    FieldType,
    Held,
    Limits,
    MappedField,
    Operation,
    Outcome,
    Payload,
    Refused,
    Row,
    RowResult,
    Suppression,
    Window,
)
from activation.sync.secrets import Secret

AT_ONCE, PAGE = 500, 1000
EXISTS = "ERROR_CONTACT_EXISTS"
TAGS = dict(zip(DEFAULT_FIELDS, ("PERSONA_ID", "PERSONA", "ADOPTION"), strict=True))
_TAG = re.compile(r"[A-Z][A-Z0-9_]{0,9}", re.ASCII)
_KEY = re.compile(r"[!-~]+-([a-z]{2,4}\d{1,3})", re.ASCII)


class Mailchimp(Vendor):
    """One audience of one Mailchimp account. Field names are merge tags: upper-case, at most ten characters."""

    vendor = "Mailchimp"
    list_kind = "static segment"
    field_types = dict.fromkeys(FieldType, "text") | {FieldType.NUMBER: "number"}
    capabilities = Capabilities(frozenset(Operation))
    limits = Limits(
        batch_rows={Operation.JOIN: AT_ONCE, Operation.UPSERT: 50, Operation.LEAVE: AT_ONCE, Operation.DELETE: 10},
        windows={"*": (Window(10, 1.0),)},
        calls_per_batch={Operation.JOIN: {"*": 2}, Operation.UPSERT: {"*": 50}, Operation.DELETE: {"*": 10}},
        concurrency=8,  # ten connections are the limit
        settle_seconds=10.0,
    )

    def __init__(
        self,
        name: str,
        api_key: Secret,
        list_id: str,
        consent_field: str | None = None,
        base_url: str | None = None,
        transport: httpx.BaseTransport | None = None,
        segment_prefix: str = "",
    ) -> None:
        """Store the account.

        Args:
            name: The destination's.
            api_key: Of the account; what follows its last dash is the data centre.
            list_id: The audience at Mailchimp.
            consent_field: The mapped field that tells when somebody consented; it is sent as that, and not as a field.
            base_url: For tests.
            transport: For tests.
            segment_prefix: Before our segment, the name of theirs.

        Raises:
            ValueError: The key does not end with a data centre.
        """
        centre = _KEY.fullmatch(api_key.reveal())
        if base_url is None and centre is None:
            raise ValueError("A key of Mailchimp ends with its data centre, as in -us19")
        address = base_url or f"https://{centre[1] if centre else ''}.api.mailchimp.com/3.0/"
        super().__init__(name, api_key, address, transport, segment_prefix, consent_field)
        self._list = f"lists/{list_id}"

    def _headers(self, api_key: Secret) -> Mapping[str, str]:
        return basic("key", api_key)

    def _lists(self, names: Collection[str]) -> Iterator[tuple[str, str]]:
        return named(self._pages("segments", f"{self._list}/segments", "segments", {"type": "static"}))

    def _create_list(self, name: str) -> str:
        body = {"name": name, "static_segment": []}
        return str(self._client.call("create_segment", "POST", f"{self._list}/segments", json=body).json()["id"])

    def _is_standard(self, field: str) -> bool:
        return field == self._consent_field

    def _fields(self, names: Collection[str]) -> Mapping[str, str]:
        tags = {name: _tag(name) for name in names}
        for name, tag in tags.items():
            if not _TAG.fullmatch(tag):
                raise Fatal(f"{name} cannot be a merge tag: upper-case letters, digits and _, at most ten of them")
            if tag != name and tag in tags:
                raise Fatal(f"{tag} is the merge tag of {name}, which goes out unasked; map another")
        there = dict(named(self._pages("merge_fields", f"{self._list}/merge-fields", "merge_fields"), "tag", "type"))
        return {name: there[tag] for name, tag in tags.items() if tag in there}

    def _create_field(self, field: MappedField, vendor_type: str) -> None:
        tag = _tag(field.name)
        body = {"tag": tag, "name": field.name, "type": vendor_type, "required": False, "public": False}
        self._client.call("create_merge_field", "POST", f"{self._list}/merge-fields", json=body)

    def pull_suppressions(self) -> Iterator[Sequence[Suppression]]:
        """Who unsubscribed, and whose address was cleaned because it bounced."""
        for status in ("unsubscribed", "cleaned"):
            asked = {"status": status, "fields": "members.email_address,total_items"}
            for page in self._pages("members", f"{self._list}/members", "members", asked):
                yield [Suppression(str(one["email_address"]), status) for one in page]

    def _send(self, batch: Batch) -> Applied:
        if batch.operation is Operation.UPSERT:
            return Applied([self._update(row) for row in batch.rows])
        not_taken = {result.key: result for result in self._create(batch.rows)}
        taken = [row for row in batch.rows if row.key not in not_taken]
        added = self._change_members(batch.segment, "members_to_add", "members_added", taken) if taken else set()
        return Applied([*not_taken.values(), *confirmed_where(lambda row: row.identifier in added, taken)])

    def _leave(self, batch: Batch) -> Applied:
        removed = self._change_members(batch.segment, "members_to_remove", "members_removed", batch.rows)
        return Applied(confirmed_where(lambda row: row.identifier in removed, batch.rows))

    def _erase(self, row: Row) -> None:
        path = f"{self._list}/members/{_hash(row.identifier)}/actions/delete-permanent"
        self._client.call("delete_permanent", "POST", path, expect=(204, 404))

    def _create(self, rows: Sequence[Row]) -> Iterator[RowResult]:
        """Create who is new and update who is there; yields those that were refused."""
        body = {"members": [self._member(row) for row in rows], "update_existing": False}
        answer = self._client.call("add_members", "POST", self._list, json=body).json()
        by_address = {row.identifier: row for row in rows}
        for error in answer.get("errors") or []:
            row = by_address.get(str(error.get("email_address", "")).lower())
            if row is None:
                continue  # the segment will not name this row either, and the read-back decides
            if error.get("error_code") != EXISTS:
                code, message = str(error.get("error_code") or ""), str(error.get("error") or "")
                yield refused(row, Refused(message, 200, code))
                continue
            updated = self._update(row)
            if updated.outcome is not Outcome.CONFIRMED:
                yield updated

    def _member(self, row: Row) -> dict[str, object]:
        consented_at = self._consented_at(row)
        member: dict[str, object] = {
            "email_address": row.identifier,
            "status": "subscribed" if consented_at else "transactional",
            "merge_fields": self._merge_fields(row.payload),
        }
        if consented_at:
            member["timestamp_opt"] = consented_at
        return member

    def _merge_fields(self, payload: Payload) -> dict[str, object]:
        return {
            _tag(name): "" if value is None else str(value).lower() if isinstance(value, bool) else value
            for name, value in payload.items()
            if name != self._consent_field
        }

    def _update(self, row: Row) -> RowResult:
        fields = self._merge_fields(row.payload)
        if not fields:
            return confirmed(row)
        path = f"{self._list}/members/{_hash(row.identifier)}"
        try:
            answer = self._client.call("update_member", "PATCH", path, json={"merge_fields": fields}, expect=(200, 404))
        except Refused as error:
            return refused(row, error)
        return not_told(row, 404) if answer.status_code == 404 else confirmed(row)

    def _change_members(self, segment: str, asked: str, told: str, rows: Sequence[Row]) -> set[str]:
        """Change a static segment and return the addresses it says were changed."""
        path = f"{self._list}/segments/{self._list_id(segment)}"
        answer = self._client.call(
            "change_members", "POST", path, json={asked: [row.identifier for row in rows]}
        ).json()
        return {str(one["email_address"]).lower() for one in answer.get(told) or []}

    def read_back(self, segment: str) -> Iterator[Sequence[Held]]:
        """The segment's members, also those no campaign reaches."""
        path = f"{self._list}/segments/{self._list_id(segment)}/members"
        asked = {
            "fields": "members.id,members.email_address,members.merge_fields,total_items",
            "include_cleaned": "true",
            "include_transactional": "true",
            "include_unsubscribed": "true",
        }
        for page in self._pages("segment_members", path, "members", asked):
            yield [Held(str(one["email_address"]), str(one["id"]), self._told(one["merge_fields"])) for one in page]

    def _told(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        return {name: fields.get(_tag(name)) for name in self._mapped}

    def _pages(
        self, operation: str, path: str, rows: str, asked: Mapping[str, str] | None = None
    ) -> Iterator[list[dict[str, Any]]]:
        return self._client.pages_by_offset(operation, path, rows, PAGE, asked, size_name="count")


def _tag(field: str) -> str:
    return TAGS.get(field, field)


def _hash(address: str) -> str:
    """Mailchimp's id of an address: the MD5 of it in lower case."""
    return hashlib.md5(address.lower().encode(), usedforsecurity=False).hexdigest()

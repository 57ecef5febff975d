"""HubSpot: contacts, properties and static lists.

What is special here:

- Lists take record ids, not addresses: an upsert answers them, for leavers they are looked up, 100 at a time.
- A batch upsert answers 207 where some rows failed, and does not always say which: those that got no answer are sent
  once more, each alone.
- Properties exist before they are used, and all values are text; an empty one clears.
- `gdpr-delete` of an address HubSpot does not know *blocks* that address for good: only ids that were found are erased.
- A search shows its first 10,000 results, so who opted out is read in order of id, from the last one seen on.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import httpx

from activation.destinations.vendor import Vendor, confirmed, in_pieces, not_told, refused
from activation.sync.gated import Batch
from activation.sync.http import bearer
from activation.sync.payload import plain_text
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
    Refused,
    Row,
    RowResult,
    Suppression,
    Window,
)
from activation.sync.secrets import Secret

CONTACTS, LISTS, PROPERTIES = "/crm/v3/objects/contacts", "/crm/v3/lists", "/crm/v3/properties/contacts"
AT_ONCE, PAGE, SEARCH_PAGE = 100, 250, 200
TYPES = {
    FieldType.TEXT: "string",
    FieldType.NUMBER: "number",
    FieldType.BOOLEAN: "bool",
    FieldType.DATE: "date",
    FieldType.TIMESTAMP: "datetime",
}
INPUTS = {"string": "text", "number": "number", "bool": "booleancheckbox", "date": "date", "datetime": "date"}
YES_OR_NO = [
    {"label": label, "value": value, "displayOrder": order, "hidden": False}
    for order, (label, value) in enumerate([("Yes", "true"), ("No", "false")])
]


class HubSpot(Vendor):
    """One HubSpot account, by the token of a private app with the scopes contacts, lists and contact schemas."""

    vendor = "HubSpot"
    list_kind = "static list"
    base_url = "https://api.hubapi.com"
    looked_up_at_once = AT_ONCE
    field_types = TYPES
    capabilities = Capabilities(frozenset(Operation))
    limits = Limits(
        batch_rows=dict.fromkeys(Operation, AT_ONCE),
        windows={"search": (Window(4, 1.0),), "*": (Window(190, 10.0),)},
        calls_per_batch={
            Operation.JOIN: {"*": 2},
            Operation.UPSERT: {"*": 1},
            Operation.LEAVE: {"*": 2},
            Operation.DELETE: {"*": AT_ONCE + 1},
        },
        concurrency=6,
        settle_seconds=20.0,
    )

    def __init__(
        self,
        name: str,
        token: Secret,
        base_url: str | None = None,
        transport: httpx.BaseTransport | None = None,
        list_prefix: str = "",
    ) -> None:
        """Store the account; `token` is what a private app of HubSpot has in the place of a key."""
        super().__init__(name, token, base_url, transport, list_prefix)

    def _headers(self, api_key: Secret) -> Mapping[str, str]:
        return bearer(api_key)

    def _lists(self, names: Collection[str]) -> Iterator[tuple[str, str]]:
        for name in names:
            found = self._client.find("get_list", f"{LISTS}/object-type-id/0-1/name/{quote(name, safe='')}")
            if found is not None:
                if found["list"]["processingType"] != "MANUAL":
                    raise Fatal(f"HubSpot's list {name} is filled by its own rules; it needs a static list")
                yield name, str(found["list"]["listId"])

    def _create_list(self, name: str) -> str:
        body = {"objectTypeId": "0-1", "processingType": "MANUAL", "name": name}
        created = self._client.call("create_list", "POST", f"{LISTS}/", json=body)
        return str(created.json()["list"]["listId"])

    def _fields(self, names: Collection[str]) -> Mapping[str, str]:
        there: dict[str, str] = {}
        for name in names:
            found = self._client.find("get_property", f"{PROPERTIES}/{quote(name, safe='')}")
            if found is not None:
                takes_text = found["type"] == "enumeration" and self._mapped[name].type is FieldType.TEXT
                # An enumeration takes text; whether it knows the value is told row by row.
                there[name] = "string" if takes_text else str(found["type"])
        return there

    def _create_field(self, field: MappedField, vendor_type: str) -> None:
        body: dict[str, object] = {
            "name": field.name,
            "label": field.name,
            "groupName": "contactinformation",
            "type": vendor_type,
            "fieldType": INPUTS[vendor_type],
        }
        if field.type is FieldType.BOOLEAN:
            body["options"] = YES_OR_NO
        self._client.call("create_property", "POST", PROPERTIES, json=body, expect=(201,))

    def pull_suppressions(self) -> Iterator[Sequence[Suppression]]:
        """Everybody who opted out of all e-mail."""
        last = 0
        while True:
            filters = [
                {"propertyName": "hs_email_optout", "operator": "EQ", "value": "true"},
                {"propertyName": "hs_object_id", "operator": "GT", "value": str(last)},
            ]
            body = {
                "filterGroups": [{"filters": filters}],
                "sorts": ["hs_object_id"],
                "properties": ["email"],
                "limit": SEARCH_PAGE,
            }
            found = self._client.call("search", "POST", f"{CONTACTS}/search", json=body).json()["results"]
            addresses = [str(one["properties"]["email"]) for one in found if one["properties"].get("email")]
            yield [Suppression(address, "opted out") for address in addresses]
            if len(found) < SEARCH_PAGE:
                return
            last = max(int(one["id"]) for one in found)

    def _send(self, batch: Batch) -> Applied:
        results = self._upsert(batch.rows)
        if batch.operation is Operation.JOIN:
            results = self._join(batch.segment, batch.rows, results)
        return Applied(list(results.values()))

    def _upsert(self, rows: Sequence[Row]) -> dict[str, RowResult]:
        """Create or change contacts; what became of each, by key."""
        inputs = [
            {
                "idProperty": "email",
                "id": row.identifier,
                "objectWriteTraceId": str(number),
                "properties": {name: plain_text(value) for name, value in row.payload.items()},
            }
            for number, row in enumerate(rows)
        ]
        answer = self._client.call(
            "upsert", "POST", f"{CONTACTS}/batch/upsert", json={"inputs": inputs}, expect=(200, 201, 207)
        ).json()
        results: dict[str, RowResult] = {}
        for one in answer.get("results", []):
            row = _row_of(one, rows)
            if row is not None:
                results[row.key] = confirmed(row, vendor_id=str(one["id"]))
        for error in answer.get("errors", []):
            named = {str(value) for values in (error.get("context") or {}).values() for value in values}
            for number, row in enumerate(rows):
                if row.key not in results and (str(number) in named or row.identifier in named or len(rows) == 1):
                    results[row.key] = _not_upserted(row, error)
        if len(rows) > 1:
            for row in [row for row in rows if row.key not in results]:
                try:
                    results |= self._upsert([row])
                except Refused as error:
                    results[row.key] = refused(row, error)
        return results

    def _join(self, segment: str, rows: Sequence[Row], results: Mapping[str, RowResult]) -> dict[str, RowResult]:
        ids = {key: str(one.vendor_id) for key, one in results.items() if one.outcome is Outcome.CONFIRMED}
        missing = self._change_members(self._list_id(segment), list(ids.values()), []) if ids else set()
        unsure = {row.key: not_told(row, vendor_id=ids[row.key]) for row in rows if ids.get(row.key) in missing}
        return {**results, **unsure}

    def _change_members(self, list_id: str, add: Sequence[str], remove: Sequence[str]) -> set[str]:
        """Change a list and return the ids that HubSpot does not know."""
        body = {"recordIdsToAdd": add, "recordIdsToRemove": remove}
        path = f"{LISTS}/{list_id}/memberships/add-and-remove"
        answer = self._client.call("change_members", "PUT", path, json=body).json()
        return {str(one) for one in answer.get("recordIdsMissing") or []}

    def _remove(self, list_id: str, ids: Sequence[str]) -> None:
        self._change_members(list_id, [], ids)

    def _delete(self, batch: Batch) -> Applied:
        for vendor_id in self._ids(batch.rows).values():
            body = {"objectId": vendor_id}
            self._client.call("gdpr_delete", "POST", f"{CONTACTS}/gdpr-delete", json=body, expect=(204,))
        return Applied([confirmed(row) for row in batch.rows])

    def _look_up(self, addresses: Sequence[str]) -> Iterator[tuple[str, str]]:
        for one in self._read(addresses, "email"):
            yield str(one["properties"]["email"]), str(one["id"])

    def _read(self, keys: Sequence[str], id_property: str | None) -> Iterator[dict[str, Any]]:
        """Contacts with an address, by address or by record id; `AT_ONCE` keys at most."""
        body: dict[str, object] = {
            "inputs": [{"id": key} for key in keys],
            "properties": ["email", *sorted(self._mapped)],
            "propertiesWithHistory": [],
        }
        if id_property:
            body["idProperty"] = id_property
        answer = self._client.call("read", "POST", f"{CONTACTS}/batch/read", json=body, expect=(200, 207)).json()
        yield from (one for one in answer["results"] if one["properties"].get("email"))

    def read_back(self, segment: str) -> Iterator[Sequence[Held]]:
        """The list's members, and their contacts."""
        path = f"{LISTS}/{self._list_id(segment)}/memberships"
        for page in self._client.pages("members", path, "results", {"limit": PAGE}, _following):
            ids = [str(one["recordId"]) for one in page]
            yield [self._held(one) for some in in_pieces(ids, AT_ONCE) for one in self._read(some, None)]

    def _held(self, contact: Mapping[str, Any]) -> Held:
        found = contact["properties"]
        fields = {name: value for name, value in found.items() if name in self._mapped}
        return Held(str(found["email"]).lower(), str(contact["id"]), fields)


def _following(answer: Mapping[str, Any]) -> Mapping[str, str] | None:
    after = ((answer.get("paging") or {}).get("next") or {}).get("after")
    return {"after": str(after)} if after else None


def _row_of(result: Mapping[str, Any], rows: Sequence[Row]) -> Row | None:
    trace = str(result.get("objectWriteTraceId") or "")
    if trace.isdigit() and int(trace) < len(rows):
        return rows[int(trace)]
    address = str((result.get("properties") or {}).get("email") or "").lower()
    return next((row for row in rows if row.identifier == address), None)


def _not_upserted(row: Row, error: Mapping[str, Any]) -> RowResult:
    category, message = str(error.get("category") or ""), str(error.get("message") or "")
    retryable = category in ("RATE_LIMITS", "INTERNAL_ERROR", "TIMEOUT")
    outcome = Outcome.RETRYABLE if retryable else Outcome.PERMANENT
    return RowResult(outcome, row.key, status=207, code=category, message=message)

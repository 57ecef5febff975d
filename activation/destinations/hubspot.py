"""HubSpot: contacts, properties and static lists.

What is special here:

- Lists take record ids, not addresses: an upsert answers them, for leavers they are looked up, 100 at a time.
- A batch upsert answers 207 where some rows failed, and does not always say which: those that got no answer are sent
  once more, each alone.
- Properties exist before they are used, and all values are text; an empty one clears.
- `gdpr-delete` of an address HubSpot does not know *blocks* that address for good: only ids that were found are erased.
- A search shows its first 10,000 results, so who opted out is read in order of id, from the last one seen on.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import httpx

from activation.sync.gated import Batch, require_batch
from activation.sync.http import VendorClient
from activation.sync.payload import scalar_text
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
    Refused,
    Row,
    RowResult,
    Scalar,
    Suppression,
    Window,
)
from activation.sync.rates import Pacer
from activation.sync.secrets import Secret

BASE_URL = "https://api.hubapi.com"
CONTACTS, LISTS, PROPERTIES = "/crm/v3/objects/contacts", "/crm/v3/lists", "/crm/v3/properties/contacts"
AT_ONCE, PAGE, SEARCH_PAGE = 100, 250, 200
TYPES = {
    FieldType.TEXT: ("string", "text"),
    FieldType.NUMBER: ("number", "number"),
    FieldType.BOOLEAN: ("bool", "booleancheckbox"),
    FieldType.DATE: ("date", "date"),
    FieldType.TIMESTAMP: ("datetime", "date"),
}
YES_OR_NO = [
    {"label": label, "value": value, "displayOrder": order, "hidden": False}
    for order, (label, value) in enumerate([("Yes", "true"), ("No", "false")])
]


class HubSpot:
    """One HubSpot account, by a private app's token."""

    capabilities = Capabilities(frozenset(Operation), reads_back_payload=True)
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
        base_url: str = BASE_URL,
        transport: httpx.BaseTransport | None = None,
        list_prefix: str = "",
    ) -> None:
        """Store the account.

        Args:
            name: The destination's.
            token: Of a private app, with the scopes contacts, lists and contact schemas.
            base_url: For tests.
            transport: For tests.
            list_prefix: Before the segment, the name of the list.
        """
        self.name = name
        self._list_prefix = list_prefix
        self._list_ids: dict[str, str] = {}
        self._fields: tuple[str, ...] = ()
        self._client = VendorClient(base_url, lambda: {"Authorization": f"Bearer {token.reveal()}"}, transport)

    def connect(self, pacer: Pacer) -> None:
        """Take the run's pacer."""
        self._client.connect(pacer)

    def close(self) -> None:
        """Close connections."""
        self._client.close()

    def prepare(self, shape: PlanShape) -> Sequence[Drift]:
        """Create lists and properties that are missing; report properties of another type."""
        for segment in shape.segments:
            if self._find_list(segment.segment) is None:
                body = {
                    "objectTypeId": "0-1",
                    "processingType": "MANUAL",
                    "name": self._list_prefix + segment.segment,
                }
                created = self._client.call("create_list", "POST", f"{LISTS}/", json=body).json()
                self._list_ids[segment.segment] = str(created["list"]["listId"])
        mapped = {field.name: field for one in shape.segments for field in one.fields}
        self._fields = tuple(sorted(mapped))
        return [drift for name in self._fields for drift in self._prepare_property(mapped[name])]

    def _prepare_property(self, field: MappedField) -> Iterator[Drift]:
        kind, input_kind = TYPES[field.type]
        answer = self._client.call(
            "get_property", "GET", f"{PROPERTIES}/{quote(field.name, safe='')}", expect=(200, 404)
        )
        if answer.status_code == 200:
            found = str(answer.json()["type"])
            # An enumeration takes text; whether it knows the value is told row by row.
            if found != kind and not (kind == "string" and found == "enumeration"):
                yield Drift(field.name, kind, found)
            return
        body: dict[str, object] = {
            "name": field.name,
            "label": field.name,
            "groupName": "contactinformation",
            "type": kind,
            "fieldType": input_kind,
        }
        if field.type is FieldType.BOOLEAN:
            body["options"] = YES_OR_NO
        self._client.call("create_property", "POST", PROPERTIES, json=body, expect=(201,))

    def _find_list(self, segment: str) -> str | None:
        path = f"{LISTS}/object-type-id/0-1/name/{quote(self._list_prefix + segment, safe='')}"
        answer = self._client.call("get_list", "GET", path, expect=(200, 404))
        if answer.status_code == 404:
            return None
        found = answer.json()["list"]
        if found["processingType"] != "MANUAL":
            raise Fatal(f"HubSpot's list for {segment} is filled by its own rules; it needs a static list")
        self._list_ids[segment] = str(found["listId"])
        return self._list_ids[segment]

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

    def apply(self, batch: Batch) -> Applied:
        """Send one batch."""
        batch = require_batch(batch)
        if batch.operation in (Operation.LEAVE, Operation.DELETE):
            return self._remove(batch)
        results = self._upsert(batch.rows)
        if batch.operation is Operation.JOIN:
            results = self._join(batch.segment, results)
        return Applied(results)

    def _upsert(self, rows: Sequence[Row]) -> list[RowResult]:
        inputs = [
            {
                "idProperty": "email",
                "id": row.identifier,
                "objectWriteTraceId": str(number),
                "properties": {name: _text(value) for name, value in row.payload.items()},
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
                results[row.key] = RowResult(Outcome.CONFIRMED, row.key, vendor_id=str(one["id"]))
        for error in answer.get("errors", []):
            named = {str(value) for values in (error.get("context") or {}).values() for value in values}
            for number, row in enumerate(rows):
                if row.key not in results and (str(number) in named or row.identifier in named or len(rows) == 1):
                    results[row.key] = _refused(row, 207, error)
        unanswered = [row for row in rows if row.key not in results]
        if len(rows) > 1:
            for row in unanswered:
                try:
                    results |= {result.key: result for result in self._upsert([row])}
                except Refused as error:
                    results[row.key] = RowResult(
                        Outcome.PERMANENT, row.key, status=error.status, code=error.code, message=str(error)
                    )
        return list(results.values())

    def _join(self, segment: str, results: Sequence[RowResult]) -> list[RowResult]:
        ids = [str(result.vendor_id) for result in results if result.outcome is Outcome.CONFIRMED]
        missing = self._change_members(segment, ids, []) if ids else set()
        return [
            RowResult(Outcome.RETRYABLE, result.key, code=NOT_TOLD, vendor_id=result.vendor_id)
            if result.vendor_id in missing
            else result
            for result in results
        ]

    def _change_members(self, segment: str, add: Sequence[str], remove: Sequence[str]) -> set[str]:
        """Change a list and return the ids that HubSpot does not know."""
        body = {"recordIdsToAdd": list(add), "recordIdsToRemove": list(remove)}
        path = f"{LISTS}/{self._list_id(segment)}/memberships/add-and-remove"
        answer = self._client.call("change_members", "PUT", path, json=body).json()
        return {str(one) for one in answer.get("recordIdsMissing") or []}

    def _remove(self, batch: Batch) -> Applied:
        ids = {
            address: vendor_id
            for vendor_id, (address, _) in self._read([row.identifier for row in batch.rows], "email")
        }
        known = [ids[row.identifier] for row in batch.rows if row.identifier in ids]
        if batch.operation is Operation.LEAVE and known:
            self._change_members(batch.segment, [], known)
        if batch.operation is Operation.DELETE:
            for vendor_id in known:
                path = f"{CONTACTS}/gdpr-delete"
                self._client.call("gdpr_delete", "POST", path, json={"objectId": vendor_id}, expect=(204,))
        # Who is no contact is in no list, and is erased already.
        return Applied([RowResult(Outcome.CONFIRMED, row.key, vendor_id=ids.get(row.identifier)) for row in batch.rows])

    def _read(self, keys: Sequence[str], id_property: str | None) -> Iterator[tuple[str, tuple[str, dict[str, Any]]]]:
        """Contacts by address or by record id: id, address and properties."""
        for first in range(0, len(keys), AT_ONCE):
            body: dict[str, object] = {
                "inputs": [{"id": key} for key in keys[first : first + AT_ONCE]],
                "properties": ["email", *self._fields],
                "propertiesWithHistory": [],
            }
            if id_property:
                body["idProperty"] = id_property
            answer = self._client.call("read", "POST", f"{CONTACTS}/batch/read", json=body, expect=(200, 207)).json()
            for one in answer["results"]:
                if one["properties"].get("email"):
                    yield str(one["id"]), (str(one["properties"]["email"]).lower(), one["properties"])

    def poll(self, job: Job) -> JobState:
        """There are no jobs."""
        return JobState(finished=True, lost=True)

    def commit(self, shape: PlanShape) -> None:
        """Nothing to do."""

    def read_back(self, segment: str) -> Iterator[Sequence[Held]]:
        """The list's members, and their contacts."""
        params: dict[str, str | int] = {"limit": PAGE}
        while True:
            path = f"{LISTS}/{self._list_id(segment)}/memberships"
            answer = self._client.call("members", "GET", path, params=params).json()
            ids = [str(one["recordId"]) for one in answer["results"]]
            yield [
                Held(address, vendor_id, {name: value for name, value in found.items() if name in self._fields})
                for vendor_id, (address, found) in self._read(ids, None)
            ]
            after = ((answer.get("paging") or {}).get("next") or {}).get("after")
            if not after:
                return
            params = {"limit": PAGE, "after": str(after)}

    def _list_id(self, segment: str) -> str:
        found = self._list_ids.get(segment) or self._find_list(segment)
        if found is None:
            raise Fatal(f"HubSpot has no list for {segment}")
        return found


def _text(value: Scalar) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else scalar_text(value)


def _row_of(result: Mapping[str, Any], rows: Sequence[Row]) -> Row | None:
    trace = str(result.get("objectWriteTraceId") or "")
    if trace.isdigit() and int(trace) < len(rows):
        return rows[int(trace)]
    address = str((result.get("properties") or {}).get("email") or "").lower()
    return next((row for row in rows if row.identifier == address), None)


def _refused(row: Row, status: int, error: Mapping[str, Any]) -> RowResult:
    category, message = str(error.get("category") or ""), str(error.get("message") or "")
    retryable = category in ("RATE_LIMITS", "INTERNAL_ERROR", "TIMEOUT")
    outcome = Outcome.RETRYABLE if retryable else Outcome.PERMANENT
    return RowResult(outcome, row.key, status=status, code=category, message=message)

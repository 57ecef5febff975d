"""Klaviyo: profiles and lists over JSON:API, revision 2026-07-15.

What is special here:

- A bulk import creates or updates profiles and puts them into a list, all by address; its errors are asked for row by
  row.
- Leaving a list needs Klaviyo's own profile ids, which are looked up by address, 100 at a time.
- Bulk *subscribe* would lift suppressions and bulk *unsubscribe* reaches people who are on no list: neither is called.
- `null` clears a property, absence keeps it, which is what the payload's null policies mean.
- Mapped fields are custom properties, but for the few that Klaviyo knows by name.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

import httpx

from activation.sync.gated import Batch, require_batch
from activation.sync.http import VendorClient, json_object
from activation.sync.protocol import (
    Applied,
    Capabilities,
    Drift,
    Fatal,
    Held,
    Job,
    JobState,
    Limits,
    Operation,
    Outcome,
    Payload,
    PlanShape,
    Row,
    RowResult,
    Suppression,
    Window,
)
from activation.sync.rates import Pacer
from activation.sync.secrets import Secret

BASE_URL = "https://a.klaviyo.com"
REVISION = "2026-07-15"
JSON_API = "application/vnd.api+json"
LOOKED_UP_AT_ONCE = 100
PAGE = 100
STANDARD_FIELDS = frozenset(
    {"external_id", "first_name", "last_name", "organization", "locale", "title", "image", "phone_number"}
)

RATES: Mapping[str, tuple[Window, ...]] = {
    "get_lists": (Window(75, 1), Window(750, 60)),
    "create_list": (Window(10, 1), Window(150, 60), Window(150, 86_400)),
    "bulk_import_profiles": (Window(10, 1), Window(150, 60)),
    "get_bulk_import_profiles_job": (Window(10, 1), Window(150, 60)),
    "get_errors_for_bulk_import_profiles_job": (Window(10, 1), Window(150, 60)),
    "get_profiles": (Window(75, 1), Window(750, 60)),
    "get_profiles_for_list": (Window(75, 1), Window(750, 60)),
    "remove_profiles_from_list": (Window(10, 1), Window(150, 60)),
    "request_profile_deletion": (Window(3, 1), Window(60, 60)),
}
"""By operation id of Klaviyo's description; a test holds them to its `x-klaviyo-ratelimit`."""


class Klaviyo:
    """One Klaviyo account."""

    capabilities = Capabilities(frozenset(Operation), reads_back_payload=True)
    limits = Limits(
        batch_rows={Operation.JOIN: 10_000, Operation.UPSERT: 10_000, Operation.LEAVE: 1000, Operation.DELETE: 1},
        batch_bytes=3_000_000,  # of payload; the envelope of each profile comes on top, and 5 MB are the limit
        windows=RATES,
        calls_per_batch={
            Operation.JOIN: {"bulk_import_profiles": 1, "get_bulk_import_profiles_job": 2},
            Operation.UPSERT: {"bulk_import_profiles": 1, "get_bulk_import_profiles_job": 2},
            Operation.LEAVE: {"get_profiles": 10, "remove_profiles_from_list": 1},
            Operation.DELETE: {"request_profile_deletion": 1},
        },
        concurrency=4,
        poll_seconds=5.0,
        settle_seconds=30.0,
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
            api_key: A private key with the scopes lists, profiles and data-privacy.
            base_url: For tests.
            transport: For tests.
            list_prefix: Before the segment, the name of the list.
        """
        self.name = name
        self._list_prefix = list_prefix
        self._list_ids: dict[str, str] = {}
        self._client = VendorClient(
            base_url,
            lambda: {
                "Authorization": f"Klaviyo-API-Key {api_key.reveal()}",
                "revision": REVISION,
                "Accept": JSON_API,
                "Content-Type": JSON_API,
            },
            transport,
        )

    def connect(self, pacer: Pacer) -> None:
        """Take the run's pacer."""
        self._client.connect(pacer)

    def close(self) -> None:
        """Close connections."""
        self._client.close()

    def prepare(self, shape: PlanShape) -> Sequence[Drift]:
        """Find the lists by their names and create those that are missing. Properties need no creating."""
        self._find_lists()
        for segment in shape.segments:
            if segment.segment not in self._list_ids:
                created = self._client.call(
                    "create_list",
                    "POST",
                    "/api/lists",
                    json={"data": {"type": "list", "attributes": {"name": self._list_prefix + segment.segment}}},
                    expect=(201,),
                )
                self._list_ids[segment.segment] = str(created.json()["data"]["id"])
        return []

    def _find_lists(self) -> None:
        for page in self._pages("get_lists", "/api/lists", {"page[size]": 10, "fields[list]": "name"}):
            for one in page:
                name = str(one["attributes"].get("name") or "")
                if name.startswith(self._list_prefix):
                    self._list_ids.setdefault(name[len(self._list_prefix) :], str(one["id"]))

    def pull_suppressions(self) -> Iterator[Sequence[Suppression]]:
        """Everybody with a global suppression: unsubscribed, bounced, complained, or suppressed by hand."""
        params: dict[str, str | int] = {
            "filter": "greater-or-equal(subscriptions.email.marketing.suppression.timestamp,2000-01-01T00:00:00Z)",
            "additional-fields[profile]": "subscriptions",
            "fields[profile]": "email,subscriptions.email.marketing.suppression",
            "page[size]": PAGE,
        }
        for page in self._pages("get_profiles", "/api/profiles", params):
            yield [_suppression(one) for one in page if one["attributes"].get("email")]

    def apply(self, batch: Batch) -> Applied:
        """Send one batch."""
        batch = require_batch(batch)
        if batch.operation in (Operation.JOIN, Operation.UPSERT):
            return self._import(batch)
        if batch.operation is Operation.DELETE:
            return self._delete(batch.rows)
        return self._leave(batch)

    def _import(self, batch: Batch) -> Applied:
        data: dict[str, object] = {
            "type": "profile-bulk-import-job",
            "attributes": {"profiles": {"data": [_profile(row) for row in batch.rows]}},
        }
        if batch.operation is Operation.JOIN:
            list_id = self._list_id(batch.segment)
            data["relationships"] = {"lists": {"data": [{"type": "list", "id": list_id}]}}
        answer = self._client.call(
            "bulk_import_profiles", "POST", "/api/profile-bulk-import-jobs", json={"data": data}, expect=(202,)
        )
        return Applied(job=Job(str(answer.json()["data"]["id"]), batch.operation, batch.segment))

    def _leave(self, batch: Batch) -> Applied:
        ids = self._ids(batch.rows)
        # Klaviyo knows no profile of the others, so they are in no list either.
        if ids:
            self._client.call(
                "remove_profiles_from_list",
                "DELETE",
                f"/api/lists/{self._list_id(batch.segment)}/relationships/profiles",
                json={"data": [{"type": "profile", "id": found} for found in ids.values()]},
                expect=(204,),
            )
        return Applied([RowResult(Outcome.CONFIRMED, row.key, vendor_id=ids.get(row.identifier)) for row in batch.rows])

    def _delete(self, rows: Sequence[Row]) -> Applied:
        for row in rows:
            profile = {"type": "profile", "attributes": {"email": row.identifier}}
            self._client.call(
                "request_profile_deletion",
                "POST",
                "/api/data-privacy-deletion-jobs",
                json={"data": {"type": "data-privacy-deletion-job", "attributes": {"profile": {"data": profile}}}},
                expect=(202,),
            )
        return Applied([RowResult(Outcome.CONFIRMED, row.key, status=202) for row in rows])

    def _ids(self, rows: Sequence[Row]) -> dict[str, str]:
        found: dict[str, str] = {}
        for first in range(0, len(rows), LOOKED_UP_AT_ONCE):
            addresses = json.dumps(
                [row.identifier for row in rows[first : first + LOOKED_UP_AT_ONCE]], ensure_ascii=False
            )
            params: dict[str, str | int] = {
                "filter": f"any(email,{addresses})",
                "fields[profile]": "email",
                "page[size]": PAGE,
            }
            for page in self._pages("get_profiles", "/api/profiles", params):
                found |= {str(one["attributes"]["email"]).lower(): str(one["id"]) for one in page}
        return found

    def poll(self, job: Job) -> JobState:
        """Ask for a job, and once it is done for its errors."""
        answer = self._client.call(
            "get_bulk_import_profiles_job", "GET", f"/api/profile-bulk-import-jobs/{job.id}", expect=(200, 404)
        )
        if answer.status_code == 404:
            return JobState(finished=True, lost=True)
        attributes = answer.json()["data"]["attributes"]
        if attributes["status"] in ("queued", "processing"):
            return JobState(finished=False)
        if attributes["status"] == "cancelled":
            return JobState(finished=True, lost=True)
        failed = int(attributes.get("failed_count") or 0)
        if failed == 0:
            return JobState(finished=True)
        exceptions: list[RowResult] = []
        path = f"/api/profile-bulk-import-jobs/{job.id}/import-errors"
        for page in self._pages("get_errors_for_bulk_import_profiles_job", path, {"page[size]": PAGE}):
            exceptions += [result for result in map(_import_error, page) if result is not None]
        return JobState(finished=True, exceptions=exceptions, unattributed=max(0, failed - len(exceptions)))

    def commit(self, shape: PlanShape) -> None:
        """Nothing to do: jobs are under way."""

    def read_back(self, segment: str) -> Iterator[Sequence[Held]]:
        """The list's profiles."""
        params: dict[str, str | int] = {"fields[profile]": ",".join(["email", "properties", *sorted(STANDARD_FIELDS)])}
        path = f"/api/lists/{self._list_id(segment)}/profiles"
        for page in self._pages("get_profiles_for_list", path, params | {"page[size]": PAGE}):
            yield [_held(one) for one in page if one["attributes"].get("email")]

    def _list_id(self, segment: str) -> str:
        if segment not in self._list_ids:
            self._find_lists()
        if segment not in self._list_ids:
            raise Fatal(f"Klaviyo has no list for {segment}")
        return self._list_ids[segment]

    def _pages(self, operation: str, path: str, params: dict[str, str | int]) -> Iterator[list[dict]]:  # type: ignore[type-arg]
        found = json_object(self._client.call(operation, "GET", path, params=params))
        while True:
            yield found["data"]
            following = (found.get("links") or {}).get("next")
            if not following:
                return
            found = json_object(self._client.call(operation, "GET", following))


def _profile(row: Row) -> dict[str, object]:
    attributes: dict[str, object] = {"email": row.identifier}
    properties: dict[str, object] = {}
    for name, value in row.payload.items():
        (attributes if name in STANDARD_FIELDS else properties)[name] = value
    if properties:
        attributes["properties"] = properties
    return {"type": "profile", "attributes": attributes}


def _held(profile: dict) -> Held:  # type: ignore[type-arg]
    attributes = profile["attributes"]
    fields: Payload = {
        name: value
        for name, value in {**attributes, **(attributes.get("properties") or {})}.items()
        if value is None or isinstance(value, str | int | float | bool)
    }
    return Held(str(attributes["email"]), str(profile["id"]), fields)


def _suppression(profile: dict) -> Suppression:  # type: ignore[type-arg]
    marketing = ((profile["attributes"].get("subscriptions") or {}).get("email") or {}).get("marketing") or {}
    suppressions = marketing.get("suppression") or [{}]
    since = suppressions[0].get("timestamp")
    return Suppression(
        str(profile["attributes"]["email"]),
        str(suppressions[0].get("reason") or "suppressed").lower(),
        datetime.fromisoformat(since) if since else None,
    )


def _import_error(error: dict) -> RowResult | None:  # type: ignore[type-arg]
    attributes = error["attributes"]
    original = attributes.get("original_payload") or {}
    original = original.get("attributes") or original
    address = original.get("email")
    if not address:
        return None
    return RowResult(
        Outcome.PERMANENT,
        identifier=str(address),
        status=400,
        code=str(attributes.get("code") or ""),
        message=f"{attributes.get('title') or ''}: {attributes.get('detail') or ''}",
    )

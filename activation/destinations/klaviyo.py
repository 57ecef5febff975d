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
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import httpx

from activation.destinations.vendor import Vendor, started
from activation.sync.gated import Batch
from activation.sync.protocol import (
    Applied,
    Capabilities,
    Held,
    Job,
    JobState,
    Limits,
    Operation,
    Outcome,
    Row,
    RowResult,
    Suppression,
    Window,
)
from activation.sync.secrets import Secret

REVISION = "2026-07-15"
JSON_API = "application/vnd.api+json"
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


class Klaviyo(Vendor):
    """One Klaviyo account, by a private key with the scopes lists, profiles and data-privacy."""

    vendor = "Klaviyo"
    base_url = "https://a.klaviyo.com"
    capabilities = Capabilities(frozenset(Operation))
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

    def _headers(self, api_key: Secret) -> Mapping[str, str]:
        key = f"Klaviyo-API-Key {api_key.reveal()}"
        return {"Authorization": key, "revision": REVISION, "Accept": JSON_API, "Content-Type": JSON_API}

    def _lists(self, names: Collection[str]) -> Iterator[tuple[str, str]]:
        for page in self._pages("get_lists", "/api/lists", {"page[size]": 10, "fields[list]": "name"}):
            for one in page:
                yield str(one["attributes"].get("name") or ""), str(one["id"])

    def _create_list(self, name: str) -> str:
        body = {"data": {"type": "list", "attributes": {"name": name}}}
        created = self._client.call("create_list", "POST", "/api/lists", json=body, expect=(201,))
        return str(created.json()["data"]["id"])

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

    def _send(self, batch: Batch) -> Applied:
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
        return started(answer.json()["data"]["id"], batch)

    def _remove(self, list_id: str, ids: Sequence[str]) -> None:
        body = {"data": [{"type": "profile", "id": one} for one in ids]}
        path = f"/api/lists/{list_id}/relationships/profiles"
        self._client.call("remove_profiles_from_list", "DELETE", path, json=body, expect=(204,))

    def _erase(self, row: Row) -> None:
        profile = {"type": "profile", "attributes": {"email": row.identifier}}
        data = {"type": "data-privacy-deletion-job", "attributes": {"profile": {"data": profile}}}
        path = "/api/data-privacy-deletion-jobs"
        self._client.call("request_profile_deletion", "POST", path, json={"data": data}, expect=(202,))

    def _look_up(self, addresses: Sequence[str]) -> Iterator[tuple[str, str]]:
        listed = json.dumps(addresses, ensure_ascii=False)
        params: dict[str, str | int] = {"filter": f"any(email,{listed})", "fields[profile]": "email"}
        for page in self._pages("get_profiles", "/api/profiles", params | {"page[size]": PAGE}):
            for one in page:
                yield str(one["attributes"]["email"]), str(one["id"])

    def poll(self, job: Job) -> JobState:
        """Ask for a job, and once it is done for its errors."""
        path = f"/api/profile-bulk-import-jobs/{job.id}"
        found = self._client.find("get_bulk_import_profiles_job", path)
        if found is None:
            return JobState(finished=True, lost=True)
        attributes = found["data"]["attributes"]
        if attributes["status"] in ("queued", "processing"):
            return JobState(finished=False)
        if attributes["status"] == "cancelled":
            return JobState(finished=True, lost=True)
        failed = int(attributes.get("failed_count") or 0)
        if failed == 0:
            return JobState(finished=True)
        errors = self._pages("get_errors_for_bulk_import_profiles_job", f"{path}/import-errors", {"page[size]": PAGE})
        exceptions = [result for page in errors for result in map(_import_error, page) if result is not None]
        return JobState(finished=True, exceptions=exceptions, unattributed=max(0, failed - len(exceptions)))

    def read_back(self, segment: str) -> Iterator[Sequence[Held]]:
        """The list's profiles."""
        params: dict[str, str | int] = {"fields[profile]": ",".join(["email", "properties", *sorted(STANDARD_FIELDS)])}
        path = f"/api/lists/{self._list_id(segment)}/profiles"
        for page in self._pages("get_profiles_for_list", path, params | {"page[size]": PAGE}):
            yield [_held(one) for one in page if one["attributes"].get("email")]

    def _pages(self, operation: str, path: str, params: Mapping[str, str | int]) -> Iterator[list[dict[str, Any]]]:
        return self._client.pages(operation, path, "data", params, _following)


def _following(answer: Mapping[str, Any]) -> Mapping[str, str] | None:
    link = (answer.get("links") or {}).get("next")
    return dict(httpx.URL(link).params) if link else None


def _profile(row: Row) -> dict[str, object]:
    attributes: dict[str, object] = {"email": row.identifier}
    properties: dict[str, object] = {}
    for name, value in row.payload.items():
        (attributes if name in STANDARD_FIELDS else properties)[name] = value
    if properties:
        attributes["properties"] = properties
    return {"type": "profile", "attributes": attributes}


def _held(profile: Mapping[str, Any]) -> Held:
    attributes = profile["attributes"]
    fields = {**attributes, **(attributes.get("properties") or {})}
    return Held(str(attributes["email"]), str(profile["id"]), fields)


def _suppression(profile: Mapping[str, Any]) -> Suppression:
    marketing = ((profile["attributes"].get("subscriptions") or {}).get("email") or {}).get("marketing") or {}
    suppressions = marketing.get("suppression") or [{}]
    since = suppressions[0].get("timestamp")
    return Suppression(
        str(profile["attributes"]["email"]),
        str(suppressions[0].get("reason") or "suppressed").lower(),
        datetime.fromisoformat(since) if since else None,
    )


def _import_error(error: Mapping[str, Any]) -> RowResult | None:
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

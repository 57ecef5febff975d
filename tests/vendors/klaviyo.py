"""Klaviyo on this machine: profiles, lists, import jobs with row errors, suppressions; held to Klaviyo's
description."""

import json
import re
from typing import Any

import httpx

from tests.vendors.description import Description, Operation, WrongRequest
from tests.vendors.server import LocalVendor

CREATED = "2026-11-16T06:00:00+00:00"
SELF = "https://a.klaviyo.com/self"
MOST_PROFILES, MOST_MEMBERS, MOST_BYTES = 10_000, 1000, 5_000_000


class LocalKlaviyo(LocalVendor):
    """Its state is public: tests look into it and reach around it."""

    def __init__(self) -> None:
        super().__init__(
            Description("klaviyo-profiles.json", "klaviyo-lists.json", "klaviyo-data-privacy.json"), "a.klaviyo.com"
        )
        self.profiles: dict[str, dict[str, Any]] = {}
        self.ids: dict[str, str] = {}
        self.lists: dict[str, str] = {}
        self.members: dict[str, dict[str, None]] = {}
        self.jobs: dict[str, dict[str, Any]] = {}
        self.handlers = {
            "get_lists": self._get_lists,
            "create_list": self._create_list,
            "bulk_import_profiles": self._import,
            "get_bulk_import_profiles_job": self._job,
            "get_errors_for_bulk_import_profiles_job": self._errors,
            "get_profiles": self._get_profiles,
            "get_profiles_for_list": self._list_profiles,
            "remove_profiles_from_list": self._remove,
            "request_profile_deletion": self._delete,
        }

    def held(self, name: str) -> dict[str, dict[str, Any]]:
        """A list's members by address, with their properties."""
        list_id = next((one for one, its_name in self.lists.items() if its_name == name), "")
        return {address: self.profiles[address].get("properties", {}) for address in self.members.get(list_id, {})}

    def forget(self, name: str, address: str) -> None:
        """Take somebody out of a list, as a colleague does by hand."""
        for list_id, its_name in self.lists.items():
            if its_name == name:
                self.members[list_id].pop(address, None)

    def check_credentials(self, request: httpx.Request) -> None:
        if not re.fullmatch(r"Klaviyo-API-Key \S+", request.headers.get("authorization", "")):
            raise WrongRequest("no key")
        if request.headers.get("revision") != "2026-07-15":
            raise WrongRequest("no revision, or another than the description's")

    def error(self, status: int, message: str) -> dict[str, Any]:
        return {"errors": [{"id": "e", "code": "invalid", "title": message, "detail": message}]}

    def _paged(self, rows: list[Any], query: dict[str, list[str]], path: str, most: int) -> dict[str, Any]:
        first = int(query.get("page[cursor]", ["0"])[0])
        size = min(int(query.get("page[size]", ["20"])[0]), most, self.page)
        links = {"self": SELF}
        if first + size < len(rows):
            kept = "&".join(f"{name}={values[0]}" for name, values in query.items() if name != "page[cursor]")
            links["next"] = str(
                httpx.URL(f"https://a.klaviyo.com{path}?{kept}").copy_set_param("page[cursor]", first + size)
            )
        return {"data": rows[first : first + size], "links": links}

    def _get_lists(self, operation: Operation, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        rows = [
            {"type": "list", "id": one, "attributes": {"name": name}, "links": {"self": SELF}}
            for one, name in self.lists.items()
        ]
        return 200, self._paged(rows, query, "/api/lists", 10)

    def _create_list(self, operation: Operation, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        list_id = f"L{len(self.lists)}"
        self.lists[list_id] = body["data"]["attributes"]["name"]
        self.members[list_id] = {}
        attributes = {"name": self.lists[list_id], "created": CREATED, "updated": CREATED}
        return 201, {"data": {"type": "list", "id": list_id, "attributes": attributes, "links": {"self": SELF}}}

    def _import(self, operation: Operation, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        profiles = body["data"]["attributes"]["profiles"]["data"]
        if not profiles:
            raise WrongRequest("an import of nobody")
        if len(profiles) > MOST_PROFILES:
            raise WrongRequest("more than 10,000 profiles")
        if len(json.dumps(body)) > MOST_BYTES:
            raise WrongRequest("more than 5 MB")
        lists = [one["id"] for one in body["data"].get("relationships", {}).get("lists", {}).get("data", [])]
        for one in lists:
            if one not in self.lists:
                return 404, self.error(404, "no such list")
        job_id = f"job-{len(self.jobs)}"
        self.jobs[job_id] = {"profiles": profiles, "lists": lists, "polls": self.polls_needed, "errors": None}
        return 202, {"data": self._job_data(job_id, "queued")}

    def _job_data(self, job_id: str, status: str) -> dict[str, Any]:
        job = self.jobs[job_id]
        attributes = {
            "status": status,
            "created_at": CREATED,
            "total_count": len(job["profiles"]),
            "failed_count": len(job["errors"] or []),
        }
        return {"type": "profile-bulk-import-job", "id": job_id, "attributes": attributes, "links": {"self": SELF}}

    def _job(self, operation: Operation, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        job_id = operation.path_values["job_id"]
        if job_id not in self.jobs:
            return 404, self.error(404, "no such job")
        job = self.jobs[job_id]
        if job["polls"] > 0:
            job["polls"] -= 1
            return 200, {"data": self._job_data(job_id, "processing"), "links": {"self": SELF}}
        if job["errors"] is None:
            self.carry_out(job)
        return 200, {"data": self._job_data(job_id, "complete"), "links": {"self": SELF}}

    def carry_out(self, job: dict[str, Any]) -> None:
        """Do what an import asks for."""
        job["errors"] = []
        for profile in job["profiles"]:
            attributes = profile["attributes"]
            address = (attributes.get("email") or "").lower()
            if not address or address in self.refuses:
                job["errors"].append(profile)
                continue
            self.ids.setdefault(address, f"P{len(self.ids):05d}")
            known = self.profiles.setdefault(address, {"email": address, "properties": {}})
            for name, value in (attributes.get("properties") or {}).items():
                if value is None:
                    known["properties"].pop(name, None)
                else:
                    known["properties"][name] = value
            known.update({name: value for name, value in attributes.items() if name not in ("properties", "email")})
            for one in job["lists"]:
                self.members[one][address] = None

    def _errors(self, operation: Operation, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        rows = [
            {
                "type": "import-error",
                "id": str(number),
                "attributes": {
                    "code": "invalid",
                    "title": "Invalid input.",
                    "detail": f"Invalid email address {profile['attributes'].get('email')}",
                    "source": {"pointer": "/data/attributes/email"},
                    "original_payload": profile,
                },
                "links": {"self": SELF},
            }
            for number, profile in enumerate(self.jobs[operation.path_values["id"]]["errors"] or [])
        ]
        path = f"/api/profile-bulk-import-jobs/{operation.path_values['id']}/import-errors"
        return 200, self._paged(rows, query, path, 100)

    def _profile(self, address: str) -> dict[str, Any]:
        known = self.profiles[address]
        return {
            "type": "profile",
            "id": self.ids[address],
            "attributes": {**known, "email": address},
            "links": {"self": SELF},
        }

    def _get_profiles(self, operation: Operation, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        filtered = query["filter"][0]
        if filtered.startswith("greater-or-equal(subscriptions.email.marketing.suppression.timestamp,"):
            rows = []
            for address, reason in sorted(self.suppressed.items()):
                self.ids.setdefault(address, f"P{len(self.ids):05d}")
                self.profiles.setdefault(address, {"email": address, "properties": {}})
                marketing = {
                    "can_receive_email_marketing": False,
                    "consent": "UNSUBSCRIBED",
                    "suppression": [{"reason": reason, "timestamp": CREATED}],
                }
                row = self._profile(address)
                row["attributes"] = {"email": address, "subscriptions": {"email": {"marketing": marketing}}}
                rows.append(row)
            return 200, self._paged(rows, query, "/api/profiles", 100)
        asked = re.fullmatch(r"any\(email,(\[.*\])\)", filtered)
        if not asked:
            raise WrongRequest(f"a filter Klaviyo does not have: {filtered[:40]}")
        addresses = json.loads(asked[1])
        if len(addresses) > 100:
            raise WrongRequest("more than 100 addresses in a filter")
        rows = [self._profile(one) for one in addresses if one in self.profiles]
        return 200, self._paged(rows, query, "/api/profiles", 100)

    def _list_profiles(self, operation: Operation, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        list_id = operation.path_values["id"]
        if list_id not in self.lists:
            return 404, self.error(404, "no such list")
        rows = [self._profile(address) for address in self.members[list_id]]
        for row in rows:
            row["attributes"]["joined_group_at"] = CREATED
        return 200, self._paged(rows, query, f"/api/lists/{list_id}/profiles", 100)

    def _remove(self, operation: Operation, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        if not body["data"] or len(body["data"]) > MOST_MEMBERS:
            raise WrongRequest("from 1 to 1000 profiles can be removed")
        gone = {one["id"] for one in body["data"]}
        members = self.members[operation.path_values["id"]]
        for address in [one for one in members if self.ids[one] in gone]:
            del members[address]
        return 204, None

    def _delete(self, operation: Operation, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        address = body["data"]["attributes"]["profile"]["data"]["attributes"]["email"]
        for members in self.members.values():
            members.pop(address, None)
        self.profiles.pop(address, None)
        return 202, None

"""Mailchimp on this machine: one audience with its contacts, merge fields and static segments, and its traps.

There is no description of it that may be used; its SDK knows paths and methods only, and is a witness of those.
"""

import hashlib
import json
import re
from collections import Counter, deque
from typing import Any

import httpx

from tests.vendors.description import WrongRequest


class LocalMailchimp(httpx.BaseTransport):
    """Its state is public: tests look into it and reach around it."""

    def __init__(self) -> None:
        self.faults: deque[str] = deque()
        self.calls: Counter[str] = Counter()
        self.requests: list[tuple[str, str, dict[str, str], Any]] = []
        self.refuses: set[str] = set()
        self.suppressed: dict[str, str] = {}
        self.contacts: dict[str, dict[str, Any]] = {}
        self.forbidden: set[str] = set()
        self.segments: dict[str, str] = {}
        self.members: dict[str, dict[str, None]] = {}
        self.fields: dict[str, str] = {}

    def held(self, name: str) -> dict[str, dict[str, Any]]:
        segment = next((one for one, its_name in self.segments.items() if its_name == name), "")
        return {
            address: {
                tag.lower(): value for tag, value in self.contacts[address]["merge_fields"].items() if value != ""
            }
            for address in self.members.get(segment, {})
        }

    def forget(self, name: str, address: str) -> None:
        for members in self.members.values():
            members.pop(address, None)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.host != "us19.api.mailchimp.com" or not request.headers.get("authorization", "").startswith(
            "Basic "
        ):
            raise WrongRequest("another data centre, or no key")
        content = request.read()
        body = json.loads(content) if content else None
        path = request.url.path.removeprefix("/3.0")
        query = dict(request.url.params)
        self.requests.append((request.method, path, query, body))
        self.calls[f"{request.method} {path}"] += 1
        fault = self.faults.popleft() if self.faults else "ok"
        if fault == "429":
            return httpx.Response(429, json={"title": "Too Many Requests", "detail": "slow down"})
        if fault == "500 before":
            return httpx.Response(500)
        if fault == "lost before":
            raise httpx.ReadTimeout("lost")
        status, answer = self._answer(request.method, path, query, body)
        if fault == "500 after":
            return httpx.Response(500)
        if fault == "lost after":
            raise httpx.ReadTimeout("lost")
        return httpx.Response(status, json=answer) if answer is not None else httpx.Response(status)

    def _answer(self, method: str, path: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        if (method, path) == ("POST", "/lists/L1"):
            return self._add(body)
        if (method, path) == ("GET", "/lists/L1/members"):
            return 200, {
                "members": [{"email_address": one} for one in self.suppressed]
                if query["status"] == "unsubscribed"
                else []
            }
        if path == "/lists/L1/merge-fields":
            if method == "GET":
                return 200, {"merge_fields": [{"tag": tag, "type": kind} for tag, kind in self.fields.items()]}
            self.fields[body["tag"]] = body["type"]
            return 200, body
        if path == "/lists/L1/segments":
            if method == "GET":
                return 200, {"segments": [{"id": int(one), "name": name} for one, name in self.segments.items()]}
            self.segments[str(len(self.segments) + 1)] = body["name"]
            self.members[str(len(self.segments))] = {}
            return 200, {"id": len(self.segments)}
        if found := re.fullmatch(r"/lists/L1/segments/(\d+)(/members)?", path):
            return self._segment(method, found[1], query, body)
        if found := re.fullmatch(r"/lists/L1/members/([0-9a-f]{32})(/actions/delete-permanent)?", path):
            return self._member(method, found[1], body)
        raise WrongRequest(f"there is no {method} {path}")

    def _add(self, body: Any) -> tuple[int, Any]:
        if not 1 <= len(body["members"]) <= 500:
            raise WrongRequest("from 1 to 500 members")
        if body["update_existing"]:
            raise WrongRequest("an update with a status subscribes again who had left")
        errors, new = [], []
        for one in body["members"]:
            address = one["email_address"].lower()
            if "tags" in one or set(one["merge_fields"]) - self.fields.keys():
                raise WrongRequest("tags, or a merge field there is not")
            if address in self.contacts:
                errors.append(
                    {"email_address": address, "error": f"{address} exists", "error_code": "ERROR_CONTACT_EXISTS"}
                )
            elif address in self.refuses or address in self.forbidden:
                errors.append(
                    {"email_address": address, "error": "Forgotten Email Not Subscribed", "error_code": "ERROR_GENERIC"}
                )
            else:
                self.contacts[address] = {"status": one["status"], "merge_fields": one["merge_fields"]}
                new.append({"email_address": address})
        return 200, {"new_members": new, "updated_members": [], "errors": errors, "error_count": len(errors)}

    def _segment(self, method: str, segment: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        members = self.members[segment]
        if method == "GET":
            if query.get("include_transactional") != "true":
                raise WrongRequest("contacts no campaign reaches would not be told")
            rows = [
                {
                    "id": self._id(one),
                    "email_address": one,
                    "merge_fields": dict.fromkeys(self.fields, "") | self.contacts[one]["merge_fields"],
                }
                for one in members
            ]
            return 200, {"members": rows[int(query["offset"]) :][: int(query["count"])]}
        changed: dict[str, list[dict[str, str]]] = {"members_added": [], "members_removed": []}
        if len(body.get("members_to_add", [])) + len(body.get("members_to_remove", [])) > 500:
            raise WrongRequest("more than 500 members")
        for one in body.get("members_to_add", []):
            if one in self.contacts and one not in members:  # unknown ones are ignored without a word
                members[one] = None
                changed["members_added"].append({"email_address": one})
        for one in body.get("members_to_remove", []):
            if members.pop(one, "no") is None:
                changed["members_removed"].append({"email_address": one})
        return 200, changed

    def _member(self, method: str, hashed: str, body: Any) -> tuple[int, Any]:
        address = next((one for one in self.contacts if self._id(one) == hashed), None)
        if address is None:
            return 404, {"title": "Resource Not Found", "detail": "not there"}
        if method == "POST":
            self.forbidden.add(address)
            del self.contacts[address]
            self.forget("", address)
            return 204, None
        if "status" in body:
            raise WrongRequest("an update that sets a status")
        self.contacts[address]["merge_fields"].update(body["merge_fields"])
        return 200, {"email_address": address}

    @staticmethod
    def _id(address: str) -> str:
        return hashlib.md5(address.encode()).hexdigest()

"""HubSpot on this machine: contacts, properties, static lists.

Its description may not be used, so requests are held to the models of HubSpot's own SDK where that is installed (a test
extra): a field the SDK does not know, or of another type, is refused.
"""

import json
import re
from collections import Counter, deque
from typing import Any
from urllib.parse import unquote

import httpx

from tests.vendors.description import WrongRequest

UNKNOWN = {"status": "error", "category": "OBJECT_NOT_FOUND", "message": "not there", "correlationId": "c"}


class LocalHubSpot(httpx.BaseTransport):
    """Its state is public: tests look into it and reach around it."""

    def __init__(self) -> None:
        self.faults: deque[str] = deque()
        self.calls: Counter[str] = Counter()
        self.requests: list[tuple[str, str, Any]] = []
        self.refuses: set[str] = set()
        self.suppressed: dict[str, str] = {}
        self.contacts: dict[str, dict[str, str]] = {}
        self.ids: dict[str, str] = {}
        self.lists: dict[str, str] = {}
        self.members: dict[str, dict[str, None]] = {}
        self.properties: dict[str, str] = {"email": "string"}
        self.blocked: set[str] = set()
        self.tells_rows = True

    def held(self, name: str) -> dict[str, dict[str, Any]]:
        list_id = next((one for one, its_name in self.lists.items() if its_name == name), "")
        addresses = {contact: address for address, contact in self.ids.items()}
        return {
            addresses[one]: {
                name: float(value) if name == "score" else value
                for name, value in self.contacts[addresses[one]].items()
                if value != ""
            }
            for one in self.members.get(list_id, {})
        }

    def forget(self, name: str, address: str) -> None:
        for members in self.members.values():
            members.pop(self.ids[address], None)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.host != "api.hubapi.com" or not re.fullmatch(
            r"Bearer \S+", request.headers.get("authorization", "")
        ):
            raise WrongRequest("another host, or no token")
        content = request.read()
        body = json.loads(content) if content else None
        path = unquote(request.url.path)
        self.requests.append((request.method, path, body))
        self.calls[f"{request.method} {path}"] += 1
        fault = self.faults.popleft() if self.faults else "ok"
        if fault == "429":
            return httpx.Response(429, headers={"Retry-After": "2"}, json={"category": "RATE_LIMITS"})
        if fault == "500 before":
            return httpx.Response(500)
        if fault == "lost before":
            raise httpx.ReadTimeout("lost")
        status, answer = self._answer(request.method, path, dict(request.url.params), body)
        if fault == "500 after":
            return httpx.Response(500)
        if fault == "lost after":
            raise httpx.ReadTimeout("lost")
        return httpx.Response(status, json=answer) if answer is not None else httpx.Response(status)

    def _answer(self, method: str, path: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        if method == "POST" and path == "/crm/v3/objects/contacts/batch/upsert":
            return self._upsert(body)
        if method == "POST" and path == "/crm/v3/objects/contacts/batch/read":
            return self._read(body)
        if method == "POST" and path == "/crm/v3/objects/contacts/search":
            return self._search(body)
        if method == "POST" and path == "/crm/v3/objects/contacts/gdpr-delete":
            return self._erase(body)
        if method == "POST" and path == "/crm/v3/lists/":
            self.lists[str(len(self.lists) + 1)] = body["name"]
            self.members[str(len(self.lists))] = {}
            return 200, {"list": self._list(str(len(self.lists)))}
        if method == "GET" and (found := re.fullmatch(r"/crm/v3/lists/object-type-id/0-1/name/(.+)", path)):
            list_id = next((one for one, name in self.lists.items() if name == found[1]), None)
            return (200, {"list": self._list(list_id)}) if list_id else (404, UNKNOWN)
        if method == "GET" and (found := re.fullmatch(r"/crm/v3/properties/contacts/(.+)", path)):
            if found[1] in self.properties:
                return 200, {"name": found[1], "type": self.properties[found[1]]}
            return 404, UNKNOWN
        if method == "POST" and path == "/crm/v3/properties/contacts":
            if body["name"] != body["name"].lower():
                raise WrongRequest("names of properties are lower-case")
            self.properties[body["name"]] = body["type"]
            return 201, body
        if found := re.fullmatch(r"/crm/v3/lists/(\d+)/memberships(/add-and-remove)?", path):
            return self._memberships(method, found[1], query, body)
        raise WrongRequest(f"there is no {method} {path}")

    def _list(self, list_id: str) -> dict[str, Any]:
        return {"listId": list_id, "name": self.lists[list_id], "processingType": "MANUAL", "objectTypeId": "0-1"}

    def _upsert(self, body: Any) -> tuple[int, Any]:
        if not 1 <= len(body["inputs"]) <= 100:
            raise WrongRequest("from 1 to 100 inputs")
        results, errors = [], []
        for one in body["inputs"]:
            address = one["id"].lower()
            unknown = set(one["properties"]) - self.properties.keys()
            if one["idProperty"] != "email" or not all(isinstance(value, str) for value in one["properties"].values()):
                raise WrongRequest("values are text, and addresses identify")
            if unknown:
                return 400, {"category": "VALIDATION_ERROR", "message": "Property values were not valid"}
            if address in self.refuses:
                context = {"objectWriteTraceId": [one["objectWriteTraceId"]]} if self.tells_rows else {}
                message = f"Email address {address} is invalid"
                errors.append(
                    {"status": "error", "category": "VALIDATION_ERROR", "message": message, "context": context}
                )
                continue
            self.ids.setdefault(address, str(1000 + len(self.ids)))
            self.contacts.setdefault(address, {}).update(one["properties"])
            trace = {"objectWriteTraceId": one["objectWriteTraceId"]} if self.tells_rows else {}
            results.append({"id": self.ids[address], "properties": {"email": address}, "new": False, **trace})
        answer: dict[str, Any] = {"status": "COMPLETE", "results": results}
        if errors:
            return 207, answer | {"numErrors": len(errors), "errors": errors}
        return 200, answer

    def _read(self, body: Any) -> tuple[int, Any]:
        if len(body["inputs"]) > 100:
            raise WrongRequest("more than 100 contacts")
        addresses = {vendor_id: address for address, vendor_id in self.ids.items()}
        results = []
        for one in body["inputs"]:
            address = one["id"] if body.get("idProperty") == "email" else addresses.get(one["id"])
            if address in self.contacts:
                asked = {name: self.contacts[address].get(name) or None for name in body["properties"]}
                results.append({"id": self.ids[address], "properties": asked | {"email": address}})
        status = 200 if len(results) == len(body["inputs"]) else 207
        return status, {"status": "COMPLETE", "results": results}

    def _search(self, body: Any) -> tuple[int, Any]:
        filters = {one["propertyName"]: one["value"] for one in body["filterGroups"][0]["filters"]}
        for address in self.suppressed:
            self.ids.setdefault(address, str(1000 + len(self.ids)))
            self.contacts.setdefault(address, {})
        found = sorted((int(self.ids[address]), address) for address in self.suppressed)
        rows = [
            {"id": str(one), "properties": {"email": address}}
            for one, address in found
            if one > int(filters["hs_object_id"])
        ]
        return 200, {"total": len(rows), "results": rows[: body["limit"]]}

    def _erase(self, body: Any) -> tuple[int, Any]:
        address = next((one for one, vendor_id in self.ids.items() if vendor_id == body["objectId"]), None)
        if address is None:
            self.blocked.add(body["objectId"])  # the trap: an unknown contact is blocked for good
            return 204, None
        for members in self.members.values():
            members.pop(self.ids[address], None)
        del self.contacts[address], self.ids[address]
        return 204, None

    def _memberships(self, method: str, list_id: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        members = self.members[list_id]
        if method == "PUT":
            if any("@" in one for one in [*body["recordIdsToAdd"], *body["recordIdsToRemove"]]):
                raise WrongRequest("lists take record ids")
            known = set(self.ids.values())
            members.update(dict.fromkeys(one for one in body["recordIdsToAdd"] if one in known))
            for one in body["recordIdsToRemove"]:
                members.pop(one, None)
            return 200, {"recordIdsMissing": [one for one in body["recordIdsToAdd"] if one not in known]}
        first = int(query.get("after", "0"))
        rows = list(members)[first : first + 3]
        answer: dict[str, Any] = {"results": [{"recordId": one} for one in rows]}
        if first + 3 < len(members):
            answer["paging"] = {"next": {"after": str(first + 3)}}
        return 200, answer

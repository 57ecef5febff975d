"""Brevo on this machine: contacts, lists, attributes, imports that say nothing of rows; held to Brevo's description."""

from typing import Any

import httpx

from tests.vendors.description import Description, Operation, WrongRequest
from tests.vendors.server import LocalVendor

CREATED = "2026-11-16T06:00:00.000+00:00"


class LocalBrevo(LocalVendor):
    """Its state is public: tests look into it and reach around it."""

    def __init__(self) -> None:
        super().__init__(Description("brevo-v3-2024-11.yml", prefix="/v3"), "api.brevo.com")
        self.contacts: dict[str, dict[str, Any]] = {}
        self.lists: dict[int, str] = {}
        self.folders: dict[int, str] = {1: "Your first folder"}
        self.attributes: dict[str, str] = {}
        self.processes: dict[int, dict[str, Any]] = {}
        self.handlers = {
            "getLists": self._lists,
            "createList": self._create_list,
            "getFolders": self._folders,
            "createFolder": self._create_folder,
            "getAttributes": self._attributes,
            "createAttribute": self._create_attribute,
            "importContacts": self._import,
            "getProcess": self._process,
            "getContacts": self._contacts,
            "getTransacBlockedContacts": self._blocked,
            "getContactsFromList": self._list_contacts,
            "removeContactFromList": self._remove,
            "deleteContact": self._delete,
        }

    def held(self, name: str) -> dict[str, dict[str, Any]]:
        list_id = next((one for one, its_name in self.lists.items() if its_name == name), None)
        return {
            address: {name.lower(): value for name, value in contact["attributes"].items()}
            for address, contact in self.contacts.items()
            if list_id in contact["lists"]
        }

    def forget(self, name: str, address: str) -> None:
        self.contacts[address]["lists"].clear()

    def check_credentials(self, request: httpx.Request) -> None:
        if not request.headers.get("api-key"):
            raise WrongRequest("no key")

    def error(self, status: int, message: str) -> dict[str, Any]:
        return {"code": "invalid_parameter", "message": message}

    def _page(self, rows: list[Any], query: dict[str, list[str]]) -> list[Any]:
        first = int(query.get("offset", ["0"])[0])
        return rows[first : first + int(query["limit"][0])]

    def _lists(self, operation: Operation, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        counts = {"totalBlacklisted": 0, "totalSubscribers": 0, "uniqueSubscribers": 0, "folderId": 1}
        rows = [{"id": one, "name": name, **counts} for one, name in self.lists.items()]
        return 200, {"lists": self._page(rows, query), "count": len(rows)}

    def _create_list(self, operation: Operation, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        if body["folderId"] not in self.folders:
            return 400, self.error(400, "no such folder")
        self.lists[len(self.lists) + 1] = body["name"]
        return 201, {"id": len(self.lists)}

    def _folders(self, operation: Operation, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        counts = {"totalBlacklisted": 0, "totalSubscribers": 0, "uniqueSubscribers": 0}
        rows = [{"id": one, "name": name, **counts} for one, name in self.folders.items()]
        return 200, {"folders": self._page(rows, query), "count": len(rows)}

    def _create_folder(self, operation: Operation, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        self.folders[len(self.folders) + 1] = body["name"]
        return 201, {"id": len(self.folders)}

    def _attributes(self, operation: Operation, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        rows = [{"name": name, "category": "normal", "type": kind} for name, kind in self.attributes.items()]
        return 200, {"attributes": rows}

    def _create_attribute(self, operation: Operation, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        name = operation.path_values["attributeName"]
        if name in self.attributes:
            return 400, self.error(400, "attribute exists")
        self.attributes[name] = body["type"]
        return 201, None

    def _import(self, operation: Operation, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        if "emailBlacklist" in body or not body.get("updateExistingContacts"):
            raise WrongRequest("an import that touches who may be written to, or updates nobody")
        if not body.get("listIds") or set(body["listIds"]) - self.lists.keys():
            return 400, self.error(400, "listIds")
        process_id = len(self.processes) + 1
        self.processes[process_id] = {"body": body, "polls": self.polls_needed, "done": False}
        return 202, {"processId": process_id}

    def _process(self, operation: Operation, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        process_id = int(operation.path_values["processId"])
        if process_id not in self.processes:
            return 404, self.error(404, "no such process")
        process = self.processes[process_id]
        if process["polls"] > 0:
            process["polls"] -= 1
            return 200, {"id": process_id, "name": "import", "status": "in_process"}
        if not process["done"]:
            self._carry_out(process["body"])
            process["done"] = True
        return 200, {"id": process_id, "name": "import", "status": "completed"}

    def _carry_out(self, body: dict[str, Any]) -> None:
        for one in body["jsonBody"]:
            address = one["email"].lower()
            if address in self.refuses:
                continue
            contact = self.contacts.setdefault(
                address, {"id": len(self.contacts) + 1, "lists": set(), "attributes": {}}
            )
            contact["lists"].update(body["listIds"])
            for name, value in one["attributes"].items():
                if name not in self.attributes:
                    continue  # unknown attributes are ignored without a word
                if value == "" and body.get("emptyContactsAttributes"):
                    contact["attributes"].pop(name, None)
                elif value != "":
                    contact["attributes"][name] = value

    def _contact(self, address: str) -> dict[str, Any]:
        contact = self.contacts[address]
        return {
            "email": address,
            "id": contact["id"],
            "emailBlacklisted": address in self.suppressed,
            "smsBlacklisted": False,
            "createdAt": CREATED,
            "modifiedAt": CREATED,
            "listIds": sorted(contact["lists"]),
            "attributes": contact["attributes"],
        }

    def _contacts(self, operation: Operation, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        rows = [self._contact(address) for address in self.contacts]
        return 200, {"contacts": self._page(rows, query), "count": len(rows)}

    def _blocked(self, operation: Operation, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        return 200, {"count": 0, "contacts": []}

    def _list_contacts(self, operation: Operation, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        list_id = int(operation.path_values["listId"])
        rows = [self._contact(address) for address, contact in self.contacts.items() if list_id in contact["lists"]]
        return 200, {"contacts": self._page(rows, query), "count": len(rows)}

    def _remove(self, operation: Operation, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        list_id = int(operation.path_values["listId"])
        there = [one for one in body["emails"] if one in self.contacts and list_id in self.contacts[one]["lists"]]
        if not there:
            return 400, self.error(400, "Contact already removed from list and/or does not exist")
        for one in there:
            self.contacts[one]["lists"].discard(list_id)
        failed = [one for one in body["emails"] if one not in there]
        # An empty `failure` would be of two kinds at once, and the description allows one.
        return 201, {"contacts": {"success": there} | ({"failure": failed} if failed else {})}

    def _delete(self, operation: Operation, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        if query.get("identifierType") != ["email_id"]:
            raise WrongRequest("an address without identifierType")
        if self.contacts.pop(operation.path_values["identifier"], None) is None:
            return 404, {"code": "document_not_found", "message": "Contact does not exist"}
        return 204, None

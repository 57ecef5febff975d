"""SendGrid on this machine: contacts, lists, custom fields, jobs with an error file, exports; held to its
description."""

import csv
import io
import re
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import httpx

from tests.vendors.description import Description, Operation, WrongRequest
from tests.vendors.server import LocalVendor

CREATED = "2026-11-16T06:00:00Z"
ELSEWHERE = "https://exports.example.net"


class LocalSendGrid(LocalVendor):
    """Its state is public: tests look into it and reach around it."""

    def __init__(self) -> None:
        names = ("contacts_v3", "custom_fields_v3", "lists_v3")
        super().__init__(
            Description(*(f"sendgrid-tsg_mc_{name}.json" for name in names), "sendgrid-tsg_suppressions_v3.json"),
            "api.sendgrid.com",
        )
        self.contacts: dict[str, dict[str, Any]] = {}
        self.lists: dict[str, str] = {}
        self.fields: dict[str, dict[str, str]] = {}
        self.jobs: dict[str, dict[str, Any]] = {}
        self.exports: dict[str, list[str]] = {}
        self.handlers = {
            "ListMarketingList": self._lists,
            "CreateMarketingList": self._create_list,
            "ListFieldDefinition": self._fields,
            "CreateFieldDefinition": self._create_field,
            "UpdateContact": self._upsert,
            "GetImportContact": self._job,
            "ListContactByEmail": self._by_email,
            "DeleteContact": self._delete,
            "ExportContact": self._export,
            "GetExportContact": self._get_export,
            "ListGlobalSuppression": self._unsubscribes,
            "ListSuppressionBounces": self._none,
            "ListSpamReport": self._none,
            "ListInvalidEmail": self._none,
        }

    def held(self, name: str) -> dict[str, dict[str, Any]]:
        list_id = next((one for one, its_name in self.lists.items() if its_name == name), None)
        names = {one: field["name"] for one, field in self.fields.items()}
        return {
            address: {names[one]: value for one, value in contact["custom"].items()}
            for address, contact in self.contacts.items()
            if list_id in contact["lists"]
        }

    def forget(self, name: str, address: str) -> None:
        self.contacts[address]["lists"].clear()

    def check_credentials(self, request: httpx.Request) -> None:
        if not re.fullmatch(r"Bearer \S+", request.headers.get("authorization", "")):
            raise WrongRequest("no key")

    def error(self, status: int, message: str) -> dict[str, Any]:
        return {"errors": [{"field": "contacts", "message": message}]}

    def _lists(self, operation: Operation, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        rows = [{"id": one, "name": name, "contact_count": 0} for one, name in self.lists.items()]
        return 200, {
            "result": rows,
            "_metadata": {"self": "https://api.sendgrid.com/v3/marketing/lists", "count": len(rows)},
        }

    def _create_list(self, operation: Operation, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        if body["name"] in self.lists.values():
            return 400, self.error(400, "duplicate list name")
        list_id = str(uuid5(NAMESPACE_URL, body["name"]))
        self.lists[list_id] = body["name"]
        return 201, {"id": list_id, "name": body["name"], "contact_count": 0}

    def _fields(self, operation: Operation, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        reserved = [{"name": "email", "field_type": "Text", "read_only": False}]
        fields = [{"id": one, **field} for one, field in self.fields.items()]
        return 200, {"custom_fields": fields, "reserved_fields": reserved}

    def _create_field(self, operation: Operation, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        if any(body["name"].lower() == field["name"].lower() for field in self.fields.values()):
            return 400, self.error(400, "duplicate field")
        field_id = f"e{len(self.fields) + 1}_{body['field_type'][0]}"
        self.fields[field_id] = {"name": body["name"], "field_type": body["field_type"]}
        return 200, {"id": field_id, **self.fields[field_id]}

    def _upsert(self, operation: Operation, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        for contact in body["contacts"]:
            for field_id, value in contact.get("custom_fields", {}).items():
                if field_id not in self.fields:
                    return 400, self.error(400, "no such custom field")
                if self.fields[field_id]["field_type"] == "Number" and not isinstance(value, int | float):
                    return 400, self.error(400, "not a number")
        job_id = f"job-{len(self.jobs)}"
        self.jobs[job_id] = {"body": body, "polls": self.polls_needed, "errors": None}
        return 202, {"job_id": job_id}

    def _job(self, operation: Operation, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        job_id = operation.path_values["id"]
        if job_id not in self.jobs:
            return 404, self.error(404, "no such job")
        job = self.jobs[job_id]
        if job["polls"] > 0:
            job["polls"] -= 1
            return 200, {"id": job_id, "status": "pending", "job_type": "upsert", "results": {}}
        if job["errors"] is None:
            job["errors"] = self._carry_out(job["body"])
        results: dict[str, Any] = {"errored_count": len(job["errors"])}
        if job["errors"]:
            results["errors_url"] = f"{ELSEWHERE}/{job_id}.csv"
            lines = ["EMAIL,ERROR", *(f"{one},address is invalid" for one in job["errors"])]
            self.downloads[results["errors_url"]] = "\r\n".join(lines).encode()
        status = "errored" if job["errors"] else "completed"
        return 200, {"id": job_id, "status": status, "job_type": "upsert", "results": results}

    def _carry_out(self, body: dict[str, Any]) -> list[str]:
        if "ids" in body:
            for address in [one for one, contact in self.contacts.items() if contact["id"] in body["ids"]]:
                del self.contacts[address]
            return []
        errors = []
        for one in body["contacts"]:
            address = one["email"].lower()
            if address in self.refuses:
                errors.append(address)
                continue
            contact = self.contacts.setdefault(
                address, {"id": f"c-{len(self.contacts)}-{address[:2]}", "lists": set(), "custom": {}}
            )
            contact["lists"].update(body.get("list_ids", []))
            contact["custom"].update(one.get("custom_fields", {}))
        return errors

    def _by_email(self, operation: Operation, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        if len(body["emails"]) > 100:
            raise WrongRequest("more than 100 addresses")
        found: dict[str, Any] = {}
        for address in body["emails"]:
            if address in self.contacts:
                contact = self.contacts[address]
                found[address] = {
                    "contact": {
                        "id": contact["id"],
                        "email": address,
                        "list_ids": sorted(contact["lists"]),
                        "segment_ids": [],
                        "created_at": CREATED,
                        "updated_at": CREATED,
                    }
                }
            else:
                found[address] = {"error": "contact not found"}
        if not any("contact" in one for one in found.values()):
            return 404, self.error(404, "no contact found")
        return 200, {"result": found}

    def _delete(self, operation: Operation, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        if "id" in operation.path_values:
            ids = query["contact_ids"][0].split(",")
            for contact in self.contacts.values():
                if contact["id"] in ids:
                    contact["lists"].discard(operation.path_values["id"])
            return 202, {"job_id": "removal"}
        if "delete_all_contacts" in query:
            raise WrongRequest("all contacts would be deleted")
        job_id = f"job-{len(self.jobs)}"
        self.jobs[job_id] = {"body": {"ids": query["ids"][0].split(",")}, "polls": 0, "errors": None}
        return 202, {"job_id": job_id}

    def _export(self, operation: Operation, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        export_id = f"export-{len(self.exports)}"
        written = io.StringIO(newline="")
        names = [field["name"].upper() for field in self.fields.values()]
        writer = csv.DictWriter(written, ["EMAIL", "CONTACT_ID", *names], restval="")
        writer.writeheader()
        for address, contact in self.contacts.items():
            if set(body["list_ids"]) & contact["lists"]:
                custom = {self.fields[one]["name"].upper(): value for one, value in contact["custom"].items()}
                writer.writerow({"EMAIL": address, "CONTACT_ID": contact["id"], **custom})
        url = f"{ELSEWHERE}/{export_id}.csv"
        self.downloads[url] = written.getvalue().encode()
        self.exports[export_id] = ["pending", url]
        return 202, {"id": export_id, "_metadata": {"self": url}}

    def _get_export(self, operation: Operation, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        export = self.exports[operation.path_values["id"]]
        status, url = export
        export[0] = "ready"
        answer = {
            "id": operation.path_values["id"],
            "status": status,
            "created_at": CREATED,
            "updated_at": CREATED,
            "expires_at": CREATED,
        }
        return 200, answer | ({"urls": [url]} if status == "ready" else {})

    def _unsubscribes(self, operation: Operation, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        rows = [{"created": 1_700_000_000, "email": address} for address in sorted(self.suppressed)]
        first = int(query["offset"][0])
        return 200, rows[first : first + int(query["limit"][0])]

    def _none(self, operation: Operation, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        return 200, []

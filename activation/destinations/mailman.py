"""GNU Mailman 3: a mailing list for each of our segments. Tried against Mailman Core 3.3.10.

What is special here:

- To be on a list is to be written to, so nobody is put on one without a mapped field that tells when they consented.
- Whoever leaves a list is gone from it without a trace. So that we can tell them from people we never sent, everybody
  we put on a list also gets a mark there: a non-member whose delivery a moderator has disabled, which Mailman neither
  writes to nor counts. Marked and no member means that they left, or were removed by hand, and they are suppressed
  until they come back by themselves. Who leaves by our hand loses the mark, and first; who left before us keeps it.
- Bans of single addresses are suppressions; those by pattern cannot be listed, and refuse rows one by one.
- A member whose delivery is disabled stays as they are.
- Lists we make are for announcements, unadvertised, unarchived and without welcome; lists that are there stay as
  they are. Taking people off says nothing to them.
- One field is taken, `display_name`; it belongs to the address, on all lists. Where an address has none, Mailman tells
  that of the account it belongs to: a name that is to be cleared is cleared there, too. What other destinations get
  unasked, persona and class, stays here.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

import httpx

from activation.destinations.vendor import Vendor, confirmed, named, not_told, refused, without_consent
from activation.sync.gated import Batch
from activation.sync.http import basic, json_object
from activation.sync.protocol import (
    Applied,
    Capabilities,
    Drift,
    Fatal,
    Held,
    Limits,
    Operation,
    Payload,
    PlanShape,
    Refused,
    Row,
    RowResult,
    Suppression,
    Window,
)
from activation.sync.secrets import Secret

PAGE = 500
DISPLAY_NAME = "display_name"
ALREADY_MARKED = "is already an nonmember"
LIST_THERE = "Mailing list exists"
ANNOUNCEMENTS = {
    "advertised": "false",
    "archive_policy": "never",
    "send_welcome_message": "false",
    "subscription_policy": "confirm",
}
MARK = {"role": "nonmember", "delivery_status": "by_moderator"}
APPROVED = {
    "pre_verified": "true",
    "pre_confirmed": "true",
    "pre_approved": "true",
    "send_welcome_message": "false",
}
Form = Mapping[str, str | Sequence[str]]


class Mailman(Vendor):
    """The lists of one mail domain of one Mailman server, over its REST interface."""

    vendor = "Mailman"
    list_kind = "list"
    capabilities = Capabilities(frozenset(Operation))
    limits = Limits(
        batch_rows={Operation.JOIN: 50, Operation.UPSERT: 50, Operation.LEAVE: 100, Operation.DELETE: 10},
        windows={"*": (Window(50, 1.0),)},  # it has no limits of its own
        calls_per_batch={
            Operation.JOIN: {"*": 150},
            Operation.UPSERT: {"*": 50},
            Operation.LEAVE: {"*": 201},
            Operation.DELETE: {"*": 30},
        },
        concurrency=1,
    )

    def __init__(
        self,
        name: str,
        api_key: Secret,
        base_url: str,
        mail_domain: str,
        consent_field: str,
        user: str = "restadmin",
        transport: httpx.BaseTransport | None = None,
        list_prefix: str = "",
    ) -> None:
        """Store the server.

        Args:
            name: The destination's.
            api_key: The password of the interface (`admin_pass`).
            base_url: Of the interface, `http://localhost:8001/3.1/`.
            mail_domain: The lists' domain. It must be there.
            consent_field: The mapped field that tells when somebody consented. It is not sent.
            user: Of the interface (`admin_user`).
            transport: For tests.
            list_prefix: Before a segment, the name of its list.
        """
        self._user = user
        super().__init__(name, api_key, f"{base_url.rstrip('/')}/", transport, list_prefix, consent_field)
        self._domain = mail_domain

    def _headers(self, api_key: Secret) -> Mapping[str, str]:
        return basic(self._user, api_key)

    def _said(self, answer: httpx.Response) -> tuple[str, str]:
        return "", str(json_object(answer).get("description", ""))

    def _change(
        self, operation: str, method: str, path: str, form: Form, expect: Collection[int] = (204,)
    ) -> httpx.Response:
        return self._client.call(operation, method, path, **_written(form), expect=expect)

    def _entries(
        self, operation: str, path: str, asked: Mapping[str, str] | None = None
    ) -> Iterator[list[dict[str, Any]]]:
        return self._client.pages_by_offset(
            operation, path, "entries", PAGE, asked, size_name="count", page_name="page", is_left_out_when_empty=True
        )

    # Lists

    def prepare(self, shape: PlanShape) -> Sequence[Drift]:
        """Create lists that are missing.

        Raises:
            Fatal: A field is none that Mailman has.
        """
        for one in shape.segments:
            for mapped in one.fields:
                if mapped.name not in (DISPLAY_NAME, self._consent_field):
                    raise Fatal(f"Mailman has no field {mapped.name}, only {DISPLAY_NAME}")
        return super().prepare(shape)

    def _lists(self, names: Collection[str]) -> Iterator[tuple[str, str]]:
        return named(self._entries("find lists", f"domains/{quote(self._domain)}/lists"), "list_name", "list_id")

    def _create_list(self, name: str) -> str:
        form = {"fqdn_listname": f"{name}@{self._domain}", "style_name": "legacy-announce"}
        self._client.create("create list", "lists", LIST_THERE, **_written(form))
        list_id = f"{name}.{self._domain}"
        self._change("configure list", "PATCH", f"lists/{quote(list_id)}/config", ANNOUNCEMENTS)
        return list_id

    def _addresses(self, list_id: str, asked: Mapping[str, str]) -> set[str]:
        wanted = {"list_id": list_id, "fields": "email", **asked}
        return {str(one["email"]) for page in self._entries("find members", "members/find", wanted) for one in page}

    def pull_suppressions(self) -> Iterator[Sequence[Suppression]]:
        """Banned addresses, and people who are marked as ours on a list and no longer on it."""
        yield from self._bans("bans")
        for name, list_id in list(self._lists(())):
            if name.startswith(self._list_prefix):
                yield from self._bans(f"lists/{quote(list_id)}/bans")
                marked = self._addresses(list_id, {"role": "nonmember", "delivery_status": "by_moderator"})
                if marked:
                    left = marked - self._addresses(list_id, {"role": "member"})
                    yield [Suppression(address, "left the list") for address in sorted(left)]

    def _bans(self, path: str) -> Iterator[list[Suppression]]:
        for page in self._entries("find bans", path):
            yield [Suppression(str(one["email"]), "banned") for one in page if not str(one["email"]).startswith("^")]

    def read_back(self, segment: str) -> Iterator[Sequence[Held]]:
        """The list's members, whether their delivery is enabled or not."""
        asked = {"list_id": self._list_id(segment), "role": "member"}
        for page in self._entries("find members", "members/find", asked):
            yield [Held(str(one["email"]), str(one["member_id"]), _told(one)) for one in page]

    # Members

    def _send(self, batch: Batch) -> Applied:
        list_id = self._list_id(batch.segment)
        return Applied([self._write(row, list_id if batch.operation is Operation.JOIN else None) for row in batch.rows])

    def _write(self, row: Row, joins: str | None) -> RowResult:
        if joins is not None and not self._consented_at(row):
            return without_consent(row)
        try:
            if joins is not None:
                form = {"list_id": joins, "subscriber": row.identifier, **APPROVED}
                self._change("subscribe", "POST", "members", form, expect=(201, 409))
                self._mark(row, joins)
            if DISPLAY_NAME in row.payload:
                if not self._name(row, str(row.payload[DISPLAY_NAME] or "")):
                    return not_told(row, 404)
        except Refused as error:
            return refused(row, error)
        return confirmed(row)

    def _name(self, row: Row, name: str) -> bool:
        """Name an address; whether it is there. Where that has no name Mailman takes the account's, which goes too."""
        answer = self._change("name address", "PATCH", _address(row), {DISPLAY_NAME: name}, expect=(204, 404))
        user = self._user_of(row) if not name and answer.status_code == 204 else None
        if user and user.get(DISPLAY_NAME):
            path = f"users/{user['user_id']}"
            self._change("name user", "PATCH", path, {DISPLAY_NAME: ""}, expect=(204, 404))
        return answer.status_code == 204

    def _user_of(self, row: Row) -> dict[str, Any] | None:
        return self._client.find("find user", f"{_address(row)}/user")

    def _mark(self, row: Row, list_id: str) -> None:
        form = {"list_id": list_id, "subscriber": row.identifier, **MARK}
        self._client.create("mark", "members", ALREADY_MARKED, **_written(form))

    def _leave(self, batch: Batch) -> Applied:
        list_id = quote(self._list_id(batch.segment))
        for row in batch.rows:
            address = quote(row.identifier, safe="@")
            if self._client.find("find member", f"lists/{list_id}/member/{address}") is not None:
                self._client.call("unmark", "DELETE", f"lists/{list_id}/nonmember/{address}", expect=(204, 404))
        form = {"emails": [row.identifier for row in batch.rows]}
        self._change("unsubscribe", "DELETE", f"lists/{list_id}/roster/member", form, expect=(200,))
        return Applied([confirmed(row) for row in batch.rows])  # those it does not know are not on the list either

    def _erase(self, row: Row) -> None:
        user = self._user_of(row)
        if user is not None:
            path = f"users/{user['user_id']}"
            addresses = self._client.find("find addresses", f"{path}/addresses")
            if addresses is not None and addresses["total_size"] == 1:
                self._client.call("delete user", "DELETE", path, expect=(204, 404))
        self._client.call("delete address", "DELETE", _address(row), expect=(204, 404))


def _written(form: Form) -> dict[str, Any]:
    """The body of a call: Mailman takes forms."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return {"content": urlencode(form, doseq=True).encode(), "headers": headers}


def _told(member: Mapping[str, Any]) -> Payload | None:
    """What a member is called; nothing of somebody who is on the list by their account, which has a name of its own."""
    return {DISPLAY_NAME: member["display_name"]} if member["subscription_mode"] == "as_address" else None


def _address(row: Row) -> str:
    return f"addresses/{quote(row.identifier, safe='@')}"

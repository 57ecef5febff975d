"""Ghost's Admin API: how it is opened, what is asked of labels and members, and what it does that nobody asked for.

Here belongs what a single call does and answers; who is written when belongs to `ghost`. Tried against Ghost 5.130.6.

- A page has 100 members, whatever more is asked for. Addresses are found as they are written or, as Ghost keeps others'
  spelling, in any case.
- Adding a label twice makes two of it: where an answer was lost it is taken away altogether and added once more.
  Answers about labels name nobody.
- An import takes some 100 ms for each row, so pieces are small enough to answer in time. It writes an apostrophe before
  cells that look like formulas, addresses too, and reads `true` and `undefined` as something else than text. It leaves
  a label of its own, which is taken away again.
"""

import base64
import csv
import hashlib
import hmac
import io
import json
import re
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from activation.destinations.vendor import in_pieces
from activation.sync.http import VendorClient, json_object
from activation.sync.protocol import Refused
from activation.sync.secrets import Secret

AT_ONCE = 100
"""Members in a page, and addresses in a filter."""

IMPORTED_AT_ONCE = 50
TOKEN_SECONDS = 240
"""How long a token opens the interface; five minutes are the most."""

MEMBER_FIELDS = ("name", "note")
ALREADY_THERE = "already exists"
ADD_LABEL, MOST_TRIES = "add label to members", 5
_KEY = re.compile(r"([0-9a-f]{24}):((?:[0-9a-f]{2}){16,64})", re.ASCII)
_CHANGED_BY_IMPORT = re.compile(r"['=+\-@\t\r]|(?i:true|false|undefined)\Z")


@dataclass(frozen=True)
class Label:
    """A label; filters take its slug."""

    id: str
    name: str
    slug: str


@dataclass(frozen=True)
class Member:
    """A member as Ghost tells them, the address in lower case; labels by name, with their ids."""

    id: str
    address: str = field(repr=False)
    fields: Mapping[str, str] = field(repr=False)
    is_subscribed: bool
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class NewMember:
    """Somebody who becomes a member, and so subscribed; name and note where they have any."""

    address: str = field(repr=False)
    fields: Mapping[str, str] = field(repr=False)

    def survives_import(self) -> bool:
        """Whether an import would leave all of it as it is."""
        return not any(map(_CHANGED_BY_IMPORT.match, (self.address, *self.fields.values())))


class GhostAdmin:
    """What is asked of one site."""

    def __init__(self, client: VendorClient) -> None:
        """Store the client, whose headers are `headers` and whose errors are read by `said`."""
        self._client = client

    # Labels

    def labels(self) -> Iterator[Label]:
        """All labels of the site."""
        asked = {"limit": AT_ONCE, "page": 1}
        for page in self._client.pages("browse labels", "labels/", "labels", asked, _following):
            yield from map(_label, page)

    def create_label(self, name: str) -> Label:
        """Make a label; one in other letters is taken, where the database takes it for the same."""
        answer = self._client.create("add label", "labels/", ALREADY_THERE, json={"labels": [{"name": name}]})
        if answer is not None:
            return _label(answer.json()["labels"][0])
        there = [label for label in self.labels() if label.name.lower() == name.lower()]
        if not there:
            raise Refused("Ghost has a label of that name and does not tell it", code="label")
        return next((label for label in there if label.name == name), there[0])

    def add_label(self, label_id: str, member_ids: Sequence[str]) -> bool:
        """Add a label to members who lack it; whether that was done for all of them, and once."""
        for _ in range(MOST_TRIES):
            before = self._client.retried(ADD_LABEL)
            is_done = self._change_labels(ADD_LABEL, "addLabel", label_id, member_ids)
            if self._client.retried(ADD_LABEL) == before:
                return is_done
            self.remove_label(label_id, member_ids)
        return False

    def remove_label(self, label_id: str, member_ids: Sequence[str]) -> bool:
        """Take a label from members, however often they have it; whether that was done for all of them."""
        return self._change_labels("remove label from members", "removeLabel", label_id, member_ids)

    def _change_labels(self, operation: str, action: str, label_id: str, member_ids: Sequence[str]) -> bool:
        body = {"bulk": {"action": action, "meta": {"label": {"id": label_id}}}}
        is_done = True
        for some in in_pieces(member_ids, AT_ONCE):
            asked = {"filter": any_of("id", some)}
            answer = self._client.call(operation, "PUT", "members/bulk/", params=asked, json=body).json()
            is_done = is_done and not answer["bulk"]["meta"]["stats"]["unsuccessful"]
        return is_done

    # Members

    def members(self, condition: str) -> Iterator[list[Member]]:
        """Members under a condition, in pages. Each begins after the last id, so that changes meanwhile skip nobody."""
        last = "0" * 24
        while True:
            asked: dict[str, str | int] = {
                "filter": f"({condition})+id:>'{last}'",
                "order": "id asc",
                "limit": AT_ONCE,
                "fields": "id,email,name,note",
            }
            found = self._client.call("browse members", "GET", "members/", params=asked).json()["members"]
            yield [_member(one) for one in found]
            if len(found) < AT_ONCE:
                return
            last = str(found[-1]["id"])

    def find(self, addresses: Sequence[str], in_any_case: bool = True) -> dict[str, list[Member]]:
        """Members by address in lower case. There may be two where the database tells case apart."""
        found: dict[str, list[Member]] = defaultdict(list)
        for some in in_pieces(addresses, AT_ONCE):
            for page in self.members(any_of("email", some)):
                for one in page:
                    found[one.address].append(one)
            missing = [address for address in some if address not in found] if in_any_case else []
            # "Begins with" does not tell case apart; what begins so and goes on is somebody else.
            for page in self.members(",".join(f"email:~^{text(one)}" for one in missing)) if missing else ():
                for one in page:
                    if one.address in missing:
                        found[one.address].append(one)
        return dict(found)

    def add(self, member: NewMember) -> None:
        """Create one member, unless they are there."""
        body = {"members": [{"email": member.address, "subscribed": True, **member.fields}]}
        self._client.create("add member", "members/", ALREADY_THERE, json=body)

    def import_members(self, members: Sequence[NewMember]) -> dict[str, str]:
        """Create members, `IMPORTED_AT_ONCE` at most, all of whom survive it; why some were refused, by address."""
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\r\n")
        writer.writerow(("email", *MEMBER_FIELDS, "subscribed_to_emails"))
        writer.writerows(
            (one.address, *(one.fields.get(name, "") for name in MEMBER_FIELDS), "true") for one in members
        )
        form = {"membersfile": ("members.csv", file.getvalue().encode(), "text/csv")}
        meta = self._client.call("import members", "POST", "members/upload/", files=form, expect=(201,)).json()["meta"]
        if meta.get("import_label"):
            self._forget_import(str(meta["import_label"]["id"]), int(meta["stats"]["imported"]))
        return {str(one.get("email") or "").lower(): str(one.get("error") or "") for one in meta["stats"]["invalid"]}

    def _forget_import(self, label_id: str, imported: int) -> None:
        """Take away an import's label, unless somebody else's import of the same minute shares it."""
        label = self._client.find("read label", f"labels/{label_id}/?include=count.members")
        if label is not None and label["labels"][0]["count"]["members"] <= imported:
            self._client.call("delete label", "DELETE", f"labels/{label_id}/", expect=(204, 404))

    def edit(self, member: Member, changed: Mapping[str, str]) -> None:
        """Change fields of a member, who may not be there any more."""
        body = {"members": [changed]}
        self._client.call("edit member", "PUT", f"members/{member.id}/", json=body, expect=(200, 404))

    def delete(self, member: Member) -> None:
        """Delete a member, who may not be there any more."""
        self._client.call("delete member", "DELETE", f"members/{member.id}/", expect=(204, 404))


def check_key(key: Secret) -> None:
    """Refuse what is no key of the Admin API.

    Raises:
        ValueError: It is none.
    """
    if _KEY.fullmatch(key.reveal()) is None:
        raise ValueError("A key of Ghost's Admin API is an id, a colon and a secret, in hexadecimal digits")


def headers(key: Secret) -> dict[str, str]:
    """What opens the interface for some minutes."""
    key_id, _, secret = key.reveal().partition(":")
    return {"Authorization": f"Ghost {_token(key_id, secret, int(time.time()))}", "Accept-Version": "v5.130"}


def said(answer: httpx.Response) -> tuple[str, str]:
    """Code and message of an answer that is an error."""
    (error, *_) = json_object(answer).get("errors") or [{}]
    return str(error.get("code") or error.get("type") or ""), str(error.get("context") or error.get("message") or "")


def text(value: str) -> str:
    """Quote text for a filter."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def any_of(name: str, values: Sequence[str]) -> str:
    """A filter for any of several values."""
    return f"{name}:[{','.join(map(text, values))}]"


def _token(key_id: str, secret: str, now: int) -> str:
    """A JSON Web Token as Ghost asks for it: HS256, for the Admin API, valid for some minutes."""
    parts = (
        {"alg": "HS256", "typ": "JWT", "kid": key_id},
        {"iat": now, "exp": now + TOKEN_SECONDS, "aud": "/admin/"},
    )
    signed = b".".join(_base64url(json.dumps(part, separators=(",", ":")).encode()) for part in parts)
    signature = hmac.new(bytes.fromhex(secret), signed, hashlib.sha256).digest()
    return (signed + b"." + _base64url(signature)).decode()


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _following(answer: Mapping[str, Any]) -> Mapping[str, int] | None:
    following = answer["meta"]["pagination"]["next"]
    return {"page": int(following)} if following else None


def _label(told: Mapping[str, Any]) -> Label:
    return Label(str(told["id"]), str(told["name"]), str(told["slug"]))


def _member(told: Mapping[str, Any]) -> Member:
    return Member(
        id=str(told["id"]),
        address=str(told["email"]).lower(),
        fields={name: str(told.get(name) or "") for name in MEMBER_FIELDS},
        is_subscribed=bool(told["subscribed"]),
        labels={str(one["name"]): str(one["id"]) for one in told["labels"]},
    )

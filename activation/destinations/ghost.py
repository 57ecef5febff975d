"""Ghost: members, and a label for each of our segments. Tried against Ghost 5.130.6.

What is special here:

- Ghost writes to members who are subscribed to a newsletter and to nobody else. Nobody becomes a member, and so
  subscribed, without a mapped field that tells when they consented (`consent_field`); who is a member already is
  labelled, and their subscription is never touched. So whoever is not subscribed has unsubscribed, and is suppressed.
- A member has a name and a note. Any other mapped field is a label per value, `persona: Night Owl`, so it is text or
  true and false; such labels of a mapped field are ours, all others stay.
- New members come by CSV import, which tells rows it refused. It takes some 100 ms for each, so pieces are small
  enough to answer in time. It writes an apostrophe before cells that look like formulas, addresses too, and reads
  `true` and `undefined` as something else than text: such rows are created one by one.
- An import leaves a label of its own, which is taken away again.
- Adding a label twice makes two of it, so it is added to those without it only, and once more after all were taken away
  where an answer was lost. Answers about labels name nobody.
- Addresses are found as they are written or, as Ghost keeps others' spelling, in any case.
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
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from activation.destinations.vendor import Vendor, confirmed, in_pieces, not_told, refused
from activation.sync.gated import Batch
from activation.sync.http import json_object
from activation.sync.protocol import (
    Applied,
    Capabilities,
    Drift,
    Fatal,
    FieldType,
    Held,
    Limits,
    Operation,
    PlanShape,
    Refused,
    Row,
    RowResult,
    Scalar,
    Suppression,
    Window,
)
from activation.sync.secrets import Secret

AT_ONCE = 100
"""Members in a page, whatever more is asked for, and addresses in a filter."""

IMPORTED_AT_ONCE = 50
LONGEST_LABEL = 191
TOKEN_SECONDS = 240
"""How long a token opens the interface; five minutes are the most."""

MEMBER_FIELDS = ("name", "note")
ALREADY_THERE = "already exists"
ADD_LABEL, MOST_TRIES = "add label to members", 5
_KEY = re.compile(r"([0-9a-f]{24}):((?:[0-9a-f]{2}){16,64})", re.ASCII)
_CHANGED_BY_IMPORT = re.compile(r"['=+\-@\t\r]|(?i:true|false|undefined)\Z")


@dataclass(frozen=True)
class _Member:
    """A member as Ghost tells them; labels by name, with their ids."""

    id: str
    address: str
    fields: Mapping[str, str]
    is_subscribed: bool
    labels: Mapping[str, str] = field(default_factory=dict)


class Ghost(Vendor):
    """One Ghost site. The key is that of a custom integration: `id:secret`."""

    vendor = "Ghost"
    list_kind = "label"
    capabilities = Capabilities(frozenset(Operation))
    limits = Limits(
        batch_rows={Operation.JOIN: AT_ONCE, Operation.UPSERT: AT_ONCE, Operation.LEAVE: AT_ONCE, Operation.DELETE: 10},
        windows={"*": (Window(20, 1.0),)},  # none is documented for one's own server
        calls_per_batch={
            Operation.JOIN: {"*": 12},
            Operation.UPSERT: {"*": 2 + AT_ONCE},
            Operation.LEAVE: {"*": 3},
            Operation.DELETE: {"*": 12},
        },
        concurrency=1,  # imports that share a minute share the label that is taken away
    )

    def __init__(
        self,
        name: str,
        api_key: Secret,
        site_url: str,
        consent_field: str | None = None,
        transport: httpx.BaseTransport | None = None,
        label_prefix: str = "",
    ) -> None:
        """Store the site.

        Args:
            name: The destination's.
            api_key: The Admin API key of a custom integration.
            site_url: Of the site, without `/ghost`.
            consent_field: The mapped field that tells when somebody consented; it is no field of a member.
            transport: For tests.
            label_prefix: Before a segment, the name of its label.

        Raises:
            ValueError: The key is not one of the Admin API, or the address would send it in the clear.
        """
        if _KEY.fullmatch(api_key.reveal()) is None:
            raise ValueError("A key of Ghost's Admin API is an id, a colon and a secret, in hexadecimal digits")
        address = f"{site_url.rstrip('/')}/ghost/api/admin/"
        super().__init__(name, api_key, address, transport, label_prefix, consent_field)
        self._slugs: dict[str, str] = {}
        self._label_ids: dict[str, str] = {}

    def _headers(self, api_key: Secret) -> Mapping[str, str]:
        key_id, _, secret = api_key.reveal().partition(":")
        return {"Authorization": f"Ghost {_token(key_id, secret, int(time.time()))}", "Accept-Version": "v5.130"}

    def _said(self, answer: httpx.Response) -> tuple[str, str]:
        (error, *_) = json_object(answer).get("errors") or [{}]
        return str(error.get("code") or error.get("type") or ""), str(
            error.get("context") or error.get("message") or ""
        )

    # Labels

    def prepare(self, shape: PlanShape) -> Sequence[Drift]:
        """Create labels of segments that are missing.

        Raises:
            Fatal: A field would be a label for each of too many values.
        """
        for name, mapped in sorted({one.name: one for segment in shape.segments for one in segment.fields}.items()):
            if self._is_label(name) and mapped.type not in (FieldType.TEXT, FieldType.BOOLEAN):
                raise Fatal(f"{name} would be a label per value at Ghost: text, or true and false, no {mapped.type}")
        return super().prepare(shape)

    def _is_label(self, name: str) -> bool:
        return name not in (*MEMBER_FIELDS, self._consent_field)

    def _lists(self, names: Collection[str]) -> Iterator[tuple[str, str]]:
        for page in self._client.pages("browse labels", "labels/", "labels", {"limit": AT_ONCE, "page": 1}, _following):
            for one in page:
                self._remember(one)
                yield str(one["name"]), str(one["id"])

    def _create_list(self, name: str) -> str:
        try:
            answer = self._client.call("add label", "POST", "labels/", json={"labels": [{"name": name}]}, expect=(201,))
        except Refused as error:
            # Made by a call whose answer was lost, or there in other letters, which the database may take for the same.
            there = {one.lower(): label_id for one, label_id in self._lists([name])}
            if ALREADY_THERE not in str(error) or name.lower() not in there:
                raise
            return there[name.lower()]
        return self._remember(answer.json()["labels"][0])

    def _remember(self, label: Mapping[str, Any]) -> str:
        label_id = str(label["id"])
        self._label_ids[str(label["name"])] = label_id
        self._slugs[label_id] = str(label["slug"])
        return label_id

    def _label_id(self, name: str) -> str:
        if name not in self._label_ids:
            for _ in self._lists([name]):
                pass
        if name not in self._label_ids:
            self._label_ids[name] = self._create_list(name)
        return self._label_ids[name]

    def _add_label(self, label_id: str, member_ids: Sequence[str]) -> bool:
        """Add a label to members who lack it; whether that was done for all of them, and once."""
        for _ in range(MOST_TRIES):
            before = self._pacer.retries[ADD_LABEL]
            is_done = self._change_labels(ADD_LABEL, "addLabel", label_id, member_ids)
            if self._pacer.retries[ADD_LABEL] == before:
                return is_done
            # An answer was lost, the call was made again, and the label may be there twice: both go, and once more.
            self._remove_label(label_id, member_ids)
        return False

    def _remove_label(self, label_id: str, member_ids: Sequence[str]) -> bool:
        """Take a label from members, however often they have it; whether that was done for all of them."""
        return self._change_labels("remove label from members", "removeLabel", label_id, member_ids)

    def _change_labels(self, operation: str, action: str, label_id: str, member_ids: Sequence[str]) -> bool:
        body = {"bulk": {"action": action, "meta": {"label": {"id": label_id}}}}
        is_done = True
        for some in in_pieces(member_ids, AT_ONCE):
            asked = {"filter": _any_of("id", some)}
            answer = self._client.call(operation, "PUT", "members/bulk/", params=asked, json=body).json()
            is_done = is_done and not answer["bulk"]["meta"]["stats"]["unsuccessful"]
        return is_done

    # Members

    def _members(self, condition: str) -> Iterator[list[_Member]]:
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

    def _find(self, addresses: Sequence[str], in_any_case: bool = True) -> dict[str, list[_Member]]:
        """Members by address in lower case. There may be two where the database tells case apart."""
        found: dict[str, list[_Member]] = defaultdict(list)
        for some in in_pieces(addresses, AT_ONCE):
            for page in self._members(_any_of("email", some)):
                for one in page:
                    found[one.address].append(one)
            missing = [address for address in some if address not in found] if in_any_case else []
            # "Begins with" does not tell case apart; what begins so and goes on is somebody else.
            for page in self._members(",".join(f"email:~^{_text(one)}" for one in missing)) if missing else ():
                for one in page:
                    if one.address in missing:
                        found[one.address].append(one)
        return dict(found)

    def pull_suppressions(self) -> Iterator[Sequence[Suppression]]:
        """Members who are not subscribed to anything, and those Ghost does not write to: bounced, or complained."""
        for page in self._members("subscribed:false,email_disabled:true"):
            yield [Suppression(one.address, "disabled" if one.is_subscribed else "unsubscribed") for one in page]

    def read_back(self, segment: str) -> Iterator[Sequence[Held]]:
        """The label's members."""
        label_id = self._list_id(segment)
        for page in self._members(f"label:{_text(self._slugs[label_id])}"):
            yield [Held(one.address, one.id, {**one.fields, **self._told(one.labels)}) for one in page]

    def _told(self, labels: Mapping[str, str]) -> dict[str, str]:
        """The values that labels stand for, by field; both of a field that has two, which is no value of ours."""
        asked_for = {label_id: name for name, label_id in self._label_ids.items()}  # in other letters, it may be
        told: dict[str, str] = {}
        for label in sorted(asked_for.get(label_id, name) for name, label_id in labels.items()):
            name, _, value = label.partition(": ")
            told[name] = f"{told[name]}, {value}" if name in told else value
        return told

    # Changes

    def _send(self, batch: Batch) -> Applied:
        found = self._find([row.identifier for row in batch.rows])
        not_taken: dict[str, RowResult] = {}
        if batch.operation is Operation.JOIN:
            new = [row for row in batch.rows if row.identifier not in found]
            not_taken = {result.key: result for result in self._create(new)}
            found |= self._find([row.identifier for row in new if row.key not in not_taken], in_any_case=False)
        for row in batch.rows:
            if row.identifier in found:
                not_taken |= {result.key: result for result in self._write_fields(row, found[row.identifier])}
        taken = [row for row in batch.rows if row.key not in not_taken and row.identifier in found]
        is_labelled = self._write_labels(batch, [(row, one) for row in taken for one in found[row.identifier]])
        results = [
            confirmed(row, vendor_id=found[row.identifier][0].id)
            if row.identifier in found and is_labelled
            else not_told(row)
            for row in batch.rows
            if row.key not in not_taken
        ]
        return Applied([*not_taken.values(), *results])

    def _create(self, rows: Sequence[Row]) -> Iterator[RowResult]:
        """Create members; yields the rows that were refused."""
        imported: list[Row] = []
        for row in rows:
            if not row.payload.get(self._consent_field or ""):
                message = "no member yet, and no dated consent to become one"
                yield refused(row, Refused(message, code="no_dated_consent"))
            elif any(map(_CHANGED_BY_IMPORT.match, (row.identifier, *_own(row).values()))):
                yield from self._add(row)
            else:
                imported.append(row)
        for some in in_pieces(imported, IMPORTED_AT_ONCE):
            yield from self._import(some)

    def _add(self, row: Row) -> Iterator[RowResult]:
        member = {"email": row.identifier, "subscribed": True, **_own(row)}
        try:
            self._client.call("add member", "POST", "members/", json={"members": [member]}, expect=(201,))
        except Refused as error:
            if ALREADY_THERE not in str(error):  # a call whose answer was lost made them, or they did themselves
                yield refused(row, error)

    def _import(self, rows: Sequence[Row]) -> Iterator[RowResult]:
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\r\n")
        writer.writerow(("email", *MEMBER_FIELDS, "subscribed_to_emails"))
        for row in rows:
            writer.writerow((row.identifier, *(_own(row).get(name, "") for name in MEMBER_FIELDS), "true"))
        form = {"membersfile": ("members.csv", file.getvalue().encode(), "text/csv")}
        meta = self._client.call("import members", "POST", "members/upload/", files=form, expect=(201,)).json()["meta"]
        by_address = {row.identifier: row for row in rows}
        for one in meta["stats"]["invalid"]:
            told = by_address.get(str(one.get("email") or "").lower())
            if told is not None:
                yield refused(told, Refused(str(one.get("error") or ""), 201, "invalid"))
        if meta.get("import_label"):
            self._forget_import(str(meta["import_label"]["id"]), int(meta["stats"]["imported"]))

    def _forget_import(self, label_id: str, imported: int) -> None:
        """Take away an import's label, unless somebody else's import of the same minute shares it."""
        label = self._client.find("read label", f"labels/{label_id}/?include=count.members")
        if label is not None and label["labels"][0]["count"]["members"] <= imported:
            self._client.call("delete label", "DELETE", f"labels/{label_id}/", expect=(204, 404))

    def _write_fields(self, row: Row, members: Sequence[_Member]) -> Iterator[RowResult]:
        """Write name and note where they are others; yields the row where that was refused."""
        wanted = _own(row)
        for one in members:
            changed = {name: text for name, text in wanted.items() if one.fields[name] != text}
            too_long = [name for name in self._value_labels(row) if len(name) > LONGEST_LABEL]
            try:
                if too_long:
                    raise Refused(f"a label has more than {LONGEST_LABEL} characters", code="label_too_long")
                if changed:
                    self._client.call(
                        "edit member", "PUT", f"members/{one.id}/", json={"members": [changed]}, expect=(200, 404)
                    )
            except Refused as error:
                yield refused(row, error)
                return

    def _value_labels(self, row: Row) -> list[str]:
        return [
            f"{name}: {text}"
            for name, text in ((name, _label_text(value)) for name, value in row.payload.items())
            if self._is_label(name) and text
        ]

    def _write_labels(self, batch: Batch, pairs: Sequence[tuple[Row, _Member]]) -> bool:
        """Give members the segment's label and those of their values, and take away those of other values."""
        added: dict[str, list[str]] = defaultdict(list)
        removed: dict[str, list[str]] = defaultdict(list)
        for row, one in pairs:
            segment = self._list_prefix + batch.segment
            names = [*self._value_labels(row), *([segment] if batch.operation is Operation.JOIN else ())]
            wanted = [self._label_id(name) for name in names]
            for label_id in wanted:
                if label_id not in one.labels.values():
                    added[label_id].append(one.id)
            ours = tuple(f"{name}: " for name in row.payload if self._is_label(name))
            for name, label_id in sorted(one.labels.items()):
                if ours and name.startswith(ours) and label_id not in (*wanted, self._list_ids[batch.segment]):
                    removed[label_id].append(one.id)
        done = [self._remove_label(label_id, ids) for label_id, ids in removed.items()]
        done += [self._add_label(label_id, ids) for label_id, ids in added.items()]
        return all(done)

    def _leave(self, batch: Batch) -> Applied:
        label_id = self._list_id(batch.segment)
        found = self._find([row.identifier for row in batch.rows])
        labelled = [one.id for members in found.values() for one in members if label_id in one.labels.values()]
        is_done = self._remove_label(label_id, labelled)
        return Applied([confirmed(row) if is_done else not_told(row) for row in batch.rows])

    def _delete(self, batch: Batch) -> Applied:
        for members in self._find([row.identifier for row in batch.rows]).values():
            for one in members:
                self._client.call("delete member", "DELETE", f"members/{one.id}/", expect=(204, 404))
        return Applied([confirmed(row) for row in batch.rows])


def _token(key_id: str, secret: str, now: int) -> str:
    """A JSON Web Token as Ghost asks for it: HS256, for the Admin API, valid for some minutes."""

    def written(part: Mapping[str, object]) -> bytes:
        return _base64url(json.dumps(part, separators=(",", ":")).encode())

    signed = b".".join(
        (
            written({"alg": "HS256", "typ": "JWT", "kid": key_id}),
            written({"iat": now, "exp": now + TOKEN_SECONDS, "aud": "/admin/"}),
        )
    )
    signature = hmac.new(bytes.fromhex(secret), signed, hashlib.sha256).digest()
    return (signed + b"." + _base64url(signature)).decode()


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _following(answer: Mapping[str, Any]) -> Mapping[str, int] | None:
    following = answer["meta"]["pagination"]["next"]
    return {"page": int(following)} if following else None


def _text(text: str) -> str:
    """Quote text for a filter."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _any_of(name: str, values: Sequence[str]) -> str:
    return f"{name}:[{','.join(map(_text, values))}]"


def _member(told: Mapping[str, Any]) -> _Member:
    return _Member(
        id=str(told["id"]),
        address=str(told["email"]).lower(),
        fields={name: str(told.get(name) or "") for name in MEMBER_FIELDS},
        is_subscribed=bool(told["subscribed"]),
        labels={str(one["name"]): str(one["id"]) for one in told["labels"]},
    )


def _own(row: Row) -> dict[str, str]:
    """Name and note of a payload; an absent value clears."""
    return {name: str(row.payload[name] or "") for name in MEMBER_FIELDS if name in row.payload}


def _label_text(value: Scalar) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value).strip()

"""Ghost: members, and a label for each of our segments. How it is spoken to stands in `ghost_admin`.

What is special here:

- Ghost writes to members who are subscribed to a newsletter and to nobody else. Nobody becomes a member, and so
  subscribed, without a mapped field that tells when they consented (`consent_field`); who is a member already is
  labelled, and their subscription is never touched. So whoever is not subscribed has unsubscribed, and is suppressed.
- A member has a name and a note. Any other mapped field is a label per value, `persona: Night Owl`, so it is text or
  true and false; such labels of a mapped field are ours, all others stay.
- New members come by import, and one by one where an import would change them. After an import members are looked up:
  it tells rows it refused, and nobody else.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence

import httpx

from activation.destinations import ghost_admin
from activation.destinations.ghost_admin import (
    AT_ONCE,
    IMPORTED_AT_ONCE,
    MEMBER_FIELDS,
    GhostAdmin,
    Label,
    Member,
    NewMember,
)
from activation.destinations.vendor import Vendor, confirmed, in_pieces, not_told, refused, without_consent
from activation.sync.gated import Batch
from activation.sync.payload import plain_text
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
    Suppression,
    Window,
)
from activation.sync.secrets import Secret

LONGEST_LABEL = 191


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
        ghost_admin.check_key(api_key)
        address = f"{site_url.rstrip('/')}/ghost/api/admin/"
        super().__init__(name, api_key, address, transport, label_prefix, consent_field)
        self._admin = GhostAdmin(self._client)
        self._labels: dict[str, Label] = {}

    def _headers(self, api_key: Secret) -> Mapping[str, str]:
        return ghost_admin.headers(api_key)

    def _said(self, answer: httpx.Response) -> tuple[str, str]:
        return ghost_admin.said(answer)

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
        for label in self._admin.labels():
            self._labels[label.name] = label
            yield label.name, label.id

    def _create_list(self, name: str) -> str:
        self._labels[name] = self._admin.create_label(name)
        return self._labels[name].id

    def _label_id(self, name: str) -> str:
        if name not in self._labels:
            self._labels |= {label.name: label for label in self._admin.labels()}
        return self._labels[name].id if name in self._labels else self._create_list(name)

    # Members

    def pull_suppressions(self) -> Iterator[Sequence[Suppression]]:
        """Members who are not subscribed to anything, and those Ghost does not write to: bounced, or complained."""
        for page in self._admin.members("subscribed:false,email_disabled:true"):
            yield [Suppression(one.address, "disabled" if one.is_subscribed else "unsubscribed") for one in page]

    def read_back(self, segment: str) -> Iterator[Sequence[Held]]:
        """The label's members."""
        label_id = self._list_id(segment)
        slug = next(label.slug for label in self._labels.values() if label.id == label_id)
        for page in self._admin.members(f"label:{ghost_admin.text(slug)}"):
            yield [Held(one.address, one.id, {**one.fields, **self._told(one.labels)}) for one in page]

    def _told(self, labels: Mapping[str, str]) -> dict[str, str]:
        """The values that labels stand for, by field; both of a field that has two, which is no value of ours."""
        asked_for = {label.id: name for name, label in self._labels.items()}  # in other letters, it may be
        told: dict[str, str] = {}
        for label in sorted(asked_for.get(label_id, name) for name, label_id in labels.items()):
            name, _, value = label.partition(": ")
            told[name] = f"{told[name]}, {value}" if name in told else value
        return told

    # Changes

    def _send(self, batch: Batch) -> Applied:
        found = self._admin.find([row.identifier for row in batch.rows])
        not_taken: dict[str, RowResult] = {}
        if batch.operation is Operation.JOIN:
            new = [row for row in batch.rows if row.identifier not in found]
            not_taken = {result.key: result for result in self._create(new)}
            found |= self._admin.find([row.identifier for row in new if row.key not in not_taken], in_any_case=False)
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
        imported: dict[str, Row] = {}
        for row in rows:
            if not self._consented_at(row):
                yield without_consent(row)
            elif _new(row).survives_import():
                imported[row.identifier] = row
            else:
                try:
                    self._admin.add(_new(row))
                except Refused as error:
                    yield refused(row, error)
        for some in in_pieces(list(imported.values()), IMPORTED_AT_ONCE):
            for address, why in self._admin.import_members([_new(row) for row in some]).items():
                if address in imported:
                    yield refused(imported[address], Refused(why, 201, "invalid"))

    def _write_fields(self, row: Row, members: Sequence[Member]) -> Iterator[RowResult]:
        """Write name and note where they are others; yields the row where that was refused."""
        try:
            if any(len(label) > LONGEST_LABEL for label in self._value_labels(row)):
                raise Refused(f"a label has more than {LONGEST_LABEL} characters", code="label_too_long")
            for one in members:
                changed = {name: value for name, value in _own(row).items() if one.fields[name] != value}
                if changed:
                    self._admin.edit(one, changed)
        except Refused as error:
            yield refused(row, error)

    def _value_labels(self, row: Row) -> list[str]:
        values = {name: plain_text(value).strip() for name, value in row.payload.items() if self._is_label(name)}
        return [f"{name}: {value}" for name, value in values.items() if value]

    def _write_labels(self, batch: Batch, pairs: Sequence[tuple[Row, Member]]) -> bool:
        """Give members the segment's label and those of their values, and take away those of other values."""
        segment = self._list_id(batch.segment)
        added: dict[str, list[str]] = defaultdict(list)
        removed: dict[str, list[str]] = defaultdict(list)
        for row, one in pairs:
            wanted = [self._label_id(name) for name in self._value_labels(row)]
            for label_id in [*wanted, *([segment] if batch.operation is Operation.JOIN else [])]:
                if label_id not in one.labels.values():
                    added[label_id].append(one.id)
            ours = tuple(f"{name}: " for name in row.payload if self._is_label(name))
            for name, label_id in sorted(one.labels.items()):
                if ours and name.startswith(ours) and label_id not in (*wanted, segment):
                    removed[label_id].append(one.id)
        done = [self._admin.remove_label(label_id, ids) for label_id, ids in removed.items()]
        done += [self._admin.add_label(label_id, ids) for label_id, ids in added.items()]
        return all(done)

    def _leave(self, batch: Batch) -> Applied:
        label_id = self._list_id(batch.segment)
        found = self._admin.find([row.identifier for row in batch.rows])
        labelled = [one.id for members in found.values() for one in members if label_id in one.labels.values()]
        is_done = self._admin.remove_label(label_id, labelled)
        return Applied([confirmed(row) if is_done else not_told(row) for row in batch.rows])

    def _delete(self, batch: Batch) -> Applied:
        for members in self._admin.find([row.identifier for row in batch.rows]).values():
            for one in members:
                self._admin.delete(one)
        return Applied([confirmed(row) for row in batch.rows])


def _new(row: Row) -> NewMember:
    return NewMember(row.identifier, _own(row))


def _own(row: Row) -> dict[str, str]:
    """Name and note of a payload; an absent value clears."""
    return {name: str(row.payload[name] or "") for name in MEMBER_FIELDS if name in row.payload}

"""What vendors have in common: an account over HTTP, a list per segment, fields with types, people known by an id.

Here belongs the order in which a vendor is asked and what is concluded from its answers. How it spells its requests
belongs to its own module, which fills in the methods below "What differs"; those it does not have, it leaves out.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, TypeVar

import httpx

from activation.destinations.connector import HttpConnector
from activation.sync.gated import Batch
from activation.sync.http import VendorClient, code_and_message
from activation.sync.protocol import (
    NOT_TOLD,
    Applied,
    Drift,
    Fatal,
    FieldType,
    Job,
    MappedField,
    Operation,
    Outcome,
    PlanShape,
    Refused,
    Row,
    RowResult,
    Scalar,
)
from activation.sync.secrets import Secret

Item = TypeVar("Item")


class Vendor(HttpConnector):
    """One account at a vendor.

    Attributes:
        vendor: What it is called.
        list_kind: What it calls the place that holds a segment's people.
        base_url: Of its interface.
        wait_header: Where it says how many seconds to wait, beside `Retry-After`.
        field_types: What it calls the types of its fields; None where fields need not be made.
        looked_up_at_once: How many addresses it takes in one look-up of ids.
        tells_removals: Whether it confirms that people were taken out of a list, or only accepts it.
    """

    vendor: ClassVar[str]
    list_kind: ClassVar[str] = "list"
    base_url: ClassVar[str]
    wait_header: ClassVar[str] = "Retry-After"
    field_types: ClassVar[Mapping[FieldType, str] | None] = None
    looked_up_at_once: ClassVar[int] = 100
    tells_removals: ClassVar[bool] = True

    def __init__(
        self,
        name: str,
        api_key: Secret,
        base_url: str | None = None,
        transport: httpx.BaseTransport | None = None,
        list_prefix: str = "",
        consent_field: str | None = None,
    ) -> None:
        """Store the account.

        Args:
            name: The destination's.
            api_key: What the account's interface is opened with; the class says what it must be allowed.
            base_url: Where the interface is elsewhere than `base_url` of the class, and for tests.
            transport: For tests.
            list_prefix: Before the segment, the name of the list.
            consent_field: The mapped field that tells when somebody consented; no field there, and never told back.
        """
        self.name = name
        self._consent_field = consent_field
        if consent_field:
            never_told = self.capabilities.never_told | {consent_field}
            self.capabilities = replace(self.capabilities, never_told=never_told)
        self._list_prefix = list_prefix
        self._list_ids: dict[str, str] = {}
        self._mapped: Mapping[str, MappedField] = {}
        self._field_ids: dict[str, str] = {}  # where the vendor has them
        self._client = VendorClient(
            base_url or self.base_url, lambda: self._headers(api_key), transport, self._said, self.wait_header
        )

    # What differs.

    def _said(self, answer: httpx.Response) -> tuple[str, str]:
        """Code and message of an answer that is an error."""
        return code_and_message(answer)

    def _headers(self, api_key: Secret) -> Mapping[str, str]:
        """The headers of every call, with the credentials."""
        raise NotImplementedError

    def _lists(self, names: Collection[str]) -> Iterator[tuple[str, str]]:
        """Name and id of the lists there are; of the names given, where the vendor can be asked for them."""
        raise NotImplementedError

    def _create_list(self, name: str) -> str:
        """Create a list and return its id."""
        raise NotImplementedError

    def _is_standard(self, field: str) -> bool:
        """Whether a field is there without having been made."""
        return False

    def _fields(self, names: Collection[str]) -> Mapping[str, str]:
        """The vendor's types of the fields there are; of the names given, spelled as they are given."""
        return {}

    def _create_field(self, field: MappedField, vendor_type: str) -> None:
        """Create a field."""
        raise NotImplementedError

    def _send(self, batch: Batch) -> Applied:
        """Carry out joins or upserts."""
        raise NotImplementedError

    def _remove(self, list_id: str, ids: Sequence[str]) -> None:
        """Take people out of a list, by the vendor's ids."""
        raise NotImplementedError

    def _erase(self, row: Row) -> None:
        """Erase one person, who may not be there."""
        raise NotImplementedError

    def _look_up(self, addresses: Sequence[str]) -> Iterator[tuple[str, str]]:
        """Address and id of those whom the vendor knows; `looked_up_at_once` addresses at most."""
        raise NotImplementedError

    # What does not.

    def prepare(self, shape: PlanShape) -> Sequence[Drift]:
        """Create lists and fields that are missing; report fields of another type."""
        segments = [one.segment for one in shape.segments]
        self._find_lists(segments)
        for segment in segments:
            if segment not in self._list_ids:
                self._list_ids[segment] = self._create_list(self._list_prefix + segment)
        self._mapped = {field.name: field for one in shape.segments for field in one.fields}
        return self._prepare_fields() if self.field_types is not None else []

    def _prepare_fields(self) -> list[Drift]:
        wanted = {name: field for name, field in sorted(self._mapped.items()) if not self._is_standard(name)}
        there = self._fields(wanted.keys())
        drift: list[Drift] = []
        for name, field in wanted.items():
            vendor_type = (self.field_types or {})[field.type]
            if name not in there:
                self._create_field(field, vendor_type)
            elif there[name] != vendor_type:
                drift.append(Drift(name, vendor_type, there[name]))
        return drift

    def _find_lists(self, segments: Iterable[str]) -> None:
        prefix = self._list_prefix
        for name, list_id in self._lists([prefix + segment for segment in segments]):
            if name.startswith(prefix):
                self._list_ids.setdefault(name[len(prefix) :], list_id)

    def _list_id(self, segment: str) -> str:
        """The id of a segment's list, looked up where this process has not seen it yet.

        Raises:
            Fatal: There is none.
        """
        if segment not in self._list_ids:
            self._find_lists([segment])
        if segment not in self._list_ids:
            raise Fatal(f"{self.vendor} has no {self.list_kind} for {segment}")
        return self._list_ids[segment]

    def _consented_at(self, row: Row) -> Scalar:
        """When somebody consented, where that is mapped."""
        return row.payload.get(self._consent_field) if self._consent_field else None

    def _apply(self, batch: Batch) -> Applied:
        if batch.operation is Operation.LEAVE:
            return self._leave(batch)
        if batch.operation is Operation.DELETE:
            return self._delete(batch)
        return self._send(batch)

    def _leave(self, batch: Batch) -> Applied:
        """Take people out of their list; whom the vendor does not know is in none."""
        ids = self._ids(batch.rows)
        if ids:
            self._remove(self._list_id(batch.segment), list(ids.values()))
        return Applied(confirmed_where(lambda row: self.tells_removals or row.identifier not in ids, batch.rows))

    def _delete(self, batch: Batch) -> Applied:
        """Erase people, one by one."""
        for row in batch.rows:
            self._erase(row)
        return Applied([confirmed(row) for row in batch.rows])

    def _ids(self, rows: Sequence[Row]) -> dict[str, str]:
        """The vendor's ids of rows, by identifier; whom it does not know is not there, nor whom nobody asked for."""
        addresses = [row.identifier for row in rows]
        found = {
            address.lower(): vendor_id
            for some in in_pieces(addresses, self.looked_up_at_once)
            for address, vendor_id in self._look_up(some)
        }
        return {address: found[address] for address in addresses if address in found}


def named(
    pages: Iterable[Iterable[Mapping[str, object]]], name: str = "name", identity: str = "id"
) -> Iterator[tuple[str, str]]:
    """Names and ids of what is told in pages."""
    for page in pages:
        for one in page:
            yield str(one[name]), str(one[identity])


def in_pieces(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """A sequence in pieces of at most `size`."""
    for first in range(0, len(items), size):
        yield items[first : first + size]


def started(job_id: object, batch: Batch) -> Applied:
    """The vendor accepted a batch and does it later."""
    return Applied(job=Job(str(job_id), batch.operation, batch.segment))


def confirmed(row: Row, status: int | None = None, vendor_id: str | None = None) -> RowResult:
    """The vendor says it is done, or there was nothing to do."""
    return RowResult(Outcome.CONFIRMED, row.key, status=status, vendor_id=vendor_id)


def not_told(row: Row, status: int | None = None, vendor_id: str | None = None) -> RowResult:
    """The vendor accepted a row and does not say what became of it: the read-back decides."""
    return RowResult(Outcome.RETRYABLE, row.key, status=status, code=NOT_TOLD, vendor_id=vendor_id)


def confirmed_where(is_told: Callable[[Row], bool], rows: Sequence[Row], status: int | None = None) -> list[RowResult]:
    """Rows the vendor names as done are confirmed; of the others it tells nothing."""
    return [confirmed(row) if is_told(row) else not_told(row, status) for row in rows]


def without_consent(row: Row) -> RowResult:
    """Nobody may be written to who did not consent at a known time."""
    return refused(row, Refused("no dated consent to be written to", code="no_dated_consent"))


def refused(row: Row, error: Refused) -> RowResult:
    """A call that was about one row was refused for what the row is."""
    return RowResult(Outcome.PERMANENT, row.key, status=error.status, code=error.code or "refused", message=str(error))

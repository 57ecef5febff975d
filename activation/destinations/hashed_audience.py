"""Hashed audiences for advertising platforms, delivered as files: Google, Meta, LinkedIn, TikTok.

What is special here:

- People are judged for advertising over the channel `ads`, which is consent of its own; an audience of another purpose
  or channel is refused before anything is sent. The gate keeps back whose address or number somebody else refused.
- A row holds no person any more: drafts, files and manifests hold hashes, and for Google and LinkedIn countries and
  postal codes. So nobody can be read back, and each delivery is the whole list.
- A list that is too small or too large for the platform is not delivered at all.
- Of the mapped fields only those that the platform's file has are written; persona and class stay here.
"""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl

from activation.audience import ADS
from activation.destinations.deliveries import Deliveries, FileStore
from activation.hashed_audiences import (
    ADVERTISING,
    FIELDS,
    PLATFORMS,
    PhoneStyle,
    hashed_rows,
    matched_by,
    note_on_size,
    once_each,
    write_rows,
)
from activation.sync.gated import Batch
from activation.sync.protocol import (
    Applied,
    Capabilities,
    Drift,
    Fatal,
    Job,
    Limits,
    Operation,
    Outcome,
    PlanShape,
    RowResult,
)

NOTHING_TO_MATCH = "nothing_to_match"
PhoneNumbers = Callable[[pl.DataFrame], pl.Series]


class HashedAudience(Deliveries):
    """The lists of one platform, in one store. Mapped fields are called as in `hashed_audiences.FIELDS`."""

    def __init__(
        self,
        name: str,
        store: FileStore,
        platform: str,
        phone_numbers: PhoneNumbers | None = None,
        tiktok_phone: PhoneStyle = "with_plus",
        purpose: str = ADVERTISING,
        temporary_folder: Path | None = None,
    ) -> None:
        """Store how lists are written.

        Args:
            name: The destination's.
            store: Where they go.
            platform: A key of `hashed_audiences.PLATFORMS`.
            phone_numbers: Reads `phone` and `country` of a frame as E.164; without it numbers have to come so.
            tiktok_phone: Whether TikTok's numbers are hashed with their `+`; its pages say both.
            purpose: What people have to have allowed.
            temporary_folder: Where drafts are written, readable by nobody else; the system's where none is given.

        Raises:
            ValueError: The platform is unknown.
        """
        super().__init__(name, store, temporary_folder)
        if platform not in PLATFORMS:
            raise ValueError(f"{platform!r} is no platform; there are {', '.join(PLATFORMS)}")
        self.capabilities = Capabilities(
            frozenset({Operation.JOIN, Operation.UPSERT, Operation.LEAVE}),
            reads_back=False,
            pulls_suppressions=False,
            whole=True,
            terms=(purpose, ADS),
        )
        self.limits = Limits(batch_rows=dict.fromkeys(Operation, 10_000), windows={}, batch_bytes=32_000_000)
        self._platform = platform
        self._phone_numbers = phone_numbers
        self._tiktok_phone = tiktok_phone
        self._pieces: dict[str, list[Path]] = {}
        self._lock = threading.Lock()

    def prepare(self, shape: PlanShape) -> Sequence[Drift]:
        """Make room for drafts.

        Raises:
            Fatal: A mapped field is nothing a platform knows, or nothing is mapped to look people up by.
        """
        sources = {source for source in PLATFORMS[self._platform].columns.values() if source}
        for segment in shape.segments:
            mapped = {field.name for field in segment.fields}
            unknown = sorted(mapped - set(FIELDS))
            if unknown:
                raise Fatal(f"{unknown[0]} of {segment.segment} is nothing a platform knows: {', '.join(FIELDS)}")
            if not mapped & sources & {"email", "phone"}:
                raise Fatal(f"{segment.segment} maps nothing that {self._platform} looks people up by: email or phone")
        return super().prepare(shape)

    def _apply(self, batch: Batch) -> Applied:
        """Hash a batch; plain values are in memory only."""
        draft = self._draft_of(batch.segment, "csv")
        job = Job(draft.stem, batch.operation, batch.segment)
        with self._lock:
            pieces = self._pieces.setdefault(batch.segment, [])
            if batch.operation is Operation.LEAVE:
                return Applied(job=job)
            piece = draft.with_name(f"{draft.stem}.{len(pieces)}.parquet")
            pieces.append(piece)
        rows = self._hashed(batch)
        has_any = rows.select(pl.any_horizontal(pl.col(matched_by(self._platform)).is_not_null())).to_series()
        rows.filter(has_any).write_parquet(piece)
        return Applied(
            [
                RowResult(Outcome.PERMANENT, row.key, code=NOTHING_TO_MATCH, message="neither address nor number")
                for row, is_known in zip(batch.rows, has_any, strict=True)
                if not is_known
            ],
            job,
        )

    def _hashed(self, batch: Batch) -> pl.DataFrame:
        told = [{name: row.payload.get(name) for name in FIELDS} for row in batch.rows]
        people = pl.DataFrame(told, schema=dict.fromkeys(FIELDS, pl.String), strict=False)
        if self._phone_numbers is not None:
            is_hash = people["phone"].str.strip_chars().str.contains(r"^[0-9a-fA-F]{64}$").fill_null(False)
            numbers = self._phone_numbers(people.select("phone", "country"))
            people = people.with_columns(phone=pl.when(is_hash).then("phone").otherwise(numbers))
        return hashed_rows(people, self._platform, self._tiktok_phone)

    def commit(self, shape: PlanShape) -> None:
        """Deliver the lists, all or none.

        Raises:
            Fatal: One is too small or too large for the platform.
        """
        files = {segment: self._list(pieces) for segment, pieces in sorted(self._pieces.items())}
        for segment, (rows, _) in files.items():
            note = note_on_size(PLATFORMS[self._platform], rows.height)
            if note and rows.height:  # an empty list empties the one before
                raise Fatal(f"{segment} has {rows.height:,} rows and {note}; nothing was delivered")
        for segment, (rows, left_out) in files.items():
            draft = self._draft_of(segment, "csv")
            write_rows(rows, draft)
            told = {"platform": self._platform, "rows": rows.height, "columns": rows.columns, "left_out": left_out}
            self._deliver(segment, draft, told | {"contents": "full"})
            for piece in self._pieces.pop(segment):
                piece.unlink()
        self._delivered += 1

    def _list(self, pieces: Sequence[Path]) -> tuple[pl.DataFrame, dict[str, int]]:
        empty = pl.DataFrame(schema=dict.fromkeys(PLATFORMS[self._platform].columns, pl.String))
        return once_each(pl.concat([empty, *map(pl.read_parquet, pieces)]), self._platform)

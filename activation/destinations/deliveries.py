"""What destinations that take whole files have in common: three files a delivery, of which the manifest comes last.

Here belong names, checksums, manifests and their order; what is in a file is its connector's, where to a `FileStore`'s
(`local_folder`, `sftp`, `object_store`). Who waits for the manifest never reads half a list::

    loyal_2026-11-16_20261116T060000381204-1c9d2f3a-1.csv
    loyal_2026-11-16_20261116T060000381204-1c9d2f3a-1.csv.sha256
    loyal_2026-11-16_20261116T060000381204-1c9d2f3a-1.manifest.json
"""

import hashlib
import io
import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TextIO

from activation.destinations.connector import Connector
from activation.sync.protocol import Drift, Fatal, Job, JobState, PlanShape

MANIFEST = ".manifest.json"
CHECKSUM = ".sha256"
_SEGMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}", re.ASCII)


class FileStore(Protocol):
    """A place for files. Errors are `Retryable` or `Fatal`."""

    def put(self, name: str, source: Path) -> None:
        """Let a file appear under its name, whole: a reader sees nothing before it is complete."""

    def read(self, name: str) -> Iterator[bytes] | None:
        """A file's bytes in pieces; nothing where there is none."""

    def names(self, prefix: str) -> list[str]:
        """Names that begin so."""

    def close(self) -> None:
        """Let go of connections."""


class Deliveries(Connector):
    """Deliveries of one destination into one store; each is a job that is done when it is there, whole."""

    def __init__(self, name: str, store: FileStore, temporary_folder: Path | None = None) -> None:
        """Store where deliveries go.

        Args:
            name: The destination's.
            store: The place.
            temporary_folder: Where drafts are written, readable by nobody else; the system's where none is given.
        """
        self.name = name
        self._store = store
        self._temporary_folder = temporary_folder
        self._folder: Path | None = None
        self._shape: PlanShape | None = None
        self._delivered = 0

    def prepare(self, shape: PlanShape) -> Sequence[Drift]:
        """Make room for drafts.

        Raises:
            Fatal: A segment's name cannot be a file's.
        """
        for segment in shape.segments:
            if not _SEGMENT.fullmatch(segment.segment):
                raise Fatal(f"{segment.segment!r} cannot be part of a file's name: letters, digits, - and _ only")
        self._shape = shape
        self._folder = Path(tempfile.mkdtemp(prefix="personae-", dir=self._temporary_folder))
        return []

    def _draft_of(self, segment: str, ending: str) -> Path:
        """Where the next delivery of a segment is written; its name without the ending is the job's."""
        assert self._shape is not None and self._folder is not None, "prepare comes first"  # noqa: S101
        name = f"{segment}_{self._shape.as_of}_{self._shape.run_id}-{self._delivered + 1}"
        return self._folder / f"{name}.{ending}"

    def _deliver(self, segment: str, path: Path, told: Mapping[str, object]) -> None:
        """Put a finished draft where it goes, with its checksum and its manifest.

        Args:
            segment: Whose.
            path: The draft; it is removed.
            told: What the manifest says besides: nothing of a person.
        """
        assert self._shape is not None, "prepare comes first"  # noqa: S101
        with path.open("rb") as file:
            checksum = hashlib.file_digest(file, "sha256").hexdigest()
        beside = path.with_name(path.name + CHECKSUM)
        beside.write_text(f"{checksum}  {path.name}\n", encoding="ascii")
        manifest = path.with_name(path.stem + MANIFEST)
        document = {
            "file": path.name,
            "sha256": checksum,
            "bytes": path.stat().st_size,
            **told,
            "segment": segment,
            "as_of": self._shape.as_of,
            "run_id": self._shape.run_id,
        }
        manifest.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        for one in (path, beside, manifest):
            self._pacer.call("put", lambda one=one: self._store.put(one.name, one))  # type: ignore[misc]
            one.unlink()

    def poll(self, job: Job) -> JobState:
        """See whether the delivery is there, whole: its manifest, and a file with the checksum the manifest states."""
        return self._pacer.call("read", lambda: JobState(finished=True, lost=self._whole(job.id) is None))

    def _whole(self, name: str) -> Mapping[str, object] | None:
        """The manifest of a delivery that is there, whole."""
        manifest = self._manifest(name)
        pieces = None if manifest is None else self._store.read(str(manifest["file"]))
        if manifest is None or pieces is None:
            return None
        content = hashlib.sha256()
        for piece in pieces:
            content.update(piece)
        return manifest if content.hexdigest() == manifest["sha256"] else None

    def _manifest(self, name: str) -> Mapping[str, object] | None:
        pieces = self._store.read(name + MANIFEST)
        if pieces is None:
            return None
        try:
            found = json.loads(b"".join(pieces))
        except ValueError:
            return None
        return found if isinstance(found, dict) and {"file", "sha256"} <= found.keys() else None

    def close(self) -> None:
        """Remove drafts and let go of the store."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._store.close()


def as_text(pieces: Iterator[bytes]) -> TextIO:
    """A file's bytes as text, line ends as they are."""
    return io.TextIOWrapper(io.BufferedReader(_Pieces(pieces)), encoding="utf-8", newline="")


class _Pieces(io.RawIOBase):
    """Pieces of bytes as a file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._left:
            following = next(self._pieces, None)
            if following is None:
                return 0
            self._left = bytes(following)
        taken = self._left[: len(buffer)]
        self._left = self._left[len(buffer) :]
        buffer[: len(taken)] = taken
        return len(taken)

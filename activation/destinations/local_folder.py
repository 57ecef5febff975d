"""A folder of this machine, or one that is mounted, as a store for file drops."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from activation.sync.protocol import Fatal

_PIECE = 1 << 20


class LocalFolder:
    """One folder. Files appear in it by a rename, after their bytes are on the disk."""

    def __init__(self, folder: Path) -> None:
        """Store the folder; it is created when the first file comes."""
        self._folder = folder

    def put(self, name: str, source: Path) -> None:
        """Copy under a temporary name, then rename.

        Raises:
            Fatal: The folder cannot be written.
        """
        target = self._path(name)
        draft = target.with_name(f".{name}.part")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with source.open("rb") as reading, draft.open("wb") as writing:
                shutil.copyfileobj(reading, writing, _PIECE)
                writing.flush()
                os.fsync(writing.fileno())
            draft.replace(target)
            descriptor = os.open(self._folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise Fatal(f"the folder of the file drop cannot be written: {error.strerror}") from None

    def read(self, name: str) -> Iterator[bytes] | None:
        """A file's bytes; nothing where there is none."""
        path = self._path(name)
        return _pieces(path) if path.is_file() else None

    def names(self, prefix: str) -> list[str]:
        """Names that begin so."""
        if not self._folder.is_dir():
            return []
        return sorted(path.name for path in self._folder.iterdir() if path.name.startswith(prefix))

    def close(self) -> None:
        """Nothing is held open."""

    def _path(self, name: str) -> Path:
        if "/" in name or "\\" in name or name in ("", ".", ".."):
            raise Fatal("a file's name leads out of its folder")
        return self._folder / name


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece

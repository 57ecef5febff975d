"""Whether a compressed file arrived whole, and unpacks to a size that somebody meant.

A reader takes the beginning of a cut file for all of it, and unpacks a bomb until the disk is full. What belongs here:
walking through gzip and Zstandard containers. Reading what is in them belongs to DuckDB.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

CHUNK_BYTES = 1 << 20
GZIP = 31  # zlib's number for a gzip container
ZSTANDARD_FRAME = 0xFD2FB528
SKIPPABLE_FRAMES = range(0x184D2A50, 0x184D2A60)
RAW, RUN_OF_ONE_BYTE = 0, 1
LARGEST_ZSTANDARD_BLOCK = 128 * 1024
GIGABYTE = 10**9
# How files begin that are packed otherwise than their names say, the ending that would say so, and what to do.
CONTAINERS = {
    b"PK\x03\x04": ("", "this is a zip archive or a spreadsheet; deliver what is in it as CSV, plain or as .gz"),
    b"\x1f\x8b": (".gz", "this is a gzip stream; its name must end in .gz"),
    b"\x28\xb5\x2f\xfd": (".zst", "this is a zstd stream; its name must end in .zst"),
}
# A short file may well be nothing but repetition; only what is large is held to a ratio.
HELD_TO_THE_RATIO_FROM = 100 * 10**6


class DamagedFile(Exception):
    """A compressed file that ends early, is none, or unpacks to too much; the message says which, without its name."""


@dataclass(frozen=True)
class UnpackedLimit:
    """How much a compressed file may unpack to.

    Attributes:
        gigabytes: at most this many (10^9 bytes).
        ratio: and at most this many times the compressed file, where it is more than 100 MB.
    """

    gigabytes: float
    ratio: float

    def check(self, unpacked: int, packed: int) -> None:
        """Hold a file to the limit.

        Raises:
            DamagedFile: it is over it.
        """
        if unpacked > self.gigabytes * GIGABYTE:
            raise DamagedFile(f"it unpacks to more than {self.gigabytes:g} GB, the mapping's `largest_unpacked_gb`")
        if unpacked > max(self.ratio * packed, HELD_TO_THE_RATIO_FROM):
            raise DamagedFile(
                f"it unpacks to more than {self.ratio:g} times its size, the mapping's `largest_unpacked_ratio`"
            )


def check_is_whole(path: Path, limit: UnpackedLimit) -> None:
    """Read a `.gz` or `.zst` file to its end, or to the limit; other files pass.

    Gzip is decompressed, so its checksums hold (some 300 MB/s of text); of Zstandard (RFC 8878) only the blocks'
    headers are read, unless what they could hold at the most is over the limit.

    Raises:
        DamagedFile: the file is cut short, is not what its ending says, or unpacks to too much.
    """
    packed = path.stat().st_size
    _check_is_no_other_container(path)
    if path.suffix == ".gz":
        with path.open("rb") as stream:
            _check_gzip(stream, packed, limit)
    elif path.suffix == ".zst":
        try:
            largest = _largest_content(path)
            if not largest:
                raise DamagedFile("the file is empty")
            limit.check(largest, packed)
        except struct.error:
            raise DamagedFile("the zstd stream is cut short") from None
        except DamagedFile as over:
            if not str(over).startswith("it unpacks"):
                raise
            _unpack_zstandard(path, packed, limit)


def _check_is_no_other_container(path: Path) -> None:
    with path.open("rb") as stream:
        start = stream.read(4)
    for sign, (ending, words) in CONTAINERS.items():
        if start.startswith(sign) and path.suffix != ending:
            raise DamagedFile(words)


def _largest_content(path: Path) -> int:
    """How many bytes a Zstandard file can hold at the most. A file that is cut short is a `struct.error`."""
    total = 0
    with path.open("rb") as stream:
        while (content := _pass_zstandard_frame(stream)) is not None:
            total += content
    return total


def _unpack_zstandard(path: Path, packed: int, limit: UnpackedLimit) -> None:
    """Decompress and count, until the limit."""
    import pyarrow as pa  # noqa: PLC0415  (rarely needed, and slow to import)

    unpacked = 0
    try:
        with pa.input_stream(str(path), compression="zstd") as stream:
            while chunk := stream.read(CHUNK_BYTES):
                unpacked += len(chunk)
                limit.check(unpacked, packed)
    except (pa.ArrowException, OSError):
        raise DamagedFile("the zstd stream is damaged") from None


def _check_gzip(stream: BinaryIO, packed: int, limit: UnpackedLimit) -> None:
    """Decompress every member of the file and let go of the text."""
    unpacked = 0
    chunk = stream.read(CHUNK_BYTES)
    while chunk:
        member = zlib.decompressobj(GZIP)
        while not member.eof:
            if not chunk:
                raise DamagedFile("the gzip stream is cut short")
            try:
                unpacked += len(member.decompress(chunk, CHUNK_BYTES))
            except zlib.error:
                raise DamagedFile("the gzip stream is damaged") from None
            limit.check(unpacked, packed)
            chunk = member.unconsumed_tail or (b"" if member.eof else stream.read(CHUNK_BYTES))
        chunk = (member.unused_data or stream.read(CHUNK_BYTES)).lstrip(b"\0") or stream.read(CHUNK_BYTES)
    if not unpacked:
        raise DamagedFile("the file is empty")


def _pass_zstandard_frame(stream: BinaryIO) -> int | None:
    """Go past one frame: what it can hold at the most, or None at the end. A short read is a `struct.error`."""
    start = stream.read(4)
    if not start:
        return None
    (magic,) = struct.unpack("<I", start)
    if magic in SKIPPABLE_FRAMES:
        (size,) = struct.unpack("<I", stream.read(4))
        _pass(stream, size)
        return 0
    if magic != ZSTANDARD_FRAME:
        raise DamagedFile("this is no zstd stream")
    (descriptor,) = struct.unpack("<B", stream.read(1))
    is_single_segment, has_checksum = descriptor >> 5 & 1, descriptor >> 2 & 1
    content_size_bytes = (is_single_segment, 2, 4, 8)[descriptor >> 6]
    dictionary_bytes = (0, 1, 2, 4)[descriptor & 3]
    _pass(stream, (1 - is_single_segment) + dictionary_bytes + content_size_bytes)
    is_last = content = 0
    while not is_last:
        low, high = struct.unpack("<HB", stream.read(3))
        block = low | high << 16
        is_last, kind, size = block & 1, block >> 1 & 3, block >> 3
        content += size if kind in (RAW, RUN_OF_ONE_BYTE) else LARGEST_ZSTANDARD_BLOCK
        _pass(stream, 1 if kind == RUN_OF_ONE_BYTE else size)
    _pass(stream, 4 * has_checksum)
    return content


def _pass(stream: BinaryIO, size: int) -> None:
    """Go `size` bytes on; they must be there."""
    if size:
        stream.seek(size - 1, 1)
        struct.unpack("<B", stream.read(1))

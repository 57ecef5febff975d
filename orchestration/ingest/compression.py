"""Whether a compressed file arrived whole: a reader takes the beginning of a cut one for all of it.

What belongs here: walking through gzip and Zstandard containers. Reading what is in them belongs to DuckDB.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import BinaryIO

CHUNK_BYTES = 1 << 20
GZIP = 31  # zlib's number for a gzip container
ZSTANDARD_FRAME = 0xFD2FB528
SKIPPABLE_FRAMES = range(0x184D2A50, 0x184D2A60)
RUN_OF_ONE_BYTE = 1


class DamagedFile(Exception):
    """A compressed file that ends early or is none; the message says which, without its name."""


def check_is_whole(path: Path) -> None:
    """Read a `.gz` or `.zst` file to its end; other files pass.

    Gzip is decompressed, so its checksums hold (some 300 MB/s of text); of Zstandard (RFC 8878) only the blocks'
    headers are read.

    Raises:
        DamagedFile: the file is cut short, or is not what its ending says.
    """
    if path.suffix == ".gz":
        with path.open("rb") as stream:
            _check_gzip(stream)
    elif path.suffix == ".zst":
        with path.open("rb") as stream:
            try:
                while _pass_zstandard_frame(stream):
                    pass
            except struct.error:
                raise DamagedFile("the zstd stream is cut short") from None


def _check_gzip(stream: BinaryIO) -> None:
    """Decompress every member of the file and let go of the text."""
    chunk = stream.read(CHUNK_BYTES)
    while chunk:
        member = zlib.decompressobj(GZIP)
        while not member.eof:
            if not chunk:
                raise DamagedFile("the gzip stream is cut short")
            try:
                member.decompress(chunk, CHUNK_BYTES)
            except zlib.error:
                raise DamagedFile("the gzip stream is damaged") from None
            chunk = member.unconsumed_tail or (b"" if member.eof else stream.read(CHUNK_BYTES))
        chunk = (member.unused_data or stream.read(CHUNK_BYTES)).lstrip(b"\0") or stream.read(CHUNK_BYTES)


def _pass_zstandard_frame(stream: BinaryIO) -> bool:
    """Go past one frame; False at the end of the file. A short read is a `struct.error`."""
    start = stream.read(4)
    if not start:
        return False
    (magic,) = struct.unpack("<I", start)
    if magic in SKIPPABLE_FRAMES:
        (size,) = struct.unpack("<I", stream.read(4))
        _pass(stream, size)
        return True
    if magic != ZSTANDARD_FRAME:
        raise DamagedFile("this is no zstd stream")
    (descriptor,) = struct.unpack("<B", stream.read(1))
    is_single_segment, has_checksum = descriptor >> 5 & 1, descriptor >> 2 & 1
    content_size_bytes = (is_single_segment, 2, 4, 8)[descriptor >> 6]
    dictionary_bytes = (0, 1, 2, 4)[descriptor & 3]
    _pass(stream, (1 - is_single_segment) + dictionary_bytes + content_size_bytes)
    is_last = 0
    while not is_last:
        low, high = struct.unpack("<HB", stream.read(3))
        block = low | high << 16
        is_last, kind, size = block & 1, block >> 1 & 3, block >> 3
        _pass(stream, 1 if kind == RUN_OF_ONE_BYTE else size)
    _pass(stream, 4 * has_checksum)
    return True


def _pass(stream: BinaryIO, size: int) -> None:
    """Go `size` bytes on; they must be there."""
    if size:
        stream.seek(size - 1, 1)
        struct.unpack("<B", stream.read(1))

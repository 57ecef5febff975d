"""An order of people that depends on nobody's position in a table.

Here belong the hash of a person id and what is built on it: reproducible samples and splits. No statistics,
no models. Two tables with the same people in another row order give the same sample, in the same order.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray

_FNV_OFFSET = np.uint64(0xCBF29CE484222325)
_FNV_PRIME = np.uint64(0x100000001B3)
_HEXADECIMAL = np.frombuffer(b"0123456789abcdef", dtype=np.uint8).astype(np.uint64)
_SPREAD = (
    (np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)),
    (np.uint64(27), np.uint64(0x94D049BB133111EB)),
)

HASHED_ROWS = 16_384
"""Ids that are hashed at once: so few stay near the processor for all of their letters."""


def person_hash(person_ids: pl.Series, seed: int) -> NDArray[np.uint64]:
    """Hash person ids, the same on every machine and with every library version.

    FNV-1a over what a person is called, `p_` and 16 hexadecimal letters, one letter of all people at a time, then the
    finalizer of SplitMix64 (Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators").

    Args:
        person_ids: Ids without nulls, 0..2^64-1.
        seed: Another seed gives another, unrelated order.

    Returns:
        One number in 0..2^64-1 per id.

    Raises:
        ValueError: An id is null.
    """
    if person_ids.null_count():
        raise ValueError("person_id must not be null")
    ids = person_ids.cast(pl.UInt64).to_numpy()
    hashes = np.empty(len(ids), dtype=np.uint64)
    for start in range(0, len(ids), HASHED_ROWS):
        rows = slice(start, start + HASHED_ROWS)
        hashes[rows] = _hashed(ids[rows], seed)
    return hashes


def _hashed(ids: NDArray[np.uint64], seed: int) -> NDArray[np.uint64]:
    hashes = np.full(len(ids), _FNV_OFFSET ^ np.uint64(seed))
    for letter in b"p_":
        hashes = (hashes ^ np.uint64(letter)) * _FNV_PRIME
    for shift in range(60, -1, -4):
        digits = ((ids >> np.uint64(shift)) & np.uint64(15)).astype(np.intp)
        hashes ^= _HEXADECIMAL.take(digits, mode="clip")
        hashes *= _FNV_PRIME
    for by, factor in _SPREAD:
        hashes = (hashes ^ (hashes >> by)) * factor
    return hashes ^ (hashes >> np.uint64(31))


def hash_sample(frame: pl.DataFrame, size: int, seed: int) -> pl.DataFrame:
    """Take up to `size` rows in the order of the hash of their person; rows of one person stay together by `as_of`.

    Args:
        frame: At (person_id) or (person_id, as_of).
        size: The most rows to take.
        seed: Seed of the hash.

    Returns:
        The rows, in an order that does not depend on the order of `frame`.
    """
    hashes = person_hash(frame["person_id"], seed)
    if frame.height > size:
        kept = np.flatnonzero(hashes <= np.partition(hashes, size - 1)[size - 1])
        frame, hashes = frame[kept], hashes[kept]
    ties = ["person_id", *(["as_of"] if "as_of" in frame.columns else [])]
    ordered = frame.with_columns(pl.Series("__hash", hashes)).sort(["__hash", *ties])
    return ordered.drop("__hash").head(size)


def person_fold(person_ids: pl.Series, folds: int, seed: int) -> NDArray[np.int64]:
    """Put every person in one of `folds` equal parts, always the same one.

    Args:
        person_ids: Ids without nulls, 0..2^64-1.
        folds: Number of parts.
        seed: Seed of the hash.

    Returns:
        A fold in 0..folds-1 per id.
    """
    return (person_hash(person_ids, seed) % np.uint64(folds)).astype(np.int64)

"""Vectors of words that an installed package ships: where they are, which they are, and how they are read.

What belongs here: files of the optional extra `semantic`. What is done with them stands in
`ml/semantic_similarity.py`. Nothing is downloaded: the package's own loader would look for its tokenizer elsewhere, so
the package is not imported, and its two files are read where it was installed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ml.semantic_similarity import WordVectors

PACKAGE = "wordllama"
WEIGHTS = "weights/l2_supercat_256.safetensors"
TOKENIZER = "tokenizers/l2_supercat_tokenizer_config.json"
READERS = ("safetensors", "tokenizers")
HOW_TO_INSTALL = "pip install -e '.[semantic]'"


class NoWordVectors(Exception):
    """The extra is not installed, or not whole."""


def missing_parts() -> list[str]:
    """What the extra lacks on this machine; empty where it is whole."""
    missing = [name for name in (PACKAGE, *READERS) if find_spec(name) is None]
    if PACKAGE in missing:
        return missing
    return [*missing, *(f"{PACKAGE}/{name}" for name in (WEIGHTS, TOKENIZER) if not (_folder() / name).is_file())]


def vectors_sha256() -> str:
    """Which vectors are installed, as the SHA-256 of their file.

    Raises:
        NoWordVectors: the extra is not whole.
    """
    return _sha256(_file(WEIGHTS))


def tokenizer_sha256() -> str:
    """Which tokens words are cut into, as the SHA-256 of the tokenizer's file."""
    return _sha256(_file(TOKENIZER))


@cache
def read_word_vectors() -> WordVectors:
    """The vectors and the tokenizer, read once per process (33 MB).

    Raises:
        NoWordVectors: the extra is not whole.
    """
    weights, tokenizer_file = _file(WEIGHTS), _file(TOKENIZER)
    # Imported only where a workspace asks for it: two of them are an optional extra, and settings are read without.
    from safetensors.numpy import load_file  # noqa: PLC0415
    from tokenizers import Tokenizer  # noqa: PLC0415

    from ml.semantic_similarity import WordVectors  # noqa: PLC0415

    (vectors,) = load_file(weights).values()
    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    tokenizer.no_padding()
    tokenizer.no_truncation()

    def tokens_of(words: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        found = [one.ids for one in tokenizer.encode_batch(list(words), add_special_tokens=False)]
        counts = np.array([len(ids) for ids in found], dtype=np.int64)
        return np.array([token for ids in found for token in ids], dtype=np.int64), counts

    return WordVectors(vectors.astype(np.float32), tokens_of)


def _folder() -> Path:
    found = find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise NoWordVectors(f"'{PACKAGE}' is not installed: {HOW_TO_INSTALL}")
    return Path(found.submodule_search_locations[0])


def _file(name: str) -> Path:
    if missing := missing_parts():
        raise NoWordVectors(f"{', '.join(missing)}: not installed; {HOW_TO_INSTALL}")
    return _folder() / name


@cache
def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()

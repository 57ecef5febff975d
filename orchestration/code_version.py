"""Which code a week was published by, as a hash of every file that may change a figure."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("orchestration", "ml", "activation", "data_contracts", "dbt_project")
SUFFIXES = (".py", ".sql", ".yml", ".yaml", ".j2", ".md")
LIBRARIES = ("duckdb", "numpy", "polars", "scikit-learn", "scipy", "dbt-core", "dbt-duckdb")


@cache
def code_version() -> str:
    """Twelve letters: equal where the code and the libraries that compute are equal."""
    digest = hashlib.sha256()
    for part in PARTS:
        for path in sorted((ROOT / part).rglob("*")):
            if path.suffix in SUFFIXES and path.is_file() and not {"target", "logs"} & set(path.parts):
                digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    for library in LIBRARIES:
        digest.update(f"{library}=={version(library)}".encode())
    return digest.hexdigest()[:12]

"""Drawings that hold as long as what they show stands, kept from one run to the next.

What belongs here: where they are kept, and by what they are known: a hash of what they show, of the code and of the
library that draws. A drawing takes a tenth of a second, a week shows six of its standing model.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from orchestration.code_version import code_version

KEPT = 8


def drawn_once(folder: Path, shown: object, draw: Callable[[], dict[str, bytes]]) -> dict[str, bytes]:
    """Pictures by title, drawn now or read from `folder`, where the latest are kept.

    Args:
        folder: made where it is missing.
        shown: what the pictures show, whole or as hashes; what JSON can tell apart.
        draw: draws SVG.
    """
    content = json.dumps([shown, code_version(), version("matplotlib")])
    file = folder / f"{hashlib.sha256(content.encode()).hexdigest()}.json"
    try:
        kept: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # none is there, or it was cut off
        kept = {title: picture.decode() for title, picture in draw().items()}
        _keep(file, kept)
    return {title: picture.encode() for title, picture in kept.items()}


def _keep(file: Path, pictures: dict[str, str]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(pictures), encoding="utf-8")
    unfinished.replace(file)
    for old in sorted(file.parent.glob("*.json"), key=lambda each: each.stat().st_mtime)[:-KEPT]:
        old.unlink(missing_ok=True)

"""How often Python looks for garbage in a process that runs once and ends.

What belongs here: that one setting. Libraries, definitions and manifests are a million objects that stay; Python would
look through them again and again, and once more at the end: six seconds of every run, in this process and in dbt's.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

# Objects made since the last look among the youngest, and looks before one among older ones, and the oldest.
LOOK_AFTER = (10_000, 10, 50)


def look_seldom() -> None:
    """From now on."""
    gc.set_threshold(*LOOK_AFTER)


@contextmanager
def seldom_looked_for() -> Iterator[None]:
    """Look seldom, and not at all when the process ends, which it has to after this."""
    look_seldom()
    try:
        yield
    finally:
        gc.freeze()

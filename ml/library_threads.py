"""How many threads libraries may use, where more of them cost time or change the result.

What belongs here: limits that a block of code sets and takes back.
"""

from __future__ import annotations

import sys
from contextlib import nullcontext
from functools import lru_cache
from typing import Any

from threadpoolctl import ThreadpoolController

FEW_ROWS = 20_000
"""Up to so many rows two boosted models side by side are made sooner with a core for each than with both for both."""


def one_thread() -> Any:
    """Keep the linear algebra to one thread: its sums depend on their number in the last bits; those of trees do not.

    What starts threads of its own holds this around them all: the limit is one of the process, and a thread that gave
    it back early would do so for the others.
    """
    return _libraries(len(sys.modules)).limit(limits=1, user_api="blas")


def one_core_for_few(rows: int) -> Any:
    """Keep the trees of few rows to the core of the calling thread; on others something else is made meanwhile.

    Two models of 20,000 rows side by side take 0.5 s this way, and 1.2 s where each has threads for both cores; one
    alone takes 0.43 s instead of 0.30. Trees are the same either way. This limit is one of the calling thread.

    Args:
        rows: that the trees are made of.
    """
    return nullcontext() if rows > FEW_ROWS else _libraries(len(sys.modules)).limit(limits=1, user_api="openmp")


@lru_cache(maxsize=1)
def _libraries(modules: int) -> ThreadpoolController:
    """The libraries that have threads, looked for again only once more was imported: that takes some milliseconds."""
    return ThreadpoolController()

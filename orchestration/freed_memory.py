"""What this process does with memory it no longer needs: models ask for as much again a moment later.

What belongs here: settings of the C library's allocator, which NumPy uses. Those of polars and DuckDB are set in
`__init__.py`, since both read them when they are loaded.

By default arrays of megabytes go back to the kernel when they are freed, and each page of the next one is cleared and
mapped again: of the models of a million people that was a tenth of the time.
"""

from __future__ import annotations

import ctypes
import sys

# The numbers of these settings in <malloc.h>, and what they are set to. Who does not know one of them ignores it.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_KEPT_BYTES = 1 << 30


def keep_freed_memory() -> None:
    """From now on keep up to a gigabyte of what is freed, for all threads; without glibc, nothing."""
    library = _c_library()
    if library is not None and hasattr(library, "mallopt"):
        for setting, value in ((_M_TRIM_THRESHOLD, _KEPT_BYTES), (_M_MMAP_THRESHOLD, _KEPT_BYTES), (_M_ARENA_MAX, 1)):
            library.mallopt(setting, value)


def give_back_freed_memory() -> None:
    """Give all that is kept back to the kernel now, for a process that works while this one waits; only glibc can."""
    library = _c_library()
    if library is not None and hasattr(library, "malloc_trim"):
        library.malloc_trim(0)


def _c_library() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if sys.platform == "linux" else None

"""Libraries that take seconds to import are imported while something else is waited for.

What belongs here: their names, and the thread that imports them. Who needs them imports them as always, and finds them
there; a library that cannot be imported complains there, not here.
"""

from __future__ import annotations

import contextlib
import importlib
import threading

SLOW_TO_IMPORT = ("sklearn.ensemble", "scipy.stats")
SLOW_TO_IMPORT_FOR_NEW_ROWS = ("great_expectations",)


def import_ahead(names: tuple[str, ...] = SLOW_TO_IMPORT) -> None:
    """Begin to import them in the background; returns at once."""

    def import_all() -> None:
        for name in names:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)

    threading.Thread(target=import_all, name="imports ahead", daemon=True).start()

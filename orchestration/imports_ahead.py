"""Modules that take seconds to import are imported while something else is waited for.

What belongs here: their names, and the thread that imports them. Who needs them imports them where they are used, and
finds them there; a module that cannot be imported complains there, not here.
"""

from __future__ import annotations

import contextlib
import importlib
import threading

# What steps import when they run, and with it scikit-learn, SciPy's statistics and Matplotlib.
MODULES_OF_MODELS = (
    "ml.plots",
    "orchestration.adoption_week",
    "orchestration.affinity_week",
    "orchestration.lookalike_week",
    "orchestration.persona_week",
    "orchestration.persuasion_week",
    "orchestration.preference_week",
    "orchestration.propensity_week",
    "orchestration.uplift_week",
    "orchestration.value_week",
    "sklearn.ensemble",
)
LIBRARIES_FOR_NEW_ROWS = ("great_expectations",)

_one_at_a_time = threading.Lock()


def import_all(names: tuple[str, ...]) -> None:
    """Import them, or wait until another thread has.

    Of two threads that import modules which import each other, one may see half a module: here one imports them all.
    """
    with _one_at_a_time:
        for name in names:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)


def import_ahead(names: tuple[str, ...]) -> None:
    """Begin to import them in the background; returns at once."""
    threading.Thread(target=import_all, args=(names,), name="imports ahead", daemon=True).start()

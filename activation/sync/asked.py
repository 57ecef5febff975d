"""A destination that was connected and has said whom it suppresses: what the gate has to know before it judges.

Here belongs the first call of every sync. A destination is asked once: whoever asks before judging hands what came of
it to `engine.sync`, which asks by itself otherwise. Whom it suppresses stands in the warehouse from then on, for the
gate and for the engine's own look.
"""

from dataclasses import dataclass

import duckdb

from activation.sync.protocol import Destination
from activation.sync.rates import Clock, Pacer, SystemClock
from activation.sync.state import SyncState


@dataclass(frozen=True)
class AskedDestination:
    """A destination, and what came of asking it.

    Attributes:
        destination: It.
        pacer: What it was called with, so that its limits hold for all that follows.
        failure: Why it could not be asked. A sync of it ends with that: nobody is pushed on old suppressions.
    """

    destination: Destination
    pacer: Pacer
    failure: Exception | None


def ask_destination(
    connection: duckdb.DuckDBPyConnection,
    destination: Destination,
    *,
    seed: int | None = None,
    call_deadline_seconds: float,
    clock: Clock | None = None,
) -> AskedDestination:
    """Connect a destination, and take over whom it suppresses now: all of them or, if one cannot be had, none.

    Whoever asks closes it when all is done.

    Args:
        connection: The warehouse, writable, with nobody else on it.
        destination: The connector.
        seed: Of the waiting times between attempts.
        call_deadline_seconds: How long one call is tried.
        clock: The machine's where none is given.
    """
    clock = clock or SystemClock()
    pacer = Pacer(destination.limits.windows, clock, seed, deadline_seconds=call_deadline_seconds)
    failure = None
    try:
        destination.connect(pacer)
        if destination.capabilities.pulls_suppressions:
            state = SyncState(connection, destination.name, clock, destination.capabilities.is_case_sensitive)
            state.replace_suppressions(destination.pull_suppressions())
    except Exception as error:
        # Kept for the sync, which records it and tells it by its kind.
        failure = error
    return AskedDestination(destination, pacer, failure)

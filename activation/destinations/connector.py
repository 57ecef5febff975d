"""What all destinations have in common: the engine's protocol, answered as one answers that has nothing of its own.

Here belongs what does not differ between destinations. `Connector` is for those that are reached in any way (files),
`HttpConnector` for those behind HTTP, `vendor.Vendor` for those with an account and lists.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from activation.sync.gated import Batch, require_batch
from activation.sync.protocol import (
    Applied,
    Capabilities,
    Drift,
    Held,
    Job,
    JobState,
    Limits,
    PlanShape,
    Suppression,
)
from activation.sync.rates import Pacer

if TYPE_CHECKING:  # files do not wait for httpx
    from activation.sync.http import VendorClient


class Connector:
    """A destination without lists to make, suppressions, jobs, or anything to read back.

    Attributes:
        name: The destination's.
        capabilities: What it can do.
        limits: How fast, and in what pieces.
    """

    name: str
    capabilities: Capabilities
    limits: Limits
    _pacer: Pacer

    def connect(self, pacer: Pacer) -> None:
        """Take the run's pacer."""
        self._pacer = pacer

    def prepare(self, shape: PlanShape) -> Sequence[Drift]:
        """Nothing is missing there."""
        return []

    def pull_suppressions(self) -> Iterator[Sequence[Suppression]]:
        """It suppresses nobody."""
        yield []

    def apply(self, batch: Batch) -> Applied:
        """Send one batch, if the engine sealed it: no connector sees another one.

        Raises:
            NotGated: It did not.
        """
        return self._apply(require_batch(batch))

    def _apply(self, batch: Batch) -> Applied:
        """Send a batch that was sealed."""
        raise NotImplementedError

    def poll(self, job: Job) -> JobState:
        """There are no jobs."""
        return JobState(finished=True, lost=True)

    def commit(self, shape: PlanShape) -> None:
        """Nothing waits to become visible."""

    def read_back(self, segment: str) -> Iterator[Sequence[Held]]:
        """It cannot be asked."""
        yield []

    def close(self) -> None:
        """There is nothing to let go of."""


class HttpConnector(Connector):
    """A destination behind HTTP, whose every call goes through one client."""

    _client: "VendorClient"

    def connect(self, pacer: Pacer) -> None:
        """Take the run's pacer."""
        super().connect(pacer)
        self._client.connect(pacer)

    def close(self) -> None:
        """Close connections."""
        self._client.close()

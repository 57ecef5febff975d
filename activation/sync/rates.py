"""How fast a vendor is called: several rate windows at once, pauses it asks for, and backoff with a deadline.

A window is kept as the times of its last calls, not as a bucket that fills again: a bucket that begins full lets twice
its size through in the first window, and a vendor that counts by the minute then answers 429. This way no window of any
alignment ever sees more than it allows, and the allowed rate is still used whole.
"""

import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Protocol, TypeVar

from activation.sync.protocol import OutOfTime, Retryable, Window

DEFAULT_DEADLINE_SECONDS = 900.0
BACKOFF_BASE_SECONDS = 1.0
BACKOFF_CAP_SECONDS = 60.0

Answer = TypeVar("Answer")


class Clock(Protocol):
    """Time as the engine knows it; tests bring their own."""

    def now(self) -> datetime:
        """The time of day, in UTC."""

    def monotonic(self) -> float:
        """Seconds that never go back."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The time of day, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


class Windows:
    """All rate windows of one vendor operation. Not thread-safe: the pacer locks."""

    def __init__(self, windows: tuple[Window, ...]) -> None:
        """Begin with no call made."""
        self._windows = [(window.seconds, deque[float](maxlen=window.calls)) for window in windows]
        self.blocked_until = 0.0

    def reserve(self, now: float) -> float:
        """Take the next slot and return when it is; later calls count it from then."""
        slot = max(now, self.blocked_until)
        for seconds, calls in self._windows:
            if len(calls) == calls.maxlen:
                slot = max(slot, calls[0] + seconds)
        for _, calls in self._windows:
            calls.append(slot)
        return slot

    def wait_until_free(self, now: float) -> float:
        """Return the seconds until a slot is free, without taking it."""
        slot = max(now, self.blocked_until)
        for seconds, calls in self._windows:
            if len(calls) == calls.maxlen:
                slot = max(slot, calls[0] + seconds)
        return slot - now


class Pacer:
    """Carries calls out: waits for a free slot, retries what may succeed later, gives up at a deadline.

    One pacer serves all threads of a run. Operations with the same windows under one name share them.
    """

    def __init__(
        self,
        windows: Mapping[str, tuple[Window, ...]],
        clock: Clock | None = None,
        seed: int | None = None,
        deadline_seconds: float = DEFAULT_DEADLINE_SECONDS,
    ) -> None:
        """Store the limits.

        Args:
            windows: By name of the vendor's operation; `"*"` for those that are not named.
            clock: The machine's where none is given.
            seed: Of the jitter.
            deadline_seconds: How long one call may be retried, and how long it may wait for a slot.
        """
        self.clock: Clock = clock or SystemClock()
        self.calls: Counter[str] = Counter()
        self.retries: Counter[str] = Counter()
        self._windows = {name: Windows(of_operation) for name, of_operation in windows.items()}
        self._random = random.Random(seed)  # noqa: S311 - jitter
        self._deadline_seconds = deadline_seconds
        self._lock = threading.Lock()
        self._stopped = False

    def stop(self) -> None:
        """Let no further call begin: the run ends."""
        self._stopped = True

    def call(self, operation: str, function: Callable[[], Answer]) -> Answer:
        """Carry out one call as often as it takes.

        Args:
            operation: The vendor's operation, by which the windows are found.
            function: The call. It raises `Retryable` where a later try may succeed; everything else is passed on.

        Raises:
            OutOfTime: It did not succeed until the deadline.
        """
        deadline = self.clock.monotonic() + self._deadline_seconds
        attempt = 0
        while True:
            self._wait_for_slot(operation, deadline)
            try:
                return function()
            except Retryable as error:
                pause = self.pause_after(error, attempt)
                if self.clock.monotonic() + pause > deadline:
                    raise OutOfTime(
                        f"{operation}: still failing at the deadline: {error}", error.status, error.code
                    ) from None
                attempt += 1
                self._pause(operation, pause, everybody=error.status == 429)

    def pause_after(self, error: Retryable, attempt: int) -> float:
        """Return the seconds to wait: what the vendor asks for, else full jitter over a doubling span."""
        if error.retry_after is not None:
            # A little of one's own on top, so that all that waited do not come back in the same instant.
            return error.retry_after + self._random.uniform(0, 0.25)
        return self._random.uniform(0, min(BACKOFF_CAP_SECONDS, BACKOFF_BASE_SECONDS * 2.0 ** min(attempt, 16)))

    def _wait_for_slot(self, operation: str, deadline: float) -> None:
        with self._lock:
            if self._stopped:
                raise OutOfTime(f"{operation}: the run is ending")
            self.calls[operation] += 1
            windows = self._windows.get(operation) or self._windows.get("*")
            now = self.clock.monotonic()
            wait = windows.wait_until_free(now) if windows else 0.0
            if now + wait > deadline:
                raise OutOfTime(f"{operation}: the vendor's rate limit leaves no call before the deadline")
            if windows:
                windows.reserve(now)
        if wait > 0:
            self.clock.sleep(wait)

    def _pause(self, operation: str, seconds: float, everybody: bool) -> None:
        with self._lock:
            self.retries[operation] += 1
            windows = self._windows.get(operation) or self._windows.get("*")
            if everybody and windows:
                windows.blocked_until = max(windows.blocked_until, self.clock.monotonic() + seconds)
        self.clock.sleep(seconds)


def retry_after_seconds(header: str | None, date_header: str | None, now: datetime) -> float | None:
    """Read `Retry-After`: seconds, or a date.

    A date is counted from the answer's own `Date`, so that a clock that is wrong here or there does not matter.

    Returns:
        Seconds, at least 0; nothing where the header is absent or unreadable.
    """
    if header is None:
        return None
    text = header.strip()
    try:
        seconds = float(text)
    except ValueError:
        until = _http_date(text)
        if until is None:
            return None
        seconds = (until - (_http_date(date_header) or now)).total_seconds()
    return max(0.0, seconds) if seconds < float("inf") else None


def _http_date(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        read = parsedate_to_datetime(text)
    except ValueError:
        return None
    return read if read.tzinfo else read.replace(tzinfo=UTC)

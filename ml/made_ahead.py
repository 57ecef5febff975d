"""Parts of a whole, made on both cores while somebody works with the one before; they come in order.

What belongs here: threads. What a part is, its maker knows; numpy and polars let other threads run meanwhile.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Key = TypeVar("Key")
Part = TypeVar("Part")
AT_ONCE = 2
"""Threads, and parts that are in memory besides the one in use."""


def made_ahead(make: Callable[[Key], Part], keys: Iterable[Key]) -> Iterator[Part]:
    """Make a part for each key, two at a time.

    Args:
        make: Makes one part, and changes nothing else.
        keys: One per part.

    Yields:
        The parts, in the order of the keys.

    Examples:
        >>> list(made_ahead(lambda number: number * number, [3, 1, 2]))
        [9, 1, 4]
    """
    waiting = iter(keys)
    with ThreadPoolExecutor(AT_ONCE) as threads:
        begun: deque[Future[Part]] = deque(threads.submit(make, key) for key in islice(waiting, AT_ONCE))
        while begun:
            part = begun.popleft().result()
            begun.extend(threads.submit(make, key) for key in islice(waiting, 1))
            yield part

"""The fitted state of a classifier as plain data.

Here belongs the shape of it. How it becomes bytes and is read again stands in `propensity_store`.
"""

from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True)
class FittedState:
    """What a fitted classifier is, as plain data.

    Attributes:
        values: What JSON can hold.
        arrays: Arrays of numbers.
    """

    values: dict[str, Any]
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)

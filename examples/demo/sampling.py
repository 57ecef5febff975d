"""Random draws for whole arrays at once: weighted choices, and rows repeated by count.

What belongs here: what every system of the demo company draws with. What is drawn stands with the systems.
"""

from enum import IntEnum

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


class Stream(IntEnum):
    """The independent sources of chance: each part of the company draws from its own."""

    PEOPLE = 1
    DEVICES = 2
    ACCOUNTS = 3
    CONTACTS = 4
    LIVES = 5
    PRODUCT = 7
    WEB = 8
    ORDERS = 9
    EMAIL = 10
    CONSENTS = 11
    TICKETS = 12
    SURVEYS = 13
    MAIL_TRIALS = 14
    MAIL_APPROACHES = 18
    RELEASES = 20


def generator(seed: int, stream: Stream, week: int = -1) -> np.random.Generator:
    """The generator of one stream in one week (-1: before history), so that no stream depends on what another drew."""
    return np.random.default_rng(np.random.SeedSequence([seed, int(stream), week + 1]))


class Choice:
    """Draws a column index by weight, from the weights of a given row, for millions of rows in one binary search."""

    def __init__(self, weights: npt.ArrayLike):
        """Keep `weights` (rows x choices, none negative, each row with a positive sum) as cumulative shares."""
        table = np.asarray(weights, dtype=np.float64)
        if table.ndim != 2 or (table < 0).any() or (table.sum(axis=1) <= 0).any():
            raise ValueError("weights must be a table without negative values whose rows have positive sums")
        shares = np.cumsum(table, axis=1) / table.sum(axis=1, keepdims=True)
        self._choices = table.shape[1]
        self._thresholds = (shares + np.arange(len(table))[:, None]).ravel()

    def draw(self, rng: np.random.Generator, rows: npt.NDArray[np.integer]) -> IntArray:
        """One choice per entry of `rows`, which names the row of weights to draw from."""
        position = np.searchsorted(self._thresholds, rows + rng.random(len(rows)), side="right")
        return np.minimum(position - rows * self._choices, self._choices - 1).astype(np.int64)


def choose(rng: np.random.Generator, weights: npt.ArrayLike, size: int) -> IntArray:
    """`size` draws from one row of weights."""
    return Choice(np.asarray(weights)[None, :]).draw(rng, np.zeros(size, dtype=np.int64))


def expand(counts: npt.NDArray[np.integer]) -> tuple[IntArray, BoolArray]:
    """Repeat each index by its count.

    Returns:
        The repeated indexes in order, and for each whether it is the first of its index.
    """
    owners = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
    is_first = np.ones(len(owners), dtype=np.bool_)
    is_first[1:] = owners[1:] != owners[:-1]
    return owners, is_first


def running_total_within(values: FloatArray, owners: IntArray, is_first: BoolArray) -> FloatArray:
    """The sum of `values` so far within each owner, the owner's first value counted as zero."""
    steps = np.where(is_first, 0.0, values)
    total = np.cumsum(steps)
    starts = total[is_first]
    lengths = np.bincount(owners)
    return total - np.repeat(starts, lengths[lengths > 0])

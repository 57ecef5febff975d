"""How many people who belong to a seed are found by those listed first, measured on a seed that was hidden.

Here belong the figures by size of list, with their intervals. The ranking stands in `lookalikes`.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ml.bands import wilson

Floats = NDArray[np.float64]

PRECISION_SCHEMA = {
    "people": pl.Int64,
    "share": pl.Float64,
    "hidden": pl.Int64,
    "found": pl.Float64,
    "recall": pl.Float64,
    "recall_low": pl.Float64,
    "recall_high": pl.Float64,
    "lift": pl.Float64,
    "lift_low": pl.Float64,
    "lift_high": pl.Float64,
    "precision": pl.Float64,
    "precision_low": pl.Float64,
    "precision_high": pl.Float64,
}
OF_THE_SIZE = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0)
OF_EVERYBODY = (0.01, 0.05, 0.1, 0.2)


def sizes_to_tell(size: int, candidates: int) -> list[int]:
    """The sizes of list to tell of: around the one asked for, and some shares of everybody who may be listed."""
    told = {round(size * times) for times in OF_THE_SIZE} | {round(candidates * share) for share in OF_EVERYBODY}
    return sorted(people for people in told | {min(size, candidates)} if 1 <= people <= candidates)


def precision_by_size(
    score: Floats, is_seed: NDArray[np.bool_], is_candidate: NDArray[np.bool_], sizes: Sequence[int]
) -> pl.DataFrame:
    """Say how precision falls as a list grows.

    Each tenth of the seed was hidden once and ranked among everybody else by models that learned from the rest. A list
    of n people reaches down to some score; the hidden people who score at least that would be in it. Intervals are
    Wilson's, over the seed, for one list at a time.

    Args:
        score: 0..1 per person, out of fold.
        is_seed: Who is in the seed.
        is_candidate: Who may be listed; nobody of the seed.
        sizes: People to list, each at least 1 and at most as many as there are candidates.

    Returns:
        `PRECISION_SCHEMA`, one row per size: people and their share of all candidates; hidden people looked for and
        found; recall, the share found; lift, recall against that of a list drawn by lot; precision, the share of a list
        that is in the seed, if the whole seed (as far as it may be listed like everybody) were hidden among the
        candidates: n listed people who are not known to be in it, and those of it who would be listed with them.
    """
    seed, candidates = score[is_seed], np.sort(score[is_candidate])[::-1]
    others = int((~is_seed).sum())
    mixed = len(seed) * len(candidates) / max(others, 1)
    rows = []
    for people in sizes:
        last = candidates[people - 1]
        # Of people who tie with the last one, as many as fit.
        tied = max(int((candidates == last).sum()), 1)
        fit = people - int((candidates > last).sum())
        found = float((seed > last).sum() + (seed == last).sum() * fit / tied)
        recall = found / len(seed)
        low, high = wilson(recall, len(seed))
        share = people / len(candidates)
        rows.append(
            {"people": people, "share": share, "hidden": len(seed), "found": found}
            | _with_interval("recall", recall, low, high)
            | _with_interval("lift", recall / share, low / share, high / share)
            | _with_interval("precision", *(mixed * part / (mixed * part + people) for part in (recall, low, high)))
        )
    return pl.DataFrame(rows, schema=PRECISION_SCHEMA)


def _with_interval(name: str, value: float, low: float, high: float) -> dict[str, float]:
    return {name: value, f"{name}_low": low, f"{name}_high": high}

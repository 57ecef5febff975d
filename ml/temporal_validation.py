"""Which rows a model learns from and which it is tried on, so that trying is like next week.

Here belong the splits. Weeks go forward: a model is tried on a later week than those it learned from. Where the
outcome windows of these weeks overlap, as they do for weeks nearer to each other than the horizon, the same person
would be on both sides with the same outcome; then it is tried on other people as well. The last week is for measuring:
nothing is chosen or calibrated by it, nor, where its outcomes overlap with those of earlier weeks, by the people that
are measured in it.
"""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ml.people_order import person_fold

Mask = NDArray[np.bool_]

FOLDS = 10
MEASURED = 3
"""Of ten equal parts of the people, so many are measured on where weeks alone do not separate."""
TRIED = 2
"""And so many of the other seven are what models are chosen and calibrated by, others at each origin: the more are left
to learn from, the more the model that is calibrated is like the one that is used."""
MOST_ORIGINS = 2
"""Weeks that models are tried on, the latest that are left."""


@dataclass(frozen=True)
class Split:
    """Rows to learn from, and rows to try on.

    Attributes:
        learn: One truth value per row.
        test: One truth value per row.
        in_words: Both, in words.
        is_forward: Whether the tried week is later than every week learned from.
    """

    learn: Mask
    test: Mask
    in_words: str
    is_forward: bool


def measuring_split(rows: pl.DataFrame, horizon_days: int | None, seed: int) -> Split:
    """Keep the last week for measuring.

    Args:
        rows: person_id, as_of.
        horizon_days: Days an outcome looks ahead; None if unknown, which is taken for longer than the weeks are apart.
        seed: Seed of the parts of the people.

    Returns:
        The split. `learn` is all that models may be chosen and calibrated by.
    """
    part = person_fold(rows["person_id"], FOLDS, seed + 2)
    return _split(rows, np.ones(rows.height, dtype=bool), rows["as_of"].max(), horizon_days, part < MEASURED)  # type: ignore[arg-type]


def trial_splits(rows: pl.DataFrame, allowed: Mask, horizon_days: int | None, seed: int) -> list[Split]:
    """Go forward through the weeks that are left.

    Args:
        rows: person_id, as_of.
        allowed: The rows that may be used, `learn` of `measuring_split`.
        horizon_days: As there.
        seed: As there.

    Returns:
        One split per origin, the latest first: at most two weeks that have another before them, or the only week.
    """
    part = person_fold(rows["person_id"], FOLDS, seed + 2)
    weeks = rows.filter(pl.Series(allowed))["as_of"].unique().sort().to_list()
    origins = weeks[:0:-1][:MOST_ORIGINS] or weeks
    firsts = [MEASURED + TRIED * number for number in range(len(origins))]
    splits = [
        _split(rows, allowed, origin, horizon_days, (part >= first) & (part < first + TRIED))
        for origin, first in zip(origins, firsts, strict=True)
    ]
    return [split for split in splits if split.learn.any() and split.test.any()]


def _split(rows: pl.DataFrame, allowed: Mask, origin: date, horizon_days: int | None, others: Mask) -> Split:
    """Try on `origin`; `others` are the people tried on where weeks do not separate."""
    is_origin = allowed & (rows["as_of"] == origin).to_numpy()
    is_before = allowed & (rows["as_of"] < origin).to_numpy()
    if not is_before.any():
        return Split(
            is_origin & ~others, is_origin & others, f"other people of the same week, {origin}; not out of time", False
        )
    if horizon_days is not None:
        is_closed = is_before & (rows["as_of"] <= origin - timedelta(days=horizon_days)).to_numpy()
        if is_closed.any():
            latest = rows.filter(pl.Series(is_closed))["as_of"].max()
            return Split(is_closed, is_origin, f"the week of {origin}, learned from weeks up to {latest!s}", True)
    words = f"other people in the week of {origin}, learned from earlier weeks"
    return Split(is_before & ~others, is_origin & others, words, True)

"""Learning from all of the rare outcome and a drawn part of the common one, without changing what is learned.

Here belong the drawing, and how it is undone: in log-odds for what was fitted on the rows, by weights for what is
measured on them. Both are exact, because whether a row is drawn depends on nothing but its outcome and a hash.
(King and Zeng 2001, "Logistic regression in rare events data": the prior correction.)
"""

import math

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ml.people_order import person_hash

Floats = NDArray[np.float64]

ENOUGH = 200_000
"""Rows of the common outcome that are always kept where there are as many: with as many of each outcome, the common one
adds no more uncertainty than the rare one does."""


def draw_common_outcome(rows: pl.DataFrame, seed: int, enough: int = ENOUGH) -> pl.DataFrame:
    """Keep every row of the rarer outcome, and of the commoner one as many, but at least `enough`.

    Args:
        rows: At (person_id, as_of): outcome 0, 1 or null; rows with a null are left out.
        seed: Seed of the hash of person and week.
        enough: Fewest rows of the commoner outcome to keep, as far as there are as many.

    Returns:
        The rows kept, with sampled_at: the rate 0..1 at which rows of this outcome were drawn.
    """
    known = rows.filter(pl.col("outcome").is_not_null())
    positives = int(known["outcome"].cast(pl.Int64).sum())
    negatives = known.height - positives
    common = 0 if negatives >= positives else 1
    rate = min(1.0, max(enough, min(positives, negatives)) / max(positives, negatives, 1))
    is_common = pl.col("outcome") == common
    with_rate = known.with_columns(sampled_at=pl.when(is_common).then(rate).otherwise(1.0))
    if rate == 1:
        return with_rate
    limit = np.uint64(int(rate * 2**64))
    kept = []
    for (as_of,), week in with_rate.group_by("as_of", maintain_order=True):
        drawn = person_hash(week["person_id"], seed + as_of.toordinal()) < limit  # type: ignore[attr-defined]
        kept.append(week.filter(pl.Series(drawn) | ~is_common))
    return pl.concat(kept)


def weights_of(rows: pl.DataFrame) -> Floats:
    """How many rows each row stands for: one over `sampled_at`, or 1 where nothing was drawn.

    Args:
        rows: outcome, and sampled_at if rows were drawn.

    Returns:
        One per row.
    """
    if "sampled_at" not in rows.columns:
        return np.ones(rows.height)
    return 1 / rows["sampled_at"].cast(pl.Float64).to_numpy()


def prior_shift(rows: pl.DataFrame) -> float:
    """What is added to the log-odds learned from drawn rows to have those of all rows.

    Odds among the drawn rows are the true odds times the ratio of the two rates, whatever the features are.

    Args:
        rows: outcome 0 or 1, and sampled_at if rows were drawn.

    Returns:
        log(rate of negatives / rate of positives).

    Raises:
        ValueError: Rows of one outcome were drawn at several rates, or a rate is not above 0 and at most 1.
    """
    if "sampled_at" not in rows.columns:
        return 0.0
    rates = rows.group_by("outcome").agg(low=pl.col("sampled_at").min(), high=pl.col("sampled_at").max())
    by_outcome = {}
    for outcome, low, high in rates.iter_rows():
        if low is None or not 0 < low <= high <= 1:
            raise ValueError(f"sampled_at must be above 0 and at most 1, got {low} to {high}")
        if high - low > 1e-12:
            raise ValueError(f"rows with outcome {outcome} were drawn at several rates, {low} to {high}")
        by_outcome[int(outcome)] = low
    return math.log(by_outcome.get(0, 1.0) / by_outcome.get(1, 1.0))


def drawn_in_words(rows: pl.DataFrame) -> str | None:
    """Say what was drawn.

    Args:
        rows: outcome, and sampled_at if rows were drawn.

    Returns:
        One sentence, or None where every row was kept.
    """
    if "sampled_at" not in rows.columns or rows["sampled_at"].min() == 1:
        return None
    rates = rows.group_by("outcome").agg(pl.col("sampled_at").min()).sort("outcome")
    told = [f"{rate:.1%} of those {('without', 'with')[int(outcome)]}" for outcome, rate in rates.iter_rows()]
    return f"rows were drawn: {' and '.join(told)} the outcome; figures are those of all rows"

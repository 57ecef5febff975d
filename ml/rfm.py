"""Recency, frequency and monetary value as scores from 1 to 5, by cut points that stay as they are.

Here belong the cut points, the scores and the names of their combinations. From which orders the three are counted, and
how long cut points are kept, was decided before.

The scores are those of direct marketing (Hughes 1994, "Strategic Database Marketing"); ties are put by their mid-rank,
so that of many people with one purchase none is called better than another.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import polars as pl

SCORES = 5
RFM_COLUMNS = ("recency", "frequency", "monetary")
# What a combination of recency (rows, from long ago to just now) and frequency (columns, from rare to often) is called.
SEGMENT_NAMES = (
    ("lost", "lost", "at risk", "cannot lose them", "cannot lose them"),
    ("hibernating", "hibernating", "at risk", "at risk", "cannot lose them"),
    ("about to sleep", "about to sleep", "need attention", "loyal", "loyal"),
    ("promising", "promising", "potential loyalists", "loyal", "loyal"),
    ("new", "new", "potential loyalists", "champions", "champions"),
)
SCORE_SCHEMA = {
    "person_id": pl.UInt64,
    "recency_score": pl.Int64,
    "frequency_score": pl.Int64,
    "monetary_score": pl.Int64,
    "rfm_segment": pl.String,
}


@dataclass(frozen=True)
class RfmCuts:
    """The lowest value of each score above 1, per column; infinite where no value has that score.

    Attributes:
        recency: In days since the last purchase, with a minus before it: more recent is better.
        frequency: Purchases, those of one day counted once.
        monetary: What a purchase brought on average, net of returns.
    """

    recency: tuple[float, ...]
    frequency: tuple[float, ...]
    monetary: tuple[float, ...]

    @classmethod
    def learn(cls, people: pl.DataFrame) -> Self:
        """Cut everybody into fifths.

        Args:
            people: person_id, days_since_purchase, purchases, mean_amount (null counts as nothing); somebody at least.
        """
        columns = _columns(people)
        return cls(*(_lowest_values(columns[name]) for name in RFM_COLUMNS))

    def score(self, people: pl.DataFrame) -> pl.DataFrame:
        """Score people by these cut points, whoever they were learned from.

        Args:
            people: As for `learn`.

        Returns:
            By person_id: person_id; recency_score, frequency_score, monetary_score from 1 (least) to 5; rfm_segment,
            what recency and frequency together are called.
        """
        columns = _columns(people)
        scores = {
            name: 1 + np.searchsorted(np.array(getattr(self, name)), columns[name], side="right")
            for name in RFM_COLUMNS
        }
        names = np.array(SEGMENT_NAMES)
        return pl.DataFrame(
            {
                "person_id": people["person_id"],
                **{f"{name}_score": values for name, values in scores.items()},
                "rfm_segment": names[scores["recency"] - 1, scores["frequency"] - 1],
            },
            schema=SCORE_SCHEMA,
        ).sort("person_id")


def _columns(people: pl.DataFrame) -> dict[str, np.ndarray]:
    return {
        "recency": -people["days_since_purchase"].cast(pl.Float64).to_numpy(),
        "frequency": people["purchases"].cast(pl.Float64).to_numpy(),
        "monetary": people["mean_amount"].fill_null(0.0).cast(pl.Float64).to_numpy(),
    }


def _lowest_values(values: np.ndarray) -> tuple[float, ...]:
    """Per score from 2 on the lowest value whose mid-rank lies in that fifth or above."""
    distinct, counts = np.unique(values, return_counts=True)
    middle = (np.cumsum(counts) - counts / 2) / counts.sum()
    first = [int(np.searchsorted(middle, score / SCORES, side="right")) for score in range(1, SCORES)]
    return tuple(float(distinct[index]) if index < len(distinct) else float("inf") for index in first)

"""Recency, frequency and monetary scores: fifths, ties, and cut points that stay."""

import numpy as np
import polars as pl

from ml.rfm import RfmCuts
from tests.people_by_name import person_ids


def people(days: list[float], purchases: list[int], amount: list[float | None]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "person_id": person_ids(len(days)),
            "days_since_purchase": days,
            "purchases": purchases,
            "mean_amount": pl.Series(amount, dtype=pl.Float64),
        }
    )


def test_without_ties_each_score_has_a_fifth_of_the_people() -> None:
    rng = np.random.default_rng(1)
    many = people(list(rng.permutation(1000)), list(range(1000)), list(rng.permutation(1000).astype(float)))
    scores = RfmCuts.learn(many).score(many)
    for column in ("recency_score", "frequency_score", "monetary_score"):
        assert scores[column].value_counts().sort(column).rows() == [(score, 200) for score in range(1, 6)]


def test_the_most_recent_score_highest() -> None:
    many = people(list(range(100)), [1] * 100, [1.0] * 100)
    scores = RfmCuts.learn(many).score(many)
    assert (scores["recency_score"][0], scores["recency_score"][99]) == (5, 1)


def test_people_who_are_alike_score_alike_in_the_middle_of_their_places() -> None:
    # Seven in ten bought once: their middle place is the 35th percentile, the second fifth.
    many = people([10] * 100, [1] * 70 + [2] * 20 + [9] * 10, [5.0] * 100)
    scores = RfmCuts.learn(many).score(many)
    assert (
        scores["frequency_score"].to_list() == [2] * 70 + [5] * 20 + [5] * 10
        or scores["frequency_score"].to_list() == [2] * 70 + [4] * 20 + [5] * 10
    )
    assert scores["recency_score"].unique().to_list() == [3]


def test_cut_points_stay_when_people_change() -> None:
    many = people(list(range(500)), list(range(500)), [float(value) for value in range(500)])
    cuts = RfmCuts.learn(many)
    later = people([250.0, 1.0], [499, 1], [499.0, None])
    alone = cuts.score(later.head(1))
    assert cuts.score(later).head(1).equals(alone)
    assert cuts.score(later).row(1) == (1, 5, 1, 1, "new")


def test_every_combination_has_a_name() -> None:
    many = people(list(range(500)), list(np.random.default_rng(2).permutation(500)), [1.0] * 500)
    scores = RfmCuts.learn(many).score(many)
    assert scores.select("recency_score", "frequency_score").unique().height == 25
    assert scores["rfm_segment"].null_count() == 0
    assert scores["rfm_segment"].n_unique() <= 11

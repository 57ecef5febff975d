import math

import numpy as np
import polars as pl
import pytest
from planted_people import WEEK

from ml.negative_sampling import draw_common_outcome, drawn_in_words, prior_shift, weights_of
from tests.people_by_name import person_ids


def rows_of(positives, negatives):
    count = positives + negatives
    return pl.DataFrame(
        {
            "person_id": person_ids(count),
            "as_of": WEEK,
            "outcome": [1] * positives + [0] * negatives,
        }
    )


def test_all_of_the_rare_outcome_and_a_part_of_the_common_one_are_kept():
    drawn = draw_common_outcome(rows_of(1_000, 20_000), seed=7, enough=4_000)
    counts = dict(drawn.group_by("outcome").len().iter_rows())
    assert counts[1] == 1_000
    assert counts[0] == pytest.approx(4_000, abs=200)
    assert drawn.filter(pl.col("outcome") == 0)["sampled_at"].unique().to_list() == [0.2]
    assert weights_of(drawn).sum() == pytest.approx(21_000, rel=0.05)
    assert prior_shift(drawn) == pytest.approx(math.log(0.2))
    assert drawn_in_words(drawn).startswith("rows were drawn: 20.0% of those without and 100.0% of those with")


def test_where_the_outcome_is_the_common_one_it_is_drawn():
    drawn = draw_common_outcome(rows_of(20_000, 1_000), seed=7, enough=1)
    assert drawn.filter(pl.col("outcome") == 0).height == 1_000
    assert prior_shift(drawn) == pytest.approx(-math.log(1_000 / 20_000))


def test_few_rows_are_all_kept():
    drawn = draw_common_outcome(rows_of(100, 900), seed=7)
    assert drawn.height == 1_000
    assert prior_shift(drawn) == 0
    assert drawn_in_words(drawn) is None


def test_who_is_drawn_depends_on_the_person_and_the_week_only():
    rows = rows_of(10, 5_000)
    once = draw_common_outcome(rows, seed=7, enough=500)
    again = draw_common_outcome(rows.reverse(), seed=7, enough=500)
    assert once.sort("person_id").equals(again.sort("person_id"))
    later = draw_common_outcome(rows.with_columns(pl.col("as_of").dt.offset_by("1w")), seed=7, enough=500)
    both = set(once["person_id"]) & set(later.filter(pl.col("outcome") == 0)["person_id"])
    assert len(both) < 100


def test_outcomes_that_are_not_known_are_left_out():
    unknown = rows_of(10, 90).with_columns(outcome=pl.when(pl.col("person_id") == 3).then(None).otherwise("outcome"))
    assert draw_common_outcome(unknown, seed=7).height == 99


@pytest.mark.parametrize("rates", [[0.0, 1.0], [0.5, 1.5], [None, 1.0]])
def test_a_rate_is_a_share(rates):
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        prior_shift(pl.DataFrame({"outcome": [0, 1], "sampled_at": rates}))


def test_one_rate_per_outcome():
    with pytest.raises(ValueError, match="at several rates"):
        prior_shift(pl.DataFrame({"outcome": [0, 0, 1], "sampled_at": [0.5, 0.4, 1.0]}))


def test_restoration_is_exact_whatever_the_features_are():
    """Of every cell of the features a quarter of those without the outcome is drawn: odds come back to the digit."""
    for positives, negatives in ((3, 4_000), (50, 400), (7, 8)):
        kept = [("with", 1, 1.0)] * positives + [("without", 0, 0.25)] * (negatives // 4)
        cell = pl.DataFrame(kept, schema=["word", "outcome", "sampled_at"], orient="row")
        share = cell["outcome"].mean()
        restored = math.log(share / (1 - share)) + prior_shift(cell)
        assert restored == pytest.approx(math.log(positives / negatives), abs=1e-12)
        weights = weights_of(cell)
        assert (weights * cell["outcome"].to_numpy()).sum() / weights.sum() == pytest.approx(
            positives / (positives + negatives), abs=1e-12
        )


def test_the_shift_of_drawn_rows_gives_the_share_of_all():
    random = np.random.default_rng(0)
    outcomes = (random.random(200_000) < 0.03).astype(int)
    rows = pl.DataFrame({"person_id": person_ids(200_000), "as_of": WEEK, "outcome": outcomes})
    drawn = draw_common_outcome(rows, seed=3, enough=1)
    share = drawn["outcome"].mean()
    restored = 1 / (1 + math.exp(-(math.log(share / (1 - share)) + prior_shift(drawn))))
    assert restored == pytest.approx(outcomes.mean(), rel=0.03)

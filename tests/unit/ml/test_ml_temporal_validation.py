from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from planted_people import WEEK

from ml.temporal_validation import measuring_split, trial_splits
from tests.people_by_name import person_ids


def rows_of(weeks, people=400):
    return pl.DataFrame(
        {
            "person_id": pl.concat([person_ids(people)] * weeks),
            "as_of": [WEEK + timedelta(weeks=week) for week in range(weeks) for _ in range(people)],
        }
    )


def sides(rows, split):
    return rows.filter(pl.Series(split.learn)), rows.filter(pl.Series(split.test))


@pytest.mark.parametrize("weeks", [1, 2, 4, 6])
@pytest.mark.parametrize("horizon", [None, 7, 14, 30])
def test_nobody_is_tried_on_what_was_learned_from(weeks, horizon):
    rows = rows_of(weeks)
    measuring = measuring_split(rows, horizon, 7)
    trials = trial_splits(rows, measuring.learn, horizon, 7)
    assert 1 <= len(trials) <= 2
    for split in [measuring, *trials]:
        learned, tried = sides(rows, split)
        assert learned.height and tried.height
        if split.is_forward:
            assert learned["as_of"].max() < tried["as_of"].min()
        gap = (tried["as_of"].min() - learned["as_of"].max()).days
        if horizon is None or gap < horizon:
            assert not set(learned["person_id"]) & set(tried["person_id"])


@pytest.mark.parametrize("weeks", [1, 2, 4, 6])
def test_what_is_measured_on_is_used_for_nothing_else(weeks):
    rows = rows_of(weeks)
    measuring = measuring_split(rows, None, 7)
    for split in trial_splits(rows, measuring.learn, None, 7):
        used = split.learn | split.test
        assert not (used & measuring.test).any()
        assert not set(rows.filter(pl.Series(used))["person_id"]) & set(
            rows.filter(pl.Series(measuring.test))["person_id"]
        )
        if weeks > 1:
            assert rows.filter(pl.Series(used))["as_of"].max() < rows["as_of"].max()


def test_weeks_whose_outcomes_had_closed_need_no_other_people():
    rows = rows_of(4)
    split = measuring_split(rows, 14, 7)
    assert split.test.sum() == 400
    assert split.learn.sum() == 800
    assert (
        split.in_words
        == f"the week of {WEEK + timedelta(weeks=3)}, learned from weeks up to {WEEK + timedelta(weeks=1)}"
    )


def test_a_single_week_says_that_it_is_not_out_of_time():
    split = measuring_split(rows_of(1), 7, 7)
    assert split.in_words.endswith("not out of time")
    assert not split.is_forward


def test_origins_are_tried_on_different_people():
    rows = rows_of(4)
    first, second = trial_splits(rows, measuring_split(rows, None, 7).learn, None, 7)
    assert not set(sides(rows, first)[1]["person_id"]) & set(sides(rows, second)[1]["person_id"])
    assert np.array_equal(first.test & second.test, np.zeros(rows.height, dtype=bool))

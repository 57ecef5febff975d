"""Word groups, and the measures by which they stand out."""

import polars as pl
import pytest

from ml.keyness import cohesion, log_likelihood, log_odds, word_groups


def measured(expression):
    return pl.select(expression).item()


def test_groups_stay_within_clauses_and_end_with_words_that_can_be_a_subject():
    groups = word_groups(pl.DataFrame({"text": ["the power of attorney, and more"], "people": [3]}))
    assert set(groups["group"]) == {"power", "attorney", "power of attorney"}


def test_counts_are_added_once_per_text():
    groups = word_groups(pl.DataFrame({"text": ["new job, new job", "new job"], "people": [5, 7]}))
    assert groups.filter(group="new job").select("texts", "people").row(0) == (2, 12)


def test_log_likelihood_is_that_of_the_literature():
    # Rayson and Garside's formula by hand: 2 (30 ln(30/20) + 10 ln(10/20)) of 1,000 words each.
    told = measured(log_likelihood(pl.lit(30.0), pl.lit(10.0), 1000, 1000))
    assert told == pytest.approx(10.465, abs=0.001)
    assert measured(log_likelihood(pl.lit(10.0), pl.lit(30.0), 1000, 1000)) == pytest.approx(-10.465, abs=0.001)
    assert measured(log_likelihood(pl.lit(10.0), pl.lit(10.0), 1000, 1000)) == pytest.approx(0)


def test_log_odds_grow_with_evidence_and_not_only_with_the_ratio():
    seldom = measured(log_odds(pl.lit(2.0), pl.lit(0.0), 1000, 1000))
    often = measured(log_odds(pl.lit(60.0), pl.lit(20.0), 1000, 1000))
    assert seldom < 3 < often
    assert measured(log_odds(pl.lit(20.0), pl.lit(60.0), 1000, 1000)) == pytest.approx(-often)


def test_words_that_keep_together_have_more_cohesion():
    texts = ["blue door", "blue sky", "red door", "red sky"] * 4
    texts += ["single sign-on"] * 3 + ["single"]
    told = cohesion(word_groups(pl.DataFrame({"text": texts, "people": [1] * len(texts)})), "people", len(texts))
    bits = dict(told.select("group", "cohesion").iter_rows())
    assert bits["single"] is None
    assert bits["single sign"] > 2 > bits["blue door"]


def test_nothing_said_is_no_group():
    assert (
        word_groups(pl.DataFrame({"text": [], "people": []}, schema={"text": pl.String, "people": pl.Int64})).height
        == 0
    )

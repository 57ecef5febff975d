"""Drift of a propensity's features: what the sample stands for, what is found, and how it is told."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from ml.negative_sampling import draw_common_outcome
from ml.propensity_drift import DRIFT_SCHEMA, drift_in_words, drifted_share, feature_drift, training_references
from tests.people_by_name import person_ids

INPUTS = {"visits": "number", "is_member": "flag", "country": "category"}
MONDAY = date(2026, 1, 5)


def people(count, seed, weeks=1, shift=0.0):
    """Weeks of the same people; the outcome follows visits."""
    random = np.random.default_rng(seed)
    frames = []
    level = random.normal(0, 1, count)
    for week in range(weeks):
        visits = level + random.normal(0, 0.3, count) + shift
        frames.append(
            pl.DataFrame(
                {
                    "person_id": person_ids(count),
                    "as_of": MONDAY + timedelta(weeks=week),
                    "visits": visits,
                    "is_member": random.random(count) < 0.3,
                    "country": np.array(["DE", "FR", "PL"])[random.choice(3, count, p=[0.5, 0.3, 0.2])],
                    "outcome": (random.random(count) < 1 / (1 + np.exp(3.0 - 2 * visits))).astype(int),
                }
            )
        )
    return pl.concat(frames)


def drift_of(training, now, importance=()):
    return feature_drift(training_references(training, INPUTS, 7), now.drop("as_of", "outcome"), importance, 7)


def test_the_same_people_four_weeks_on_have_not_drifted():
    for seed in range(20):
        found = drift_of(people(3_000, seed, weeks=4), people(3_000, 100 + seed))
        assert not found["is_drifted"].any()


def test_each_person_stands_in_the_reference_once():
    references = training_references(people(2_000, 1, weeks=4), INPUTS, 7)
    assert {sum(one.counts) for one in references} == {2_000}


def test_rows_of_the_common_outcome_that_were_not_drawn_are_no_drift():
    """Of 60,000 rows without the outcome a twelfth is drawn: people with it would be far too many otherwise."""
    everybody = people(40_000, 2, weeks=2)
    drawn = draw_common_outcome(everybody, 7, enough=5_000)
    assert drawn["outcome"].mean() > 1.5 * everybody["outcome"].mean()
    assert not drift_of(drawn, people(40_000, 3))["is_drifted"].any()
    undone = drift_of(drawn.drop("sampled_at"), people(40_000, 3))
    assert undone.filter(feature="visits")["is_drifted"].all()  # what it would be if drawing were not undone


def test_numbers_flags_and_categories_are_told_in_words():
    now = people(3_000, 4, shift=-1.0).with_columns(
        is_member=pl.when(pl.col("person_id") % 10 == 1).then(None).otherwise(pl.col("is_member")),
        country=pl.lit("DE"),
    )
    words = dict(drift_of(people(3_000, 5, weeks=3), now).select("feature", "words").iter_rows())
    assert words["visits"].startswith("lower than in the weeks it was learned from; ")
    assert words["is_member"] == "missing for 10% of people, for 0% in the weeks it was learned from"
    assert words["country"].startswith("'DE': 100% of people, 50% in the weeks")


def test_a_rare_level_is_not_named():
    now = people(3_000, 4).with_columns(country=pl.lit("only here"))
    words = drift_of(people(3_000, 5), now).filter(feature="country")["words"][0]
    assert words.startswith("levels that are rare or new: 100% of people") and "only here" not in words


@pytest.mark.parametrize(("leaned_on", "matters"), [(0.5, True), (0.0, False)])
def test_one_feature_of_many_matters_where_the_model_leans_on_it(leaned_on, matters):
    drift = pl.DataFrame(
        [
            {
                "feature": f"f{n}",
                "is_drifted": n == 0,
                "words": "higher" if n == 0 else None,
                "importance_share": leaned_on if n == 0 else (1 - leaned_on) / 19,
                "js_distance": 0.1,
            }
            for n in range(20)
        ],
        schema=DRIFT_SCHEMA,
    ).with_columns(label=pl.col("feature"))
    assert drifted_share(drift) == pytest.approx(max(0.05, leaned_on))
    told = drift_in_words(drift)
    assert (told is not None) is matters
    if told:
        assert told == (
            "1 of 20 features, with 50% of what the model leans on, have drifted since the weeks it was fitted on: "
            "f0 (higher)"
        )


def test_without_references_nothing_is_said():
    assert drifted_share(pl.DataFrame(schema=DRIFT_SCHEMA)) == 0.0

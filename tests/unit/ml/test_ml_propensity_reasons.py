import numpy as np
import polars as pl
import pytest
from planted_people import planted_weeks

from ml.classifiers import log_odds, make_classifier
from ml.propensity_reasons import background_of, contributions, permutation_importance

INPUTS = {"events_28d": "number", "is_admin": "flag", "country": "category", "tickets_91d": "number"}


@pytest.fixture(scope="module")
def rows():
    return planted_weeks(weeks=1, count=4_000, seed=11)


@pytest.fixture(scope="module", params=["logistic", "boosting", "forest", "network"])
def classifier(request, rows):
    return make_classifier(request.param, INPUTS, {}, 7).fit(rows, rows["outcome"].cast(pl.Float64).to_numpy())


def as_is(values):
    return values


def test_effects_add_up_to_the_distance_from_the_background(classifier, rows):
    background = background_of(classifier, rows, 7)
    people = rows.head(100).sort("person_id")
    told = contributions(classifier, background, people, lambda said: 0.5 * said - 1, 7)
    total = told.group_by("person_id").agg(pl.col("effect").sum()).sort("person_id")["effect"].to_numpy()
    base = classifier.encoded_log_odds(background).mean()
    assert total == pytest.approx(0.5 * (log_odds(classifier, people) - base), abs=1e-4)


def test_ranks_follow_the_size_of_the_effects(classifier, rows):
    told = contributions(classifier, background_of(classifier, rows, 7), rows.head(20), as_is, 7)
    assert told.columns == ["person_id", "feature", "effect", "rank"]
    for _, own in told.group_by("person_id"):
        assert own["rank"].to_list() == list(range(1, own.height + 1))
        assert own["effect"].abs().is_sorted(descending=True)


def test_what_moves_the_outcome_is_what_is_told(classifier, rows):
    told = contributions(classifier, background_of(classifier, rows, 7), rows.head(300), as_is, 7)
    size = told.group_by("feature").agg(pl.col("effect").abs().mean()).sort("effect", descending=True)
    assert size["feature"][0] == "events_28d"
    busy = rows.sort("events_28d").tail(10)
    moved = contributions(classifier, background_of(classifier, rows, 7), busy, as_is, 7)
    assert (moved.filter(pl.col("feature") == "events_28d")["effect"] > 0.3).all()


def test_effects_of_a_person_do_not_depend_on_who_else_is_asked_for(classifier, rows):
    background = background_of(classifier, rows, 7)
    together = contributions(classifier, background, rows.head(30), as_is, 7)
    person = rows["person_id"][3]
    alone = contributions(classifier, background, rows.filter(pl.col("person_id") == person), as_is, 7)
    own = together.filter(pl.col("person_id") == person)
    assert own["feature"].to_list() == alone["feature"].to_list()
    assert own["effect"].to_numpy() == pytest.approx(alone["effect"].to_numpy(), abs=1e-6)


def test_sampled_effects_are_near_the_exact_ones_of_a_sum(rows):
    """Where a network is asked about what is nearly a sum, both ways tell the same."""
    outcomes = rows["outcome"].cast(pl.Float64).to_numpy()
    exact = make_classifier("logistic", INPUTS, {}, 7).fit(rows, outcomes)
    network = make_classifier("network", INPUTS, {}, 7).fit(rows, outcomes)
    both = [
        contributions(each, background_of(each, rows, 7), rows.head(200), as_is, 7)
        .filter(pl.col("feature") == "events_28d")
        .sort("person_id")["effect"]
        .to_numpy()
        for each in (exact, network)
    ]
    assert np.corrcoef(both)[0, 1] > 0.9


def test_the_background_is_nobody(rows):
    random = np.random.default_rng(2)
    measured = rows.with_columns(x=pl.Series(random.normal(size=4_000)), y=pl.Series(random.normal(size=4_000)))
    outcomes = rows["outcome"].cast(pl.Float64).to_numpy()
    classifier = make_classifier("boosting", {"x": "number", "y": "number"}, {}, 7).fit(measured, outcomes)
    background = background_of(classifier, measured, 7)
    assert background.shape == (64, 2)
    people = {row.tobytes() for row in classifier.encode(measured)}
    assert not any(row.tobytes() in people for row in background)


def test_importance_is_what_is_lost(classifier, rows):
    fresh = planted_weeks(weeks=1, count=4_000, seed=12)
    outcomes = fresh["outcome"].cast(pl.Float64).to_numpy()
    found = permutation_importance(classifier, fresh, outcomes, np.ones(4_000), as_is, 7)
    increases = [one["log_loss_increase"] for one in found]
    assert [one["feature"] for one in found][:2] == ["events_28d", "is_admin"]
    assert increases == sorted(increases, reverse=True)
    assert abs(increases[-1]) < 0.01 < increases[0]

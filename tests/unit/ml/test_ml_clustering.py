import json

import numpy as np
import pytest

from benchmarks.segment_worlds import planted_world, survey_world
from ml.catalogue import inputs_of
from ml.clustering import ALGORITHMS, GroupRule, LatentClassGroups
from ml.many_starts import best_of_many_starts, k_means_runs, move_to_rest, nearest, within_sum_of_squares
from ml.preparation import Preparation
from ml.stability import adjusted_rand


def scores_of(world):
    inputs = inputs_of(world.catalogue, world.people.columns, "is_persona_input")
    return Preparation().fit(world.people, inputs).transform(world.people).astype(float)


@pytest.mark.parametrize("name", ["k_means", "gaussian_mixture", "ward"])
def test_planted_groups_of_numbers_are_found(name):
    world = planted_world(1, 4, 5, people=600)
    scores = scores_of(world)
    groups = ALGORITHMS[name](n_clusters=4).fit(scores)
    assert adjusted_rand(world.truth, groups.labels_) > 0.85
    probabilities = groups.predict_proba(scores)
    assert np.allclose(probabilities.sum(axis=1), 1)
    assert (probabilities.argmax(axis=1) == groups.predict(scores)).all()


def test_latent_classes_find_more_in_answers_than_centres_do():
    world = survey_world(0, 3, people=800)
    scores = scores_of(world)
    classes = LatentClassGroups(n_clusters=3).fit(scores)
    centres = best_of_many_starts(scores, 3, 50, 7)
    assert adjusted_rand(world.truth, classes.labels_) > adjusted_rand(world.truth, nearest(scores, centres))


def test_a_rule_survives_json():
    scores = scores_of(planted_world(1, 4, 5, people=300))
    rule = ALGORITHMS["gaussian_mixture"](n_clusters=3).fit(scores).rule_
    thawed = GroupRule.from_dict(json.loads(json.dumps(rule.to_dict())))
    assert (thawed.log_probabilities(scores) == rule.log_probabilities(scores)).all()


def test_a_row_is_only_in_a_group_that_is_open_to_it():
    rule = GroupRule(np.zeros(3), np.eye(3, 2), np.zeros((3, 2)))
    is_open = np.array([[True, False, True], [False, True, False]])
    probabilities = np.exp(rule.log_probabilities(np.ones((2, 2)), is_open))
    assert (probabilities > 0).tolist() == is_open.tolist()


def test_a_weight_counts_as_often_as_the_row_is_there():
    scores = np.random.default_rng(0).normal(size=(200, 3))
    weights = np.random.default_rng(1).integers(0, 3, 200)
    centres = best_of_many_starts(scores, 3, 60, 7, weights.astype(float))
    repeated = best_of_many_starts(np.repeat(scores, weights, axis=0), 3, 60, 7)
    twice = np.repeat(scores, weights, axis=0)
    assert within_sum_of_squares(twice, centres) == pytest.approx(within_sum_of_squares(twice, repeated), rel=5e-3)


def test_no_group_is_empty_where_enough_rows_differ():
    scores = np.repeat(np.eye(5), [1, 1, 1, 1, 100], axis=0)
    centres, sums = k_means_runs(scores, 5, 20, 3)
    assert sums.min() == pytest.approx(0, abs=1e-3)
    assert len(np.unique(nearest(scores, centres[0, sums[0].argmin()]))) == 5


def test_centres_at_rest_stay():
    scores = np.random.default_rng(0).normal(size=(300, 2))
    centres = best_of_many_starts(scores, 4, 20, 7)
    assert np.allclose(move_to_rest(scores, centres), centres, atol=1e-4)

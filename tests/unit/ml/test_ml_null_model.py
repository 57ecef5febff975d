import numpy as np
import pytest

from benchmarks.segment_worlds import planted_world, structureless_world
from ml.catalogue import inputs_of
from ml.null_model import null_scores
from ml.null_model import test_for_groups as find_groups
from ml.persona_evidence import NATURAL_EXCESS, NATURAL_P_VALUE, kind_of_solution
from ml.preparation import Preparation


def prepared(world):
    inputs = inputs_of(world.catalogue, world.people.columns, "is_persona_input")
    return Preparation().fit(world.people, inputs)


def is_structured(world):
    test = find_groups(prepared(world), world.people, range(2, 7), 19, 7)
    return test.p_value <= NATURAL_P_VALUE and test.excess >= NATURAL_EXCESS


@pytest.mark.parametrize(
    "kind", ["one correlated cloud", "mostly zero", "yes-or-no answers, one factor", "numbers, flags and categories"]
)
def test_people_without_groups_are_told_so(kind):
    assert not is_structured(structureless_world(0, kind, people=800))


@pytest.mark.parametrize("seed", [0, 1])
def test_groups_three_standard_deviations_apart_are_found(seed):
    assert is_structured(planted_world(seed, 4, 3, people=1_500))


def test_the_null_keeps_what_pairs_of_features_say():
    world = structureless_world(3, "skewed", people=2_000)
    preparation = prepared(world)
    scores = preparation.transform(world.people).astype(float)
    drawn = np.vstack(list(null_scores(preparation, world.people, 5, 7)))
    assert np.allclose(drawn.mean(axis=0), scores.mean(axis=0), atol=0.06)
    assert np.allclose(drawn.var(axis=0) / scores.var(axis=0), 1, atol=0.2)


def test_two_answers_are_as_correlated_in_the_null_as_in_the_people():
    world = structureless_world(1, "yes-or-no answers, one factor", people=3_000)
    preparation = prepared(world)
    own = np.corrcoef(preparation.transform(world.people).T)
    drawn = np.corrcoef(np.vstack(list(null_scores(preparation, world.people, 3, 7))).T)
    assert np.abs(own - drawn).max() < 0.08


def test_the_kind_of_a_solution_needs_structure_and_stability():
    world = planted_world(0, 4, 4, people=600)
    test = find_groups(prepared(world), world.people, range(2, 7), 19, 7)
    assert kind_of_solution(test, 0.9) == "natural"
    assert kind_of_solution(test, 0.3) == "constructive"
    assert kind_of_solution(None, 0.9) == "reproducible"
    assert kind_of_solution(None, 0.6) == "constructive"

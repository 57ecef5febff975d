import json

import numpy as np
import polars as pl
import pytest
from planted_people import CATALOGUE, planted_people
from sklearn.metrics import roc_auc_score

from benchmarks.defined_worlds import measure_world
from ml.defined_personas import DefinedModel, fit_defined_personas
from ml.defined_support import judge_support, suggest_groups, suggest_ranges
from ml.persona_definitions import FeatureRule, PersonaDefinition

READERS = PersonaDefinition("defined-readers", (FeatureRule("reports_28d", low=10), FeatureRule("orders_365d", high=0)))
ADMINS = PersonaDefinition(
    "defined-admins", (FeatureRule("is_admin", values=("true",)), FeatureRule("tickets_91d", low=3))
)


@pytest.fixture(scope="module")
def people():
    return planted_people(1_500, seed=6)[0]


@pytest.fixture(scope="module")
def model(people):
    fitted = fit_defined_personas(people, CATALOGUE, [READERS, ADMINS])
    assert isinstance(fitted, DefinedModel)
    return fitted


def test_who_meets_all_rules_is_in_the_persona(model, people):
    assigned = dict(model.assign(people).select("person_id", "persona_id").iter_rows())
    strengths = dict(model.assign(people).select("person_id", "strength").iter_rows())
    readers = people.filter((pl.col("reports_28d") >= 10) & (pl.col("orders_365d") == 0) & ~pl.col("is_admin"))
    assert {assigned.get(person) for person in readers["person_id"]} == {"defined-readers"}
    assert {strengths[person] for person in readers["person_id"]} == {1.0}


def test_who_misses_a_rule_by_far_is_in_none(model, people):
    assigned = model.assign(people)["person_id"]
    buyers = people.filter((pl.col("orders_365d") > 0) & ~pl.col("is_admin") & (pl.col("tickets_91d") == 0))
    assert not buyers["person_id"].is_in(assigned.implode()).any()
    assert assigned.len() < people.height


def test_a_level_is_the_range_it_was_when_the_model_was_fitted(people):
    busy = PersonaDefinition("defined-busy", (FeatureRule("events_28d", level="high"),))
    fitted = fit_defined_personas(people, CATALOGUE, [busy])
    rule = fitted.definitions[0].rules[0]
    assert rule.level is None and rule.low == pytest.approx(np.quantile(people["events_28d"], 0.75))
    busier = people.with_columns(pl.col("events_28d") * 2)
    assert fitted.assign(busier).height > 1.5 * fitted.assign(people).height


def test_a_model_comes_back_from_json_and_says_the_same(model, people):
    again = DefinedModel.from_dict(json.loads(json.dumps(model.to_dict())))
    assert (
        again.assign(people)
        .drop("strength", "margin", "fit_score")
        .equals(model.assign(people).drop("strength", "margin", "fit_score"))
    )
    assert json.dumps(again.to_dict()) == json.dumps(model.to_dict())


def test_the_order_of_rows_does_not_matter(model, people):
    assert model.assign(people.reverse()).equals(model.assign(people))


def test_definitions_the_data_cannot_bear_say_why(people):
    nobody = PersonaDefinition("defined-nobody", examples=(2**64 - 1,))
    absent = PersonaDefinition("defined-absent", (FeatureRule("no_such_feature", low=1),))
    assert fit_defined_personas(people, CATALOGUE, [nobody, absent]) == {
        "defined-nobody": "none of its example people is known this week",
        "defined-absent": "this week has no no_such_feature",
    }
    fitted = fit_defined_personas(people, CATALOGUE, [READERS, nobody])
    assert fitted.persona_ids == ["defined-readers"] and "defined-nobody" in fitted.unfit


def test_support_says_how_many_how_stable_and_which_discovered_persona_is_nearest(model, people):
    assigned = model.assign(people)
    discovered = assigned.select("person_id", persona_id=pl.lit("persona-07"))
    support = judge_support(model, people, assigned, discovered)
    assert support["people"].sum() == assigned.height
    assert support["stability"].is_between(0.6, 1).all()
    assert set(support["nearest_persona_id"]) == {"persona-07"}
    assert support["share"].sum() == pytest.approx(assigned.height / people.height)


def test_a_range_that_shuts_out_those_who_fit_otherwise_is_suggested_wider(people):
    tight = PersonaDefinition(
        "defined-tight", (FeatureRule("is_admin", values=("true",)), FeatureRule("tickets_91d", low=9, high=20))
    )
    fitted = fit_defined_personas(people, CATALOGUE, [tight])
    (suggestion,) = suggest_ranges(fitted, people, fitted.assign(people))
    assert suggestion.feature == "tickets_91d" and suggestion.low < 9
    assert "of those who fit everything else" in suggestion.reason


def test_people_of_a_kind_nobody_named_are_suggested_as_a_group():
    people, truth = planted_people(2_000, seed=8)
    ids = people["person_id"].to_numpy()
    named = [
        PersonaDefinition(f"defined-{kind}", examples=tuple(ids[np.flatnonzero(truth == kind)[:8]])) for kind in (0, 2)
    ]
    fitted = fit_defined_personas(people, CATALOGUE, named)
    groups = suggest_groups(fitted, people)
    kinds = pl.DataFrame({"person_id": ids, "kind": truth}).join(groups, on="person_id")
    assert groups.height > 0 and (kinds["kind"].is_in([1, 3])).mean() > 0.8


def test_five_examples_per_persona_place_people_calibrate_and_recognize_the_unnamed():
    """A short version of `make bench-tracking`: three of its worlds."""
    measured = [measure_world(seed, examples=5) for seed in range(3)]
    assert np.mean([one.accuracy for one in measured]) >= 0.90
    assert np.mean([one.calibration_error for one in measured]) <= 0.03
    assert np.mean([one.novelty_auc for one in measured]) >= 0.77


def test_the_area_under_the_curve_is_of_none_of_these(model, people):
    probabilities, _ = model.score(people)
    is_in = people["person_id"].is_in(model.assign(people)["person_id"].implode()).to_numpy()
    assert roc_auc_score(~is_in, probabilities[:, -1]) > 0.95
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0)

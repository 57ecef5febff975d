import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from planted_people import CATALOGUE, in_order_of, planted_people
from sklearn.metrics import adjusted_rand_score

from ml.personas import PersonaModel, PersonaSettings, TooFewPeople, fit_personas
from tests.people_by_name import person_ids

FIXED = PersonaSettings(k=4)


@pytest.fixture(scope="module")
def people():
    return planted_people()


@pytest.fixture(scope="module")
def model(people):
    return fit_personas(people[0], CATALOGUE, FIXED)


@pytest.fixture(scope="module")
def chosen(people):
    return fit_personas(people[0], CATALOGUE)


def test_planted_groups_are_found(people, model):
    frame, truth = people
    assert model.k == 4
    assert adjusted_rand_score(truth, in_order_of(frame, model.assign(frame))) > 0.85


def test_the_number_of_personas_comes_with_evidence_and_words(chosen):
    assert chosen.k_evidence["k"].to_list() == [3, 4, 5, 6, 7, 8]
    assert chosen.k_evidence.filter("is_chosen")["k"].to_list() == [chosen.k]
    assert chosen.k_evidence["silhouette"].is_between(-1, 1).all()
    assert chosen.k_evidence["within_sum_of_squares"].to_list() == sorted(
        chosen.k_evidence["within_sum_of_squares"], reverse=True
    )
    assert chosen.choice.startswith(f"{chosen.k} personas, the median of the votes")
    assert "is not found again in the other half" in chosen.choice


def test_what_is_chosen_is_found_again_and_natural(chosen):
    assert chosen.evidence.solution_kind == "natural"
    assert chosen.evidence.stability > 0.9
    assert [one.cluster for one in chosen.evidence.segments] == list(range(chosen.k))
    assert all(one.is_stable for one in chosen.evidence.segments)


def test_groups_are_numbered_from_the_largest(people, model):
    counts = model.assign(people[0])["cluster"].value_counts(sort=True)
    assert counts["cluster"].to_list() == [0, 1, 2, 3]
    assert model.shares == tuple(sorted(model.shares, reverse=True))


def test_strength_and_margin_are_shares(people, model):
    assigned = model.assign(people[0])
    assert assigned["strength"].is_between(1 / model.k, 1).all()
    assert assigned["margin"].is_between(0, 1).all()
    assert (assigned["cluster"] != assigned["runner_up"]).all()
    assert assigned["person_id"].is_sorted()


def test_the_order_of_the_rows_has_no_say(people, model):
    shuffled = people[0].sample(fraction=1.0, shuffle=True, seed=9)
    again = fit_personas(shuffled, CATALOGUE, FIXED)
    assert again.model_id == model.model_id
    assert again.assign(people[0]).equals(model.assign(shuffled))


def test_another_seed_finds_the_same_groups(people, model):
    frame, _ = people
    other = fit_personas(frame, CATALOGUE, replace(FIXED, seed=99))
    first, second = (in_order_of(frame, found.assign(frame)) for found in (model, other))
    assert adjusted_rand_score(first, second) > 0.98


def test_a_sample_is_enough(people):
    frame, truth = planted_people(5_000, seed=8)
    small = fit_personas(frame, CATALOGUE, replace(FIXED, sample_size=1_000))
    assert adjusted_rand_score(truth, in_order_of(frame, small.assign(frame))) > 0.85


def test_a_model_survives_json_and_keeps_its_id(people, model):
    thawed = PersonaModel.from_dict(json.loads(json.dumps(model.to_dict())))
    assert thawed.model_id == model.model_id
    assert thawed.assign(people[0]).equals(model.assign(people[0]))
    assert thawed.k_evidence.equals(model.k_evidence)


def test_a_frozen_model_judges_a_person_by_nobody_else(people, model):
    frame, _ = people
    alone = model.assign(frame[:1])
    assert alone.equals(model.assign(frame).filter(pl.col("person_id") == frame["person_id"][0]))


def test_few_people_are_one_persona_and_it_says_so(people):
    few = fit_personas(people[0][:25], CATALOGUE)
    assert few.k == 1
    assert few.choice == "One persona: 25 people are too few for 3 personas; 30 are needed."
    assigned = few.assign(people[0][:25])
    assert assigned["cluster"].unique().to_list() == [0]
    assert assigned["runner_up"].null_count() == 25
    assert PersonaModel.from_dict(json.loads(json.dumps(few.to_dict()))).model_id == few.model_id


def test_without_differences_there_is_one_persona():
    alike = pl.DataFrame({"person_id": person_ids(500), "events_28d": 3})
    assert fit_personas(alike, CATALOGUE).choice == "One persona: no feature tells people apart."


def test_fewer_kinds_of_people_than_personas_are_one_persona():
    two = pl.DataFrame({"person_id": person_ids(500), "events_28d": [0, 5] * 250})
    assert fit_personas(two, CATALOGUE).k == 1
    assert fit_personas(two, CATALOGUE, PersonaSettings(k=2)).k == 2


def test_nobody_is_an_error():
    with pytest.raises(TooFewPeople):
        fit_personas(planted_people(10)[0][:0], CATALOGUE)


def test_several_weeks_or_a_person_twice_are_an_error(people, model):
    frame, _ = people
    with pytest.raises(ValueError, match="some person_id twice"):
        model.assign(pl.concat([frame, frame[:1]]))
    with pytest.raises(ValueError, match="several values of as_of"):
        fit_personas(pl.concat([frame, frame.with_columns(pl.col("as_of").dt.offset_by("7d"))]), CATALOGUE)


def test_a_fixed_number_is_kept(people):
    fixed = fit_personas(people[0], CATALOGUE, PersonaSettings(k=2))
    assert fixed.k == 2
    assert fixed.choice == "2 personas, as set."
    assert np.isclose(sum(fixed.shares), 1)

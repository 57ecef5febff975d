import json

import numpy as np
import polars as pl
import pytest
from planted_people import CATALOGUE, planted_people

from benchmarks.segment_worlds import MIXED_SETTINGS, mixed_world, planted_world
from ml.catalogue import inputs_of
from ml.encoding import learn_encoding
from ml.many_starts import best_of_many_starts, nearest
from ml.people_order import hash_sample, person_fold, person_hash
from ml.preparation import Preparation
from ml.stability import adjusted_rand
from tests.people_by_name import person_ids


def encoded(column, kind, other=()):
    frame = pl.DataFrame({"person_id": person_ids(len(column)), "x": column})
    preparation = Preparation(decorrelate=False).fit(frame, {"x": kind})
    return dict(zip(preparation.encoded_names_, preparation.transform(frame).T, strict=True))


def test_a_number_comes_out_standardized():
    columns = encoded(np.arange(1000.0), "number")
    assert list(columns) == ["x"]
    assert columns["x"].mean() == pytest.approx(0, abs=1e-5)
    assert columns["x"].std() == pytest.approx(1, abs=1e-2)


def test_a_heavy_tail_is_drawn_in():
    amounts = np.random.default_rng(0).lognormal(3, 1.5, 5_000)
    amounts[0] = 1e12
    assert encoded(amounts, "number")["x"].max() < 5


def test_zeros_tell_any_from_how_much():
    columns = encoded([0] * 500 + list(range(1, 501)), "number")
    assert list(columns) == ["x", "x:any"]
    assert (columns["x:any"] > 0).tolist() == [False] * 500 + [True] * 500
    assert columns["x"].var() + columns["x:any"].var() == pytest.approx(1, rel=1e-2)


def test_a_missing_value_is_the_mean_and_says_that_it_is_missing():
    columns = encoded([None] * 100 + list(range(900)), "number")
    assert list(columns) == ["x", "x:missing"]
    assert (columns["x"][:100] == 0).all()
    assert (columns["x:missing"][:100] > 0).all() and (columns["x:missing"][100:] < 0).all()


def test_not_a_number_and_infinity_are_missing():
    columns = encoded([float("nan")] * 50 + [float("inf")] * 50 + list(range(900)), "number")
    assert (columns["x:missing"][:100] > 0).all()


def test_rare_levels_are_pooled_and_unknown_ones_join_them():
    levels = ["a"] * 600 + ["b"] * 380 + [f"rare{n}" for n in range(20)]
    frame = pl.DataFrame({"person_id": person_ids(1000), "x": levels})
    preparation = Preparation(decorrelate=False).fit(frame, {"x": "category"})
    assert preparation.encoded_names_ == ["x=a", "x=b", "x=other"]
    unknown = preparation.transform(pl.DataFrame({"x": ["never seen", "rare3"]}))
    assert (unknown[0] == unknown[1]).all()


def test_levels_are_weighted_by_the_root_of_their_share():
    columns = encoded(["a"] * 900 + ["b"] * 100, "category")
    assert columns["x=a"][0] - columns["x=a"][-1] == pytest.approx(1 / np.sqrt(0.9), rel=1e-5)


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        ([3.0] * 500, "number"),
        ([None] * 500, "number"),
        ([True] * 499 + [False], "flag"),
        (["same"] * 500, "category"),
        ([f"u{n}" for n in range(500)], "category"),
    ],
)
def test_what_does_not_vary_is_left_out(column, kind):
    column = pl.Series(column, dtype=pl.Float64) if kind == "number" else column
    assert encoded(column, kind) == {}


def test_near_copies_count_once():
    people, _ = planted_people(500)
    copied = people.with_columns(copy=pl.col("events_28d") * 2 + 1)
    kinds = {"events_28d": "number", "copy": "number"}
    assert Preparation(decorrelate=False).fit(copied, kinds).encoded_names_ == ["events_28d"]


def test_correlated_features_do_not_vote_twice():
    random = np.random.default_rng(0)
    common = random.normal(size=3_000)
    blocks = {f"same{n}": common + 0.4 * random.normal(size=3_000) for n in range(9)}
    other = random.normal(size=3_000)
    alone = {f"own{n}": other + 0.4 * random.normal(size=3_000) for n in range(3)}
    frame = pl.DataFrame({"person_id": person_ids(3_000), **blocks, **alone})
    scores = Preparation().fit(frame, dict.fromkeys([*blocks, *alone], "number")).transform(frame)
    assert scores.shape[1] == 2
    assert scores[:, 0].var() / scores[:, 1].var() == pytest.approx(np.sqrt(3), rel=0.1)  # not 3, as nine to three


def test_a_frozen_preparation_survives_json_exactly():
    people, _ = planted_people()
    preparation = Preparation().fit(people, inputs_of(CATALOGUE, people.columns, "is_persona_input"))
    thawed = Preparation.from_dict(json.loads(json.dumps(preparation.to_dict())))
    assert (thawed.transform(people) == preparation.transform(people)).all()
    assert thawed.to_dict() == preparation.to_dict()


def test_what_was_learned_does_not_depend_on_the_order_of_the_rows():
    people, _ = planted_people()
    inputs = inputs_of(CATALOGUE, people.columns, "is_persona_input")
    shuffled = people.sample(fraction=1.0, shuffle=True, seed=5)
    assert Preparation(sample_size=1_000).fit(people, inputs).to_dict() == (
        Preparation(sample_size=1_000).fit(shuffled, inputs).to_dict()
    )


def test_chunks_make_the_same_matrix(monkeypatch):
    people, _ = planted_people()
    preparation = Preparation().fit(people, inputs_of(CATALOGUE, people.columns, "is_persona_input"))
    whole = preparation.transform(people)
    monkeypatch.setattr("ml.preparation.CHUNK_ROWS", 97)
    np.testing.assert_allclose(preparation.transform(people), whole, atol=1e-5)


def test_a_missing_column_is_named():
    people, _ = planted_people(200)
    preparation = Preparation().fit(people, inputs_of(CATALOGUE, people.columns, "is_persona_input"))
    with pytest.raises(ValueError, match="events_28d"):
        preparation.transform(people.drop("events_28d"))


def test_the_hash_of_a_person_never_changes():
    ids = pl.Series([0, 1, 255, 2**64 - 1], dtype=pl.UInt64)
    assert person_hash(ids, 7).tolist() == HASHES
    assert person_hash(ids[1:], 7).tolist() == HASHES[1:]


HASHES = [4641538274609623278, 7246200022145464723, 2966198717105112579, 16292889548161610936]


def test_folds_are_equal_and_samples_are_nested():
    ids = person_ids(20_000)
    assert np.bincount(person_fold(ids, 5, 7)).tolist() == pytest.approx([4_000] * 5, rel=0.05)
    small, large = (hash_sample(ids.to_frame(), size, 7)["person_id"].to_list() for size in (10, 100))
    assert large[:10] == small


def test_a_null_person_is_refused():
    with pytest.raises(ValueError, match="null"):
        person_hash(pl.Series(["a", None]), 7)


@pytest.mark.parametrize("unit", [1.0, 100.0])
def test_the_shape_of_a_number_does_not_depend_on_its_unit(unit):
    amounts = np.random.default_rng(0).lognormal(3, 1.5, 3_000) * unit
    columns = encoded(amounts, "number")
    assert np.abs(np.mean(columns["x"] ** 3)) < 0.5
    assert columns["x"][:5] == pytest.approx(encoded(amounts / unit, "number")["x"][:5], abs=0.02)


def test_tails_on_both_sides_are_drawn_in():
    values = np.random.default_rng(0).normal(size=3_000) ** 3
    assert np.mean(encoded(values, "number")["x"] ** 4) < 4  # 3 for a normal distribution, 46 without


def test_a_number_that_looks_normal_is_left_as_it_is():
    encoding = learn_encoding(pl.Series("x", np.random.default_rng(0).normal(5, 2, 2_000)), "number")
    assert encoding.shape == "as it is"


def test_answers_are_left_on_one_scale():
    random = np.random.default_rng(0)
    frame = pl.DataFrame(
        {"person_id": person_ids(500), "a": random.random(500) < 0.5, "b": random.random(500) < 0.1}
    ).with_columns(c=pl.when(pl.Series(random.random(500)) < 0.3).then(pl.lit("Yes")).otherwise(pl.lit("No")))
    preparation = Preparation().fit(frame, {"a": "flag", "b": "flag", "c": "category"})
    scores = preparation.transform(frame)
    assert preparation.is_survey_
    assert np.allclose(np.ptp(scores, axis=0), 1)
    thawed = Preparation.from_dict(json.loads(json.dumps(preparation.to_dict())))
    assert (thawed.transform(frame) == scores).all()


@pytest.mark.parametrize("weight", [1.0, 3.0])
def test_a_family_weighs_what_it_is_said_to_weigh(weight):
    random = np.random.default_rng(0)
    columns = {f"p{n}": random.normal(size=2_000) for n in range(2)}
    columns |= {f"o{n}": random.normal(size=2_000) for n in range(7)}
    frame = pl.DataFrame({"person_id": person_ids(2_000), **columns})
    families = {name: "product" if name.startswith("p") else "other" for name in columns}
    preparation = Preparation(family_weights={"product": weight}).fit(frame, dict.fromkeys(columns, "number"), families)
    scores = preparation.transform(frame)
    is_product = np.abs(preparation.decorrelation_.components_[:, :2]).sum(axis=1) > 0
    variances = scores.var(axis=0)
    assert variances[is_product].sum() / variances[~is_product].sum() == pytest.approx(weight, rel=0.01)


@pytest.mark.parametrize("setting", MIXED_SETTINGS)
def test_groups_in_mixed_data_are_found(setting):
    agreements = []
    for seed in range(4):
        world = mixed_world(seed, *MIXED_SETTINGS[setting])
        inputs = inputs_of(world.catalogue, world.people.columns, "is_persona_input")
        scores = Preparation().fit(world.people, inputs).transform(world.people).astype(float)
        agreements.append(adjusted_rand(world.truth, nearest(scores, best_of_many_starts(scores, 5, 20, seed))))
    assert np.mean(agreements) >= 0.65


def test_an_absent_source_makes_no_groups():
    world = planted_world(1, 4, 4, missing=0.25)
    inputs = inputs_of(world.catalogue, world.people.columns, "is_persona_input")
    scores = Preparation().fit(world.people, inputs).transform(world.people).astype(float)
    labels = nearest(scores, best_of_many_starts(scores, 4, 20, 7))
    is_absent = world.people["c07"].is_null().to_numpy().astype(int)
    assert adjusted_rand(world.truth, labels) > 0.8
    assert adjusted_rand(is_absent, labels) < 0.1

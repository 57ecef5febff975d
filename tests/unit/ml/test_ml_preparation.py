import json

import numpy as np
import polars as pl
import pytest
from planted_people import CATALOGUE, planted_people
from sklearn.utils.estimator_checks import parametrize_with_checks

from ml.catalogue import inputs_of
from ml.decorrelation import Decorrelation
from ml.people_order import hash_sample, person_fold, person_hash
from ml.preparation import Preparation


@parametrize_with_checks([Decorrelation()])
def test_decorrelation_keeps_the_manners_of_scikit_learn(estimator, check):
    check(estimator)


def encoded(column, kind, other=()):
    frame = pl.DataFrame({"person_id": [str(n) for n in range(len(column))], "x": column})
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
    frame = pl.DataFrame({"person_id": [str(n) for n in range(1000)], "x": levels})
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
    frame = pl.DataFrame({"person_id": [str(n) for n in range(3_000)], **blocks, **alone})
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
    ids = pl.Series(["p_0001", "p_0002", "", "müller"])
    assert person_hash(ids, 7).tolist() == HASHES
    assert person_hash(ids[1:], 7).tolist() == HASHES[1:]


HASHES = [4068970260400317824, 3641960440643398760, 17375423332570360115, 13615603654718065927]


def test_folds_are_equal_and_samples_are_nested():
    ids = pl.Series("person_id", [f"p_{n:016x}" for n in range(20_000)])
    assert np.bincount(person_fold(ids, 5, 7)).tolist() == pytest.approx([4_000] * 5, rel=0.05)
    small, large = (hash_sample(ids.to_frame(), size, 7)["person_id"].to_list() for size in (10, 100))
    assert large[:10] == small


def test_a_null_person_is_refused():
    with pytest.raises(ValueError, match="null"):
        person_hash(pl.Series(["a", None]), 7)

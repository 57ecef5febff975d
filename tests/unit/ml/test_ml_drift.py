import numpy as np
import polars as pl
import pytest

from ml.drift import (
    ColumnReference,
    benjamini_hochberg,
    classifier_test,
    learn_references,
    stability_index,
    test_columns,
)
from tests.people_by_name import person_ids


def week_of(seed, count=2_000, shift=0.0, names=("a", "b", "c", "d")):
    random = np.random.default_rng(seed)
    columns = {name: random.normal(shift if name == "a" else 0.0, 1, count) for name in names}
    return pl.DataFrame({"person_id": person_ids(count, first=1_000_000 * seed), **columns})


INPUTS = dict.fromkeys("abcd", "number")


def test_without_a_change_at_most_one_column_in_a_hundred_passes_its_limit():
    passed = [
        row["psi"] > row["limit"]
        for seed in range(100)
        for row in test_columns(week_of(seed, 500), learn_references(week_of(seed + 1000, 500), INPUTS)).to_dicts()
    ]
    assert np.mean(passed) <= 0.02  # 400 columns; 0.01 is expected


def test_without_a_change_no_week_is_called_drifted():
    alarms = [
        test_columns(week_of(seed), learn_references(week_of(seed + 1000), INPUTS))["is_drifted"].sum()
        for seed in range(40)
    ]
    assert sum(alarms) <= 0.01 * 4 * 40


def test_a_shift_that_matters_is_found_in_the_column_it_is_in():
    found = [
        test_columns(week_of(seed, shift=0.4), learn_references(week_of(seed + 500), INPUTS)) for seed in range(10)
    ]
    for tested in found:
        assert tested.filter(pl.col("is_drifted"))["feature"].to_list() == ["a"]


def test_a_sure_but_trivial_shift_is_no_drift():
    tested = test_columns(week_of(1, 200_000, shift=0.04), learn_references(week_of(2, 200_000), INPUTS))
    row = tested.filter(pl.col("feature") == "a").row(0, named=True)
    assert row["p_value"] < 1e-6 and row["js_distance"] < 0.05 and not row["is_drifted"]


def test_a_flood_of_zeros_a_new_level_and_missing_values_are_seen():
    before = pl.DataFrame({"n": [0] * 500 + list(range(1, 501)), "c": ["x"] * 600 + ["y"] * 400, "m": [1.0] * 1000})
    after = pl.DataFrame(
        {"n": [0] * 900 + list(range(1, 101)), "c": ["x"] * 500 + ["z"] * 500, "m": [None] * 500 + [1.0] * 500}
    )
    references = learn_references(before, {"n": "number", "c": "category", "m": "number"})
    assert test_columns(after, references)["is_drifted"].to_list() == [True, True, True]


def test_references_hold_counts_and_come_back_from_json():
    references = learn_references(week_of(3), INPUTS)
    assert [ColumnReference.from_dict(one.to_dict()) for one in references] == references
    assert all(sum(one.counts) == 2_000 for one in references)


def test_false_discoveries_are_controlled_over_columns():
    assert benjamini_hochberg(np.array([0.001, 0.009, 0.04, 0.9]), 0.01).tolist() == [True, False, False, False]
    assert benjamini_hochberg(np.array([]), 0.01).tolist() == []


def test_distances_of_equal_and_of_disjoint_counts():
    same = np.array([10.0, 20.0, 30.0])
    assert stability_index(same, same * 2)[:2] == (0.0, 0.0)
    assert stability_index(np.array([10.0, 0.0]), np.array([0.0, 10.0]))[1] == pytest.approx(1.0)


def test_a_classifier_tells_shifted_weeks_apart_and_not_others():
    names = [f"x{n}" for n in range(10)]

    def run(seed, shift):
        before, now = week_of(seed, names=names), week_of(seed + 700, names=names)
        moved = now.with_columns(pl.col("x0") + shift)
        return classifier_test(
            before.select(names).to_numpy(),
            moved.select(names).to_numpy(),
            before["person_id"],
            now["person_id"],
            matters_from=0.5,
        ).is_drifted

    assert np.mean([run(seed, 0.2) for seed in range(10)]) >= 0.9
    assert np.mean([run(seed, 0.0) for seed in range(20)]) <= 0.05


def test_too_few_people_say_nothing():
    few = week_of(1, 20)
    found = classifier_test(few.select("a").to_numpy(), few.select("a").to_numpy(), few["person_id"], few["person_id"])
    assert (found.auc, found.is_drifted) == (0.5, False)

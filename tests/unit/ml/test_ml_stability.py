"""The figures of the field's textbook data: 1,453 people answer eleven questions about a restaurant chain."""

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import adjusted_rand_score

from ml.many_starts import best_of_many_starts, nearest, within_sum_of_squares
from ml.persona_count import WEEKLY, gather_evidence
from ml.personas import PersonaSettings, fit_personas
from ml.stability import (
    adjusted_rand,
    global_stability,
    k_means_finder,
    prediction_strength,
    redraw,
    segment_origins,
    segment_recovery,
    segment_stability,
)


@pytest.fixture(scope="module")
def answers(shared_data):
    frame = pl.read_csv(shared_data / "mcdonalds" / "mcdonalds.csv")
    return (frame.to_pandas().iloc[:, :11] == "Yes").to_numpy().astype(float)


@pytest.fixture(scope="module")
def optimum(answers):
    return nearest(answers, best_of_many_starts(answers, 4, 1_000, 99))


def test_four_groups_are_the_same_from_every_seed(answers, optimum):
    for seed in range(20):
        centres = best_of_many_starts(answers, 4, 100, seed)
        assert within_sum_of_squares(answers, centres) <= 1603.2
        assert adjusted_rand(optimum, nearest(answers, centres)) >= 0.95


def test_six_groups_and_more_are_told_to_depend_on_chance(answers):
    table = gather_evidence(answers, range(2, 9), WEEKLY, 7).table
    assert table.filter(pl.col("k") >= 6)["is_reproducible"].to_list() == [False, False, False]
    assert table.filter(pl.col("k") <= 4)["is_reproducible"].to_list() == [True, True, True]


@pytest.mark.parametrize(
    ("starts", "expected"),
    [
        (10, {2: 0.952, 3: 0.869, 4: 0.851, 5: 0.813, 6: 0.722, 7: 0.681, 8: 0.662}),
        (50, {3: 0.939, 4: 0.893, 5: 0.954, 6: 0.850}),
    ],
)
def test_global_stability_is_as_published(answers, starts, expected):
    for k, value in expected.items():
        found = global_stability(redraw(k_means_finder(starts), answers, k, 50, 0))
        assert found.mean() == pytest.approx(value, abs=0.05)


def test_segments_are_as_stable_as_published(answers, optimum):
    redrawn = redraw(k_means_finder(50), answers, 4, 50, 0)
    within = segment_stability(optimum, redrawn)
    assert within.shape == (50, 4)
    assert sorted(within.mean(axis=0)) == pytest.approx([0.914, 0.931, 0.939, 0.964], abs=0.05)
    assert sorted(segment_recovery(optimum, redrawn)) == pytest.approx([0.877, 0.903, 0.904, 0.956], abs=0.05)


def test_prediction_strength_is_as_published(answers):
    """The table does not say from how many starts; from twenty all of it comes out."""
    expected = {2: 0.952, 3: 0.883, 4: 0.762, 5: 0.733}
    halvings = {k: [prediction_strength(k_means_finder(20), answers, k, seed, 50) for seed in (0, 1)] for k in expected}
    found = {k: np.concatenate(values).mean() for k, values in halvings.items()}
    assert found == pytest.approx(expected, abs=0.05)


def test_prediction_strength_of_few_starts_is_that_of_missed_solutions(answers):
    """Five groups are there, and found again, where the starts suffice to find them."""
    few, many = (prediction_strength(k_means_finder(starts), answers, 5, 0, 50) for starts in (10, 50))
    assert (many < 0.65).mean() < (few < 0.65).mean() / 2
    assert many.mean() > few.mean() + 0.1


def test_the_agreement_is_that_of_scikit_learn():
    random = np.random.default_rng(0)
    first, second = random.integers(0, 4, 500), random.integers(0, 3, 500)
    assert adjusted_rand(first, second) == pytest.approx(adjusted_rand_score(first, second))
    assert adjusted_rand(first, first) == 1


def test_a_split_comes_out_of_one_segment_and_a_patchwork_out_of_many():
    coarser = np.repeat([0, 1], 100)
    split = np.repeat([0, 1, 2], [100, 50, 50])
    patchwork = np.concatenate([np.repeat([0, 2], 50), np.repeat([1, 2], 50)])
    assert segment_origins(split, coarser) == pytest.approx([1, 1, 1])
    assert segment_origins(patchwork, coarser) == pytest.approx([1, 1, 0], abs=1e-9)


def test_answers_keep_their_scale_and_become_latent_classes(shared_data):
    frame = pl.read_csv(shared_data / "mcdonalds" / "mcdonalds.csv")
    items = frame.columns[:11]
    people = frame.select(items).with_columns(person_id=pl.int_range(pl.len(), dtype=pl.UInt64))
    catalogue = pl.DataFrame({"feature": items, "label": items}).with_columns(
        family=pl.lit("survey"), kind=pl.lit("category"), is_persona_input=True, is_propensity_input=True
    )
    catalogue = catalogue.with_columns(high_words=pl.lit(None, pl.String), low_words=pl.lit(None, pl.String))
    model = fit_personas(people, catalogue, PersonaSettings(k=4, algorithm="k_means"))
    assert model.preparation.is_survey_ and model.preparation.n_columns_ == 11
    assert model.spread * 1453 * 11 == pytest.approx(1602.9, abs=1)
    by_classes = fit_personas(people, catalogue, PersonaSettings(k=4))
    assert by_classes.algorithm == "latent_class"
    assert by_classes.assign(people)["strength"].is_between(0.25, 1).all()

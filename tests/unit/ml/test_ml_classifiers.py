import numpy as np
import polars as pl
import pytest
from planted_people import planted_weeks
from scipy.special import logit
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

from ml.classifiers import ALGORITHMS, KEEP_CONSTRAINTS, candidates, log_odds, make_classifier
from ml.evaluation import log_loss
from ml.tree_arrays import AveragedTrees, BoostedTrees
from tests.people_by_name import person_ids

INPUTS = {
    "events_28d": "number",
    "active_days_28d": "number",
    "days_since_order": "number",
    "tickets_91d": "number",
    "is_admin": "flag",
    "country": "category",
}
EACH = pytest.mark.parametrize("name", list(ALGORITHMS))


@pytest.fixture(scope="module")
def rows():
    return planted_weeks(weeks=1, count=4_000, seed=11)


@pytest.fixture(scope="module")
def outcomes(rows):
    return rows["outcome"].cast(pl.Float64).to_numpy()


@pytest.fixture(scope="module")
def fitted(rows, outcomes):
    return {name: make_classifier(name, INPUTS, {}, 7).fit(rows, outcomes) for name in ALGORITHMS}


@EACH
def test_each_learns_and_says_probabilities(name, fitted):
    fresh = planted_weeks(weeks=1, count=4_000, seed=12)
    said = 1 / (1 + np.exp(-log_odds(fitted[name], fresh)))
    truth = fresh["true_probability"].to_numpy()
    assert log_loss(truth, said) < 1.05 * log_loss(truth, truth)
    assert said.mean() == pytest.approx(truth.mean(), abs=0.02)


@EACH
def test_the_same_rows_give_the_same_model(name, rows, outcomes, fitted):
    again = make_classifier(name, INPUTS, {}, 7).fit(rows, outcomes)
    assert np.array_equal(log_odds(again, rows), log_odds(fitted[name], rows))


@EACH
def test_missing_values_and_unknown_levels_are_scored(name, rows, fitted):
    odd = rows.head(50).with_columns(
        events_28d=pl.lit(None, pl.Int64), country=pl.lit("never seen"), is_admin=pl.lit(None, pl.Boolean)
    )
    assert np.isfinite(log_odds(fitted[name], odd)).all()


@EACH
def test_features_that_do_not_vary_leave_the_base_rate(name, rows, outcomes):
    constant = rows.with_columns(events_28d=pl.lit(3))
    classifier = make_classifier(name, {"events_28d": "number"}, {}, 7).fit(constant, outcomes)
    assert log_odds(classifier, constant) == pytest.approx(logit(outcomes.mean()))


@EACH
def test_a_state_gives_back_the_classifier_exactly(name, rows, fitted):
    again = ALGORITHMS[name].from_state(fitted[name].to_state())
    assert np.array_equal(log_odds(again, rows), log_odds(fitted[name], rows))


@pytest.mark.parametrize("name", KEEP_CONSTRAINTS)
@pytest.mark.parametrize("sign", [1, -1])
def test_a_declared_direction_is_kept(name, sign):
    random = np.random.default_rng(4)
    x, y = random.normal(size=(2, 6_000))
    features = pl.DataFrame({"person_id": person_ids(6_000), "x": x, "y": y})
    told = (random.random(6_000) < 1 / (1 + np.exp(1 - y - np.sin(2 * x)))).astype(float)
    classifier = make_classifier(name, {"x": "number", "y": "number"}, {"x": sign}, 7).fit(features, told)
    for fixed in (-1.0, 0.0, 2.0):
        line = pl.DataFrame({"x": np.linspace(-4, 4, 400)}).with_columns(y=fixed)
        assert (sign * np.diff(log_odds(classifier, line)) >= -1e-12).all()
    free = pl.DataFrame({"y": [-2.0, 2.0]}).with_columns(x=0.0)
    assert log_odds(classifier, free)[1] > log_odds(classifier, free)[0] + 1


def test_constraints_leave_those_that_cannot_keep_them_out():
    assert candidates({}) == list(ALGORITHMS)
    assert candidates({"x": 1}) == list(KEEP_CONSTRAINTS)


def matrix_of(count=5_000):
    random = np.random.default_rng(3)
    level = random.integers(0, 6, count)
    matrix = np.column_stack([level, random.normal(size=(count, 4))]).astype(np.float32)
    matrix[random.random(count) < 0.2, 1] = np.nan
    matrix[random.random(count) < 0.1, 0] = np.nan
    told = random.random(count) < 1 / (1 + np.exp(-np.nan_to_num(matrix[:, 1]) - (level == 2)))
    return matrix, told.astype(float)


def test_boosted_trees_as_arrays_predict_what_scikit_learn_does():
    matrix, told = matrix_of()
    model = HistGradientBoostingClassifier(max_iter=30, categorical_features=[True] + [False] * 4).fit(matrix, told)
    trees = BoostedTrees.from_arrays(BoostedTrees.of(model).to_arrays())
    unknown = np.vstack([matrix, [[9, 0, 0, 0, 0]]]).astype(np.float32)
    assert np.array_equal(trees.log_odds(unknown), model.decision_function(unknown))


def test_averaged_trees_as_arrays_predict_what_scikit_learn_does():
    matrix, told = matrix_of()
    model = RandomForestClassifier(20, min_samples_leaf=20, random_state=1).fit(matrix, told)
    trees = AveragedTrees.from_arrays(AveragedTrees.of(model).to_arrays())
    assert trees.shares(matrix) == pytest.approx(model.predict_proba(matrix)[:, 1], abs=1e-14)


@pytest.mark.parametrize(
    ("field", "value"),
    [("left", 0), ("right", 10**6), ("feature_idx", 77), ("bitset_idx", 10**6)],
)
def test_trees_that_lead_nowhere_are_refused(field, value):
    matrix, told = matrix_of()
    model = HistGradientBoostingClassifier(max_iter=5, categorical_features=[True] + [False] * 4).fit(matrix, told)
    arrays = BoostedTrees.of(model).to_arrays()
    nodes = arrays["nodes"].copy()
    spoiled = np.flatnonzero((nodes["is_leaf"] == 0) & ((nodes["is_categorical"] == 1) | (field != "bitset_idx")))[0]
    nodes[field][spoiled] = value
    with pytest.raises(ValueError, match="a saved tree"):
        BoostedTrees.from_arrays(arrays | {"nodes": nodes})


@pytest.mark.parametrize(("field", "value"), [("left_child", 0), ("right_child", 10**6), ("feature", 77)])
def test_a_forest_that_leads_nowhere_is_refused(field, value):
    matrix, told = matrix_of()
    arrays = AveragedTrees.of(RandomForestClassifier(3, min_samples_leaf=20).fit(matrix, told)).to_arrays()
    nodes = arrays["nodes"].copy()
    nodes[field][0] = value
    with pytest.raises(ValueError, match="a saved tree"):
        AveragedTrees.from_arrays(arrays | {"nodes": nodes})

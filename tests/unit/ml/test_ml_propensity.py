from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from planted_people import CATALOGUE, WEEK, catalogue_of, planted_weeks

from ml.evaluation import area_under_curve, calibration_error
from ml.propensity import (
    Abstention,
    PropensitySettings,
    cross_fit_scores,
    fit_propensity,
    propensity_bands,
)

LAST = WEEK + timedelta(weeks=3)


@pytest.fixture(scope="module")
def weeks():
    return planted_weeks()


@pytest.fixture(scope="module")
def model(weeks):
    return fit_propensity(weeks, CATALOGUE)


def test_a_planted_signal_is_learned(weeks, model):
    week = weeks.filter(pl.col("as_of") == LAST)
    scores = model.score(week)
    truth = week.sort("person_id")["true_probability"].to_numpy()
    assert scores["person_id"].is_sorted()
    assert scores["probability"].is_between(0, 1).all()
    assert np.abs(scores["probability"].to_numpy() - truth).mean() < 0.04
    assert model.evaluation["auc"] > 0.75
    assert model.evaluation["log_loss"] < model.evaluation["base_rate_log_loss"]


def test_probabilities_are_calibrated(weeks, model):
    fresh = planted_weeks(weeks=1, count=20_000, seed=77)
    predicted = model.score(fresh)["probability"].to_numpy()
    outcomes = fresh.sort("person_id")["outcome"].cast(pl.Float64).to_numpy()
    assert calibration_error(outcomes, predicted) < 0.02
    assert sum(part["people"] for part in model.evaluation["reliability"]) == model.evaluation["rows"]


def test_simple_signals_are_left_to_the_simple_algorithm(model):
    assert model.algorithm == "logistic"


def test_boosting_is_used_where_it_is_clearly_better(weeks):
    random = np.random.default_rng(0)
    x, y = random.normal(size=(2, weeks.height))
    both = weeks.with_columns(
        x=pl.Series(x),
        y=pl.Series(y),
        outcome=pl.Series((random.random(len(x)) < np.where(x * y > 0, 0.4, 0.1)).astype(int)),
    )
    catalogue = catalogue_of(("x", "f", "x", None, None, "number"), ("y", "f", "y", None, None, "number"))
    found = fit_propensity(both, catalogue)
    assert found.algorithm == "boosting"
    assert found.evaluation["log_loss_boosting"] < 0.99 * found.evaluation["log_loss_logistic"]
    assert found.score(both.filter(pl.col("as_of") == LAST))["probability"].null_count() == 0


def test_measured_on_other_people_in_the_last_week_where_outcomes_may_overlap(model):
    assert model.evaluation["measured_on"] == f"other people in the week of {LAST}, learned from earlier weeks"
    assert model.evaluation["is_out_of_time"]


def test_measured_on_everybody_of_the_last_week_where_outcomes_had_closed(weeks):
    closed = fit_propensity(weeks, CATALOGUE, PropensitySettings(horizon_days=14))
    assert (
        closed.evaluation["measured_on"] == f"the week of {LAST}, learned from weeks up to {LAST - timedelta(weeks=2)}"
    )
    assert closed.evaluation["rows"] == 3_000


def test_a_single_week_is_split_by_people_and_says_so(weeks):
    single = fit_propensity(weeks.filter(pl.col("as_of") == LAST), CATALOGUE)
    assert single.evaluation["measured_on"] == f"other people of the same week, {LAST}; not out of time"
    assert not single.evaluation["is_out_of_time"]


def test_no_signal_abstains(weeks):
    random = np.random.default_rng(12)  # one draw in twenty is better than chance by chance
    chance = weeks.with_columns(outcome=pl.Series((random.random(weeks.height) < 0.1).astype(int)))
    abstained = fit_propensity(chance, CATALOGUE)
    assert isinstance(abstained, Abstention)
    assert abstained.reason.startswith("no better than chance for sure (AUC 0.")
    assert abstained.evaluation["auc_low"] <= 0.5


@pytest.mark.parametrize(("outcome", "what"), [(0, "with"), (1, "without")])
def test_too_few_examples_abstain(weeks, outcome, what):
    one_sided = weeks.with_columns(outcome=pl.lit(outcome))
    abstained = fit_propensity(one_sided, CATALOGUE)
    assert abstained.reason == f"0 examples {what} the outcome; 50 are needed"


def test_a_last_week_without_outcomes_abstains(weeks):
    silent = weeks.with_columns(outcome=pl.when(pl.col("as_of") == LAST).then(0).otherwise("outcome"))
    assert "too few outcomes to measure on" in fit_propensity(silent, CATALOGUE).reason


def test_no_usable_feature_abstains(weeks):
    assert fit_propensity(weeks, CATALOGUE.with_columns(is_propensity_input=False)).reason == "no feature may be used"


def test_outcomes_that_are_not_known_yet_are_left_out(weeks, model):
    unknown = pl.concat([weeks, weeks.with_columns(pl.col("as_of").dt.offset_by("70d"), outcome=pl.lit(None, pl.Int8))])
    assert fit_propensity(unknown, CATALOGUE).model_id == model.model_id


def test_a_perfectly_predicted_outcome_does_not_crash(weeks):
    perfect = weeks.with_columns(outcome=(pl.col("events_28d") > 30).cast(pl.Int8))
    found = fit_propensity(perfect, CATALOGUE, PropensitySettings(suspects="keep"))
    assert found.evaluation["auc"] == pytest.approx(1.0, abs=1e-3)
    assert np.isfinite(found.evaluation["log_loss"])


def test_the_order_of_the_rows_has_no_say(weeks, model):
    again = fit_propensity(weeks.sample(fraction=1.0, shuffle=True, seed=4), CATALOGUE)
    assert again.model_id == model.model_id
    week = weeks.filter(pl.col("as_of") == LAST)
    assert again.score(week).equals(model.score(week.reverse()))


def test_unknown_levels_and_missing_values_are_scored(weeks, model):
    odd = weeks.filter(pl.col("as_of") == LAST).with_columns(
        country=pl.lit("never seen"), events_28d=pl.lit(None, pl.Int64)
    )
    assert model.score(odd)["probability"].is_between(0, 1).all()
    with pytest.raises(ValueError, match="events_28d"):
        model.score(odd.drop("events_28d"))


def test_cross_fitting_scores_everybody_out_of_fold(weeks):
    week = weeks.filter(pl.col("as_of") == LAST)
    labelled = week.with_columns(outcome=pl.when(pl.col("person_id") < "p_0003ff").then(None).otherwise("outcome"))
    fitted = cross_fit_scores(labelled, CATALOGUE)
    assert fitted.scores.height == week.height
    assert fitted.evaluation["rows"] == labelled["outcome"].count()
    truth = week.sort("person_id")["true_probability"].to_numpy()
    assert np.corrcoef(fitted.scores["probability"], truth)[0, 1] > 0.9
    assert not fitted.evaluation["is_out_of_time"]


def test_cross_fitting_does_not_let_a_label_predict_itself(weeks):
    week = weeks.filter(pl.col("as_of") == LAST)
    random = np.random.default_rng(5)
    noise = {f"n{number}": pl.Series(random.normal(size=week.height)) for number in range(30)}
    chance = week.select(
        "person_id", "as_of", **noise, outcome=pl.Series((random.random(week.height) < 0.3).astype(int))
    )
    catalogue = catalogue_of(*((name, "f", name, None, None, "number") for name in noise))
    assert isinstance(cross_fit_scores(chance, catalogue), Abstention)


def test_bands_follow_the_base_rate():
    scores = pl.DataFrame({"person_id": list("abcd"), "probability": [0.25, 0.15, 0.05, None]})
    banded = propensity_bands(scores, base_rate=0.1)
    assert banded["band"].to_list() == ["high", "medium", "low", None]
    assert banded["high_from"][0] == pytest.approx(0.2)
    assert propensity_bands(scores, base_rate=0.6)["high_from"][0] == pytest.approx(0.8)
    assert propensity_bands(scores, base_rate=0.1, high=0.9, medium=0.2)["band"].to_list()[:2] == ["medium", "low"]
    with pytest.raises(ValueError, match="medium <= high"):
        propensity_bands(scores, base_rate=0.1, high=0.2, medium=0.3)


def test_the_area_under_the_curve_and_its_interval():
    assert area_under_curve(np.array([0, 0, 1, 1.0]), np.array([0.1, 0.4, 0.35, 0.8]))[0] == pytest.approx(0.75)
    assert area_under_curve(np.array([0, 0, 1, 1.0]), np.array([0.1, 0.2, 0.3, 0.4])) == (1.0, 1.0, 1.0)
    random = np.random.default_rng(0)
    covered = 0
    for _ in range(300):
        outcomes = (random.random(200) < 0.3).astype(float)
        _, low, high = area_under_curve(outcomes, random.random(200))
        covered += low <= 0.5 <= high
    assert covered / 300 == pytest.approx(0.95, abs=0.03)

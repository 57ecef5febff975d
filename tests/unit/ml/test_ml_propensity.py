from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from planted_people import CATALOGUE, FIRST_PERSON, WEEK, catalogue_of, planted_weeks

from benchmarks.propensity_worlds import simulated_weeks
from ml.evaluation import calibration_error, evaluate, log_loss
from ml.negative_sampling import draw_common_outcome
from ml.propensity import cross_fit_scores, fit_propensity
from ml.propensity_model import Abstention, PropensitySettings

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
    closed = fit_propensity(weeks, CATALOGUE, PropensitySettings(horizon_days=14), "logistic")
    assert (
        closed.evaluation["measured_on"] == f"the week of {LAST}, learned from weeks up to {LAST - timedelta(weeks=2)}"
    )
    assert closed.evaluation["rows"] == 3_000


def test_a_single_week_is_split_by_people_and_says_so(weeks):
    single = fit_propensity(weeks.filter(pl.col("as_of") == LAST), CATALOGUE, standing="logistic")
    assert single.evaluation["measured_on"] == f"other people of the same week, {LAST}; not out of time"
    assert not single.evaluation["is_out_of_time"]


def test_no_signal_abstains(weeks):
    random = np.random.default_rng(12)  # one draw in twenty is better than chance by chance
    chance = weeks.with_columns(outcome=pl.Series((random.random(weeks.height) < 0.1).astype(int)))
    abstained = fit_propensity(chance, CATALOGUE, standing="boosting")
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


def test_outcomes_that_are_not_known_yet_are_left_out(weeks):
    unknown = pl.concat([weeks, weeks.with_columns(pl.col("as_of").dt.offset_by("70d"), outcome=pl.lit(None, pl.Int8))])
    expected = fit_propensity(weeks, CATALOGUE, standing="logistic").model_id
    assert fit_propensity(unknown, CATALOGUE, standing="logistic").model_id == expected


def test_a_feature_that_predicts_perfectly_is_left_out_blocks_or_is_kept_as_asked(weeks):
    perfect = weeks.with_columns(noise=pl.col("outcome") * 3.0)
    catalogue = pl.concat([CATALOGUE, catalogue_of(("noise", "f", "noise", None, None, "number"))])
    left_out = fit_propensity(perfect, catalogue, standing="logistic")
    assert [suspect.feature for suspect in left_out.suspects] == ["noise"]
    assert "noise" not in left_out.inputs
    assert 0.7 < left_out.evaluation["auc"] < 0.9
    blocked = fit_propensity(perfect, catalogue, PropensitySettings(suspects="block"))
    assert blocked.reason.startswith("suspected of knowing the outcome: noise: it is all but the outcome itself")
    kept = fit_propensity(perfect, catalogue, PropensitySettings(suspects="keep"), "logistic")
    assert kept.evaluation["auc"] == pytest.approx(1.0, abs=1e-3)
    assert np.isfinite(kept.evaluation["log_loss"])
    assert [suspect.feature for suspect in kept.suspects] == ["noise"]


def test_nothing_but_suspects_abstains(weeks):
    only = weeks.select("person_id", "as_of", "outcome", noise=pl.col("outcome") * 3.0)
    catalogue = catalogue_of(("noise", "f", "noise", None, None, "number"))
    assert fit_propensity(only, catalogue).reason.startswith("no feature is left without the suspects: noise")


def test_the_standing_algorithm_is_kept_without_comparing(weeks, model):
    kept = fit_propensity(weeks, CATALOGUE, standing="logistic")
    assert kept.evaluation["compared"] is None
    assert kept.evaluation["chosen_because"] == "logistic was chosen before, and a comparison was not due"
    assert kept.model_id == model.model_id
    assert set(model.evaluation["compared"]) == {"logistic", "boosting", "forest", "network"}


def test_the_last_week_neither_chooses_nor_calibrates(weeks):
    random = np.random.default_rng(8)
    shuffled = pl.Series(random.integers(0, 2, weeks.height))
    spoiled = weeks.with_columns(outcome=pl.when(pl.col("as_of") == LAST).then(shuffled).otherwise("outcome"))
    keep = PropensitySettings(suspects="keep", comparison_rows=3_000)
    as_is, other = (fit_propensity(frame, CATALOGUE, keep).evaluation for frame in (weeks, spoiled))
    assert as_is["compared"] == other["compared"]
    assert as_is["calibration"] == other["calibration"]
    assert other["auc"] < 0.6


def test_rows_drawn_of_the_common_outcome_give_the_probabilities_of_all_rows():
    weeks = planted_weeks(count=8_000, seed=21)
    drawn = draw_common_outcome(weeks, seed=7, enough=1)
    assert drawn.height < 0.5 * weeks.height
    whole, part = (fit_propensity(rows, CATALOGUE, standing="logistic") for rows in (weeks, drawn))
    assert part.evaluation["base_rate"] == pytest.approx(whole.evaluation["base_rate"], abs=0.01)
    assert part.evaluation["log_loss"] == pytest.approx(whole.evaluation["log_loss"], abs=0.015)
    assert part.evaluation["drawn"].endswith("figures are those of all rows")
    fresh = planted_weeks(weeks=1, count=20_000, seed=78)
    told = part.score(fresh)["probability"].mean()
    assert told == pytest.approx(fresh["true_probability"].mean(), abs=0.01)


@pytest.mark.parametrize(("standing", "is_bent"), [("logistic", False), ("boosting", True)])
def test_probabilities_that_are_known_are_found(standing, is_bent):
    # A straight world is found from as few rows as drawing can leave; a bent one takes what is drawn by default.
    drawn = {} if is_bent else {"enough": 1}
    weeks = draw_common_outcome(simulated_weeks(50_000, 2, 1, is_bent), seed=7, **drawn)
    inputs = [name for name in weeks.columns if name not in ("person_id", "as_of", "truth", "outcome", "sampled_at")]
    kinds = {"country": "category", "has_app": "flag"}
    catalogue = catalogue_of(*((name, "f", name, None, None, kinds.get(name, "number")) for name in inputs))
    found = fit_propensity(weeks, catalogue, PropensitySettings(horizon_days=7), standing)
    fresh = simulated_weeks(50_000, 1, 101, is_bent).sort("person_id")
    said, truth = found.score(fresh)["probability"].to_numpy(), fresh["truth"].to_numpy()
    figures = evaluate(fresh["outcome"].cast(pl.Float64).to_numpy(), said)
    assert figures["calibration_slope"] == pytest.approx(1, abs=0.05)
    assert figures["calibration_error"] <= 0.01
    assert log_loss(truth, said) <= 1.01 * log_loss(truth, truth)


def test_a_constraint_keeps_to_the_algorithms_that_can_promise_it(weeks):
    settings = PropensitySettings(monotonic={"tickets_91d": 1, "not_delivered": -1})
    constrained = fit_propensity(weeks, CATALOGUE, settings)
    assert set(constrained.evaluation["compared"]) == {"logistic", "boosting"}
    # A forest was chosen while these features were not there: it cannot stand any more, and another is chosen.
    instead = fit_propensity(weeks, CATALOGUE, settings, "forest")
    assert instead.evaluation["compared"] == constrained.evaluation["compared"]
    assert instead.algorithm == constrained.algorithm
    with pytest.raises(ValueError, match="country is a category"):
        fit_propensity(weeks, CATALOGUE, PropensitySettings(monotonic={"country": 1}))


@pytest.mark.parametrize("algorithm", ["logistic", "boosting"])
def test_a_declared_direction_holds_for_probabilities_against_what_the_data_say(weeks, algorithm):
    """People with more events do it more often; it is declared that they do it less."""
    settings = PropensitySettings(monotonic={"events_28d": -1})
    model = fit_propensity(weeks, CATALOGUE, settings, algorithm)
    free = fit_propensity(weeks, CATALOGUE, standing=algorithm)
    somebody = weeks.filter(pl.col("as_of") == LAST).head(1)
    line = pl.concat([somebody] * 200).with_columns(
        person_id=pl.int_range(10**9, 10**9 + pl.len(), dtype=pl.UInt64),
        events_28d=pl.int_range(pl.len()).cast(weeks.schema["events_28d"]),
    )
    assert (np.diff(model.score(line)["probability"].to_numpy()) <= 1e-9).all()
    assert free.score(line)["probability"].max() > 1.5 * free.score(line)["probability"][0]


def test_drift_of_the_base_rate_is_said_in_words():
    weeks = planted_weeks(count=8_000, seed=31)
    random = np.random.default_rng(3)
    doubled = ((weeks["outcome"] == 1).to_numpy() | (random.random(weeks.height) < 0.15)).astype(np.int8)
    drifted = weeks.with_columns(outcome=pl.when(pl.col("as_of") == LAST).then(pl.Series(doubled)).otherwise("outcome"))
    words = fit_propensity(drifted, CATALOGUE, standing="logistic").evaluation["calibration_drift"]
    assert "probabilities are too low" in words


def test_probabilities_of_thin_data_that_say_less_than_one_number_for_everybody_abstain_though_they_rank():
    weeks = planted_weeks(count=260, seed=29)
    random = np.random.default_rng(29)
    outcomes = weeks["outcome"].to_numpy()
    mostly_chance = np.where(random.random(weeks.height) < 0.75, random.permutation(outcomes), outcomes)
    thin = weeks.with_columns(outcome=pl.Series(mostly_chance))
    abstained = fit_propensity(thin, CATALOGUE, PropensitySettings(minimum_positives=10), standing="logistic")
    assert isinstance(abstained, Abstention)
    assert abstained.evaluation["auc_low"] > 0.5
    assert abstained.reason.startswith("its probabilities say less than the share of everybody would (log loss ")


def test_the_order_of_the_rows_has_no_say(weeks, model):
    again = fit_propensity(weeks.sample(fraction=1.0, shuffle=True, seed=4), CATALOGUE, standing="logistic")
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
    labelled = week.with_columns(
        outcome=pl.when(pl.col("person_id") < FIRST_PERSON + 0x3FF).then(None).otherwise("outcome")
    )
    fitted = cross_fit_scores(labelled, CATALOGUE, standing="logistic")
    assert fitted.scores.height == week.height
    assert fitted.evaluation["rows"] == labelled["outcome"].count()
    truth = week.sort("person_id")["true_probability"].to_numpy()
    assert np.corrcoef(fitted.scores["probability"], truth)[0, 1] > 0.9
    assert not fitted.evaluation["is_out_of_time"]
    assert fitted.model.score(week).height == week.height


def test_cross_fitting_does_not_let_a_label_predict_itself(weeks):
    week = weeks.filter(pl.col("as_of") == LAST)
    random = np.random.default_rng(5)
    noise = {f"n{number}": pl.Series(random.normal(size=week.height)) for number in range(30)}
    chance = week.select(
        "person_id", "as_of", **noise, outcome=pl.Series((random.random(week.height) < 0.3).astype(int))
    )
    catalogue = catalogue_of(*((name, "f", name, None, None, "number") for name in noise))
    assert isinstance(cross_fit_scores(chance, catalogue, standing="boosting"), Abstention)

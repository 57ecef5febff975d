"""High, medium and low: where they begin, what they are expected to earn, and when they are one."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from ml.bands import BandRule, decide_bands, observed_share, wilson
from ml.gains import DEPTHS, expected_gains
from tests.people_by_name import person_ids


def measured_people(people: int = 20_000, seed: int = 3) -> pl.DataFrame:
    """People whose outcomes come true as often as they are likely."""
    random = np.random.default_rng(seed)
    probability = random.beta(1.2, 8, people)
    return pl.DataFrame(
        {
            "person_id": person_ids(people),
            "probability": probability,
            "outcome": (random.random(people) < probability).astype(int),
        }
    )


def sizes(bands, people: pl.DataFrame) -> dict[str, int]:
    return dict(people.select(band=bands.names(people)).group_by("band").len().iter_rows())


def test_wilsons_interval_is_that_of_the_textbook():
    # Wilson 1927 for 10 of 100 at 95 %; Newcombe 1998 gives .0552 to .1744.
    assert wilson(0.1, 100) == pytest.approx((0.0552, 0.1744), abs=5e-5)
    assert wilson(0.0, 20)[0] == 0 and wilson(1.0, 20)[1] == 1


def test_weighted_rows_tell_as_much_as_equal_ones_would():
    outcomes = np.array([1.0, 0.0, 0.0])
    share, low, high = observed_share(outcomes, [1.0, 1.0, 8.0])
    assert share == 0.1
    assert (low, high) == pytest.approx(wilson(0.1, 100 / 66))


def test_by_default_high_is_twice_the_base_rate_and_medium_begins_at_it():
    people = measured_people()
    bands = decide_bands(BandRule(), 0.13, people, people.height)
    assert (bands.high_from, bands.medium_from) == (0.26, 0.13)
    assert decide_bands(BandRule(), 0.8, None, 1).high_from == 0.9  # halfway to one: twice would be beyond it
    probability = people["probability"].to_numpy()
    assert sizes(bands, people) == {
        "high": (probability >= 0.26).sum(),
        "medium": ((probability >= 0.13) & (probability < 0.26)).sum(),
        "low": (probability < 0.13).sum(),
    }


def test_where_cost_and_value_are_declared_high_is_where_a_contact_pays():
    people = measured_people()
    bands = decide_bands(BandRule(cost=2, value=20, margin=0.5), 0.1, people, people.height)
    assert bands.high_from == pytest.approx(0.2)


def test_capacity_is_the_likeliest_people_and_ties_are_broken_by_person():
    people = measured_people()
    bands = decide_bands(BandRule(by="capacity", people=500, medium_people=1_500), 0.1, people, people.height)
    assert sizes(bands, people) == {"high": 500, "medium": 1_500, "low": 18_000}
    named = people.with_columns(band=bands.names(people))
    assert named.filter(band="high")["probability"].min() > named.filter(band="medium")["probability"].max()
    alike = people.with_columns(probability=pl.lit(0.1))
    assert alike.with_columns(band=bands.names(alike)).filter(band="high")["person_id"].max() == 499


def test_capacity_for_more_people_than_there_are_takes_everybody():
    people = measured_people(100)
    bands = decide_bands(BandRule(by="capacity", people=500), 0.1, None, people.height)
    assert sizes(bands, people) == {"high": 100}


def test_by_expected_value_everybody_counts_with_their_own_amount():
    people = measured_people(4_000).with_columns(
        amount=pl.when(pl.int_range(pl.len()) % 2 == 0).then(100.0).otherwise(None)
    )
    people = people.with_columns(amount=pl.when(pl.int_range(pl.len()) % 4 == 0).then(20.0).otherwise("amount"))
    bands = decide_bands(BandRule(by="expected_value", cost=5, margin=0.5), 0.13, people, people.height)
    assert bands.usual_amount == pytest.approx(60)  # who has no amount is given the mean of those who have
    worth = people["amount"].fill_null(60.0).to_numpy() * 0.5
    assert ((bands.place(people) == 2) == (people["probability"].to_numpy() * worth >= 5)).all()


def test_bands_that_cannot_be_told_apart_are_one():
    people = measured_people().with_columns(outcome=(pl.int_range(pl.len()) % 10 == 0).cast(pl.Int64))
    bands = decide_bands(BandRule(), 0.13, people, people.height)
    assert set(bands.names(people)) == {"low"}
    assert len(bands.notes) == 2 and "cannot be told from that of medium" in bands.notes[0]


def test_bands_that_are_one_are_called_as_the_larger_of_them():
    people = measured_people()
    narrow = decide_bands(BandRule(high=0.14, medium=0.139), 0.13, people, people.height)
    assert set(narrow.names(people)) == {"high", "low"}
    nobody_low = decide_bands(BandRule(high=0.2, medium=0.0), 0.13, people, people.height)
    assert set(nobody_low.names(people)) == {"high", "medium"} and not nobody_low.notes


def test_only_the_bands_that_overlap_are_joined():
    people = measured_people()
    bands = decide_bands(BandRule(high=0.8, medium=0.13), 0.13, people, people.height)
    assert people.filter(pl.col("probability") >= 0.8).height < 5
    assert set(bands.names(people)) == {"medium", "low"}


def test_the_list_there_is_capacity_for_stays_a_list_that_is_said_to_be_no_better():
    people = measured_people(1_000).with_columns(outcome=(pl.int_range(pl.len()) % 10 == 0).cast(pl.Int64))
    bands = decide_bands(BandRule(by="capacity", people=50), 0.1, people, people.height)
    assert sizes(bands, people) == {"high": 50, "low": 950}
    assert "no better than who comes next" in bands.notes[0]


@pytest.mark.parametrize("rule", [BandRule(high=0.1, medium=0.2), BandRule(high=1.2)])
def test_thresholds_that_cannot_be_are_refused(rule):
    with pytest.raises(ValueError, match="thresholds must be"):
        decide_bands(rule, 0.1, None, 1)


def test_gains_say_how_much_of_what_happens_the_likeliest_people_are():
    people = measured_people()
    bands = decide_bands(BandRule(cost=1, value=10), 0.13, people, people.height)
    gains = expected_gains(people, bands, {"high": 10_000, "low": 90_000})
    curve = gains.filter(kind="curve")
    assert curve["depth"].to_list() == list(DEPTHS)
    tenth = curve.filter(depth=0.1).row(0, named=True)
    top = people.sort("probability", descending=True).head(2_000)
    assert tenth["people"] == 10_000 and tenth["measured_people"] == 2_000
    assert tenth["observed"] == pytest.approx(top["outcome"].mean())
    assert tenth["gain"] == pytest.approx(top["outcome"].sum() / people["outcome"].sum())
    assert tenth["lift"] == pytest.approx(top["outcome"].mean() / people["outcome"].mean())
    assert tenth["observed_low"] < tenth["observed"] < tenth["observed_high"]
    assert tenth["profit"] == pytest.approx(10_000 * (10 * top["outcome"].mean() - 1))
    last = curve.filter(depth=1.0).row(0, named=True)
    assert (last["gain"], last["lift"]) == pytest.approx((1, 1))


def test_without_cost_and_value_there_is_no_profit():
    people = measured_people(2_000)
    gains = expected_gains(people, decide_bands(BandRule(), 0.13, people, 2_000), {"high": 200, "low": 1_800})
    assert gains["profit"].null_count() == gains.height


def test_the_interval_of_the_profit_covers_what_comes_nineteen_times_in_twenty():
    rule = BandRule(by="expected_value", cost=2, margin=1.0)
    truth = measured_people(400_000, seed=99).with_columns(
        amount=pl.lit(np.random.default_rng(1).gamma(2, 10, 400_000))
    )
    bands = decide_bands(rule, 0.13, truth, truth.height)
    expected = expected_gains(truth, bands, {"high": 1_000}).filter(kind="curve", depth=0.1)["profit"][0]
    covered = 0
    for seed in range(100):
        random = np.random.default_rng(seed)
        people = measured_people(3_000, seed).with_columns(amount=pl.lit(random.gamma(2, 10, 3_000)))
        row = expected_gains(people, bands, {"high": 1_000}, seed).filter(kind="curve", depth=0.1).row(0, named=True)
        covered += row["profit_low"] <= expected <= row["profit_high"]
    assert covered >= 88


def test_negatives_drawn_at_a_rate_change_no_expectation():
    people = measured_people(60_000)
    kept = people.filter((pl.col("outcome") == 1) | (pl.int_range(pl.len()) % 4 == 0)).with_columns(
        weight=pl.when(pl.col("outcome") == 1).then(1.0).otherwise(4.0)
    )
    bands = decide_bands(BandRule(cost=1, value=10), 0.13, people, people.height)
    whole, sample = (expected_gains(rows, bands, {"high": 60_000}).filter(kind="curve") for rows in (people, kept))
    assert sample["observed"].to_numpy() == pytest.approx(whole["observed"].to_numpy(), rel=0.1)
    assert sample["gain"].to_numpy() == pytest.approx(whole["gain"].to_numpy(), rel=0.05, abs=0.005)

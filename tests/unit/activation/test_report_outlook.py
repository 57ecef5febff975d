"""What the report says of propensities: in words, with what they earn, and whether they came true."""

from __future__ import annotations

import polars as pl
from sample_report import sample_report

from activation.report.curves import round_values, scale_of
from activation.report.identity import recognize_personas
from activation.report.outlook import TargetView, tell_outlook
from activation.report.report import render_report


def target(**frames: pl.DataFrame) -> TargetView:
    data = sample_report(**frames)
    return tell_outlook(data, recognize_personas(data))[0]


def test_a_target_says_what_it_is_for_and_of_whom_nothing_is_said():
    told = target()
    assert told.action == "offer an add-on"
    assert told.not_eligible == [
        "has ordered before: 1,204 people",
        "known for less than 60 days: fewer than 10 people",
    ]


def test_bands_say_what_was_observed_of_them_and_what_they_earn():
    high = target().bands[0]
    assert (high.observed, high.profit) == ("36% (33% to 39%)", "€4,100 (€3,600 to €4,600)")
    assert target().bands[2].observed == ""
    assert target().band_notes == ["nobody measured was in the band high"]


def test_earnings_are_sentences():
    assert target().earnings == [
        "The likeliest tenth (1,212 people) holds 34% of those who do it, 3.4 times as many as a tenth by chance.",
        "Profit is highest when the likeliest 30% are contacted (3,638 people): €6,200 (€5,700 to €6,700) expected.",
    ]
    loses = sample_report().propensity_gains.with_columns(profit=-pl.col("profit").abs())
    assert target(propensity_gains=loses).earnings[1].startswith("At the declared cost and value, contacting anybody")


def test_there_is_a_chart_for_each_thing_that_is_known():
    assert [chart.title for chart in target().charts] == [
        "Does what is predicted come true?",
        "How many are reached by contacting the likeliest first?",
        "What is it expected to earn?",
        "Week by week: what was said, and what came",
        "Did it come true in every persona and market?",
    ]
    unpriced = sample_report().propensity_gains.with_columns(profit=pl.lit(None, pl.Float64))
    first = sample_report().propensity_backtest.head(1)
    assert len(target(propensity_gains=unpriced, propensity_backtest=first).charts) == 2


def test_tenths_of_few_people_are_not_drawn():
    few = sample_report().propensity_reliability.with_columns(people=pl.lit(9))
    assert "Does what is predicted come true?" not in [
        chart.title for chart in target(propensity_reliability=few).charts
    ]


def test_personas_and_markets_are_points_and_small_ones_are_not_drawn():
    [chart] = [chart for chart in target().charts if chart.title == "Did it come true in every persona and market?"]
    told = [dot.words for dot in chart.dots]
    assert len(told) == 2  # not the market of three people
    assert told[0].startswith("DE: predicted 11%, observed 10%") and "persona-01" not in told[1]


def test_past_weeks_and_groups_get_a_verdict():
    told = target()
    assert [week.verdict for week in told.past][:3] == [
        "came true",
        "came true",
        "11% were expected and 8% came: probabilities were too high",
    ]
    assert [row.scored for row in told.past_by_segment] == ["Very active report readers", "DE"]  # not three Icelanders
    assert [(row.group, row.verdict) for row in told.groups] == [("de", "holds"), ("fr", "off")]


def test_a_target_that_abstains_still_tells_what_became_of_its_predictions():
    past = sample_report().propensity_backtest.with_columns(target=pl.lit("upgrade_within_90_days"))
    data = sample_report(propensity_backtest=past)
    abstained = tell_outlook(data, recognize_personas(data))[1]
    assert abstained.abstained_reason.startswith("only 31 people") and not abstained.charts and len(abstained.past) == 4
    page = render_report(data)
    assert "The model abstained: only 31 people" in page


def test_what_a_page_shows_is_escaped():
    hostile = sample_report().propensity_moved_by.with_columns(label=pl.lit("<script>alert(1)</script>"))
    assert "<script>" not in render_report(sample_report(propensity_moved_by=hostile))


def test_scales_hold_all_values_and_ticks_are_round():
    scale = scale_of([0, 1], [-50, 200])
    assert scale.y(200) < scale.y(0) < scale.y(-50)
    assert round_values(-50, 200) == [-50, 0, 50, 100, 150, 200]
    assert round_values(0, 0.37) == [0, 0.1, 0.2, 0.3]
    assert scale_of([0, 0], [0, 0]).x(0) > 0  # nothing to show is no division by zero

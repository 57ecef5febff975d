"""What the report says of the adoption curve: classes, whether they hold, and why there are none."""

from dataclasses import replace

import polars as pl
from sample_report import sample_report

from activation.report.adoption import Adoption, tell_adoption
from activation.report.report import render_report


def told(**changed: object) -> Adoption:
    return tell_adoption(replace(sample_report(), **changed))


def figures(**changed: object) -> pl.DataFrame:
    """The figures of the sample, some with another value."""
    rows = sample_report().adoption_figures
    for name, value in changed.items():
        rows = rows.with_columns(value=pl.when(pl.col("measure") == name).then(pl.lit(value)).otherwise("value"))
    return rows


def test_classes_stand_in_their_order_with_the_change_since_the_cut_points_were_set() -> None:
    rows = told().rows
    assert [row.name for row in rows] == ["Innovator", "Early Adopter", "Late", "Influencer", "Unclassified"]
    assert (rows[0].people, rows[0].share, rows[0].change) == ("376", "3.1%", "+0.4 points")
    assert rows[2].bar_width == 100


def test_a_small_class_is_not_counted_out() -> None:
    influencers = told().rows[3]
    assert (influencers.people, influencers.share, influencers.change) == ("fewer than 10", "", "")


def test_who_changed_class_is_told_with_the_reason() -> None:
    assert told().moved.startswith("Fewer than 10 of 8,866 people changed class since the week before")
    nobody = sample_report().adoption_moves.filter(pl.col("from_class") == pl.col("to_class"))
    assert told(adoption_moves=nobody).moved == "Nobody changed class since the week before."


def test_figures_are_judged_by_the_lower_end_of_their_interval() -> None:
    rows = {row.name: row for row in told().figures}
    assert rows["How much of the score is the person and not chance"].state_words == "good"
    assert rows["Agreement of every second launch with the others"].state_words == "probably good"
    assert rows["Agreement of earlier launches with later ones"].state_words == "weak"
    lift = rows["The earliest classes among the first to try the next launch"]
    assert (lift.value, lift.interval, lift.state_words) == ("2.7 times", "1.9 times to 4.0 times", "good")


def test_whether_earlier_classes_try_the_next_launch_earlier_is_said_in_words() -> None:
    assert told().next_launch.startswith("Earlier classes did try Goals earlier (log-rank test: 16.2 standard errors")
    unsure = told(adoption_figures=figures(log_rank_trend=1.1, log_rank_p=0.4)).next_launch
    assert unsure.startswith("Earlier classes did not surely try Goals earlier") and "be careful" in unsure


def test_curves_are_drawn_of_classes_that_are_large_enough() -> None:
    tried, shares = told().curves
    assert [line.kind for line in tried.lines] == ["tone-0", "tone-1", "tone-2"]
    assert tried.title == "Who tried Goals, by when" and len(shares.lines) == 3
    few = sample_report().adoption_curves.with_columns(
        people=pl.when(pl.col("place") == 0).then(pl.lit(9, pl.Int64)).otherwise("people")
    )
    assert len(told(adoption_curves=few).curves[0].lines) == 2


def test_withheld_classes_are_told_with_the_reason_and_without_rows() -> None:
    data = sample_report()
    refused = figures(verdict=0.0).with_columns(
        words=pl.when(pl.col("measure") == "verdict").then(pl.lit("too little signal")).otherwise("words")
    )
    page = render_report(
        replace(
            data,
            adoption_figures=refused,
            adoption_history=data.adoption_history.clear(),
            adoption_moves=pl.DataFrame(),
        )
    )
    assert "<b>The classes are withheld</b>: too little signal" in page
    assert "Adoption classes, from the earliest on" not in page


def test_without_launches_there_is_no_section() -> None:
    assert not told(adoption_figures=pl.DataFrame()).is_declared
    page = render_report(replace(sample_report(), adoption_figures=pl.DataFrame()))
    assert 'href="#adoption"' not in page and "Who tries new things early" not in page
    assert 'href="#adoption"' in render_report(sample_report())

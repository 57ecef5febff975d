"""What the report says of what suits whom: values, fallbacks, small groups, and refusals."""

from dataclasses import replace

import polars as pl
from sample_report import sample_report

from activation.report.identity import recognize_personas
from activation.report.reach import Reach, tell_reach
from activation.report.report import ReportData, render_report


def told(**changed: object) -> Reach:
    data = replace(sample_report(), **changed)
    return tell_reach(data, recognize_personas(data))


def test_only_dimensions_of_which_something_is_told_are_columns() -> None:
    assert told().dimensions == ["Best time to send", "Offer", "Comes from"]


def test_what_nothing_is_told_of_is_named_with_its_reason() -> None:
    assert "Channel: nothing but 'email' was tried often enough" in told().silent


def test_a_persona_without_a_preference_is_said_to_have_none() -> None:
    rows = {persona.persona_id if persona else "everybody": cells for persona, cells in told().rows}
    assert [cell.value for cell in rows["persona-03"]] == ["weekend 12:00-14:00", "20 percent off", "no preference"]
    assert rows["persona-03"][1].detail == "2.82 times as usual, from 5,120 messages"
    assert rows["everybody"][1].value == "20 percent off"


def test_values_are_told_with_their_interval_and_few_buyers_are_not_counted_out() -> None:
    rows = {row.persona.persona_id if row.persona else "everybody": row for row in told().values}
    assert (rows["persona-01"].value, rows["persona-01"].interval) == ("€41,000", "€32,800 to €49,200")
    assert rows["persona-01"].bar_width == 100.0
    assert (rows["persona-06"].buyers, rows["persona-06"].value) == ("fewer than 10", "–")
    assert rows["everybody"].buyers == "2,390"


def test_personas_of_few_people_are_not_described() -> None:
    data = sample_report()
    few = data.kpis.with_columns(
        people=pl.when(pl.col("segment_id") == "persona-03").then(4).otherwise("people").cast(pl.Int64)
    )
    reach = told(kpis=few)
    assert "persona-03" not in {persona.persona_id for persona, _ in reach.rows if persona}
    assert "persona-03" not in {row.persona.persona_id for row in reach.values if row.persona}


def test_a_campaign_is_told_with_its_effect_and_verdict_or_the_reason_why_not() -> None:
    judged, refused = told().campaigns
    assert judged.verdict == "it works better in some: choose by two models"
    assert ": 1.21 points more often than without it (+0.34 points to +2.08 points" in judged.sentences[0]
    assert "two models 0.047 (0.011 to 0.083)" in judged.sentences[1]
    assert refused.sentences == ["No uplift is told: a group has fewer than 200 people."]


def test_without_any_control_group_the_report_refuses_to_speak_of_uplift() -> None:
    nobody = (
        sample_report()
        .uplift.head(1)
        .with_columns(
            pl.lit(None, pl.String).alias("campaign"), abstained_reason=pl.lit("no campaign had a control group")
        )
    )
    reach = told(uplift=nobody)
    assert (reach.campaigns, reach.no_uplift) == ([], "no campaign had a control group")
    assert "No campaign had a control group." in render_report(replace(sample_report(), uplift=nobody))


def test_without_anything_the_section_says_so() -> None:
    empty = pl.DataFrame()
    html = render_report(
        replace(sample_report(), values=empty, preferences=empty, uplift=empty, value_words="nobody buys")
    )
    assert "Nothing is known yet of when" in html
    assert "Nothing is expected of past customers: nobody buys." in html
    assert "No campaign was judged." in html


def test_names_of_offers_cannot_become_markup() -> None:
    data: ReportData = sample_report()
    hostile = data.preferences.with_columns(
        best_value=pl.when(pl.col("best_value").is_not_null()).then(pl.lit("<script>alert(1)</script>"))
    )
    html = render_report(replace(data, preferences=hostile))
    assert "<script>" not in html and "&lt;script&gt;" in html

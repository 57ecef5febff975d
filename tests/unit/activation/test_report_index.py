"""What the report says of indexes, market sizes and subgroups: what is chosen, held back, and how it is said."""

from dataclasses import replace

import polars as pl
from sample_company import AS_OF
from sample_report import sample_report

from activation.report.apart import Apart, SegmentIndex, tell_apart
from activation.report.identity import recognize_personas
from activation.report.market import Market, tell_market
from activation.report.report import render_report
from activation.report.subgroups import tell_subgroups

ROW = {
    "segment_type": "persona",
    "segment_id": "persona-01",
    "segment_name": "Very active report readers",
    "characteristic_type": "behavioural",
    "kind": "number",
    "unit": "count",
    "is_persona_input": False,
    "value_low": None,
    "value_high": None,
    "segment_value": 3.0,
    "base_value": 2.0,
    "adjusted_p_value": 0.01,
    "abstained_reason": None,
}


def row(name: str, index: float, low: float | None = None, high: float | None = None, **changed: object) -> dict:
    direction = "over" if index > 100 else "under"
    told = {"characteristic": name, "label": name, "family": name, "index_value": index, "direction": direction}
    return ROW | told | {"index_low": low, "index_high": high} | changed


def apart(*rows: dict) -> Apart:
    data = sample_report(index=pl.DataFrame(list(rows), infer_schema_length=None))
    return tell_apart(data, recognize_personas(data))


def first(*rows: dict) -> SegmentIndex:
    return apart(*rows).groups[0][1][0]


def market(**changed: object) -> Market:
    data = replace(sample_report(), **changed)
    return tell_market(data, recognize_personas(data))


def test_what_surely_differs_most_comes_first_and_not_what_may_differ_most() -> None:
    segment = first(row("Maybe a lot", 400, 104, 900), row("Surely", 200, 180, 220), row("Less", 50, 45, 55))
    assert [bar.label for bar in segment.over] == ["Surely"]
    assert [bar.label for bar in segment.under] == ["Less"]


def test_what_chance_would_explain_is_not_drawn() -> None:
    segment = first(row("Chance", 180, 95, 300, direction=None), row("Other", 150, 130, 170))
    assert [bar.label for bar in segment.over] == ["Other"]
    assert "Nothing sets these people apart" not in render_report(sample_report())


def test_what_made_the_persona_is_marked_and_takes_at_most_three_lines() -> None:
    made = [row(f"Input {n}", 300 + n, 250 + n, 400, is_persona_input=True) for n in range(6)]
    segment = first(*made, row("Discovery", 130, 120, 140))
    assert [bar.label for bar in segment.over] == ["Input 5", "Input 4", "Input 3", "Discovery"]
    assert [bar.made_it for bar in segment.over] == [True, True, True, False]


def test_bars_start_at_the_average_and_double_and_halve_alike() -> None:
    segment = first(row("Twice", 200, 200, 200), row("Half", 50, 50, 50), row("Far", 4000, 3000, 9000))
    places = {bar.label: (bar.start, bar.width) for bar in [*segment.over, *segment.under]}
    assert places == {"Twice": (50.0, 25.0), "Half": (25.0, 25.0), "Far": (50.0, 50.0)}
    assert segment.over[0].low_at == segment.over[0].high_at == 100.0


def test_what_is_held_back_is_counted_and_nowhere_told() -> None:
    data = sample_report()
    (_, segments), *_ = tell_apart(data, recognize_personas(data)).groups
    builders = next(segment for segment in segments if segment.persona.persona_id == "persona-02")
    assert builders.held_back == 1
    assert "audit" not in str((builders.over, builders.under, builders.tables))


def test_estimates_stand_by_what_they_are_about_with_their_interval() -> None:
    data = sample_report()
    (_, segments), *_ = tell_apart(data, recognize_personas(data)).groups
    builders = next(segment for segment in segments if segment.persona.persona_id == "persona-02")
    tables = dict(builders.tables)
    assert list(tables) == ["Who they are", "Where they work", "What they respond to", "Whom they are like"]
    (trigger,) = tables["What they respond to"]
    assert (trigger.label, trigger.value, trigger.interval, trigger.mark) == (
        "Responds to: API",
        "41%",
        "37% to 45%",
        "more",
    )


def test_market_sizes_are_told_with_their_interval_and_few_people_are_not_counted_out() -> None:
    (title, rows), *others = market().groups
    assert title == "Personas found in the data" and not others
    assert rows[0].name == "Quiet long-standing accounts"
    assert (rows[0].people, rows[0].expected) == ("4,275", "4,018 to 4,403")
    assert (rows[0].contactable, rows[0].companies) == ("2,565", "1,069")
    assert market().for_what == "for email marketing"
    few = sample_report().market.with_columns(
        is_suppressed=pl.col("segment_id") == "persona-06",
        people=pl.when(pl.col("segment_id") != "persona-06").then("people"),
        people_low=pl.when(pl.col("segment_id") != "persona-06").then("people_low"),
    )
    last = market(market=few).groups[0][1][-1]
    assert (last.people, last.expected) == ("fewer than 10", "")


def test_without_accounts_no_companies_are_told() -> None:
    without = sample_report().market.with_columns(companies=pl.lit(None, pl.Int64))
    assert not market(market=without).has_companies


def test_subgroups_say_what_people_did_and_leave_out_small_ones() -> None:
    data = sample_report()
    ((persona, (group,), more),) = tell_subgroups(data, recognize_personas(data)).personas
    assert persona.persona_id == "persona-02"
    assert (group.phrase, group.people, group.index, group.click_index) == ("API", "412", "293", "131")
    assert group.contents == ["read “API reference” (230)", "looked for “api <token>” (31)"]
    assert more == "1 trigger with fewer than 10 people"


def test_the_page_holds_the_sections_in_order_and_escapes_what_people_wrote() -> None:
    html = render_report(sample_report())
    places = [
        html.index(f'<section id="{name}"') for name in ("who", "apart", "market", "moved", "content", "reach", "next")
    ]
    assert places == sorted(places)
    assert "api &lt;token&gt;" in html and "api <token>" not in html


def test_a_week_without_anything_says_so() -> None:
    empty = {name: pl.DataFrame() for name in ("index", "market", "subgroups")}
    html = render_report(replace(sample_report(), **empty))
    assert "No persona is large enough this week" in html and "There are no groups to size" in html
    assert 'id="content"' not in html
    assert AS_OF.isoformat() in html

import re
from dataclasses import replace
from datetime import date, datetime
from itertools import pairwise

import polars as pl
import pytest
from sample_report import sample_report

from activation.report.evidence import silhouette_words, stability_words
from activation.report.identity import recognize_personas
from activation.report.movement import tell_movement
from activation.report.outlook import auc_words, calibration_words
from activation.report.persona_cards import PersonaCard, tell_personas
from activation.report.report import render_report
from activation.report.sizes import tell_sizes
from activation.report.words import (
    change_words,
    listed,
    moment_words,
    money,
    number,
    people_words,
    percent,
    period_words,
)


@pytest.mark.parametrize(
    ("people", "words"),
    [(None, "–"), (0, "0"), (1, "fewer than 10"), (9, "fewer than 10"), (10, "10"), (12_345, "12,345")],
)
def test_few_people_are_not_counted_out(people, words):
    assert people_words(people, 10) == words


@pytest.mark.parametrize(
    ("share", "words"),
    [(None, "–"), (0.0, "0%"), (0.0004, "<0.1%"), (0.034, "3.4%"), (0.0996, "10%"), (0.5, "50%"), (1.0, "100%")],
)
def test_shares_have_as_many_digits_as_they_need(share, words):
    assert percent(share) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [(None, "–"), (0, "0"), (0.0042, "0.004"), (0.421, "0.42"), (3.0, "3"), (3.14159, "3.14"), (48.46, "48.5"),
     (12345.6, "12,346"), (-2.5, "-2.5")],
)  # fmt: skip
def test_quantities_have_three_digits(value, words):
    assert number(value) == words


@pytest.mark.parametrize(
    ("amount", "currency", "words"),
    [(1234.4, "EUR", "€1,234"), (999_600, "EUR", "€1.00m"), (12_345_678, "USD", "$12.35m"), (50, "CHF", "CHF 50"),
     (-50, "GBP", "−£50"), (None, "EUR", "–")],
)  # fmt: skip
def test_amounts_are_told_in_their_currency(amount, currency, words):
    assert money(amount, currency) == words


def test_periods_repeat_only_what_differs():
    assert period_words(date(2026, 11, 9), date(2026, 11, 15)) == "Monday 9 to Sunday 15 November 2026"
    assert period_words(date(2026, 11, 30), date(2026, 12, 6)) == "Monday 30 November to Sunday 6 December 2026"
    assert period_words(date(2026, 12, 28), date(2027, 1, 3)) == "Monday 28 December 2026 to Sunday 3 January 2027"


def test_moments_follow_summer_time():
    assert moment_words(datetime(2026, 7, 1, 22, 30), "Europe/Berlin") == "2 Jul 2026, 00:30"


def test_changes_and_lists_are_spoken():
    assert change_words(110, 100) == "10 more (+10%)"
    assert change_words(99, 100) == "1 fewer (−1.0%)"
    assert change_words(5, 5) == "unchanged"
    assert change_words(5, 0) == "5 more"
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"


def test_a_model_is_judged_in_plain_words():
    assert auc_words(0.78, None, None).endswith("in 78 of 100 such pairs. Guessing gets 50.")
    assert "can be planned with" in calibration_words(0.01, 0.1)
    assert "roughly right" in calibration_words(0.03, 0.1)
    assert "trust its order" in calibration_words(0.06, 0.1)


def test_evidence_for_the_number_of_personas_is_judged_by_published_bounds():
    assert "clearly separate" in silhouette_words(0.75)
    assert "soft borders" in silhouette_words(0.3)
    assert "directions rather than" in silhouette_words(0.1)
    assert "would be found again" in stability_words(0.9)
    assert "other personas could" in stability_words(0.4)


def trait(name: str, effect: float | None, index: float | None = 150.0, family: str = "engagement", **changed) -> dict:
    return {
        "segment_id": "persona-01",
        "characteristic": name,
        "label": name,
        "family": family,
        "kind": "number",
        "unit": None,
        "segment_value": 3.0,
        "base_value": 2.0,
        "index_value": index,
        "effect_size": effect,
        "people": 3120,
        "index_low": None,
        "index_high": None,
    } | changed


def card_of(*traits: dict) -> PersonaCard:
    data = sample_report(profiles=pl.DataFrame(list(traits), infer_schema_length=None))
    return next(
        card for card in tell_personas(data, recognize_personas(data)) if card.persona.persona_id == "persona-01"
    )


def labels(traits) -> list[str]:
    return [one.label for one in traits]


def test_a_card_shows_the_six_strongest_traits_above_and_the_four_below():
    above = [trait(f"A{n}", n / 10, family=f"f{n}") for n in range(1, 10)]
    below = [trait(f"B{n}", -n / 10, 50.0, family=f"f{n}") for n in range(1, 10)]
    card = card_of(*above, *below)

    assert labels(card.more) == ["A9", "A8", "A7", "A6", "A5", "A4"]
    assert labels(card.less) == ["B9", "B8", "B7", "B6"]


def test_one_family_takes_at_most_three_lines_while_others_have_something_to_say():
    clicks = [trait(f"Clicks {n}", 1 + n / 10) for n in range(6)]
    orders = [trait(f"Orders {n}", n / 10, family="purchases") for n in range(2, 5)]

    assert labels(card_of(*clicks, *orders).more) == [
        "Clicks 5",
        "Clicks 4",
        "Clicks 3",
        "Orders 4",
        "Orders 3",
        "Orders 2",
    ]
    assert len(card_of(*clicks).more) == 6


def test_differences_too_small_to_notice_are_no_traits():
    card = card_of(trait("Noise", 0.05), trait("Unknown", None, None))
    assert (card.more, card.less) == ([], [])


def test_a_bar_says_twice_and_half_as_far_from_the_middle():
    (twice,) = card_of(trait("Twice", 1.0, 200.0)).more
    (half,) = card_of(trait("Half", -1.0, 50.0)).less
    (never,) = card_of(trait("Never", -1.0, 0.0)).less

    assert (twice.bar_start, twice.bar_width, twice.index) == (50, 25, "200")
    assert (half.bar_start, half.bar_width, half.index) == (25, 25, "50")
    assert (never.bar_start, never.bar_width, never.index) == (0, 50, "0")


def test_without_an_index_the_bar_shows_the_effect():
    (one,) = card_of(trait("Balance", 1.0, None)).more
    assert (one.index, one.bar_start, one.bar_width) == ("", 50, 25)


def test_values_carry_their_unit_and_shares_are_percentages():
    (days,) = card_of(trait("Days", 1.0, unit="days", segment_value=12.25)).more
    (share,) = card_of(trait("Flag", 1.0, kind="flag", segment_value=0.25, base_value=0.1)).more

    assert (days.value, days.base) == ("12.2 days", "2 days")
    assert (share.value, share.base) == ("25%", "10%")


def test_streams_fill_both_ends_without_overlap():
    data = sample_report()
    view = tell_movement(data, recognize_personas(data))

    for nodes in (view.left_nodes, view.right_nodes):
        for upper, lower in pairwise(nodes):
            assert upper.top + upper.height < lower.top
            assert lower.label_at - upper.label_at >= 7.99
        assert nodes[-1].top + nodes[-1].height <= 100.01
    assert view.left_nodes[-1].persona.name == "joined"
    assert view.right_nodes[-1].persona.name == "left"


def test_the_table_of_moves_holds_every_move_and_shades_only_moves():
    data = sample_report()
    view = tell_movement(data, recognize_personas(data))
    cells = dict(view.table)
    rows = {persona.persona_id: row for persona, row in cells.items()}

    # Six people of persona 2 went to persona 4: the next smallest number of that column would give them away.
    assert [cell.people for cell in rows["persona-01"]] == ["2,954", "41", "12", "not told", "", "not told"]
    assert rows["persona-01"][0].share == "96%"
    assert rows["persona-01"][0].shade == 0
    assert rows["persona-06"][0].shade == 1
    assert rows["persona-02"][3].people == "fewer than 10"
    assert rows["persona-02"][3].share == ""


def test_areas_reach_to_the_sum_of_all_personas():
    data = sample_report()
    view = tell_sizes(data, recognize_personas(data))

    assert [area.persona.mark for area in view.areas] == ["6", "4", "3", "2", "1"]
    assert [tick.words for tick in view.people_ticks] == ["0", "2,500", "5,000", "7,500", "10,000", "12,500"]
    assert view.areas[0].path.split("L")[25] == "100.00 3.00"
    assert len(view.table_weeks) == 13


def test_growth_from_a_small_group_does_not_tell_its_size():
    data = sample_report()
    kpis = data.kpis.with_columns(previous_people=pl.lit(7))
    cards = tell_personas(sample_report(kpis=kpis), recognize_personas(data))
    assert {(card.change, card.direction) for card in cards} == {("fewer than 10 last week", "up")}


def test_where_nobody_is_in_the_high_band_a_card_tells_the_means_alone():
    data = sample_report()
    none = {
        "propensity": data.propensity.with_columns(band=pl.lit("medium")),
        "propensity_by_segment": data.propensity_by_segment.with_columns(high_people=pl.lit(0)),
    }
    told = tell_personas(replace(data, **none), recognize_personas(data))[0].likelihoods[0]
    assert not told.has_high_band
    assert tell_personas(data, recognize_personas(data))[0].likelihoods[0].has_high_band
    page = render_report(replace(data, **none))
    assert '<th scope="col">High</th>' not in page
    assert '<th scope="col">High</th>' in render_report(data)
    assert "in the high band" not in page.split('id="apart"')[0]
    assert re.search(r"Mean probability <b>[0-9.]+%</b>, of everybody [0-9.]+%\.", page)

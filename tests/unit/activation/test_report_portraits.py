import re
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from sample_report import empty_report, sample_report

from activation.report.defined import tell_defined
from activation.report.identity import recognize_personas
from activation.report.movement import tell_movement
from activation.report.persona_cards import tell_personas
from activation.report.portrait import _trait_words
from activation.report.report import render_report
from activation.report.suppression import hidden_cells, hidden_parts


def cards(data):
    return {card.persona.persona_id: card for card in tell_personas(data, recognize_personas(data))}


def paragraph(data, persona_id="persona-01"):
    return cards(data)[persona_id].portrait.paragraph


def test_a_paragraph_is_whole_sentences_and_differs_from_card_to_card():
    told = [card.portrait.paragraph for card in cards(sample_report()).values()]
    openings = {" ".join(text.split()[3:6]) for text in told}
    assert len(openings) > 2
    for text in told:
        assert re.fullmatch(r"([A-Z0-9].*?\. ?)+", text)
        assert ".." not in text and "None" not in text and "  " not in text and "nan" not in text


def test_every_number_in_a_paragraph_is_a_figure_of_the_week():
    data = sample_report()
    row = data.kpis.filter(pl.col("segment_id") == "persona-04").row(0, named=True)
    text = paragraph(data, "persona-04")
    assert f"{row['people']:,} people" in text
    assert f"{row['people_share']:.0%}" in text and "61% of them may be contacted." in text


def test_what_is_not_known_is_not_spoken_of():
    data = sample_report(rhythms=pl.DataFrame(), stages=pl.DataFrame(), typical=pl.DataFrame())
    portrait = cards(data)["persona-01"].portrait
    assert (portrait.heat, portrait.stages, portrait.typical) == ([], [], [])
    assert not re.search("week peaks|busiest|dormant|active of late", portrait.paragraph)
    unknown = data.kpis.with_columns(revenue_share=pl.lit(None, pl.Float64), reachable_people=pl.lit(None, pl.Int64))
    assert not re.search("revenue|contacted", paragraph(replace(data, kpis=unknown)))


def test_what_chance_alone_could_explain_is_neither_drawn_nor_told():
    data = sample_report()
    chance = data.profiles.with_columns(index_low=pl.lit(60.0), index_high=pl.lit(180.0))
    card = cards(replace(data, profiles=chance))["persona-01"]
    assert (card.more, card.less, card.portrait.preferences) == ([], [], [])
    assert "In everything that is measured they are close to the average." in card.portrait.paragraph
    unknown = data.profiles.with_columns(index_low=pl.lit(None, pl.Float64), index_high=pl.lit(None, pl.Float64))
    assert cards(replace(data, profiles=unknown))["persona-01"].more


def test_a_week_of_which_most_hours_are_hidden_is_not_drawn():
    data = sample_report()
    few = data.rhythms.with_columns(people=pl.when(pl.col("weekday") == 1).then(50).otherwise(3))
    assert cards(replace(data, rhythms=few))["persona-01"].portrait.heat == []


def test_nothing_is_said_of_a_weekend_whose_hours_are_hidden():
    data = sample_report()
    few = data.rhythms.with_columns(people=pl.when(pl.col("weekday") > 5).then(3).otherwise(500))
    text = paragraph(replace(data, rhythms=few))
    assert "on the weekend too few of them are active to tell more." in text
    assert "% of their active hours" not in text


def test_what_stands_in_the_bars_is_not_told_again_below_them():
    for card in cards(sample_report()).values():
        shown = {trait.label for trait in (*card.more, *card.less)}
        assert shown.isdisjoint(one.label for one in card.portrait.preferences)


def test_more_or_less_revenue_than_the_number_suggests_is_said():
    assert "more than their number would suggest" in paragraph(sample_report(), "persona-02")
    assert "but only" in paragraph(sample_report(), "persona-06")


def test_a_typical_week_has_every_hour_and_hides_those_with_few_people():
    heat = dict(cards(sample_report())["persona-01"].portrait.heat)
    assert list(heat) == ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
    assert {len(line) for line in heat.values()} == {24}
    early = heat["Monday"][5]
    assert (early.moment, early.shade, early.share) == ("Monday, 5 to 6", None, "too few people")
    assert heat["Monday"][4].shade == 0.0
    assert max(cell.shade or 0 for line in heat.values() for cell in line) == 1.0


def week_of(*cells):
    """A week of persona-01, of cells (weekday, hour, active hours, people)."""
    rows = [("persona-01", *cell) for cell in cells]
    return pl.DataFrame(rows, schema=["segment_id", "weekday", "hour", "active_hours", "people"], orient="row")


def test_the_busiest_hours_are_told_and_none_that_has_to_be_hidden():
    busy = [(2, 14, 60, 30), (2, 15, 80, 40), (2, 16, 60, 30), (6, 10, 100, 50)]
    told = paragraph(sample_report(rhythms=week_of(*busy)))
    assert "Tuesday between 14 and 17 o’clock, and 33% of their active hours fall on the weekend." in told
    told = paragraph(sample_report(rhythms=week_of(*busy, (1, 9, 900, 9), (1, 10, 300, 50))))
    assert "Monday between 10 and 13 o’clock; 17% of their active hours" in told


def test_people_of_the_evening_are_told_as_such():
    told = paragraph(sample_report(rhythms=week_of((3, 20, 90, 40), (4, 12, 60, 40))))
    assert "Wednesday between 18 and 21 o’clock, and 60% of their active hours lie after six in the evening" in told


def test_a_stage_with_few_people_takes_the_next_smallest_with_it():
    stages = {part.stage: part.share for part in cards(sample_report())["persona-01"].portrait.stages}
    assert stages["new"] == "too few to tell"
    assert list(stages.values()).count("too few to tell") == 2


def test_typical_people_have_pseudonyms_and_rounded_values():
    (person,) = cards(sample_report())["persona-01"].portrait.typical
    assert person.pseudonym == "3fa21c"
    assert person.traits == [("Active days in 4 weeks", "18"), ("Share of activity in the evening", "41%")]


def test_an_index_says_what_chance_leaves_open():
    for trait in cards(sample_report())["persona-01"].more:
        low, high = (float(one.replace(",", "")) for one in trait.interval.split(" to "))
        assert low <= float(trait.index.replace(",", "")) <= high


def test_moves_are_told_from_what_the_refit_would_have_moved():
    data = sample_report()
    movement = tell_movement(data, recognize_personas(data))
    assert "the refit by itself would have moved 31" in movement.causes
    assert (
        "every change is one of behaviour"
        in tell_movement(replace(data, refit="", moved_by_refit_alone=0), recognize_personas(data)).causes
    )


def test_births_are_told_and_continuations_are_not():
    data = sample_report()
    ((persona, event, reason),) = tell_movement(data, recognize_personas(data)).events
    assert (persona.persona_id, event) == ("persona-06", "is new")
    assert "31%" in reason


def test_a_definition_is_told_with_its_support_and_one_that_failed_with_the_reason():
    data = sample_report()
    view = tell_defined(data, recognize_personas(data))
    assert view.personas[0].people == "1,240"
    assert any("Quiet long-standing accounts" in verdict for verdict in view.personas[0].verdicts)
    assert view.personas[0].suggestions == [
        "Revenue in 13 weeks at most 260 would suit it better: of those who fit everything else, "
        "71% are within the range."
    ]
    assert view.personas[1].unfit_reason == "none of its example people is known this week"
    assert "fit none of these" in view.summary
    assert view.unnamed == [("Night-time downloaders", "410", "They download at night.")]


def test_without_definitions_there_is_no_such_section():
    assert "The ones you defined" in render_report(sample_report())
    assert "The ones you defined" not in render_report(empty_report())


@pytest.mark.parametrize("seed", range(60))
def test_no_hidden_cell_can_be_worked_out_from_totals(seed):
    """Fuzzed tables: each line hides none, or at least two cells of at least ten people together, where it has them."""
    random = np.random.default_rng(seed)
    rows, columns = random.integers(2, 7, 2)
    counts = {
        (f"r{row}", f"c{column}"): int(random.choice([0, random.integers(1, 10), random.integers(10, 400)]))
        for row in range(rows)
        for column in range(columns)
    }
    hidden = hidden_cells(counts, 10)
    assert {cell for cell, people in counts.items() if 0 < people < 10} <= hidden
    for place in (0, 1):
        for name in {cell[place] for cell in counts}:
            line = {cell: people for cell, people in counts.items() if cell[place] == name and people}
            covered = [people for cell, people in line.items() if cell in hidden]
            if covered and len(covered) < len(line):
                assert len(covered) >= 2 and sum(covered) >= 10


def test_large_tables_hide_nothing():
    assert hidden_cells({("a", "b"): 10, ("a", "c"): 0, ("d", "b"): 99, ("d", "c"): 12}, 10) == set()
    assert hidden_parts({"new": 3, "active": 500, "cooling": 40, "dormant": 90}, 10) == {"new", "cooling"}


@pytest.mark.parametrize(
    ("label", "kind", "unit", "own", "base", "words"),
    [
        (
            "dashboard viewed (last 4 weeks)",
            "number",
            "count",
            3.68,
            1.08,
            "“dashboard viewed”, 3.68 times in 4 weeks, 3.4 times everybody’s 1.08",
        ),
        (
            "Share of activity in the morning",
            "number",
            "share",
            0.27,
            0.14,
            "their activity in the morning (27% of all they do, against 14%)",
        ),
        ("Seniority: Executive", "category", None, 0.51, 0.2, "the seniority “Executive” (51% against 20%)"),
        ("Active weeks of 13", "number", "weeks", 2.35, 7.34, "2.35 active weeks of 13, against 7.34 of everybody"),
        (
            "Mean order value",
            "number",
            "money",
            528,
            322,
            "the mean order value (€528 on average, against €322 of everybody)",
        ),
    ],
)
def test_figures_are_said_as_a_person_would(label, kind, unit, own, base, words):
    row = {"label": label, "characteristic": label, "kind": kind, "unit": unit}
    assert _trait_words(row | {"segment_value": own, "base_value": base}, "EUR") == words

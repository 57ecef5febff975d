"""What the report says of what persuades whom: evidence, defaults, chance, and whom not to press."""

from dataclasses import replace

import polars as pl
from sample_report import sample_report

from activation.report.identity import recognize_personas
from activation.report.persuasion import Group, PersuasionSection, tell_persuasion
from activation.report.report import ReportData, render_report


def told(**changed: object) -> PersuasionSection:
    data = replace(sample_report(), **changed)
    return tell_persuasion(data, recognize_personas(data))


def group(segment: str) -> Group:
    return next(one for one in told().groups if one.persona and one.persona.persona_id == segment)


def test_a_group_with_evidence_is_told_its_style_its_order_and_how_sure_that_is() -> None:
    first = group("persona-01")
    assert (first.style, first.order) == ("proof-seeking", "social proof, then authority, then scarcity")
    assert first.evidence == (
        "Social proof is answered by 13% (12% to 14%), the others by 10%; it is the best one with a probability of 97%."
    )


def test_a_group_without_evidence_is_told_so_with_its_default_and_what_may_be_chance() -> None:
    second = group("persona-03")
    assert (second.style, second.order, second.is_observed) == (
        "expertise-seeking",
        "authority, then social proof",
        False,
    )
    assert second.evidence == (
        "No evidence yet: no approach is answered more than the others beyond chance; default for this group. Ahead so "
        "far, and it may be chance: authority (best with a probability of 62%)."
    )


def test_an_approach_that_is_withheld_has_no_place_and_the_reason() -> None:
    scarcity = next(one for one in group("persona-03").approaches if one.name == "Scarcity")
    assert (scarcity.rank, scarcity.note) == ("–", "not used: in debt counselling")


def test_few_people_on_the_block_list_are_not_counted_out() -> None:
    assert told().spared == [("asked for a payment plan", "140"), ("in debt counselling", "fewer than 10")]


def test_the_page_says_that_chance_did_not_decide_and_only_then() -> None:
    warning = "Not a fair comparison."
    assert warning in render_report(sample_report())
    by_chance = sample_report().persuasion.with_columns(caution=pl.lit(None, pl.String))
    assert warning not in render_report(replace(sample_report(), persuasion=by_chance))


def test_a_workspace_that_tags_nothing_has_no_such_section() -> None:
    data: ReportData = replace(sample_report(), persuasion=pl.DataFrame(), spared_pressure=pl.DataFrame())
    assert "What persuades them" not in render_report(data)
    assert "What persuades them" in render_report(sample_report())

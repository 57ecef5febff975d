"""The report's page of look-alikes: what is told of a list, of a seed that will not do, and of small groups."""

import polars as pl
from sample_report import empty_report, sample_report

from activation.report.lookalikes import tell_lookalikes
from activation.report.report import render_report


def test_a_list_is_told_with_what_it_finds_of_hidden_people():
    owls = tell_lookalikes(sample_report())[0]
    assert (owls.name, owls.people, owls.seed_people) == ("Night owls", "1,000", "400")
    assert "finds 40% of the seed’s own people when they are hidden, 3.6 times" in owls.verdict
    assert [row.is_the_list for row in owls.precision] == [False, True]
    assert [row.differs for row in owls.parity] == [True, False]
    assert owls.parity[0].seed == "–"


def test_a_list_no_better_than_chance_says_so():
    weak = sample_report().lookalike_precision.with_columns(lift_low=pl.lit(0.8))
    assert "no better than one drawn by lot" in tell_lookalikes(sample_report(lookalike_precision=weak))[0].verdict


def test_a_seed_that_will_not_do_is_told_and_a_small_one_is_not_counted_out():
    vast = pl.DataFrame({"lookalike": ["vast"], "seed_people": [8000], "people": [0]}).with_columns(
        method=pl.lit("distance"), candidates=pl.lit(None, pl.Int64), abstained_reason=pl.lit("the seed is too large")
    )
    lists = pl.concat([sample_report().lookalikes, vast], how="diagonal")
    _, tiny, large = tell_lookalikes(sample_report(lookalikes=lists))
    assert large.abstained_reason == "the seed is too large"
    assert tiny.abstained_reason == "the seed has too few people to learn from"
    assert "4" not in tiny.seed_people
    assert not tiny.precision


def test_the_page_has_the_section_only_where_lists_are_declared():
    page = render_report(sample_report())
    assert 'id="lookalikes"' in page and "People like those you chose" in page
    assert "Only &lt;so&gt; many." in page
    assert 'id="lookalikes"' not in render_report(empty_report())

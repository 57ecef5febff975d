"""The report's page of look-alikes: what is told of a list, of a seed that will not do, and of small groups."""

from dataclasses import replace

import polars as pl
from sample_report import sample_report

from activation.report.lookalikes import tell_lookalikes
from activation.report.report import render_report

LISTS = pl.DataFrame(
    [
        ("night_owls", "classifiers", 400, 9000, 1000, None),
        ("tiny", "classifiers", 4, None, 0, "the seed is too small: 4 people, and it takes 50"),
        ("vast", "distance", 8000, None, 0, "the seed is too large: 8,000 of 9,000 people"),
    ],
    schema=["lookalike", "method", "seed_people", "candidates", "people", "abstained_reason"],
    orient="row",
)
PRECISION = pl.DataFrame(
    [
        {
            "lookalike": "night_owls", "people": people, "recall": recall, "recall_low": recall - 0.04,
            "recall_high": recall + 0.04, "lift": lift, "lift_low": lift - 0.5, "lift_high": lift + 0.5,
            "precision": 0.2, "precision_low": 0.1, "precision_high": 0.3,
        }
        for people, recall, lift in ((500, 0.25, 4.5), (1000, 0.4, 3.6))
    ]
)  # fmt: skip
PARITY = pl.DataFrame(
    [
        {
            "lookalike": "night_owls", "attribute": "gender", "group": group, "base_share": 0.5, "seed_share": None,
            "chosen_share": share, "chosen_low": share - 0.03, "chosen_high": share + 0.03, "is_off": share == 0.3,
        }
        for group, share in (("f", 0.3), ("m", 0.52))
    ]
)  # fmt: skip


def data(**frames):
    notes = pl.DataFrame({"lookalike": ["night_owls"], "place": [0], "words": ["Only <b>so</b> many."]})
    usual = {
        "lookalikes": LISTS, "lookalike_precision": PRECISION, "lookalike_parity": PARITY, "lookalike_notes": notes,
    }  # fmt: skip
    return replace(sample_report(), **usual | frames)


def test_a_list_is_told_with_what_it_finds_of_hidden_people():
    owls = tell_lookalikes(data())[0]
    assert (owls.name, owls.people, owls.seed_people) == ("Night owls", "1,000", "400")
    assert "finds 40% of the seed’s own people when they are hidden, 3.6 times" in owls.verdict
    assert [row.is_the_list for row in owls.precision] == [False, True]
    assert [row.differs for row in owls.parity] == [True, False]
    assert owls.parity[0].seed == "–"


def test_a_list_no_better_than_chance_says_so():
    weak = PRECISION.with_columns(lift_low=pl.lit(0.8))
    assert "no better than one drawn by lot" in tell_lookalikes(data(lookalike_precision=weak))[0].verdict


def test_a_seed_that_will_not_do_is_told_and_a_small_one_is_not_counted_out():
    _, tiny, vast = tell_lookalikes(data())
    assert vast.abstained_reason == "the seed is too large: 8,000 of 9,000 people"
    assert tiny.abstained_reason == "the seed has too few people to learn from"
    assert "4" not in tiny.seed_people
    assert not tiny.precision


def test_the_page_has_the_section_only_where_lists_are_declared():
    page = render_report(data())
    assert 'id="lookalikes"' in page and "People like those you chose" in page
    assert "Only &lt;b&gt;so&lt;/b&gt; many." in page
    assert 'id="lookalikes"' not in render_report(sample_report())

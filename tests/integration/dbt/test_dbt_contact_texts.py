"""The texts of contacts: whose they are, how they are written to be compared, and that a week knows no later one."""

from __future__ import annotations

from datetime import date
from math import log2

import pytest
from dbt_company import ANN, AS_OF, BOB, EVE, SHOPPER
from polars.testing import assert_frame_equal

TEXTS = (
    "select t.person_id, t.source, d.text, t.seen_on, t.weight from intermediate.int_contact_texts as t "
    "inner join (select distinct text_id, text from intermediate.int_texts) as d on d.text_id = t.text_id "
    f"where t.as_of = '{AS_OF}' order by all"
)


@pytest.fixture(scope="module")
def texts(company):
    return company.warehouse.read(TEXTS)


def of(texts, person):
    return {(source, text) for source, text in texts.filter(person_id=person).select("source", "text").iter_rows()}


def test_each_source_brings_the_texts_of_its_people(texts):
    assert of(texts, ANN) == {("company", "software"), ("page", "pricing"), ("survey", "great")}
    # Bob looked for it on a device before he signed in there.
    assert of(texts, BOB) == {("ticket", "no export"), ("search", "move house")}
    assert of(texts, SHOPPER) == {("product", "garden chair")}


def test_addresses_numbers_and_spacing_are_not_part_of_a_text(texts):
    assert of(texts, EVE) == {("job_title", "security engineer"), ("note", "asked about , wants single sign-on")}


def test_spellings_of_a_text_count_as_one_and_age_by_their_source(texts):
    pricing = texts.filter(text="pricing").row(0, named=True)
    assert pricing["seen_on"] == date(2026, 3, 1)
    # Seen on the last evening and 19 days earlier, at a half-life of ten days; a page counts half.
    assert pricing["weight"] == pytest.approx(0.5 * log2(1 + 1 + 0.5 ** (19 / 10)), abs=1e-6)
    # What is stated does not age; a note does, here by 28 days.
    weights = dict(texts.filter(person_id=EVE).select("source", "weight").iter_rows())
    assert weights["job_title"] == 1.0
    assert weights["note"] == pytest.approx(log2(1 + 0.5 ** (28 / 10)), abs=1e-6)


def test_after_four_half_lives_a_text_counts_no_more(company):
    oldest = company.warehouse.read(
        "select min(seen_on) as day from intermediate.int_contact_texts where source in ('page', 'search', 'product')"
    )["day"][0]
    assert (date.fromisoformat(AS_OF) - oldest).days <= 40


def test_what_came_later_is_in_no_text_of_the_week(later_company, texts):
    later = later_company.after.read(TEXTS)
    assert_frame_equal(later, texts)
    assert {"roadmap", "careers", "now solved"} & set(later["text"]) == set()


def test_a_later_week_knows_them(later_company):
    known = later_company.after.read(
        "select distinct d.text from intermediate.int_contact_texts as t inner join intermediate.int_texts as d "
        "on d.text_id = t.text_id where t.as_of = '2026-03-09'"
    )["text"]
    assert {"roadmap", "careers", "now solved"} <= set(known)


def test_weeks_built_together_and_one_by_one_know_the_same_texts(later_company):
    assert_frame_equal(later_company.after.read(TEXTS), later_company.from_nothing.read(TEXTS))

"""Texts that go out with an audience: what a template may hold, and how it is filled in."""

from __future__ import annotations

import polars as pl
import pytest

from activation.audience import ContentBlock
from activation.content import fill_in, filled_in, read_template, template_complaints

FIELDS = ("first_name", "persona_name", "churn")


def block(text, **defaults):
    return ContentBlock(template=text, defaults=defaults)


def complaint(text, **defaults):
    one = block(text, **defaults)
    return [each.message for each in template_complaints(text, one, FIELDS)]


def render(text, values, format_="text", **defaults):
    one = ContentBlock(template=text, defaults=defaults, format=format_)
    assert list(template_complaints(text, one, FIELDS)) == []
    return fill_in(read_template(text, one), values)


def test_a_placeholder_is_the_value_and_its_default_where_nothing_is_known():
    text = "Hello {{ first_name | title }}"

    assert render(text, {"first_name": "ada"}, first_name="you") == "Hello Ada"
    for nothing in ({"first_name": None}, {"first_name": ""}, {}):
        assert render(text, nothing, first_name="you") == "Hello You"


def test_a_text_may_depend_on_a_value():
    text = "{% if churn == 'high' %}We miss you{% else %}Good to have you{% endif %}, {{ persona_name }}"

    assert render(text, {"churn": "high", "persona_name": "Night owls"}, churn="low", persona_name="friend") == (
        "We miss you, Night owls"
    )
    assert render(text, {}, churn="low", persona_name="friend") == "Good to have you, friend"


def test_html_escapes_what_people_are_called_and_text_does_not():
    nasty = {"first_name": "<script>alert(1)</script> & Söhne"}

    assert render("{{ first_name }}", nasty, "html", first_name="you") == (
        "&lt;script&gt;alert(1)&lt;/script&gt; &amp; Söhne"
    )
    assert render("{{ first_name }}", nasty, first_name="you") == nasty["first_name"]


def test_a_value_that_looks_like_a_template_stays_text():
    assert render("{{ first_name }}", {"first_name": "{{ persona_name }}"}, first_name="you") == "{{ persona_name }}"


def test_a_placeholder_has_to_be_a_field_that_goes_out():
    one = block("{{ firstname }}")
    (found,) = template_complaints("{{ firstname }}", one, FIELDS)
    assert (found.name, found.message) == ("firstname", "'firstname' is no field that goes out")
    assert "first_name" in found.valid


def test_a_placeholder_needs_a_default_and_a_default_a_placeholder():
    (missing,) = complaint("{{ first_name }}")
    assert "needs a default" in missing
    (idle,) = complaint("Hello", first_name="you")
    assert "is no placeholder" in idle


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{% for one in first_name %}{% endfor %}", "a loop"),
        ("{{ first_name.__class__.__mro__ }}", "a point"),
        ("{{ first_name['x'] }}", "brackets"),
        ("{{ first_name() }}", "a call"),
        ("{% include 'personae.yml' %}", "include"),
        ("{% import 'x' as y %}", "import"),
        ("{% set first_name = 1 %}", "set"),
        ("{% macro m() %}{% endmacro %}", "a macro"),
        ("{{ 9 ** 9 }}", "pow"),
        ("{{ 'a' * 9 }}", "mul"),
        ("{{ first_name | attr('__class__') }}", "no filter 'attr'"),
        ("{{ first_name | map('upper') }}", "no filter 'map'"),
        ("{{ first_name", "unexpected end of template"),
    ],
)
def test_a_template_reaches_nothing_and_takes_no_time(text, what):
    assert any(what in one for one in complaint(text, first_name="you"))


def test_a_misspelled_filter_is_told_with_those_there_are():
    one = block("{{ first_name | uper }}", first_name="you")
    (found,) = template_complaints("{{ first_name | uper }}", one, FIELDS)
    assert (found.name, "upper" in found.valid) == ("uper", True)


def test_many_people_are_filled_in_at_once_each_distinct_set_of_values_once():
    template = read_template("{{ first_name }}/{{ churn }}", block("x", first_name="you", churn="?"))
    people = pl.DataFrame({"first_name": ["a", None, "a", "b"], "churn": ["high", None, "high", None]})

    assert filled_in(template, people).to_list() == ["a/high", "you/?", "a/high", "b/?"]


def test_a_text_without_placeholders_is_the_same_for_all():
    assert filled_in(read_template("Hello", block("Hello")), pl.DataFrame({"x": [1, 2]})).to_list() == ["Hello"] * 2

"""Phrases are found as whole words in any inflection, and not where they are denied."""

import polars as pl
import pytest

from ml.phrases import Phrase, find_phrases, stem, words_of


def found(text, *phrases, language="en"):
    """The phrases that stand in a text, those that are only denied left out."""
    listed = [Phrase("trigger", phrase, language=language) for phrase in phrases]
    hits = find_phrases(words_of(pl.Series([text])), listed).filter(~pl.col("is_negated"))
    return [phrases[number] for number in hits["phrase"]]


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("Started a NEW JOB at Acme", "new job"),
        ("two new jobs, one office", "new job"),
        ("we are moving house", "move house"),
        ("they moved houses", "move house"),
        ("hiring engineers", "engineer"),
        ("Shipped: companies grew", "company"),
        ("the company’s funding round", "funding round"),
        ("ｆｕｌｌ width", "full width"),  # the same letters in another width
    ],
)
def test_a_phrase_is_found_in_any_inflection_and_writing(text, phrase):
    assert found(text, phrase) == [phrase]


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("internal tools", "intern"),
        ("reinvent it", "invent"),
        ("new, job", "new job"),  # a clause ends between the words
        ("job new", "new job"),
        ("newsletter", "news"),
        ("careful", "car"),
    ],
)
def test_parts_of_words_and_words_apart_are_no_phrase(text, phrase):
    assert found(text, phrase) == []


@pytest.mark.parametrize(
    "text",
    [
        "no longer an engineer",
        "I am not an engineer",
        "former engineer",
        "we don't have an engineer",
        "without engineers",
    ],
)
def test_what_is_denied_is_not_found(text):
    assert found(text, "engineer") == []


@pytest.mark.parametrize(
    "text",
    ["not sure, engineer at heart", "no. Engineer!", "not an engineer then, but an engineer now and for good"],
)
def test_a_denial_ends_with_its_clause_and_one_mention_is_enough(text):
    assert found(text, "engineer") == ["engineer"]


def test_a_denied_phrase_is_told_as_denied():
    hits = find_phrases(words_of(pl.Series(["no longer an engineer"])), [Phrase("target", "engineer")])
    assert hits["is_negated"].to_list() == [True]


@pytest.mark.parametrize(
    ("language", "text", "phrase"),
    [
        ("de", "Wir suchen neue Ingenieure", "Ingenieur"),
        ("de", "kein Umzug geplant, der Umzug der Eltern schon", "umzug"),
        ("fr", "les nouvelles maisons", "nouvelle maison"),
        ("es", "casas nuevas", "casa nueva"),
        ("nl", "nieuwe huizen", "nieuw huizen"),
    ],
)
def test_other_languages_have_their_own_inflections(language, text, phrase):
    assert found(text, phrase, language=language) == [phrase]


def test_a_denial_is_known_in_its_language():
    assert found("nicht mehr Ingenieur", "ingenieur", language="de") == []


def test_many_texts_and_phrases_at_once_keep_apart():
    texts = pl.Series(["new job", None, "", "moving house. new job", "job"])
    hits = find_phrases(words_of(texts), [Phrase("event", "new job"), Phrase("event", "move house")])
    assert hits.rows() == [(0, 0, False), (3, 0, False), (3, 1, False)]


def test_no_text_and_no_phrase_is_no_hit():
    assert find_phrases(words_of(pl.Series([], dtype=pl.String)), [Phrase("event", "new job")]).height == 0
    assert find_phrases(words_of(pl.Series(["new job"])), []).height == 0


def test_words_that_only_look_inflected_stay():
    assert [stem(word) for word in ("news", "business", "status", "bus", "spring", "red")] == [
        "news",
        "business",
        "status",
        "bus",
        "spring",
        "red",
    ]

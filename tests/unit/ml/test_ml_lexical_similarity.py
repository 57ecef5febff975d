"""Similarities by words: forms of a word meet, and the company's own texts teach which words belong together."""

import numpy as np
import polars as pl

from ml.lexical_similarity import FEWEST_TEXTS, SimilarityModel
from ml.phrases import Phrase, words_of

PHRASES = [Phrase("trigger", "vacation request"), Phrase("target", "engineer"), Phrase("target", "intern")]


def similarities(model, *texts):
    return np.vstack([batch for _, batch in model.similarities(words_of(pl.Series(texts)))])


def company_texts():
    """Texts in which who asks for vacation speaks of days off, and others of invoices."""
    days = [f"vacation request: {number} days off in room {number}" for number in range(FEWEST_TEXTS)]
    other = [f"invoice {number} is wrong, please correct amount {number}" for number in range(FEWEST_TEXTS)]
    return pl.Series(days + other)


def test_forms_of_a_word_meet_and_other_words_do_not():
    model = SimilarityModel.learn(pl.Series([], dtype=pl.String), PHRASES)
    told = similarities(model, "engineer", "engineering", "internal", "intern", "gardener")
    assert told[0, 1] > 0.99
    assert told[1, 1] > 0.7
    assert told[2, 2] == 0
    assert told[3, 2] > 0.99
    assert told[4].max() == 0


def test_texts_of_the_company_teach_related_words():
    alone = SimilarityModel.learn(pl.Series([], dtype=pl.String), PHRASES)
    taught = SimilarityModel.learn(company_texts(), PHRASES)
    assert similarities(alone, "days off")[0, 0] == 0
    told = similarities(taught, "days off", "invoice amount")
    assert told[0, 0] > 0.4 > told[1, 0]
    assert {"vacation", "request", "days"} <= set(taught.related(0))


def test_refused_and_rare_words_are_related_to_nothing():
    taught = SimilarityModel.learn(company_texts(), PHRASES, is_refused=lambda word: word == "days")
    assert "days" not in taught.phrase_words[0]
    assert not any(word.isdigit() for word in taught.phrase_words[0])


def test_examples_bring_their_words():
    phrase = Phrase("event", "relocation", examples=("we are moving to Berlin", "moving out in May"))
    model = SimilarityModel.learn(pl.Series([], dtype=pl.String), [phrase])
    assert similarities(model, "moving soon")[0, 0] > 0.15


def test_a_text_says_the_same_whatever_stands_beside_it():
    model = SimilarityModel.learn(company_texts(), PHRASES)
    texts = [
        f"{first} {second}" for first in ("vacation", "engineers", "invoice") for second in ("days", "amount", "xyz")
    ]
    together = similarities(model, *texts)
    assert np.array_equal(together, np.vstack([similarities(model, text) for text in texts]))


def test_a_model_is_plain_numbers():
    model = SimilarityModel.learn(company_texts(), PHRASES)
    assert SimilarityModel.from_plain(model.as_plain()) == model
    assert model == SimilarityModel.learn(company_texts(), PHRASES)


def test_no_text_is_no_batch():
    model = SimilarityModel.learn(pl.Series([], dtype=pl.String), PHRASES)
    assert list(model.similarities(words_of(pl.Series([], dtype=pl.String)))) == []

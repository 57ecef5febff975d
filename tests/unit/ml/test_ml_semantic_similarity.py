"""Similarities by meaning: the arithmetic, on vectors small enough to work out by hand."""

import numpy as np
import polars as pl
import pytest

from ml.affinity import EVIDENT, hits_of_texts
from ml.lexical_similarity import FEWEST_TEXTS, SimilarityModel
from ml.phrases import Phrase, words_of
from ml.semantic_similarity import MEANING_SAYS, WORDS_SAY, SemanticModel, WordVectors

MEANT = {  # one token per word; each dimension is something to speak of, the last one is common to all
    "vacation": (1, 0, 0, 1),
    "holiday": (1, 0, 0, 1),
    "leave": (0.8, 0.6, 0, 1),
    "invoice": (0, 1, 0, 1),
    "bill": (0, 1, 0, 1),
    "illness": (1, 0, 0, 1),
    "garden": (0, 0, 1, 1),
    "urlaub": (1, 0, 0, 1),
}
TOKENS = list(MEANT)
PHRASES = (Phrase("event", "vacation"), Phrase("trigger", "bill"), Phrase("event", "urlaub", language="de"))
NOTHING = pl.Series([], dtype=pl.String)


def tokens_of(words):
    """Words that nobody knows have no token; a hyphen makes two words of one."""
    found = [[TOKENS.index(part) for part in word.split("_") if part in MEANT] for word in words]
    return np.array([one for word in found for one in word], dtype=np.int64), np.array([len(word) for word in found])


VECTORS = WordVectors(np.array(list(MEANT.values()), dtype=np.float32), tokens_of)


def learned(texts=NOTHING, phrases=PHRASES, is_refused=lambda word: False):
    return SemanticModel.learn(texts, phrases, VECTORS, is_refused)


def similarities(model, *texts):
    return np.vstack([batch for _, batch in model.similarities(words_of(pl.Series(texts)))])


def company_texts():
    """As many texts of each thing to speak of: what they have in common is the last dimension."""
    kinds = ("holiday", "invoice", "garden")
    return pl.Series([f"{kinds[number % 3]} x{number}" for number in range(FEWEST_TEXTS)])


def test_words_that_mean_the_same_meet_without_a_letter_in_common():
    told = similarities(learned(), "holiday", "invoice", "holiday invoice")
    assert told[0, 0] == told[1, 1] == pytest.approx(MEANING_SAYS[1.0])
    assert told[0, 0] > told[2, 0] > told[1, 0]
    assert similarities(SimilarityModel.learn(NOTHING, PHRASES), "holiday").max() == 0


def test_what_all_texts_have_in_common_tells_nothing_apart():
    alone, centred = learned(), learned(company_texts())
    assert centred.centre[3] > 0.5 and not any(alone.centre)
    told = similarities(alone, "garden")[0, 0], similarities(centred, "garden")[0, 0]
    assert told[0] > 0.1 and told[1] == 0
    assert similarities(centred, "holiday")[0, 0] >= EVIDENT


def test_words_in_common_count_on_top_of_meaning():
    told = similarities(learned(), "vacation", "holiday", "vacation vacation", "zzz")
    assert told[0, 0] == pytest.approx(1 - (1 - WORDS_SAY[1.0]) * (1 - MEANING_SAYS[1.0]))
    assert told[1, 0] < told[0, 0]
    assert told[2, 0] == told[0, 0]
    assert told[3].max() == 0


def test_refused_words_say_nothing_by_their_meaning():
    told = similarities(learned(is_refused=lambda word: word == "illness"), "illness", "illness bill", "bill")
    assert told[0].max() == 0
    assert told[1, 0] == told[2, 0]
    assert similarities(learned(), "illness")[0, 0] >= EVIDENT


def test_phrases_of_other_languages_have_their_words_alone():
    told = similarities(learned(), "holiday", "urlaub")
    assert told[0, 2] == 0
    assert told[1, 2] == pytest.approx(similarities(SimilarityModel.learn(NOTHING, PHRASES), "urlaub")[0, 2])
    german = (PHRASES[2],)
    both = learned(phrases=german), SimilarityModel.learn(NOTHING, german)
    assert np.array_equal(*(similarities(model, "urlaub", "holiday") for model in both))


def test_examples_bring_their_meaning_and_a_phrase_counts_for_three():
    plain, taught = Phrase("event", "garden"), Phrase("event", "garden", examples=("holiday",))
    model = learned(phrases=(plain, taught))
    told = similarities(model, "vacation")
    assert told[0, 1] > told[0, 0]
    garden, holiday = (np.array(MEANT[word]) / np.linalg.norm(MEANT[word]) for word in ("garden", "holiday"))
    together = 3 * garden + holiday
    assert model.phrase_vectors[1] == pytest.approx(together / np.linalg.norm(together))


def test_similarities_lie_between_nothing_and_one_and_rise_with_what_they_are_made_of():
    for says in (WORDS_SAY, MEANING_SAYS):
        assert (min(says), max(says), says[0.0]) == (0, 1, 0)
        assert np.all(np.diff(list(says)) > 0) and np.all(np.diff(list(says.values())) > 0)
    told = similarities(learned(company_texts()), *TOKENS, "vacation holiday leave", "...")
    assert told.min() >= 0 and told.max() <= 1 and told.dtype == np.float32


def test_a_text_says_the_same_whatever_stands_beside_it(monkeypatch):
    model = learned(company_texts())
    texts = [f"{first} {second}" for first in TOKENS for second in TOKENS]
    together = similarities(model, *texts)
    assert np.array_equal(together, np.vstack([similarities(model, text) for text in texts]))
    monkeypatch.setattr("ml.lexical_similarity.BATCH", 7)
    monkeypatch.setattr("ml.semantic_similarity.BATCH", 3)
    monkeypatch.setattr("ml.semantic_similarity.TEXTS_AT_A_TIME", 2)
    assert np.array_equal(together, similarities(model, *texts))


def test_a_model_is_plain_numbers_over_vectors_that_stand_elsewhere():
    model = learned(company_texts())
    again = SemanticModel.from_plain(model.as_plain(), PHRASES, VECTORS)
    assert again.as_plain() == model.as_plain() == learned(company_texts()).as_plain()
    assert np.array_equal(similarities(model, *TOKENS), similarities(again, *TOKENS))


def test_no_text_is_no_batch():
    assert list(learned().similarities(words_of(NOTHING))) == []


def test_names_of_the_brand_are_hit_only_as_they_are_written():
    phrases = (Phrase("brand", "Vacation"), Phrase("event", "vacation"))
    texts = pl.DataFrame({"text_id": [1, 2], "text": ["holiday", "Vacation"]}, schema_overrides={"text_id": pl.UInt64})
    hits = hits_of_texts(texts, phrases, learned(phrases=phrases))
    assert hits.rows() == [(1, 1, 0.94), (2, 0, 1.0), (2, 1, 1.0)]

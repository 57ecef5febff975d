"""From what texts say to scores of people: their meaning, groups, evidence, percentiles and abstention."""

import numpy as np
import polars as pl
import pytest

from ml.affinity import AffinityRules, evidence_of_people, hits_of_texts, scores_of_people, with_groups
from ml.lexical_similarity import SimilarityModel
from ml.phrases import Phrase

PHRASES = (
    Phrase("trigger", "save time"),
    Phrase("trigger", "single sign-on", weight=2.0),
    Phrase("event", "new job"),
    Phrase("target", "engineer"),
    Phrase("brand", "Havelgrid"),
)
TEXTS = {
    1: "saves time every day",
    2: "new job at Acme",
    3: "no longer an engineer",
    4: "single sign-on, please",
    5: "hello there",
    6: "how is the weather",
    7: "Havelgrid rocks",
    8: "sign-on screens",
}
RULES = AffinityRules(minimum_texts=2, group_weights={"trigger": 1.0, "event": 0.8, "target": 0.5, "brand": 1.0})


@pytest.fixture(scope="module")
def hits():
    texts = pl.DataFrame(
        {"text_id": list(TEXTS), "text": list(TEXTS.values())}, schema_overrides={"text_id": pl.UInt64}
    )
    return hits_of_texts(texts, PHRASES, SimilarityModel.learn(pl.Series([], dtype=pl.String), PHRASES))


def scores(hits, said, people, rules=RULES):
    """Scores where `said` lists (person, text, weight)."""
    texts = pl.DataFrame(
        [(person, text, "ticket", weight) for person, text, weight in said],
        schema={"person": pl.Int64, "text_id": pl.UInt64, "source": pl.String, "weight": pl.Float64},
        orient="row",
    )
    counts = np.bincount([person for person, *_ in said], minlength=people)
    return scores_of_people(evidence_of_people(texts, with_groups(hits, PHRASES, rules)), counts, PHRASES, rules)


def score(rows, person, group, phrase=None):
    one = rows.filter(pl.col("person") == person, pl.col("phrase_group") == group, pl.col("phrase").eq_missing(phrase))
    return one["score"].item() if one.height else None


def test_texts_hit_what_they_say_and_not_what_they_deny(hits):
    told = {(text, PHRASES[phrase].text) for text, phrase, _ in hits.iter_rows()}
    assert told == {(1, "save time"), (2, "new job"), (4, "single sign-on"), (7, "Havelgrid"), (8, "single sign-on")}
    assert hits.filter(text_id=1)["evidence"].item() == 1.0
    assert 0.4 <= hits.filter(text_id=8)["evidence"].item() < 1.0


def test_one_fresh_mention_is_half_and_a_second_is_half_of_the_rest(hits):
    rows = scores(hits, [(0, 2, 1.0), (0, 5, 1.0), (1, 2, 2.0), (1, 5, 1.0), (2, 2, 0.5), (2, 6, 1.0)], people=3)
    assert [score(rows, person, "event", "new job") for person in range(3)] == [0.5, 0.75, 0.2929]
    assert score(rows, 0, "trigger") == 0.0


def test_a_group_takes_the_weights_of_phrases_and_the_brand_those_of_groups(hits):
    rows = scores(hits, [(0, 4, 1.0), (0, 2, 1.0), (1, 7, 1.0), (1, 5, 1.0)], people=2)
    assert score(rows, 0, "trigger", "single sign-on") == 0.5
    assert score(rows, 0, "trigger") == 0.75
    assert score(rows, 0, "brand") == pytest.approx(1 - 2**-2.8, abs=1e-4)
    assert (score(rows, 1, "brand"), score(rows, 1, "brand", "Havelgrid")) == (0.5, 0.5)


def test_people_with_too_little_text_are_not_judged(hits):
    rows = scores(hits, [(0, 2, 1.0), (1, 2, 1.0), (1, 5, 1.0)], people=3)
    told = rows.filter(pl.col("phrase_group") == "event", pl.col("phrase").is_null()).sort("person")
    assert told["score"].to_list() == [None, None, 0.5] or told["score"].to_list() == [None, 0.5, None]
    assert told["abstained_reason"].to_list() == ["too little text: 1 of 2 texts", None, "there is no text"]
    assert rows.filter(person=0)["phrase"].null_count() == rows.filter(person=0).height
    assert told["percentile"].is_null().to_list() == told["score"].is_null().to_list()


def test_percentiles_tell_how_many_score_lower(hits):
    said = [(person, 2, weight) for person, weight in enumerate((0.5, 1.0, 1.0, 2.0))]
    said += [(person, 5, 1.0) for person in range(8)] + [(person, 6, 1.0) for person in range(4, 8)]
    rows = scores(hits, said, people=8)
    told = rows.filter(pl.col("phrase_group") == "event", pl.col("phrase").is_null()).sort("person")["percentile"]
    # Four have none: they share the lower half; then one, two alike, and one.
    assert told.to_list() == [56.25, 75.0, 75.0, 93.75, 25.0, 25.0, 25.0, 25.0]


def test_the_three_texts_that_contributed_most_are_told_in_order(hits):
    said = [(0, 1, 0.3), (0, 4, 0.2), (0, 2, 0.9), (0, 7, 0.1), (0, 5, 5.0)]
    brand = scores(hits, said, people=1).filter(pl.col("phrase_group") == "brand", pl.col("phrase").is_null())
    # New job 0.9 x 0.8, single sign-on 0.2 x 2, saved time 0.3; the name, 0.1, is the fourth.
    assert brand.select("text_1", "text_2", "text_3").row(0) == (2, 4, 1)
    assert brand["source_1"].item() == "ticket"


def test_only_the_strongest_phrases_of_a_person_are_told(hits):
    rules = AffinityRules(minimum_texts=1, most_phrases=1)
    rows = scores(hits, [(0, 1, 1.0), (0, 2, 2.0)], people=1, rules=rules)
    assert rows.drop_nulls("phrase")["phrase"].to_list() == ["new job"]


def test_nobody_says_anything(hits):
    rows = scores(hits, [(0, 5, 1.0), (0, 6, 1.0)], people=1)
    assert rows["score"].to_list() == [0.0] * 4
    assert rows["percentile"].to_list() == [50.0] * 4

"""Brand affinity of one week: which texts say what of the phrases, and how much each person cares.

What belongs here: reading the texts of a week, scoring those that are new, and writing scores. Matching and
similarity stand in `ml/phrases.py` and `ml/lexical_similarity.py`, scores in `ml/affinity.py`, the texts of contacts
in dbt's `int_contact_texts`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial

import duckdb
import numpy as np
import polars as pl

from activation.answers import first_row, read_frame
from ml.affinity import (
    EVIDENCE_SCHEMA,
    HIT_SCHEMA,
    PIECES,
    AffinityRules,
    Similarities,
    evidence_of_people,
    hits_of_texts,
    scores_of_people,
    with_groups,
)
from ml.lexical_similarity import SimilarityModel
from ml.phrases import Phrase
from ml.semantic_similarity import SemanticModel
from ml.slices import in_slices
from orchestration.brand import Brand
from orchestration.special_categories import is_refused_as_a_name, looks_like
from orchestration.warehouse import make_tables, replace_weeks, transaction
from orchestration.weeks import Week
from orchestration.word_vectors import read_word_vectors, tokenizer_sha256, vectors_sha256
from orchestration.workspace import Workspace

AFFINITY_SCORE_SCHEMA = {
    "as_of": pl.Date,
    "person_id": pl.UInt64,
    "phrase_group": pl.String,
    "phrase": pl.String,
    "score": pl.Float64,
    "percentile": pl.Float64,
    "abstained_reason": pl.String,
    **{f"evidence_{piece}": pl.String for piece in range(1, PIECES + 1)},
    "model_id": pl.String,
}
AFFINITY_TABLES = {
    "affinity_scores": AFFINITY_SCORE_SCHEMA,
    "phrase_models": {
        "as_of": pl.Date,
        "model_id": pl.String,
        "phrases_fingerprint": pl.String,
        "texts": pl.Int64,
        "model": pl.String,
        "similarity": pl.String,
        "vectors_sha256": pl.String,
    },
    "scored_texts": {"model_id": pl.String, "text_id": pl.UInt64},
    "text_phrase_hits": {"model_id": pl.String, **HIT_SCHEMA},
}
LEARN_FROM = 20_000
"""Texts that weights and related words are learned from, by their numbers, which are hashes: a sample."""
TEXTS_AT_A_TIME = 200_000
PEOPLE_AT_A_TIME = 100_000
ROWS_AT_A_TIME = 1_000_000
SNIPPET = 80
"""Letters of a text that are told as evidence."""

TEXTS_OF_THE_WEEK = (
    "create or replace temp table week_texts as "
    "select p.person, t.text_id, t.source, t.weight from intermediate.int_contact_texts as t "
    "inner join people as p on p.person_id = t.person_id where t.as_of = ?"
)
DISTINCT_TEXTS = (
    "create or replace temp table distinct_texts as select t.text_id, min(t.text) as text "
    "from intermediate.int_texts as t semi join week_texts as w on w.text_id = t.text_id group by t.text_id"
)
NEW_TEXTS = (
    "select text_id, text from distinct_texts as t anti join "
    "(select text_id from ml.scored_texts where model_id = ?) as s on s.text_id = t.text_id order by text_id"
)


@dataclass(frozen=True)
class AffinityWeek:
    """What became of one week: people, those with enough text, and how many texts were scored for it.

    Attributes:
        people: people of the week.
        judged: those with enough text.
        rows: rows of scores.
        texts: distinct texts of the week.
        new_texts: those that no earlier run had scored.
        phrases_found: phrases that somebody has a score above 0 for.
        phrases: phrases that are scored.
    """

    people: int = 0
    judged: int = 0
    rows: int = 0
    texts: int = 0
    new_texts: int = 0
    phrases_found: int = 0
    phrases: int = 0


def run_affinity_week(connection: duckdb.DuckDBPyConnection, workspace: Workspace, week: Week) -> AffinityWeek:
    """Score the people of `week` and write `AFFINITY_TABLES`; without phrases there are no rows."""
    make_tables(connection, AFFINITY_TABLES)
    if not workspace.brand.is_declared:
        with transaction(connection):
            replace_weeks(connection, "ml.affinity_scores", pl.DataFrame(schema=AFFINITY_SCORE_SCHEMA), [week.as_of])
        return AffinityWeek()
    people = read_frame(
        connection, "select person_id from intermediate.int_people where as_of = ? order by person_id", [week.as_of]
    )
    connection.register("people", people.with_row_index("person").cast({"person": pl.Int64}).to_arrow())
    try:
        connection.execute(TEXTS_OF_THE_WEEK, [week.as_of])
    finally:
        connection.unregister("people")
    try:
        connection.execute(DISTINCT_TEXTS)
        model_id, read_model = _standing_model(connection, workspace, week)
        texts, new_texts = _score_new_texts(connection, workspace, model_id, read_model)
        scores, judged = _scores(connection, workspace, model_id, people.height)
        with transaction(connection):
            replace_weeks(connection, "ml.affinity_scores", pl.DataFrame(schema=AFFINITY_SCORE_SCHEMA), [week.as_of])
            for part in scores.iter_slices(ROWS_AT_A_TIME):
                rows = _as_rows(connection, part, people["person_id"], week, model_id)
                rows = in_slices(rows)
                connection.execute("insert into ml.affinity_scores by name select * from rows")
    finally:
        connection.execute("drop table if exists week_texts")
        connection.execute("drop table if exists distinct_texts")
    found = scores.drop_nulls("phrase")["phrase"].n_unique()
    return AffinityWeek(people.height, judged, scores.height, texts, new_texts, found, len(workspace.brand.phrases))


def forget_texts_of_nobody(connection: duckdb.DuckDBPyConnection) -> None:
    """Forget what was scored with other models than the latest week's, and of texts that nobody delivers any more."""
    for table in ("scored_texts", "text_phrase_hits"):
        connection.execute(
            f"delete from ml.{table} where text_id not in (select text_id from intermediate.int_texts) "
            "or model_id not in (select model_id from ml.affinity_scores "
            "where as_of = (select max(as_of) from ml.affinity_scores))"
        )


def _standing_model(
    connection: duckdb.DuckDBPyConnection, workspace: Workspace, week: Week
) -> tuple[str, Callable[[], Similarities]]:
    """The model that stands since an earlier week with the same phrases; else this week's texts are learned from.

    It is read when it is asked for: a week without new texts needs none.
    """
    brand, similarity = workspace.brand, workspace.settings.affinity.similarity
    vectors = vectors_sha256() if similarity == "semantic" else None
    fingerprint = _fingerprint(brand, vectors)
    row = first_row(
        connection,
        "select model_id, model from ml.phrase_models where as_of < ? and phrases_fingerprint = ? "
        "order by as_of desc limit 1",
        [week.as_of, fingerprint],
    )
    if row is not None:
        return row[0], cache(partial(_model_of, row[1], brand, vectors))
    sample = read_frame(connection, f"select text from distinct_texts order by text_id limit {LEARN_FROM}")["text"]
    model = _learned(sample, brand, vectors)
    plain = json.dumps(model.as_plain(), sort_keys=True)
    model_id = "affinity-" + hashlib.sha256((fingerprint + plain).encode()).hexdigest()[:12]
    run = {
        "as_of": week.as_of,
        "model_id": model_id,
        "phrases_fingerprint": fingerprint,
        "texts": len(sample),
        "model": plain,
        "similarity": similarity,
        "vectors_sha256": vectors,
    }
    with transaction(connection):
        frame = pl.DataFrame([run], schema=AFFINITY_TABLES["phrase_models"])
        replace_weeks(connection, "ml.phrase_models", frame, [week.as_of])
    return model_id, lambda: model


def _fingerprint(brand: Brand, vectors: str | None) -> str:
    """A hash of everything that decides what a text says of a phrase: another similarity is another model."""
    if vectors is None:
        return brand.fingerprint
    told = "\0".join((brand.fingerprint, "semantic", vectors, tokenizer_sha256()))
    return hashlib.sha256(told.encode()).hexdigest()[:12]


def _learned(sample: pl.Series, brand: Brand, vectors: str | None) -> SimilarityModel | SemanticModel:
    """What this week's texts teach. No word of a special category is related to a phrase; by its meaning, none that
    stands for one either, since meanings reach further than words.
    """
    if vectors is None:
        return SimilarityModel.learn(sample, brand.phrases, is_refused=lambda word: looks_like(word) is not None)
    return SemanticModel.learn(sample, brand.phrases, read_word_vectors(), is_refused_as_a_name)


def _model_of(told: str, brand: Brand, vectors: str | None) -> Similarities:
    plain = json.loads(told)
    if vectors is None:
        return SimilarityModel.from_plain(plain)
    return SemanticModel.from_plain(plain, brand.phrases, read_word_vectors(), is_refused_as_a_name)


def _score_new_texts(
    connection: duckdb.DuckDBPyConnection, workspace: Workspace, model_id: str, read_model: Callable[[], Similarities]
) -> tuple[int, int]:
    """Score the texts that this model has not seen; gives how many texts there are, and how many were new."""
    new = read_frame(connection, NEW_TEXTS, [model_id])
    for part in new.iter_slices(TEXTS_AT_A_TIME):
        hits = hits_of_texts(part, workspace.brand.phrases, read_model()).with_columns(model_id=pl.lit(model_id))
        hits = in_slices(hits)
        seen = part.select("text_id").with_columns(model_id=pl.lit(model_id))  # noqa: F841 - and this
        with transaction(connection):
            connection.execute("insert into ml.text_phrase_hits by name select * from hits")
            connection.execute("insert into ml.scored_texts by name select * from seen")
    row = first_row(connection, "select count(*) from distinct_texts")
    return int(row[0]) if row else 0, new.height


def _scores(
    connection: duckdb.DuckDBPyConnection, workspace: Workspace, model_id: str, people: int
) -> tuple[pl.DataFrame, int]:
    """Scores of everybody, some people at a time; and how many have enough text."""
    settings, phrases = workspace.settings.affinity, workspace.brand.phrases
    rules = AffinityRules(settings.minimum_texts, settings.most_phrases, settings.group_weights)
    evidence, texts_per_person = _evidence(connection, model_id, phrases, rules, people)
    scores = scores_of_people(evidence, texts_per_person, phrases, rules)
    return scores, int((texts_per_person >= rules.minimum_texts).sum())


def _evidence(
    connection: duckdb.DuckDBPyConnection, model_id: str, phrases: Sequence[Phrase], rules: AffinityRules, people: int
) -> tuple[pl.DataFrame, np.ndarray]:
    """What everybody's texts come to, and how many different texts each has; what it takes is let go with it."""
    hits = read_frame(
        connection,
        "select text_id, phrase, evidence from ml.text_phrase_hits where model_id = ? "
        "and text_id in (select text_id from distinct_texts)",
        [model_id],
    )
    keyed = with_groups(hits, phrases, rules)
    texts_per_person = np.zeros(people, dtype=np.int64)
    parts = [pl.DataFrame(schema=EVIDENCE_SCHEMA)]
    for first in range(0, people, PEOPLE_AT_A_TIME):
        texts = read_frame(
            connection,
            "select person, text_id, source, weight from week_texts where person >= ? and person < ?",
            [first, first + PEOPLE_AT_A_TIME],
        )
        counted = texts.group_by("person").agg(pl.col("text_id").n_unique())
        texts_per_person[counted["person"].to_numpy()] = counted["text_id"].to_numpy()
        parts.append(evidence_of_people(texts, keyed))
    return pl.concat(parts), texts_per_person


def _as_rows(
    connection: duckdb.DuckDBPyConnection, scores: pl.DataFrame, ids: pl.Series, week: Week, model_id: str
) -> pl.DataFrame:
    """Scores as the table holds them: ids for people, and pieces of text with their source for evidence."""
    pieces = [scores[f"text_{piece}"].alias("text_id") for piece in range(1, PIECES + 1)]
    named = pl.concat(pieces).drop_nulls().unique().to_frame()
    texts = read_frame(
        connection,
        f"select t.text_id, case when length(text) > {SNIPPET} then left(text, {SNIPPET}) || '…' else text end as text "
        "from distinct_texts as t semi join named as n on n.text_id = t.text_id",
        named=named,
    )
    rows = scores.with_columns(
        person_id=ids.gather(scores["person"]), as_of=pl.lit(week.as_of), model_id=pl.lit(model_id)
    )
    for piece in range(1, PIECES + 1):
        told = texts.select(pl.col("text_id").alias(f"text_{piece}"), "text")
        rows = (
            rows.join(told, on=f"text_{piece}", how="left", maintain_order="left")
            .with_columns(
                pl.format("{}: {}", pl.col(f"source_{piece}").str.replace("_", " "), "text").alias(f"evidence_{piece}")
            )
            .drop("text")
        )
    return rows.select(list(AFFINITY_SCORE_SCHEMA)).cast(AFFINITY_SCORE_SCHEMA)  # type: ignore[arg-type]

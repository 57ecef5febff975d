"""How much each person cares: from the texts of contacts and what stands in them to scores per person and phrase.

What belongs here: what a text says of a phrase, how evidence adds up, groups of phrases, percentiles, abstention.
Texts, half-lives and weights of sources come from dbt's `int_contact_texts`.

**What a score means.** A text says of a phrase 1 where the phrase stands in it, else the similarity, from `EVIDENT`
on; on public data about that share of such texts is about the phrase (docs/affinity.md). Evidence of a person is the
sum over texts of weight (source, age, how often) times what the text says; the score is `1 - 2^-evidence`: 0 is no
evidence, 0.5 one fresh mention in a source of weight 1, 0.75 two of them. So it means the same for everybody, in
every week. A group takes from each text the phrase that says most, by its weight; the brand does the same with all
groups.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import polars as pl

from ml.phrases import Phrase, Words, find_phrases, words_of

GROUPS = ("trigger", "event", "target", "brand")
"""Groups of phrases; `brand` stands for the names of the brand and its products, and for everything together."""
EVIDENT = 0.4
"""Similarity from which on a text says something of a phrase."""
PIECES = 3
HIT_SCHEMA = {"text_id": pl.UInt64, "phrase": pl.Int64, "evidence": pl.Float64}
EVIDENCE_SCHEMA = {
    "person": pl.Int64,
    "key": pl.Int64,
    "evidence": pl.Float64,
    **{f"text_{piece}": pl.UInt64 for piece in range(1, PIECES + 1)},
    **{f"source_{piece}": pl.String for piece in range(1, PIECES + 1)},
}
SCORE_SCHEMA = {
    "person": pl.Int64,
    "phrase_group": pl.String,
    "phrase": pl.String,
    "score": pl.Float64,
    "percentile": pl.Float64,
    "abstained_reason": pl.String,
    **{name: kind for name, kind in EVIDENCE_SCHEMA.items() if name.startswith(("text_", "source_"))},
}


class Similarities(Protocol):
    """What tells how alike texts and phrases are: `SimilarityModel` by words, `SemanticModel` by meaning as well."""

    def similarities(self, words: Words) -> Iterator[tuple[int, np.ndarray]]:
        """Batches of texts against all phrases: the place of the first text, and texts x phrases, 0 to 1."""
        ...


@dataclass(frozen=True)
class AffinityRules:
    """How evidence becomes scores.

    Attributes:
        minimum_texts: fewest different texts of a person; with fewer nothing is said.
        most_phrases: phrases that are told per person, those with the highest scores.
        group_weights: what each group counts for in the brand's affinity.
    """

    minimum_texts: int = 3
    most_phrases: int = 10
    group_weights: Mapping[str, float] | None = None

    def weight_of(self, group: str) -> float:
        """What a group counts for in the brand's affinity."""
        return (self.group_weights or {}).get(group, 1.0)


def hits_of_texts(texts: pl.DataFrame, phrases: Sequence[Phrase], model: Similarities) -> pl.DataFrame:
    """What each text says of each phrase.

    Args:
        texts: `text_id` (UInt64, distinct), `text`.
        phrases: the phrases, in the order the model was learned with.
        model: similarities.

    Returns:
        `HIT_SCHEMA`: evidence above 0, up to 1, in the order of texts and phrases. A text does not hit a phrase that
        stands in it only after a negation. Names of the brand are hit only as they are written.
    """
    words = words_of(texts["text"])
    exact = find_phrases(words, phrases)
    is_name = np.array([phrase.group == "brand" for phrase in phrases], dtype=bool)
    alike = []
    for first, matrix in model.similarities(words):
        matrix[:, is_name] = 0
        text, phrase = np.nonzero(matrix >= EVIDENT)
        alike.append(
            pl.DataFrame({"text": text + first, "phrase": phrase, "evidence": matrix[text, phrase].astype(np.float64)})
        )
    schema = {"text": pl.Int64, "phrase": pl.Int64, "evidence": pl.Float64}
    similar = pl.concat(alike).cast(schema) if alike else pl.DataFrame(schema=schema)  # type: ignore[arg-type]
    stated = exact.select("text", "phrase", evidence=pl.when("is_negated").then(0.0).otherwise(1.0))
    both = pl.concat([stated, similar.join(exact, on=["text", "phrase"], how="anti").select(stated.columns)])
    told = both.filter(pl.col("evidence") > 0).sort("text", "phrase")
    return told.select(
        text_id=texts["text_id"].gather(told["text"]), phrase="phrase", evidence=pl.col("evidence").round(3)
    ).cast(HIT_SCHEMA)  # type: ignore[arg-type]


def with_groups(hits: pl.DataFrame, phrases: Sequence[Phrase], rules: AffinityRules) -> pl.DataFrame:
    """Hits, and what each text says of each group and of the brand: `text_id`, `key`, `evidence`.

    Keys are places of phrases; after them, in the order of `GROUPS`, the groups.
    """
    groups = np.array([GROUPS.index(phrase.group) for phrase in phrases], dtype=np.int64)
    weights = np.array([phrase.weight for phrase in phrases], dtype=np.float64)
    shares = np.array([rules.weight_of(group) for group in GROUPS])
    place = hits["phrase"].to_numpy()
    weighed = hits["evidence"].to_numpy() * weights[place]
    by_group = pl.DataFrame(
        {"text_id": hits["text_id"], "key": len(phrases) + groups[place], "evidence": weighed}
    ).filter(pl.col("key") < len(phrases) + GROUPS.index("brand"))
    brand = pl.DataFrame({"text_id": hits["text_id"], "evidence": weighed * shares[groups[place]]}).select(
        "text_id", key=pl.lit(len(phrases) + GROUPS.index("brand"), pl.Int64), evidence="evidence"
    )
    grouped = pl.concat([by_group, brand]).group_by("text_id", "key").agg(pl.col("evidence").max())
    return pl.concat([hits.rename({"phrase": "key"}), grouped]).sort("text_id", "key")


def evidence_of_people(contact_texts: pl.DataFrame, keyed_hits: pl.DataFrame) -> pl.DataFrame:
    """What the texts of people come to, per person and key.

    Args:
        contact_texts: `person` (Int64), `text_id`, `source`, `weight`; a row per person, text and source.
        keyed_hits: what `with_groups` made.

    Returns:
        `EVIDENCE_SCHEMA`: evidence above 0, and the texts that brought most of it, the strongest first.
    """
    pieces = range(PIECES)
    return (
        contact_texts.join(keyed_hits, on="text_id")
        .with_columns(evidence=(pl.col("weight") * pl.col("evidence")).round(6))
        .sort("person", "key", "evidence", "text_id", "source", descending=[False, False, True, False, False])
        .group_by("person", "key", maintain_order=True)
        .agg(
            pl.col("evidence").sum(),
            *(pl.col("text_id").get(piece, null_on_oob=True).alias(f"text_{piece + 1}") for piece in pieces),
            *(pl.col("source").get(piece, null_on_oob=True).alias(f"source_{piece + 1}") for piece in pieces),
        )
        .filter(pl.col("evidence") > 0)
        .select(list(EVIDENCE_SCHEMA))
    )


def scores_of_people(
    evidence: pl.DataFrame, texts_per_person: np.ndarray, phrases: Sequence[Phrase], rules: AffinityRules
) -> pl.DataFrame:
    """Scores on the common scale, and where each stands among all people with enough text.

    Args:
        evidence: what `evidence_of_people` made, of all people.
        texts_per_person: how many different texts each person has.
        phrases: the phrases, as in the hits.
        rules: how evidence becomes scores.

    Returns:
        `SCORE_SCHEMA`, in the order of people: a row per group and person, with a score or why there is none, and a
        row for each of a person's strongest phrases. `percentile` is the share of people with a lower score plus half
        of those with the same, in percent.
    """
    judged = texts_per_person >= rules.minimum_texts
    people = int(judged.sum())
    # Scores and places of rows alone: the texts and sources of millions of rows are carried over once, at the end.
    told = (
        evidence.select("person", "key", "evidence", row=pl.int_range(pl.len(), dtype=pl.UInt32))
        .filter(pl.lit(pl.Series(judged)).gather(pl.col("person")))
        .select("person", "key", "row", score=(1 - 2.0 ** -pl.col("evidence")).round(4))
        .filter(pl.col("score") > 0)
        .with_columns(
            percentile=((people - pl.len() + pl.col("score").rank("average") - 0.5) / max(people, 1) * 100)
            .over("key")
            .round(2)
        )
    )
    strongest = (
        told.filter(pl.col("key") < len(phrases))
        .sort("person", "score", "key", descending=[False, True, False])
        .filter(pl.int_range(pl.len()).over("person") < rules.most_phrases)
    )
    names = pl.DataFrame(
        {
            "key": np.arange(len(phrases) + len(GROUPS)),
            "phrase_group": [*(phrase.group for phrase in phrases), *GROUPS],
            "phrase": [*(phrase.text for phrase in phrases), *(None for _ in GROUPS)],
        },
        schema_overrides={"phrase": pl.String},
    )
    groups = _group_rows(told, judged, texts_per_person, len(phrases), rules)
    rows = (
        pl.concat([groups, strongest], how="diagonal")
        .sort("person", "key")
        .join(names, on="key", how="left", maintain_order="left")
    )
    pieces = [name for name in EVIDENCE_SCHEMA if name.startswith(("text_", "source_"))]
    return (
        rows.with_columns(evidence[name].gather(rows["row"]) for name in pieces)
        .select(list(SCORE_SCHEMA))
        .cast(SCORE_SCHEMA)  # type: ignore[arg-type]
    )


def _group_rows(
    told: pl.DataFrame, judged: np.ndarray, texts_per_person: np.ndarray, phrases: int, rules: AffinityRules
) -> pl.DataFrame:
    """A row per person and group: the score, zero, or why nothing is said."""
    people = len(judged)
    everybody = pl.DataFrame(
        {
            "person": np.repeat(np.arange(people), len(GROUPS)),
            "key": np.tile(np.arange(phrases, phrases + len(GROUPS)), people),
            "texts": np.repeat(texts_per_person, len(GROUPS)).astype(np.int64),
        }
    )
    scored = told.filter(pl.col("key") >= phrases)
    above_zero = scored.group_by("key").agg(above=pl.len())
    enough = pl.col("texts") >= rules.minimum_texts
    with_zero = int(judged.sum()) - pl.col("above").fill_null(0)
    return (
        everybody.join(scored, on=["person", "key"], how="left", maintain_order="left")
        .join(above_zero, on="key", how="left", maintain_order="left")
        .with_columns(
            score=pl.when(enough).then(pl.col("score").fill_null(0.0)),
            percentile=pl.when(enough).then(
                pl.col("percentile").fill_null((with_zero / 2 / max(int(judged.sum()), 1) * 100).round(2))
            ),
            abstained_reason=pl.when(pl.col("texts") == 0)
            .then(pl.lit("there is no text"))
            .when(~enough)
            .then(pl.format(f"too little text: {{}} of {rules.minimum_texts} texts", "texts")),
        )
        .drop("texts", "above")
    )

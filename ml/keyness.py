"""Which words and word groups stand out: of one body of text against another, and as fixed companions.

What belongs here: counting word groups, and the measures. Where texts come from, and what is proposed, stands in
`orchestration/phrase_suggestions.py`.

Keyness is Dunning's log-likelihood ("Accurate methods for the statistics of surprise and coincidence", 1993), the
strength of it the log-odds ratio with an informative prior (Monroe, Colaresi and Quinn, "Fightin' words", 2008), in
standard errors.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from ml.phrases import words_of

LONGEST = 3
# Words that hold others together and are no subject, beyond English.
FUNCTION_WORDS = ENGLISH_STOP_WORDS | frozenset(
    (
        "der die das den dem des ein eine einen einem einer und oder aber mit von zu zum zur im in an am auf für "
        "bei aus nach ist sind war wie was wer wir ihr sie er es ich uns unsere unser nicht auch als so noch nur "
        "über um le la les un une du de et ou mais avec pour par dans sur au aux ce cette est sont nous vous ils "
        "elle il que qui ne pas plus el los las uno una y o con por para en del al son su sus lo se no más gli i "
        "e ma per nel della dei di che è sono het een van of met voor op te zijn is niet dat deze can't don't "
        "it's i'm"
    ).split()
)
_IS_SUBJECT = r"^[\p{L}][\p{L}'-]+$"


def word_groups(texts: pl.DataFrame, longest: int = LONGEST) -> pl.DataFrame:
    """The word groups of texts within their clauses, beginning and ending with words that can be a subject.

    Args:
        texts: `text`, and columns of counts, which are added up over the texts a group stands in.
        longest: words of the longest group.

    Returns:
        `group`, `words` (how many), `texts` (how many texts have it), and the counts; a row per group, in order.
    """
    counts = [name for name in texts.columns if name != "text"]
    words = words_of(texts["text"])
    if not len(words.word):
        schema = {"group": pl.String, "words": pl.Int64, "texts": pl.Int64} | dict.fromkeys(counts, pl.Int64)
        return pl.DataFrame(schema=schema)
    can_be_edge = (
        words.vocabulary.str.contains(_IS_SUBJECT)
        & ~words.vocabulary.is_in(pl.Series(sorted(FUNCTION_WORDS)).implode())
    ).to_numpy()
    parts = []
    for length in range(1, longest + 1):
        last = len(words.word) - length + 1
        if last <= 0:
            break
        starts = np.arange(last)
        ends = starts + length - 1
        kept = can_be_edge[words.word[starts]] & can_be_edge[words.word[ends]]
        kept &= words.clause[starts] == words.clause[ends]
        starts = starts[kept]
        spelled = [words.vocabulary.gather(words.word[starts + step]) for step in range(length)]
        group = pl.DataFrame({f"word_{step}": one for step, one in enumerate(spelled)}).select(
            group=pl.concat_str(pl.all(), separator=" ")
        )["group"]
        parts.append(pl.DataFrame({"group": group, "text": words.text[starts], "words": np.full(len(starts), length)}))
    found = pl.concat(parts).unique(["group", "text"])
    numbered = texts.select(counts).with_row_index("text").cast({"text": pl.Int64})
    return (
        found.join(numbered, on="text")
        .group_by("group")
        .agg(pl.col("words").first(), pl.len().cast(pl.Int64).alias("texts"), *(pl.col(name).sum() for name in counts))
        .sort("group")
    )


def log_likelihood(focus: pl.Expr, background: pl.Expr, focus_total: int, background_total: int) -> pl.Expr:
    """Dunning's G² of a group's frequency in one body against another, negative where it is rarer in the focus.

    From 10.8 on chance brings it once in a thousand; with many groups tested, ask for more.
    """
    together = focus + background
    total = max(focus_total + background_total, 1)
    expected_focus, expected_background = together * (focus_total / total), together * (background_total / total)
    squared = 2 * (_surprise(focus, expected_focus) + _surprise(background, expected_background))
    return pl.when(focus >= expected_focus).then(squared).otherwise(-squared)


def log_odds(focus: pl.Expr, background: pl.Expr, focus_total: int, background_total: int) -> pl.Expr:
    """How much more frequent a group is in the focus, as log-odds in standard errors; beyond 3 it is hardly chance.

    The prior is what both bodies say together, worth a hundredth of it: a group seen once does not stand out.
    """
    prior = (focus + background) * 0.01 + 0.01
    total = 0.01 * (focus_total + background_total) + 1
    first, second = focus + prior, background + prior
    rest_first = (pl.lit(float(focus_total)) + total - first).clip(1.0)
    rest_second = (pl.lit(float(background_total)) + total - second).clip(1.0)
    difference = (first / rest_first).log() - (second / rest_second).log()
    return difference / (1 / first + 1 / second).sqrt()


def cohesion(groups: pl.DataFrame, count: str, total: int) -> pl.DataFrame:
    """How much more often the words of a group stand together than chance would bring them, in bits per step.

    Pointwise mutual information, by documents; null for single words.

    Args:
        groups: what `word_groups` made.
        count: the column of counts it is told by.
        total: what the counts of all texts come to.
    """
    single = groups.filter(pl.col("words") == 1).select(word="group", alone=pl.col(count))
    total = max(total, 1)
    of_words = (
        groups.filter(pl.col("words") > 1)
        .select("group", "words", pl.col(count).alias("together"), word=pl.col("group").str.split(" "))
        .explode("word")
        .join(single, on="word", how="left")
        .group_by("group")
        .agg(
            pl.col("together").first(),
            pl.col("words").first(),
            expected=(pl.col("alone").fill_null(total) / total).log(2).sum(),
        )
        .select("group", cohesion=((pl.col("together") / total).log(2) - pl.col("expected")) / (pl.col("words") - 1))
    )
    return groups.join(of_words, on="group", how="left", maintain_order="left")


def _surprise(seen: pl.Expr, expected: pl.Expr) -> pl.Expr:
    return pl.when(seen > 0).then(seen * (seen / expected).log()).otherwise(0.0)

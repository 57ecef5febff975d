"""Words of texts, and which phrases stand in them.

What belongs here: what a word is, how words are inflected, and exact matching. A phrase is found as whole words in any
inflection, so *intern* is not found in *internal*; the text is passed once per length of a phrase, however many phrases
there are. How alike a text and a phrase are that share no words stands in `lexical_similarity.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

# Endings that inflect a word without making another of it, longest first, and the letters that have to be left.
INFLECTIONS: dict[str, tuple[int, tuple[str, ...]]] = {
    "en": (3, ("ings", "ing", "ies", "ied", "'s", "ed", "es", "e", "s", "y")),
    "de": (4, ("ern", "em", "en", "er", "es", "e", "n", "s")),
    "fr": (4, ("ées", "ée", "és", "es", "er", "é", "e", "s", "x")),
    "es": (4, ("as", "os", "es", "ar", "a", "o", "e", "s")),
    "it": (4, ("are", "a", "e", "i", "o")),
    "nl": (4, ("en", "es", "s", "e", "n")),
}
LANGUAGES = tuple(INFLECTIONS)
NEGATIONS: dict[str, str] = {
    "en": (
        "no not never without neither nor none nobody cannot can't don't doesn't didn't won't wouldn't isn't "
        "aren't wasn't weren't haven't hasn't hadn't former formerly ex"
    ),
    "de": (
        "nicht kein keine keinen keinem keiner keines nie niemals ohne weder ehemals "
        "ehemalige ehemaliger ehemaligen früher"
    ),
    "fr": "pas jamais sans aucun aucune ni ancien ancienne",
    "es": "no nunca jamás sin ningún ninguna ni tampoco ex",
    "it": "non mai senza nessun nessuna né ex",
    "nl": "niet geen nooit zonder noch voormalig voormalige",
}
NEGATION_REACHES = 4
"""Words before a phrase, within one clause, in which a negation turns it round: *no longer an engineer*."""
LONGEST_PHRASE = 8
_WORD_OR_END = r"[\p{L}\p{N}]+(?:['’][\p{L}]+)*|[.,;:!?()\[\]|•\n]"
_NOT_PLURAL = frozenset({"news", "series", "business", "always", "previous", "analysis", "sales", "this", "these"})
_HASH_FACTOR = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Phrase:
    """A phrase that shows that somebody cares.

    Attributes:
        group: `trigger`, `event`, `target` or `brand`.
        text: the phrase as a marketer writes it.
        weight: what it counts for in its group, above 0.
        language: whose inflections it has, one of `LANGUAGES`.
        examples: texts that say the same in other words.
    """

    group: str
    text: str
    weight: float = 1.0
    language: str = "en"
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class Words:
    """The words of many texts, one after the other.

    Attributes:
        vocabulary: each distinct word, in lower case, in the order of the alphabet.
        word: place in the vocabulary of every word of every text.
        text: which text the word stands in.
        clause: number of the clause it stands in; no two texts share one.
        texts: how many texts there are.
    """

    vocabulary: pl.Series
    word: np.ndarray
    text: np.ndarray
    clause: np.ndarray
    texts: int

    @cached_property
    def counts(self) -> np.ndarray:
        """Words per text."""
        return np.bincount(self.text, minlength=self.texts)


def words_of(texts: pl.Series) -> Words:
    """The words of texts; signs end a clause and are no words.

    Examples:
        >>> words_of(pl.Series(["New job, at Acme"])).vocabulary.to_list()
        ['acme', 'at', 'job', 'new']
    """
    folded = texts.cast(pl.String).str.normalize("NFKC").str.to_lowercase().str.replace_all("’", "'", literal=True)
    found = pl.DataFrame({"text": np.arange(len(texts)), "word": folded.str.extract_all(_WORD_OR_END)})
    found = found.explode("word").drop_nulls("word")
    is_word = found["word"].str.contains(r"^[\p{L}\p{N}]")
    text = found["text"].to_numpy()
    begins = np.ones(len(text), dtype=bool)
    begins[1:] = text[1:] != text[:-1]
    clause = np.cumsum(begins | ~is_word.to_numpy())
    kept = found.filter(is_word)
    vocabulary = kept["word"].unique().sort()
    places = pl.DataFrame({"word": vocabulary, "place": np.arange(len(vocabulary))})
    word = kept.select("word").join(places, on="word", how="left", maintain_order="left")["place"].to_numpy()
    return Words(vocabulary, word, kept["text"].to_numpy(), clause[is_word.to_numpy()], len(texts))


def words_by_text(texts: Sequence[str]) -> list[list[str]]:
    """The words of each of some texts, in their order.

    Examples:
        >>> words_by_text(["New job!", "", "at Acme"])
        [['new', 'job'], [], ['at', 'acme']]
    """
    words = words_of(pl.Series(list(texts), dtype=pl.String))
    found: list[list[str]] = [[] for _ in texts]
    for word, text in zip(words.vocabulary.gather(words.word), words.text, strict=True):
        found[text].append(word)
    return found


def stem(word: str, language: str = "en") -> str:
    """A word without its inflection.

    Light on purpose: endings that make another word of it (*internal*, *engineer* of *engine*) stay.

    Examples:
        >>> stem("jobs"), stem("moving"), stem("moved"), stem("companies"), stem("internal"), stem("business")
        ('job', 'mov', 'mov', 'compan', 'internal', 'business')
    """
    least, endings = INFLECTIONS[language]
    if word in _NOT_PLURAL:
        return word
    for ending in endings:
        kept = word[: -len(ending)]
        if not word.endswith(ending) or len(kept) < least:
            continue
        if language == "en":
            if ending == "s" and kept[-1] in "su":
                continue
            if ending in ("ing", "ings", "ed") and not set(kept) & set("aeiouy"):
                continue
            if ending in ("ing", "ings", "ed") and len(kept) > 3 and kept[-1] == kept[-2] and kept[-1] not in "lsz":
                return kept[:-1]
        return kept
    return word


def find_phrases(words: Words, phrases: Sequence[Phrase]) -> pl.DataFrame:
    """Every phrase that stands in a text as whole words, in any inflection.

    Args:
        words: the words of the texts.
        phrases: what is looked for; words of other languages are compared as they are.

    Returns:
        `text` and `phrase` (places, Int64), `is_negated`: whether it stands there only after a negation. A row per
        text and phrase, in order.
    """
    found = []
    for language in sorted({phrase.language for phrase in phrases}):
        mine = [number for number, phrase in enumerate(phrases) if phrase.language == language]
        found += _find_in_one_language(words, phrases, mine, language)
    if not found:
        return pl.DataFrame(schema={"text": pl.Int64, "phrase": pl.Int64, "is_negated": pl.Boolean})
    return pl.concat(found).group_by("text", "phrase").agg(is_negated=pl.col("is_negated").all()).sort("text", "phrase")


def negated_words(words: Words, language: str) -> np.ndarray:
    """Whether a negation stands shortly before each word, in its clause."""
    listed = pl.Series(NEGATIONS[language].split())
    negates = words.vocabulary.is_in(listed.implode()).to_numpy()[words.word]
    negated = np.zeros(len(words.word), dtype=bool)
    for back in range(1, NEGATION_REACHES + 1):
        negated[back:] |= negates[:-back] & (words.clause[back:] == words.clause[:-back])
    return negated


def _find_in_one_language(
    words: Words, phrases: Sequence[Phrase], mine: list[int], language: str
) -> list[pl.DataFrame]:
    stems = {each: stem(each, language) for each in words.vocabulary}
    numbers: dict[str, int] = {}
    of_vocabulary = np.array([numbers.setdefault(one, len(numbers) + 1) for one in stems.values()], dtype=np.uint64)
    by_length: dict[int, dict[int, list[int]]] = {}
    for number, spelled in zip(mine, words_by_text([phrases[number].text for number in mine]), strict=True):
        parts = [stem(word, language) for word in spelled]
        if parts and all(part in numbers for part in parts):
            key = _hash(np.array([[numbers[part] for part in parts]], dtype=np.uint64))[0]
            by_length.setdefault(len(parts), {}).setdefault(int(key), []).append(number)
    if not by_length or not len(words.word):
        return []
    flat, negated = of_vocabulary[words.word], negated_words(words, language)
    found = []
    for length, wanted in by_length.items():
        if len(flat) < length:
            continue
        windows = np.lib.stride_tricks.sliding_window_view(flat, length)
        keys = _hash(windows)
        hits = np.flatnonzero(np.isin(keys, np.fromiter(wanted, dtype=np.uint64, count=len(wanted))))
        hits = hits[words.clause[hits] == words.clause[hits + length - 1]]
        for place in hits:
            for number in wanted[int(keys[place])]:
                found.append((words.text[place], number, negated[place]))
    if not found:
        return []
    schema = {"text": pl.Int64, "phrase": pl.Int64, "is_negated": pl.Boolean}
    return [pl.DataFrame(found, schema=schema, orient="row")]


def _hash(rows: np.ndarray) -> np.ndarray:
    """A number of 64 bits per row; among some thousand phrases two do not meet."""
    key = np.zeros(len(rows), dtype=np.uint64)
    with np.errstate(over="ignore"):
        for column in range(rows.shape[1]):
            key = (key ^ rows[:, column]) * _HASH_FACTOR
            key ^= key >> np.uint64(29)
    return key

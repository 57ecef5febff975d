"""How alike a text and a phrase are by what their words mean, on top of the words they share.

What belongs here: vectors of texts and phrases from vectors of tokens that somebody hands in, their cosines, and one
similarity out of both. Words and related words stand in `lexical_similarity.py`; files of vectors are read elsewhere.

A text's vector is the mean of its tokens' vectors, of length one, less the mean of the company's own texts: what all
of them have in common tells no two phrases apart (Mu and Viswanath, "All-but-the-Top", ICLR 2018). Sums are made per
distinct word, so a text costs a few additions. What shared words say (`WORDS_SAY`) and what the cosine says
(`MEANING_SAYS`) come together as independent evidence does: 1 - (1 - words)(1 - meaning). Both are probabilities, so
their union means what a lexical similarity means: about that share of such pairs belong together on public data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
import scipy.sparse as sp

from ml.lexical_similarity import BATCH, FEWEST_TEXTS, SimilarityModel
from ml.phrases import Phrase, Words, words_of

LANGUAGE = "en"
"""The language whose phrases are compared by meaning; vectors were measured for no other."""
WORDS_SAY = {0.0: 0.0, 0.1: 0.002, 0.2: 0.02, 0.4: 0.08, 0.6: 0.14, 0.8: 0.25, 1.0: 0.4}
"""What a lexical similarity says beside a cosine, with straight lines between."""
MEANING_SAYS = {
    0.0: 0.0,
    0.1: 0.002,
    0.2: 0.017,
    0.3: 0.08,
    0.4: 0.16,
    0.5: 0.33,
    0.6: 0.56,
    0.7: 0.66,
    0.8: 0.76,
    1.0: 0.94,
}
"""What a cosine says. Both are fitted together, by likelihood, to whether the 3,000 validation messages of CLINC150
belong to each of its 150 intents, by their names; docs/affinity.md shows what that comes to on the test messages."""
PHRASE_COUNTS = 3.0
"""How many of its examples a phrase counts for, as with its words."""
TEXTS_AT_A_TIME = 10_000
DIGITS = 6
"""Products are rounded to so many digits, so that the order of their sums does not show."""


@dataclass(frozen=True)
class WordVectors:
    """What a text's vector is made of.

    Attributes:
        vectors: tokens x dimensions, float32.
        tokens_of: the numbers of the tokens of words, one word after the other, and how many tokens each word has.
    """

    vectors: np.ndarray
    tokens_of: Callable[[Sequence[str]], tuple[np.ndarray, np.ndarray]]

    def sums(self, words: Sequence[str]) -> np.ndarray:
        """The sum of each word's tokens: words x dimensions, float32."""
        tokens, counts = self.tokens_of(words)
        ends = np.cumsum(counts)
        rows = sp.csr_matrix(
            (np.ones(len(tokens), dtype=np.float32), tokens, np.concatenate([[0], ends])),
            shape=(len(words), len(self.vectors)),
        )
        return np.asarray(rows @ self.vectors)


@dataclass(frozen=True)
class SemanticModel:
    """Similarities by words and by meaning.

    Attributes:
        lexical: similarities by words.
        centre: the mean of the company's texts, one number per dimension; zeros where it has too few of them.
        phrases: what texts are compared with, in the order of `lexical`.
        vectors: where the vectors of words come from.
        is_refused: whether a word must say nothing by its meaning.
    """

    lexical: SimilarityModel
    centre: tuple[float, ...]
    phrases: tuple[Phrase, ...]
    vectors: WordVectors
    is_refused: Callable[[str], bool] = lambda word: False

    @classmethod
    def learn(
        cls,
        texts: pl.Series,
        phrases: Sequence[Phrase],
        vectors: WordVectors,
        is_refused: Callable[[str], bool] = lambda word: False,
    ) -> SemanticModel:
        """Learn weights and related words, and what the company's texts have in common.

        Args:
            texts: distinct texts of the company.
            phrases: what texts will be compared with.
            vectors: vectors of words.
            is_refused: whether a word must not be related to any phrase, neither by texts nor by meaning.
        """
        lexical = SimilarityModel.learn(texts, phrases, is_refused)
        centre = np.zeros(vectors.vectors.shape[1])
        if len(texts) >= FEWEST_TEXTS:
            words = words_of(texts)
            sums = _without_refused(vectors.sums(words.vocabulary.to_list()), words.vocabulary, is_refused)
            centre = _normalized(_counts(words) @ sums).mean(axis=0, dtype=np.float64)
        return cls(lexical, tuple(round(float(one), DIGITS) for one in centre), tuple(phrases), vectors, is_refused)

    def similarities(self, words: Words) -> Iterator[tuple[int, np.ndarray]]:
        """Batches of texts against all phrases.

        Args:
            words: the words of the texts.

        Yields:
            the place of a batch's first text, and its similarities (texts x phrases, 0 to 1). A text's do not depend
            on the texts beside it. Phrases of other languages than `LANGUAGE` have their lexical ones.
        """
        meant = np.array([phrase.language == LANGUAGE for phrase in self.phrases], dtype=bool)
        if not words.texts or not meant.any():
            yield from self.lexical.similarities(words)
            return
        sums = _without_refused(self.vectors.sums(words.vocabulary.to_list()), words.vocabulary, self.is_refused)
        # What a word brings to the products with phrases (and, last, with the centre) is worked out once.
        against = np.column_stack([self.phrase_vectors[meant].T, self.centre])
        products, counts = _products(sums, against), _counts(words)
        for first, told in self.lexical.similarities(words):
            for start in range(0, len(told), TEXTS_AT_A_TIME):
                part = slice(start, min(start + TEXTS_AT_A_TIME, len(told)))
                texts = counts[first + part.start : first + part.stop]
                cosines = _cosines(texts @ products, texts @ sums, np.array(self.centre) @ against)
                told[part, meant] = _together(told[part, meant], cosines)
            yield first, told

    @cached_property
    def phrase_vectors(self) -> np.ndarray:
        """Phrases x dimensions, each of length one: the phrase and its examples, less the centre."""
        said = [text for phrase in self.phrases for text in (phrase.text, *phrase.examples)]
        words = words_of(pl.Series(said, dtype=pl.String))
        texts = _normalized(_counts(words) @ self.vectors.sums(words.vocabulary.to_list())).astype(np.float64)
        texts = _normalized(texts - np.array(self.centre))
        weight = np.concatenate([[PHRASE_COUNTS, *(1.0 for _ in phrase.examples)] for phrase in self.phrases])
        begins = np.cumsum([0, *(1 + len(phrase.examples) for phrase in self.phrases)])[:-1]
        return _normalized(np.add.reduceat(texts * weight[:, None], begins, axis=0))

    def as_plain(self) -> dict[str, Any]:
        """What was learned, as JSON can hold it."""
        return self.lexical.as_plain() | {"centre": list(self.centre)}

    @classmethod
    def from_plain(
        cls,
        plain: Mapping[str, Any],
        phrases: Sequence[Phrase],
        vectors: WordVectors,
        is_refused: Callable[[str], bool] = lambda word: False,
    ) -> SemanticModel:
        """The model that `as_plain` told, over the same phrases and vectors."""
        return cls(SimilarityModel.from_plain(plain), tuple(plain["centre"]), tuple(phrases), vectors, is_refused)


def _without_refused(sums: np.ndarray, vocabulary: pl.Series, is_refused: Callable[[str], bool]) -> np.ndarray:
    """The sums of words, nothing for those that must say nothing."""
    sums[np.array([is_refused(word) for word in vocabulary], dtype=bool)] = 0
    return sums


def _counts(words: Words) -> sp.csr_matrix:
    """Texts x words: how often each word stands in each text."""
    starts = np.searchsorted(words.text, np.arange(words.texts + 1))
    ones = np.ones(len(words.word), dtype=np.float32)
    return sp.csr_matrix((ones, words.word, starts), shape=(words.texts, len(words.vocabulary)))


def _products(sums: np.ndarray, against: np.ndarray) -> np.ndarray:
    """Words x phrases, float32: products in double precision, some words at a time."""
    products = np.empty((len(sums), against.shape[1]), dtype=np.float32)
    for first in range(0, len(sums), BATCH):
        part = sums[first : first + BATCH].astype(np.float64) @ against
        products[first : first + BATCH] = part.round(DIGITS)
    return products


def _cosines(products: np.ndarray, sums: np.ndarray, of_centre: np.ndarray) -> np.ndarray:
    """Texts against phrases, less the centre; 0 where a text has no word with a vector.

    Args:
        products: what each text's sum comes to with each phrase and, last, with the centre.
        sums: each text's sum.
        of_centre: what the centre comes to with each phrase and, last, with itself.
    """
    length = np.linalg.norm(sums, axis=1)[:, None]
    products = products / np.where(length > 0, length, 1)
    # |text - centre|, for a text of length one
    apart = np.sqrt(np.maximum(1 - 2 * products[:, -1:] + of_centre[-1], 1e-6))
    return np.asarray(np.where(length > 0, (products[:, :-1] - of_centre[:-1]) / apart, 0))


def _together(lexical: np.ndarray, cosines: np.ndarray) -> np.ndarray:
    """The chance that either tells the truth."""
    words = np.interp(lexical, list(WORDS_SAY), list(WORDS_SAY.values()))
    meaning = np.interp(cosines, list(MEANING_SAYS), list(MEANING_SAYS.values()))
    return np.asarray(1 - (1 - words) * (1 - meaning))


def _normalized(rows: np.ndarray) -> np.ndarray:
    """Rows of length one; a row of zeros stays."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(length > 0, length, 1))

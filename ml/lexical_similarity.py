"""How alike a text and a phrase are by their words, whatever they share exactly.

What belongs here: weights of words, words related to a phrase, and similarities of many texts at once. Exact matches
stand in `phrases.py`.

A word of a text meets a word of a phrase by the parts of three to five letters they share (cosine; McNamee and
Mayfield, "Character n-gram tokenization for European language text retrieval", 2004), and only from `ALIKE` on:
*engineer* and *engineering* meet (0.72), *intern* and *internal* (0.68) do not. Words count the more the fewer texts
they stand in (inverse document frequency). A phrase takes in words of the company's texts that are most like it
(pseudo-relevance feedback; Rocchio, 1971): that is how *pto request* learns of *vacation*. All of it is worked out
per distinct word, so a million texts cost little more than looking their words up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import scipy.sparse as sp
from sklearn.feature_extraction.text import HashingVectorizer

from ml.phrases import Phrase, Words, words_by_text, words_of

ALIKE = 0.7
"""Cosine from which on two words are taken for forms of one."""
FEEDBACK_TEXTS = 100
"""The texts most like a phrase that words are taken from."""
RELATED_WORDS = 80
FEEDBACK_WEIGHT = 2.0
"""What the related words together weigh against the words of the phrase."""
FEWEST_TEXTS = 1000
"""Texts to learn from; fewer say too little of which words belong together."""
FEWEST_TEXTS_OF_A_WORD = 3
"""A related word stands in so many texts at least: a name that somebody mentions once is none."""
SHORTEST = 3
"""Letters of a related word."""
WEIGHED_WORDS = 20_000
BATCH = 50_000
_PARTS = HashingVectorizer(analyzer="char_wb", ngram_range=(3, 5), n_features=2**20, norm="l2", alternate_sign=False)


@dataclass(frozen=True)
class SimilarityModel:
    """What similarities are made of: plain numbers.

    Attributes:
        word_weights: weight of each frequent word, 0 to 1; others weigh 1, since few texts have them.
        phrase_words: per phrase its words and related words with their weights; their squares sum to one.
    """

    word_weights: dict[str, float]
    phrase_words: tuple[dict[str, float], ...]

    @classmethod
    def learn(
        cls, texts: pl.Series, phrases: Sequence[Phrase], is_refused: Callable[[str], bool] = lambda word: False
    ) -> SimilarityModel:
        """Learn weights and related words.

        Args:
            texts: distinct texts of the company.
            phrases: what texts will be compared with.
            is_refused: whether a word must not be related to any phrase.
        """
        words = words_of(texts)
        weights = _word_weights(words)
        own = _own_words(phrases, weights)
        if len(texts) < FEWEST_TEXTS:
            return cls(weights, tuple(own))
        bags = _bags(words, weights)
        refused = np.array([len(word) < SHORTEST or word.isdigit() or is_refused(word) for word in words.vocabulary])
        refused |= np.asarray((bags > 0).sum(axis=0)).ravel() < FEWEST_TEXTS_OF_A_WORD
        near = bags @ _word_matrix(words.vocabulary, own)
        by_text = bags.tocsr()
        return cls(
            weights,
            tuple(
                _with_related(one, near[:, number], by_text, refused, words.vocabulary)
                for number, one in enumerate(own)
            ),
        )

    def similarities(self, words: Words) -> Iterator[tuple[int, np.ndarray]]:
        """Batches of texts against all phrases.

        Args:
            words: the words of the texts.

        Yields:
            the place of a batch's first text, and its similarities (texts x phrases, 0 to 1). A text's do not depend
            on the texts beside it.
        """
        if not words.texts:
            return
        matrix = _word_matrix(words.vocabulary, self.phrase_words)
        bags = _bags(words, self.word_weights)
        for first in range(0, words.texts, BATCH):
            yield first, np.minimum(bags[first : first + BATCH] @ matrix, 1.0)

    def related(self, number: int, most: int = 10) -> list[str]:
        """The words that weigh most for a phrase, for people to read."""
        ranked = sorted(self.phrase_words[number].items(), key=lambda item: (-item[1], item[0]))
        return [word for word, _ in ranked[:most]]

    def as_plain(self) -> dict[str, Any]:
        """The model as JSON can hold it."""
        return {"word_weights": self.word_weights, "phrase_words": list(self.phrase_words)}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> SimilarityModel:
        """The model that `as_plain` told."""
        return cls(dict(plain["word_weights"]), tuple(dict(one) for one in plain["phrase_words"]))


def _word_weights(words: Words) -> dict[str, float]:
    """How rare each word is, from 0 (in every text) to 1; the most frequent, since all others weigh nearly one."""
    if not words.texts:
        return {}
    pairs = np.unique(words.text * np.int64(len(words.vocabulary)) + words.word)
    frequency = np.bincount(pairs % len(words.vocabulary), minlength=len(words.vocabulary))
    weight = np.log((1 + words.texts) / (1 + frequency)) / np.log((1 + words.texts) / 2)
    order = np.lexsort((np.arange(len(frequency)), -frequency))[:WEIGHED_WORDS]
    return {words.vocabulary[int(place)]: round(float(weight[place]), 4) for place in order if frequency[place] > 1}


def _own_words(phrases: Sequence[Phrase], weights: Mapping[str, float]) -> list[dict[str, float]]:
    """The words of each phrase and of its examples: the phrase counts for as much as three of them."""
    spelled = iter(words_by_text([text for phrase in phrases for text in (phrase.text, *phrase.examples)]))
    own = []
    for phrase in phrases:
        total: dict[str, float] = {}
        for times in (3.0, *(1.0 for _ in phrase.examples)):
            vector = {word: weights.get(word, 1.0) for word in sorted(set(next(spelled)))}
            norm = _norm(vector)
            for word, weight in vector.items():
                total[word] = total.get(word, 0.0) + times * weight / norm
        own.append(_normalized(total))
    return own


def _with_related(
    own: dict[str, float], near: np.ndarray, bags: sp.csr_matrix, refused: np.ndarray, vocabulary: pl.Series
) -> dict[str, float]:
    """A phrase's words and those of the texts most like it."""
    top = np.lexsort((np.arange(len(near)), -near))[:FEEDBACK_TEXTS]
    top = top[near[top] > 0]
    if not len(top):
        return own
    share = near[top] / near[top].sum()
    mean = np.asarray(bags[top].multiply(share[:, None]).sum(axis=0)).ravel()
    mean[refused] = 0
    chosen = np.lexsort((np.arange(len(mean)), -mean))[:RELATED_WORDS]
    chosen = chosen[mean[chosen] > 0]
    total = dict(own)
    norm = float(np.linalg.norm(mean[chosen])) or 1.0
    for place in chosen:
        word = vocabulary[int(place)]
        total[word] = total.get(word, 0.0) + FEEDBACK_WEIGHT * float(mean[place]) / norm
    return _normalized(total)


def _bags(words: Words, weights: Mapping[str, float]) -> sp.csr_matrix:
    """Texts x words: each word of a text once, by its weight, each text of length one."""
    weight = np.array([weights.get(word, 1.0) for word in words.vocabulary], dtype=np.float32)
    pairs = np.unique(words.text * np.int64(max(len(words.vocabulary), 1)) + words.word)
    text, word = np.divmod(pairs, max(len(words.vocabulary), 1))
    square = np.bincount(text, weights=weight[word].astype(np.float64) ** 2, minlength=words.texts)
    norm = np.sqrt(np.where(square > 0, square, 1.0))
    value = (weight[word] / norm[text]).astype(np.float32)
    starts = np.searchsorted(text, np.arange(words.texts + 1))
    return sp.csr_matrix((value, word, starts), shape=(words.texts, max(len(words.vocabulary), 1)))


def _word_matrix(vocabulary: pl.Series, phrase_words: Sequence[Mapping[str, float]]) -> np.ndarray:
    """Words x phrases: what each word of the texts brings to each phrase."""
    known = sorted({word for one in phrase_words for word in one})
    if not known or not len(vocabulary):
        return np.zeros((max(len(vocabulary), 1), len(phrase_words)), dtype=np.float32)
    place = {word: number for number, word in enumerate(known)}
    weights = np.zeros((len(known), len(phrase_words)), dtype=np.float32)
    for number, one in enumerate(phrase_words):
        for word, weight in one.items():
            weights[place[word], number] = weight
    parts = _PARTS.transform(known).T.tocsc()
    matrix = np.empty((len(vocabulary), len(phrase_words)), dtype=np.float32)
    for first in range(0, len(vocabulary), BATCH):
        alike = (_PARTS.transform(vocabulary[first : first + BATCH].to_list()) @ parts).tocsr()
        alike.data[alike.data < ALIKE] = 0
        alike.eliminate_zeros()
        alike.sort_indices()
        matrix[first : first + BATCH] = alike.astype(np.float32) @ weights
    return matrix


def _norm(vector: Mapping[str, float]) -> float:
    return float(np.sqrt(sum(weight * weight for weight in vector.values()))) or 1.0


def _normalized(vector: Mapping[str, float]) -> dict[str, float]:
    norm = _norm(vector)
    return {word: round(weight / norm, 5) for word, weight in sorted(vector.items())}

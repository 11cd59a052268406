"""Word n-grams of many texts at once, as numbers."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

UNKNOWN = 0
"""The number of every word that is not in a vocabulary; the others are numbered from 1."""


class Vocabulary:
    """The words that stand in at least `fewest` of some texts, numbered from 1 in the order in which they first occur.

    Args:
        texts: words with white space between.
        fewest: texts that a word must stand in.
    """

    def __init__(self, texts: Sequence[str], fewest: int) -> None:
        seen_in = Counter(word for text in texts for word in dict.fromkeys(text.split()))
        known = (word for word, count in seen_in.items() if count >= fewest)
        self._numbers = {word: number for number, word in enumerate(known, start=UNKNOWN + 1)}

    def __len__(self) -> int:
        return len(self._numbers)

    def numbers(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The numbers of all words of all texts, one text after the other, [W], and how many each text has, [N]."""
        sentences = [text.split() for text in texts]
        numbers = [self._numbers.get(word, UNKNOWN) for words in sentences for word in words]
        return np.array(numbers, dtype=np.int64), np.array([len(words) for words in sentences], dtype=np.int64)


def gram_keys(grams: NDArray[np.int64], n_words: int) -> NDArray[np.int64]:
    """One number for each n-gram, [G, n] -> [G]; different ones for different grams of any length without a 0.

    Args:
        grams: numbers of words, 0 to `n_words` - 1, n of them in a row.
        n_words: at most two million for three words, which then fit 63 bits.
    """
    keys = np.zeros(len(grams), dtype=np.int64)
    for words in grams.T:
        keys = keys * n_words + words
    return keys


class NgramTable:
    """Which word 1- to `longest`-grams a text has, of those that stand in at least `fewest` of the training texts.

    Args:
        texts: the training texts.
        longest: words of the longest gram.
        fewest: texts that a gram must stand in to be a column.
    """

    def __init__(self, texts: Sequence[str], longest: int = 3, fewest: int = 3) -> None:
        self._longest = longest
        self._vocabulary = Vocabulary(texts, fewest)  # a gram is no more frequent than its words
        text_of_gram, keys = self._grams(texts)
        distinct, columns = np.unique(keys, return_inverse=True)
        seen_in = np.bincount(_binary(text_of_gram, columns, (len(texts), len(distinct))).indices)
        self._keys = distinct[seen_in >= fewest]

    def __len__(self) -> int:
        return len(self._keys)

    def matrix(self, texts: Sequence[str]) -> csr_matrix:
        """[N, columns] float64, 1 where a text has a gram, else 0."""
        text_of_gram, keys = self._grams(texts)
        columns = np.searchsorted(self._keys, keys)
        found = columns < len(self._keys)
        found[found] = self._keys[columns[found]] == keys[found]
        return _binary(text_of_gram[found], columns[found], (len(texts), len(self)))

    def _grams(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        # Text and key of each gram of known words: [G] both.
        words, lengths = self._vocabulary.numbers(texts)
        text_of_word = np.repeat(np.arange(len(texts)), lengths)
        every_text, every_key = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
        for length in range(1, min(self._longest, len(words)) + 1):
            grams = np.lib.stride_tricks.sliding_window_view(words, length)
            first, last = text_of_word[: len(grams)], text_of_word[length - 1 :]
            kept = (first == last) & (grams != UNKNOWN).all(axis=1)
            every_text.append(first[kept])
            every_key.append(gram_keys(grams[kept], len(self._vocabulary) + 1))
        return np.concatenate(every_text), np.concatenate(every_key)


def _binary(rows: NDArray[np.int64], columns: NDArray[np.int64], shape: tuple[int, int]) -> csr_matrix:
    matrix = csr_matrix((np.ones(len(rows)), (rows, columns)), shape=shape)  # sums what stands there twice
    matrix.data[:] = 1
    return matrix

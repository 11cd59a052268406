"""The two models that see no image, recomputed: counted with dictionaries, and fitted by Newton's method."""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Sequence

import numpy as np
from datasets import Dataset

_WEIGHTS = (0.1, 0.3, 0.6)
_FLOOR = 1e-9
_START, _END, _UNKNOWN = "<s>", "</s>", "<unk>"

Pair = tuple[str, str]


def fitted_reports(train: Dataset, tested: Collection[str]) -> tuple[list[str], int]:
    """The distinct reports of the training split that are no text of the test, and how many are."""
    distinct = list(dict.fromkeys(train["report"]))
    fitted = [report for report in distinct if report not in tested]
    return fitted, len(distinct) - len(fitted)


class Trigrams:
    """The mean log-probability a token, the end counted: 0.6 of the trigram's, 0.3 of the bigram's, 0.1 of the word's.

    A word of fewer than two reports is unknown, and all such are one word. Two starts stand before a report.
    """

    def __init__(self, reports: Sequence[str]):
        seen_in = Counter(word for report in reports for word in set(report.split()))
        self._known = {word for word, count in seen_in.items() if count >= 2}
        self._grams: Counter[tuple[str, ...]] = Counter()
        self._contexts: Counter[tuple[str, ...]] = Counter()
        for report in reports:
            for trigram in self._trigrams(report):
                for order in (1, 2, 3):
                    self._grams[trigram[-order:]] += 1
                    self._contexts[(str(order), *trigram[3 - order : 2])] += 1

    def score(self, text: str) -> float:
        logarithms = []
        for trigram in self._trigrams(text):
            probability = _FLOOR
            for order, weight in zip((1, 2, 3), _WEIGHTS, strict=True):
                context = self._contexts[(str(order), *trigram[3 - order : 2])]
                probability += weight * self._grams[trigram[-order:]] / context if context else 0.0
            logarithms.append(math.log(probability))
        return math.fsum(logarithms) / len(logarithms)

    def _trigrams(self, text: str) -> list[tuple[str, str, str]]:
        words = [word if word in self._known else _UNKNOWN for word in text.split()]
        padded = [_START, _START, *words, _END]
        return [(padded[place], padded[place + 1], padded[place + 2]) for place in range(len(padded) - 2)]


class Classifier:
    """The log-odds that a text is an original, by which word 1- to 3-grams it has: ridge logistic regression.

    A gram counts that stands in at least three of the training texts. The loss is half the squared norm of the weights
    and the intercept, and 0.1 of the log-losses' sum.
    """

    _COST = 0.1

    def __init__(self, pairs: Iterable[Pair]):
        texts = [text for pair in pairs for text in pair]
        seen_in = Counter(gram for text in texts for gram in _grams(text))
        self._columns = {gram: place for place, gram in enumerate(sorted(g for g, n in seen_in.items() if n >= 3))}
        self._weights = np.zeros(len(self._columns) + 1)
        if self._columns:
            self._fit(np.array([self._row(text) for text in texts]), np.array([1.0, -1.0] * (len(texts) // 2)))

    def score(self, text: str) -> float:
        return math.fsum(self._row(text) * self._weights) if self._columns else 0.0

    def _row(self, text: str) -> list[float]:
        present = _grams(text)
        return [float(gram in present) for gram in self._columns] + [1.0]

    def _fit(self, table: np.ndarray, signs: np.ndarray) -> None:
        for _ in range(60):
            odds = 1 / (1 + np.exp(signs * (table @ self._weights)))  # of the wrong class
            gradient = self._weights - self._COST * table.T @ (signs * odds)
            hessian = np.eye(len(gradient)) + self._COST * (table.T * (odds * (1 - odds))) @ table
            step = np.linalg.solve(hessian, gradient)
            self._weights = self._weights - step
            if np.abs(step).max() < 1e-15:
                return


def _grams(text: str) -> set[tuple[str, ...]]:
    words = text.split()
    return {tuple(words[start : start + n]) for n in (1, 2, 3) for start in range(len(words) - n + 1)}


def edits_of(splits: Iterable[Dataset]) -> dict[str, set[Pair]]:
    """The distinct reports with an edit, by kind."""
    edits: dict[str, set[Pair]] = {}
    for split in splits:
        for row in split.remove_columns("image"):
            for kind, edit in row["counterfactual"].items():
                if edit is not None and edit["text"] is not None:
                    edits.setdefault(kind, set()).add((row["report"], edit["text"]))
    return edits


def blind_gaps(
    reports: Sequence[str], edits: dict[str, set[Pair]], kinds: Sequence[str], pairs: Sequence[Pair]
) -> dict[str, list[float]]:
    """How much each model prefers the report of each pair to its edit; a classifier a kind, of edits of `reports`."""
    trigrams, fitted = Trigrams(reports), set(reports)
    classifiers = {
        kind: Classifier(sorted(pair for pair in edits.get(kind, ()) if pair[0] in fitted)) for kind in set(kinds)
    }
    return {
        "trigram": [trigrams.score(report) - trigrams.score(edit) for report, edit in pairs],
        "ngram": [
            classifiers[kind].score(report) - classifiers[kind].score(edit)
            for kind, (report, edit) in zip(kinds, pairs, strict=True)
        ],
    }

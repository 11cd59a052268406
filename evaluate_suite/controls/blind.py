"""Models that read the report and see no image: what they score, a test asks of language and not of the image.

Two of them. `TrigramModel` knows how reports are worded, and prefers the text that is more probable. `NgramClassifier`
has seen reports beside their edits, and prefers the text that looks less like an edit. Hsieh et al. (SugarCrepe, 2023)
show how far such models get on tests of vision-language models.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from ..counterfactual_pairs import CounterfactualPairs, counterfactual_pairs, edits_by_kind
from . import NotComputable
from .ngrams import NgramTable, Vocabulary, gram_keys

TextPairs = Sequence[tuple[str, str]]
"""(original, edited) texts."""

_TRIGRAM_WEIGHTS = (0.1, 0.3, 0.6)
_FLOOR = 1e-9  # an unknown word need not occur in training
_DIGITS = 12  # the same logarithms summed in another order are a tie
_TEXTS_AT_ONCE = 2**14


class TextScorer(Protocol):
    """A model of texts alone."""

    def scores(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """One score a text, [N] float64, higher = more like an original."""
        ...


class TrigramModel:
    """An interpolated word trigram model: of uni-, bi- and trigram frequency, a tenth, three and six.

    Args:
        reports: normalised, at least one; a word that only one of them has is unknown.

    Raises:
        ValueError: there is no report.
    """

    def __init__(self, reports: Sequence[str]) -> None:
        if not reports:
            raise ValueError("there is no report to fit the trigram model on")
        self._vocabulary = Vocabulary(reports, fewest=2)
        self._start, self._end = len(self._vocabulary) + 1, len(self._vocabulary) + 2
        grams, _ = self._grams(reports)
        self._counts = [_CountTable(self._keys(grams[:, 2 - order :])) for order in range(3)]
        self._contexts = [_CountTable(self._keys(grams[:, 2 - order : 2])) for order in range(3)]

    def scores(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """The mean natural log-probability a word, the end counted as one: [N] float64."""
        blocks = (texts[start : start + _TEXTS_AT_ONCE] for start in range(0, len(texts), _TEXTS_AT_ONCE))
        return np.concatenate([np.zeros(0), *(self._score_block(block) for block in blocks)])

    def _score_block(self, texts: Sequence[str]) -> NDArray[np.float64]:
        grams, n_grams = self._grams(texts)
        probability = np.full(len(grams), _FLOOR)
        for order, weight in enumerate(_TRIGRAM_WEIGHTS):
            counts = self._counts[order].of(self._keys(grams[:, 2 - order :]))
            contexts = self._contexts[order].of(self._keys(grams[:, 2 - order : 2]))
            probability += weight * np.divide(counts, contexts, out=np.zeros(len(grams)), where=contexts > 0)
        text_of_gram = np.repeat(np.arange(len(texts)), n_grams)
        means = np.bincount(text_of_gram, weights=np.log(probability), minlength=len(texts)) / n_grams
        return means.round(_DIGITS)

    def _grams(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        # The trigrams of all texts, [G, 3], one a word and one an end; how many a text has, [N].
        words, n_words = self._vocabulary.numbers(texts)
        padded = np.full(len(words) + 3 * len(texts), self._start)  # two starts before a text, one end after it
        padded[np.arange(len(words)) + np.repeat(3 * np.arange(len(texts)) + 2, n_words)] = words
        ends = np.cumsum(n_words + 3) - 1
        padded[ends] = self._end
        grams = np.lib.stride_tricks.sliding_window_view(padded, 3)
        return grams[grams[:, 2] != self._start], n_words + 1

    def _keys(self, grams: NDArray[np.int64]) -> NDArray[np.int64]:
        return gram_keys(grams, len(self._vocabulary) + 3)


class _CountTable:
    # How often each key stands in `keys` [G]; any other key, never.

    def __init__(self, keys: NDArray[np.int64]) -> None:
        self._keys, self._counts = np.unique(keys, return_counts=True)

    def of(self, keys: NDArray[np.int64]) -> NDArray[np.int64]:
        places = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        return np.where(self._keys[places] == keys, self._counts[places], 0)


class NgramClassifier:
    """Logistic regression on which word 1- to 3-grams a text has, trained to tell originals from edits.

    Args:
        pairs: (original, edited) texts. Where no n-gram stands in three of them, there is nothing to learn and every
            text scores 0.
        seed: of the solver.
    """

    def __init__(self, pairs: TextPairs, seed: int = 0) -> None:
        texts = [text for pair in pairs for text in pair]
        self._grams = NgramTable(texts)
        self._classifier = LogisticRegression(C=0.1, solver="liblinear", random_state=seed)
        if len(self._grams):
            self._classifier.fit(self._grams.matrix(texts), np.tile([1, 0], len(pairs)))

    def scores(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """The log-odds that each text is an original, [N] float64."""
        if not len(self._grams) or not texts:
            return np.zeros(len(texts))
        return self._classifier.decision_function(self._grams.matrix(texts))


def wins_of(gaps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Who wins pairs with these score gaps, original less edit: 1 the original, 0.5 neither, 0 the edit.

    A tie is one thing in the whole suite: scores that are equal in float64. What it counts is not: half a pair here,
    so that a model which cannot tell the two is at chance; a miss in `structure_accuracy.candidate_outcomes`, as the
    paper asks for the highest score of all. No cosine is rounded for it. A scorer whose sums hang on the order of the
    words rounds its own scores, as `TrigramModel` does; `NgramClassifier` sums in the order of its columns.
    """
    return (gaps > 0) + 0.5 * (gaps == 0)


def pair_gaps(model: TextScorer, originals: Sequence[str], edits: Sequence[str]) -> NDArray[np.float64]:
    """By how much the model prefers the original of each of P pairs, [P] float64; a distinct text is scored once."""
    places: dict[str, int] = {}
    columns = [[places.setdefault(text, len(places)) for text in texts] for texts in (originals, edits)]
    scores = model.scores(list(places))
    return scores[columns[0]] - scores[columns[1]]


def pair_accuracy(model: TextScorer, pairs: TextPairs) -> float:
    """How often the model prefers the original of a pair; a tie counts as half."""
    gaps = pair_gaps(model, [original for original, _ in pairs], [edit for _, edit in pairs])
    return float(np.mean(wins_of(gaps)))


def reports_to_fit(train: Dataset | None, tested: Collection[str]) -> tuple[list[str], int]:
    """The distinct reports of the training split that are no text of the test, in their order.

    All texts of the test are left out, not its reports alone: a model that has seen an edit as a report, but not the
    report itself, would hold the edit for the more likely one.

    Args:
        train: the training split, None where there is none.
        tested: the reports that are tested and what they are tested against.

    Returns:
        The reports, and how many distinct ones are left out.

    Raises:
        NotComputable: there is no training split, or no such report.
    """
    if train is None:
        raise NotComputable("the dataset has no training split besides the evaluated one, to fit a blind model on")
    distinct = dict.fromkeys(train["report"])
    reports = [report for report in distinct if report not in tested]
    if not reports:
        raise NotComputable("every report of the training split stands in the evaluated one: none is left to fit on")
    return reports, len(distinct) - len(reports)


def edits_to_fit(train: Dataset, tested: Collection[str]) -> tuple[dict[str, set[tuple[str, str]]], int]:
    """The distinct (report, edit) pairs of the training split, by kind, in which neither is a text of the test.

    A report of the test that stands in the training split as an edit would be known as one.

    Returns:
        The pairs, and how many distinct ones are left out.
    """
    edits = edits_by_kind([counterfactual_pairs(train)])
    kept = {
        kind: {pair for pair in pairs if not any(text in tested for text in pair)} for kind, pairs in edits.items()
    }
    return kept, sum(map(len, edits.values())) - sum(map(len, kept.values()))


def gaps_fitted_on_train(
    train: Dataset | None, test: Dataset, pairs: CounterfactualPairs
) -> tuple[dict[str, NDArray[np.float64]], dict[str, int]]:
    """By how much each blind model, fitted on the training split alone, prefers the report of each pair to its edit.

    Args:
        train: the training split, None where there is none.
        test: the evaluated split.
        pairs: P of its pairs.

    Returns:
        The gaps as `blind_gaps` gives them, and how many distinct `reports` and `edits` of the training split are left
        out since they hold a text of the test.

    Raises:
        NotComputable: as `reports_to_fit`.
    """
    tested = {*test["report"], *pairs.texts}
    reports, reports_left_out = reports_to_fit(train, tested)
    edits, edits_left_out = edits_to_fit(train, tested)
    return blind_gaps(reports, edits, pairs), {"reports": reports_left_out, "edits": edits_left_out}


def blind_gaps(
    reports: Sequence[str], edits: Mapping[str, Iterable[tuple[str, str]]], pairs: CounterfactualPairs, seed: int = 0
) -> dict[str, NDArray[np.float64]]:
    """By how much each blind model prefers the report of each pair to its edit.

    The trigram model is fitted on `reports`. There is one classifier for each kind of edit, trained on the distinct
    edits of that kind: it may know the kind, for the edit shows it.

    Args:
        reports: what the trigram model is fitted on, at least one.
        edits: (report, edit) by kind, what the classifiers are trained on; those of other reports than `reports` are
            left out.
        pairs: P pairs that are scored.
        seed: of the classifiers' solver.

    Returns:
        `{"trigram": [P], "ngram": [P]}` float64. A kind without edits to learn from ties everywhere for `ngram`.
    """
    fitted = set(reports)
    ngram = np.zeros(len(pairs.texts))
    for kind in np.unique(pairs.kinds):
        learnt = {(report, edit) for report, edit in edits.get(pairs.names[kind], ()) if report in fitted}
        classifier = NgramClassifier(sorted(learnt), seed)  # sorted: a set has no order of its own
        chosen = np.flatnonzero(pairs.kinds == kind)
        of_kind = pairs.take(chosen)
        ngram[chosen] = pair_gaps(classifier, of_kind.reports, of_kind.texts)
    return {"trigram": pair_gaps(TrigramModel(reports), pairs.reports, pairs.texts), "ngram": ngram}

"""What a model without the image makes of PhantomCXR's counterfactuals: it must not tell them from the originals."""

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from datasets_scripts.phantom import generator, study_state
from datasets_scripts.phantom_counterfactual import make_counterfactuals
from datasets_scripts.phantom_report import Choices, write_report
from datasets_scripts.schema import COUNTERFACTUAL_KINDS

Pairs = list[tuple[str, str]]


def report_pairs(split: str, studies: int, seed: int, difficulty: str) -> dict[str, Pairs]:
    """(report, counterfactual) of the first studies of a split, by kind; text alone, nothing is drawn."""
    pairs: dict[str, Pairs] = {kind: [] for kind in COUNTERFACTUAL_KINDS}
    for index in range(studies):
        state = study_state(seed, split, index, difficulty)
        choices = Choices(generator(seed, split, index, "report"))
        report = write_report(state, choices).report
        rng = generator(seed, split, index, "counterfactual")
        for kind, counterfactual in make_counterfactuals(state, choices, rng, difficulty).items():
            pairs[kind].append((report, counterfactual.text))
    return pairs


def ngram_accuracy(train: Pairs, test: Pairs, seed: int = 0) -> float:
    """How often logistic regression on word 1- to 3-grams picks the original of a test pair; a tie counts as half.

    Args:
        train: pairs that it is trained on, originals against counterfactuals.
        test: pairs that it is tested on.
        seed: of the solver.
    """
    vectorizer = CountVectorizer(ngram_range=(1, 3), min_df=3, binary=True, token_pattern=r"\S+")
    counts = vectorizer.fit_transform([text for pair in train for text in pair])
    classifier = LogisticRegression(C=0.1, solver="liblinear", random_state=seed)
    classifier.fit(counts, np.tile([1, 0], len(train)))
    scores = classifier.decision_function(vectorizer.transform([text for pair in test for text in pair]))
    original, edited = scores.reshape(-1, 2).T  # [P] each
    return float(np.mean((original > edited) + 0.5 * (original == edited)))


def blind_table(difficulty: str, studies: int, seed: int) -> dict[str, dict[str, float]]:
    """The n-gram classifier's accuracy by kind, trained and tested on that many studies each.

    The test split of the dataset is too small to tell 50 from 53 %: its standard error is 1.4 % at 1,200 pairs. So the
    same generator makes more.
    """
    train = report_pairs("train", studies, seed, difficulty)
    test = report_pairs("test", studies, seed, difficulty)
    return {
        kind: {
            "accuracy": ngram_accuracy(train[kind], test[kind], seed),
            "standard_error": 0.5 / len(test[kind]) ** 0.5,
            "n": len(test[kind]),
            "n_null": studies - len(test[kind]),
        }
        for kind in COUNTERFACTUAL_KINDS
    }

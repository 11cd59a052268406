"""What a model without the image makes of PhantomCXR's counterfactuals: it must not tell them from the originals."""

from datasets_scripts.phantom import generator, study_state
from datasets_scripts.phantom_counterfactual import make_counterfactuals
from datasets_scripts.phantom_report import Choices, write_report
from datasets_scripts.schema import COUNTERFACTUAL_KINDS
from evaluate_suite.controls.blind import NgramClassifier, pair_accuracy

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


def blind_table(difficulty: str, studies: int, seed: int) -> dict[str, dict[str, float]]:
    """The n-gram classifier's accuracy by kind, trained and tested on that many studies each.

    The test split of the dataset is too small to tell 50 from 53 %: its standard error is 1.4 % at 1,200 pairs. So the
    same generator makes more.
    """
    train = report_pairs("train", studies, seed, difficulty)
    test = report_pairs("test", studies, seed, difficulty)
    return {
        kind: {
            "accuracy": pair_accuracy(NgramClassifier(train[kind], seed), test[kind]),
            "standard_error": 0.5 / len(test[kind]) ** 0.5,
            "n": len(test[kind]),
            "n_null": studies - len(test[kind]),
        }
        for kind in COUNTERFACTUAL_KINDS
    }

"""The task `zero_shot` recomputed: areas from every pair of cases, thresholds from validation."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from types import MappingProxyType
from typing import Any

from datasets import Dataset
from recomputed import (
    SHARE,
    TIE,
    Model,
    Plan,
    Tree,
    certain_interval,
    dot,
    interval,
    mean,
    resampled,
    told,
    vectors,
)

from evaluate_suite.prompts import PROMPTS

Area = Callable[[Sequence[float], Sequence[bool]], float | None]
"""Of the scores of cases and whether they are positive; None without both."""

_JUST_ABOVE = 1e-6


def auroc(scores: Sequence[float], positive: Sequence[bool]) -> float | None:
    """The share of pairs of a positive and a negative in the right order, a tie counting as half."""
    pairs = [
        0.5 if abs(high - low) <= TIE else float(high > low)
        for high, is_positive in zip(scores, positive, strict=True)
        if is_positive
        for low, is_other in zip(scores, positive, strict=True)
        if not is_other
    ]
    return mean(pairs) if pairs else None


def average_precision(scores: Sequence[float], positive: Sequence[bool]) -> float | None:
    """The mean over the positives of the precision among the cases that score as high."""
    if all(positive) or not any(positive):
        return None
    precisions = []
    for bar, is_positive in zip(scores, positive, strict=True):
        if is_positive:
            above = [right for score, right in zip(scores, positive, strict=True) if score >= bar - TIE]
            precisions.append(sum(above) / len(above))
    return mean(precisions)


def random_average_precision(n_positive: int, n_cases: int) -> float:
    """What all orders of the cases have on average, by where a positive stands and how many stand before it.

    A positive is at each rank as often, and of the r - 1 cases above it, each is positive with (P - 1) / (N - 1).
    """
    above = Fraction(n_positive - 1, n_cases - 1)
    precisions = [(1 + (rank - 1) * above) / rank for rank in range(1, n_cases + 1)]
    return float(sum(precisions) / n_cases)


def certain_area(
    kind: Area, scores: Sequence[float], positive: Sequence[bool], studies: Sequence[str]
) -> list[float] | None:
    """The interval of an area of which a bootstrap would be certain, or which hangs on one study's class.

    Pair by pair: where all pairs of a positive and a negative come out alike, a share of them, that of the class of
    fewer studies by Clopper and Pearson, may come out otherwise. A perfect average precision is at its lowest where
    that share of the positives is worth nothing, or that share of the negatives stands before all positives.
    """
    highs = [score for score, is_positive in zip(scores, positive, strict=True) if is_positive]
    lows = [score for score, is_positive in zip(scores, positive, strict=True) if not is_positive]
    n_studies = {
        side: len({study for study, is_side in zip(studies, positive, strict=True) if is_side == side})
        for side in (True, False)
    }
    seen = {side: 0.025 ** (1 / n) for side, n in n_studies.items()}
    pairs = {0.5 if abs(high - low) <= TIE else float(high > low) for high in highs for low in lows}
    if kind is auroc and len(pairs) == 1 and (pairs != {0.5} or max(scores) - min(scores) <= TIE):
        (outcome,) = pairs
        kept = min(seen.values())
        return [kept * outcome, 1 - kept * (1 - outcome)]
    if kind is average_precision and pairs == {1.0}:
        before = (1 - seen[False]) * len(lows)
        late = mean(rank / (rank + before) for rank in range(1, len(highs) + 1))
        return [min(seen[True], late), 1.0]
    return [0.0, 1.0] if 1 in n_studies.values() else None


@dataclass(frozen=True)
class LabelCases:
    """The labels that have both values: which images count for each, and of all images the score and the truth.

    All labels are measured on the same resamples of all studies, counted or not.
    """

    cases: dict[str, list[int]]
    scores: dict[str, list[float]]
    positive: dict[str, list[bool]]
    studies: list[str]
    plan: Plan

    def prevalence(self, name: str) -> float:
        return mean(self.positive[name][case] for case in self.cases[name])

    def area(self, kind: Area, chance: Callable[[str], float]) -> Tree:
        def of_label(name: str, drawn: list[int]) -> float | None:
            scores, positive = self.scores[name], self.positive[name]
            return kind([scores[case] for case in drawn], [positive[case] for case in drawn])

        known = {
            name: certain_area(
                kind,
                [self.scores[name][case] for case in cases],
                [self.positive[name][case] for case in cases],
                [self.studies[case] for case in cases],
            )
            for name, cases in self.cases.items()
        }
        return self._measure(of_label, chance, {name: ends for name, ends in known.items() if ends})

    def accuracy(self, thresholds: Mapping[str, float]) -> Tree:
        def of_label(name: str, drawn: list[int]) -> float | None:
            return mean(right[name][case] for case in drawn) if drawn else None

        right = {
            name: [
                float((score >= thresholds.get(name, 0.0) - TIE) == positive)
                for score, positive in zip(self.scores[name], self.positive[name], strict=True)
            ]
            for name in self.cases
        }
        tree = self._measure(of_label, lambda name: max(self.prevalence(name), 1 - self.prevalence(name)))
        told_of = {name: [(case, right[name][case]) for case in cases] for name, cases in self.cases.items()}
        told_of["mean"] = [pair for pairs in told_of.values() for pair in pairs]
        for name, pairs in told_of.items():
            studies = [self.studies[case] for case, _ in pairs]
            of_bounds = certain_interval([value for _, value in pairs], studies, *SHARE)
            tree[name] |= {"interval": of_bounds} if of_bounds else {}
        return tree

    def _measure(
        self,
        statistic: Callable[[str, list[int]], float | None],
        chance: Callable[[str], float],
        known: Mapping[str, list[float]] = MappingProxyType({}),
    ) -> Tree:
        # The ends in `known` stand for what the resamples say of a label, in the mean too.
        draws = list(resampled(self.studies, self.plan))
        tree: Tree = {}
        replicates: dict[str, list[float | None]] = {}
        for name, cases in self.cases.items():
            replicates[name] = [statistic(name, [case for case in draw if case in set(cases)]) for draw in draws]
            tree[name] = {
                "value": statistic(name, cases),
                "interval": known.get(name) or interval(replicates[name]),
                "chance": chance(name),
                "n": len(cases),
            }
        others = [of_label for name, of_label in replicates.items() if name not in known]
        of_draws = [[number for number in draw if number is not None] for draw in zip(*others, strict=True)]
        ends = list(known.values())
        if others:
            ends += [interval(mean(defined) if defined else None for defined in of_draws)] * len(others)
        of_mean = {
            "value": mean(of_label["value"] for of_label in tree.values()),
            "interval": [mean(of_labels) for of_labels in zip(*ends, strict=True)],
            "chance": mean(of_label["chance"] for of_label in tree.values()),
            "n": len(set().union(*self.cases.values())),
        }
        return tree | {"mean": of_mean}


def zero_shot(model: Model, test: Dataset, validation: Dataset | None, plan: Plan) -> Tree:
    names = [name for name in PROMPTS if name in test.features["labels"]]
    labels = {name: [row[name] for row in test["labels"]] for name in names}
    kept = [name for name in names if 0.0 in labels[name] and 1.0 in labels[name]]
    thresholds = _thresholds(model, validation) if validation is not None else {}
    table = LabelCases(
        cases={name: [case for case, label in enumerate(labels[name]) if label in (0.0, 1.0)] for name in kept},
        scores={name: label_scores(model, model.images, name) for name in kept},
        positive={name: [label == 1.0 for label in labels[name]] for name in kept},
        studies=test["study_id"][:],
        plan=plan,
    )
    n_positive = {name: labels[name].count(1.0) for name in kept}
    tree: Tree = {
        "auroc": table.area(auroc, lambda name: 0.5),
        "average_precision": table.area(
            average_precision, lambda name: random_average_precision(n_positive[name], len(table.cases[name]))
        ),
        "accuracy": table.accuracy(thresholds),
    }
    left_out = [f"{measure}.{name}" for measure in tree for name in names if name not in kept]
    tree |= {
        "thresholds": {name: thresholds.get(name, 0.0) for name in kept},
        "counts": {name: _counts(labels[name]) for name in names},
        "note": told(0) if any(name not in thresholds for name in kept) else told(),
    }
    return tree | ({"skipped": dict.fromkeys(left_out, told(1, 0))} if left_out else {})


def _counts(labels: Sequence[float | None]) -> Tree:
    values = {"positive": 1.0, "negative": 0.0, "uncertain": -1.0, "unknown": None}
    return {kind: sum(label == value for label in labels) for kind, value in values.items()}


def label_scores(model: Model, images: Sequence[Sequence[float]], name: str) -> list[float]:
    prompts = PROMPTS[name]
    positive, negative = (_direction(model, texts) for texts in (prompts.positive, prompts.negative))
    return [dot(image, positive) - dot(image, negative) for image in images]


def _direction(model: Model, prompts: Sequence[str]) -> list[float]:
    means = [mean(numbers) for numbers in zip(*map(model.text, prompts), strict=True)]
    norm = math.sqrt(dot(means, means))
    return [number / norm for number in means] if norm else means


def _thresholds(model: Model, validation: Dataset) -> dict[str, float]:
    images = vectors(model.encoder.encode_images(validation["image"][:]))
    labels: list[dict[str, Any]] = validation["labels"][:]
    thresholds = {}
    for name in [name for name in PROMPTS if name in validation.features["labels"]]:
        cases = [case for case, row in enumerate(labels) if row[name] in (0.0, 1.0)]
        positive = [labels[case][name] == 1.0 for case in cases]
        if any(positive) and not all(positive):
            scores = label_scores(model, images, name)
            thresholds[name] = best_threshold([scores[case] for case in cases], positive)
    return thresholds


def best_threshold(scores: Sequence[float], positive: Sequence[bool]) -> float:
    """Of the lowest score, the middles between neighbours and just above the highest, the most often right.

    Of equally good ones, the nearest to 0; of these, the lowest.
    """
    levels: list[float] = []
    for score in sorted(scores):
        if not levels or score > levels[-1] + TIE:
            levels.append(score)
    middles = [(low + high) / 2 for low, high in pairwise(levels)]
    candidates = [levels[0], *middles, levels[-1] + _JUST_ABOVE]

    def right(bar: float) -> int:
        return sum((score >= bar - TIE) == told for score, told in zip(scores, positive, strict=True))

    most = max(map(right, candidates))
    return min((round(abs(bar), 12), bar) for bar in candidates if right(bar) == most)[1]

"""Accuracy, macro F1 and confusion of classes that exclude each other, with intervals of a cluster bootstrap."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluate_suite.statistics import SHARE, Measurement, measure_mean, measure_parts
from evaluate_suite.structure_accuracy.structure_accuracy import (
    group_indices,
    percentile_interval,
    resampled_group_counts,
)

from .task import Tree

_BOOTSTRAP_SEED = 0


def measure_classes(
    predicted: NDArray[np.int64],
    true: NDArray[np.int64],
    group_names: Sequence[str],
    labels: Sequence[str],
    majority: int,
    n_bootstrap: int,
) -> Tree:
    """The numbers of a classifier.

    Args:
        predicted, true: [N] classes, 0 to K - 1.
        group_names: [N] what is resampled together.
        labels: K names.
        majority: the constant answer to compare with.
        n_bootstrap: resamples of each interval.

    Returns:
        `accuracy` and `macro_f1`, whose chance is that of answers drawn evenly; `confusion.TRUE.PREDICTED`, the share
        of a class's rows that are taken for each class; `confusion_counts`, [K][K] rows; and `majority`, the accuracy
        and macro F1 of the constant answer.
    """
    groups = group_indices(list(group_names), len(true))
    classes = len(labels)
    counts = _confusion(predicted, true, classes, groups, n_bootstrap)
    return {
        "accuracy": _accuracy(predicted, true, groups, classes, n_bootstrap),
        "macro_f1": _macro_f1(predicted, true, groups, classes, n_bootstrap),
        "confusion": {
            labels[row]: {
                labels[column]: cell
                for column in range(classes)
                if (cell := counts[row * classes + column]) is not None
            }
            for row in range(classes)
            if (true == row).any()
        },
        "confusion_counts": _cells(predicted, true, classes)
        .sum(axis=0)
        .reshape(classes, classes)
        .astype(int)
        .tolist(),
        "majority": {
            "label": labels[majority],
            "accuracy": _accuracy(np.full_like(true, majority), true, groups, classes, n_bootstrap),
            "macro_f1": _macro_f1(np.full_like(true, majority), true, groups, classes, n_bootstrap),
        },
    }


def macro_f1(confusion: NDArray[Any]) -> NDArray[np.float64]:
    """The mean of the classes' F1, of confusion matrices [B, K, K] by true class, then predicted: [B].

    A class that is neither there nor predicted has no F1 and is left out of the mean.
    """
    right = np.diagonal(confusion, axis1=1, axis2=2)  # [B, K]
    total = confusion.sum(axis=1) + confusion.sum(axis=2)
    defined = total > 0
    scores = np.divide(2 * right, total, out=np.zeros(total.shape), where=defined)
    return scores.sum(axis=1) / defined.sum(axis=1)


def _cells(predicted: NDArray[np.int64], true: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """Which cell of the flattened confusion matrix each row falls into, [N, K * K]."""
    return np.eye(classes * classes)[true * classes + predicted]


def _accuracy(
    predicted: NDArray[np.int64], true: NDArray[np.int64], groups: NDArray[np.int64], classes: int, n_bootstrap: int
) -> Measurement:
    right = (predicted == true).astype(np.float64)
    return measure_mean(right, groups, 1 / classes, n_bootstrap, _BOOTSTRAP_SEED, SHARE)


def _macro_f1(
    predicted: NDArray[np.int64], true: NDArray[np.int64], groups: NDArray[np.int64], classes: int, n_bootstrap: int
) -> Measurement:
    by_group = np.zeros((groups.max() + 1, classes * classes))
    np.add.at(by_group, groups, _cells(predicted, true, classes))
    resamples = resampled_group_counts(len(by_group), n_bootstrap, _BOOTSTRAP_SEED)
    replicates = np.concatenate(
        [macro_f1((drawn @ by_group).reshape(len(drawn), classes, classes)) for drawn in resamples]
    )
    shares = np.bincount(true, minlength=classes) / len(true)
    even = 2 * shares / (classes * shares + 1)  # F1 where precision is the share and recall 1 / K
    return Measurement(
        value=float(macro_f1(by_group.sum(axis=0).reshape(1, classes, classes))[0]),
        interval=percentile_interval(replicates),
        chance=float(even.mean()),
        n=len(true),
    )


def _confusion(
    predicted: NDArray[np.int64], true: NDArray[np.int64], classes: int, groups: NDArray[np.int64], n_bootstrap: int
) -> list[Measurement | None]:
    values = _cells(predicted, true, classes)
    counted = np.repeat(np.eye(classes, dtype=bool)[true], classes, axis=1)  # [N, K * K]
    chances = [1 / classes] * (classes * classes)
    return measure_parts(values, counted, groups, chances, n_bootstrap, _BOOTSTRAP_SEED, SHARE)

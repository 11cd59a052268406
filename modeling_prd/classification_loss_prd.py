"""The losses of PRD's classifiers: one label of several, or several at once of which some are unknown."""

from typing import Literal

import torch
from torch import Tensor, nn

from .configuration_prd import PRDConfig
from .losses_prd import upcast

_SINGLE: Literal["single_label_classification"] = "single_label_classification"
_MULTI: Literal["multi_label_classification"] = "multi_label_classification"
PROBLEM_TYPES = (_SINGLE, _MULTI)


def label_count(config: PRDConfig) -> int:
    """Return K, the number of labels of a classifier.

    Raises:
        ValueError: `problem_type` is neither None nor among `PROBLEM_TYPES`, or there are no labels.
    """
    problem, labels = config.problem_type, config.num_labels or 0
    if problem is not None and problem not in PROBLEM_TYPES:
        raise ValueError(
            f"problem_type={problem!r} is not one of {', '.join(PROBLEM_TYPES)}: PRD's classifiers have no other loss"
        )
    if labels < 1:
        raise ValueError("a classifier needs labels: give num_labels or id2label")
    return labels


def classification_loss(logits: Tensor, labels: Tensor, config: PRDConfig) -> Tensor:
    """Compare logits with labels, as `config.problem_type` says, in float32 or above.

    A `problem_type` of None becomes that of the labels' type, as in transformers, and stays in `config`: a pipeline
    reads there whether scores are softmax or sigmoid.

    Args:
        logits: [B, K].
        labels: `single_label_classification`: [B] whole numbers from 0 to K - 1. `multi_label_classification`: [B, K]
            floats from 0 to 1, or NaN where a label is unknown, which is left out.
        config: with `problem_type`, and `id2label` for messages.

    Returns:
        The mean cross-entropy over the batch, or the mean binary cross-entropy over all known labels: 0, with a
        gradient of 0, where none is known.

    Raises:
        ValueError: the labels' type or shape does not fit the problem, or a label is out of its range. Under
            `torch.compile` values are not looked at.
    """
    if config.problem_type is None:
        config.problem_type = _MULTI if labels.is_floating_point() else _SINGLE
    labels = labels.to(logits.device)
    if config.problem_type == _SINGLE:
        _check_single_labels(labels, logits)
    else:
        _check_multi_labels(labels, logits, config)
    return label_cross_entropy(logits, labels)


def label_cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Cross-entropy, or binary cross-entropy over the known labels, in float32 or above; labels are not checked.

    Args:
        logits: [B, K].
        labels: [B] whole numbers, or [B, K] floats with NaN where a label is unknown, which is left out of the mean.
        weights: [K], of each class, or of each label's positives; None counts all alike.

    Returns:
        The mean; 0, with a gradient of 0, where a batch has no known label.
    """
    logits = upcast(logits)
    if not labels.is_floating_point():
        return nn.functional.cross_entropy(logits, labels.long(), weight=weights)
    known = ~labels.isnan()  # [B, K]
    losses = nn.functional.binary_cross_entropy_with_logits(
        logits, labels.nan_to_num().to(logits.dtype), pos_weight=weights, reduction="none"
    )
    return torch.where(known, losses, 0.0).sum() / known.sum().clamp(min=1)


def _check_single_labels(labels: Tensor, logits: Tensor) -> None:
    rows, classes = logits.shape
    whole = not (labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool)
    if not whole or labels.shape != (rows,):
        raise ValueError(
            f"single_label_classification needs labels of whole numbers, shaped [{rows}]: got {labels.dtype} "
            f"{list(labels.shape)}"
        )
    if torch.compiler.is_compiling():
        return
    wrong = (labels < 0) | (labels >= classes)
    if wrong.any():
        row = int(wrong.nonzero()[0])
        raise ValueError(f"label {int(labels[row])} of row {row} is not one of the classes 0 to {classes - 1}")


def _check_multi_labels(labels: Tensor, logits: Tensor, config: PRDConfig) -> None:
    if not labels.is_floating_point() or labels.shape != logits.shape:
        raise ValueError(
            f"multi_label_classification needs labels of floats, shaped {list(logits.shape)}, NaN where unknown: got "
            f"{labels.dtype} {list(labels.shape)}"
        )
    if torch.compiler.is_compiling():
        return
    wrong = (labels < 0) | (labels > 1)  # NaN is neither
    if wrong.any():
        row, column = wrong.nonzero()[0].tolist()
        name = (config.id2label or {}).get(column)
        raise ValueError(
            f"label {labels[row, column].item():g} of row {row}, {name!r}, is not from 0 to 1: map an uncertain label "
            "to one of them, or to NaN to leave it out"
        )

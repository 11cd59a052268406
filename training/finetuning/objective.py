"""The loss of a classifier, for one label of several or for several of which some are unknown, and its weights."""

import torch
from torch import Tensor
from torch.nn import functional

from modeling_prd.losses_prd import upcast


def classification_loss(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Cross-entropy, or binary cross-entropy over the known labels; in float32 or above.

    Args:
        logits: [B, K].
        labels: [B] int64, or [B, K] floats with NaN where a label is unknown, which is left out of the mean.
        weights: [K], of each class, or of each label's positives; None counts all alike.

    Returns:
        the mean; 0, with a graph, where a batch has no known label.
    """
    logits = upcast(logits)
    if not labels.is_floating_point():
        return functional.cross_entropy(logits, labels, weight=weights)
    known = ~labels.isnan()  # [B, K]
    losses = functional.binary_cross_entropy_with_logits(
        logits, labels.nan_to_num().to(logits.dtype), pos_weight=weights, reduction="none"
    )
    return torch.where(known, losses, 0.0).sum() / known.sum().clamp(min=1)


def balanced_weights(targets: Tensor, classes: int) -> Tensor:
    """Weights with which each class, or each label's two values, count as much as the other.

    Args:
        targets: [N] int64, or [N, K] floats with NaN where a label is unknown.
        classes: K.

    Returns:
        [K] float32: N / (K n) of a class with n rows, or negatives / positives of a label; 1 where one is none.
    """
    if not targets.is_floating_point():
        counts = torch.bincount(targets, minlength=classes).float()
        return torch.where(counts > 0, len(targets) / (classes * counts.clamp(min=1)), 1.0)
    positive, negative = (targets == 1).sum(dim=0).float(), (targets == 0).sum(dim=0).float()
    return torch.where((positive > 0) & (negative > 0), negative / positive.clamp(min=1), 1.0)

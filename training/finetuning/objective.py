"""The weights of a classifier's loss."""

import torch
from torch import Tensor


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

"""Optimizer and learning-rate schedule of a recipe."""

import math

import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler
from transformers import get_scheduler

from .arguments import OptimizationArguments


def build_optimizer(model: nn.Module, arguments: OptimizationArguments) -> torch.optim.Optimizer:
    """AdamW, with weight decay on matrices only, or the paper's SGD, with weight decay on every weight.

    Raises:
        ValueError: every weight is frozen.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not trained:
        raise ValueError("nothing to train: every weight is frozen")
    if arguments.optimizer == "sgd":
        return torch.optim.SGD(
            trained, lr=arguments.learning_rate, momentum=arguments.momentum, weight_decay=arguments.weight_decay
        )
    groups = [
        {"params": [weight for weight in trained if weight.ndim >= 2], "weight_decay": arguments.weight_decay},
        {"params": [weight for weight in trained if weight.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=arguments.learning_rate, betas=(0.9, arguments.adam_beta2))


def build_scheduler(
    optimizer: torch.optim.Optimizer, arguments: OptimizationArguments, total_steps: int
) -> LRScheduler:
    """Linear warm-up, then one cosine cycle to zero or a constant, over `total_steps` optimizer steps."""
    name = {"cosine": "cosine", "constant": "constant_with_warmup"}[arguments.lr_scheduler]
    warmup_steps = math.ceil(arguments.warmup_ratio * total_steps)
    return get_scheduler(name, optimizer, num_warmup_steps=warmup_steps, num_training_steps=total_steps)

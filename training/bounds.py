"""The ranges of the numbers in a recipe."""

import math
from operator import attrgetter
from typing import Any

Bounds = tuple[tuple[str, str, float, float], ...]
"""Section, with dots where it is within another, then key, lowest and highest value."""

BOUNDS_OF_TRAINING: Bounds = (
    ("optimization", "batch_size", 1, math.inf),
    ("optimization", "gradient_accumulation_steps", 1, math.inf),
    ("optimization", "num_train_epochs", 1, math.inf),
    ("optimization", "max_steps", 1, math.inf),
    ("optimization", "learning_rate", 0, math.inf),
    ("optimization", "momentum", 0, 1),
    ("optimization", "adam_beta2", 0, 1 - 1e-9),
    ("optimization", "weight_decay", 0, math.inf),
    ("optimization", "warmup_ratio", 0, 1),
    ("optimization", "max_grad_norm", 0, math.inf),
    ("optimization.augmentation", "rotation", 0, 180),
    ("optimization.augmentation", "translation", 0, 1),
    ("optimization.augmentation", "scale", 0, 0.99),
    ("optimization.augmentation", "shear", 0, 89),
    ("optimization.augmentation", "brightness", 0, 1),
    ("optimization.augmentation", "contrast", 0, 1),
    ("lora", "lora_r", 1, math.inf),
    ("lora", "lora_alpha", 1, math.inf),
    ("lora", "lora_dropout", 0, 1),
    ("run", "cpu_threads", 1, math.inf),
    ("run", "eval_batch_size", 1, math.inf),
)
"""Those of pre-training and of fine-tuning."""


def check_bounds(arguments: Any, bounds: Bounds) -> None:
    """Refuses a number out of its range.

    Args:
        arguments: dataclasses under the names of their sections.
        bounds: of their keys; None has none.

    Raises:
        ValueError: a value is out of its range; the key is named.
    """
    for section, name, least, most in bounds:
        value = getattr(attrgetter(section)(arguments), name)
        if value is not None and not least <= value <= most:
            raise ValueError(f"{name}: {value} is not between {least} and {most}")

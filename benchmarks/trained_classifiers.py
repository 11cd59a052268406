"""What benchmarks of classifiers share: their starts, the answers of one training, areas over resamples of studies."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from accelerate import Accelerator
from numpy.typing import NDArray

from evaluate_suite.ranking import bootstrap_ranking, mean_of_defined
from evaluate_suite.tasks.zero_shot import LabelTable
from finetune import build_classifier
from training.finetuning.arguments import FineTuning
from training.finetuning.images import ImageTask
from training.finetuning.loop import FineTuner

INITS = ("pretrained", "random")
"""The starts that are compared, as `finetune.py` names them."""


def trained_logits(arguments: FineTuning, accelerator: Accelerator, task: ImageTask, seed: int) -> NDArray[np.float64]:
    """The test split's logits [N, L] of a classifier that is trained with a seed."""
    classifier, _ = build_classifier(arguments, task, seed)
    tuner = FineTuner(arguments, accelerator, classifier, task, seed)
    tuner.train()
    logits = tuner.logits(task.splits.test)
    accelerator.free_memory()
    return logits


def mean_areas(
    logits: NDArray[np.float64], table: LabelTable, groups: NDArray[np.int64], n_bootstrap: int
) -> NDArray[np.float64]:
    """The labels' mean AUROC in each resample of the groups, [B]; the resamples are the same for all models."""
    areas = [
        bootstrap_ranking(logits[:, place], table.positive[:, place], table.counted[:, place], groups, n_bootstrap, 0)
        for place in range(len(table.names))
    ]
    return mean_of_defined(np.column_stack([area.auroc for area in areas]))


def with_interval(node: Mapping[str, Any], form: str) -> str:
    """A number's `value` and `interval` as text, each in the format `form`."""
    low, high = node["interval"]
    return f"{node['value']:{form}} [{low:{form}}, {high:{form}}]"

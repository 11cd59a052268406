"""The tasks, one file each, with one function `run(context)` that gives the task's part of the report."""

from collections.abc import Callable, Mapping

from ..context import TaskContext, Tree
from . import counterfactual, grounding, retrieval, robustness, structure, zero_shot

Task = Callable[[TaskContext], Tree]

TASKS: Mapping[str, Task] = {
    "structure": structure.run,
    "counterfactual": counterfactual.run,
    "retrieval": retrieval.run,
    "zero_shot": zero_shot.run,
    "grounding": grounding.run,
    "robustness": robustness.run,
}
"""By name, in the order of the report."""

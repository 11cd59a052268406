"""The tasks, one file each, with one function `run(context)` that gives the task's part of the report."""

from collections.abc import Callable, Mapping
from importlib import import_module

from ..context import TaskContext, Tree

Task = Callable[[TaskContext], Tree]


def _in_file(name: str) -> Task:
    # Imported when it is run: one task's needs do not hold up the others.
    def run(context: TaskContext) -> Tree:
        return import_module(f"{__name__}.{name}").run(context)

    return run


TASKS: Mapping[str, Task] = {
    name: _in_file(name)
    for name in ("structure", "counterfactual", "retrieval", "zero_shot", "grounding", "robustness")
}
"""By name, in the order of the report."""

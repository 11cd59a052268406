"""The suite for `evaluate`: `EvaluationSuite.load("evaluate_suite/prd_suite.py").run(MODEL, DATA)`.

`evaluate` copies this script alone and reads its imports line by line: none is relative, and no
line imports two modules.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset
from evaluate import EvaluationSuite

from evaluate_suite.encoders import DualEncoder
from evaluate_suite.runner import run
from evaluate_suite.tasks import TASKS


class Suite(EvaluationSuite):
    """The tasks of `evaluate_suite`, with their controls.

    Args:
        name: of the suite.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.suite = list(TASKS)

    def run(
        self,
        model_or_pipeline: str | DualEncoder,
        data: str | Mapping[str, Dataset],
        tasks: str | Sequence[str] | None = None,
        out: str | Path | None = None,
        **options: Any,
    ) -> dict[str, Any]:
        """Evaluate a model; arguments, result and errors are those of `evaluate_suite.runner.run`."""
        return run(model_or_pipeline, data, tasks, out, **options)

"""The outcomes of a task's controls, kept case by case, so that two reports' controls and gains compare in pairs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..context import Outcomes
from . import NotComputable
from .gains import CaseOutcomes, Cases


@dataclass(frozen=True)
class KeptCases:
    """Where a task, or a part of one, keeps the outcomes of its cases.

    Attributes:
        outcomes: of the run.
        task: the task's name.
        cases: the task's N cases.
        names, studies: [N] as `Outcomes.add` takes them.
        prefix: before the names of its numbers, such as `balanced.`.
    """

    outcomes: Outcomes
    task: str
    cases: Cases
    names: Sequence[str]
    studies: Sequence[str]
    prefix: str = ""

    def keep_controls(self, right: CaseOutcomes, controls: Mapping[str, CaseOutcomes | NotComputable]) -> None:
        """Keep what each control has, and the model's gain over it; arguments as for `gains.measure_controls`."""
        for name, control in controls.items():
            if not isinstance(control, NotComputable):
                self.keep(name, control)
                self.keep(f"gain_over_{name}", right - control)

    def keep(self, metric: str, values: CaseOutcomes) -> None:
        """Keep the outcomes [N, 1 + K] of a number and of its K parts, as `Cases.measure` gives these."""
        metrics = [metric, *(f"{metric}.{self.cases.group}.{name}" for name in self.cases.names)]
        for name, counted, column in zip(metrics, self.cases.counted.T, values.T, strict=True):
            if counted.any():
                self.outcomes.add(
                    self.task,
                    self.prefix + name,
                    [case for case, counts in zip(self.names, counted, strict=True) if counts],
                    [study for study, counts in zip(self.studies, counted, strict=True) if counts],
                    column[counted],
                )

"""The main number of each task with its controls: what a reader of a report sees first."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .formatting import is_headline, words
from .statistics import Measurement
from .tree import CONTROLS, Path, is_measurement, measurements, node_at

_ROBUSTNESS = "robustness"
_WEAKEST = "counterfactual_accuracy"
# What stands for these controls where it is there: in grounding maps of other phrases on other images, and of balanced
# pairs the blind models that did not choose them.
_INSTEAD: Mapping[str, Path] = {
    "wrong_image": ("wrong_map",),
    "gain_over_wrong_image": ("gain_over_wrong_map", "pointing_game"),
    "blind": ("blind_fitted_on_train",),
    "gain_over_blind": ("gain_over_blind_fitted_on_train",),
}


@dataclass(frozen=True)
class Headline:
    """A main number.

    Attributes:
        name: in words.
        path: in the report's `tasks`.
        number: with its interval, chance and n.
        controls: by name, those of `CONTROLS` that stand beside it.
    """

    name: str
    path: Path
    number: Measurement
    controls: dict[str, Measurement]


def headlines(tasks: Mapping[str, Any]) -> Iterator[Headline]:
    """The main numbers of a report's tasks, in its order; of robustness, the lowest counterfactual accuracy."""
    for task, tree in tasks.items():
        if task == _ROBUSTNESS:
            yield from _lowest(tree)
            continue
        for path, number in measurements(tree, (task,)):
            if is_headline(path):
                yield Headline(words(path), path, number, _controls(node_at(tasks, path[:-1])))


def _controls(beside: Mapping[str, Any]) -> dict[str, Measurement]:
    found = {control: node_at(beside, (control,)) for control in CONTROLS}
    found |= {control: node for control, path in _INSTEAD.items() if (node := node_at(beside, path))}
    return {control: number for control, number in found.items() if is_measurement(number)}


def _lowest(tree: Mapping[str, Any]) -> Iterator[Headline]:
    corrupted = [each for each in measurements(tree, (_ROBUSTNESS,)) if len(each[0]) > 3 and each[0][-1] == _WEAKEST]
    if corrupted:
        path, number = min(corrupted, key=lambda each: each[1]["value"])
        _, corruption, severity, metric = path
        yield Headline(f"{words((_ROBUSTNESS, metric))}, lowest ({words((corruption,))} {severity})", path, number, {})

"""What a cell measured, and what several seeds come to."""

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scipy.stats import t as student

from ..statistics import Measurement
from ..tree import is_measurement, node_at, reasons
from .plan import EVALUATE, PRETRAIN

Numbers = dict[str, Measurement]

_OF_PAIRS = {
    "accuracy": ("test", "accuracy"),
    "macro_f1": ("test", "macro_f1"),
    "majority": ("test", "majority", "accuracy"),
}
_PLACES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "mednli": _OF_PAIRS,
    "radnli": _OF_PAIRS,
    "chexpert": {
        "consolidation": ("test", "accuracy", "Consolidation"),
        "pleural_effusion": ("test", "accuracy", "Pleural Effusion"),
        "average": ("test", "accuracy", "mean"),
        "auroc": ("test", "auroc", "mean"),
    },
    EVALUATE: {
        "structure": ("tasks", "structure", "accuracy"),
        "structure_blind": ("tasks", "structure", "blind"),
        "structure_wrong_image": ("tasks", "structure", "wrong_image"),
        "counterfactual": ("tasks", "counterfactual", "accuracy"),
        "counterfactual_blind": ("tasks", "counterfactual", "blind"),
        "counterfactual_wrong_image": ("tasks", "counterfactual", "wrong_image"),
        "pointing_game": ("tasks", "grounding", "pointing_game"),
        "pointing_game_wrong_image": ("tasks", "grounding", "wrong_map"),
    },
}
_AVERAGED = {"Consolidation", "Pleural Effusion"}
_COUNTS = {EVALUATE: ("n_images", "n_synthetic"), "radnli": ("n_test", "n_test_synthetic")}


def results_file(step: str, folder: Path) -> Path:
    """The file that a cell of this kind ends by writing."""
    return folder / ("report.json" if step == EVALUATE else "metrics.json")


def read_numbers(step: str, folder: Path) -> tuple[Numbers, dict[str, str]]:
    """The numbers of a finished cell, and why others of its kind are not among them.

    Args:
        step: its kind; pre-trainings and stand-ins have no number of a table.
        folder: where it wrote.

    Raises:
        ValueError: the file is not there or cannot be read.
    """
    if step not in _PLACES:
        return {}, {}
    tree = _read(step, folder)
    said = dict(reasons(tree["tasks"] if step == EVALUATE else tree))  # a task that is left out names itself there
    numbers: Numbers = {}
    skipped = {}
    for name, path in _PLACES[step].items():
        node = node_at(tree, path)
        if not is_measurement(node):
            skipped[name] = _reason(said, path)
        elif name == "average" and (labels := set(node_at(tree, path[:-1])) - {"mean"}) != _AVERAGED:
            skipped[name] = f"the mean is of {', '.join(sorted(labels))}, not of the paper's two labels"
        else:
            numbers[name] = Measurement(
                value=node["value"], interval=list(node["interval"]), chance=node["chance"], n=node["n"]
            )
    return numbers, skipped


def read_synthetic(step: str, folder: Path) -> dict[str, int] | None:
    """Of the rows of its corpus that a finished cell evaluated or fine-tuned on, how many a program made.

    RadNLI's are those that are reported: trained is on MedNLI.

    Returns:
        `rows` and `synthetic`; None for a cell of another kind.

    Raises:
        ValueError: as `read_numbers`.
    """
    if step not in _PLACES:
        return None
    tree = _read(step, folder)
    rows, synthetic = _COUNTS.get(step, ("n_train", "n_synthetic"))
    return {"rows": tree[rows], "synthetic": tree[synthetic]}


def _read(step: str, folder: Path) -> dict[str, Any]:
    file = results_file(step, folder)
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{file.name} cannot be read: {error}") from error


def _reason(said: Mapping[str, str], path: tuple[str, ...]) -> str:
    # The reason of the number, or of the task or table that it belongs to; a report's start below `tasks`.
    for parts in (path, path[:-1], path[1:], path[1:-1]):
        if (name := ".".join(parts)) in said:
            return said[name]
    return "not among the results"


def over_seeds(measured: Mapping[int, Measurement]) -> dict[str, Any]:
    """One number over the seeds, a share, with the interval of `interval_over_seeds`.

    Args:
        measured: by seed, at least one.

    Returns:
        `mean`, `deviation` (None of one seed), `interval`, `chance`, `n` cases, and `seeds`, each with its value,
        interval and n.
    """
    values = [number["value"] for number in measured.values()]
    low, high = interval_over_seeds(values, [number["interval"] for number in measured.values()])
    first = next(iter(measured.values()))
    return {
        "mean": statistics.fmean(values),
        "deviation": statistics.stdev(values) if len(values) > 1 else None,
        "interval": [max(0.0, low), min(1.0, high)],
        "chance": first["chance"],
        "n": first["n"],
        "seeds": {
            str(seed): {key: number[key] for key in ("value", "interval", "n")} for seed, number in measured.items()
        },
    }


def interval_over_seeds(values: Sequence[float], intervals: Sequence[Sequence[float]]) -> tuple[float, float]:
    """The 95 % interval of a mean over seeds, which allows for other seeds and for other cases.

    Student's t of the seeds' mean and the mean half-width of the seeds' own bootstrap intervals, each to its side,
    added as independent. With one seed it is that seed's own.

    Args:
        values: of the seeds, at least one.
        intervals: of each, its lower and upper bound.
    """
    mean, count = statistics.fmean(values), len(values)
    low, high = (
        statistics.fmean(abs(value - bounds[side]) for value, bounds in zip(values, intervals, strict=True))
        for side in (0, 1)
    )
    of_seeds = 0.0
    if count > 1:
        of_seeds = float(student.ppf(0.975, count - 1)) * statistics.stdev(values) / math.sqrt(count)
    return mean - math.hypot(low, of_seeds), mean + math.hypot(high, of_seeds)


def is_finished(step: str, folder: Path) -> bool:
    """Whether what other cells read of a finished one is still there."""
    if step == PRETRAIN:
        return (folder / "config.json").is_file() and results_file(step, folder).is_file()
    return folder.is_dir()

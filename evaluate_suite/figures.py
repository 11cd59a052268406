"""Drawing: the figures that tasks leave, and those that every report has."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .context import Picture
from .formatting import words
from .statistics import Measurement
from .tree import is_measurement

DPI = 120
_ROW_INCHES = 0.42
_MARKERS = "osD^vP"  # told apart without colours
_GROUPS = ("by_perturbation", "by_kind")
_CONTROLLED = (("model", None), ("blind", "blind"), ("wrong image", "wrong_image"))


def save(picture: Picture, folder: Path) -> Path:
    """Draw a picture as `NAME.png` in a folder, which is made, and give the file's path."""
    folder.mkdir(parents=True, exist_ok=True)
    figure = Figure(figsize=(8, 4), dpi=DPI, layout="constrained")
    picture.draw(figure)
    path = folder / f"{picture.name}.png"
    figure.savefig(path, dpi=DPI)
    return path


def draw_controls(tree: Mapping[str, Any], figure: Figure) -> None:
    """Draw a task's accuracy and its parts as points with intervals: the model's, blind's and wrong image's.

    Args:
        tree: of a task with `accuracy`, perhaps `by_kind` or `by_perturbation`, and the controls.
        figure: is drawn on.
    """
    rows = {"accuracy": ()} | {
        words([name]): (group, name) for group in _GROUPS for name in tree.get(group, {}) if group in tree
    }
    series: dict[str, list[Measurement | None]] = {}
    for label, control in _CONTROLLED:
        source = tree if control is None else tree.get(control, {})
        series[label] = [_number(source, path or (() if control else ("accuracy",))) for path in rows.values()]
    draw_points(figure, list(rows), {label: points for label, points in series.items() if any(points)})


def draw_points(
    figure: Figure, rows: Sequence[str], series: Mapping[str, Sequence[Measurement | None]], *, share: bool = True
) -> None:
    """Draw numbers as points with their intervals, one line of the picture a row, and chance as a stroke.

    Args:
        figure: is drawn on, and sized.
        rows: R names.
        series: by the name in the legend, R numbers, None where there is none.
        share: the numbers are shares of cases: the axis goes from 0 to 100 %.
    """
    figure.set_size_inches(8, 1.2 + _ROW_INCHES * len(rows) * max(1, len(series) / 2.5))
    axes = figure.subplots()
    shifts = np.linspace(-0.25, 0.25, len(series)) if len(series) > 1 else [0.0]
    for shift, marker, (label, points) in zip(shifts, cycle(_MARKERS), series.items(), strict=False):
        _draw_series(axes, [(row + shift, point) for row, point in enumerate(points) if point], label, marker, share)
    chances = {(row, point["chance"]) for points in series.values() for row, point in enumerate(points) if point}
    scale = 100 if share else 1
    for place, (row, chance) in enumerate(sorted(chances)):
        label = "chance" if place == 0 else "_nolegend_"
        axes.vlines(scale * chance, row - 0.4, row + 0.4, colors="black", linestyles="dotted", label=label)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    if share:
        axes.set(xlim=(-2, 102), xlabel="%")
    axes.grid(axis="x", alpha=0.3)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=len(series) + 1, frameon=False)


def _number(tree: Mapping[str, Any], path: Sequence[str]) -> Measurement | None:
    node: Any = tree
    for key in path:
        node = node.get(key, {})
    return node if is_measurement(node) else None


def _draw_series(
    axes: Axes, points: Sequence[tuple[float, Measurement]], label: str, marker: str, share: bool
) -> None:
    scale = 100 if share else 1
    places = [place for place, _ in points]
    values = np.array([scale * point["value"] for _, point in points])
    bounds = np.array([point["interval"] for _, point in points]).reshape(-1, 2).T * scale  # [2, points]
    # A percentile interval need not hold the value: a bar has no negative length.
    bars = np.maximum([values - bounds[0], bounds[1] - values], 0)
    axes.errorbar(values, places, xerr=bars, fmt=marker, markersize=5, capsize=2, label=label)

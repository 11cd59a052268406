"""Drawing: the figures that tasks leave, and those that every report has."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path as FilePath
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .context import Picture
from .formatting import words
from .statistics import Measurement
from .tree import Path, is_measurement, node_at

DPI = 120
_ROW_INCHES = 0.42
_MARKERS = "osD^vP"  # told apart without colours
_GROUPS = ("by_perturbation", "by_kind")
_CONTROLLED = (("model", None), ("blind", "blind"), ("wrong image", "wrong_image"))


def save(picture: Picture, folder: FilePath) -> FilePath:
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
    rows: dict[str, Path] = {"accuracy": ()} | {
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
    places = np.arange(len(rows)) + np.linspace(-0.25, 0.25, len(series))[:, None]  # [series, rows]
    if len(series) == 1:
        places += 0.25
    for row_places, marker, (label, points) in zip(places, cycle(_MARKERS), series.items(), strict=False):
        _draw_series(axes, row_places, points, label, marker, share)
    _draw_chance(axes, places, list(series.values()), share)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    if share:
        axes.set(xlim=(-2, 102), xlabel="%")
    axes.grid(axis="x", alpha=0.3)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=len(series) + 1, frameon=False)


def _number(tree: Mapping[str, Any], path: Path) -> Measurement | None:
    node = node_at(tree, path)
    return node if is_measurement(node) else None


def error_bars(values: NDArray[np.float64], intervals: NDArray[np.float64]) -> NDArray[np.float64]:
    """The lengths [2, N] of error bars below and above values [N], from their intervals [N, 2].

    A percentile interval need not hold its value: a bar has no negative length.
    """
    low, high = intervals.T
    return np.maximum([values - low, high - values], 0)


def _draw_series(
    axes: Axes,
    places: NDArray[np.float64],
    points: Sequence[Measurement | None],
    label: str,
    marker: str,
    share: bool,
) -> None:
    scale = 100 if share else 1
    there = [(place, point) for place, point in zip(places, points, strict=True) if point]
    values = np.array([scale * point["value"] for _, point in there])
    bars = error_bars(values, scale * np.array([point["interval"] for _, point in there]).reshape(-1, 2))
    axes.errorbar(values, [place for place, _ in there], xerr=bars, fmt=marker, markersize=5, capsize=2, label=label)


def _draw_chance(
    axes: Axes, places: NDArray[np.float64], series: Sequence[Sequence[Measurement | None]], share: bool
) -> None:
    # One stroke a row where chance is the same for all of it, otherwise one a number.
    strokes: list[tuple[float, float, float]] = []
    for row, points in enumerate(zip(*series, strict=True)):
        chances = [(place, point["chance"]) for place, point in zip(places[:, row], points, strict=True) if point]
        same = len({chance for _, chance in chances}) == 1
        strokes += [(row, chances[0][1], 0.4)] if same else [(place, chance, 0.12) for place, chance in chances]
    rows, values, lengths = np.array(strokes).reshape(-1, 3).T
    scale = 100 if share else 1
    axes.vlines(scale * values, rows - lengths, rows + lengths, colors="black", linestyles="dotted", label="chance")

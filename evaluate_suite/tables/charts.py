"""A bar chart of a table: ours with intervals, the paper's numbers as marks, chance as a stroke.

A chart is looked at without its page: its legend says if ours are numbers on synthetic data.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..context import Picture, Tree
from ..figures import error_bars

_COLUMN_INCHES, _ROW_INCHES = 3.0, 0.36


def chart_name(each: Mapping[str, Any]) -> str:
    """The name of a table's chart, without its ending."""
    return f"table_{each['name']}"


def chart(each: Mapping[str, Any]) -> Picture:
    """The chart of a table of `assemble`'s tree: a panel a column that holds shares, a bar a row."""
    return Picture(chart_name(each), partial(_draw, each), f"Table {each['name']}: {each['title']}")


def _draw(each: Mapping[str, Any], figure: Figure) -> None:
    columns = [column for column in each["columns"] if column["share"]]
    rows = each["rows"]
    figure.set_size_inches(2.4 + _COLUMN_INCHES * len(columns), 1.3 + _ROW_INCHES * len(rows))
    panels = figure.subplots(1, len(columns), sharey=True, squeeze=False)[0]
    ours = "ours, on synthetic data" if each["synthetic"] else "ours"
    for axes, column in zip(panels, columns, strict=True):
        _draw_column(axes, column["title"], rows, ours)
    panels[0].set_yticks(range(len(rows)), [row["label"] for row in rows])
    panels[0].set_ylim(len(rows) - 0.5, -0.5)
    handles = {
        label: handle for axes in panels for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        handles.values(), handles.keys(), loc="outside lower center", ncols=max(1, len(handles)), frameon=False
    )


def _draw_column(axes: Axes, title: str, rows: list[Tree], ours: str) -> None:
    there = [(place, row["ours"][title]) for place, row in enumerate(rows) if title in row["ours"]]
    if there:
        values = 100 * np.array([number["mean"] for _, number in there])
        # A number without an interval gets a bar of no length.
        bounds = [number["interval"] or [number["mean"]] * 2 for _, number in there]
        axes.barh(
            [place for place, _ in there],
            values,
            xerr=error_bars(values, 100 * np.array(bounds)),
            height=0.6,
            color="tab:blue",
            alpha=0.7,
            capsize=2,
            label=ours,
        )
        chances = {round(100 * number["chance"], 6) for _, number in there}
        for chance in chances if len(chances) == 1 else ():
            axes.axvline(chance, color="black", linestyle="dotted", label="chance, or the constant answer")
    printed = [(place, row["printed"][title]) for place, row in enumerate(rows) if title in row["printed"]]
    if printed:
        axes.plot(
            [value for _, value in printed],
            [place for place, _ in printed],
            "D",
            color="tab:orange",
            markersize=5,
            label="the paper's",
        )
    for place, row in enumerate(rows):
        if title in row["missing"] and title not in row["ours"]:
            status = row["missing"][title]["status"]
            background = {"facecolor": "white", "edgecolor": "none", "pad": 1}  # over chance's stroke
            axes.text(2, place, status, va="center", fontsize=8, color="gray", bbox=background)
    axes.set(xlim=(0, 102), xlabel="%")
    axes.set_title(title, fontsize=10)
    axes.grid(axis="x", alpha=0.3)

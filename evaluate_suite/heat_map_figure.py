"""A picture of heat maps over their radiographs, with the boxes: the best cases and the worst."""

from collections.abc import Sequence
from textwrap import fill

import numpy as np
from datasets import Dataset
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from .context import TaskContext
from .grounding_cases import CaseMap, GroundingCase
from .heat_maps import to_pixels
from .images import as_rgb

_COLUMNS = 4
_TITLE_WIDTH = 34  # characters a line
_PAD_INCHES = 0.1  # around each map and its title, at the edges of the picture too


def add_heat_maps(
    context: TaskContext, cases: Sequence[GroundingCase], maps: Sequence[CaseMap], ious: NDArray[np.float64]
) -> None:
    """Leave the figure `grounding_maps`: the cases of the highest and of the lowest IoU, equals in the data's order.

    Args:
        context: its test split has the images.
        cases, maps: the C cases and their maps.
        ious: [C] by which they are ranked.
    """
    order = np.argsort(-ious, kind="stable")
    shown = min(_COLUMNS, len(cases) // 2) or 1
    best, worst = order[:shown], order[-shown:][::-1] if len(cases) > 1 else order[:0]

    def draw(figure: Figure) -> None:
        rows = [row for row in (best, worst) if len(row)]
        figure.set_layout_engine("constrained", h_pad=_PAD_INCHES, w_pad=_PAD_INCHES)
        figure.set_size_inches(3.0 * _COLUMNS, 3.6 * len(rows))
        axes = figure.subplots(len(rows), _COLUMNS, squeeze=False)
        for row, places in enumerate(rows):
            for column in range(_COLUMNS):
                axes[row, column].set_axis_off()
            for column, place in enumerate(places):
                _draw_case(axes[row, column], context.test, cases[place], maps[place], float(ious[place]))

    context.figures.add(
        "grounding_maps",
        draw,
        "Heat maps of phrases with the highest intersection over union (above) and the lowest (below); boxes in "
        "green, the map's maximum as a cross.",
    )


def _draw_case(axes: Axes, data: Dataset, case: GroundingCase, found: CaseMap, iou: float) -> None:
    heat = to_pixels(found.grid, found.width, found.height, found.seen)
    extent = (0, found.width, found.height, 0)
    axes.imshow(np.asarray(as_rgb(data[case.row]["image"]).convert("L")), cmap="gray", vmin=0, vmax=255, extent=extent)
    axes.imshow(heat, cmap="inferno", alpha=0.6 * heat, extent=extent, vmin=0, vmax=1)
    for x0, y0, x1, y1 in case.boxes:
        axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor="lime", linewidth=1.8))
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    axes.plot(column + 0.5, row + 0.5, "x", color="cyan", markersize=9, markeredgewidth=2)
    axes.set_title(f"{fill(case.phrase, _TITLE_WIDTH)}\n{case.label}, IoU {iou:.2f}", fontsize=9)

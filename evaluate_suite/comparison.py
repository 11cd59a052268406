"""A comparison as a page: one table with the best in bold, the differences, and a chart."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from .compare import Comparison, Difference
from .context import Picture
from .figures import draw_points, save
from .formatting import (
    full_text,
    is_gain,
    is_headline,
    is_part,
    label,
    lower_is_better,
    number_text,
    table,
    unit,
    words,
)
from .output import replaced_files
from .statistics import Measurement
from .tree import Path as TreePath

PAGE, NUMBERS, CHART = "comparison.md", "comparison.json", "comparison"

_CONTROLS = ("blind", "wrong_")  # how the names of numbers begin that are not the model's: none is the best
_NO_NUMBER = "–"
_CHART_CAPTION = "The headline numbers with 95 % intervals; dotted: by chance."
_READING = """**Bold**: the best of a line. Numbers stand with their 95 % interval, chance and n. A difference is taken
to the first report on the cases that both have, with a paired cluster bootstrap over studies; by chance it is 0.
What the single controls have, and controls and gains on each part of a test, stands in `comparison.json`."""


def markdown(comparison: Comparison, *, chart: bool) -> str:
    """The page of a comparison: the headline numbers with their differences, then the others.

    Args:
        comparison: what `compare` returns.
        chart: whether the chart lies beside the page, to be linked.
    """
    first, *others = comparison.names
    header = ["", *comparison.names, *(f"{name} less {first}" for name in others)]
    rows = {
        path: [label(path), *_cells(path, numbers), *_difference_cells(path, comparison.differences[path])]
        for path, numbers in comparison.numbers.items()
        if not _is_in_detail(path)
    }
    main = [row for path, row in rows.items() if is_headline(path)]
    rest = [row for path, row in rows.items() if not is_headline(path)]
    parts = [f"# {' against '.join(comparison.names)}", _READING, *comparison.remarks]
    if chart:
        parts.append(f"![{_CHART_CAPTION}]({CHART}.png)\n\n*{_CHART_CAPTION}*")
    parts += [table(header, main)] if main else []
    parts += ["## The other numbers", table(header, rest)] if rest else []
    return "\n\n".join(parts) + "\n"


def write_comparison(comparison: Comparison, out: Path) -> None:
    """Write `comparison.md`, `comparison.json` and `comparison.png` into a folder, which is made.

    Raises:
        OSError: a file cannot be written; the message names the folder.
    """
    numbers = {
        "names": comparison.names,
        "remarks": comparison.remarks,
        "numbers": {".".join(path): each for path, each in comparison.numbers.items()},
        "differences": {
            ".".join(path): [None if one is None else asdict(one) for one in each]
            for path, each in comparison.differences.items()
        },
    }
    page = markdown(comparison, chart=True)
    with replaced_files(out) as folder:
        save(Picture(CHART, partial(draw, comparison), _CHART_CAPTION), folder)
        (folder / NUMBERS).write_text(json.dumps(numbers, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        (folder / PAGE).write_text(page, encoding="utf-8")


def draw(comparison: Comparison, figure: Figure) -> None:
    """Draw the headline numbers that are shares, one line each and one mark a report."""
    paths = [path for path in comparison.numbers if is_headline(path) and unit(path) == "share"]
    series = {name: [comparison.numbers[path][place] for path in paths] for place, name in enumerate(comparison.names)}
    draw_points(figure, [words(path) for path in paths], series)


def _is_in_detail(path: TreePath) -> bool:
    return (_is_control(path) or is_gain(path)) and (is_part(path) or "models" in path)


def _is_control(path: TreePath) -> bool:
    return any(part.startswith(_CONTROLS) for part in path)


def _cells(path: TreePath, numbers: Sequence[Measurement | None]) -> Iterable[str]:
    values = [number["value"] for number in numbers if number is not None]
    best = min(values) if lower_is_better(path) else max(values)
    compared = len(values) > 1 and not _is_control(path)
    for number in numbers:
        if number is None:
            yield _NO_NUMBER
        else:
            text = full_text(number, path)
            yield f"**{text}**" if compared and number["value"] == best else text


def _difference_cells(path: TreePath, differences: Sequence[Difference | None]) -> Iterable[str]:
    for difference in differences:
        if difference is None:
            yield _NO_NUMBER
            continue
        n, n_first, n_other = difference.number["n"], difference.n_first, difference.n_other
        cases = f"n {n:,}" if n == n_first == n_other else f"n {n:,}, in both of {n_first:,} and {n_other:,}"
        yield f"{number_text(difference.number, path, signed=True)} ({cases})"

"""What a task is given, and what it leaves besides its numbers: outcomes case by case, and figures."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from .embeddings import Embeddings

Tree = dict[str, Any]
"""A part of `report.json`: names to `Measurement`s, to further trees, or, under `skipped`, to reasons."""

Statistic = Literal["mean", "median", "auroc", "average_precision"]
"""How a number comes from the values of its cases; the last two from scores and targets."""

_NAMES = ("task", "metric", "statistic", "part", "case", "study")
SCHEMA = pa.schema([(name, pa.string()) for name in _NAMES] + [("target", pa.int8()), ("value", pa.float64())])
"""The columns of `outcomes.parquet`."""

_OF_TARGETS = ("auroc", "average_precision")
_NO_TARGET = -1
_FIGURE_NAME = re.compile(r"\w+")


class Outcomes:
    """Results case by case, from which two reports on the same data are compared with paired intervals.

    As a table: one row a case, with the columns `task`, `metric`, `statistic`, `part`, `case`, `study`, `target` (-1
    for none) and `value`.
    """

    def __init__(self) -> None:
        self._tables: dict[tuple[str, str], pa.Table] = {}

    def add(
        self,
        task: str,
        metric: str,
        cases: Sequence[str],
        studies: Sequence[str],
        values: ArrayLike,
        *,
        statistic: Statistic = "mean",
        targets: ArrayLike | None = None,
        parts: Sequence[str] | None = None,
    ) -> None:
        """Keep what each case contributed to one number of the report.

        Args:
            task: the task's name.
            metric: where the number stands under the task, with dots: `accuracy`, `by_kind.negation`.
            cases: N names, all different and the same in every run on this data: `image_id`, `image_id/kind`.
            studies: [N] the study of each case; the cases of a study are resampled together.
            values: [N] float64.
            statistic: what of the values is the number in the report.
            targets: [N] whether each case is positive; for `auroc` and `average_precision`, and only for these.
            parts: [N] for a number that is the mean over parts of the statistic of each, as over labels, the part of
                each case, which may then stand once in every part; not for a median.

        Raises:
            ValueError: the lengths differ, a case stands twice, a value is NaN, the number has its cases already, or
                the statistic cannot be had.
        """
        place = f"the outcomes of {task}.{metric}"
        if (task, metric) in self._tables:
            raise ValueError(f"{place} were added before")
        if (targets is not None) != (statistic in _OF_TARGETS):
            raise ValueError(f"{place} need targets for {', '.join(_OF_TARGETS)}, and only for these")
        if parts is not None and statistic == "median":
            raise ValueError(f"{place}: there is no mean over parts of medians")
        numbers = np.asarray(values, dtype=np.float64)
        told = np.full(len(cases), _NO_TARGET) if targets is None else np.asarray(targets)
        names = [""] * len(cases) if parts is None else parts
        _check_cases(place, cases, studies, numbers, told, names)
        columns = (
            pa.repeat(task, len(cases)),
            pa.repeat(metric, len(cases)),
            pa.repeat(statistic, len(cases)),
            pa.array(names, pa.string()),
            pa.array(cases, pa.string()),
            pa.array(studies, pa.string()),
            pa.array(told.astype(np.int8)),
            pa.array(numbers),
        )
        self._tables[task, metric] = pa.table(columns, schema=SCHEMA)

    def to_parquet(self, path: Path) -> None:
        """Write all rows as one Parquet file; names that repeat are stored once."""
        pq.write_table(pa.concat_tables([SCHEMA.empty_table(), *self._tables.values()]), path, compression="zstd")


def _check_cases(
    place: str,
    cases: Sequence[str],
    studies: Sequence[str],
    values: NDArray[np.float64],
    targets: NDArray[Any],
    parts: Sequence[str],
) -> None:
    if values.ndim != 1 or len({len(cases), len(studies), len(parts), *values.shape, *targets.shape}) > 1:
        raise ValueError(
            f"{place} are {len(cases)} cases, {len(studies)} studies, and values of shape {values.shape}: give one of "
            "each a case"
        )
    if len(set(zip(parts, cases, strict=True))) < len(cases):
        raise ValueError(f"{place} have a case that stands twice among the {len(cases)}")
    for row in np.flatnonzero(np.isnan(values))[:1]:
        raise ValueError(f"{place} have case {cases[row]!r} with a value of NaN: leave the case out")


@dataclass(frozen=True)
class Picture:
    """One figure of the report.

    Attributes:
        name: of the file without its ending.
        draw: draws onto an empty matplotlib figure; it may change the figure's size, which is in inches at 120 dpi.
        caption: one line for the report, in words.
    """

    name: str
    draw: Callable[[Figure], None]
    caption: str


class Figures:
    """What is to be drawn, in the order in which it was added; drawing waits until all tasks are done."""

    def __init__(self) -> None:
        self.pictures: list[Picture] = []

    def add(self, name: str, draw: Callable[[Figure], None], caption: str) -> None:
        """Leave a figure for the report, as `figures/NAME.png` with its caption.

        Raises:
            ValueError: the name is taken, or has other characters than letters, digits and `_`.
        """
        if not _FIGURE_NAME.fullmatch(name):
            raise ValueError(f"figure {name!r} is to be a file's name: use letters, digits and _ alone")
        if any(name == picture.name for picture in self.pictures):
            raise ValueError(f"there are two figures called {name!r}: choose another name")
        self.pictures.append(Picture(name, draw, caption))


@dataclass(frozen=True)
class TaskContext:
    """All that a task may use.

    Attributes:
        embeddings: those of the model, shared by all tasks.
        test: the evaluated split of a perturbed-pairs dataset, its images decoded.
        train: the training split, for the blind models; None where the dataset has none.
        validation: the split that thresholds are chosen on; None where there is none besides the evaluated one.
        n_bootstrap, seed: of the cluster bootstrap over studies, and of whatever else is drawn.
        outcomes: where the task leaves its results case by case.
        figures: where it leaves what is to be drawn.
    """

    embeddings: Embeddings
    test: Dataset
    train: Dataset | None = None
    validation: Dataset | None = None
    n_bootstrap: int = 1000
    seed: int = 0
    outcomes: Outcomes = field(default_factory=Outcomes)
    figures: Figures = field(default_factory=Figures)

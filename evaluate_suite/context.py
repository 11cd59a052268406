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
from numpy.typing import ArrayLike

from .embeddings import Embeddings

Tree = dict[str, Any]
"""A part of `report.json`: names to `Measurement`s, to further trees, or, under `skipped`, to reasons."""

Statistic = Literal["mean", "median"]
"""How a number comes from the values of its cases."""

_FIGURE_NAME = re.compile(r"\w+")


class Outcomes:
    """Results case by case, from which two reports on the same data are compared with paired intervals.

    As a table: one row a case, with the columns `task`, `metric`, `statistic`, `case`, `study` and `value`.
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
    ) -> None:
        """Keep what each case contributed to one number of the report.

        Args:
            task: the task's name.
            metric: where the number stands under the task, with dots: `accuracy`, `by_kind.negation`.
            cases: N names, all different and the same in every run on this data: `image_id`, `image_id/kind`.
            studies: [N] the study of each case; the cases of a study are resampled together.
            values: [N] float64.
            statistic: what of the values is the number in the report.

        Raises:
            ValueError: the lengths differ, a case stands twice, a value is NaN, or the number has its cases already.
        """
        numbers = np.asarray(values, dtype=np.float64)
        place = f"{task}.{metric}"
        if (task, metric) in self._tables:
            raise ValueError(f"the outcomes of {place} were added before")
        if numbers.shape != (len(cases),) or len(studies) != len(cases):
            raise ValueError(
                f"the outcomes of {place} are {len(cases)} cases, {len(studies)} studies, and values of shape "
                f"{numbers.shape}: give one of each a case"
            )
        if len(set(cases)) < len(cases):
            raise ValueError(f"the outcomes of {place} have a case that stands twice among the {len(cases)}")
        for row in np.flatnonzero(np.isnan(numbers))[:1]:
            raise ValueError(f"the outcome of case {cases[row]!r} of {place} is NaN: leave the case out")
        self._tables[task, metric] = pa.table(
            {
                "task": pa.repeat(task, len(cases)),
                "metric": pa.repeat(metric, len(cases)),
                "statistic": pa.repeat(statistic, len(cases)),
                "case": pa.array(cases, pa.string()),
                "study": pa.array(studies, pa.string()),
                "value": pa.array(numbers, pa.float64()),
            }
        )

    def to_parquet(self, path: Path) -> None:
        """Write all rows as one Parquet file; names that repeat are stored once."""
        pq.write_table(pa.concat_tables([_NO_ROWS, *self._tables.values()]), path, compression="zstd")


_NO_ROWS = pa.schema(
    [(name, pa.string()) for name in ("task", "metric", "statistic", "case", "study")] + [("value", pa.float64())]
).empty_table()


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

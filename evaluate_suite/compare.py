"""Reports set beside each other, each one's differences to the first on the cases that both have."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from .context import SCHEMA, Tree
from .formatting import is_gain, unit
from .output import OUTCOMES, read_report
from .paired_cases import PairedCases
from .ranking import mean_interval, mean_of_defined
from .statistics import DIFFERENCE_OF_GAINS, GAIN, Measurement
from .structure_accuracy.structure_accuracy import bounded_interval, group_indices, percentile_interval
from .tree import Path as TreePath
from .tree import measurements


@dataclass(frozen=True)
class Difference:
    """How far a report's number lies above that of the first, on the cases that both have.

    Attributes:
        number: the difference with its paired interval; by chance it is 0; n is the number of shared cases.
        n_first, n_other: how many cases each of the two has.
    """

    number: Measurement
    n_first: int
    n_other: int


@dataclass(frozen=True)
class Comparison:
    """Two or more reports.

    Attributes:
        names: R names of the reports, all different.
        numbers: by path in the reports' `tasks`, R numbers, None where a report has none.
        differences: by path, R - 1 differences to the first report, None where no case is shared.
        remarks: what a reader must know, in words.
    """

    names: list[str]
    numbers: dict[TreePath, list[Measurement | None]]
    differences: dict[TreePath, list[Difference | None]]
    remarks: list[str]


def compare(paths: Sequence[Path], *, n_bootstrap: int = 1000, seed: int = 0) -> Comparison:
    """Compare reports of the same data.

    Args:
        paths: two or more, each a folder that the runner wrote, or the `report.json` in it.
        n_bootstrap, seed: the bootstrap of the differences, over the studies of the shared cases.

    Raises:
        ValueError: there are fewer than two reports, or a path holds none.
    """
    if len(paths) < 2:
        raise ValueError(f"{len(paths)} report to compare: give at least two")
    if n_bootstrap < 1 or seed < 0:
        raise ValueError(f"n_bootstrap is {n_bootstrap} and seed {seed}: at least 1 resample, and a seed of 0 or more")
    reports, folders = zip(*(read_report(path) for path in paths), strict=True)
    found = [dict(measurements(report["tasks"])) for report in reports]
    every_path = list(dict.fromkeys(path for numbers in found for path in numbers))
    first, *rest = (_read_outcomes(folder) for folder in folders)
    return Comparison(
        names=_distinct_names(reports, folders),
        numbers={path: [numbers.get(path) for numbers in found] for path in every_path},
        differences={
            path: [_difference(first, other, path, n_bootstrap, seed) for other in rest] for path in every_path
        },
        remarks=_remarks(reports),
    )


def _distinct_names(reports: Sequence[Tree], folders: Sequence[Path]) -> list[str]:
    names = [report["model"] for report in reports]
    if len(set(names)) < len(names):
        names = [f"{name} ({folder.resolve().name})" for name, folder in zip(names, folders, strict=True)]
    if len(set(names)) < len(names):
        names = [f"{name}, report {place}" for place, name in enumerate(names, start=1)]
    return names


def _remarks(reports: Sequence[Tree]) -> list[str]:
    if len({report["fingerprint"] for report in reports}) == 1:
        return []
    data = "; ".join(f"{report['data']}, split {report['split']}, {report['n_images']} images" for report in reports)
    return [
        f"The reports are not of the same images and texts ({data}). Cases are paired by their names: a difference "
        "says something only where equal names stand for equal cases."
    ]


def _read_outcomes(folder: Path) -> pa.Table:
    path = folder / OUTCOMES
    try:
        return pq.read_table(path).cast(SCHEMA)
    except (FileNotFoundError, pa.ArrowInvalid, ValueError) as error:  # a cast to other names is a ValueError
        raise ValueError(f"{path} is missing or damaged, and differences need it: run the report again") from error


def _difference(first: pa.Table, other: pa.Table, path: TreePath, n_bootstrap: int, seed: int) -> Difference | None:
    mine, theirs = _cases(first, path), _cases(other, path)
    # A case whose target is another one in the other report is not the same case.
    keys = ["part", "case", "target"]
    both = mine.join(theirs, keys, join_type="inner", right_suffix="_other").sort_by(
        [(key, "ascending") for key in keys]
    )
    if not len(both):
        return None
    cases = PairedCases(
        parts=both["part"].to_numpy(),
        targets=both["target"].to_numpy(),
        groups=group_indices(both["study"].to_pylist(), len(both)),
        n_bootstrap=n_bootstrap,
        seed=seed,
    )
    statistic = both["statistic"][0].as_py()
    values, values_first = both["value_other"].to_numpy(), both["value"].to_numpy()
    value, replicates = cases.estimate(statistic, values)
    value_first, replicates_first = cases.estimate(statistic, values_first)
    if np.isnan([value, value_first]).any():
        return None  # none of the shared cases is positive, or all are
    paired = replicates - replicates_first  # of the same resamples, [B, K]
    if statistic == "auroc" or statistic == "average_precision":
        certain, certain_first = (cases.certain_intervals(statistic, each) for each in (values, values_first))
        interval = mean_interval(paired, _certain_differences(replicates, certain, replicates_first, certain_first))
    elif statistic == "mean" and unit(path) == "share" and paired.shape[1] == 1:
        bounds = DIFFERENCE_OF_GAINS if is_gain(path) else GAIN
        interval = bounded_interval(paired[:, 0], values - values_first, np.ones(len(both)), cases.groups, bounds)
    else:
        interval = percentile_interval(mean_of_defined(paired))
    number = Measurement(value=value - value_first, interval=interval, chance=0.0, n=len(both))
    return Difference(number, n_first=len(mine), n_other=len(theirs))


def _certain_differences(
    replicates: NDArray[np.float64],
    certain: Sequence[list[float] | None],
    replicates_first: NDArray[np.float64],
    certain_first: Sequence[list[float] | None],
) -> list[list[float] | None]:
    # Where resamples would say too much of one of two areas, their difference may be that of any ends of the two's own
    # intervals; None elsewhere.
    differences: list[list[float] | None] = []
    for column, known, column_first, known_first in zip(
        replicates.T, certain, replicates_first.T, certain_first, strict=True
    ):
        if known is None and known_first is None:
            differences.append(None)
            continue
        low, high = known or percentile_interval(column)
        low_first, high_first = known_first or percentile_interval(column_first)
        differences.append([low - high_first, high - low_first])
    return differences


def _cases(outcomes: pa.Table, path: TreePath) -> pa.Table:
    task, metric = path[0], ".".join(path[1:])
    chosen = pc.and_(pc.equal(outcomes["task"], task), pc.equal(outcomes["metric"], metric))
    return outcomes.filter(chosen).drop_columns(["task", "metric"])

"""Numbers with their interval, chance level and n: what every task of the suite reports.

The resampling itself stands in the structure accuracy metric, whose script must run alone.
"""

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from .structure_accuracy.structure_accuracy import (
    bootstrap_ratios,
    bounded_interval,
    percentile_interval,
    resampled_group_counts,
)

Bounds = tuple[float, float]
"""The lowest and the highest value that a case can have."""

SHARE: Bounds = (0.0, 1.0)
"""Of a case that is right, wrong or something between: accuracies and recalls."""

GAIN: Bounds = (-1.0, 1.0)
"""Of the difference of two shares."""

DIFFERENCE_OF_GAINS: Bounds = (-2.0, 2.0)
"""Of the difference of two gains."""


class Measurement(TypedDict):
    """One number of a report: value, 95 % interval `[low, high]`, value by chance, how many cases it rests on."""

    value: float
    interval: list[float]
    chance: float
    n: int


def measure_mean(
    values: NDArray[np.float64],
    groups: NDArray[np.int64],
    chance: float,
    n_bootstrap: int,
    seed: int,
    bounds: Bounds | None = None,
) -> Measurement:
    """The mean of `values` [N], with the interval of a cluster bootstrap.

    Args:
        values: [N] float64, N at least 1.
        groups: [N] index of each value's group, 0 to G - 1; the values of a group are resampled together.
        chance: the mean expected of random scores.
        n_bootstrap, seed: the bootstrap's number of resamples and seed.
        bounds: where the values are bounded, `SHARE` or `GAIN`: those that are all the same, or all of one group, then
            get the interval of `bounded_interval` and claim no certainty.
    """
    ones = np.ones(len(values))
    replicates = bootstrap_ratios(values[:, None], ones[:, None], groups, n_bootstrap, seed)
    interval = _interval(replicates[:, 0], values, ones, groups, bounds)
    return Measurement(value=float(values.mean()), interval=interval, chance=chance, n=len(values))


def measure_parts(
    values: NDArray[np.float64],
    counted: NDArray[np.bool_],
    groups: NDArray[np.int64],
    chances: Sequence[float],
    n_bootstrap: int,
    seed: int,
    bounds: Bounds | None = None,
) -> list[Measurement | None]:
    """Means over several parts of the same cases, all with the same resamples.

    Args:
        values: [N, K] float64; what is not counted is not read.
        counted: [N, K] whether a case belongs to a part.
        groups: [N] index of each case's group, 0 to G - 1.
        chances: K means expected of random scores.
        n_bootstrap, seed: the bootstrap's number of resamples and seed.
        bounds: as for `measure_mean`.

    Returns:
        K measurements, None for a part without cases.
    """
    found = np.flatnonzero(counted.any(axis=0))
    denominators = counted[:, found].astype(np.float64)
    numerators = np.where(counted, values, 0.0)[:, found]
    replicates = bootstrap_ratios(numerators, denominators, groups, n_bootstrap, seed)
    measured: list[Measurement | None] = [None] * counted.shape[1]
    for place, part in enumerate(found):
        n = denominators[:, place].sum()
        measured[part] = Measurement(
            value=float(numerators[:, place].sum() / n),
            interval=_interval(replicates[:, place], numerators[:, place], denominators[:, place], groups, bounds),
            chance=chances[int(part)],
            n=int(n),
        )
    return measured


def _interval(
    replicates: NDArray[np.float64],
    numerators: NDArray[np.float64],
    denominators: NDArray[np.float64],
    groups: NDArray[np.int64],
    bounds: Bounds | None,
) -> list[float]:
    if bounds is None:
        return percentile_interval(replicates)
    return bounded_interval(replicates, numerators, denominators, groups, bounds)


def measure_median(
    values: NDArray[np.float64], groups: NDArray[np.int64], chance: float, n_bootstrap: int, seed: int
) -> Measurement:
    """The median of `values` [N], with the interval of a cluster bootstrap; arguments as for `measure_mean`."""
    replicates = bootstrap_medians(values, groups, n_bootstrap, seed)
    return Measurement(
        value=float(np.median(values)), interval=percentile_interval(replicates), chance=chance, n=len(values)
    )


def bootstrap_medians(
    values: NDArray[np.float64], groups: NDArray[np.int64], n_bootstrap: int, seed: int
) -> NDArray[np.float64]:
    """Cluster bootstrap of a median.

    Args:
        values: [N] float64, N at least 1.
        groups: [N] index of each value's group, 0 to G - 1.
        n_bootstrap: number of resamples B.
        seed: seed of the resamples.

    Returns:
        [B] float64, each the median of the values whose groups were drawn, as often as they were drawn.
    """
    order = np.argsort(values, kind="stable")
    ordered, ordered_groups = values[order], groups[order]
    medians = []
    for counts in resampled_group_counts(int(groups.max()) + 1, n_bootstrap, seed):
        drawn = np.cumsum(counts[:, ordered_groups], axis=1)  # [b, N]: how many drawn values stand up to here
        total = drawn[:, -1:]
        lower = (drawn <= (total - 1) // 2).sum(axis=1)
        upper = (drawn <= total // 2).sum(axis=1)
        medians.append((ordered[lower] + ordered[upper]) / 2)
    return np.concatenate(medians)


def chance_rank_distribution(n_candidates: int, n_right: NDArray[np.int64]) -> NDArray[np.float64]:
    """How the rank of the first right candidate is distributed when the order is random.

    A query with m right ones among N candidates has its first right one at rank r or better with probability
    1 - C(N - m, r) / C(N, r).

    Args:
        n_candidates: number of candidates N.
        n_right: [Q] number of right ones of each query, 1 to N.

    Returns:
        [N] float64: the mean over the queries of P(rank <= r), for r = 1 to N.
    """
    drawn = np.arange(n_candidates)
    distribution = np.zeros(n_candidates)
    for right, n_queries in zip(*np.unique(n_right, return_counts=True), strict=True):
        missed = np.cumprod(np.maximum(n_candidates - right - drawn, 0) / (n_candidates - drawn))  # P(rank > r)
        first = np.concatenate([[1.0], missed[:-1]]) * np.minimum(right / (n_candidates - drawn), 1.0)  # P(rank = r)
        distribution += n_queries / len(n_right) * np.cumsum(first)
    return distribution


def chance_recall(distribution: NDArray[np.float64], k: int) -> float:
    """Recall at k of a random order, from `chance_rank_distribution`; 1 where there are no more than k candidates."""
    return float(distribution[min(k, len(distribution)) - 1])


def chance_median_rank(distribution: NDArray[np.float64]) -> float:
    """Median rank of a random order, from `chance_rank_distribution`; (N + 1) / 2 for one right among N."""
    # Half way between the lower and the upper median; a sum that is 0.5 but for rounding counts as 0.5.
    lower = np.argmax(distribution >= 0.5 - 1e-9)
    upper = np.argmax(distribution > 0.5 + 1e-9)
    return float(lower + upper) / 2 + 1

"""How well scores order positives before negatives, with resamples of the cases counted as weights.

A bootstrap resample draws a case 0, 1, 2, ... times; with that as its weight, the areas of all resamples come from
cumulative sums over one sorting of the scores.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .structure_accuracy.structure_accuracy import bounded_interval, percentile_interval, resampled_group_counts

Area = Literal["auroc", "average_precision"]
"""An attribute of `RankingScores`."""

_WEIGHTS_AT_ONCE = 2**19  # of resamples times cases in memory: 4 MiB an array, which a cache holds


@dataclass(frozen=True)
class RankingScores:
    """Areas under curves of B weightings: [B] float64 each, NaN where one of the two classes has no weight.

    Attributes:
        auroc: under the receiver operating characteristic: the share of pairs of a positive and a negative that the
            scores order rightly, a tie counted as half.
        average_precision: the mean over the positives of the precision at their score; tied cases come in together.
    """

    auroc: NDArray[np.float64]
    average_precision: NDArray[np.float64]


def ranking_scores(
    scores: NDArray[np.float64], positive: NDArray[np.bool_], weights: NDArray[np.int64]
) -> RankingScores:
    """The areas of weighted cases.

    Args:
        scores: [N] float64, higher = more likely positive.
        positive: [N] the classes.
        weights: [B, N] how often each case counts in each weighting.
    """
    order = np.argsort(-scores, kind="stable")
    falling = -scores[order]
    places = np.flatnonzero(positive[order])  # [P]
    first = np.searchsorted(falling, falling[places], "left")  # the run of scores that equal the positive's
    last = np.searchsorted(falling, falling[places], "right")
    of_positives = weights[:, order[places]]
    seen = _from_zero(weights[:, order])  # [B, N + 1], cases before each
    found = _from_zero(of_positives)  # [B, P + 1], positives before each positive
    found_first, found_last = (
        found[:, np.searchsorted(places, first)],
        found[:, np.searchsorted(places, last)],
    )  # [B, P]
    seen_first, seen_last = seen[:, first], seen[:, last]
    n_positive = found[:, -1].astype(np.float64)
    n_pairs = n_positive * (seen[:, -1] - n_positive)
    # Pairs in the wrong order, counted twice: the negatives above each positive, and those above or tied.
    misplaced = (of_positives * ((seen_first - found_first) + (seen_last - found_last))).sum(axis=1, dtype=np.float64)
    precisions = (of_positives * (found_last / np.maximum(seen_last, 1))).sum(axis=1)
    both = n_pairs > 0
    undefined = np.full(len(weights), np.nan)
    return RankingScores(
        auroc=1 - np.divide(misplaced, 2 * n_pairs, out=undefined.copy(), where=both),
        average_precision=np.divide(precisions, n_positive, out=undefined, where=both),
    )


def chance_average_precision(n_positive: int, n_cases: int) -> float:
    """The average precision expected of a random order of N cases, P of them positive.

    A positive at rank k has precision (1 + (k - 1) (P - 1) / (N - 1)) / k on average, and its rank is any of 1 to N:
    with the harmonic number H_N, that is (H_N + (P - 1) / (N - 1) (N - H_N)) / N, above the prevalence P / N, which it
    nears as N grows. Bestgen 2015, "Exact Expected Average Precision of the Random Baseline for System Evaluation".

    Args:
        n_positive: P, 1 to N - 1.
        n_cases: N.
    """
    harmonic = float((1 / np.arange(1, n_cases + 1)).sum())
    return (harmonic + (n_positive - 1) / (n_cases - 1) * (n_cases - harmonic)) / n_cases


def _from_zero(weights: NDArray[np.integer]) -> NDArray[np.int64]:
    # Cumulative sums along the rows, from 0: [B, N] -> [B, N + 1].
    sums = np.zeros((len(weights), weights.shape[1] + 1), dtype=np.int64)
    np.cumsum(weights, axis=1, out=sums[:, 1:])
    return sums


def bootstrap_ranking(
    scores: NDArray[np.float64],
    positive: NDArray[np.bool_],
    counted: NDArray[np.bool_],
    groups: NDArray[np.int64],
    n_bootstrap: int,
    seed: int,
) -> RankingScores:
    """Cluster bootstrap of the areas: B resamples of the groups, the same for all calls with the same groups.

    Args:
        scores, positive: [N], as for `ranking_scores`.
        counted: [N] the cases that count; the groups of the others are drawn all the same.
        groups: [N] index of each case's group, 0 to G - 1.
        n_bootstrap, seed: number of resamples B and their seed.
    """
    rows = np.flatnonzero(counted)
    at_once = max(1, _WEIGHTS_AT_ONCE // max(1, len(rows)))
    parts = [
        ranking_scores(scores[rows], positive[rows], counts[start : start + at_once][:, groups[rows]])
        for counts in resampled_group_counts(int(groups.max()) + 1, n_bootstrap, seed)
        for start in range(0, len(counts), at_once)
    ]
    return RankingScores(
        auroc=np.concatenate([part.auroc for part in parts]),
        average_precision=np.concatenate([part.average_precision for part in parts]),
    )


def certain_interval(
    area: Area, scores: NDArray[np.float64], positive: NDArray[np.bool_], groups: NDArray[np.int64]
) -> list[float] | None:
    """The 95 % interval `[low, high]` of an area of which resamples would say more than the cases do; None elsewhere.

    Where all positives lie above all negatives, every resample is as perfect. By the exact binomial interval (Clopper
    and Pearson, 1934), a share q = 1 - 0.025 ** (1 / G) of a class with G groups may still be misplaced, and no group
    of it was seen to be. The interval ends at 1 and begins at the lower of two values: were that share of the
    positives last of all, or that share of the negatives first of all.

    - AUROC: 1 - q, so 0.025 ** (1 / G) for the class of fewer groups. Where each group is of one class, no lower AUROC
      is compatible with the cases at that level: G disjoint pairs of a positive and a negative, each of other groups,
      are all in order. Groups of both classes make it an approximation.
      Where all positives lie below all negatives, or all scores tie at 0.5, the share q of pairs may be otherwise:
      `[v - q v, v + q (1 - v)]`.
    - Average precision: 1 - q of the positives, the last ones counting as nothing; or, with P positives and f = q N
      of the N negatives first, the mean of i / (i + f) over i = 1 to P. An approximation: some of both at once may
      give a little less.

    Where one class stands in one group alone and the order is not perfect, how the groups of that class vary is not
    known, and the interval is `[0, 1]`.

    Args:
        area: which.
        scores, positive, groups: [N] as for `bootstrap_ranking`, of the cases that count; both classes are there.
    """
    highs, lows = scores[positive], scores[~positive]
    of_positives, of_negatives = (len(np.unique(groups[which])) for which in (positive, ~positive))
    fewer = min(of_positives, of_negatives)
    if lows.max() < highs.min():
        if area == "auroc":
            return _unseen(1.0, fewer)
        first = (1 - _unseen(1.0, of_negatives)[0]) * len(lows)
        ranks = np.arange(1, len(highs) + 1)
        return [min(_unseen(1.0, of_positives)[0], float((ranks / (ranks + first)).mean())), 1.0]
    if area == "auroc" and highs.max() < lows.min():
        return _unseen(0.0, fewer)
    if area == "auroc" and np.ptp(scores) == 0:
        return _unseen(0.5, fewer)
    return [0.0, 1.0] if fewer == 1 else None


def _unseen(value: float, n_groups: int) -> list[float]:
    # The interval of a share that is `value` in each of `n_groups` groups.
    return bounded_interval(np.empty(0), np.full(n_groups, value), np.ones(n_groups), np.arange(n_groups))


def ranking_intervals(replicates: NDArray[np.float64], certain: Sequence[list[float] | None]) -> list[list[float]]:
    """The 95 % intervals of the mean over L labels and of each, [1 + L].

    Args:
        replicates: [B, L] of a bootstrap, NaN where undefined.
        certain: each label's `certain_interval`.
    """
    of_labels = [
        percentile_interval(column) if known is None else known
        for column, known in zip(replicates.T, certain, strict=True)
    ]
    return [mean_interval(replicates, certain), *of_labels]


def mean_interval(replicates: NDArray[np.float64], certain: Sequence[list[float] | None]) -> list[float]:
    """The 95 % interval of the mean over L labels, of some of which resamples would say too much.

    These come in with the ends of their own intervals, since with what was seen all of them can be there at once; the
    others with the percentile interval of their mean.

    Args:
        replicates: [B, L] of a bootstrap, NaN where undefined.
        certain: each label's interval where resamples would say too much, else None.
    """
    known = [each for each in certain if each is not None]
    others = replicates[:, [each is None for each in certain]]  # [B, L - known]
    ends = np.zeros(2) + np.sum(known, axis=0)
    if others.shape[1]:
        ends += others.shape[1] * np.array(percentile_interval(mean_of_defined(others)))
    return [float(end) for end in ends / len(certain)]


def mean_of_defined(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of each row [B, K], NaNs left out: [B], NaN where a row has nothing else."""
    defined = ~np.isnan(numbers)
    totals = np.where(defined, numbers, 0.0).sum(axis=1)
    return np.divide(totals, defined.sum(axis=1), out=np.full(len(totals), np.nan), where=defined.any(axis=1))

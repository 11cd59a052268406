"""How well scores order positives before negatives, with resamples of the cases counted as weights.

A bootstrap resample draws a case 0, 1, 2, ... times; with that as its weight, the areas of all resamples come from
cumulative sums over one sorting of the scores.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .structure_accuracy.structure_accuracy import resampled_group_counts

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


def mean_of_defined(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of each row [B, K], NaNs left out: [B], NaN where a row has nothing else."""
    defined = ~np.isnan(numbers)
    totals = np.where(defined, numbers, 0.0).sum(axis=1)
    return np.divide(totals, defined.sum(axis=1), out=np.full(len(totals), np.nan), where=defined.any(axis=1))

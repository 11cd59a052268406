"""Numbers of several models over the same cases and the same resamples, so that their differences are paired."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .context import Statistic
from .ranking import Area, bootstrap_ranking, certain_interval, mean_of_defined, ranking_scores
from .statistics import bootstrap_medians
from .structure_accuracy.structure_accuracy import bootstrap_ratios


@dataclass(frozen=True)
class PairedCases:
    """N cases that several models have values for.

    Attributes:
        parts: [N] the part of each case; a number is the mean over the parts of the statistic of each.
        targets: [N] 1 for a positive case, where the statistic is one of scores and targets.
        groups: [N] index of each case's group, 0 to G - 1, drawn together.
        n_bootstrap, seed: number of resamples B and their seed.
    """

    parts: NDArray[np.object_]
    targets: NDArray[np.int8]
    groups: NDArray[np.int64]
    n_bootstrap: int
    seed: int

    def estimate(self, statistic: Statistic, values: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """The statistic of values [N], and of their resamples that of each of the K parts where it is defined, [B, K].

        It is NaN where it is defined for no part, and in a resample where it is not.
        """
        if statistic == "median":
            resampled = bootstrap_medians(values, self.groups, self.n_bootstrap, self.seed)
            return float(np.median(values)), resampled[:, None]
        points, replicates = self._means(values) if statistic == "mean" else self._areas(statistic, values)
        return float(mean_of_defined(points[None])[0]), replicates

    def certain_intervals(self, area: Area, values: NDArray[np.float64]) -> list[list[float] | None]:
        """For each of the K parts of `estimate`, what `ranking.certain_interval` says of it."""
        return [
            certain_interval(area, values[rows], self.targets[rows] == 1, self.groups[rows])
            for rows in self._with_both()
        ]

    def _with_both(self) -> list[NDArray[np.bool_]]:
        # The cases [N] of each part that has positives and negatives.
        chosen = [self.parts == part for part in np.unique(self.parts)]
        return [rows for rows in chosen if len(np.unique(self.targets[rows])) == 2]

    def _means(self, values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        # Of K parts: means [K] and their resamples [B, K].
        in_part = (self.parts[:, None] == np.unique(self.parts)).astype(np.float64)  # [N, K]
        points = (in_part * values[:, None]).sum(axis=0) / in_part.sum(axis=0)
        return points, bootstrap_ratios(in_part * values[:, None], in_part, self.groups, self.n_bootstrap, self.seed)

    def _areas(self, area: Area, values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        positive = self.targets == 1
        points, replicates = [], [np.empty((self.n_bootstrap, 0))]
        for rows in self._with_both():
            once = np.ones((1, rows.sum()), dtype=np.int64)
            points.append(getattr(ranking_scores(values[rows], positive[rows], once), area)[0])
            resampled = bootstrap_ranking(values, positive, rows, self.groups, self.n_bootstrap, self.seed)
            replicates.append(getattr(resampled, area)[:, None])
        return np.array(points), np.hstack(replicates)

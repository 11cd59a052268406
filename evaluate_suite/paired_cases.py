"""Numbers of several models over the same cases and the same resamples, so that their differences are paired."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .context import Statistic
from .ranking import bootstrap_ranking, certain_interval, mean_interval, mean_of_defined, ranking_scores
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
        """The statistic of values [N] and of their resamples [B]; NaN where it is undefined for all parts."""
        if statistic == "median":
            return float(np.median(values)), bootstrap_medians(values, self.groups, self.n_bootstrap, self.seed)
        points, replicates = self._means(values) if statistic == "mean" else self._areas(statistic, values)
        return float(mean_of_defined(points[None])[0]), mean_of_defined(replicates)

    def certain_interval(self, statistic: Statistic, values: NDArray[np.float64]) -> list[float] | None:
        """The interval of an area of which resamples would say too much (`ranking.certain_interval`), else None."""
        if statistic == "mean" or statistic == "median":
            return None
        chosen = [self.parts == part for part in np.unique(self.parts)]
        return mean_interval(
            [
                certain_interval(statistic, values[rows], self.targets[rows] == 1, self.groups[rows])
                for rows in chosen
                if len(np.unique(self.targets[rows])) == 2
            ]
        )

    def _means(self, values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        # Of K parts: means [K] and their resamples [B, K].
        in_part = (self.parts[:, None] == np.unique(self.parts)).astype(np.float64)  # [N, K]
        points = (in_part * values[:, None]).sum(axis=0) / in_part.sum(axis=0)
        return points, bootstrap_ratios(in_part * values[:, None], in_part, self.groups, self.n_bootstrap, self.seed)

    def _areas(
        self, statistic: Statistic, values: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        positive = self.targets == 1
        points, replicates = [], []
        for part in np.unique(self.parts):
            rows = self.parts == part
            once = np.ones((1, rows.sum()), dtype=np.int64)
            points.append(getattr(ranking_scores(values[rows], positive[rows], once), statistic)[0])
            resampled = bootstrap_ranking(values, positive, rows, self.groups, self.n_bootstrap, self.seed)
            replicates.append(getattr(resampled, statistic))
        return np.array(points), np.column_stack(replicates)

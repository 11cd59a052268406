"""Structure accuracy: does an image score its own report above perturbed copies of that report?

This one file is the whole metric, so that `evaluate.load` and a Space can run it alone; `evaluate_suite` imports its
functions, and holds no second implementation.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import datasets
import evaluate
import numpy as np
from numpy.typing import ArrayLike, NDArray

_DESCRIPTION = """\
Structure accuracy is the share of images whose own report scores strictly higher than every perturbed copy of it \
(the same words in another order, an adjective turned into its antonym, ...). It is the zero-shot clinical semantic \
structure evaluation of Perturbed Report Discrimination. It comes with the mean reciprocal rank, the chance level, a \
bootstrap interval over studies, and the share of originals that beat each single perturbation.
"""

_CITATION = """\
@inproceedings{zhong2024prd,
  title = {Enhancing Biomedical Multi-modal Representation Learning with Multi-scale Pre-training and Perturbed Report
    Discrimination},
  author = {Zhong, Xinliu and Batmanghelich, Kayhan and Sun, Li},
  booktitle = {IEEE Conference on Artificial Intelligence (CAI)},
  year = {2024},
  eprint = {2506.01902},
  archivePrefix = {arXiv}
}
"""

_KWARGS_DESCRIPTION = """
Args:
    predictions: one list of scores an image (float64), one score a candidate report, higher = better match.
        Rows may differ in length.
    references: for each image, the position of the original report in its list.
    mask: optional, shaped as predictions; False leaves a candidate out (a perturbation equal to the original).
    names: optional, the names of the candidate columns; every row then has one score a name.
    groups: optional, one study identifier an image; the images of a study are resampled together.
    n_bootstrap: number of bootstrap resamples, at least 1. Defaults to 1000.
    seed: seed of the bootstrap. Defaults to 0.

Returns:
    accuracy: share of rows whose original beats every other candidate; a tie is a miss.
    accuracy_ties_shared: the same, an original that ties with k others for the first place counting 1 / (k + 1).
    mean_reciprocal_rank: mean of 1 / rank of the original, which takes the worst rank among its ties.
    chance: accuracy expected of random scores, the mean over rows of 1 / number of candidates.
    n: number of rows counted. Rows in which the original has no rival say nothing and are left out of every number.
    n_without_rival: number of the rows left out for that reason.
    interval: 95 % percentile bootstrap interval of accuracy, [low, high]; where all rows are right, or all wrong, the
        exact binomial one over the studies (Clopper and Pearson, 1934), which no bootstrap can give.
    mean_reciprocal_rank_chance, mean_reciprocal_rank_interval: the same two for the mean reciprocal rank.
    by_perturbation: where names are given, for each name that stands as a rival somewhere {"value": share of rows in
        which the original beats that candidate, "interval", "chance": 0.5, "n"}.

Raises:
    ValueError: a score that counts is NaN, or shapes, positions, names or groups do not fit; it names the row.

Examples:

    >>> metric = evaluate.load("evaluate_suite/structure_accuracy")
    >>> results = metric.compute(predictions=[[0.9, 0.2, 0.1], [0.3, 0.3, 0.1]], references=[0, 0])
    >>> results["accuracy"], results["accuracy_ties_shared"], results["mean_reciprocal_rank"]
    (0.5, 0.75, 0.75)
"""

# The resampled study counts in memory at once: 2 ** 22 of eight bytes are 32 MiB.
_RESAMPLES_IN_MEMORY = 2**22
_TAIL = 0.025  # outside a 95 % interval on either side
_ROUNDING = 1e-12  # values that differ by less are the same


@dataclass(frozen=True)
class CandidateOutcomes:
    """What each row of candidate scores says about its original.

    Attributes:
        correct: [N] float64, 1 where the original beats every other candidate, else 0.
        ties_shared: [N] float64, 1 / (k + 1) where the original ties with k others for the first place, else 0.
        reciprocal_rank: [N] float64, 1 / worst rank of the original among its ties.
        beaten: [N, C] bool, True where a rival scores below the original.
        rivals: [N, C] bool, True where a candidate counts and is not the original.
    """

    correct: NDArray[np.float64]
    ties_shared: NDArray[np.float64]
    reciprocal_rank: NDArray[np.float64]
    beaten: NDArray[np.bool_]
    rivals: NDArray[np.bool_]


def candidate_outcomes(
    scores: NDArray[np.float64], references: NDArray[np.int64], present: NDArray[np.bool_]
) -> CandidateOutcomes:
    """Compare each row's original with its rivals.

    Args:
        scores: [N, C] float64, higher = better match; what stands where `present` is False is not read.
        references: [N] positions of the originals, all present.
        present: [N, C] bool, False = candidate left out.
    """
    rows = np.arange(len(scores))
    rivals = present.copy()
    rivals[rows, references] = False
    originals = scores[rows, references][:, None]  # [N, 1]
    above = (rivals & (scores > originals)).sum(axis=1)  # [N]
    tied = (rivals & (scores == originals)).sum(axis=1)
    worst_rank = 1 + above + tied
    return CandidateOutcomes(
        correct=(worst_rank == 1).astype(np.float64),
        ties_shared=np.where(above == 0, 1.0 / (1 + tied), 0.0),
        reciprocal_rank=1.0 / worst_rank,
        beaten=rivals & (scores < originals),
        rivals=rivals,
    )


def resampled_group_counts(n_groups: int, n_bootstrap: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """How often each of `n_groups` groups is drawn in each bootstrap resample, in blocks of resamples.

    Resample b draws G groups with replacement: row b of `numpy.random.default_rng(seed).integers(G, size=(B, G))`.

    Yields:
        [b, n_groups] counts, each row summing to `n_groups`; the blocks hold `n_bootstrap` rows together.

    Raises:
        ValueError: `n_bootstrap` or `n_groups` is below 1.
    """
    if n_bootstrap < 1:
        raise ValueError(f"n_bootstrap is {n_bootstrap}: an interval needs at least 1 resample")
    if n_groups < 1:
        raise ValueError("there is no group to resample: an interval needs at least one row")
    generator = np.random.default_rng(seed)
    block = max(1, _RESAMPLES_IN_MEMORY // n_groups)
    for start in range(0, n_bootstrap, block):
        size = min(block, n_bootstrap - start)
        drawn = generator.integers(n_groups, size=(size, n_groups))
        drawn += np.arange(size)[:, None] * n_groups  # a range of its own for each resample
        yield np.bincount(drawn.ravel(), minlength=size * n_groups).reshape(size, n_groups)


def bootstrap_ratios(
    numerators: NDArray[np.float64],
    denominators: NDArray[np.float64],
    groups: NDArray[np.int64],
    n_bootstrap: int,
    seed: int,
) -> NDArray[np.float64]:
    """Cluster bootstrap of K ratios of sums, all over the same resamples, so that their differences are paired.

    Args:
        numerators, denominators: [N, K]; a mean over some rows has their values above and ones below, zeros elsewhere.
        groups: [N] index of each row's group, 0 to G - 1; the rows of a group are drawn together.
        n_bootstrap: number of resamples B.
        seed: seed of the resamples, which depend on (seed, G, B) alone.

    Returns:
        [B, K] float64; NaN where no row of a resample counts for that ratio.
    """
    n_groups = int(groups.max()) + 1 if len(groups) else 0
    group_numerators = np.zeros((n_groups, numerators.shape[1]))
    group_denominators = np.zeros_like(group_numerators)
    np.add.at(group_numerators, groups, numerators)
    np.add.at(group_denominators, groups, denominators)
    ratios = []
    for counts in resampled_group_counts(n_groups, n_bootstrap, seed):
        totals = counts @ group_denominators  # [b, K]
        ratios.append(np.divide(counts @ group_numerators, totals, out=np.full_like(totals, np.nan), where=totals > 0))
    return np.concatenate(ratios)


def percentile_interval(replicates: NDArray[np.float64]) -> list[float]:
    """The 95 % percentile interval `[low, high]` of replicates [B]; NaN ones, which had no row, are left out.

    Raises:
        ValueError: no replicate had a row.
    """
    if np.isnan(replicates).all():
        raise ValueError(f"none of the {len(replicates)} resamples drew a row that counts: raise n_bootstrap")
    return [float(bound) for bound in np.nanpercentile(replicates, [100 * _TAIL, 100 - 100 * _TAIL])]


def bounded_interval(
    replicates: NDArray[np.float64],
    numerators: NDArray[np.float64],
    denominators: NDArray[np.float64],
    groups: NDArray[np.int64],
    bounds: tuple[float, float] = (0.0, 1.0),
) -> list[float]:
    """The 95 % interval `[low, high]` of the mean of values that cannot leave `bounds`, such as a share of right rows.

    It is `percentile_interval`, but for two cases in which resamples would say more than the rows do:

    - All values are the same c, so that every resample is. Of G groups, none then had another value; by the exact
      binomial interval (Clopper and Pearson, *The use of confidence or fiducial limits illustrated in the case of the
      binomial*, Biometrika 26, 1934) at most a share q = 1 - 0.025 ** (1 / G) of all groups have one. Were these all
      at a bound, the mean would be c + q (bound - c): the interval's two ends, for groups of like size. Where all
      values are 1, it is [0.025 ** (1 / G), 1].
    - There is one group, with several values: how groups vary is not known, and the interval is `bounds`.

    Args:
        replicates: [B] of the mean, as `bootstrap_ratios` gives them.
        numerators, denominators, groups: [N] each, as for `bootstrap_ratios`; a value is numerator over denominator.
        bounds: the lowest and the highest value that there can be.

    Raises:
        ValueError: no replicate had a row, and neither case holds.
    """
    lowest, highest = bounds
    counted = denominators > 0
    values = numerators[counted] / denominators[counted]
    n_groups = len(np.unique(groups[counted]))
    if n_groups and np.ptp(values) <= _ROUNDING:
        value, unseen = float(values[0]), 1.0 - float(_TAIL ** (1 / n_groups))
        return [value - unseen * (value - lowest), value + unseen * (highest - value)]
    return [lowest, highest] if n_groups == 1 else percentile_interval(replicates)


def group_indices(groups: Sequence[Any] | NDArray[Any] | None, n_rows: int) -> NDArray[np.int64]:
    """Number the groups 0 to G - 1; without groups every row is its own.

    Args:
        groups: one identifier a row, or None.
        n_rows: number of rows N.

    Returns:
        [N] int64 indices.

    Raises:
        ValueError: there is not one identifier a row, or one is missing (None or NaN).
    """
    if groups is None:
        return np.arange(n_rows)
    if len(groups) != n_rows:
        raise ValueError(f"groups holds {len(groups)} identifiers for {n_rows} rows: give one a row")
    for row, identifier in enumerate(groups):
        if identifier is None or (isinstance(identifier, float) and np.isnan(identifier)):
            raise ValueError(f"row {row}: its group is {identifier}; give every row an identifier")
    # Sorted, so that the resamples do not hang on the order of the rows.
    distinct = sorted(set(groups), key=lambda identifier: (type(identifier).__name__, identifier))
    number_of = {identifier: number for number, identifier in enumerate(distinct)}
    return np.array([number_of[identifier] for identifier in groups], dtype=np.int64)


def structure_scores(
    scores: ArrayLike,
    references: ArrayLike,
    mask: ArrayLike | None = None,
    names: Sequence[str] | None = None,
    groups: Sequence[Any] | NDArray[Any] | None = None,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Everything that the metric returns; arguments, result and errors are those of `StructureAccuracy.compute`."""
    table, present = _candidate_table(scores, mask)  # [N, C]
    positions = _checked_positions(references, present)
    _check_scores(table, present)
    columns = _checked_names(names, scores)
    indices = group_indices(groups, len(table))
    outcomes = candidate_outcomes(table, positions, present)
    kept = outcomes.rivals.any(axis=1)
    if not kept.any():
        raise ValueError(f"none of the {len(table)} rows has a rival to its original: there is nothing to score")

    beaten, rivals = outcomes.beaten[kept], outcomes.rivals[kept]
    candidates = 1 + rivals.sum(axis=1)
    compared = np.flatnonzero(rivals.any(axis=0)) if columns else np.array([], dtype=np.int64)
    per_row = np.column_stack([outcomes.correct, outcomes.ties_shared, outcomes.reciprocal_rank])[kept]  # [N, 3]
    numerators = np.column_stack([per_row, beaten[:, compared]])
    denominators = np.column_stack([np.ones_like(per_row), rivals[:, compared]])
    kept_groups = np.unique(indices[kept], return_inverse=True)[1]
    replicates = bootstrap_ratios(numerators, denominators, kept_groups, n_bootstrap, seed)
    values = numerators.sum(axis=0) / denominators.sum(axis=0)
    intervals = [
        bounded_interval(replicates[:, column], numerators[:, column], denominators[:, column], kept_groups)
        for column in range(numerators.shape[1])
    ]
    return {
        "accuracy": float(values[0]),
        "accuracy_ties_shared": float(values[1]),
        "mean_reciprocal_rank": float(values[2]),
        "chance": float(np.mean(1.0 / candidates)),
        "n": int(kept.sum()),
        "n_without_rival": int((~kept).sum()),
        "interval": intervals[0],
        "mean_reciprocal_rank_chance": float(np.mean(_expected_reciprocal_rank(candidates))),
        "mean_reciprocal_rank_interval": intervals[2],
        "by_perturbation": {
            columns[column]: {
                "value": float(values[3 + place]),
                "interval": intervals[3 + place],
                "chance": 0.5,
                "n": int(rivals[:, column].sum()),
            }
            for place, column in enumerate(compared)
        },
    }


def _expected_reciprocal_rank(candidates: NDArray[np.int64]) -> NDArray[np.float64]:
    # A rank drawn evenly from 1 to C has the mean reciprocal (1 + 1/2 + ... + 1/C) / C.
    harmonic = np.cumsum(1.0 / np.arange(1, candidates.max() + 1))
    return harmonic[candidates - 1] / candidates


def _candidate_table(scores: Any, mask: Any) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    # Rows of different lengths become one [N, C] table; what was not there is not present.
    table, present = _padded(scores, np.float64, "predictions")
    if mask is None:
        return table, present
    kept, in_mask = _padded(mask, np.bool_, "mask")
    if len(kept) != len(table):
        raise ValueError(f"mask has {len(kept)} rows for {len(table)} rows of predictions")
    lengths, mask_lengths = present.sum(axis=1), in_mask.sum(axis=1)
    if (lengths != mask_lengths).any():
        row = int(np.flatnonzero(lengths != mask_lengths)[0])
        raise ValueError(f"row {row} has {lengths[row]} predictions and {mask_lengths[row]} mask values")
    return table, present & kept


def _padded(rows: Any, dtype: Any, what: str) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    if isinstance(rows, np.ndarray) and rows.ndim == 2:
        return rows.astype(dtype), np.ones(rows.shape, dtype=bool)
    rows = [np.asarray(row, dtype=dtype) for row in rows]
    for number, row in enumerate(rows):
        if row.ndim != 1:
            raise ValueError(f"row {number} of {what} has {row.ndim} dimensions: give one flat list a row")
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    present = np.arange(lengths.max(initial=0)) < lengths[:, None]  # [N, C]
    table = np.zeros(present.shape, dtype=dtype)
    if rows:
        table[present] = np.concatenate(rows)
    return table, present


def _checked_positions(references: Any, present: NDArray[np.bool_]) -> NDArray[np.int64]:
    positions = np.asarray(references)
    if positions.shape != (len(present),):
        raise ValueError(f"references has shape {positions.shape} for {len(present)} rows of predictions")
    if len(positions) and positions.dtype.kind not in "iu":
        raise ValueError(f"references are positions, whole numbers, and not {positions.dtype}")
    positions = positions.astype(np.int64)
    for row in np.flatnonzero((positions < 0) | (positions >= present.shape[1]))[:1]:
        raise ValueError(f"row {row}: reference {positions[row]} is no position among {present[row].sum()} candidates")
    for row in np.flatnonzero(~present[np.arange(len(present)), positions])[:1]:
        raise ValueError(f"row {row}: the original at position {positions[row]} is missing or masked out")
    return positions


def _check_scores(scores: NDArray[np.float64], present: NDArray[np.bool_]) -> None:
    for row, column in np.argwhere(np.isnan(scores) & present)[:1]:
        raise ValueError(f"row {row}: the score of candidate {column} is NaN; mask it out or look where it comes from")


def _checked_names(names: Sequence[str] | None, scores: Any) -> list[str]:
    if names is None:
        return []
    columns = list(names)
    for row, candidates in enumerate(scores):
        if len(candidates) != len(columns):
            raise ValueError(f"names holds {len(columns)} names for the {len(candidates)} candidates of row {row}")
    if len(set(columns)) != len(columns):
        repeated = next(name for name in columns if columns.count(name) > 1)
        raise ValueError(f"the name {repeated!r} stands twice among names: name each candidate column once")
    return columns


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class StructureAccuracy(evaluate.Metric):
    """Structure accuracy as an `evaluate` metric."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_KWARGS_DESCRIPTION,
            features=datasets.Features(
                {
                    "predictions": datasets.Sequence(datasets.Value("float64")),
                    "references": datasets.Value("int64"),
                }
            ),
        )

    def _compute(
        self,
        predictions: Sequence[Sequence[float]],
        references: Sequence[int],
        mask: Sequence[Sequence[bool]] | None = None,
        names: Sequence[str] | None = None,
        groups: Sequence[Any] | None = None,
        n_bootstrap: int = 1000,
        seed: int = 0,
    ) -> dict[str, Any]:
        return structure_scores(predictions, references, mask, names, groups, n_bootstrap, seed)

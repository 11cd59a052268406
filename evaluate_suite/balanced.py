"""Counterfactuals that language does not give away: a subset on which blind models are at chance.

Fluent edits of real reports can be told by their wording: *no effusion* is written so often that a model which sees
no image prefers it. Adversarial refinement (Hsieh et al., SugarCrepe, 2023) keeps a subset in which the blind models'
preferences are symmetric. Every pair of a report and its edit has two score gaps, report less edit, of the trigram
model and of the n-gram classifier. The plane of the two is cut into cells, and a cell and its mirror image through the
origin keep equally many pairs: on what is left, either model is right as often as wrong, and so is any mixture of
them, up to the width of a cell. This holds for each kind of edit by itself.

The subset depends on the data alone. Either half of the reports, by a hash, is scored by models that were fitted on
the other half, and which pairs of a cell are kept goes by a hash too.

It is at chance for these two models, not for all: those fitted on other reports differ on pairs that are nearly even,
and a classifier trained on the subset itself may find what these two overlook. So the models fitted on the training
split, which chose nothing, are measured on it too, and `off_chance` tells of each whether it is near chance.
"""

import csv
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from datasets_scripts.output_files import writing

from .controls import NotComputable
from .controls.blind import blind_gaps
from .counterfactual_pairs import CounterfactualPairs, counterfactual_pairs, edits_by_kind

CELLS = 4
"""Into how many cells each gap is cut on either side of 0, by its quantiles within a kind of edit."""


OVERALL_TOLERANCE, KIND_TOLERANCE = 0.02, 0.05
"""How far from a half a blind model may be, over all pairs and on each kind, for a subset to count as balanced."""

_ALL = "all"
_ROUNDING = 1e-9
_DIGITS = 9


@dataclass(frozen=True)
class BalancedPairs:
    """A balanced subset of a dataset's counterfactuals.

    Attributes:
        pairs: all P pairs of the dataset.
        gaps: by blind model, [P] how much it prefers the report to the edit, fitted on the other half of the reports.
        selected: [P] bool, which pairs are in the subset.
    """

    pairs: CounterfactualPairs
    gaps: dict[str, NDArray[np.float64]]
    selected: NDArray[np.bool_]


def balanced_pairs(data: Dataset, others: Sequence[Dataset] = ()) -> BalancedPairs:
    """Choose the balanced subset of a split.

    Args:
        data: the split, a perturbed-pairs dataset; `image_id`, `study_id`, `report` and `counterfactual` are read.
        others: the dataset's other splits, whose reports and edits the blind models are fitted on as well.

    Raises:
        NotComputable: the split has no edit, there are too few distinct reports to fit models on one half of them, or
            no pair has a counterpart.
    """
    pairs = counterfactual_pairs(data)
    if not pairs.texts:
        raise NotComputable(f"none of the {len(data)} rows has an edit")
    reports = {report for split in (data, *others) for report in split["report"]}
    gaps = cross_fitted_gaps(pairs, reports, edits_by_kind(counterfactual_pairs(split) for split in (data, *others)))
    image_ids, studies = list(data["image_id"]), list(data["study_id"])
    # The pairs of a study come one after the other, so that a study is rarely cut in two.
    keys = [
        (_hash(f"{studies[row]}\0{pairs.names[kind]}"), image_ids[row])
        for row, kind in zip(pairs.rows, pairs.kinds, strict=True)
    ]
    order = np.array(sorted(range(len(keys)), key=keys.__getitem__), dtype=np.int64)
    selected = np.zeros(len(pairs.texts), dtype=bool)
    table = np.stack(list(gaps.values()), axis=1)  # [P, 2]
    for kind in np.unique(pairs.kinds):
        of_kind = order[pairs.kinds[order] == kind]
        selected[of_kind] = refine(table[of_kind])
    if not selected.any():
        raise NotComputable(
            f"there are no two of the {len(selected)} pairs on which the blind models are as right as they are wrong"
        )
    return BalancedPairs(pairs, gaps, selected)


def cross_fitted_gaps(
    pairs: CounterfactualPairs, reports: Iterable[str], edits: Mapping[str, Iterable[tuple[str, str]]]
) -> dict[str, NDArray[np.float64]]:
    """By how much each blind model prefers a report to its edit, fitted on the half of the reports without it.

    Edits of one half that are reports of the other stay among what the classifiers learn (one of 6,633 in Open-I): the
    gaps choose pairs, they measure no test.

    Args:
        pairs: P pairs that are scored, at least one.
        reports: the distinct reports that the trigram models are fitted on.
        edits: (report, edit) by kind, what the classifiers are trained on.

    Returns:
        `{"trigram": [P], "ngram": [P]}` float64.

    Raises:
        NotComputable: a half has pairs to score, and the other half no report.
    """
    halves: tuple[list[str], list[str]] = ([], [])
    for report in reports:
        halves[_half(report)].append(report)
    half_of_pair = np.array([_half(report) for report in pairs.reports])
    gaps: dict[str, NDArray[np.float64]] = {}
    for half in np.unique(half_of_pair):
        if not halves[1 - half]:
            raise NotComputable("there are too few distinct reports to fit the blind models on one half of them")
        chosen = np.flatnonzero(half_of_pair == half)
        for name, values in blind_gaps(halves[1 - half], edits, pairs.take(chosen)).items():
            gaps.setdefault(name, np.zeros(len(half_of_pair)))[chosen] = values
    return gaps


def refine(gaps: NDArray[np.float64], cells: int = CELLS) -> NDArray[np.bool_]:
    """Adversarial refinement: choose pairs so that each cell has as many as its mirror image through the origin.

    Args:
        gaps: [P, 2] score gaps of two blind models, the pairs that are to be kept first at the front.
        cells: into how many cells each gap is cut on either side of 0, at the quantiles of its size. A gap of exactly
            0, a tie, is a cell of its own; pairs that tie for both models are all kept.

    Returns:
        [P] bool, True = kept.
    """
    places = np.stack([_signed_cells(column, cells) for column in gaps.T], axis=1)  # [P, 2], -cells to cells
    width = 2 * cells + 1
    codes = places @ np.array([width, 1])  # [P], the mirror image of a cell has its code's negative
    rank_in_cell = np.zeros(len(codes), dtype=np.int64)
    for code in np.unique(codes):
        members = codes == code
        rank_in_cell[members] = np.arange(members.sum())
    sizes = np.bincount(codes + width * width, minlength=2 * width * width + 1)
    return rank_in_cell < sizes[width * width - codes]


def off_chance(wins: NDArray[np.float64], pairs: CounterfactualPairs) -> dict[str, float]:
    """Where a blind model is further from a half than the tolerances: its accuracy, over `all` and by kind.

    Args:
        wins: [P] who wins each pair, 1 the report, 0.5 neither, 0 the edit; P at least 1.
        pairs: the P pairs.

    Returns:
        Nothing where the pairs are balanced for the model.
    """
    accuracies = {pairs.names[kind]: float(wins[pairs.kinds == kind].mean()) for kind in np.unique(pairs.kinds)}
    numbers = {_ALL: (float(wins.mean()), OVERALL_TOLERANCE)}
    numbers |= {name: (accuracy, KIND_TOLERANCE) for name, accuracy in accuracies.items()}
    return {name: value for name, (value, tolerance) in numbers.items() if abs(value - 0.5) > tolerance + _ROUNDING}


def percents(accuracies: Mapping[str, float]) -> str:
    """What `off_chance` found, in words: `all 53.1 %, negation 57.2 %`."""
    return ", ".join(f"{name.replace('_', ' ')} {100 * value:.1f} %" for name, value in accuracies.items())


def write_selection(path: Path, data: Dataset, subset: BalancedPairs) -> None:
    """Write which pairs of `data` are selected, as CSV with the columns `image_id` and `kind`, in the data's order.

    Raises:
        OSError: the file cannot be written; the message names it.
    """
    image_ids, pairs = list(data["image_id"]), subset.pairs
    with writing(path), path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("image_id", "kind"))
        writer.writerows(
            (image_ids[pairs.rows[place]], pairs.names[pairs.kinds[place]])
            for place in np.flatnonzero(subset.selected)
        )


def _signed_cells(gaps: NDArray[np.float64], cells: int) -> NDArray[np.int64]:
    gaps = gaps.round(_DIGITS)  # equal gaps that differ by their last bits stand in one cell, on every machine
    sizes = np.abs(gaps)
    if not sizes.any():
        return np.zeros(len(gaps), dtype=np.int64)
    edges = np.quantile(sizes[sizes > 0], np.arange(1, cells) / cells)
    return np.sign(gaps).astype(np.int64) * (1 + np.searchsorted(edges, sizes, side="right"))


def _half(report: str) -> int:
    return hashlib.sha256(report.encode()).digest()[0] % 2


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()

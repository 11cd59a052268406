"""Zero-shot labels: does an image lie nearer to sentences that affirm a finding than to those that deny it?

The score of an image and a label is its cosine with the mean of the positive prompts (`prompts`) less that with the
mean of the negative ones. Where a label is uncertain (-1) or unknown (null), the image is left out and counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from datasets import Dataset
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..context import Statistic, TaskContext, Tree
from ..embeddings import Embeddings
from ..figures import draw_points
from ..formatting import words
from ..prompts import PROMPTS
from ..ranking import (
    Area,
    RankingScores,
    bootstrap_ranking,
    certain_interval,
    chance_average_precision,
    mean_of_defined,
    ranking_intervals,
    ranking_scores,
)
from ..statistics import Measurement
from ..structure_accuracy.structure_accuracy import (
    bootstrap_ratios,
    bounded_interval,
    group_indices,
)

MEASURES: tuple[Literal["auroc", "average_precision", "accuracy"], ...] = ("auroc", "average_precision", "accuracy")

MEAN = "mean"
"""The name of the mean over the labels, beside theirs."""

_JUST_ABOVE = 1e-6  # of the highest score: no float32 vectors tell less apart
_DIGITS = 12  # the same products summed in another order are a tie
_IMAGES_AT_ONCE = 4096  # float64 copies of a few vectors in memory


@dataclass(frozen=True)
class LabelTable:
    """What is known of N images and L labels.

    Attributes:
        names: the labels.
        values: [N, L] float64: 1, 0, -1 for uncertain, NaN for unknown.
        image_ids, study_ids: [N].
    """

    names: list[str]
    values: NDArray[np.float64]
    image_ids: list[str]
    study_ids: list[str]

    @property
    def positive(self) -> NDArray[np.bool_]:
        """Where the label is 1, [N, L]."""
        return self.values == 1

    @property
    def counted(self) -> NDArray[np.bool_]:
        """Where the label is 1 or 0, [N, L]."""
        return (self.values == 1) | (self.values == 0)

    @property
    def has_both(self) -> NDArray[np.bool_]:
        """Which labels have an image with 1 and one with 0, [L]."""
        return self.positive.any(axis=0) & (self.values == 0).any(axis=0)


def label_table(data: Dataset) -> LabelTable:
    """The labels of a perturbed-pairs dataset that have prompts; none where it has no column `labels`.

    Raises:
        ValueError: a label is none of 1, 0, -1 and null.
    """
    known = data.features.get("labels", {})
    names = [name for name in PROMPTS if name in known]
    rows = data["labels"] if names else [{}] * len(data)
    table = [[np.nan if (row or {}).get(name) is None else row[name] for name in names] for row in rows]
    values = np.array(table, dtype=np.float64).reshape(len(data), len(names))
    for row, column in np.argwhere(~(np.isnan(values) | np.isin(values, (-1, 0, 1))))[:1]:
        raise ValueError(
            f"image {data['image_id'][int(row)]!r}: label {names[column]!r} is {values[row, column]}: "
            "it is 1, 0, -1 for uncertain or null"
        )
    return LabelTable(names, values, list(data["image_id"]), list(data["study_id"]))


def label_scores(embeddings: Embeddings, images: NDArray[np.float32], names: Sequence[str]) -> NDArray[np.float64]:
    """The score of each image with each label, [N, L] float64, to 12 digits: what differs by rounding alone is a tie.

    Args:
        embeddings: the model's embeddings, for the prompts.
        images: [N, D] float32 unit vectors.
        names: L keys of `PROMPTS`.
    """
    directions = np.stack(
        [
            _mean_vector(embeddings, PROMPTS[name].positive) - _mean_vector(embeddings, PROMPTS[name].negative)
            for name in names
        ]
    )  # [L, D]
    scores = np.empty((len(images), len(names)))
    for start in range(0, len(images), _IMAGES_AT_ONCE):
        part = images[start : start + _IMAGES_AT_ONCE].astype(np.float64)
        scores[start : start + len(part)] = np.einsum("nd,ld->nl", part, directions)
    return scores.round(_DIGITS)


def _mean_vector(embeddings: Embeddings, prompts: Sequence[str]) -> NDArray[np.float64]:
    # The unit vector along the mean of the prompts' unit vectors, [D]; zero where they cancel out.
    mean = embeddings.texts(prompts).astype(np.float64).mean(axis=0)
    norm = np.linalg.norm(mean)
    return mean / norm if norm > 0 else mean


def evaluate(
    embeddings: Embeddings,
    data: Dataset,
    validation: Dataset | None = None,
    *,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> Tree:
    """Zero-shot classification of a model, by the cosine of image and prompts.

    Args:
        embeddings: the model's embeddings.
        data: a perturbed-pairs dataset; `image`, `image_id`, `study_id` and `labels` are read.
        validation: another such, to choose the thresholds of `accuracy`.
        n_bootstrap, seed: the bootstrap over studies.

    Returns:
        `{"auroc", "average_precision", "accuracy", "thresholds", "counts", "note"}`. The first three hold a
        `Measurement` for each label with both values in `data`, and for their `mean`; chance is 0.5, the average
        precision of a random order, which is above the label's prevalence, and the share of the label's majority.
        `counts` says for each label how many images are positive, negative, uncertain and unknown. What cannot be
        computed is left out and named under `skipped` with its reason.

    Raises:
        ValueError: a label is none of 1, 0, -1 and null.
    """
    return from_scores(*_scored(embeddings, data, validation), n_bootstrap=n_bootstrap, seed=seed)


def run(context: TaskContext) -> Tree:
    """The task of the suite: `evaluate`, with the outcomes of all measures and a figure."""
    scores, table, thresholds = _scored(context.embeddings, context.test, context.validation)
    tree = from_scores(scores, table, thresholds, n_bootstrap=context.n_bootstrap, seed=context.seed)
    right = _right(scores, table, thresholds)
    for measure in MEASURES:
        _keep(context, table, measure, right if measure == "accuracy" else scores)
    if MEASURES[0] in tree:
        context.figures.add(
            "zero_shot",
            partial(_draw, tree),
            "Zero-shot classification by label; bars are 95 % intervals, dotted strokes each measure's chance level.",
        )
    return tree


def _keep(
    context: TaskContext,
    table: LabelTable,
    measure: Literal["auroc", "average_precision", "accuracy"],
    values: NDArray[np.float64],
) -> None:
    # values: [N, L], of which each label's number comes, and their mean over the labels.
    rows, places = np.nonzero(table.counted & table.has_both)
    parts = [table.names[place] for place in places]
    of_label = {name: places == table.names.index(name) for name in dict.fromkeys(parts)}
    for name, chosen in ({MEAN: np.ones(len(rows), dtype=bool)} | of_label).items() if parts else ():
        statistic: Statistic = "mean" if measure == "accuracy" else measure
        context.outcomes.add(
            "zero_shot",
            f"{measure}.{name}",
            [table.image_ids[row] for row in rows[chosen]],
            [table.study_ids[row] for row in rows[chosen]],
            values[rows[chosen], places[chosen]],
            statistic=statistic,
            targets=None if statistic == "mean" else table.positive[rows[chosen], places[chosen]],
            parts=[parts[place] for place in np.flatnonzero(chosen)] if name == MEAN else None,
        )


def _draw(tree: Tree, figure: Figure) -> None:
    series = {words([name]): list(tree[name].values()) for name in MEASURES}
    draw_points(figure, list(tree[MEASURES[0]]), series)


def _scored(
    embeddings: Embeddings, data: Dataset, validation: Dataset | None
) -> tuple[NDArray[np.float64], LabelTable, dict[str, float]]:
    # The scores [N, L], what is known of the labels, the thresholds; nothing is encoded that no label needs.
    table = label_table(data)
    if not table.has_both.any():
        return np.zeros(table.values.shape), table, {}
    scores = label_scores(embeddings, embeddings.images(data), table.names)
    return scores, table, validation_thresholds(embeddings, validation)


def validation_thresholds(embeddings: Embeddings, validation: Dataset | None) -> dict[str, float]:
    """The threshold of highest accuracy on the validation split, for each label that has both values there."""
    if validation is None:
        return {}
    table = label_table(validation)
    chosen = np.flatnonzero(table.has_both)
    if not len(chosen):
        return {}
    names = [table.names[place] for place in chosen]
    scores = label_scores(embeddings, embeddings.images(validation), names)
    counted, positive = table.counted[:, chosen], table.positive[:, chosen]
    return {
        name: best_threshold(scores[counted[:, place], place], positive[counted[:, place], place])
        for place, name in enumerate(names)
    }


def best_threshold(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """The threshold t for which "positive if score >= t" is right most often; of equally good ones, that nearest to 0.

    Of two that are as near, the negative one.

    Args:
        scores: [N] float64.
        positive: [N] the truth.

    Returns:
        Half way between two neighbouring scores, or the lowest score, or just above the highest.
    """
    levels, run = np.unique(scores, return_inverse=True)
    candidates = np.concatenate([levels[:1], (levels[:-1] + levels[1:]) / 2, levels[-1:] + _JUST_ABOVE])
    gains = np.bincount(run, weights=np.where(positive, -1.0, 1.0))  # of moving the threshold past each level
    right = positive.sum() + np.concatenate([[0.0], np.cumsum(gains)])
    best = candidates[right == right.max()]
    return float(best[np.abs(best).argmin()])


def from_scores(
    scores: NDArray[np.float64],
    table: LabelTable,
    thresholds: dict[str, float],
    *,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> Tree:
    """The task's tree from the scores [N, L] of its images and labels; a label without threshold takes 0.

    The intervals of all labels come from the same resamples, but for areas of which resamples say too much
    (`ranking.certain_interval`, `ranking.mean_interval`). Of a mean, it is that of the mean over the labels with both
    values in the resample.
    """
    kept = np.flatnonzero(table.has_both)
    if not len(kept):
        reason = "no label is 1 for one image and 0 for another" if table.names else "the data has no labels"
        return {"counts": _counts(table), "skipped": {"zero_shot": reason}}
    names = [table.names[place] for place in kept]
    positive, counted = table.positive[:, kept], table.counted[:, kept]
    groups = group_indices(table.study_ids, len(scores))
    right = _right(scores, table, thresholds)[:, kept]
    weights = np.ones((1, len(scores)), dtype=np.int64)
    points, replicates = [], []
    for column, place in enumerate(kept):
        rows = counted[:, column]
        points.append(ranking_scores(scores[rows, place], positive[rows, column], weights[:, rows]))
        replicates.append(bootstrap_ranking(scores[:, place], positive[:, column], rows, groups, n_bootstrap, seed))
    n, n_positive = counted.sum(axis=0), positive.sum(axis=0)
    random_order = np.array([chance_average_precision(*sizes) for sizes in zip(n_positive, n, strict=True)])
    prevalence = n_positive / n
    half = np.full(len(kept), 0.5)
    tree: Tree = {}
    chances: tuple[tuple[Area, NDArray[np.float64]], ...] = (("auroc", half), ("average_precision", random_order))
    for measure, chance in chances:
        values = np.concatenate([getattr(point, measure) for point in points])
        certain = [
            certain_interval(measure, scores[rows, place], positive[rows, column], groups[rows])
            for column, (place, rows) in enumerate(zip(kept, counted.T, strict=True))
        ]
        intervals = ranking_intervals(_columns(replicates, measure), certain)
        tree[measure] = _by_label(names, values, intervals, chance, counted)
    accuracy = (right * counted).sum(axis=0) / n
    intervals = _accuracy_intervals(right, counted, groups, n_bootstrap, seed)
    tree["accuracy"] = _by_label(names, accuracy, intervals, np.maximum(prevalence, 1 - prevalence), counted)
    tree["thresholds"] = {name: thresholds.get(name, 0.0) for name in names}
    tree["counts"] = _counts(table)
    tree["note"] = _note(names, thresholds)
    if len(names) < len(table.names):
        left_out = [name for name in table.names if name not in names]
        reason = "the split does not have both 1 and 0"
        tree["skipped"] = {
            f"{measure}.{name}": reason for measure in ("auroc", "average_precision", "accuracy") for name in left_out
        }
    return tree


def _right(scores: NDArray[np.float64], table: LabelTable, thresholds: dict[str, float]) -> NDArray[np.float64]:
    # Which labels are told rightly, [N, L]; without meaning where not counted.
    levels = np.array([thresholds.get(name, 0.0) for name in table.names])
    return ((scores >= levels) == table.positive).astype(np.float64)


def _columns(replicates: list[RankingScores], measure: str) -> NDArray[np.float64]:
    return np.column_stack([getattr(of_label, measure) for of_label in replicates])  # [B, L]


def _accuracy_intervals(
    right: NDArray[np.float64], counted: NDArray[np.bool_], groups: NDArray[np.int64], n_bootstrap: int, seed: int
) -> list[list[float]]:
    # Of the mean over the labels, and of each label; [N, L] both. The mean is at a bound where all labels are.
    told, asked = right * counted, counted.astype(np.float64)
    replicates = bootstrap_ratios(told, asked, groups, n_bootstrap, seed)
    return [
        bounded_interval(of_resamples, numerators, denominators, groups)
        for of_resamples, numerators, denominators in (
            (mean_of_defined(replicates), told.sum(axis=1), asked.sum(axis=1)),
            *zip(replicates.T, told.T, asked.T, strict=True),
        )
    ]


def _by_label(
    names: list[str],
    values: NDArray[np.float64],
    intervals: list[list[float]],
    chances: NDArray[np.float64],
    counted: NDArray[np.bool_],
) -> dict[str, Measurement]:
    # `intervals`: of the mean over the labels, then of each label.
    measured = {
        MEAN: Measurement(
            value=float(values.mean()),
            interval=intervals[0],
            chance=float(chances.mean()),
            n=int(counted.any(axis=1).sum()),
        )
    }
    for column, name in enumerate(names):
        measured[name] = Measurement(
            value=float(values[column]),
            interval=intervals[1 + column],
            chance=float(chances[column]),
            n=int(counted[:, column].sum()),
        )
    return measured


def _counts(table: LabelTable) -> dict[str, Any]:
    kinds = {"positive": 1, "negative": 0, "uncertain": -1}
    return {
        name: {kind: int((column == value).sum()) for kind, value in kinds.items()}
        | {"unknown": int(np.isnan(column).sum())}
        for name, column in zip(table.names, table.values.T, strict=True)
    }


def _note(names: list[str], thresholds: dict[str, float]) -> str:
    without = [name for name in names if name not in thresholds]
    if not without:
        return "accuracy is at the thresholds that are best on validation"
    if len(without) == len(names):
        return "accuracy is at the threshold 0, for want of a validation split with these labels"
    return f"accuracy is at the thresholds that are best on validation, and at 0 for {', '.join(without)}"

"""Robustness: the scores of the other tasks once the images are noisy, blurred, pale, tilted or compressed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from datasets import Dataset
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from ..context import TaskContext, Tree
from ..corruptions import CORRUPTIONS, SEVERITIES, corrupt, size_label
from ..cosine_ranks import first_right_ranks
from ..counterfactual_pairs import counterfactual_pairs
from ..embeddings import paired_cosines
from ..figures import error_bars
from ..formatting import words
from ..statistics import SHARE, Measurement, chance_recall, measure_mean
from ..structure_accuracy.structure_accuracy import group_indices
from .counterfactual import CHANCE, pair_wins
from .retrieval import chance_ranks, retrieval_pairs
from .structure import structure_candidates

CLEAN = "clean"
"""The name of the scores on the images as they are."""


@dataclass(frozen=True)
class _Metric:
    # The M cases whose outcomes have the metric as their mean.
    name: str
    cases: list[str]
    studies: list[str]
    chance: float


@dataclass(frozen=True)
class _Test:
    # Metrics that are scored together: from the vectors [N, D] of all images come the outcomes [M] of each metric.
    metrics: list[_Metric]
    outcomes: Callable[[NDArray[np.float32]], Sequence[NDArray[np.float64]]]


def run(context: TaskContext) -> Tree:
    """Structure and counterfactual accuracy and recall at 1, both ways, under every corruption and severity.

    The texts' vectors are those of the other tasks; the images are encoded again for each corruption and severity. A
    metric's intervals under all conditions come from the same resamples of the studies that have cases of it; two
    metrics' come from the same only where equally many studies have them.

    Returns:
        `{"clean": {METRIC: ...}, CORRUPTION: {SEVERITY: {METRIC: ...}}}` of `Measurement`s: the clean images, which
        have no severity, one level above the others, whose severities are `"1"` to `"3"`. The metrics are
        `structure_accuracy`, `counterfactual_accuracy`, `image_to_text_recall_at_1` and `text_to_image_recall_at_1`.
        What cannot be computed is named under `skipped` with its reason.

    Raises:
        ValueError: an image is neither `L` nor `RGB`, or an `image_id` stands twice.
    """
    tests, skipped = _tests(context)
    tree: Tree = {CLEAN: _scores(context, tests, CLEAN, context.embeddings.images(context.test))}
    conditions = [(corruption, severity) for corruption in CORRUPTIONS for severity in SEVERITIES]
    for corruption, severity in tqdm(conditions, "robustness", disable=None):
        images = context.embeddings.changed_images(
            context.test, partial(_corrupted, corruption=corruption, severity=severity, seed=context.seed)
        )
        scores = _scores(context, tests, f"{corruption}.{severity}", images)
        tree.setdefault(corruption, {})[str(severity)] = scores
    context.figures.add(
        "robustness_images",
        partial(draw_sheet, context.test[0]["image"], context.test[0]["image_id"], context.seed),
        "The first image of the split under each corruption, from severity 1 on the left to 3.",
    )
    context.figures.add(
        "robustness_scores",
        partial(draw_scores, tree),
        "The scores under each corruption, from the clean images (0) to severity 3; bars are 95 % intervals.",
    )
    return tree | ({"skipped": skipped} if skipped else {})


def draw_sheet(image: Image.Image, image_id: str, seed: int, figure: Figure) -> None:
    """Draw one image as it is, and beside it under each corruption (rows) and severity (columns)."""
    columns = 1 + len(SEVERITIES)
    figure.set_layout_engine("constrained")
    figure.set_size_inches(2 * columns, 2.2 * len(CORRUPTIONS))
    axes = figure.subplots(len(CORRUPTIONS), columns, squeeze=False)
    for row, corruption in zip(axes, CORRUPTIONS, strict=True):
        _show(row[0], image, CLEAN)
        for cell, severity in zip(row[1:], SEVERITIES, strict=True):
            spoilt = corrupt(image, corruption, severity, image_id=image_id, seed=seed)
            _show(cell, spoilt, size_label(corruption, severity))


def draw_scores(tree: Tree, figure: Figure) -> None:
    """Draw each metric of the task's tree over the severity, one line a corruption, with intervals and chance."""
    metrics = list(tree[CLEAN])
    figure.set_layout_engine("constrained")
    figure.set_size_inches(9, 3.4 * ((len(metrics) + 1) // 2))
    axes = figure.subplots((len(metrics) + 1) // 2, 2, squeeze=False).ravel()
    for axis, metric in zip(axes, metrics, strict=False):
        for place, corruption in enumerate(CORRUPTIONS):
            points = [tree[CLEAN][metric], *(tree[corruption][str(severity)][metric] for severity in SEVERITIES)]
            _draw_line(axis, points, words([corruption]), shift=0.05 * (place - len(CORRUPTIONS) // 2))
        axis.axhline(100 * tree[CLEAN][metric]["chance"], color="grey", linestyle="--", label="chance")
        axis.set(title=words([metric]), xlabel="severity", ylabel="%", xticks=[0, *SEVERITIES], ylim=(-3, 103))
        axis.grid(alpha=0.3)
    for axis in axes[len(metrics) :]:
        axis.set_axis_off()
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=1 + len(CORRUPTIONS))


def _draw_line(axis: Any, points: list[Measurement], label: str, shift: float) -> None:
    values = 100 * np.array([point["value"] for point in points])
    bars = error_bars(values, 100 * np.array([point["interval"] for point in points]))
    axis.errorbar(np.arange(len(points)) + shift, values, yerr=bars, label=label, marker="o", markersize=3, capsize=2)


def _show(axis: Any, image: Image.Image, title: str) -> None:
    axis.imshow(image, **({"cmap": "gray", "vmin": 0, "vmax": 255} if image.mode == "L" else {}))
    axis.set_title(title, fontsize=8)
    axis.set_axis_off()


def _corrupted(image: Image.Image, image_id: str, *, corruption: str, severity: int, seed: int) -> Image.Image:
    return corrupt(image, corruption, severity, image_id=image_id, seed=seed)


def _scores(
    context: TaskContext, tests: list[_Test], condition: str, images: NDArray[np.float32]
) -> dict[str, Measurement]:
    scores = {}
    for test in tests:
        for metric, outcomes in zip(test.metrics, test.outcomes(images), strict=True):
            context.outcomes.add("robustness", f"{condition}.{metric.name}", metric.cases, metric.studies, outcomes)
            groups = group_indices(metric.studies, len(outcomes))
            scores[metric.name] = measure_mean(
                outcomes, groups, metric.chance, context.n_bootstrap, context.seed, SHARE
            )
    return scores


def _tests(context: TaskContext) -> tuple[list[_Test], dict[str, str]]:
    # The tests that the data has cases for, and why it has none for the others.
    n_rows = len(context.test)
    possible = [_structure_test(context), _counterfactual_test(context), _retrieval_test(context)]
    skipped = {}
    if possible[0] is None:
        skipped["structure_accuracy"] = f"none of the {n_rows} reports has a perturbation that changes it"
    if possible[1] is None:
        skipped["counterfactual_accuracy"] = f"none of the {n_rows} rows has an edit"
    return [test for test in possible if test is not None], skipped


def _structure_test(context: TaskContext) -> _Test | None:
    candidates = structure_candidates(context.test)
    n_candidates = candidates.present.sum(axis=1)
    rows = np.flatnonzero(n_candidates > 1)
    if not len(rows):
        return None

    def outcomes(images: NDArray[np.float32]) -> list[NDArray[np.float64]]:
        texts = context.embeddings.texts(candidates.texts)
        return [candidates.outcomes(paired_cosines(images, texts, candidates.rows)).correct[rows]]

    chance = float(np.mean(1 / n_candidates[rows]))
    return _Test([_metric(context.test, "structure_accuracy", rows, chance)], outcomes)


def _counterfactual_test(context: TaskContext) -> _Test | None:
    data = context.test
    pairs = counterfactual_pairs(data)
    if not pairs.texts:
        return None
    kinds = [pairs.names[kind] for kind in pairs.kinds]
    metric = _metric(data, "counterfactual_accuracy", pairs.rows, CHANCE, kinds)
    return _Test([metric], lambda images: [pair_wins(context.embeddings, data, pairs, images)])


def _retrieval_test(context: TaskContext) -> _Test:
    data = context.test
    pairs = retrieval_pairs(data)
    # A report goes with the image, and so the study, in which it first stands.
    first_rows = np.unique(pairs.report_of_image, return_index=True)[1]
    of_images, of_texts = chance_ranks(pairs.report_of_image, len(pairs.reports))

    def outcomes(images: NDArray[np.float32]) -> list[NDArray[np.float64]]:
        texts = context.embeddings.texts(pairs.reports)
        ranks = first_right_ranks(images, texts, pairs.report_of_image)
        return [(way == 1).astype(np.float64) for way in ranks]

    every_row = np.arange(len(data))
    metrics = [
        _metric(data, "image_to_text_recall_at_1", every_row, chance_recall(of_images, 1)),
        _metric(data, "text_to_image_recall_at_1", first_rows, chance_recall(of_texts, 1)),
    ]
    return _Test(metrics, outcomes)


def _metric(
    data: Dataset, name: str, rows: NDArray[np.int64], chance: float, suffixes: Sequence[str] | None = None
) -> _Metric:
    # One case a row: called after its image, and after its suffix where an image has several.
    image_ids, studies = data["image_id"][:], data["study_id"][:]
    cases = [image_ids[row] for row in rows]
    if suffixes is not None:
        cases = [f"{case}/{suffix}" for case, suffix in zip(cases, suffixes, strict=True)]
    return _Metric(name, cases, [studies[row] for row in rows], chance)

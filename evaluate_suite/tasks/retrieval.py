"""Retrieval: an image's report among all distinct reports, and a report's images among all images."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from datasets import Dataset
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..context import TaskContext, Tree
from ..cosine_ranks import first_right_ranks, first_right_ranks_by_score
from ..embeddings import Embeddings
from ..figures import draw_points
from ..statistics import (
    SHARE,
    Measurement,
    chance_median_rank,
    chance_rank_distribution,
    chance_recall,
    measure_mean,
    measure_median,
)
from ..structure_accuracy.structure_accuracy import group_indices

RECALL_AT: tuple[int, ...] = (1, 5, 10)
"""The k of the recalls at k."""


@dataclass(frozen=True)
class RetrievalPairs:
    """Which report belongs to which image: N images, T distinct reports.

    Attributes:
        reports: the T distinct reports, in the order in which they first stand in the data.
        report_of_image: [N] index of each image's report.
        studies: [N] index of each image's study.
    """

    reports: list[str]
    report_of_image: NDArray[np.int64]
    studies: NDArray[np.int64]


def retrieval_pairs(data: Dataset) -> RetrievalPairs:
    """Read the pairs of a perturbed-pairs dataset; reports that are equal, whosever, are one.

    Raises:
        ValueError: an `image_id` stands twice.
    """
    image_ids, reports = data["image_id"][:], data["report"][:]
    if len(set(image_ids)) < len(image_ids):
        repeated = next(image_id for row, image_id in enumerate(image_ids) if image_id in image_ids[:row])
        raise ValueError(f"image_id {repeated!r} stands in two rows: retrieval needs one row an image")
    places: dict[str, int] = {}
    report_of_image = [places.setdefault(report, len(places)) for report in reports]
    return RetrievalPairs(
        reports=list(places),
        report_of_image=np.array(report_of_image, dtype=np.int64),
        studies=group_indices(data["study_id"][:], len(data)),
    )


def chance_ranks(report_of_image: NDArray[np.int64], n_texts: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How ranks are distributed when the order is random, as `statistics.chance_rank_distribution` gives it.

    Args:
        report_of_image: [N] index of each image's text.
        n_texts: T, the candidates of an image.

    Returns:
        [T] of the images' one right text, and [N] of the first right image of a text that some image has.
    """
    n_images, n_right = len(report_of_image), np.unique(report_of_image, return_counts=True)[1]
    of_images = chance_rank_distribution(n_texts, np.ones(n_images, dtype=np.int64))
    return of_images, chance_rank_distribution(n_images, n_right)


def run(context: TaskContext) -> Tree:
    """Retrieval as `evaluate` has it, with the rank of each query's first right candidate as outcome.

    A report's case is named after the first image that has it.

    Raises:
        ValueError: an `image_id` stands twice.
    """
    data = context.test
    pairs = retrieval_pairs(data)
    images, texts = context.embeddings.images(data), context.embeddings.texts(pairs.reports)
    image_ranks, text_ranks = first_right_ranks(images, texts, pairs.report_of_image)
    first_images = np.unique(pairs.report_of_image, return_index=True)[1]
    for way, ranks, rows in (
        ("image_to_text", image_ranks, np.arange(len(data))),
        ("text_to_image", text_ranks, first_images),
    ):
        queries = data.select_columns(["image_id", "study_id"]).select(rows)
        cases = queries["image_id"][:], queries["study_id"][:]
        for k in RECALL_AT:
            context.outcomes.add("retrieval", f"{way}.recall_at_{k}", *cases, ranks <= k)
        context.outcomes.add("retrieval", f"{way}.median_rank", *cases, ranks, statistic="median")
    tree = _measure(
        (image_ranks, text_ranks), pairs.report_of_image, pairs.studies, len(texts), context.n_bootstrap, context.seed
    )
    context.figures.add(
        "retrieval",
        partial(draw_recalls, tree),
        "Recall at 1, 5 and 10, from images to reports and back, with 95 % intervals; dotted: by chance.",
    )
    return tree


def draw_recalls(tree: Tree, figure: Figure) -> None:
    """Draw the recalls of both ways as points with intervals."""
    names = [f"recall_at_{k}" for k in RECALL_AT]
    draw_points(
        figure,
        [f"R@{k}" for k in RECALL_AT],
        {way.replace("_", " "): [numbers[name] for name in names] for way, numbers in tree.items()},
    )


def evaluate(embeddings: Embeddings, data: Dataset, *, n_bootstrap: int = 1000, seed: int = 0) -> dict[str, Any]:
    """Retrieval by the cosine of the global embeddings, both ways.

    Args:
        embeddings: the model's embeddings; a part of a dataset (`data.filter(...)`) reuses those of the whole.
        data: a perturbed-pairs dataset, one row an image; `image`, `image_id`, `study_id` and `report` are read.
        n_bootstrap, seed: the bootstrap over studies.

    Returns:
        `{"image_to_text", "text_to_image"}`, each `{"recall_at_1", "recall_at_5", "recall_at_10", "median_rank"}` of
        `Measurement`s. The candidates are the distinct reports and the images. An image's one right report is its own,
        whichever study it first stands in; a report's right images are all that have it, and its rank is that of the
        first. Ties take the worst rank. The intervals resample the queries by study; the candidates stay as they are.

    Raises:
        ValueError: `data` is empty, or an `image_id` stands twice.
    """
    pairs = retrieval_pairs(data)
    images, texts = embeddings.images(data), embeddings.texts(pairs.reports)
    return from_embeddings(images, texts, pairs.report_of_image, pairs.studies, n_bootstrap=n_bootstrap, seed=seed)


def evaluate_local(embeddings: Embeddings, data: Dataset, *, n_bootstrap: int = 1000, seed: int = 0) -> dict[str, Any]:
    """Retrieval by the local score S; arguments and result as for `evaluate`.

    Raises:
        TypeError: the model has no local features.
        ValueError: as `evaluate`.
    """
    pairs = retrieval_pairs(data)
    similarity = embeddings.local_similarity(data, pairs.reports)
    return from_similarity(similarity, pairs.report_of_image, pairs.studies, n_bootstrap=n_bootstrap, seed=seed)


def from_embeddings(
    images: NDArray[np.float32],
    texts: NDArray[np.float32],
    report_of_image: NDArray[np.int64],
    studies: Sequence[Any] | NDArray[Any],
    *,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Retrieval from unit vectors; the N x T cosines are never held at once.

    Args:
        images: [N, D] float32 unit vectors.
        texts: [T, D] float32 unit vectors of distinct texts; one that no image has is a candidate and no query.
        report_of_image: [N] index of each image's text.
        studies: [N] study of each image.
        n_bootstrap, seed: the bootstrap over studies.

    Returns:
        As `evaluate`.
    """
    ranks = first_right_ranks(images, texts, report_of_image)
    return _measure(ranks, report_of_image, studies, len(texts), n_bootstrap, seed)


def from_similarity(
    similarity: NDArray[np.floating],
    report_of_image: NDArray[np.int64],
    studies: Sequence[Any] | NDArray[Any],
    *,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Retrieval from any scores.

    Args:
        similarity: [N, T] score of each image with each distinct text, higher = better match; scores within
            `cosine_ranks.TIE_TOLERANCE` are tied.
        report_of_image, studies, n_bootstrap, seed: as `from_embeddings`.

    Returns:
        As `evaluate`.

    Raises:
        ValueError: a score is NaN.
    """
    for row, column in np.argwhere(np.isnan(similarity))[:1]:
        raise ValueError(f"the score of image {row} with text {column} is NaN")
    ranks = first_right_ranks_by_score(similarity, report_of_image)
    return _measure(ranks, report_of_image, studies, similarity.shape[1], n_bootstrap, seed)


def _measure(
    ranks: tuple[NDArray[np.int64], NDArray[np.int64]],
    report_of_image: NDArray[np.int64],
    studies: Sequence[Any] | NDArray[Any],
    n_texts: int,
    n_bootstrap: int,
    seed: int,
) -> dict[str, Any]:
    image_ranks, text_ranks = ranks
    n_images = len(report_of_image)
    if not n_images:
        raise ValueError("there is no image to retrieve with: the data is empty")
    groups = group_indices(studies, n_images)
    # A text that no image has is a candidate and no query. A report goes with the study in which it first stands: the
    # studies that share it are drawn together.
    queries, first_images = np.unique(report_of_image, return_index=True)
    text_groups = np.unique(groups[first_images], return_inverse=True)[1]
    of_images, of_texts = chance_ranks(report_of_image, n_texts)
    return {
        "image_to_text": _measure_ranks(image_ranks, groups, of_images, n_bootstrap, seed),
        "text_to_image": _measure_ranks(text_ranks[queries], text_groups, of_texts, n_bootstrap, seed),
    }


def _measure_ranks(
    ranks: NDArray[np.int64],
    groups: NDArray[np.int64],
    chance: NDArray[np.float64],
    n_bootstrap: int,
    seed: int,
) -> dict[str, Measurement]:
    recalls = {
        f"recall_at_{k}": measure_mean(
            (ranks <= k).astype(np.float64), groups, chance_recall(chance, k), n_bootstrap, seed, SHARE
        )
        for k in RECALL_AT
    }
    median = measure_median(ranks.astype(np.float64), groups, chance_median_rank(chance), n_bootstrap, seed)
    return {**recalls, "median_rank": median}

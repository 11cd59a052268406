"""The task `retrieval` recomputed: ties take the worst rank, and a duplicate report's images are all right."""

import statistics
from collections.abc import Sequence
from fractions import Fraction
from math import comb

from datasets import Dataset
from recomputed import SHARE, TIE, Model, Plan, Tree, dot, measured

RECALL_AT = (1, 5, 10)


def ranks(
    images: Sequence[Sequence[float]], model: Model, reports: Sequence[str]
) -> tuple[list[int], list[int], list[str]]:
    """The rank of each image's report, of each distinct report's first right image, and the distinct reports."""
    distinct = list(dict.fromkeys(reports))
    scores = [[dot(image, model.text(report)) for report in distinct] for image in images]
    of_images = []
    for image, report in enumerate(reports):
        own = scores[image][distinct.index(report)]
        of_images.append(
            1
            + sum(other != report and score >= own - TIE for other, score in zip(distinct, scores[image], strict=True))
        )
    of_reports = []
    for column, report in enumerate(distinct):
        best = max(scores[image][column] for image in range(len(images)) if reports[image] == report)
        of_reports.append(
            1 + sum(reports[image] != report and scores[image][column] >= best - TIE for image in range(len(images)))
        )
    return of_images, of_reports, distinct


def retrieval(model: Model, test: Dataset, plan: Plan) -> Tree:
    reports, studies = test["report"][:], test["study_id"][:]
    of_images, of_reports, distinct = ranks(model.images, model, reports)
    first_studies = [studies[reports.index(report)] for report in distinct]
    n_right = [reports.count(report) for report in distinct]
    return {
        "image_to_text": _measure(of_images, studies, chance_ranks(len(distinct), [1] * len(reports)), plan),
        "text_to_image": _measure(of_reports, first_studies, chance_ranks(len(reports), n_right), plan),
    }


def chance_ranks(n_candidates: int, n_right: Sequence[int]) -> list[Fraction]:
    """P(rank <= r) of a random order for r = 1 to N, the mean over the queries: 1 - C(N - m, r) / C(N, r)."""
    return [
        sum(
            (1 - Fraction(comb(n_candidates - right, rank), comb(n_candidates, rank)) for right in n_right), Fraction()
        )
        / len(n_right)
        for rank in range(1, n_candidates + 1)
    ]


def _measure(found: Sequence[int], studies: Sequence[str], chance: Sequence[Fraction], plan: Plan) -> Tree:
    tree = {
        f"recall_at_{k}": measured(
            [float(rank <= k) for rank in found], studies, float(chance[k - 1]), plan, bounds=SHARE
        )
        for k in RECALL_AT
    }
    half = Fraction(1, 2)
    lower = 1 + next(place for place, share in enumerate(chance) if share >= half)
    upper = 1 + next(place for place, share in enumerate(chance) if share > half)
    values = [float(rank) for rank in found]
    tree["median_rank"] = measured(values, studies, (lower + upper) / 2, plan, statistic=statistics.median)
    return tree


def recall_at_1(images: Sequence[Sequence[float]], model: Model, test: Dataset) -> tuple[list[float], list[float]]:
    """Whether each image finds its report first, and each distinct report an image of its own."""
    of_images, of_reports, _ = ranks(images, model, test["report"][:])
    return [float(rank == 1) for rank in of_images], [float(rank == 1) for rank in of_reports]

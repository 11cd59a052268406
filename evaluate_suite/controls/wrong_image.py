"""The same model with a wrong image: what it scores then, it does not have from the image."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from . import NotComputable

REPEATS = 20
"""How many derangements the control is the mean of."""


def mean_over_derangements(
    studies: Sequence[str],
    reports: Sequence[str],
    outcomes: Callable[[NDArray[np.int64]], NDArray[np.float64]],
    *,
    seed: int,
) -> NDArray[np.float64]:
    """What each case scores with wrong images, the mean over `REPEATS` derangements.

    Intervals over these cases cover other reports beside the same images: a case's mean is resampled with the study
    of its report. So the interval of `wrong_image` itself is too narrow for other images. That of the gain, which
    decides `needs_image`, is not: a derangement takes every image once, as often as it stands beside its own report,
    so that an image which raises the scores of all texts raises both means alike and is no part of their difference.
    The bootstrap sees it in the right scores alone, and makes the interval rather too wide than too narrow. Resampling
    pairs by both studies would mend the first, at the price of outcomes that do not belong to one study each.

    Args:
        studies, reports, seed: as `derangements` takes them.
        outcomes: from the row whose image each row gets, [N], to the outcomes of the cases, of any shape.

    Raises:
        NotComputable: as `derangements`.
    """
    orders = derangements(studies, reports, seed=seed)
    total = outcomes(orders[0])
    for image_of_row in orders[1:]:
        total = total + outcomes(image_of_row)
    return total / len(orders)


def derangements(
    studies: Sequence[str], reports: Sequence[str], repeats: int = REPEATS, seed: int = 0
) -> NDArray[np.int64]:
    """Random orders of the rows that give each row the image of another study with another report.

    One `numpy.random.default_rng(seed)` draws all: each is a permutation, in which every row that got a forbidden
    image, and still has it when its turn comes, exchanges it with a row chosen among those, in their order, that the
    exchange leaves with an allowed image as well. That always ends well where no row shares study or report with more
    than half of the rows: of N rows, those that row i may not give its image to, or may not take one from, are then at
    most N - 1.

    Args:
        studies, reports: [N] of each row.
        repeats: number of orders R.
        seed: of the orders.

    Returns:
        [R, N] int64: the row whose image each row gets, every image once.

    Raises:
        NotComputable: a row shares its study or its report with more than half of the rows, itself among them.
    """
    study_of, report_of = (np.unique(np.array(names), return_inverse=True)[1] for names in (studies, reports))
    _check_possible(study_of, report_of)
    generator = np.random.default_rng(seed)
    return np.stack([_derangement(study_of, report_of, generator) for _ in range(repeats)])


def _derangement(
    study_of: NDArray[np.int64], report_of: NDArray[np.int64], generator: np.random.Generator
) -> NDArray[np.int64]:
    images = generator.permutation(len(study_of))

    def forbidden(image: NDArray[np.int64] | np.int64, row: NDArray[np.int64] | np.int64) -> NDArray[np.bool_]:
        return (study_of[image] == study_of[row]) | (report_of[image] == report_of[row])

    every_row = np.arange(len(images))
    for row in np.flatnonzero(forbidden(images, every_row)):
        if forbidden(images[row], row):  # an earlier exchange may have mended it
            free = ~forbidden(images, row) & ~forbidden(images[row], every_row)
            other = generator.choice(np.flatnonzero(free))
            images[[row, other]] = images[[other, row]]
    return images


def _check_possible(study_of: NDArray[np.int64], report_of: NDArray[np.int64]) -> None:
    n_rows = len(study_of)
    pairs, pair_of, n_of_pair = np.unique(
        np.stack([study_of, report_of], axis=1), axis=0, return_inverse=True, return_counts=True
    )
    of_study, of_report = np.bincount(pairs[:, 0], n_of_pair), np.bincount(pairs[:, 1], n_of_pair)
    sharing = of_study[pairs[:, 0]] + of_report[pairs[:, 1]] - n_of_pair  # of either, less those of both
    most = int(sharing.max(initial=0))
    if 2 * most > n_rows:
        row = int(np.flatnonzero(pair_of.ravel() == np.argmax(sharing))[0])
        raise NotComputable(
            f"row {row} shares its study or its report with {most} of the {n_rows} rows (itself among them): too few "
            "other images are left for them"
        )

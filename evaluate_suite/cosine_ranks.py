"""Ranks among many candidates, tile by tile; by cosine exact, and at the speed of single precision.

Of 10,000 images and 100,000 texts there are a thousand million cosines. Their float32 products are certain up to a
known rounding error, so float64 is needed only for the few that come that close to the score they are compared with.
"""

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .embeddings import paired_cosines

TIE_TOLERANCE = 1e-12
"""Scores this close are tied: a float64 matrix product may give equal vectors cosines that differ by about 1e-15."""

_IMAGES_AT_ONCE, _TEXTS_AT_ONCE = 512, 4096  # a tile of float32 cosines in memory: 8 MiB
_LARGEST_SHARE_IN_DOUBT = 1 / 128  # of a tile; with more, its float64 product is the faster way


def first_right_ranks(
    images: NDArray[np.float32], texts: NDArray[np.float32], report_of_image: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the right candidate stands for each query, by the cosine; scores within `TIE_TOLERANCE` are tied.

    Args:
        images: [N, D] float32 unit vectors.
        texts: [T, D] float32 unit vectors of distinct texts.
        report_of_image: [N] index of each image's text.

    Returns:
        The rank of each image's report among the texts [N], and of each text's first right image among the images [T]:
        1 + the number of wrong candidates that score as high. What stands for a text that no image has says nothing.
    """
    return _ranks(
        paired_cosines(texts, images, report_of_image),
        report_of_image,
        len(texts),
        lambda rows, columns, own: _CosineTile(images[rows], texts[columns], own),
    )


def first_right_ranks_by_score(
    similarity: NDArray[np.floating], report_of_image: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """`first_right_ranks` by given scores.

    Args:
        similarity: [N, T] score of each image with each text, none of them NaN.
        report_of_image: [N] index of each image's text.
    """
    return _ranks(
        similarity[np.arange(len(similarity)), report_of_image].astype(np.float64),
        report_of_image,
        similarity.shape[1],
        lambda rows, columns, own: _ScoreTile(similarity[rows, columns], own),
    )


Places = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Rows and columns of a tile."""


class _Tile(Protocol):
    # The scores of n images with t texts, of which those of images with their own text never count.

    def count_as_high(
        self, image_bars: NDArray[np.float64], text_bars: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        # How many of each image's scores reach its bar [n], and how many of each text's reach the text's [t].
        ...


def _ranks(
    right: NDArray[np.float64],
    report_of_image: NDArray[np.int64],
    n_texts: int,
    tile_at: Callable[[slice, slice, Places], _Tile],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    # right: [N] score of each image with its text. tile_at: from rows, columns and the places in the tile where an
    # image meets its own text.
    best = np.full(n_texts, -np.inf)  # [T], a text's right image that scores highest
    np.maximum.at(best, report_of_image, right)
    image_bars, text_bars = right - TIE_TOLERANCE, best - TIE_TOLERANCE
    image_ranks, text_ranks = np.ones(len(right), dtype=np.int64), np.ones(n_texts, dtype=np.int64)
    for rows in _blocks(len(right), _IMAGES_AT_ONCE):
        for columns in _blocks(n_texts, _TEXTS_AT_ONCE):
            own = report_of_image[rows] - columns.start
            owners = np.flatnonzero((own >= 0) & (own < columns.stop - columns.start))
            tile = tile_at(rows, columns, (owners, own[owners]))
            of_images, of_texts = tile.count_as_high(image_bars[rows], text_bars[columns])
            image_ranks[rows] += of_images
            text_ranks[columns] += of_texts
    return image_ranks, text_ranks


class _ScoreTile:
    # Of given scores [n, t].

    def __init__(self, scores: NDArray[np.floating], own: Places) -> None:
        self._scores = scores.astype(np.float64)  # a copy
        self._scores[own] = np.nan  # reaches no bar

    def count_as_high(
        self, image_bars: NDArray[np.float64], text_bars: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        of_images = np.count_nonzero(self._scores >= image_bars[:, None], axis=1)
        return of_images, np.count_nonzero(self._scores >= text_bars, axis=0)


class _CosineTile:
    # Of the cosines of n images [n, D] with t texts [t, D].

    def __init__(self, images: NDArray[np.float32], texts: NDArray[np.float32], own: Places) -> None:
        self._images, self._texts, self._own = images, texts, own

    def count_as_high(
        self, image_bars: NDArray[np.float64], text_bars: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        single = self._products(np.float32)  # [n, t]
        of_images = self._count(single, image_bars[:, None], axis=1)
        of_texts = self._count(single, text_bars[None, :], axis=0)
        if of_images is None or of_texts is None:
            return _ScoreTile(self._products(np.float64), self._own).count_as_high(image_bars, text_bars)
        return of_images, of_texts

    def _products(self, dtype: type[np.floating]) -> NDArray[np.floating]:
        scores = self._images.astype(dtype, copy=False) @ self._texts.astype(dtype, copy=False).T
        scores[self._own] = np.nan  # reaches no bar
        return scores

    def _count(self, single: NDArray[np.floating], bars: NDArray[np.float64], axis: int) -> NDArray[np.int64] | None:
        # `bars` is [n, 1] or [1, t]; None where too many cosines are in doubt.
        error = _rounding_error(self._images.shape[1])
        certain = single > (bars + error).astype(np.float32)
        possible = single >= (bars - error).astype(np.float32)
        counts = np.count_nonzero(certain, axis=axis)
        doubtful = np.flatnonzero(certain ^ possible)
        if len(doubtful) > _LARGEST_SHARE_IN_DOUBT * single.size:
            return None
        places = np.unravel_index(doubtful, single.shape)
        exact = paired_cosines(self._images, self._texts[places[1]], places[0])
        reached = exact >= np.broadcast_to(bars, single.shape)[places]
        return counts + np.bincount(places[1 - axis][reached], minlength=len(counts))


def _rounding_error(width: int) -> float:
    # How far a float32 product of two vectors of norm 1 (up to 0.1 %) may be from the exact one, whatever the order of
    # its sums: D u / (1 - D u) times the norms (Higham, Accuracy and Stability, 3.5), and u for rounding the bar.
    unit_roundoff = 2.0**-24
    return 1.01 * (width + 1) * unit_roundoff


def _blocks(total: int, size: int) -> Iterator[slice]:
    for start in range(0, total, size):
        yield slice(start, min(start + size, total))

"""A heat map against boxes: brought to the image's pixels, and scored as MS-CXR does.

A model's map lies on a coarse grid over the part of the image that the model sees. `to_pixels` interpolates it at the
centres of the stored image's pixels, where the boxes are; `score_map` then asks how well it keeps to them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

Box = tuple[float, float, float, float]
"""`(x0, y0, x1, y1)` in pixels of the stored image; pixel (x, y) reaches from x to x + 1."""

TIE_TOLERANCE = 1e-9
"""Pixels this close to a map's maximum are tied with it, and a map whose range is this small is flat; relative."""


@dataclass(frozen=True)
class MapScores:
    """How one heat map keeps to the boxes of its phrase.

    Attributes:
        pointing: the share of the maximum's tied pixels that lie in a box: 1 or 0 where nothing is tied.
        ious: [T] intersection over union of the boxes and the map at each threshold.
        signed_cnr: contrast-to-noise ratio, negative where the map is lower in the boxes than out of them; NaN where
            it is undefined: the boxes leave no pixel out, or the map is constant inside and constant outside and the
            two differ.
        area: the boxes' share of the image: a random point's chance in the pointing game.
    """

    pointing: float
    ious: NDArray[np.float64]
    signed_cnr: float
    area: float

    @property
    def cnr(self) -> float:
        """The ratio without its sign, as BioViL has it: a map may shun the boxes or seek them."""
        return abs(self.signed_cnr)


def seen_box(encoder: object, width: int, height: int) -> Box:
    """The part of a stored image that an encoder's maps cover, by the settings of its image processor.

    Where there is no `encoder.processor.image_processor`, or it does not crop, that is the whole image, stretched to
    the model's size. A centre crop follows the processor's resize: the shortest edge, or both sides, to a length. A
    crop larger than the image reaches beyond it.
    """
    processor: Any = getattr(getattr(encoder, "processor", None), "image_processor", None)
    if not getattr(processor, "do_center_crop", False):
        return 0.0, 0.0, float(width), float(height)
    resized_width, resized_height = _resized(processor, width, height)
    crop = processor.crop_size
    part_x, part_y = crop["width"] / resized_width, crop["height"] / resized_height
    return (
        width * (1 - part_x) / 2,
        height * (1 - part_y) / 2,
        width * (1 + part_x) / 2,
        height * (1 + part_y) / 2,
    )


def _resized(processor: Any, width: int, height: int) -> tuple[float, float]:
    if not processor.do_resize:
        return width, height
    size = dict(processor.size)
    if size.get("shortest_edge"):
        scale = size["shortest_edge"] / min(width, height)
        return width * scale, height * scale
    return size["width"], size["height"]


def to_pixels(grid: NDArray[np.floating], width: int, height: int, seen: Box | None = None) -> NDArray[np.float64]:
    """A map brought to the pixels of its image, bilinearly (as `align_corners=False`), from 0 to 1.

    Args:
        grid: [h, w] the model's map.
        width, height: the stored image's size.
        seen: the part of the image that the grid covers; None for the whole. Pixels outside of it get 0.

    Returns:
        [height, width] float64, its least value 0 and its largest 1; all 0 where the map is flat: it points nowhere.
    """
    x0, y0, x1, y1 = seen if seen is not None else (0.0, 0.0, float(width), float(height))
    rows, columns = _interpolation(grid.shape[0], height, y0, y1), _interpolation(grid.shape[1], width, x0, x1)
    first_row, row_weights = rows
    first_column, column_weights = columns
    inside = row_weights @ grid.astype(np.float64) @ column_weights.T  # [seen height, seen width]
    low, high = inside.min(), inside.max()
    pixels = np.zeros((height, width))
    if high - low > TIE_TOLERANCE * max(abs(low), abs(high)):
        inside -= low
        inside /= high - low
        pixels[first_row : first_row + len(inside), first_column : first_column + inside.shape[1]] = inside
    return pixels


@lru_cache(maxsize=64)
def _interpolation(cells: int, pixels: int, start: float, stop: float) -> tuple[int, NDArray[np.float64]]:
    # The first pixel whose centre lies between start and stop, and the weights of the cells at it and those after it.
    centres = np.arange(pixels) + 0.5
    seen = np.flatnonzero((centres >= start) & (centres < stop))
    places = np.clip((centres[seen] - start) / (stop - start) * cells - 0.5, 0, cells - 1)
    lower = np.floor(places).astype(np.int64)
    upper = np.minimum(lower + 1, cells - 1)
    weights = np.zeros((len(seen), cells))
    weights[np.arange(len(seen)), lower] += 1 - (places - lower)
    weights[np.arange(len(seen)), upper] += places - lower
    return int(seen[0]), weights


def boxes_mask(boxes: Sequence[Box], width: int, height: int) -> NDArray[np.bool_]:
    """The pixels whose centres lie in one of the boxes, [height, width]; a thinner box has the pixel of its middle.

    Raises:
        ValueError: a box is empty or lies outside the image.
    """
    mask = np.zeros((height, width), dtype=bool)
    for x0, y0, x1, y1 in boxes:
        if not (x0 < x1 and y0 < y1 and x0 < width and y0 < height and x1 > 0 and y1 > 0):
            raise ValueError(f"box {(x0, y0, x1, y1)} is empty or outside the image of {width} x {height} pixels")
        mask[_covered(y0, y1, height), _covered(x0, x1, width)] = True
    return mask


def _covered(start: float, stop: float, pixels: int) -> slice:
    start, stop = max(start, 0.0), min(stop, float(pixels))
    first, last = ceil(start - 0.5), ceil(stop - 0.5)
    if first < last:
        return slice(first, last)
    middle = min(int((start + stop) / 2), pixels - 1)
    return slice(middle, middle + 1)


def score_map(pixels: NDArray[np.float64], mask: NDArray[np.bool_], thresholds: Sequence[float]) -> MapScores:
    """Score a map from `to_pixels` [H, W] against the mask of its boxes [H, W].

    The pointing game asks whether the maximum lies in a box (Zhang et al. 2018). The contrast-to-noise ratio is
    (mu_in - mu_out) / sqrt(var_in + var_out) over the pixels in and out of the boxes, of which BioViL (Boecking et al.
    2022) takes the absolute value, and 0 for a flat map.
    """
    flat, inside = pixels.ravel(), mask.ravel()
    top = flat >= flat.max() - TIE_TOLERANCE
    n_inside = np.count_nonzero(inside)
    ious = []
    for threshold in thresholds:
        marked = flat >= threshold
        shared = np.count_nonzero(marked & inside)
        ious.append(shared / (np.count_nonzero(marked) + n_inside - shared))
    return MapScores(
        pointing=np.count_nonzero(top & inside) / np.count_nonzero(top),
        ious=np.array(ious),
        signed_cnr=_contrast_to_noise(flat[inside], flat[~inside]),
        area=n_inside / len(flat),
    )


def _contrast_to_noise(inside: NDArray[np.float64], outside: NDArray[np.float64]) -> float:
    if not len(outside):
        return float("nan")
    contrast, noise = inside.mean() - outside.mean(), np.sqrt(inside.var() + outside.var())
    if noise > 0:
        return float(contrast / noise)
    return 0.0 if contrast == 0 else float("nan")

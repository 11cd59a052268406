"""Phrases with their boxes, the maps that a model gives for them, and how well these keep to the boxes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from .embeddings import Embeddings
from .encoders import LocalMaps
from .errors import NotSupportedError
from .heat_maps import Box, boxes_mask, score_map, seen_box, to_pixels

_IMAGES_AT_ONCE = 64  # decoded images in memory


@dataclass(frozen=True)
class GroundingCase:
    """A phrase of one image and its boxes.

    Attributes:
        row: of the image in the dataset.
        image_id, study_id, label, phrase: as they stand there.
        boxes: at least one, in pixels of the stored image.
    """

    row: int
    image_id: str
    study_id: str
    label: str
    phrase: str
    boxes: tuple[Box, ...]

    @property
    def name(self) -> str:
        """What tells the case from all others of its dataset."""
        return f"{self.image_id}/{self.label}/{self.phrase}"


@dataclass(frozen=True)
class CaseMap:
    """A model's map of a case's phrase: `grid` [h, w] float32, for the image's size and the part of it `seen`."""

    grid: NDArray[np.float32]
    width: int
    height: int
    seen: Box


@dataclass(frozen=True)
class CaseScores:
    """What the maps of C cases score at T thresholds, or the mean of what several maps score there.

    Attributes:
        pointing: [C], see `heat_maps.MapScores`.
        ious: [C, T].
        cnr, signed_cnr: [C], NaN where undefined.
        area: [C].
    """

    pointing: NDArray[np.float64]
    ious: NDArray[np.float64]
    cnr: NDArray[np.float64]
    signed_cnr: NDArray[np.float64]
    area: NDArray[np.float64]

    @property
    def mean_iou(self) -> NDArray[np.float64]:
        """The mean over the thresholds, [C]."""
        return self.ious.mean(axis=1)


def grounding_cases(data: Dataset) -> list[GroundingCase]:
    """The cases of a perturbed-pairs dataset, row by row: boxes of one image, label and phrase are one."""
    cases = []
    for row, (image_id, study_id, boxes) in enumerate(
        zip(data["image_id"], data["study_id"], data["boxes"], strict=True)
    ):
        groups: dict[tuple[str, str], list[Box]] = {}
        for box in boxes or ():
            groups.setdefault((box["label"], box["phrase"]), []).append(tuple(box["box"]))
        cases += [
            GroundingCase(row, image_id, study_id, label, phrase, tuple(of_phrase))
            for (label, phrase), of_phrase in groups.items()
        ]
    return cases


def phrase_maps(embeddings: Embeddings, data: Dataset, cases: Sequence[GroundingCase]) -> list[CaseMap]:
    """The model's map of each case; an image is decoded once for its phrases.

    Raises:
        NotSupportedError: the encoder has no local maps, with the reason.
        ValueError: it gave something else than one finite two-dimensional map a case.
    """
    encoder = embeddings.encoder
    if not isinstance(encoder, LocalMaps):
        raise NotSupportedError(f"{type(encoder).__name__} has no maps of phrases, it lacks the method phrase_maps")
    maps: list[CaseMap] = []
    for chunk in tqdm(list(_chunks(cases)), "maps", disable=None, leave=False):
        rows = list(dict.fromkeys(case.row for case in chunk))
        images = dict(zip(rows, data.select_columns("image").select(rows)["image"][:], strict=True))
        of_cases: list[Image.Image] = [images[case.row] for case in chunk]
        grids = encoder.phrase_maps(of_cases, [case.phrase for case in chunk])
        if len(grids) != len(chunk):
            raise ValueError(f"the encoder gave {len(grids)} maps for {len(chunk)} phrases")
        for case, image, grid in zip(chunk, of_cases, grids, strict=True):
            maps.append(_checked_map(encoder, case, image, np.asarray(grid, dtype=np.float32)))
    return maps


def _chunks(cases: Sequence[GroundingCase]) -> Iterator[list[GroundingCase]]:
    # The cases of _IMAGES_AT_ONCE images; they stand row by row.
    numbers = np.unique([case.row for case in cases], return_inverse=True)[1] // _IMAGES_AT_ONCE
    for number in range(int(numbers.max()) + 1):
        yield [case for case, of_case in zip(cases, numbers, strict=True) if of_case == number]


def _checked_map(encoder: object, case: GroundingCase, image: Image.Image, grid: NDArray[np.float32]) -> CaseMap:
    if grid.ndim != 2 or not grid.size or not np.isfinite(grid).all():
        raise ValueError(
            f"the encoder's map of {case.phrase!r} on image {case.image_id!r} has shape {grid.shape} and "
            f"{np.count_nonzero(~np.isfinite(grid))} values that are not finite: give [H, W] finite numbers"
        )
    return CaseMap(grid, image.width, image.height, seen_box(encoder, image.width, image.height))


def score_cases(
    cases: Sequence[GroundingCase],
    maps: Sequence[CaseMap],
    thresholds: Sequence[Sequence[float]],
    map_of_case: NDArray[np.int64] | None = None,
) -> CaseScores:
    """Score maps against the cases' boxes, one image in memory at a time.

    Args:
        cases, maps: the C cases and their own maps, which tell their images' sizes.
        thresholds: [C][T] of each case.
        map_of_case: [C, R] the R maps that a case is scored with, each as if it were of the case's image; None for
            its own. The means over the R are returned; a contrast-to-noise ratio over those defined.
    """
    places = np.arange(len(cases))[:, None] if map_of_case is None else map_of_case
    pointing, ious, cnr, signed_cnr, area = [], [], [], [], []
    for case, own, of_case, levels in zip(cases, maps, places, thresholds, strict=True):
        mask = _mask_of(case, own)
        scores = [
            score_map(to_pixels(maps[place].grid, own.width, own.height, own.seen), mask, levels) for place in of_case
        ]
        ratios = np.array([score.signed_cnr for score in scores])
        defined = ratios[~np.isnan(ratios)]
        pointing.append(np.mean([score.pointing for score in scores]))
        ious.append(np.mean([score.ious for score in scores], axis=0))
        cnr.append(np.abs(defined).mean() if len(defined) else float("nan"))
        signed_cnr.append(defined.mean() if len(defined) else float("nan"))
        area.append(scores[0].area)
    return CaseScores(*map(np.array, (pointing, ious, cnr, signed_cnr, area)))


def _mask_of(case: GroundingCase, own: CaseMap) -> NDArray[np.bool_]:
    try:
        return boxes_mask(case.boxes, own.width, own.height)
    except ValueError as error:
        raise ValueError(f"image {case.image_id!r}, {case.phrase!r}: {error}") from error

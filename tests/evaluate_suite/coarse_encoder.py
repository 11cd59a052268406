"""Encoders of few distinct vectors, whose cosines tie exactly, and a small PhantomCXR with the cases that tie."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, load_dataset
from PIL import Image

from datasets_scripts import phantom
from datasets_scripts.schema import features

WIDTH = 16
"""Of the vectors, whose numbers are 1/4 and -1/4: their norm is 1, and their cosines are exact multiples of 1/8."""

_PROTOTYPES = 48  # distinct text vectors
_IMAGE_SIZE = 32
_GRID = (3, 4)

Row = dict[str, Any]


class CoarseEncoder:
    """Gives a text one of 48 vectors, an image the pattern of its brighter parts, and a phrase a map of four levels.

    Args:
        known: images with their reports, of which it knows two in three: such an image, and one most like it, gets the
            report's vector but for one sign.
    """

    def __init__(self, known: Sequence[tuple[Image.Image, str]] = ()):
        self._greys = [_greys(image) for image, _ in known]
        self._reports = [report for _, report in known]

    def encode_images(self, images: Sequence[Image.Image]) -> np.ndarray:
        return np.stack([self._image_vector(image) for image in images])

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        return np.stack([_text_vector(text) for text in texts])

    def phrase_maps(self, images: Sequence[Image.Image], phrases: Sequence[str]) -> list[np.ndarray]:
        return [self._map(image, phrase) for image, phrase in zip(images, phrases, strict=True)]

    def _image_vector(self, image: Image.Image) -> np.ndarray:
        greys = _greys(image)
        if self._greys:
            nearest = int(np.argmin([np.abs(greys - other).sum() for other in self._greys]))
            if nearest % 3:
                vector = _text_vector(self._reports[nearest])
                vector[nearest % WIDTH] *= -1
                return vector
        return np.where(greys > np.median(greys), 0.25, -0.25).astype(np.float32)

    def _map(self, image: Image.Image, phrase: str) -> np.ndarray:
        digest = hashlib.sha256(self._image_vector(image).tobytes() + phrase.encode()).digest()
        levels = 1 if digest[-1] % 6 == 0 else 4  # one in six is flat
        return np.array([byte % levels for byte in digest[: _GRID[0] * _GRID[1]]], dtype=np.float32).reshape(_GRID)


class IndifferentEncoder:
    """Gives everything one vector, and every phrase a flat map."""

    def encode_images(self, images: Sequence[Image.Image]) -> np.ndarray:
        return np.full((len(images), WIDTH), 0.25, dtype=np.float32)

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        return np.full((len(texts), WIDTH), 0.25, dtype=np.float32)

    def phrase_maps(self, images: Sequence[Image.Image], phrases: Sequence[str]) -> list[np.ndarray]:
        return [np.ones(_GRID, dtype=np.float32) for _ in phrases]


def _greys(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("L").resize((4, 4), Image.Resampling.BOX), dtype=np.float64).ravel()


def _text_vector(text: str) -> np.ndarray:
    prototype = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") % _PROTOTYPES
    signs = np.random.default_rng(prototype).integers(2, size=WIDTH)
    return np.where(signs == 1, 0.25, -0.25).astype(np.float32)


def coarse_splits(folder: Path) -> dict[str, Dataset]:
    """120 training, 24 validation and 48 test images, changed so that every rule of the tasks has a case.

    Of the test images, two are of one study; two of other studies have one report, which stands in the training split
    as well; one has a perturbation that changes nothing, and one has no other. Labels are uncertain and unknown, a box
    covers its whole image, a phrase has two boxes, and a label has no box on validation.
    """
    phantom.build(folder / "data", train=120, validation=24, test=48, image_size=_IMAGE_SIZE, progress=False)
    changes = {"train": _change_train, "validation": _unchanged, "test": _change_test}
    splits = {
        split: list(load_dataset(str(folder / "data"), split=split, cache_dir=str(folder / "cache")))
        for split in changes
    }
    return {
        split: Dataset.from_list(change(rows, splits), features=features())
        for (split, rows), change in zip(splits.items(), changes.values(), strict=True)
    }


def _unchanged(rows: list[Row], splits: Mapping[str, list[Row]]) -> list[Row]:
    return rows


def _change_train(rows: list[Row], splits: Mapping[str, list[Row]]) -> list[Row]:
    return [rows[0] | _texts_of(splits["test"][2]), *rows[1:]]


def _change_test(rows: list[Row], splits: Mapping[str, list[Row]]) -> list[Row]:
    edits: dict[int, Callable[[Row], Row]] = {
        1: lambda row: row | _texts_of(rows[0]) | {"study_id": rows[0]["study_id"]},
        3: lambda row: row | _texts_of(rows[2]),
        4: lambda row: _without_changes(row, ["reverse_sentence"]),
        5: lambda row: _without_changes(row, list(row["perturbed"])),
        6: lambda row: row | {"labels": row["labels"] | {"Cardiomegaly": -1.0, "Support Devices": None}},
        7: lambda row: row | {"boxes": [_box("Edema", "edema all over", 0, 0, _IMAGE_SIZE, _IMAGE_SIZE)]},
        8: lambda row: (
            row | {"boxes": [_box("Edema", "two spots", 0, 0, 9, 7), _box("Edema", "two spots", 5, 3, 20, 9)]}
        ),
    }
    return [edits[place](row) if place in edits else row for place, row in enumerate(rows)]


def _texts_of(row: Row) -> Row:
    columns = ("report", "tags", "findings", "impression", "perturbed", "changed", "counterfactual")
    return {column: row[column] for column in columns}


def _without_changes(row: Row, names: Sequence[str]) -> Row:
    return row | {
        "perturbed": row["perturbed"] | dict.fromkeys(names, row["report"]),
        "changed": row["changed"] | dict.fromkeys(names, False),
    }


def _box(label: str, phrase: str, *corners: float) -> Row:
    return {"label": label, "phrase": phrase, "box": list(corners)}

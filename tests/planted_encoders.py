"""Encoders whose scores are known beforehand, and a small perturbed-pairs dataset to run them on."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from datasets import Dataset
from PIL import Image

from datasets_scripts.perturbations import PERTURBATIONS
from datasets_scripts.schema import CHEXPERT_LABELS, COUNTERFACTUAL_KINDS, features

WIDTH = 24


def text_vector(text: str) -> np.ndarray:
    """A unit vector that depends on the text alone, [WIDTH] float32."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    vector = np.random.default_rng(seed).standard_normal(WIDTH).astype(np.float32)
    return vector / np.linalg.norm(vector)


def grey_of(image: Image.Image) -> int:
    return int(np.asarray(image.convert("L"))[0, 0])


class PlantedEncoder:
    """An image's vector is made from its grey level, a text's from its words; what was asked for is remembered."""

    def __init__(
        self, image_vector: Callable[[int], np.ndarray], text_vector: Callable[[str], np.ndarray] = text_vector
    ):
        self.image_vector, self.text_vector = image_vector, text_vector
        self.images_seen: list[int] = []
        self.texts_seen: list[str] = []

    def encode_images(self, images: Sequence[Image.Image]) -> np.ndarray:
        greys = [grey_of(image) for image in images]
        self.images_seen += greys
        return np.stack([self.image_vector(grey) for grey in greys])

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        self.texts_seen += texts
        return np.stack([self.text_vector(text) for text in texts])


def oracle(data: Dataset) -> PlantedEncoder:
    """Knows each image's report: gives both the same vector."""
    reports = {grey_of(row["image"]): row["report"] for row in data}
    return PlantedEncoder(lambda grey: text_vector(reports[grey]))


def constant() -> PlantedEncoder:
    """Gives everything one vector: all scores tie."""
    return PlantedEncoder(lambda grey: text_vector("one"), lambda text: text_vector("one"))


def stranger() -> PlantedEncoder:
    """Gives every image a vector that has nothing to do with any text."""
    return PlantedEncoder(lambda grey: text_vector(f"image {grey}"))


def pair(
    grey: int,
    study: str,
    report: str,
    *,
    unchanged: Sequence[str] = (),
    counterfactuals: dict[str, str] | None = None,
) -> dict[str, Any]:
    """One row of a perturbed-pairs dataset: its image one grey level, its perturbations the report and their name."""
    edits = counterfactuals or {}
    return {
        "image": Image.new("L", (2, 2), grey),
        "image_id": f"image-{grey}",
        "study_id": study,
        "synthetic": True,
        "report": report,
        "tags": " ".join("NN" for _ in report.split()),
        "findings": report,
        "impression": "",
        "perturbed": {name: report if name in unchanged else f"{report} {name}" for name in PERTURBATIONS},
        "changed": {name: name not in unchanged for name in PERTURBATIONS},
        "counterfactual": {
            kind: {"text": edits[kind], "start": 0, "end": 1, "replacement": ""} if kind in edits else None
            for kind in COUNTERFACTUAL_KINDS
        },
        "labels": dict.fromkeys(CHEXPERT_LABELS),
        "boxes": [],
    }


def dataset(pairs: Sequence[dict[str, Any]]) -> Dataset:
    return Dataset.from_list(list(pairs), features=features())

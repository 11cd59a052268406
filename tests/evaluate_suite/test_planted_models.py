"""Models of which is known what they know, on PhantomCXR's images: the suite must find it out."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from PIL import Image
from planted_encoders import WIDTH, text_vector
from tiny_phantom import load_tiny_phantom

from evaluate_suite.context import Tree
from evaluate_suite.runner import run

TASKS = ("structure", "counterfactual")


class LabelReader:
    """Knows what every image shows: gives it the vector of its own report."""

    def __init__(self, data: Dataset) -> None:
        self.reports = {row["image"].tobytes(): row["report"] for row in data}

    def encode_images(self, images: Sequence[Image.Image]) -> np.ndarray:
        return np.stack([text_vector(self.reports[image.tobytes()]) for image in images])

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        return np.stack([text_vector(text) for text in texts])


class LanguageJudge:
    """Never looks at the image: likes all fluent texts, true or not, each as it happens, and no others."""

    def __init__(self, data: Dataset) -> None:
        edits = {edit["text"] for row in data["counterfactual"] for edit in row.values() if edit}
        self.fluent = edits | set(data["report"])

    def encode_images(self, images: Sequence[Image.Image]) -> np.ndarray:
        return np.repeat(self._vector(1.0), len(images), axis=0)

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        liked = [0.5 + 0.1 * text_vector(text)[0] if text in self.fluent else -0.5 for text in texts]
        return np.concatenate([self._vector(cosine) for cosine in liked])

    @staticmethod
    def _vector(cosine: float) -> np.ndarray:
        vector = np.zeros((1, WIDTH), dtype=np.float32)
        vector[0, :2] = cosine, np.sqrt(1 - cosine**2)
        return vector


@pytest.fixture(scope="module")
def phantom_splits(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Dataset]:
    return load_tiny_phantom(tmp_path_factory.mktemp("planted"))


@pytest.fixture(scope="module")
def reader(phantom_splits: dict[str, Dataset]) -> Tree:
    return run(LabelReader(phantom_splits["test"]), phantom_splits, (*TASKS, "retrieval"), n_bootstrap=200)["tasks"]


@pytest.fixture(scope="module")
def judge(phantom_splits: dict[str, Dataset]) -> Tree:
    return run(LanguageJudge(phantom_splits["test"]), phantom_splits, TASKS, n_bootstrap=200)["tasks"]


def holds(number: dict[str, Any], value: float) -> bool:
    low, high = number["interval"]
    return low <= value <= high


@pytest.mark.parametrize("task", TASKS)
def test_a_model_that_reads_the_labels_is_right_everywhere_and_needs_the_image(reader: Tree, task: str) -> None:
    assert reader[task]["accuracy"]["value"] == 1
    assert reader[task]["gain_over_wrong_image"]["interval"][0] > 0.2
    assert reader[task]["needs_image"] is True
    assert "does not need the image" not in reader[task].get("note", "")


def test_only_structure_is_noted_as_a_test_that_a_blind_model_does_as_well_on(reader: Tree) -> None:
    assert "A model that sees no image does as well" in reader["structure"]["note"]
    assert "note" not in reader["counterfactual"]


def test_a_model_that_reads_the_labels_is_right_for_every_kind_of_edit(reader: Tree) -> None:
    assert {number["value"] for number in reader["counterfactual"]["by_kind"].values()} == {1}
    assert reader["retrieval"]["image_to_text"]["recall_at_1"]["value"] == 1
    assert reader["retrieval"]["text_to_image"]["recall_at_1"]["value"] == 1


def test_with_wrong_images_a_model_that_reads_the_labels_is_at_chance_on_counterfactuals(reader: Tree) -> None:
    assert reader["counterfactual"]["wrong_image"]["value"] == pytest.approx(0.5, abs=0.1)


def test_a_model_that_ignores_the_image_is_right_on_structure_and_at_chance_on_counterfactuals(judge: Tree) -> None:
    assert judge["structure"]["accuracy"]["value"] == 1
    assert holds(judge["counterfactual"]["accuracy"], 0.5)


@pytest.mark.parametrize("task", TASKS)
def test_a_model_that_ignores_the_image_gains_nothing_from_it_and_is_flagged_in_words(judge: Tree, task: str) -> None:
    assert judge[task]["wrong_image"]["value"] == pytest.approx(judge[task]["accuracy"]["value"], abs=1e-12)
    gain = judge[task]["gain_over_wrong_image"]
    assert gain["value"] == pytest.approx(0, abs=1e-12)
    assert holds(gain, 0)
    assert judge[task]["needs_image"] is False
    assert "does not need the image" in judge[task]["note"]

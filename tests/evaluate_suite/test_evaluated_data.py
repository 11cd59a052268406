"""Which split is evaluated, which help, and what is said of data that cannot be."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from PIL import Image as PILImage
from PIL.Image import Image

from datasets_scripts import phantom
from datasets_scripts.perturbations import PERTURBATIONS
from datasets_scripts.schema import CHEXPERT_LABELS, COUNTERFACTUAL_KINDS
from evaluate_suite.data import dataset_name, display_name, load_evaluated, public_source


def test_the_test_split_is_evaluated_where_there_is_one(pairs: Dataset) -> None:
    splits = {"train": pairs.select([0]), "validation": pairs.select([1, 2]), "test": pairs.select([3, 4, 5])}
    evaluated = load_evaluated(splits)
    assert (evaluated.split, len(evaluated.test)) == ("test", 3)
    assert evaluated.train is splits["train"]
    assert evaluated.validation is splits["validation"]


def test_validation_is_evaluated_without_a_test_split_and_then_helps_nobody(pairs: Dataset) -> None:
    evaluated = load_evaluated({"train": pairs, "validation": pairs, "test": pairs.select([])})
    assert evaluated.split == "validation"
    assert evaluated.validation is None


def test_the_named_split_is_evaluated(pairs: Dataset) -> None:
    evaluated = load_evaluated({"train": pairs, "test": pairs}, "train")
    assert (evaluated.split, evaluated.train, evaluated.validation) == ("train", None, None)


def test_images_come_decoded_from_a_folder(tmp_path: Path) -> None:
    phantom.build(tmp_path / "small", train=2, validation=0, test=3, image_size=32, progress=False)
    evaluated = load_evaluated(str(tmp_path / "small"))
    assert (evaluated.name, evaluated.source) == ("PhantomCXR (default)", str(tmp_path / "small"))
    assert (evaluated.split, len(evaluated.test)) == ("test", 3)
    assert isinstance(evaluated.test[0]["image"], Image)
    assert evaluated.validation is None


def test_equal_data_have_one_fingerprint_and_others_another(pairs: Dataset) -> None:
    fingerprint = load_evaluated({"test": pairs}).fingerprint()
    assert load_evaluated({"validation": pairs.select(range(8))}).fingerprint() == fingerprint
    assert load_evaluated({"test": pairs.select(range(7))}).fingerprint() != fingerprint


@pytest.mark.parametrize(
    "change",
    [
        {"image": PILImage.new("L", (2, 2), 99)},
        {"study_id": "s9"},
        {"report": "effusion both"},
        {"perturbed": dict.fromkeys(PERTURBATIONS, "left effusion")},
        {"counterfactual": dict.fromkeys(COUNTERFACTUAL_KINDS)},
        {"labels": {**dict.fromkeys(CHEXPERT_LABELS), "Edema": 1.0}},
        {"boxes": [{"label": "Edema", "phrase": "edema", "box": [0.0, 0.0, 1.0, 1.0]}]},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_a_task_reads_is_in_the_fingerprint(pairs: Dataset, change: dict[str, Any]) -> None:
    rows = list(pairs)
    changed = Dataset.from_list([*rows[:2], {**rows[2], **change}, *rows[3:]], features=pairs.features)
    assert load_evaluated({"test": changed}).fingerprint() != load_evaluated({"test": pairs}).fingerprint()


def test_a_copy_on_disk_has_the_same_fingerprint(pairs: Dataset, tmp_path: Path) -> None:
    pairs.to_parquet(tmp_path / "test.parquet")
    stored = load_evaluated(str(tmp_path))
    assert stored.fingerprint() == load_evaluated({"test": pairs}).fingerprint()


def test_a_name_has_no_folders_of_the_machine(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    assert display_name(f"{tmp_path}/run/") == "run"
    assert display_name("org/model") == "org/model"


def test_a_source_is_told_as_it_was_given_unless_it_is_an_absolute_path(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    assert public_source(f"{tmp_path}/run/") == "run"
    for given in ("runs/run", "org/model", "open_clip:ViT-B-32:openai", "hf://datasets/org/data"):
        assert public_source(given) == display_name(given) == given


@pytest.mark.parametrize("name", [display_name, public_source])
def test_the_folders_of_weights_that_are_named_behind_an_architecture_are_not_told(name: Callable[[str], str]) -> None:
    assert name("open_clip:ViT-B-32:/weights/a:b.pt") == "open_clip:ViT-B-32:a:b.pt"
    assert name("open_clip:local-dir:/models/one/") == "open_clip:local-dir:one"


def test_a_folder_without_a_card_is_called_after_itself(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    assert dataset_name(f"{tmp_path}/own") == "own"
    (tmp_path / "own" / "README.md").write_text("---\nlicense: mit\n---\nA card without a name.\n")
    assert dataset_name(f"{tmp_path}/own") == "own"


def test_bad_data_are_named(pairs: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no split 'dev': it has train, test"):
        load_evaluated({"train": pairs, "test": pairs}, "dev")
    with pytest.raises(ValueError, match="neither a test nor a validation split with rows: it has train"):
        load_evaluated({"train": pairs})
    with pytest.raises(ValueError, match="split 'test' of 'data' has no rows"):
        load_evaluated({"test": pairs.select([])}, "test")
    with pytest.raises(ValueError, match="no column 'image_id' and no column 'report'; it has image, study_id"):
        load_evaluated({"test": pairs.select_columns(["image", "study_id"])})
    with pytest.raises(ValueError, match="no dataset at"):
        load_evaluated(str(tmp_path))
    reports = Dataset.from_list([{**pairs[0], "report": " "}], features=pairs.features)
    with pytest.raises(ValueError, match="report of image 'image-0' in split 'test' of 'data' is empty"):
        load_evaluated({"test": reports})

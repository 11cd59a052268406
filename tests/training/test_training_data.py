import io
import os
from pathlib import Path

import pytest
import torch
from datasets import Dataset, Image, load_dataset
from PIL import Image as PILImage
from tiny_processors import image_processor, word_piece
from torch.utils.data import DataLoader

from datasets_scripts import phantom
from modeling_prd import PRDProcessor
from training import data as training_data
from training.arguments import DataArguments
from training.data import (
    PairCollator,
    draw_perturbations,
    load_pairs,
    load_split,
    phantom_folder,
    report_id,
    training_texts,
    use_one_thread,
)
from training.errors import InputError


def test_pairs_are_the_splits_that_the_recipe_names(phantom_dir: Path):
    pairs = load_pairs(DataArguments(data=str(phantom_dir), max_train_images=5, max_eval_images=100))
    assert (len(pairs.train), len(pairs.train_texts), len(pairs.validation)) == (5, 5, 12)
    swapped = load_pairs(DataArguments(data=str(phantom_dir), train_split="validation", eval_split="train"))
    assert (len(swapped.train), len(swapped.validation)) == (12, 32)


def test_an_unknown_split_is_named_with_those_that_are_there(phantom_dir: Path):
    with pytest.raises(ValueError, match=r"'valid'.*train, validation"):
        load_split(str(phantom_dir), "default", "valid")


def test_a_missing_folder_is_named(tmp_path: Path):
    with pytest.raises(ValueError, match="nowhere"):
        load_split(str(tmp_path / "nowhere"), "default", "train")


def test_a_dataset_without_a_column_is_refused_by_its_name(tmp_path: Path):
    Dataset.from_dict({"image": [None], "report": ["the lungs are clear"]}).to_parquet(tmp_path / "train.parquet")
    with pytest.raises(ValueError, match="has no column 'image_id'"):
        load_split(str(tmp_path), "default", "train")


def test_an_image_that_does_not_decode_is_named(phantom_dir: Path):
    row = load_split(str(phantom_dir), "default", "train")[3]
    whole = row["image"]["bytes"]
    chunk = whole.index(b"IDAT") - 4  # the chunk's length: Pillow then raises SyntaxError
    for damaged in (whole[:200], b"", whole[:chunk] + (3).to_bytes(4, "big") + whole[chunk + 4 :]):
        row["image"]["bytes"] = damaged
        with pytest.raises(InputError, match=row["image_id"]):
            training_data.decode_image(row)


def test_an_empty_report_or_a_broken_validation_image_is_named_before_training(
    phantom_dir: Path, monkeypatch: pytest.MonkeyPatch
):
    rows = load_split(str(phantom_dir), "default", "validation")
    empty = rows.map(lambda row, index: {"report": " " if index == 2 else row["report"]}, with_indices=True)
    broken = rows.map(
        lambda row, index: {"image": {**row["image"], "bytes": row["image"]["bytes"][: 200 if index == 5 else None]}},
        with_indices=True,
    )
    for bad, image_id in ((empty, rows[2]["image_id"]), (broken, rows[5]["image_id"])):
        monkeypatch.setattr(training_data, "load_split", lambda *_, bad=bad: bad)
        with pytest.raises(ValueError, match=image_id):
            load_pairs(DataArguments(data="somewhere"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tags": None}, "has 0 tags for the"),
        ({"tags": "NN NN"}, "has 2 tags for the"),
        ({"report": "The lungs are clear."}, "is not normalised"),
    ],
)
def test_fresh_perturbations_need_a_tag_for_each_normalised_word(
    phantom_dir: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, str | None], message: str
):
    rows = load_split(str(phantom_dir), "default", "train")
    image_id = rows[3]["image_id"]
    bad = rows.map(lambda row, index: {**row, **(change if index == 3 else {})}, with_indices=True)
    monkeypatch.setattr(training_data, "load_split", lambda *_: bad)
    with pytest.raises(ValueError, match=f"{image_id}.*{message}"):
        load_pairs(DataArguments(data=str(phantom_dir), perturbations="fresh"))


def test_an_image_id_that_stands_twice_is_named_before_training(phantom_dir: Path, monkeypatch: pytest.MonkeyPatch):
    rows = load_split(str(phantom_dir), "default", "train")
    twice = rows.select([0, 1, 2, 1])
    monkeypatch.setattr(training_data, "load_split", lambda *_: twice)
    with pytest.raises(ValueError, match=f"{rows[1]['image_id']}' stands in two rows of split 'train'"):
        load_pairs(DataArguments(data="somewhere"))


def test_an_image_decodes_to_what_was_stored(phantom_dir: Path):
    row = load_split(str(phantom_dir), "default", "train")[0]
    expected = load_dataset(str(phantom_dir), split="train").cast_column("image", Image(decode=False))[0]["image"]
    assert training_data.decode_image(row).tobytes() == PILImage.open(io.BytesIO(expected["bytes"])).tobytes()


def test_equal_reports_share_an_id_that_is_the_same_everywhere():
    assert report_id("the lungs are clear") == report_id("the lungs are clear") == -395846851631100391
    assert report_id("the lungs are clear") != report_id("the lungs are not clear")


def test_the_vocabulary_is_trained_on_the_antonyms_too(phantom_dir: Path):
    train = load_split(str(phantom_dir), "default", "train")
    texts = set(training_texts(train))
    assert set(train["report"]) <= texts
    assert {row["replace_adjectives_with_antonyms"] for row in train["perturbed"]} <= texts


def test_the_vocabulary_has_the_words_of_the_counterfactuals_that_the_recipe_names(phantom_dir: Path):
    train = load_split(str(phantom_dir), "default", "train")
    edits = {row["severity"]["text"] for row in train["counterfactual"] if row["severity"]}
    assert edits
    assert not edits & set(training_texts(train))
    assert edits <= set(training_texts(train, ["severity"]))


def test_a_row_is_told_from_the_perturbations_and_counterfactuals_that_are_named(phantom_dir: Path):
    rows = list(load_split(str(phantom_dir), "default", "train"))
    names = ["laterality", "reverse_sentence", "severity"]
    processor = PRDProcessor(image_processor(), word_piece())
    inputs = PairCollator(processor, 200, names)(rows)
    assert inputs["perturbed_input_ids"].shape[:2] == (32, 3)
    has_edit = [[bool(row["counterfactual"][name]) for name in ("laterality", "severity")] for row in rows]
    assert inputs["perturbation_mask"][:, [0, 2]].tolist() == has_edit
    assert inputs["perturbation_mask"][:, 1].all()
    place = next(place for place, row in enumerate(rows) if row["counterfactual"]["severity"])
    expected = processor(text=rows[place]["counterfactual"]["severity"]["text"], max_length=200)["input_ids"][0]
    assert inputs["perturbed_input_ids"][place, 2, : len(expected)].tolist() == expected


def test_a_kind_of_counterfactual_that_no_report_has_is_named_before_training(
    phantom_dir: Path, monkeypatch: pytest.MonkeyPatch
):
    rows = load_split(str(phantom_dir), "default", "train")
    without = {"location": None}
    bare = rows.map(lambda row: {"counterfactual": {**row["counterfactual"], **without}}, features=rows.features)
    monkeypatch.setattr(training_data, "load_split", lambda *_: bare)
    with pytest.raises(ValueError, match="no report of split 'train' has an edit 'location'"):
        load_pairs(DataArguments(data=str(phantom_dir), perturbation_types=["severity", "location"]))


def test_perturbations_that_a_row_lacks_are_drawn_last():
    ids = torch.arange(6).view(1, 6, 1).expand(500, -1, 1)
    mask = (ids[..., 0] % 3 == 1).clone()  # two of six
    batch = {"perturbed_input_ids": ids, "perturbed_attention_mask": ids, "perturbation_mask": mask}
    drawn = draw_perturbations(batch, 3, torch.Generator().manual_seed(0))
    assert (drawn["perturbation_mask"].sum(dim=1) == 2).all()


def test_drawn_perturbations_keep_tokens_masks_and_validity_together():
    tokens = torch.arange(2 * 5).view(2, 5, 1).expand(-1, -1, 3)
    batch = {
        "perturbed_input_ids": tokens,
        "perturbed_attention_mask": tokens % 2,
        "perturbation_mask": tokens[..., 0] % 3 == 0,
    }
    drawn = draw_perturbations(batch, 3, torch.Generator().manual_seed(0))
    kept = drawn["perturbed_input_ids"]
    assert kept.shape == (2, 3, 3)
    assert torch.equal(drawn["perturbed_attention_mask"], kept % 2)
    assert torch.equal(drawn["perturbation_mask"], kept[..., 0] % 3 == 0)
    for image, ids in enumerate(kept[..., 0].tolist()):
        assert len(set(ids)) == 3
        assert set(ids) <= set(range(5 * image, 5 * image + 5))


def test_every_perturbation_is_drawn_equally_often_and_all_stay_when_all_are_wanted():
    ids = torch.arange(5).view(1, 5, 1).expand(3000, -1, 1)
    batch = {"perturbed_input_ids": ids, "perturbed_attention_mask": ids, "perturbation_mask": ids[..., 0] >= 0}
    drawn = draw_perturbations(batch, 2, torch.Generator().manual_seed(0))["perturbed_input_ids"]
    counts = torch.bincount(drawn.flatten(), minlength=5)
    assert (counts - 1200).abs().max() < 5 * (3000 * 0.4 * 0.6) ** 0.5
    assert draw_perturbations(batch, 5, torch.Generator()) is batch


def test_phantom_is_built_once_for_the_same_arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    built = []
    monkeypatch.setattr(training_data.config, "HF_DATASETS_CACHE", tmp_path)
    monkeypatch.setattr(
        phantom, "build", lambda folder, **arguments: (built.append(arguments), folder.mkdir(parents=True))
    )
    first = phantom_folder(DataArguments(phantom_train=10))
    assert phantom_folder(DataArguments(phantom_train=10)) == first
    assert len(built) == 1
    assert phantom_folder(DataArguments(phantom_train=11)) != first
    monkeypatch.setattr(phantom, "GENERATOR_VERSION", "another")
    assert phantom_folder(DataArguments(phantom_train=10)) != first
    assert len(built) == 3


def test_tokenizers_start_no_threads_in_a_worker(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "true")

    def told(rows: list[int]) -> str:
        return os.environ["TOKENIZERS_PARALLELISM"]

    loader = DataLoader([0], num_workers=1, collate_fn=told, worker_init_fn=use_one_thread)
    assert list(loader) == ["false"]
    assert os.environ["TOKENIZERS_PARALLELISM"] == "true"

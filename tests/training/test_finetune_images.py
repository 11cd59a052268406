"""`finetune.py` on images with several labels, from end to end, on tiny encoders."""

from pathlib import Path

import pytest
import torch
from datasets import Dataset
from finetune_helpers import FEATURES, LABELS, image_rows, metrics, run_finetune, save_clip, save_prd, write_images
from transformers import (
    CLIPForImageClassification,
    CLIPModel,
    ResNetConfig,
    ResNetForImageClassification,
    ViTImageProcessorPil,
)

from datasets_scripts import phantom
from modeling_prd import PRDForImageClassification
from training.finetuning.arguments import ClassifierArguments, FineTuning, TaskArguments
from training.finetuning.images import ImageTask, load_images
from training.finetuning.models import load_classifier
from training.finetuning.task import Splits, draw_groups, hold_out


@pytest.fixture(scope="module")
def prd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_prd(tmp_path_factory.mktemp("prd"))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("images"), train=48, validation=24, test=24)


@pytest.fixture(scope="module")
def learned(prd: Path, images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("learned") / "run"
    run_finetune(
        *("--task", "chexpert", "--model", prd, "--data", images, "--output_dir", run),
        *("--max_steps", 60, "--learning_rate", 1e-2, "--eval_steps", 20),
    )
    return run


def test_a_run_learns_both_labels_and_reports_each_and_their_mean(learned: Path):
    test = metrics(learned)["test"]
    assert list(test["auroc"]) == ["mean", *LABELS]
    assert test["auroc"]["mean"]["value"] > 0.95
    assert test["average_precision"]["Consolidation"]["value"] > 0.9
    assert test["accuracy_at_best_threshold"]["mean"]["value"] > 0.9


def test_uncertain_and_missing_labels_are_counted_and_not_measured(learned: Path):
    test = metrics(learned)["test"]
    counts = test["counts"]["Consolidation"]
    assert counts["uncertain"] > 0
    assert test["auroc"]["Consolidation"]["n"] == counts["positive"] + counts["negative"]
    assert test["counts"]["Pleural Effusion"]["unknown"] > 0


def test_the_best_threshold_is_a_probability(learned: Path):
    assert all(0 <= value <= 1 for value in metrics(learned)["test"]["best_thresholds"].values())


def test_the_folder_loads_with_the_names_of_the_labels(learned: Path):
    config = PRDForImageClassification.from_pretrained(learned).config
    assert list(config.id2label.values()) == list(LABELS)
    assert config.problem_type == "multi_label_classification"


def test_a_subset_of_the_labels_is_learned(prd: Path, images: Path, tmp_path: Path):
    run_finetune(
        *("--task", "chexpert", "--model", prd, "--data", images, "--output_dir", tmp_path / "run"),
        *("--labels", "Pleural Effusion", "--max_steps", 1),
    )
    assert list(metrics(tmp_path / "run")["test"]["auroc"]) == ["mean", "Pleural Effusion"]


def test_the_phantom_of_pre_training_is_accepted(prd: Path, tmp_path: Path):
    data = tmp_path / "phantom"
    phantom.build(data, train=24, validation=12, test=12, image_size=32, progress=False)
    run_finetune(
        *("--task", "chexpert", "--model", prd, "--data", data, "--output_dir", tmp_path / "run"),
        *("--labels", "No Finding", "--max_steps", 1),
    )
    assert metrics(tmp_path / "run")["test"]["auroc"]["No Finding"]["n"] == 12
    card = (tmp_path / "run" / "README.md").read_text()
    assert "All of the 24 training images are synthetic: drawn by a program, not taken of patients." in card
    assert "All of the 12 reported images are synthetic: drawn by a program, not taken of patients." in card


def test_without_a_test_split_the_validation_split_is_reported_and_never_chosen_on(
    prd: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    data = write_images(tmp_path / "images", train=60, validation=24)
    run_finetune(
        *("--task", "chexpert", "--model", prd, "--data", data, "--output_dir", tmp_path / "run"),
        *("--held_out", 0.2, "--max_steps", 1),
    )
    numbers = metrics(tmp_path / "run")
    assert sum(numbers["test"]["counts"]["Consolidation"].values()) == 24
    assert numbers["seeds"]["0"]["train_rows"] == 48
    assert "held out of training" in capsys.readouterr().out


def test_no_patient_of_chexpert_is_both_trained_on_and_chosen_on(prd: Path, tmp_path: Path):
    rows = {"train": image_rows(60), "validation": image_rows(24, start=60)}
    (tmp_path / "images").mkdir()
    for split, of_split in rows.items():
        for number, row in enumerate(of_split):
            row["study_id"] = f"patient{number // 10:05d}/study{number % 10}"
        Dataset.from_list(of_split, features=FEATURES).to_parquet(tmp_path / "images" / f"{split}.parquet")
    splits = load_images(
        FineTuning(
            task=TaskArguments(task="chexpert", data=str(tmp_path / "images"), held_out=0.2),
            classifier=ClassifierArguments(model=str(prd)),
        )
    ).splits
    trained, chosen = (
        {study.partition("/")[0] for study in part["study_id"]} for part in (splits.train, splits.validation)
    )
    assert len(trained) + len(chosen) == 6
    assert trained.isdisjoint(chosen)


def test_images_are_changed_in_training_and_not_in_evaluation(prd: Path, images: Path, tmp_path: Path):
    still = ["--task", "chexpert", "--model", prd, "--data", images, "--method", "linear_probe", "--learning_rate", 0]
    for name, changes in (("as-they-are", []), ("changed", ["--augmentation.brightness", 0.9])):
        run_finetune(*still, "--output_dir", tmp_path / name, "--max_steps", 1, *changes)
    plain, changed = (metrics(tmp_path / name) for name in ("as-they-are", "changed"))
    assert plain["seeds"]["0"]["history"][0]["loss"] != changed["seeds"]["0"]["history"][0]["loss"]
    assert plain["test"] == changed["test"]


def test_a_checkpoint_of_transformers_starts_a_run_too(images: Path, tmp_path: Path):
    checkpoint, run = tmp_path / "resnet", tmp_path / "run"
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 8], depths=[1, 1], layer_type="basic")
    ResNetForImageClassification(config).save_pretrained(checkpoint)
    ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(checkpoint)
    run_finetune(
        *("--task", "chexpert", "--model", checkpoint, "--data", images, "--output_dir", run),
        *("--max_steps", 2),
    )
    assert ResNetForImageClassification.from_pretrained(run).config.num_labels == 2


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dual encoder, whose image classifier names its encoder otherwise than the checkpoint's prefix."""
    return save_clip(tmp_path_factory.mktemp("clip"))


@pytest.mark.parametrize(
    ("arguments", "changed"),
    [(["--method", "linear_probe"], ["classifier."]), (["--lora_r", 2], ["classifier.", "self_attn."])],
)
def test_half_a_dual_encoder_is_probed_and_adapted(
    clip: Path, images: Path, tmp_path: Path, arguments: list[object], changed: list[str]
):
    run = tmp_path / "run"
    run_finetune(
        *("--task", "chexpert", "--model", clip, "--data", images, "--output_dir", run),
        *("--max_steps", 2, "--learning_rate", 1e-2, *arguments),
    )
    after = CLIPForImageClassification.from_pretrained(run).state_dict()
    before = CLIPForImageClassification.from_pretrained(clip, num_labels=2).state_dict()
    names = [name for name in after if not torch.equal(after[name], before[name])]
    assert all(any(part in name for part in changed) for name in names)
    assert all(any(part in name for name in names) for part in changed)


def test_a_dual_encoder_without_a_weight_of_its_image_half_is_refused(clip: Path):
    state = CLIPModel.from_pretrained(clip).state_dict()
    lacking = {name: value for name, value in state.items() if "vision_model.encoder" not in name}
    broken = clip.parent / "broken"
    CLIPModel.from_pretrained(clip).save_pretrained(broken, state_dict=lacking)
    ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(broken)
    with pytest.raises(ValueError, match=r"weights of CLIPForImageClassification, such as 'vision_model\."):
        load_classifier(ClassifierArguments(model=str(broken)), LABELS, "multi_label_classification")


def test_a_linear_probe_leaves_weights_and_running_statistics_as_they_are(prd: Path, images: Path, tmp_path: Path):
    run = tmp_path / "run"
    run_finetune(
        *("--task", "chexpert", "--model", prd, "--data", images, "--output_dir", run),
        *("--max_steps", 3, "--learning_rate", 1e-2, "--method", "linear_probe"),
    )
    after = PRDForImageClassification.from_pretrained(run).state_dict()
    before = PRDForImageClassification.from_pretrained(prd, num_labels=2).state_dict()
    changed = [name for name in after if not torch.equal(after[name], before[name])]
    assert changed == ["classifier.weight", "classifier.bias"]


def task(fraction: float) -> ImageTask:
    rows = Dataset.from_list(image_rows(40), features=FEATURES)
    return ImageTask(Splits(rows, rows, rows), LABELS, 10, label_fraction=fraction)


def test_a_larger_label_fraction_has_all_images_of_a_smaller_one():
    few, more = (set(task(fraction).training_rows(seed=1)["image_id"]) for fraction in (0.1, 0.5))
    assert len(few) == 4
    assert len(more) == 20
    assert few < more


def test_each_seed_draws_a_label_fraction_of_its_own():
    assert task(0.1).training_rows(seed=0)["image_id"] != task(0.1).training_rows(seed=1)["image_id"]


def test_a_group_is_drawn_whole():
    groups = ["a"] * 5 + ["b"] * 5 + ["c"] * 5
    drawn = draw_groups(groups, 0.4, seed=0)
    assert {groups[place] for place, chosen in enumerate(drawn) if chosen}.isdisjoint(
        groups[place] for place, chosen in enumerate(drawn) if not chosen
    )
    assert drawn.sum() == 10


def test_one_group_cannot_be_held_out_of_itself():
    rows = Dataset.from_dict({"number": [1, 2]})
    with pytest.raises(ValueError, match="too few"):
        hold_out(rows, ["a", "a"], 0.5)


def test_an_uncertain_label_is_unknown_to_the_loss():
    targets = task(1.0).targets(Dataset.from_list(image_rows(7), features=FEATURES))
    assert targets[:, 0].isnan().tolist() == [False, False, False, False, True, False, False]
    assert targets[:, 1].isnan().tolist() == [False] * 6 + [True]

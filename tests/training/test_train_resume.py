"""Runs that were killed, are resumed or are refused."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from run_helpers import history, refused, train_killed_at, trained_losses
from safetensors.torch import load_file
from tiny_recipe import TINY_RECIPE, VIT

import train
from datasets_scripts import phantom


def test_a_killed_and_resumed_run_ends_with_the_weights_of_one_that_was_not(write_recipe):
    changes = {
        "num_train_epochs": 2,
        "save_steps": 3,
        "perturbations_per_image": 4,
        "text_config": {**TINY_RECIPE["text_config"], "attention_dropout": 0.1, "mlp_dropout": 0.1},
        "augmentation": {"rotation": 5.0, "brightness": 0.1},
    }
    whole_recipe, whole = write_recipe("whole", **changes)
    train.main(["--config", str(whole_recipe)])

    killed_recipe, killed = write_recipe("killed", **changes)
    train_killed_at(7, killed_recipe)
    assert not (killed / "model.safetensors").exists()
    train.main(["--config", str(killed_recipe), "--resume", "auto"])

    expected, resumed = load_file(whole / "model.safetensors"), load_file(killed / "model.safetensors")
    assert expected.keys() == resumed.keys()
    assert all(torch.equal(expected[name], resumed[name]) for name in expected)
    steps = [line["step"] for line in trained_losses(killed)]
    assert steps == list(range(1, 9))
    assert history(killed) == history(whole)


def test_a_folder_with_another_run_is_refused_until_told_otherwise(write_recipe, capsys: pytest.CaptureFixture[str]):
    recipe, run = write_recipe(max_steps=2)
    train.main(["--config", str(recipe)])
    weights = (run / "model.safetensors").read_bytes()
    assert "--resume auto" in refused(["--config", str(recipe)], capsys)
    assert "learning_rate" in refused(["--config", str(recipe), "--resume=auto", "--learning_rate=0.5"], capsys)
    assert (run / "model.safetensors").read_bytes() == weights
    train.main(["--config", str(recipe), "--learning_rate=0.5", "--overwrite=true"])
    assert (run / "model.safetensors").read_bytes() != weights


def test_a_checkpoint_of_another_run_is_not_resumed(write_recipe, capsys: pytest.CaptureFixture[str]):
    recipe, run = write_recipe(max_steps=1)
    train.main(["--config", str(recipe)])
    other_recipe, other = write_recipe("other", max_steps=1, resume=str(run / "checkpoints" / "step-1"))
    assert "projection_dim" in refused(["--config", str(other_recipe), "--projection_dim", "4"], capsys)
    few = ["--config", str(other_recipe), "--max_train_images", "8"]
    assert "max_train_images" in refused(few, capsys)
    assert not other.exists()


def test_a_folder_that_is_no_run_is_never_overwritten(write_recipe, capsys: pytest.CaptureFixture[str]):
    recipe, run = write_recipe()
    run.mkdir()
    (run / "thesis.txt").write_text("years of work")
    assert "no run" in refused(["--config", str(recipe), "--overwrite=true"], capsys)
    assert (run / "thesis.txt").read_text() == "years of work"


def test_a_finished_run_that_is_resumed_trains_no_more_and_writes_its_folder_again(write_recipe):
    recipe, run = write_recipe(max_steps=2)
    train.main(["--config", str(recipe)])
    weights = load_file(run / "model.safetensors")
    (run / "README.md").unlink()
    train.main(["--config", str(recipe), "--resume", "auto"])
    assert (run / "README.md").exists()
    again = load_file(run / "model.safetensors")
    assert all(torch.equal(weights[name], again[name]) for name in weights)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data": "nowhere/at/all"}, ["nowhere/at/all"]),
        ({"train_split": "trian"}, ["trian", "train, validation"]),
        ({"device": "cuda"}, ["cuda"]),
        ({"vision_config": {"model_type": "resnat"}}, ["resnat"]),
        ({"resume": "no/checkpoint"}, ["no/checkpoint"]),
        ({"resume": "auto", "overwrite": True}, ["overwrite", "resume"]),
        ({"mixed_precision": "fp16"}, ["fp16"]),
        ({"micro_batch_size": 0}, ["micro_batch_size", "0"]),
        ({"micro_batch_size": 4}, ["batch_norm", "frozen", "sync"]),
        ({"report_to": ["comet_ml"]}, ["comet_ml"]),
        ({"report_to": "comet_ml"}, ["comet_ml"]),
        ({"push_to_hub": "no repo id"}, ["no repo id"]),
        ({"push_to_hub": "org/prd"}, ["org/prd", "offline"]),
        ({"vision_config": {**TINY_RECIPE["vision_config"], "dephts": [1]}}, ["dephts", "depths"]),
        ({"text_config": {**TINY_RECIPE["text_config"], "vocab_size": 50}}, ["encoders"]),
        ({"text_config": {**TINY_RECIPE["text_config"], "hidden_activation": "geluu"}}, ["text_config", "geluu"]),
        ({"vision_config": {**TINY_RECIPE["vision_config"], "depths": None}}, ["vision_config"]),
        ({"text_config": VIT}, ["encoders"]),
    ],
)
def test_bad_input_is_one_line_that_names_it_and_leaves_nothing(
    write_recipe, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], words: list[str]
):
    if changes.get("device") == "cuda" and torch.cuda.is_available():
        pytest.skip("a GPU is here")
    recipe, run = write_recipe(**changes)
    message = refused(["--config", str(recipe)], capsys)
    assert all(word in message for word in words), message
    assert not run.exists()


def test_a_run_is_not_resumed_on_other_data_of_the_same_length(
    write_recipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    data = tmp_path / "data"
    phantom.build(data, train=16, validation=4, test=0, image_size=64, progress=False)
    recipe, run = write_recipe(max_steps=1, data=str(data))
    train.main(["--config", str(recipe)])
    phantom.build(data, train=16, validation=4, test=0, image_size=64, seed=1, overwrite=True, progress=False)
    assert "other training data" in refused(["--config", str(recipe), "--resume", "auto"], capsys)
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["step-1"]


def test_a_loss_that_is_not_finite_is_one_line_that_names_the_step(write_recipe, capsys: pytest.CaptureFixture[str]):
    recipe, _ = write_recipe(learning_rate=1e30, max_grad_norm=0.0, warmup_ratio=0.0, optimizer="sgd")
    message = refused(["--config", str(recipe)], capsys)
    assert "the loss is" in message
    assert re.search(r"at step [2-8]: lower learning_rate", message)

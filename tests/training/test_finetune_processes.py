"""Fine-tuning by two processes."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from finetune_helpers import metrics, run_finetune, save_clip, save_prd, write_images, write_mednli
from processes import launch
from safetensors.torch import load_file

import finetune


def finetune_by_two(*arguments: Any) -> None:
    ended = launch(finetune.main, ["--n_bootstrap", 50, "--cpu_threads", 1, *arguments])
    assert ended.statuses == [0, 0], ended.stderr[-3000:]


def test_two_processes_come_to_the_weights_and_numbers_of_one_on_batches_twice_as_large(tmp_path: Path):
    prd = save_prd(tmp_path / "prd")
    config = json.loads((prd / "config.json").read_text())
    (prd / "config.json").write_text(json.dumps({**config, "classifier_dropout": 0.0}))  # else each draws its own
    mednli = write_mednli(tmp_path / "mednli", test=21)  # which two processes cannot share evenly
    common = ["--task", "mednli", "--model", prd, "--data", mednli, "--optimizer", "sgd", "--learning_rate", 0.1]
    common += ["--seeds", "0,1", "--num_train_epochs", 2]
    run_finetune(*common, "--output_dir", tmp_path / "one", "--batch_size", 8)
    finetune_by_two(*common, "--output_dir", tmp_path / "two", "--batch_size", 4)
    one, two = (metrics(tmp_path / name) for name in ("one", "two"))
    for seed in ("0", "1"):
        losses = [[line["loss"] for line in numbers["seeds"][seed]["history"]] for numbers in (one, two)]
        assert losses[1] == pytest.approx(losses[0], rel=1e-4)
        assert two["seeds"][seed]["test"]["confusion_counts"] == one["seeds"][seed]["test"]["confusion_counts"]
    expected, found = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    for name, weight in expected.items():
        torch.testing.assert_close(found[name], weight, rtol=1e-3, atol=1e-5, msg=name)


def test_two_processes_train_a_model_with_a_weight_that_it_does_not_use(tmp_path: Path):
    """CLIP's image classifier has a normalisation of the class token, and reads the others."""
    clip, images = save_clip(tmp_path / "clip"), write_images(tmp_path / "images", train=24, validation=12, test=12)
    common = ["--task", "chexpert", "--model", clip, "--data", images, "--max_steps", 3, "--batch_size", 4]
    finetune_by_two(*common, "--output_dir", tmp_path / "run")
    assert metrics(tmp_path / "run")["seeds"]["0"]["steps"] == 3

"""Two processes that share out the weights (FSDP) train what one process trains on the joined batch."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from processes import launch
from run_helpers import LOSSES, history, refused, trained_losses
from safetensors.torch import load_file
from tiny_recipe import TINY_RECIPE, VIT

import train

FSDP = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2", "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP"}
CHANGES = {"vision_config": VIT, "vision_pooling": "mean", "learn_temperature": True, "max_steps": 4, "save_steps": 2}


def _launch(recipe: Path, *flags: str) -> None:
    ended = launch(train.main, ["--config", recipe, *flags], **FSDP)
    assert ended.statuses == [0, 0], ended.stderr[-3000:]


@pytest.fixture(scope="module")
def sharded_run(phantom_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The recipe and the folder of a whole run in two processes, by micro-batches."""
    run = tmp_path_factory.mktemp("sharded") / "run"
    recipe = run.with_suffix(".yaml")
    settings: dict[str, Any] = {**TINY_RECIPE, **CHANGES, "batch_size": 4, "micro_batch_size": 2}
    recipe.write_text(yaml.safe_dump({**settings, "data": str(phantom_dir), "output_dir": str(run)}))
    _launch(recipe)
    return recipe, run


def test_losses_and_weights_are_those_of_one_process_on_the_joined_batch(sharded_run, write_recipe):
    recipe, one = write_recipe("one", batch_size=8, **CHANGES)
    train.main(["--config", str(recipe)])
    _, run = sharded_run
    assert (run / "checkpoints" / "step-4" / "pytorch_model_fsdp_0").is_dir()  # and not whole weights, as without FSDP
    joined, split = trained_losses(one), trained_losses(run)
    assert len(split) == 4
    for name in LOSSES:
        assert [line[name] for line in split] == pytest.approx([line[name] for line in joined], rel=2e-4), name
    expected, weights = load_file(one / "model.safetensors"), load_file(run / "model.safetensors")
    assert weights.keys() == expected.keys()
    for name, weight in expected.items():
        torch.testing.assert_close(weights[name], weight, rtol=2e-3, atol=2e-4, msg=name)


def test_a_run_in_one_pass_starts_with_the_losses_of_one_in_micro_batches(sharded_run, write_recipe):
    recipe, run = write_recipe(**CHANGES, batch_size=4)
    _launch(recipe, "--save_steps", "null")
    first, expected = (trained_losses(folder)[0] for folder in (run, sharded_run[1]))
    assert [first[name] for name in LOSSES] == pytest.approx([expected[name] for name in LOSSES], rel=1e-4)


def test_a_resumed_run_ends_with_the_weights_of_one_that_was_not_interrupted(sharded_run):
    recipe, run = sharded_run
    weights, lines = load_file(run / "model.safetensors"), history(run)
    shutil.rmtree(run / "checkpoints" / "step-4")
    (run / "model.safetensors").unlink()
    _launch(recipe, "--resume", "auto")
    resumed = load_file(run / "model.safetensors")
    assert all(torch.equal(resumed[name], weight) for name, weight in weights.items())
    assert history(run) == lines


def test_another_version_of_fsdp_is_refused(write_recipe, monkeypatch, capsys):
    for name, value in {**FSDP, "FSDP_VERSION": "1"}.items():
        monkeypatch.setenv(name, value)
    recipe, _ = write_recipe()
    assert "fsdp_version: 1" in refused(["--config", str(recipe)], capsys)

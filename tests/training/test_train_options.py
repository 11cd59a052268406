"""Each option of a recipe does to the run what it says."""

import math
from typing import Any

import pytest
import torch
from run_helpers import LOSSES, trained_losses
from safetensors.torch import load_file
from tiny_recipe import TINY_RECIPE
from torch._dynamo.utils import counters

import train
from modeling_prd import PRDModel
from training.compilation import compile_parts


def test_the_papers_optimizer_trains(write_recipe):
    recipe, run = write_recipe(
        max_steps=5,
        optimizer="sgd",
        learning_rate=0.0015,
        momentum=0.9,
        weight_decay=5e-4,
        lr_scheduler="constant",
        warmup_ratio=0.0,
        max_grad_norm=0.0,
        alpha=0.1,
        beta=0.1,
        local_length_normalized=False,
        duplicate_reports="negative",
    )
    train.main(["--config", str(recipe)])
    losses = trained_losses(run)
    assert [line["learning_rate"] for line in losses] == [0.0015] * 5
    assert all(math.isfinite(line[name]) for line in losses for name in LOSSES)


@pytest.mark.parametrize(
    ("weights", "kept"),
    [
        ({"alpha": 0.0, "beta": 0.0}, "loss_global"),
        ({"global_weight": 0.0, "alpha": 1.0, "beta": 0.0}, "loss_local"),
        ({"global_weight": 0.0, "alpha": 0.0, "beta": 1.0}, "loss_perturbation"),
    ],
)
def test_each_loss_trains_alone(write_recipe, weights: dict[str, float], kept: str):
    recipe, run = write_recipe(max_steps=2, **weights)
    train.main(["--config", str(recipe)])
    for line in trained_losses(run):
        assert line["loss"] == pytest.approx(line[kept])
        assert ("loss_perturbation" in line) == (weights["beta"] > 0)


def test_accumulated_batches_make_one_step(write_recipe):
    recipe, run = write_recipe(gradient_accumulation_steps=3, num_train_epochs=1)
    train.main(["--config", str(recipe)])
    assert [line["step"] for line in trained_losses(run)] == [1, 2]  # four batches: three and one


def test_bf16_autocast_trains(write_recipe):
    recipe, run = write_recipe(mixed_precision="bf16", max_steps=2)
    train.main(["--config", str(recipe)])
    assert all(math.isfinite(line["loss"]) for line in trained_losses(run))


@pytest.mark.parametrize("freeze", ["vision", "text"])
def test_a_frozen_encoder_stays_as_it_was_running_statistics_too(write_recipe, freeze: str):
    recipe, run = write_recipe(freeze=freeze, max_steps=2)
    start_recipe, start = write_recipe("start", freeze=freeze, max_steps=1, learning_rate=0.0)
    train.main(["--config", str(start_recipe)])
    train.main(["--config", str(recipe)])
    before, after = load_file(start / "model.safetensors"), load_file(run / "model.safetensors")
    frozen = [name for name in before if name.startswith(f"{freeze}_model.")]
    trained = [name for name in before if not name.startswith(f"{freeze}_model.") and before[name].is_floating_point()]
    assert frozen
    assert all(torch.equal(before[name], after[name]) for name in frozen)
    assert any(not torch.equal(before[name], after[name]) for name in trained)


def test_the_history_holds_means_over_the_batches_since_its_last_line(write_recipe):
    changes = {"learning_rate": 0.0, "num_train_epochs": 2, "freeze": "both"}
    each_recipe, each = write_recipe("each", **changes)
    train.main(["--config", str(each_recipe)])
    third_recipe, third = write_recipe("third", **changes, logging_steps=3)
    train.main(["--config", str(third_recipe)])
    steps = [line["loss_global"] for line in trained_losses(each)]
    lines = trained_losses(third)
    assert [line["step"] for line in lines] == [3, 6]
    assert [line["loss_global"] for line in lines] == pytest.approx([sum(steps[:3]) / 3, sum(steps[3:6]) / 3])


@pytest.mark.parametrize(
    "option",
    [
        {"gradient_checkpointing": True},
        {"attn_implementation": "eager"},
        {"dataloader_num_workers": 2},
    ],
    ids=lambda option: next(iter(option)),
)
def test_what_only_changes_how_a_step_is_computed_leaves_its_losses(write_recipe, option: dict[str, Any]):
    plain_recipe, plain = write_recipe("plain", max_steps=3)
    train.main(["--config", str(plain_recipe)])
    recipe, run = write_recipe(max_steps=3, **option)
    train.main(["--config", str(recipe)])
    for line, expected in zip(trained_losses(run), trained_losses(plain), strict=True):
        for name in LOSSES:
            assert line[name] == pytest.approx(expected[name], rel=1e-4), name


def test_micro_batches_leave_the_losses_and_frozen_batch_normalisation_its_statistics(write_recipe):
    changes = {"batch_norm": "frozen", "max_steps": 3}
    plain_recipe, plain = write_recipe("plain", **changes)
    train.main(["--config", str(plain_recipe)])
    recipe, run = write_recipe(**changes, micro_batch_size=3)
    train.main(["--config", str(recipe)])
    for line, expected in zip(trained_losses(run), trained_losses(plain), strict=True):
        for name in LOSSES:
            assert line[name] == pytest.approx(expected[name], rel=1e-4), name
    weights = load_file(run / "model.safetensors")
    means = [weight for name, weight in weights.items() if name.endswith("running_mean")]
    assert means
    assert not any(mean.any() for mean in means)


def test_the_parts_are_compiled_when_asked(write_recipe, monkeypatch: pytest.MonkeyPatch):
    def compile_eagerly(model: PRDModel) -> None:
        compile_parts(model, backend="eager")  # the real back end takes minutes

    monkeypatch.setattr("training.loop.compile_parts", compile_eagerly)
    plain_recipe, plain = write_recipe("plain", max_steps=2)
    train.main(["--config", str(plain_recipe)])
    graphs = counters["stats"]["unique_graphs"]
    recipe, run = write_recipe(max_steps=2, compile=True)
    train.main(["--config", str(recipe)])
    assert counters["stats"]["unique_graphs"] == graphs + 3
    losses, expected = trained_losses(run), trained_losses(plain)
    assert [line["loss"] for line in losses] == pytest.approx([line["loss"] for line in expected], rel=1e-4)


def test_the_regions_come_from_the_stage_that_was_named(write_recipe):
    recipe, run = write_recipe(max_steps=1, region_stage=-2)
    train.main(["--config", str(recipe)])
    projection = PRDModel.from_pretrained(run).image_head.region_projection
    assert projection.in_features == TINY_RECIPE["vision_config"]["hidden_sizes"][0]

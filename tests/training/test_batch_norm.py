from typing import Any

import pytest
import torch
from accelerate import Accelerator
from tiny_models import tiny_batch, tiny_model
from torch import nn

from training.batch_norm import freeze_batch_norm, prepare_batch_norm
from training.gradient_cache import GradientCache


@pytest.mark.parametrize(
    ("mode", "options", "words"),
    [
        ("train", {"micro_batch_size": 2}, ["batch_norm: train", "micro_batch_size", "frozen", "sync"]),
        ("train", {"num_processes": 2}, ["batch_norm: train", "several processes", "frozen", "sync"]),
        ("sync", {"num_processes": 2}, ["batch_norm: sync", "GPU", "frozen"]),
    ],
)
def test_what_would_not_be_exact_is_refused(mode: Any, options: dict[str, Any], words: list[str]):
    with pytest.raises(ValueError) as error_info:
        prepare_batch_norm(tiny_model(), mode, **options)
    assert all(word in str(error_info.value) for word in words)


def test_models_without_batch_normalisation_in_training_are_free():
    prepare_batch_norm(tiny_model("vit_modernbert"), "train", num_processes=2, micro_batch_size=2)
    prepare_batch_norm(tiny_model(), "train", num_processes=2, frozen=["vision_model"])
    biovil = tiny_model(vision_projection="biovil", vision_pooling="projected_mean")
    with pytest.raises(ValueError, match="image_head"):
        prepare_batch_norm(biovil, "train", num_processes=2, frozen=["vision_model"])


def test_sync_replaces_the_layers_and_keeps_their_weights():
    model = tiny_model()
    weights = model.state_dict()
    prepare_batch_norm(model, "sync", num_processes=2, device="cuda")
    layers = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    assert layers
    assert all(type(layer) is nn.SyncBatchNorm for layer in layers)
    assert all(value.equal(weights[name]) for name, value in model.state_dict().items())


def test_sync_names_a_layer_that_is_more_than_torchs():
    class WithActivation(nn.BatchNorm2d):
        """As timm's."""

    model = tiny_model()
    model.vision_model.embedder.embedder.normalization = WithActivation(8)
    with pytest.raises(ValueError, match=r"WithActivation \(vision_model.embedder.embedder.normalization\)"):
        prepare_batch_norm(model, "sync", num_processes=2, device="cuda")


def test_frozen_layers_leave_their_statistics_and_train_their_weights():
    model = tiny_model().train()
    freeze_batch_norm(model)
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    model(**tiny_batch()).loss.backward()
    assert all(buffer.equal(before[name]) for name, buffer in model.named_buffers())
    assert model.vision_model.embedder.embedder.normalization.weight.grad.norm() > 0


def test_micro_batches_move_the_running_statistics_once_to_the_mean_of_their_own():
    model, batch = tiny_model().train(), tiny_batch(6)
    embedder = model.vision_model.embedder.embedder
    layer = embedder.normalization
    layer.running_mean.fill_(0.5)
    layer.running_var.fill_(2.0)
    with torch.no_grad():
        states = [embedder.convolution(part) for part in batch["pixel_values"].split(2)]
    means = torch.stack([state.mean(dim=(0, 2, 3)) for state in states]).mean(dim=0)
    variances = torch.stack([state.transpose(0, 1).flatten(1).var(dim=1) for state in states]).mean(dim=0)
    GradientCache(Accelerator(cpu=True), model, 2).backward(batch)
    torch.testing.assert_close(layer.running_mean, 0.9 * 0.5 + 0.1 * means)
    torch.testing.assert_close(layer.running_var, 0.9 * 2.0 + 0.1 * variances)
    assert layer.num_batches_tracked == 1

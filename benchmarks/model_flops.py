"""What a training step must compute at least, in floating-point operations, and what a device could compute."""

import copy
from collections.abc import Sequence

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import PreTrainedModel

# A backward pass computes two products, with the inputs and with the weights, where the forward pass computes one.
_PASSES = 3

_PEAKS = (
    ("H100 PCIe", 756e12),
    ("H100 NVL", 835e12),
    ("H100", 989e12),
    ("H200", 989e12),
    ("A100", 312e12),
)
"""Part of a device's name and its dense bf16 operations a second, as its data sheet has them; the first that fits."""


def peak_flops(device_name: str) -> float | None:
    """Return a device's operations a second, None where it is not known."""
    return next((peak for part, peak in _PEAKS if part in device_name), None)


def text_training_flops(text_model: PreTrainedModel, lengths: Sequence[int]) -> float:
    """Count forward and backward pass of a BERT-like encoder: its linear layers and the products of its attention.

    Args:
        text_model: `layer_types` of its configuration, if any, says which layers attend to a window only.
        lengths: real tokens of each text.
    """
    config = text_model.config
    weights = sum(layer.weight.numel() for layer in text_model.modules() if isinstance(layer, nn.Linear))
    kinds = getattr(config, "layer_types", None) or ["full_attention"] * config.num_hidden_layers
    attended = 0  # pairs of tokens, over all layers
    for kind in kinds:
        window = max(lengths) if kind == "full_attention" else config.local_attention + 1
        attended += sum(length * min(length, window) for length in lengths)
    return _PASSES * (2 * weights * sum(lengths) + 4 * config.hidden_size * attended)


def image_training_flops(vision_model: PreTrainedModel, pixels: Sequence[int]) -> float:
    """Count forward and backward pass of a vision encoder for one image [channels, rows, columns]."""
    encoder = copy.deepcopy(vision_model).to_empty(device="meta")
    images = torch.zeros(2, *pixels, device="meta", dtype=encoder.dtype)
    with FlopCounterMode(display=False) as counter:
        encoder(images).last_hidden_state.sum().backward()
    return counter.get_total_flops() / len(images)

"""Any transformers vision or text encoder, seen through one shape: regions and tokens of states.

Convolutional encoders give [B, C, rows, columns]; transformers give [B, tokens, C], of which the first may be class,
distillation or register tokens.
"""

import copy
import inspect
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import MODEL_MAPPING, AutoModel, PreTrainedConfig, PreTrainedModel

_PROBE_SIZE = 64  # pixels; the image size with which an encoder is probed whose configuration names none


def encoder_class(config: PreTrainedConfig) -> type[PreTrainedModel]:
    """Return the class of the bare model that `config` describes."""
    model_class: Any = MODEL_MAPPING[type(config)]  # a few architectures have several
    return model_class[0] if isinstance(model_class, tuple) else model_class


def without_pooler(config: PreTrainedConfig) -> dict[str, Any]:
    """Return the constructor arguments that leave out a trainable pooler: unused parameters break DDP."""
    takes_pooler = "add_pooling_layer" in inspect.signature(encoder_class(config).__init__).parameters
    return {"add_pooling_layer": False} if takes_pooler else {}


def build_encoder(config: PreTrainedConfig) -> PreTrainedModel:
    """Make the bare encoder of `config` with random weights and without a trainable pooler."""
    return AutoModel.from_config(config, **without_pooler(config))


def patch_count(config: PreTrainedConfig, pixel_values: Tensor) -> int | None:
    """Return into how many patches an encoder cuts images [B, channels, rows, columns]; None if it cuts none."""
    patch_size = getattr(config, "patch_size", None)
    if patch_size is None:
        return None
    rows, columns = (patch_size, patch_size) if isinstance(patch_size, int) else patch_size
    return (pixel_values.shape[-2] // rows) * (pixel_values.shape[-1] // columns)


def region_states(hidden_state: Tensor, patches: int | None) -> Tensor:
    """Return the states of an image's regions, row by row, without class or register tokens.

    Args:
        hidden_state: [B, C, rows, columns] or [B, tokens, C].
        patches: how many patches the image was cut into (`patch_count`). Tokens above that number come first and are
            no regions; an encoder that merges patches has fewer tokens, all of them regions.

    Returns:
        [B, M, C].
    """
    if hidden_state.ndim == 4:
        return hidden_state.flatten(2).transpose(1, 2)
    return hidden_state[:, _prefix_tokens(hidden_state, patches) :]


def pooled_state(last_hidden_state: Tensor, pooler_output: Tensor | None, patches: int | None) -> Tensor:
    """Return the encoder's own pooled state, else its class token, else the mean of its regions: [B, C]."""
    if pooler_output is not None:
        return pooler_output.flatten(1)
    if last_hidden_state.ndim == 3 and _prefix_tokens(last_hidden_state, patches) > 0:
        return last_hidden_state[:, 0]
    return region_states(last_hidden_state, patches).mean(dim=1)


def _prefix_tokens(hidden_state: Tensor, patches: int | None) -> int:
    return 0 if patches is None else max(0, hidden_state.shape[1] - patches)


@dataclass(frozen=True)
class VisionShape:
    """What a vision encoder gives.

    Attributes:
        image_size: the size of the image it was probed with, (rows, columns) in pixels.
        regions: M, the number of regions of that image in the last hidden state.
        region_width: C of a region's state at the region stage.
        width: C of the last hidden state, and of the pooled state.
    """

    image_size: tuple[int, int]
    regions: int
    region_width: int
    width: int


def probe_vision_shape(config: PreTrainedConfig, region_stage: int | None) -> VisionShape:
    """Find out what a vision encoder gives, by running one without weights on the `meta` device.

    Args:
        config: the vision encoder's.
        region_stage: the index into `hidden_states` that regions are taken from; None is the last hidden state.

    Raises:
        ValueError: there is no such stage.
    """
    size = getattr(config, "image_size", None) or _PROBE_SIZE
    rows, columns = (size, size) if isinstance(size, int) else size
    with torch.device("meta"), torch.no_grad():
        encoder = build_encoder(copy.deepcopy(config)).eval()
        pixel_values = torch.zeros(1, getattr(config, "num_channels", 3), rows, columns, dtype=encoder.dtype)
        outputs = encoder(pixel_values=pixel_values, output_hidden_states=region_stage is not None)
    patches = patch_count(config, pixel_values)
    _, regions, width = region_states(outputs.last_hidden_state, patches).shape
    region_width = region_states(stage_state(outputs, region_stage), patches).shape[-1]
    return VisionShape((rows, columns), regions, region_width, width)


def stage_state(outputs: Any, region_stage: int | None) -> Tensor:
    """Return the hidden state of `region_stage` from an encoder's outputs; None is the last hidden state.

    Raises:
        ValueError: there is no such stage.
    """
    if region_stage is None:
        return outputs.last_hidden_state
    stages = len(outputs.hidden_states)
    if not -stages <= region_stage < stages:
        raise ValueError(f"region_stage={region_stage} does not exist: the vision encoder has {stages} hidden states")
    return outputs.hidden_states[region_stage]

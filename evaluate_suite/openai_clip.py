"""CLIP with a vision transformer as OpenAI's code saves it, and CheXzero with it, as transformers' `CLIPModel`.

A file tells sizes and no pixel statistics. CheXzero's code (Tiu et al. 2022, github.com/rajpurkarlab/CheXzero) scales
an image to 320 pixels on its longer side, pads it with black to a square, takes 101.48761 from the grey levels of 0 to
255 and divides by 83.43944 (0.39799 and 0.32721 on a scale of 0 to 1), and scales it to 224 pixels, bicubically: give
its file a processor with that mean and deviation, and padded images. OpenAI's own crops the centre instead. A report
says under `encoder` what was used.
"""

import math
import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import CLIPConfig, CLIPModel

_HEAD_WIDTH = 64  # in all of OpenAI's models; the file does not tell the number of heads
_LEFT_OUT = ("input_resolution", "context_length", "vocab_size")  # numbers that OpenAI's files hold beside weights
_NAMES = {
    "logit_scale": "logit_scale",
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "ln_final.weight": "text_model.final_layer_norm.weight",
    "ln_final.bias": "text_model.final_layer_norm.bias",
    "text_projection": "text_projection.weight",
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.ln_pre.weight": "vision_model.pre_layrnorm.weight",
    "visual.ln_pre.bias": "vision_model.pre_layrnorm.bias",
    "visual.ln_post.weight": "vision_model.post_layernorm.weight",
    "visual.ln_post.bias": "vision_model.post_layernorm.bias",
    "visual.proj": "visual_projection.weight",
}
_TRANSPOSED = ("text_projection", "visual.proj")  # matrices that OpenAI multiplies from the right
_BLOCK = re.compile(r"(?P<side>visual\.|)transformer\.resblocks\.(?P<layer>\d+)\.(?P<part>.+)")
_SIDES = {"": "text_model", "visual.": "vision_model"}
_BLOCK_PARTS = {
    "attn.out_proj": "self_attn.out_proj",
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}


def load_openai_clip(path: str | Path) -> CLIPModel:
    """Load a file of OpenAI's CLIP with a vision transformer, such as CheXzero's, in float32.

    Args:
        path: a `.pt` file with a state dict, as CheXzero's are, or a TorchScript archive, as OpenAI's own are.

    Returns:
        The same model in transformers, in evaluation mode: the same vectors of the same inputs.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, holds more than weights, or holds those of another model.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no model file {path}")
    try:
        if _is_torchscript(path):
            state = torch.jit.load(path, map_location="cpu").state_dict()
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:  # whose texts advise to run the file's code
        raise ValueError(f"{path} cannot be read: it is damaged, or holds more than named weights") from error
    try:
        return convert_openai_clip(state)
    except ValueError as error:
        raise ValueError(f"{path} is no CLIP of OpenAI's layout: {error}") from error


def convert_openai_clip(state: Mapping[str, Tensor]) -> CLIPModel:
    """Convert the weights of OpenAI's CLIP; every size is read off their shapes.

    Args:
        state: the state dict of the class `CLIP` of OpenAI's repository, in any precision.

    Returns:
        The same model in transformers, float32, in evaluation mode.

    Raises:
        ValueError: a weight is missing, unknown or of another shape.
    """
    if not isinstance(state, Mapping) or not all(isinstance(key, str) for key in state):
        raise ValueError(f"it holds a {type(state).__name__}, not named weights")
    weights = {name: value for name, value in state.items() if name not in _LEFT_OUT}
    missing = sorted(set(_NAMES) - set(weights))
    if missing:
        raise ValueError(f"it lacks {missing[0]!r} and has {', '.join(map(repr, list(weights)[:3]))}, ...")
    converted: dict[str, Tensor] = {}
    for name, weight in weights.items():
        if not isinstance(weight, Tensor):
            raise ValueError(f"its {name!r} is a {type(weight).__name__}, not a weight")
        converted |= _converted(name, weight.float())
    model = CLIPModel(_config(weights))
    try:
        model.load_state_dict(converted)
    except RuntimeError as error:
        raise ValueError(" ".join(str(error).split())) from error
    return model.eval()


def _converted(name: str, weight: Tensor) -> dict[str, Tensor]:
    # One of OpenAI's weights under its name in transformers; the attention's joint matrix as its three.
    if name in _NAMES:
        return {_NAMES[name]: weight.T.contiguous() if name in _TRANSPOSED else weight}
    block = _BLOCK.fullmatch(name)
    if block is None:
        raise ValueError(f"it has {name!r}, which that layout has not")
    prefix = f"{_SIDES[block['side']]}.encoder.layers.{block['layer']}"
    module, _, kind = block["part"].rpartition(".")
    if module == "attn" and kind in ("in_proj_weight", "in_proj_bias"):
        kind = kind.removeprefix("in_proj_")
        parts = zip("qkv", weight.chunk(3), strict=True)
        return {f"{prefix}.self_attn.{part}_proj.{kind}": value.contiguous() for part, value in parts}
    if module not in _BLOCK_PARTS:
        raise ValueError(f"it has {name!r}, which that layout has not")
    return {f"{prefix}.{_BLOCK_PARTS[module]}.{kind}": weight}


def _config(state: Mapping[str, Tensor]) -> CLIPConfig:
    # As `build_model` of OpenAI's repository reads them.
    vision_width, _, patch_size, _ = state["visual.conv1.weight"].shape
    patches = len(state["visual.positional_embedding"]) - 1
    vocab_size, text_width = state["token_embedding.weight"].shape
    for width in (vision_width, text_width):
        if width % _HEAD_WIDTH:
            raise ValueError(f"its width {width} is no multiple of {_HEAD_WIDTH}, the width of an attention head")
    common: dict[str, Any] = {
        "hidden_act": "quick_gelu",
        "layer_norm_eps": 1e-5,
        "projection_dim": state["text_projection"].shape[-1],
    }
    vision = {
        "hidden_size": vision_width,
        "intermediate_size": 4 * vision_width,
        "num_hidden_layers": _layers(state, "visual."),
        "num_attention_heads": vision_width // _HEAD_WIDTH,
        "patch_size": patch_size,
        "image_size": patch_size * math.isqrt(patches),
    }
    text = {
        "hidden_size": text_width,
        "intermediate_size": 4 * text_width,
        "num_hidden_layers": _layers(state, ""),
        "num_attention_heads": text_width // _HEAD_WIDTH,
        "max_position_embeddings": len(state["positional_embedding"]),
        "vocab_size": vocab_size,
        "bos_token_id": vocab_size - 2,
        "eos_token_id": vocab_size - 1,  # where a text is read: OpenAI takes the place of the greatest token
    }
    return CLIPConfig(
        text_config=common | text, vision_config=common | vision, projection_dim=common["projection_dim"]
    )


def _layers(state: Mapping[str, Tensor], side: str) -> int:
    matches = (_BLOCK.fullmatch(name) for name in state)
    return 1 + max((int(match["layer"]) for match in matches if match and match["side"] == side), default=-1)


def _is_torchscript(path: str | Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())

"""CLIP with a vision transformer written down anew from OpenAI's layout of weights, in float64, for tests alone."""

import math

import torch
from torch import Tensor

PATCH, GRID, VISION_WIDTH, TEXT_WIDTH, JOINT = 4, 4, 128, 64, 24
LAYERS, CONTEXT, VOCABULARY, HEAD_WIDTH = 2, 10, 40, 64
START, END = VOCABULARY - 2, VOCABULARY - 1


def random_state(seed: int = 0) -> dict[str, Tensor]:
    """A state dict as OpenAI's class `CLIP` saves it; every weight is drawn, biases and norms too."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator) * 0.2

    state = {
        "positional_embedding": draw(CONTEXT, TEXT_WIDTH),
        "text_projection": draw(TEXT_WIDTH, JOINT),
        "logit_scale": torch.tensor(4.6052),
        "visual.class_embedding": draw(VISION_WIDTH),
        "visual.positional_embedding": draw(GRID**2 + 1, VISION_WIDTH),
        "visual.proj": draw(VISION_WIDTH, JOINT),
        "visual.conv1.weight": draw(VISION_WIDTH, 3, PATCH, PATCH),
        "token_embedding.weight": draw(VOCABULARY, TEXT_WIDTH),
    }
    norms = [("visual.ln_pre", VISION_WIDTH), ("visual.ln_post", VISION_WIDTH), ("ln_final", TEXT_WIDTH)]
    for side, width in (("visual.", VISION_WIDTH), ("", TEXT_WIDTH)):
        for layer in range(LAYERS):
            block = f"{side}transformer.resblocks.{layer}"
            norms += [(f"{block}.ln_1", width), (f"{block}.ln_2", width)]
            state |= {f"{block}.attn.in_proj_weight": draw(3 * width, width)}
            state |= {f"{block}.attn.in_proj_bias": draw(3 * width)}
            for name, rows, columns in (
                ("attn.out_proj", width, width),
                ("mlp.c_fc", 4 * width, width),
                ("mlp.c_proj", width, 4 * width),
            ):
                state |= {f"{block}.{name}.weight": draw(rows, columns), f"{block}.{name}.bias": draw(rows)}
    for name, width in norms:
        state |= {f"{name}.weight": 1 + draw(width), f"{name}.bias": draw(width)}
    return state


def encode_image(state: dict[str, Tensor], pixels: Tensor) -> Tensor:
    """The vector [JOINT] of one image [3, PATCH * GRID, PATCH * GRID], not normalised."""
    weights = {name: value.double() for name, value in state.items()}
    tokens = [weights["visual.class_embedding"]]
    for row in range(GRID):
        for column in range(GRID):
            patch = pixels.double()[
                :, row * PATCH : (row + 1) * PATCH, column * PATCH : (column + 1) * PATCH
            ]  # [3, PATCH, PATCH]
            tokens.append(weights["visual.conv1.weight"].flatten(1) @ patch.flatten())
    states = torch.stack(tokens) + weights["visual.positional_embedding"]
    states = _norm(states, weights, "visual.ln_pre")
    states = _transformer(states, weights, "visual.", causal=False)
    return _norm(states[:1], weights, "visual.ln_post")[0] @ weights["visual.proj"]


def encode_text(state: dict[str, Tensor], tokens: list[int]) -> Tensor:
    """The vector [JOINT] of one text, not normalised: tokens with start and end, padded with 0 as OpenAI does."""
    weights = {name: value.double() for name, value in state.items()}
    padded = torch.tensor(tokens + [0] * (CONTEXT - len(tokens)))
    states = weights["token_embedding.weight"][padded] + weights["positional_embedding"]
    states = _norm(_transformer(states, weights, "", causal=True), weights, "ln_final")
    return states[padded.argmax()] @ weights["text_projection"]


def _norm(states: Tensor, weights: dict[str, Tensor], name: str) -> Tensor:
    centred = states - states.mean(dim=-1, keepdim=True)
    deviation = (centred.square().mean(dim=-1, keepdim=True) + 1e-5).sqrt()
    return centred / deviation * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def _transformer(states: Tensor, weights: dict[str, Tensor], side: str, causal: bool) -> Tensor:
    for layer in range(LAYERS):
        block = f"{side}transformer.resblocks.{layer}"
        states = states + _attention(_norm(states, weights, f"{block}.ln_1"), weights, f"{block}.attn", causal)
        hidden = _linear(_norm(states, weights, f"{block}.ln_2"), weights, f"{block}.mlp.c_fc")
        states = states + _linear(hidden * torch.sigmoid(1.702 * hidden), weights, f"{block}.mlp.c_proj")
    return states


def _attention(states: Tensor, weights: dict[str, Tensor], name: str, causal: bool) -> Tensor:
    length, width = states.shape
    joint = states @ weights[f"{name}.in_proj_weight"].T + weights[f"{name}.in_proj_bias"]
    query, key, value = joint[:, :width], joint[:, width : 2 * width], joint[:, 2 * width :]
    heads = []
    for start in range(0, width, HEAD_WIDTH):
        part = slice(start, start + HEAD_WIDTH)
        scores = query[:, part] @ key[:, part].T / math.sqrt(HEAD_WIDTH)
        if causal:
            scores = scores.masked_fill(torch.ones(length, length).triu(1).bool(), -math.inf)
        heads.append(scores.softmax(dim=-1) @ value[:, part])
    return _linear(torch.cat(heads, dim=-1), weights, f"{name}.out_proj")


def _linear(states: Tensor, weights: dict[str, Tensor], name: str) -> Tensor:
    return states @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

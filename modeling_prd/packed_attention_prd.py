"""Texts of any lengths encoded in one row without padding, where the encoder and the device allow it.

The encoder sees one row of all texts' tokens, one text after the other, with positions that start again at each; only
attention has to know where a text ends. It runs through transformers' `AttentionInterface`: on a GPU in half precision
and without dropout as `torch.nn.attention.varlen.varlen_attn`, else as scaled dot product attention over the texts of
each length. The latter gives the states and the gradients of a padded call, as tests on a CPU show; `varlen_attn` runs
on a GPU alone, and neither its result nor its speed has been measured here.
"""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel

try:
    from torch.nn.attention import varlen
except ImportError:  # a torch without it
    varlen = None  # type: ignore[assignment]

# Earlier forms of it take neither.
_HAS_VARLEN = (
    varlen is not None and {"scale", "window_size"} <= inspect.signature(varlen.varlen_attn).parameters.keys()
)
_NAME = f"{__name__}.packed"  # a copy of this file, as remote code is, registers its own
_ARCHITECTURES = ("bert", "roberta", "modernbert")  # those that the tests compare with a padded call


class Packing(NamedTuple):
    """Where the texts of a packed row lie.

    Attributes:
        blocks: (texts, length) of each run of texts of one length, in the order of the row.
        ends: [texts + 1] int32, where each text ends; the first is 0.
    """

    blocks: list[tuple[int, int]]
    ends: Tensor

    @property
    def longest(self) -> int:
        """The length of the longest text."""
        return max(length for _, length in self.blocks)


def can_pack(text_model: PreTrainedModel, device: torch.device) -> bool:
    """Return whether texts are encoded packed: on a GPU, by an architecture whose packing is tested.

    On a CPU calls of like lengths are as fast, as their states stay in its cache. Where attention is dropped out,
    which `varlen_attn` cannot do, each length would be a call of its own in each layer. A compiled encoder would be
    compiled again for every batch's lengths, and gradient checkpointing would repeat a layer's attention after the
    packing has been left.
    """
    config = text_model.config
    names = ("attention_probs_dropout_prob", "attention_dropout")
    dropout = max(getattr(config, name, 0.0) for name in names) if text_model.training else 0.0
    return (
        device.type == "cuda"
        and dropout == 0
        and config.model_type in _ARCHITECTURES
        and not getattr(config, "is_decoder", False)
        and config._attn_implementation == "sdpa"
        and not any(is_compiled(module) or _is_checkpointed(module) for module in text_model.modules())
    )


def is_compiled(module: nn.Module) -> bool:
    """Return whether a module was given to `torch.compile`."""
    return module._compiled_call_impl is not None or hasattr(module, "_orig_mod")


def _is_checkpointed(module: nn.Module) -> bool:
    return getattr(module, "gradient_checkpointing", False) is True


def encode_packed(text_model: PreTrainedModel, input_ids: Tensor, groups: list[tuple[list[int], int]]) -> list[Tensor]:
    """Encode texts in one row.

    Args:
        text_model: an encoder of the tested architectures.
        input_ids: [N, L].
        groups: rows of one length, and that length: the texts are the first so many tokens of the rows.

    Returns:
        The token states [rows, length, C] of each group.
    """
    positions = _positions(text_model, input_ids)
    blocks = [(len(rows), length) for rows, length in groups]
    lengths = torch.tensor([length for rows, length in groups for _ in rows])
    ends = nn.functional.pad(lengths.cumsum(0), (1, 0)).to(input_ids.device, torch.int32)
    index = [torch.tensor(rows, device=input_ids.device) for rows, _ in groups]

    def pack(values: Tensor) -> Tensor:
        parts = [values[rows, :length].flatten() for rows, (_, length) in zip(index, blocks, strict=True)]
        return torch.cat(parts)[None]  # [1, tokens]

    with _attending_to(text_model, _NAME):
        row = text_model(
            input_ids=pack(input_ids), position_ids=pack(positions), packing=Packing(blocks, ends)
        ).last_hidden_state[0]  # [tokens, C]
    parts = row.split([texts * length for texts, length in blocks])
    return [part.unflatten(0, block) for part, block in zip(parts, blocks, strict=True)]


def _positions(text_model: PreTrainedModel, input_ids: Tensor) -> Tensor:
    """Return the positions [N, L] that the encoder gives to tokens [N, L]."""
    if text_model.config.model_type != "roberta":
        return torch.arange(input_ids.shape[1], device=input_ids.device).expand_as(input_ids)
    padding = text_model.config.pad_token_id  # RoBERTa counts from the number after it, and no padding token
    real = (input_ids != padding).long()
    return real.cumsum(dim=1) * real + padding


@contextmanager
def _attending_to(text_model: PreTrainedModel, implementation: str) -> Iterator[None]:
    """Have all of an encoder's modules attend by `implementation`; they may hold several configurations."""
    configs: dict[int, Any] = {
        id(module.config): module.config for module in text_model.modules() if hasattr(module, "config")
    }
    before = {key: config._attn_implementation for key, config in configs.items()}
    try:
        for config in configs.values():
            config._attn_implementation = implementation
        yield
    finally:
        for key, config in configs.items():
            config._attn_implementation = before[key]


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: None,
    packing: Packing,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attend within each text of a packed row, as a function of transformers' `AttentionInterface`.

    Args:
        module: the attention layer.
        query, key, value: [1, heads, tokens, width].
        attention_mask: none, as there is no padding.
        packing: where the texts lie.
        dropout: share of the attention that is dropped.
        scaling: of the products; None is 1 / sqrt(width).
        sliding_window: a token attends to those less than this number of places away; None to all of its text.
        kwargs: not used.

    Returns:
        [1, tokens, heads, width], and no weights.
    """
    query, key, value = (states[0].transpose(0, 1) for states in (query, key, value))  # [tokens, heads, width]
    if dropout == 0 and _varlen_runs(query):
        window = (-1, -1) if sliding_window is None else (sliding_window - 1, sliding_window - 1)
        ends, longest = packing.ends, packing.longest
        attended = varlen.varlen_attn(
            query, key, value, ends, ends, longest, longest, scale=scaling, window_size=window
        )
        return cast(Tensor, attended)[None], None
    sizes = [texts * length for texts, length in packing.blocks]
    parts = zip(packing.blocks, query.split(sizes), key.split(sizes), value.split(sizes), strict=True)
    blocks = []
    for (texts, length), *parts_of_block in parts:
        q, k, v = (part.unflatten(0, (texts, length)).transpose(1, 2) for part in parts_of_block)
        mask = _window_mask(length, sliding_window, query.device)
        states = nn.functional.scaled_dot_product_attention(q, k, v, mask, dropout, scale=scaling)
        blocks.append(states.transpose(1, 2).flatten(0, 1))  # of [texts, heads, length, width]
    return torch.cat(blocks)[None], None


def _varlen_runs(query: Tensor) -> bool:
    """Whether flash attention takes vectors [tokens, heads, width]: on GPUs since Ampere, in half precision."""
    return (
        _HAS_VARLEN
        and query.is_cuda
        and query.dtype in (torch.float16, torch.bfloat16)
        and query.shape[-1] % 8 == 0
        and query.shape[-1] <= 256
        and torch.version.hip is None
        and torch.cuda.get_device_capability(query.device) >= (8, 0)
        and torch.backends.cuda.is_flash_attention_available()
    )


def _window_mask(length: int, sliding_window: int | None, device: torch.device) -> Tensor | None:
    if sliding_window is None or length <= sliding_window:
        return None  # no two tokens are farther apart
    places = torch.arange(length, device=device)
    return (places[:, None] - places).abs() < sliding_window


AttentionInterface.register(_NAME, packed_attention)

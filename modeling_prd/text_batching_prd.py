"""Encoding many texts of different lengths with little padding, each distinct text once."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from .grouping_prd import group_by_length
from .packed_attention_prd import can_pack, encode_packed, is_compiled

# What a call of the encoder costs beside its tokens, in tokens. On a CPU the gradient of every weight is written and
# added once a call, which takes the time of some tokens of any width; and a call of a layer takes its time however
# little it computes, that of some tokens more the narrower they are. Measured of training BERTs: 35 tokens at a width
# of 768, 46 to 80 at 384, 160 or more at 192 and 128.
_OVERHEAD_CPU = 32
_OVERHEAD_WIDTH = 2000  # at which a layer's call takes the time of one token
# An accelerator waits for its kernels to be launched: a call of twelve layers launches some hundred, which takes the
# time in which it could compute thousands of tokens.
_OVERHEAD_ACCELERATOR = 2000

Pool = Callable[[Tensor, Tensor | None], Tensor]
"""Makes one vector [N, C] a text of token states [N, L, C] and their attention mask [N, L]; None is all ones."""


class EncodedTexts(NamedTuple):
    """Texts: `pooled` [N, C], and `states` [K, L, C] of the first K of them, of no meaning where there is padding."""

    pooled: Tensor
    states: Tensor


class _Piece(NamedTuple):
    """Texts that were encoded together.

    `numbers` are those of the distinct texts, `states` [n, l, C] their tokens', and `mask` [n, l] is None where there
    is no padding.
    """

    numbers: list[int]
    states: Tensor
    mask: Tensor | None


def join_texts(
    input_ids: Tensor,
    attention_mask: Tensor | None,
    perturbed_input_ids: Tensor,
    perturbed_attention_mask: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Put reports [B, L] and perturbed reports [B, P, L'] under one another, padded on the right to one length.

    Returns:
        `input_ids` and `attention_mask`, [B + B * P, max(L, L')]; the padding is token 0 with attention 0.
    """
    if attention_mask is None:
        attention_mask = torch.ones_like(input_ids)
    if perturbed_attention_mask is None:
        perturbed_attention_mask = torch.ones_like(perturbed_input_ids)
    length = max(input_ids.shape[-1], perturbed_input_ids.shape[-1])

    def join(reports: Tensor, perturbed: Tensor) -> Tensor:
        return torch.cat([_pad_right(reports, length), _pad_right(perturbed.flatten(0, 1), length)])

    return join(input_ids, perturbed_input_ids), join(attention_mask, perturbed_attention_mask)


def _pad_right(tensor: Tensor, length: int) -> Tensor:
    return nn.functional.pad(tensor, (0, length - tensor.shape[-1]))


def encode_texts(
    text_model: PreTrainedModel,
    pool: Pool,
    input_ids: Tensor,
    attention_mask: Tensor,
    *,
    kept: int,
    micro_batch_size: int | None = None,
) -> EncodedTexts:
    """Encode texts [N, L], equal ones once: with dropout, equal texts lose the same.

    All in one call without padding where the encoder and the device allow it (`can_pack`), else in calls of like
    lengths, each trimmed to its longest text, as many as take the least time. Under `torch.compile`, and where the
    encoder's weights are sharded (each process has to call it as often as the others), in one padded call.

    Args:
        text_model: the encoder.
        pool: makes a text's vector.
        input_ids, attention_mask: [N, L]; the mask is 0 on padding, wherever that is.
        kept: K, how many of the texts give their token states too, from the first on.
        micro_batch_size: give the encoder at most so many texts at once; None sets no limit.
    """
    if torch.compiler.is_compiling():
        states = text_model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return EncodedTexts(pool(states, attention_mask), states[:kept])
    texts, numbers = _distinct_texts(input_ids, attention_mask)
    if micro_batch_size is None and can_pack(text_model, input_ids.device) and all(text.whole for text in texts):
        pieces = _pack(text_model, input_ids, texts)
    elif _is_sharded(text_model):
        rows = [text.row for text in texts]
        ids, mask = input_ids[rows], attention_mask[rows]
        states = text_model(input_ids=ids, attention_mask=mask).last_hidden_state
        pieces = [_Piece(list(range(len(texts))), states, mask)]
    else:
        pieces = _in_micro_batches(text_model, input_ids, attention_mask, texts, micro_batch_size)
    return _put_together(pieces, numbers, pool, kept, input_ids.shape[1])


def _is_sharded(text_model: PreTrainedModel) -> bool:
    """Whether FSDP gathers weights whenever the encoder, or a part of it, is called."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return False
    from torch.distributed.fsdp import FSDPModule, FullyShardedDataParallel  # takes a second to import

    return any(isinstance(module, FSDPModule | FullyShardedDataParallel) for module in text_model.modules())


class _Text(NamedTuple):
    """A distinct text: its first row, where its last real token ends, and whether all before that are real."""

    row: int
    end: int
    whole: bool


def _distinct_texts(input_ids: Tensor, attention_mask: Tensor) -> tuple[list[_Text], list[int]]:
    """Return the distinct texts, in the order of their first rows, and the number of every row's text among them."""
    real = attention_mask.bool()
    positions = torch.arange(1, input_ids.shape[1] + 1, device=input_ids.device)
    ends = (real * positions).amax(dim=1, keepdim=True).clamp(min=1)  # [N, 1]
    coded = input_ids.where(real, -1 - input_ids)  # a token and whether it is attended, in one number: [N, L]
    whole = (real | (positions > ends)).all(dim=1, keepdim=True)
    table = torch.cat([ends, whole, coded], dim=1).cpu().numpy()  # here the device is waited for
    numbers: dict[bytes, int] = {}
    texts: list[_Text] = []
    number_of = []
    for row, values in enumerate(table):
        end = int(values[0])
        text = values[2 : 2 + end].tobytes()
        if text not in numbers:
            numbers[text] = len(texts)
            texts.append(_Text(row, end, bool(values[1])))
        number_of.append(numbers[text])
    return texts, number_of


def _call_overhead(text_model: PreTrainedModel, device: torch.device) -> float:
    if device.type != "cpu":
        return _OVERHEAD_ACCELERATOR
    return _OVERHEAD_CPU + (_OVERHEAD_WIDTH / text_model.config.hidden_size) ** 2


def _in_micro_batches(
    text_model: PreTrainedModel,
    input_ids: Tensor,
    attention_mask: Tensor,
    texts: list[_Text],
    micro_batch_size: int | None,
) -> list[_Piece]:
    overhead = _call_overhead(text_model, input_ids.device)
    compiled = is_compiled(text_model)  # once: for two texts or more, with a mask
    pieces = []
    for numbers in group_by_length([text.end for text in texts], overhead, micro_batch_size):
        group = [texts[number] for number in numbers]
        rows, end = torch.tensor([text.row for text in group], device=input_ids.device), group[0].end
        padded = not all(text.whole and text.end == end for text in group)
        if compiled:
            rows = rows.expand(max(2, len(rows)))
        mask = attention_mask[rows, :end] if padded or compiled else None  # without, attention takes its fastest way
        states = text_model(input_ids=input_ids[rows, :end], attention_mask=mask).last_hidden_state
        pieces.append(_Piece(numbers, states[: len(group)], None if mask is None else mask[: len(group)]))
    return pieces


def _pack(text_model: PreTrainedModel, input_ids: Tensor, texts: list[_Text]) -> list[_Piece]:
    groups = group_by_length([text.end for text in texts], overhead=0)  # one a length
    rows = [([texts[number].row for number in numbers], texts[numbers[0]].end) for numbers in groups]
    packed = encode_packed(text_model, input_ids, rows)
    return [_Piece(numbers, states, None) for numbers, states in zip(groups, packed, strict=True)]


def _put_together(pieces: list[_Piece], numbers: list[int], pool: Pool, kept: int, length: int) -> EncodedTexts:
    """Pool the pieces and bring them into the order of the rows, whose texts have these `numbers`."""
    pooled = torch.cat([pool(piece.states, piece.mask) for piece in pieces])
    vectors = _in_order(pooled, [number for piece in pieces for number in piece.numbers], numbers)
    if not kept:
        return EncodedTexts(vectors, pieces[0].states.new_zeros(0, length, pieces[0].states.shape[-1]))
    wanted = set(numbers[:kept])
    states, order = [], []
    for piece in pieces:
        places = [place for place, number in enumerate(piece.numbers) if number in wanted]
        if places:
            chosen = piece.states[torch.tensor(places, device=pooled.device)]
            states.append(nn.functional.pad(chosen, (0, 0, 0, length - chosen.shape[1])))
            order += [piece.numbers[place] for place in places]
    return EncodedTexts(vectors, _in_order(torch.cat(states), order, numbers[:kept]))


def _in_order(values: Tensor, given: list[int], wanted: list[int]) -> Tensor:
    """Return the rows of the texts `wanted` from values in the order of the texts `given`."""
    place_of = {number: place for place, number in enumerate(given)}
    return values[torch.tensor([place_of[number] for number in wanted], device=values.device)]

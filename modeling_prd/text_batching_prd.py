"""Encoding many texts of different lengths: joined in one call, or sorted into small ones."""

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel


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


def encode_in_micro_batches(
    text_model: PreTrainedModel, input_ids: Tensor, attention_mask: Tensor, micro_batch_size: int
) -> Tensor:
    """Encode texts [N, L] in chunks of like length, each trimmed to its longest text.

    Returns:
        Token states [N, L, C] in the order given; zero beyond the end of a chunk's longest text.
    """
    positions = torch.arange(1, input_ids.shape[1] + 1, device=input_ids.device)
    lengths = (attention_mask.bool() * positions).amax(dim=1)  # [N]
    lengths, order = lengths.sort(descending=True)
    longest = lengths[::micro_batch_size].clamp(min=1).tolist()
    chunks = order.split(micro_batch_size)
    states = [
        text_model(input_ids=input_ids[rows, :end], attention_mask=attention_mask[rows, :end]).last_hidden_state
        for rows, end in zip(chunks, longest, strict=True)
    ]
    padded = [nn.functional.pad(state, (0, 0, 0, input_ids.shape[1] - state.shape[1])) for state in states]
    return torch.cat(padded)[order.argsort()]

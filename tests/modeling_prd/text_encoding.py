"""Tiny text encoders, ragged texts, and how one padded call encodes them: what text batching is compared with."""

from dataclasses import dataclass

import torch
from tiny_models import VOCABULARY, bert_config, modernbert_config
from torch import Tensor, nn
from transformers import PreTrainedModel, RobertaConfig

from modeling_prd.encoders_prd import build_encoder
from modeling_prd.text_batching_prd import EncodedTexts


class Calls:
    """Records what a text encoder is called with."""

    def __init__(self, module: nn.Module):
        self.shapes: list[tuple[int, ...]] = []
        self.masks: list[Tensor | None] = []
        module.register_forward_pre_hook(self._record, with_kwargs=True)

    def _record(self, module: nn.Module, args: tuple, kwargs: dict) -> None:
        self.shapes.append(tuple(kwargs["input_ids"].shape))
        self.masks.append(kwargs.get("attention_mask"))


def text_model(architecture: str) -> PreTrainedModel:
    """Make an encoder in float64; ModernBERT's second layer sees two tokens to each side."""
    bert = {key: value for key, value in bert_config().to_dict().items() if key not in ("pad_token_id", "model_type")}
    config = {
        "bert": bert_config(),
        "roberta": RobertaConfig(**bert, pad_token_id=1),
        "modernbert": modernbert_config(local_attention=4, layer_types=["full_attention", "sliding_attention"]),
    }[architecture]
    torch.manual_seed(0)
    return build_encoder(config).double().eval()


def ragged_texts(layout: str) -> tuple[Tensor, Tensor]:
    """Make the tokens and the mask of ten texts of 2 to 12 tokens, of which the first is the fourth and the tenth.

    Args:
        layout: padding on the `right` or on the `left`, or on the right with `holes` in some texts.
    """
    generator = torch.Generator().manual_seed(0)
    lengths = torch.tensor([7, 12, 3, 7, 5, 5, 12, 2, 5, 7])
    ids = torch.randint(3, VOCABULARY, (10, 12), generator=generator)
    mask = (torch.arange(12) < lengths[:, None]).long()
    if layout == "left":
        mask = mask.flip(1)
    if layout == "holes":
        mask[1, 3], mask[4, 0], mask[8, 2:4] = 0, 0, 0
    ids[[3, 9]], mask[[3, 9]] = ids[[0, 0]], mask[[0, 0]]
    return ids, mask


@dataclass
class PaddedEncoding:
    """What one padded call gives, and the gradients that it leaves behind a weighted sum of it."""

    model: PreTrainedModel
    mask: Tensor
    pooled: Tensor
    states: Tensor

    def assert_equal(self, encoded: EncodedTexts) -> None:
        """Raise where vectors, real tokens' states or gradients differ."""
        real = self.mask[: len(self.states)].bool()
        torch.testing.assert_close(encoded.pooled, self.pooled)
        assert encoded.states.shape == self.states.shape
        torch.testing.assert_close(encoded.states[real], self.states[real])
        expected = self._gradients(self.pooled, self.states[real])
        for name, gradient in self._gradients(encoded.pooled, encoded.states[real]).items():
            torch.testing.assert_close(gradient, expected[name], msg=name)

    def _gradients(self, pooled: Tensor, states: Tensor) -> dict[str, Tensor]:
        self.model.zero_grad()
        generator = torch.Generator().manual_seed(1)
        weights = [torch.randn(values.shape, generator=generator, dtype=values.dtype) for values in (pooled, states)]
        sum((values * weight).sum() for values, weight in zip((pooled, states), weights, strict=True)).backward()
        return {name: weight.grad.clone() for name, weight in self.model.named_parameters()}


def encode_padded(model: PreTrainedModel, pooling: str, ids: Tensor, mask: Tensor, kept: int) -> PaddedEncoding:
    """Encode all texts in one call, and pool each by itself."""
    states = model(input_ids=ids, attention_mask=mask).last_hidden_state
    of_texts = [text[real.bool()] for text, real in zip(states, mask, strict=True)]
    pooled = torch.stack([text[0] if pooling == "cls" else text.mean(dim=0) for text in of_texts])
    return PaddedEncoding(model, mask, pooled, states[:kept])

"""Texts packed into one row have the states and gradients of a padded call; `varlen_attn` itself needs a GPU."""

from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from text_encoding import Calls, encode_padded, ragged_texts, text_model
from tiny_models import modernbert_config, resnet_config, tiny_batch, tiny_model

from modeling_prd import PRDConfig, PRDModel, packed_attention_prd, text_batching_prd
from modeling_prd.encoders_prd import build_encoder
from modeling_prd.heads_prd import pool_tokens
from modeling_prd.packed_attention_prd import can_pack
from modeling_prd.text_batching_prd import encode_texts

CUDA = torch.device("cuda")


def _pool(states: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    return pool_tokens("mean", states, mask)


@pytest.mark.parametrize("architecture", ["bert", "roberta", "modernbert"])
def test_packed_states_and_gradients_are_those_of_one_padded_call(
    architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_batching_prd, "can_pack", lambda *_: True)
    encoder = text_model(architecture)
    calls = Calls(encoder)
    ids, mask = ragged_texts("right")
    encoded = encode_texts(encoder, _pool, ids, mask, kept=4)
    assert calls.shapes == [(1, 7 + 12 + 3 + 5 + 5 + 12 + 2 + 5)]
    encode_padded(encoder, "mean", ids, mask, kept=4).assert_equal(encoded)


@pytest.mark.parametrize("layout", ["left", "holes"])
def test_texts_with_padding_before_their_end_are_not_packed(layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_batching_prd, "can_pack", lambda *_: True)
    encoder = text_model("roberta")
    ids, mask = ragged_texts(layout)
    encode_padded(encoder, "mean", ids, mask, kept=2).assert_equal(encode_texts(encoder, _pool, ids, mask, kept=2))


@pytest.mark.parametrize("window", [2, 5])
def test_a_sliding_window_reaches_as_far_as_in_a_padded_call(window: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_batching_prd, "can_pack", lambda *_: True)
    config = modernbert_config(local_attention=2 * window, layer_types=["sliding_attention"] * 2)
    encoder = build_encoder(config).double().eval()
    ids, mask = ragged_texts("right")
    encode_padded(encoder, "mean", ids, mask, kept=2).assert_equal(encode_texts(encoder, _pool, ids, mask, kept=2))


def test_an_encoder_with_a_configuration_of_its_own_attends_packed_and_is_left_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encoder = build_encoder(modernbert_config())
    config = PRDConfig.from_vision_text_configs(resnet_config(), encoder.config, projection_dim=8)
    model = PRDModel(config, text_model=encoder).eval()
    batch = tiny_batch()
    expected = model(**batch)
    monkeypatch.setattr(text_batching_prd, "can_pack", lambda *_: True)
    actual = model(**batch)
    for name in expected:
        torch.testing.assert_close(actual[name], expected[name], msg=name)
    attention = {module.config._attn_implementation for module in encoder.modules() if hasattr(module, "config")}
    assert attention == {"sdpa"}


def test_attention_dropout_drops_within_packed_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_batching_prd, "can_pack", lambda *_: True)
    encoder = text_model("bert").train()
    for layer in encoder.encoder.layer:
        layer.attention.self.dropout.p = 0.5
    ids, mask = ragged_texts("right")
    first, second = (encode_texts(encoder, _pool, ids, mask, kept=0).pooled for _ in range(2))
    assert not torch.allclose(first, second)


def test_what_varlen_attention_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stands in for the kernel, which runs on a GPU alone: shapes, ends and windows are those of its documentation."""
    seen = []

    def varlen_attn(query, key, value, ends, key_ends, longest, longest_key, *, scale, window_size):  # type: ignore
        seen.append((query.shape, ends.tolist(), longest, round(scale, 4), window_size))
        assert (ends.dtype, key_ends.tolist(), longest_key) == (torch.int32, ends.tolist(), longest)
        return torch.cat(
            [
                torch.nn.functional.scaled_dot_product_attention(
                    *(states[start:end].transpose(0, 1) for states in (query, key, value)), scale=scale
                ).transpose(0, 1)
                for start, end in pairwise(ends)
            ]
        )

    monkeypatch.setattr(text_batching_prd, "can_pack", lambda *_: True)
    monkeypatch.setattr(packed_attention_prd, "_varlen_runs", lambda query: True)
    monkeypatch.setattr(packed_attention_prd, "varlen", SimpleNamespace(varlen_attn=varlen_attn))
    encoder = build_encoder(modernbert_config(layer_types=["full_attention", "sliding_attention"])).double().eval()
    ids, mask = ragged_texts("right")
    encode_padded(encoder, "mean", ids, mask, kept=2).assert_equal(encode_texts(encoder, _pool, ids, mask, kept=2))
    ends = [0, 12, 24, 31, 36, 41, 46, 49, 51]
    shape, scale = torch.Size([51, 2, 8]), round(8**-0.5, 4)
    assert seen == [(shape, ends, 12, scale, (-1, -1)), (shape, ends, 12, scale, (64, 64))]


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing_enable.*:FutureWarning")
def test_packing_is_for_gpus_and_tested_architectures_with_their_default_attention() -> None:
    assert can_pack(text_model("bert"), CUDA)
    assert can_pack(tiny_model("vit_modernbert").text_model, CUDA)
    assert not can_pack(text_model("bert"), torch.device("cpu"))
    renamed, eager, decoder, compiled, checkpointed, dropping = (text_model("bert") for _ in range(6))
    renamed.config.model_type = "electra"
    eager.config._attn_implementation = "eager"
    decoder.config.is_decoder = True
    compiled.encoder.layer[1].compile()
    checkpointed.gradient_checkpointing_enable()
    dropping.config.attention_probs_dropout_prob = 0.1
    assert can_pack(dropping, CUDA)
    dropping.train()
    for model in (renamed, eager, decoder, compiled, checkpointed, dropping):
        assert not can_pack(model, CUDA)

"""Texts are encoded once each and with little padding, and nothing but the cost depends on how."""

from typing import Any

import pytest
import torch
import torch.distributed as dist
from text_encoding import Calls, encode_padded, ragged_texts, text_model
from tiny_models import tiny_batch, tiny_model
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from modeling_prd import PRDModel, text_batching_prd
from modeling_prd.heads_prd import pool_tokens
from modeling_prd.text_batching_prd import encode_texts, join_texts


@pytest.fixture(autouse=True)
def width_of_a_small_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call costs tiny encoders more than all the tokens of a test: let it cost them what it does wider ones."""
    monkeypatch.setattr(text_batching_prd, "_OVERHEAD_WIDTH", 0)


def _model(encoders: str = "resnet_bert", **settings: Any) -> PRDModel:
    return tiny_model(encoders, **settings).double()


@pytest.mark.parametrize("layout", ["right", "left", "holes"])
@pytest.mark.parametrize("micro_batch_size", [None, 1, 3])
@pytest.mark.parametrize("architecture", ["bert", "roberta", "modernbert"])
@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_states_and_gradients_are_those_of_one_padded_call(
    architecture: str, pooling: str, micro_batch_size: int | None, layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_batching_prd, "_OVERHEAD_CPU", 4)  # several calls where no number is set
    encoder = text_model(architecture)
    calls = Calls(encoder)
    ids, mask = ragged_texts(layout)
    encoded = encode_texts(
        encoder,
        lambda states, real: pool_tokens(pooling, states, real),
        ids,
        mask,
        kept=4,
        micro_batch_size=micro_batch_size,
    )
    assert len(calls.shapes) > 1 or layout == "left"  # where all texts end in the last place
    encode_padded(encoder, pooling, ids, mask, kept=4).assert_equal(encoded)


@pytest.mark.parametrize("encoders", ["resnet_bert", "vit_modernbert"])
def test_a_number_of_texts_a_call_changes_no_output_and_no_gradient(encoders: str) -> None:
    batch = tiny_batch()
    automatic, split = _model(encoders), _model(encoders, text_micro_batch_size=2)
    expected, actual = automatic(**batch), split(**batch)
    for name in expected:
        torch.testing.assert_close(actual[name], expected[name], msg=name)
    expected.loss.backward()
    actual.loss.backward()
    for (name, wanted), got in zip(automatic.named_parameters(), split.parameters(), strict=True):
        torch.testing.assert_close(got.grad, wanted.grad, msg=name)


def test_equal_texts_are_encoded_once_whatever_their_padding_holds() -> None:
    model, batch = _model(), tiny_batch(size=3, perturbations=2)
    ids, mask = batch["input_ids"], batch["attention_mask"]
    ids[1, :5], mask[1] = ids[0, :5], torch.tensor([1] * 5 + [0] * 4)
    ids[2, :5], mask[2] = ids[0, :5], mask[1]  # as the second, with other tokens in its padding
    batch["perturbed_input_ids"][:, 0, :9] = ids
    batch["perturbed_attention_mask"][:, 0] = torch.nn.functional.pad(mask, (0, 2))
    batch["perturbed_attention_mask"][:, 1] = torch.tensor([1] * 6 + [0] * 5)
    calls = Calls(model.text_model)
    output = model(**batch)
    assert sum(rows for rows, _ in calls.shapes) == 2 + 3  # two distinct reports, and one perturbation of each
    torch.testing.assert_close(output.text_embeds[1], output.text_embeds[2])
    torch.testing.assert_close(output.perturbed_embeds[:, 0], output.text_embeds)
    assert not torch.allclose(output.text_embeds[0], output.text_embeds[1])


def test_texts_that_differ_in_what_is_attended_are_both_encoded() -> None:
    calls = Calls((model := _model()).text_model)
    mask = torch.tensor([[1, 1, 1, 1], [1, 0, 1, 1]])
    features = model.get_text_features(torch.full((2, 4), 7), mask).pooler_output
    assert sum(rows for rows, _ in calls.shapes) == 2
    assert not torch.allclose(features[0], features[1])


def test_a_number_caps_the_texts_of_a_call_and_each_call_is_trimmed() -> None:
    model = tiny_model(text_micro_batch_size=2)
    calls = Calls(model.text_model)
    lengths = torch.tensor([2, 4, 1, 4, 3])
    mask = (torch.arange(5) < lengths[:, None]).long()
    model.get_text_features(torch.arange(5, 30).view(5, 5), mask)
    assert calls.shapes == [(2, 4), (2, 3), (1, 1)]


def test_short_texts_share_a_call_and_long_ones_of_another_length_do_not() -> None:
    model = tiny_model()
    calls = Calls(model.text_model)
    lengths = torch.tensor([30, 30, 3, 30, 30, 2, 3, 3])
    mask = (torch.arange(32) < lengths[:, None]).long()
    model.get_text_features(torch.randint(5, 50, (8, 32)), mask)
    assert calls.shapes == [(4, 30), (4, 3)]


def test_the_narrower_an_encoder_the_fewer_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_batching_prd, "_OVERHEAD_WIDTH", 2000)
    model = tiny_model()
    calls = Calls(model.text_model)
    mask = (torch.arange(32) < torch.tensor([30, 30, 30, 30, 3, 3])[:, None]).long()
    for width in (768, 16):
        model.text_model.config.hidden_size = width
        model.get_text_features(torch.randint(5, 50, (6, 32)), mask)
    assert calls.shapes == [(4, 30), (2, 3), (6, 30)]


def test_a_call_without_padding_has_no_mask() -> None:
    model = tiny_model()
    calls = Calls(model.text_model)
    model.get_text_features(torch.tensor([[5, 6, 7, 0], [7, 6, 5, 0]]), torch.tensor([[1, 1, 1, 0], [1, 1, 1, 0]]))
    model.get_text_features(torch.tensor([[5, 6, 7, 0], [7, 6, 0, 0]]), torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0]]))
    assert calls.shapes == [(2, 3), (2, 3)]
    assert [mask is None for mask in calls.masks] == [True, False]


def test_a_sharded_encoder_is_called_as_often_in_every_process() -> None:
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        model = tiny_model()
        calls = Calls(model.text_model)
        mask = (torch.arange(32) < torch.tensor([30] * 8 + [3] * 8)[:, None]).long()
        ids = torch.randint(5, 50, (16, 32))
        expected = model.get_text_features(ids, mask).pooler_output
        fully_shard(model.text_model, mesh=init_device_mesh("cpu", (1,)))
        torch.testing.assert_close(model.get_text_features(ids, mask).pooler_output, expected)
    finally:
        dist.destroy_process_group()
    assert calls.shapes == [(8, 30), (8, 3), (16, 32)]


def test_joined_texts_are_padded_to_the_longest() -> None:
    input_ids, attention_mask = join_texts(torch.full((1, 2), 5), None, torch.full((1, 2, 3), 6), None)
    assert input_ids.tolist() == [[5, 5, 0], [6, 6, 6], [6, 6, 6]]
    assert attention_mask.tolist() == [[1, 1, 0], [1, 1, 1], [1, 1, 1]]
    input_ids, attention_mask = join_texts(
        torch.full((1, 3), 5), torch.tensor([[1, 1, 0]]), torch.full((1, 1, 2), 6), torch.tensor([[[1, 0]]])
    )
    assert input_ids.tolist() == [[5, 5, 5], [6, 6, 0]]
    assert attention_mask.tolist() == [[1, 1, 0], [1, 0, 0]]

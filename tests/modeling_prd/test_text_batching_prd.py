"""Many texts are encoded in one call or in small ones, and nothing but the cost depends on which."""

import pytest
import torch
from tiny_models import tiny_batch, tiny_model
from torch import nn

from modeling_prd import PRDModel
from modeling_prd.text_batching_prd import join_texts


class _Calls:
    """Records the shapes that a module is called with."""

    def __init__(self, module: nn.Module):
        self.shapes: list[tuple[int, ...]] = []
        module.register_forward_pre_hook(self._record, with_kwargs=True)

    def _record(self, module: nn.Module, args: tuple, kwargs: dict) -> None:
        self.shapes.append(tuple(kwargs["input_ids"].shape))


def _model(encoders: str, micro_batch_size: int | None) -> PRDModel:
    return tiny_model(encoders, text_micro_batch_size=micro_batch_size).double()


def test_originals_and_perturbed_reports_are_encoded_in_one_call() -> None:
    model = tiny_model()
    calls = _Calls(model.text_model)
    model(**tiny_batch(size=4, perturbations=3, length=9))
    assert calls.shapes == [(4 + 4 * 3, 11)]


@pytest.mark.parametrize("encoders", ["resnet_bert", "vit_modernbert"])
@pytest.mark.parametrize("micro_batch_size", [1, 5, 16])
def test_micro_batches_give_the_same_outputs_and_gradients(encoders: str, micro_batch_size: int) -> None:
    batch = tiny_batch()
    whole, split = _model(encoders, None), _model(encoders, micro_batch_size)
    expected, actual = whole(**batch), split(**batch)
    for name in expected:
        torch.testing.assert_close(actual[name], expected[name], msg=name)
    expected.loss.backward()
    actual.loss.backward()
    for (name, wanted), got in zip(whole.named_parameters(), split.parameters(), strict=True):
        torch.testing.assert_close(got.grad, wanted.grad, msg=name)


def test_micro_batches_are_sorted_by_length_and_trimmed() -> None:
    model = tiny_model(text_micro_batch_size=2)
    calls = _Calls(model.text_model)
    mask = torch.tensor([[1, 1, 0, 0, 0], [1, 1, 1, 1, 0], [1, 0, 0, 0, 0], [1, 1, 1, 1, 0], [1, 1, 1, 0, 0]])
    model.get_text_features(torch.ones_like(mask), mask)
    assert calls.shapes == [(2, 4), (2, 3), (1, 1)]


def test_joined_texts_are_padded_to_the_longest() -> None:
    input_ids, attention_mask = join_texts(torch.full((1, 2), 5), None, torch.full((1, 2, 3), 6), None)
    assert input_ids.tolist() == [[5, 5, 0], [6, 6, 6], [6, 6, 6]]
    assert attention_mask.tolist() == [[1, 1, 0], [1, 1, 1], [1, 1, 1]]
    input_ids, attention_mask = join_texts(
        torch.full((1, 3), 5), torch.tensor([[1, 1, 0]]), torch.full((1, 1, 2), 6), torch.tensor([[[1, 0]]])
    )
    assert input_ids.tolist() == [[5, 5, 5], [6, 6, 0]]
    assert attention_mask.tolist() == [[1, 1, 0], [1, 0, 0]]

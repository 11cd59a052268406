"""The losses are their equations' and GLoRIA's, stay finite in half precision, and refuse what has no answer."""

from collections.abc import Callable
from types import ModuleType

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from loss_checks import CHECKS

from modeling_prd import losses_prd


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_losses_hold_their_references(check: Callable[[ModuleType], None]) -> None:
    check(losses_prd)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("word_count", [1, 200])
@pytest.mark.parametrize("variant", ["paper", "gloria"])
def test_local_loss_and_gradients_are_finite_under_autocast(variant: str, word_count: int, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    encoder = torch.nn.Linear(32, 128)
    regions, words = torch.randn(4, 49, 32), torch.randn(4, 200, 32)
    mask = (torch.arange(200) < word_count).expand(4, 200)
    with torch.autocast("cpu", dtype):
        similarity = losses_prd.local_similarity(encoder(regions), encoder(words), mask, variant=variant)
        loss = losses_prd.local_contrastive_loss(similarity, 1 / 0.07)
    loss.backward()
    assert loss.isfinite()
    assert encoder.weight.grad.isfinite().all()


def test_gloria_stays_finite_for_regions_of_zero_length() -> None:
    regions = torch.zeros(2, 4, 3, requires_grad=True)
    words = torch.ones(2, 2, 3, requires_grad=True)
    losses_prd.local_similarity(regions, words, torch.ones(2, 2, dtype=torch.bool), variant="gloria").sum().backward()
    assert regions.grad.isfinite().all()
    assert words.grad.isfinite().all()


@given(padding=st.integers(1, 4), seed=st.integers(0, 2**16), variant=st.sampled_from(["paper", "gloria"]))
@settings(max_examples=25, deadline=None)
def test_padding_changes_no_similarity(padding: int, seed: int, variant: str) -> None:
    generator = torch.Generator().manual_seed(seed)
    regions = torch.randn(2, 3, 4, generator=generator, dtype=torch.float64)
    words = torch.randn(2, 5, 4, generator=generator, dtype=torch.float64)
    mask = torch.arange(5) < torch.tensor([5, 2])[:, None]
    padded_words = torch.cat([words, torch.full((2, padding, 4), 7.0, dtype=torch.float64)], dim=1)
    padded_mask = torch.cat([mask, torch.zeros(2, padding, dtype=torch.bool)], dim=1)
    torch.testing.assert_close(
        losses_prd.local_similarity(regions, padded_words, padded_mask, variant=variant),
        losses_prd.local_similarity(regions, words, mask, variant=variant),
    )


@given(seed=st.integers(0, 2**16), variant=st.sampled_from(["paper", "gloria"]))
@settings(max_examples=25, deadline=None)
def test_the_order_of_words_and_of_regions_changes_no_similarity(seed: int, variant: str) -> None:
    generator = torch.Generator().manual_seed(seed)
    regions = torch.randn(2, 3, 4, generator=generator, dtype=torch.float64)
    words = torch.randn(2, 5, 4, generator=generator, dtype=torch.float64)
    mask = torch.arange(5) < torch.tensor([5, 2])[:, None]
    region_order, word_order = torch.randperm(3, generator=generator), torch.randperm(5, generator=generator)
    torch.testing.assert_close(
        losses_prd.local_similarity(regions[:, region_order], words[:, word_order], mask[:, word_order], variant),
        losses_prd.local_similarity(regions, words, mask, variant),
    )


def test_length_normalization_makes_a_doubled_report_score_alike() -> None:
    torch.manual_seed(0)
    regions, words = torch.randn(1, 4, 8), torch.randn(1, 3, 8)
    mask = torch.ones(1, 3, dtype=torch.bool)
    once = losses_prd.local_similarity(regions, words, mask, length_normalized=True)
    twice = losses_prd.local_similarity(regions, words.repeat(1, 2, 1), mask.repeat(1, 2), length_normalized=True)
    torch.testing.assert_close(once, twice)


def test_an_unknown_variant_is_an_error() -> None:
    regions = torch.zeros(1, 1, 1)
    with pytest.raises(ValueError, match="'glorai' is not one of paper, gloria"):
        losses_prd.local_similarity(regions, regions, torch.ones(1, 1, dtype=torch.bool), variant="glorai")


def test_a_report_too_many_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"one report an image.*\(2, 3\)"):
        losses_prd.global_contrastive_loss(torch.ones(2, 4), torch.ones(3, 4), 0.07)

"""Whatever the blocks, matches and their gradients are those of the loop with full contexts, in float64."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.local_loss_loop import loop_similarity
from modeling_prd import losses_prd, word_matches_prd

REPORTS = [5, 1, 3, 5, 2]
MASK = torch.arange(6) < torch.tensor(REPORTS)[:, None]  # [5, 6]
WIDTHS = {"gram": 7, "contexts": 2}  # of vectors, beside 4 regions: |v|^2 by either form


def _inputs(width: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    regions = torch.randn(4, width, 3, generator=generator, dtype=torch.float64).permute(2, 0, 1)  # not contiguous
    words = torch.randn(*MASK.shape, width, generator=generator, dtype=torch.float64)
    return regions.requires_grad_(), words.requires_grad_()


def _with_gradients(similarity: Tensor, *inputs: Tensor) -> list[Tensor]:
    weights = torch.linspace(-1, 2, similarity.numel(), dtype=torch.float64).view_as(similarity)
    return [similarity, *torch.autograd.grad((similarity * weights).sum(), inputs)]


@pytest.mark.parametrize("products", [1, 9, 50, 10**6])
@pytest.mark.parametrize("kept_share", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS.keys())
@pytest.mark.parametrize("variant", ["paper", "gloria"])
def test_blocks_of_any_size_give_the_loops_scores_and_gradients(
    variant: str, width: int, kept_share: float, products: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(word_matches_prd, "_BYTES_OF_A_PRODUCT", 1_000_000 // products)
    _keep(monkeypatch, kept_share)
    inputs = _inputs(width)
    expected = _with_gradients(loop_similarity(*inputs, MASK, variant), *inputs)
    actual = _with_gradients(losses_prd.local_similarity(*inputs, MASK, variant, memory_mb=1), *inputs)
    for ours, loops in zip(actual, expected, strict=True):
        torch.testing.assert_close(ours, loops, rtol=1e-10, atol=1e-12)


def _keep(monkeypatch: pytest.MonkeyPatch, share: float) -> None:
    """Let the blocks keep this share of what they hold."""
    apply = word_matches_prd._WordMatches.apply

    def limited(regions: Tensor, words: Tensor, variant: str, temperature: float, blocks: list, kept: int) -> Tensor:
        held = 8 * sum(len(block.rows) for block in blocks) * regions.shape[1]
        return apply(regions, words, variant, temperature, blocks, int(share * held))

    monkeypatch.setattr(word_matches_prd._WordMatches, "apply", limited)


def test_a_second_backward_pass_gives_the_same_gradients() -> None:
    inputs = _inputs(7)
    similarity = losses_prd.local_similarity(*inputs, MASK, "gloria").sum()
    first = torch.autograd.grad(similarity, inputs, retain_graph=True)
    second = torch.autograd.grad(similarity, inputs)
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("memory_mb", [0, 1024])
@pytest.mark.parametrize("variant", ["paper", "gloria"])
def test_a_backward_pass_under_autocast_gives_the_same_gradients(variant: str, memory_mb: int) -> None:
    inputs = [tensor.detach().float().requires_grad_() for tensor in _inputs(7)]
    found = []
    for enabled in (False, True):
        similarity = losses_prd.local_similarity(*inputs, MASK, variant, memory_mb=memory_mb).sum()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            found.append(torch.autograd.grad(similarity, inputs))
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("variant", ["paper", "gloria"])
def test_the_compiled_form_gives_the_same_scores_and_gradients(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = _inputs(7)
    packed = _with_gradients(losses_prd.local_similarity(*inputs, MASK, variant), *inputs)
    monkeypatch.setattr(losses_prd, "_packed_scores", losses_prd._padded_scores)
    padded = _with_gradients(losses_prd.local_similarity(*inputs, MASK, variant), *inputs)
    for one, other in zip(packed, padded, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("variant", ["paper", "gloria"])
def test_words_and_contexts_without_length_have_the_gradients_of_the_padded_form(
    variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    regions, words = _inputs(7)
    with torch.no_grad():
        regions[1] = 0
        words[0, 1] = 0
    packed = _with_gradients(losses_prd.local_similarity(regions, words, MASK, variant), regions, words)
    monkeypatch.setattr(losses_prd, "_packed_scores", losses_prd._padded_scores)
    padded = _with_gradients(losses_prd.local_similarity(regions, words, MASK, variant), regions, words)
    for one, other in zip(packed, padded, strict=True):
        assert one.isfinite().all()
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_words_may_stand_anywhere_in_their_row() -> None:
    regions, words = _inputs(7)
    mask = MASK.flip(1)
    mask[0] = torch.tensor([True, False, True, False, False, True])
    for variant in ("paper", "gloria"):
        expected = loop_similarity(regions, words, mask, variant)
        torch.testing.assert_close(losses_prd.local_similarity(regions, words, mask, variant), expected)


def test_nothing_is_kept_where_there_is_no_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = []

    def record(*arguments: object) -> Tensor:
        kept.append(arguments[-1])
        return torch.zeros(sum(REPORTS), 3, dtype=torch.float64)

    monkeypatch.setattr(word_matches_prd._WordMatches, "apply", record)
    inputs = _inputs(7)
    losses_prd.local_similarity(*inputs, MASK)
    with torch.no_grad():
        losses_prd.local_similarity(*inputs, MASK)
    losses_prd.local_similarity(*(tensor.detach() for tensor in inputs), MASK)
    assert kept == [1024 * 10**6, 0, 0]


class LargestTensor(TorchDispatchMode):
    """Notes the bytes of the largest tensor that was computed."""

    largest = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        sizes = [leaf.nbytes for leaf in tree_leaves(result) if isinstance(leaf, Tensor) and leaf._base is None]
        self.largest = max([self.largest, *sizes])
        return result


@pytest.mark.parametrize("variant", ["paper", "gloria"])
def test_no_tensor_is_larger_than_the_memory_allows(variant: str) -> None:
    mask = torch.arange(30) < torch.tensor([3] + [30] * 63)[:, None]
    regions, words = torch.randn(64, 16, 8), torch.randn(64, 30, 8)
    largest = {}
    for memory_mb in (1, 1000):
        with LargestTensor() as noted:
            inputs = regions.clone().requires_grad_(), words.clone().requires_grad_()
            losses_prd.local_similarity(*inputs, mask, variant, memory_mb=memory_mb).sum().backward()
        largest[memory_mb] = noted.largest
    assert largest[1] < 1_000_000
    assert largest[1000] > 7_000_000  # one number for each word, image and region

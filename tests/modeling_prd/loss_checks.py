"""What the losses must satisfy: GLoRIA's own numbers, and plain float64 loops written from the equations.

Every check takes the module under test, so that the mutation tests can hand in a broken one.
"""

import math
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor

FIXTURE = Path(__file__).parents[1] / "fixtures" / "gloria_losses_public.npz"
TAU = 0.3


def _close(actual: Tensor | float, expected: Tensor | float, rtol: float = 1e-9) -> None:
    torch.testing.assert_close(
        torch.as_tensor(actual, dtype=torch.float64),
        torch.as_tensor(expected, dtype=torch.float64),
        rtol=rtol,
        atol=rtol,
    )


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def _units(*shape: int) -> Tensor:
    vectors = torch.randn(shape, generator=_generator(), dtype=torch.float64)
    return vectors / vectors.norm(dim=-1, keepdim=True)


def _local_inputs() -> tuple[Tensor, Tensor, Tensor]:
    """Regions [3, 4, 5] and words [3, 6, 5] of reports of 6, 1 and 3 words; padding holds large numbers."""
    generator = _generator()
    regions = torch.randn(3, 4, 5, generator=generator, dtype=torch.float64)
    words = torch.randn(3, 6, 5, generator=generator, dtype=torch.float64)
    mask = torch.arange(6) < torch.tensor([6, 1, 3])[:, None]
    return regions, words.masked_fill(~mask[..., None], 9.0), mask


def _cross_entropy_loop(logits: Tensor, kept: Tensor) -> Tensor:
    """Mean over both directions of -log of the right one's share, pair by pair."""
    losses = []
    for matrix, mask in ((logits, kept), (logits.T, kept.T)):
        for row in range(len(matrix)):
            others = [column for column in range(len(matrix)) if column == row or mask[row, column]]
            total = sum(torch.exp(matrix[row, column]) for column in others)
            losses.append(-torch.log(torch.exp(matrix[row, row]) / total))
    return torch.stack(losses).mean()


def _similarity_loop(regions: Tensor, words: Tensor, mask: Tensor, variant: str, normalized: bool) -> Tensor:
    """S by the equations, contexts formed one by one."""
    scores = []
    for image in regions:
        for report, own in zip(words, mask, strict=True):
            terms = []
            real = report[own]
            products = torch.stack([torch.stack([region @ word for region in image]) for word in real])  # [W, M]
            if variant == "gloria":
                products = 4.0 * torch.exp(products) / torch.exp(products).sum(dim=0)
            for word, row in zip(real, products, strict=True):
                weights = torch.exp(row) / torch.exp(row).sum()
                context = sum(weight * region for weight, region in zip(weights, image, strict=True))
                match = context @ word
                if variant == "gloria":
                    match = 5.0 * match / (context.norm() * word.norm())
                terms.append(torch.exp(match))
            scores.append(torch.log(sum(terms)) - (math.log(len(real)) if normalized else 0.0))
    return torch.stack(scores).view(len(regions), len(words))


def global_loss_is_the_loop(losses: ModuleType) -> None:
    images, texts = _units(4, 6)[:3], _units(7, 6)[4:]
    everything = torch.ones(3, 3, dtype=torch.bool)
    kept = torch.tensor([[True, False, True], [False, False, True], [True, True, True]])
    logits = images @ texts.T / TAU
    _close(losses.global_contrastive_loss(images, texts, TAU), _cross_entropy_loop(logits, everything))
    _close(losses.global_contrastive_loss(images, texts, TAU, kept), _cross_entropy_loop(logits, kept))


def global_loss_is_glorias(losses: ModuleType) -> None:
    fixture = np.load(FIXTURE)
    images, texts = (
        torch.nn.functional.normalize(torch.from_numpy(fixture[name]), dim=-1)
        for name in ("image_global", "text_global")
    )
    expected = (fixture["global_image_to_text_loss"] + fixture["global_text_to_image_loss"]) / 2
    _close(losses.global_contrastive_loss(images, texts, 0.1), float(expected), rtol=1e-4)


def paper_similarity_is_the_loop(losses: ModuleType) -> None:
    regions, words, mask = _local_inputs()
    _close(losses.local_similarity(regions, words, mask), _similarity_loop(regions, words, mask, "paper", False))
    _close(
        losses.local_similarity(regions, words, mask, length_normalized=True),
        _similarity_loop(regions, words, mask, "paper", True),
    )


def gloria_similarity_is_the_loop(losses: ModuleType) -> None:
    regions, words, mask = _local_inputs()
    expected = _similarity_loop(regions, words, mask, "gloria", False)
    _close(losses.local_similarity(regions, words, mask, variant="gloria"), expected)
    _close(losses.local_similarity(regions, words, mask, variant="gloria", length_normalized=True), expected)


def similarity_gradients_are_the_loops(losses: ModuleType) -> None:
    for variant in ("paper", "gloria"):
        gradients = []
        for similarity in (losses.local_similarity, _similarity_loop):
            regions, words, mask = _local_inputs()
            regions.requires_grad_()
            words.requires_grad_()
            similarity(regions, words, mask, variant, False).square().sum().backward()
            gradients.append((regions.grad, words.grad))
        for ours, loops in zip(*gradients, strict=True):
            _close(ours, loops)


def local_loss_is_the_loop(losses: ModuleType) -> None:
    similarity = torch.randn(4, 4, generator=_generator(), dtype=torch.float64)
    kept = torch.rand(4, 4, generator=_generator()) > 0.4
    _close(losses.local_contrastive_loss(similarity, 2.5, kept), _cross_entropy_loop(similarity * 2.5, kept))


def _gloria_inputs() -> tuple[Tensor, Tensor, Tensor, dict[str, np.ndarray]]:
    fixture = dict(np.load(FIXTURE))
    regions = torch.from_numpy(fixture["image_regions"]).flatten(2).transpose(1, 2)  # [4, 9, 16]
    words = torch.from_numpy(fixture["word_embeddings"]).transpose(1, 2)  # [4, 6, 16]
    mask = torch.arange(words.shape[1]) < torch.from_numpy(fixture["word_counts"])[:, None]
    return regions.clone().requires_grad_(), words.clone().requires_grad_(), mask, fixture


def _relative_error(actual: Tensor, expected: np.ndarray) -> float:
    reference = torch.from_numpy(expected)
    return float((actual - reference).norm() / reference.norm())


def gloria_loss_is_the_authors(losses: ModuleType) -> None:
    regions, words, mask, fixture = _gloria_inputs()
    similarity = losses.local_similarity(regions, words, mask, variant="gloria")
    loss = losses.local_contrastive_loss(similarity, 10.0)
    _close(loss.item(), float(fixture["image_to_text_loss"] + fixture["text_to_image_loss"]) / 2, rtol=1e-4)
    rows = torch.nn.functional.cross_entropy(10 * similarity, torch.arange(4))
    _close(rows.item(), float(fixture["image_to_text_loss"]), rtol=1e-4)


def gloria_gradients_are_the_authors(losses: ModuleType) -> None:
    regions, words, mask, fixture = _gloria_inputs()
    loss = 2 * losses.local_contrastive_loss(losses.local_similarity(regions, words, mask, variant="gloria"), 10.0)
    loss.backward()
    assert _relative_error(regions.grad.transpose(1, 2).unflatten(2, (3, 3)), fixture["grad_image_regions"]) < 1e-4
    assert _relative_error(words.grad.transpose(1, 2), fixture["grad_word_embeddings"]) < 1e-4


def gloria_attention_is_the_authors(losses: ModuleType) -> None:
    regions, words, mask, fixture = _gloria_inputs()
    attention, _ = losses.local_attention(regions, words, mask, variant="gloria")  # [4, 4, 6, 9]
    words_of_report = int(fixture["word_counts"][0])
    expected = fixture["attention_map_0"][0].reshape(-1, 9)[:words_of_report]
    assert _relative_error(attention[0, 0, :words_of_report].detach(), expected) < 1e-4


def perturbation_loss_is_the_loop(losses: ModuleType) -> None:
    vectors = _units(3, 6, 5)
    images, texts, perturbed = vectors[:, 0], vectors[:, 1], vectors[:, 2:]
    mask = torch.tensor([[True, False, True, True], [False] * 4, [True] * 4])
    for kept in (mask, torch.ones_like(mask)):
        expected = []
        for image, text, rivals, own in zip(images, texts, perturbed, kept, strict=True):
            right = torch.exp(image @ text / TAU)
            wrong = sum((torch.exp(image @ rival / TAU) for rival in rivals[own]), torch.zeros(()))
            expected.append(-torch.log(right / (right + wrong)))
        given = None if kept.all() else kept
        _close(losses.perturbation_loss(images, texts, perturbed, given, TAU), torch.stack(expected).mean())


def a_report_without_words_is_named(losses: ModuleType) -> None:
    regions, words, mask = _local_inputs()
    mask[1] = False
    for variant in ("paper", "gloria"):
        with pytest.raises(ValueError, match=r"rows \[1\] have no word"):
            losses.local_similarity(regions, words, mask, variant=variant)


def half_precision_is_computed_in_single(losses: ModuleType) -> None:
    regions, words, mask = _local_inputs()
    images, texts, perturbed = regions[:, 0], words[:, 0], regions[:, 1:]
    for variant in ("paper", "gloria"):
        half = losses.local_similarity(regions.bfloat16(), words.bfloat16(), mask, variant=variant)
        single = losses.local_similarity(regions.bfloat16().float(), words.bfloat16().float(), mask, variant=variant)
        assert half.dtype == torch.float32
        _close(half, single, rtol=1e-6)
        with torch.autocast("cpu", torch.bfloat16):
            under_autocast = losses.local_similarity(regions.float(), words.float(), mask, variant=variant)
        _close(
            under_autocast, losses.local_similarity(regions.float(), words.float(), mask, variant=variant), rtol=1e-6
        )
    for loss, inputs in (
        (losses.global_contrastive_loss, (images, texts, TAU)),
        (losses.perturbation_loss, (images, texts, perturbed, None, TAU)),
    ):
        rounded = [value.bfloat16() if isinstance(value, Tensor) else value for value in inputs]
        single = [value.float() if isinstance(value, Tensor) else value for value in rounded]
        _close(loss(*rounded), loss(*single), rtol=1e-6)


CHECKS = (
    global_loss_is_the_loop,
    global_loss_is_glorias,
    paper_similarity_is_the_loop,
    gloria_similarity_is_the_loop,
    similarity_gradients_are_the_loops,
    local_loss_is_the_loop,
    gloria_loss_is_the_authors,
    gloria_gradients_are_the_authors,
    gloria_attention_is_the_authors,
    perturbation_loss_is_the_loop,
    a_report_without_words_is_named,
    half_precision_is_computed_in_single,
)

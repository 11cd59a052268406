"""Batches of random images and random reports of Open-I's lengths, made as a data loader's workers make real ones."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.data import Dataset

from .openi_lengths import ReportLength, draw_lengths

_FIRST_TOKEN = 1000  # below are BERT's special tokens and unused ones
_CLS, _SEP = 101, 102


def synthetic_batch(
    lengths: Sequence[ReportLength], perturbations: int, pixels: tuple[int, int, int], vocabulary: int, seed: int
) -> dict[str, Tensor]:
    """Make inputs of `PRDModel.forward`: each report with permutations of its tokens as its perturbations.

    Args:
        lengths: of the reports, of which there are B.
        perturbations: P a report.
        pixels: [channels, rows, columns] of an image.
        vocabulary: entries of the text encoder's.
        seed: of the draws.
    """
    generator = torch.Generator().manual_seed(seed)
    size, longest = len(lengths), max(length.tokens for length in lengths)
    texts = torch.zeros(size, 1 + perturbations, longest, dtype=torch.long)
    words = torch.full((size, longest), -1)
    for row, length in enumerate(lengths):
        inner = length.tokens - 2
        report = torch.randint(_first_token(vocabulary), vocabulary, (inner,), generator=generator)
        orders = torch.rand(1 + perturbations, inner, generator=generator).argsort(dim=1)
        texts[row, :, 0], texts[row, :, inner + 1] = _CLS % vocabulary, _SEP % vocabulary
        texts[row, :, 1 : inner + 1] = report[orders]
        words[row, 1 : inner + 1] = _word_of_each_token(length)
    masks = (torch.arange(longest) < torch.tensor([length.tokens for length in lengths])[:, None]).long()
    return {
        "pixel_values": torch.rand(size, *pixels, generator=generator),
        "input_ids": texts[:, 0],
        "attention_mask": masks,
        "word_ids": words,
        "perturbed_input_ids": texts[:, 1:],
        "perturbed_attention_mask": masks[:, None].repeat(1, perturbations, 1),
        "perturbation_mask": torch.ones(size, perturbations, dtype=torch.bool),
        "report_ids": torch.arange(size),
    }


class SyntheticBatches(Dataset[dict[str, Tensor]]):
    """Synthetic batches of Open-I's lengths, one an item.

    Args:
        batches: how many.
        batch_size: B images and reports.
        perturbations, pixels, vocabulary: as `synthetic_batch`.
    """

    def __init__(
        self, batches: int, batch_size: int, perturbations: int, pixels: tuple[int, int, int], vocabulary: int
    ) -> None:
        self.batches = batches
        self.batch_size = batch_size
        self.perturbations = perturbations
        self.pixels = pixels
        self.vocabulary = vocabulary

    def __len__(self) -> int:
        return self.batches

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        if not 0 <= index < self.batches:
            raise IndexError(index)
        lengths = draw_lengths(self.batch_size, seed=index)
        return synthetic_batch(lengths, self.perturbations, self.pixels, self.vocabulary, seed=index)


def _first_token(vocabulary: int) -> int:
    return min(_FIRST_TOKEN, vocabulary // 2)


def _word_of_each_token(length: ReportLength) -> Tensor:
    """Spread a report's tokens over its words."""
    inner = length.tokens - 2
    return torch.arange(inner) * min(length.words, inner) // inner

"""The local loss's scores by a loop over the reports with full contexts, as GLoRIA (Huang et al. 2021) describes them.

The peer of the benchmarks: written from the paper's description, one report after the other, its words repeated for
every image of the batch and a context as wide as the vectors for each.
"""

import torch
from torch import Tensor, nn

ATTENTION_TEMPERATURE = 4.0
SIMILARITY_TEMPERATURE = 5.0


def loop_similarity(regions: Tensor, words: Tensor, mask: Tensor, variant: str = "gloria") -> Tensor:
    """Score every image with every report.

    Args:
        regions: [B, M, D], not normalised.
        words: [T, W, D], not normalised.
        mask: [T, W] bool, False where there is no word; every report has one.
        variant: `gloria`, attention through the words and then through the regions, and cosines of words and contexts;
            or `paper`, attention through the regions, and their products, without length normalisation.

    Returns:
        S [B, T], before any temperature or logit scale.

    Raises:
        ValueError: the variant is unknown.
    """
    if variant not in ("gloria", "paper"):
        raise ValueError(f"local loss variant {variant!r} is not one of gloria, paper")
    scores = []
    for report, kept in zip(words, mask, strict=True):
        queries = report[kept].repeat(len(regions), 1, 1)  # [B, W, D]
        attention = queries @ regions.transpose(1, 2)  # [B, W, M]
        if variant == "gloria":
            attention = ATTENTION_TEMPERATURE * attention.softmax(dim=1)
        contexts = attention.softmax(dim=2) @ regions  # [B, W, D]
        if variant == "gloria":
            matches = SIMILARITY_TEMPERATURE * nn.functional.cosine_similarity(queries, contexts, dim=2)  # [B, W]
        else:
            matches = (queries * contexts).sum(dim=2)
        scores.append(matches.logsumexp(dim=1))
    return torch.stack(scores, dim=1)

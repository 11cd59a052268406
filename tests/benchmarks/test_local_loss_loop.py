"""The benchmarks' loop over reports gives the scores that the losses' own form gives."""

import pytest
import torch

from benchmarks.local_loss_loop import loop_similarity
from modeling_prd.losses_prd import local_similarity


@pytest.mark.parametrize("variant", ["gloria", "paper"])
def test_the_loop_gives_the_scores_of_the_form_without_contexts(variant: str) -> None:
    torch.manual_seed(0)
    regions, words = torch.randn(5, 7, 6, dtype=torch.float64), torch.randn(4, 8, 6, dtype=torch.float64)
    mask = torch.arange(8) < torch.tensor([1, 3, 8, 5])[:, None]
    expected = local_similarity(regions, words, mask, variant)
    torch.testing.assert_close(loop_similarity(regions, words, mask, variant), expected)


def test_an_unknown_variant_is_named() -> None:
    with pytest.raises(ValueError, match="'glory' is not one of gloria, paper"):
        loop_similarity(torch.ones(1, 1, 1), torch.ones(1, 1, 1), torch.ones(1, 1, dtype=torch.bool), "glory")

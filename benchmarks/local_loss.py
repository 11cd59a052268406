"""The local loss, forward and backward, against a loop over the reports: `python -m benchmarks.local_loss`.

Regions and words are random vectors, the numbers of words Open-I's. Both sides compute the symmetric cross-entropy of
the batch's scores and its gradients; the results that are compared are the loss and both gradients.
"""

import argparse
import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from modeling_prd.losses_prd import local_contrastive_loss, local_similarity

from .comparison import Run, Side, add_flags, autocast, compare, parse, positive, write_json
from .local_loss_loop import loop_similarity
from .openi_lengths import draw_lengths

_LOGIT_SCALES = {"gloria": 10.0, "paper": 1 / 0.07}


def build(args: argparse.Namespace, side: Side, seed: int) -> Run:
    """Make a batch of regions and words, and what computes the loss and its gradients on it."""
    generator = torch.Generator().manual_seed(seed)
    word_counts = torch.tensor([length.words for length in draw_lengths(args.batch, seed)])
    mask = torch.arange(int(word_counts.max())) < word_counts[:, None]  # [B, W]
    scale = args.dim**-0.25  # products of variance 1
    regions = torch.randn(args.batch, args.regions, args.dim, generator=generator).mul_(scale)
    words = torch.randn(*mask.shape, args.dim, generator=generator).mul_(scale)
    regions, words, mask = regions.to(args.device), words.to(args.device), mask.to(args.device)
    regions.requires_grad_()
    words.requires_grad_()

    def run() -> list[Tensor]:
        with autocast(args):
            if side == "peer":
                similarity = loop_similarity(regions, words, mask, args.variant)
            else:
                similarity = local_similarity(regions, words, mask, args.variant, memory_mb=args.memory_mb)
            loss = local_contrastive_loss(similarity, _LOGIT_SCALES[args.variant])
        return [loss.detach(), *torch.autograd.grad(loss, [regions, words])]

    return run


def _small(args: argparse.Namespace) -> argparse.Namespace:
    small = copy.copy(args)
    small.batch, small.regions, small.dim = 2, 4, 8
    return small


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print one line, and write the numbers."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.local_loss", description=__doc__)
    parser.add_argument("--variant", choices=("gloria", "paper"), default="gloria", help="default: %(default)s")
    parser.add_argument("--batch", type=positive, default=64, help="images and reports (default: %(default)s)")
    parser.add_argument("--dim", type=positive, default=768, help="width of the vectors (default: %(default)s)")
    parser.add_argument("--regions", type=positive, default=49, help="of an image (default: %(default)s)")
    parser.add_argument("--memory_mb", type=positive, default=1024, help="that ours may keep (default: %(default)s)")
    add_flags(parser, batches=1, repeats=5)
    args = parse(parser, argv)
    comparison = compare(build, args, before=_small)
    print(f"{args.variant}, batch {args.batch}, D {args.dim}, {args.regions} regions: {comparison.line()}")
    write_json(args.json, comparison)


if __name__ == "__main__":
    main()

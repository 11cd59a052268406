"""Gradient caching against one pass over the same batch: `python -m benchmarks.gradient_cache`.

Ours encodes a batch of 256 in micro-batches of 32 (`training.gradient_cache`). The peer of the time is one pass over
all 256; the peer of the memory is one pass over 32 of them, whose memory ours is meant to keep to. The memory of one
pass over 256 is printed beside both. `ratio` is one pass's time over ours, and `bound` 3/4, since ours encodes twice:
four passes' worth of work, forward, forward again and backward, against three. Results are the loss and the gradients
of the weights, in float32, without the biases of BERT's keys, which have none in theory. Weights and gradients are
there before memory is measured; dropout is off, and batch normalisation frozen. Any 32 reports in turn have Open-I's
lengths, evenly spread, so that every micro-batch takes as much as the peer's.
"""

import argparse
import copy
from collections.abc import Sequence
from dataclasses import replace

import torch
from accelerate import Accelerator
from torch import Tensor
from transformers import PreTrainedConfig, ResNetConfig, ViTConfig

from modeling_prd import PRDConfig, PRDModel
from training.batch_norm import freeze_batch_norm
from training.gradient_cache import GradientCache

from .comparison import Run, Side, add_flags, autocast, compare, parse, peak_memory_mb, positive, write_json
from .encoders import bert_without_dropout, gradients
from .openi_lengths import spread_lengths
from .synthetic_pairs import synthetic_batch

_VOCABULARY = 2000


def build(args: argparse.Namespace, side: Side, seed: int) -> Run:
    """Make a model and a batch, and what computes the loss and the gradients of it."""
    model = build_model(args)
    size = args.micro_batch_size
    lengths = [length for _ in range(0, args.batch, size) for length in spread_lengths(size)][: args.batch]
    pixels = (1, args.image_size, args.image_size)
    batch = synthetic_batch(lengths, args.perturbations, pixels, _VOCABULARY, seed)
    batch = {name: tensor.to(args.device) for name, tensor in batch.items()}
    cache = GradientCache(Accelerator(cpu=args.device == "cpu"), model, args.micro_batch_size)
    for weight in model.parameters():
        weight.grad = torch.zeros_like(weight)

    def run() -> list[Tensor]:
        model.zero_grad(set_to_none=False)
        if side == "ours":
            loss = cache.backward(batch)["loss"]
        else:
            loss = model(**batch).loss
            loss.backward()
        return [loss.detach(), *gradients(model)]

    return run


def build_model(args: argparse.Namespace) -> PRDModel:
    """Make a dual encoder in the shapes that the flags name, in training mode."""
    torch.manual_seed(0)
    text = bert_without_dropout(_VOCABULARY, args.width, args.layers, args.width // 32)
    config = PRDConfig(
        vision_config=_vision_config(args),
        text_config=text,
        projection_dim=128,
        vision_pooling="mean",
        text_pooling="mean",
        local_loss_memory_mb=args.local_loss_memory_mb,
    )
    model = PRDModel(config).train().to(args.device)
    freeze_batch_norm(model)
    model.forward = autocast(args)(model.forward)  # of each call, as Accelerate does it
    return model


def _vision_config(args: argparse.Namespace) -> PreTrainedConfig:
    if args.vision == "resnet":
        widths = [args.vision_width * 2**stage for stage in range(4)]
        return ResNetConfig(
            num_channels=1, embedding_size=widths[0], hidden_sizes=widths, depths=[2] * 4, layer_type="basic"
        )
    return ViTConfig(
        num_channels=1,
        image_size=args.image_size,
        hidden_size=4 * args.vision_width,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=16 * args.vision_width,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )


def _small(args: argparse.Namespace) -> argparse.Namespace:
    small = copy.copy(args)
    small.batch, small.micro_batch_size = 4, 2
    return small


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print one line, and write the numbers."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gradient_cache", description=__doc__)
    parser.add_argument("--batch", type=positive, default=256, help="images and reports (default: %(default)s)")
    parser.add_argument("--micro_batch_size", type=positive, default=32, help="default: %(default)s")
    parser.add_argument("--perturbations", type=positive, default=3, help="of a report (default: %(default)s)")
    parser.add_argument("--width", type=positive, default=192, help="of the text encoder (default: %(default)s)")
    parser.add_argument("--layers", type=positive, default=4, help="of the text encoder (default: %(default)s)")
    parser.add_argument("--vision", choices=("resnet", "vit"), default="resnet", help="default: %(default)s")
    parser.add_argument(
        "--vision_width", type=positive, default=16, help="a quarter of a ViT's (default: %(default)s)"
    )
    parser.add_argument("--image_size", type=positive, default=96, help="pixels (default: %(default)s)")
    parser.add_argument(
        "--local_loss_memory_mb", type=positive, default=64, help="that the local loss may keep (default: %(default)s)"
    )
    add_flags(parser, batches=1, repeats=3)
    args = parse(parser, argv)
    if args.width % 32:
        parser.error(f"--width {args.width} does not split into heads of 32")
    comparison = compare(build, args, bound=lambda args, seed: 3 / 4, before=_small)
    peer = ""
    if comparison.peer_peak_mb is not None:
        peer = (
            f", its memory against one pass over {args.micro_batch_size} (over {args.batch}: "
            f"{comparison.peer_peak_mb:,.0f} MB)"
        )
        part = copy.copy(args)
        part.batch = args.micro_batch_size
        comparison = replace(comparison, peer_peak_mb=peak_memory_mb(build, part, "peer", _small))
    print(f"batch {args.batch} in micro-batches of {args.micro_batch_size}{peer}: {comparison.line()}")
    write_json(args.json, comparison)


if __name__ == "__main__":
    main()

"""A whole training step against one composed of what is at hand: `python -m benchmarks.training_step`.

The peer encodes as a `VisionTextDualEncoderModel` of transformers would be called (that class takes no ResNet, so its
two encoders and projections are called here): the reports and each of their perturbations in a call of its own, padded
to the batch's longest, and the local loss by a loop over the reports with full contexts. Both sides have the same
weights, ResNet-50 and BERT-base by default, and compute the same losses; images and tokens are random, lengths
Open-I's, and there is no dropout. The results that are compared are the losses and all gradients.

The bound is the operations of the peer's encoders, padding and all, over those of real tokens alone; the
loop's own cost is not in it.
"""

import argparse
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from transformers import ResNetConfig

from modeling_prd import PRDConfig, PRDModel
from modeling_prd.losses_prd import local_contrastive_loss

from .comparison import Run, Side, add_flags, autocast, compare, parse, positive, write_json
from .encoders import bert_without_dropout, gradients
from .local_loss_loop import loop_similarity
from .model_flops import image_training_flops, text_training_flops
from .openi_lengths import draw_lengths
from .synthetic_pairs import synthetic_batch

_VOCABULARY = 30522
_ALPHA = _BETA = 0.1
_TAU = 0.07


def build_model(args: argparse.Namespace) -> PRDModel:
    """Make a dual encoder of the shapes asked for."""
    torch.manual_seed(0)
    vision = ResNetConfig(embedding_size=args.embedding, hidden_sizes=args.hidden_sizes, depths=args.depths)
    text = bert_without_dropout(_VOCABULARY, args.width, args.layers, args.heads)
    config = PRDConfig(
        vision_config=vision,
        text_config=text,
        vision_pooling="mean",
        local_length_normalized=False,
        alpha=_ALPHA,
        beta=_BETA,
        temperature=_TAU,
    )
    return PRDModel(config).train().to(args.device, memory_format=torch.channels_last)


def build_batch(args: argparse.Namespace, seed: int) -> dict[str, Tensor]:
    """Make the inputs of a step."""
    pixels = (3, args.image_size, args.image_size)
    batch = synthetic_batch(draw_lengths(args.batch, seed), args.perturbations, pixels, _VOCABULARY, seed)
    return {name: tensor.to(args.device) for name, tensor in batch.items()}


def build(args: argparse.Namespace, side: Side, seed: int) -> Run:
    """Make a side: the losses, and the gradients of all weights but BERT's key biases, which have none."""
    model, batch = build_model(args), build_batch(args, seed)

    def run() -> list[Tensor]:
        model.zero_grad()
        with autocast(args):
            if side == "ours":
                output = model(**batch)
                losses = [output.loss, output.loss_global, output.loss_local, output.loss_perturbation]
            else:
                losses = composed_losses(model, batch)
        losses[0].backward()
        return [*(loss.detach() for loss in losses), *gradients(model)]

    return run


def composed_losses(model: PRDModel, batch: dict[str, Tensor]) -> list[Tensor]:
    """Compute the weighted loss and the global, the local and the perturbation loss, as the peer does."""
    outputs = model.vision_model(pixel_values=batch["pixel_values"])
    state = outputs.last_hidden_state
    images, regions = model.image_head(state, outputs.pooler_output, state, None)
    images = nn.functional.normalize(images, dim=-1)
    states, reports = _encode(model, batch["input_ids"], batch["attention_mask"])
    words, word_mask = model.text_head.words(states, batch["word_ids"])
    perturbed = [
        _encode(model, batch["perturbed_input_ids"][:, number], batch["perturbed_attention_mask"][:, number])[1]
        for number in range(batch["perturbed_input_ids"].shape[1])
    ]
    matching = _symmetric_cross_entropy(images @ reports.T / _TAU)
    local = local_contrastive_loss(loop_similarity(regions, words, word_mask, "paper"), 1 / _TAU)
    candidates = torch.stack([reports, *perturbed], dim=1)  # [B, 1 + P, D]
    logits = (candidates * images[:, None]).sum(dim=-1) / _TAU
    discrimination = nn.functional.cross_entropy(
        logits, torch.zeros(len(logits), dtype=torch.long, device=logits.device)
    )
    return [matching + _ALPHA * local + _BETA * discrimination, matching, local, discrimination]


def _encode(model: PRDModel, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
    states = model.text_model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
    return states, nn.functional.normalize(model.text_head.projection(states[:, 0]), dim=-1)


def _symmetric_cross_entropy(logits: Tensor) -> Tensor:
    targets = torch.arange(len(logits), device=logits.device)
    return (nn.functional.cross_entropy(logits, targets) + nn.functional.cross_entropy(logits.T, targets)) / 2


def padded_over_real_flops(args: argparse.Namespace, seed: int) -> float:
    """Return the operations of the peer's encoders over those of real tokens."""
    with torch.device("meta"):
        model = build_model(argparse.Namespace(**(vars(args) | {"device": "meta"})))
    lengths = [length.tokens for length in draw_lengths(args.batch, seed)]
    texts = 1 + args.perturbations
    images = args.batch * image_training_flops(model.vision_model, (3, args.image_size, args.image_size))
    padded = text_training_flops(model.text_model, [max(lengths)] * len(lengths) * texts)
    return (images + padded) / (images + text_training_flops(model.text_model, lengths * texts))


def _small(args: argparse.Namespace) -> argparse.Namespace:
    return argparse.Namespace(**(vars(args) | {"batch": 2, "perturbations": 1}))


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print one line, and write the numbers."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.training_step",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--batch", type=positive, default=16, help="images and reports (default: %(default)s)")
    parser.add_argument("--perturbations", type=positive, default=9, help="of each report (default: %(default)s)")
    parser.add_argument("--image_size", type=positive, default=224, help="pixels (default: %(default)s)")
    parser.add_argument("--embedding", type=positive, default=64, help="of the ResNet (default: %(default)s)")
    parser.add_argument(
        "--hidden_sizes", type=positive, nargs="+", default=[256, 512, 1024, 2048], help="of the ResNet"
    )
    parser.add_argument("--depths", type=positive, nargs="+", default=[3, 4, 6, 3], help="of the ResNet")
    parser.add_argument("--layers", type=positive, default=12, help="of the BERT (default: %(default)s)")
    parser.add_argument("--width", type=positive, default=768, help="of the BERT (default: %(default)s)")
    parser.add_argument("--heads", type=positive, default=12, help="of the BERT (default: %(default)s)")
    add_flags(parser, batches=5, repeats=1)
    args = parse(parser, argv)
    if args.width % args.heads:
        parser.error(f"--width {args.width} does not split into {args.heads} heads")
    if len(args.hidden_sizes) != len(args.depths):
        parser.error(f"--hidden_sizes has {len(args.hidden_sizes)} stages and --depths {len(args.depths)}")
    comparison = compare(build, args, bound=padded_over_real_flops, before=_small)
    print(f"batch {args.batch}, {args.perturbations} perturbations: {comparison.line()}")
    write_json(args.json, comparison)


if __name__ == "__main__":
    main()

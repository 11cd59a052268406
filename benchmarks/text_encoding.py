"""Encoding reports with their nine perturbations: the model's own text path against one padded call.

`python -m benchmarks.text_encoding` takes a text encoder of MiniLM's shape (six layers, 384 wide) with random weights,
and Open-I's lengths; a perturbation has the length of its report, as shuffled words have, and tokens of its own. It
times forward and backward of a mean over the pooled vectors; the results are those vectors and the gradients of all
weights. The bound is what padding costs: the padded batch's tokens over its real ones.
"""

import argparse

import torch
from torch import Tensor, nn
from transformers import ResNetConfig

from modeling_prd import PRDConfig, PRDModel

from .comparison import Run, Side, add_flags, autocast, compare, parse, positive, write_json
from .encoders import bert_without_dropout, gradients
from .openi_lengths import draw_lengths

_CLS, _SEP, _FIRST_WORD, _VOCABULARY = 101, 102, 1000, 30522  # of BERT's uncased vocabulary


def build_model(args: argparse.Namespace) -> PRDModel:
    """Make a model with a text encoder of the shape asked for, on its device; the image encoder is a tiny one."""
    torch.manual_seed(0)
    text_config = bert_without_dropout(_VOCABULARY, args.width, args.layers, args.heads)
    vision_config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 8], depths=[1, 1])
    return PRDModel(PRDConfig(vision_config=vision_config, text_config=text_config)).to(args.device)


def draw_texts(lengths: list[int], generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw random texts of these lengths: token ids [N, L] with [CLS] and [SEP], padded with 0, and their mask."""
    longest = max(lengths)
    ends = torch.tensor(lengths)[:, None]
    ids = torch.randint(_FIRST_WORD, _VOCABULARY, (len(lengths), longest), generator=generator)
    places = torch.arange(longest)
    ids[:, 0] = _CLS
    ids = torch.where(places == ends - 1, _SEP, ids)
    mask = (places < ends).long()
    return ids * mask, mask


def batch_of_texts(args: argparse.Namespace, seed: int) -> tuple[Tensor, Tensor]:
    """Make a batch: the reports, then the perturbations of each, [reports * (1 + perturbations), L]."""
    lengths = [length.tokens for length in draw_lengths(args.reports, seed)]
    generator = torch.Generator().manual_seed(seed)
    perturbed = [length for length in lengths for _ in range(args.perturbations)]
    return draw_texts(lengths + perturbed, generator)


def build(args: argparse.Namespace, side: Side, seed: int) -> Run:
    """Make a side: the texts' vectors, and the gradients of a mean over them."""
    model = build_model(args)
    ids, mask = (tensor.to(args.device) for tensor in batch_of_texts(args, seed))

    def run() -> list[Tensor]:
        model.zero_grad()
        with autocast(args):
            vectors = (
                _encode_texts(model, ids, mask, args.reports) if side == "ours" else _encode_padded(model, ids, mask)
            )
        vectors.mean().backward()
        return [vectors, *gradients(model.text_model), *gradients(model.text_head.projection)]

    return run


def _encode_texts(model: PRDModel, ids: Tensor, mask: Tensor, reports: int) -> Tensor:
    perturbed_ids, perturbed_mask = (tensor[reports:].unflatten(0, (reports, -1)) for tensor in (ids, mask))
    output = model(
        input_ids=ids[:reports],
        attention_mask=mask[:reports],
        perturbed_input_ids=perturbed_ids,
        perturbed_attention_mask=perturbed_mask,
    )
    return torch.cat([output.text_embeds, output.perturbed_embeds.flatten(0, 1)])


def _encode_padded(model: PRDModel, ids: Tensor, mask: Tensor) -> Tensor:
    states = model.text_model(input_ids=ids, attention_mask=mask).last_hidden_state
    return nn.functional.normalize(model.text_head.projection(states[:, 0]), dim=-1)


def padded_over_real(args: argparse.Namespace, seed: int) -> float:
    """Return the tokens of the padded batch over its real ones."""
    _, mask = batch_of_texts(args, seed)
    return mask.numel() / int(mask.sum())


def few_texts(args: argparse.Namespace) -> argparse.Namespace:
    """Return the flags of a batch that is run before memory is measured."""
    return argparse.Namespace(**(vars(args) | {"reports": 2, "perturbations": 1}))


def main(argv: list[str] | None = None) -> None:
    """Measure, print one line and write the figures."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.text_encoding",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--reports", type=positive, default=16, help="in a batch (default: %(default)s)")
    parser.add_argument("--perturbations", type=positive, default=9, help="of each report (default: %(default)s)")
    parser.add_argument("--layers", type=positive, default=6, help="of the text encoder (default: %(default)s)")
    parser.add_argument("--width", type=positive, default=384, help="of its states (default: %(default)s)")
    parser.add_argument("--heads", type=positive, default=12, help="of its attention (default: %(default)s)")
    add_flags(parser, batches=5, repeats=1)
    args = parse(parser, argv)
    if args.width % args.heads:
        parser.error(f"--width {args.width} does not split into {args.heads} heads")
    comparison = compare(build, args, bound=padded_over_real, before=few_texts)
    print(comparison.line())
    write_json(args.json, comparison)


if __name__ == "__main__":
    main()

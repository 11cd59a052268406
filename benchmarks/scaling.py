"""What a training step costs, and what two processes save: `python -m benchmarks.scaling`.

First, two processes with half a batch each against one process with all of it, by DistributedDataParallel over gloo
with as many threads each: `ratio` is one process's time over theirs, `bound` their number, and the difference that of
the gradients, which are those of the joined batch in both. Second, the cost of a step against the batch size, the
perturbations and the length of the reports, in this process: seconds = a + b images + c texts is fitted to all sizes,
and the local loss, whose cost has a term in images times words, is timed alone on the same batches. Reports have
Open-I's lengths, evenly spread, so that all batches have the same; images and tokens are random.
"""

import argparse
import json
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from transformers import ResNetConfig

from modeling_prd import PRDConfig, PRDModel
from modeling_prd.losses_prd import local_similarity
from training.batch_norm import freeze_batch_norm

from .comparison import (
    Comparison,
    add_run_flags,
    parse,
    peak_memory_mb,
    peak_of,
    positive,
    relative_difference,
    seconds,
)
from .encoders import bert_without_dropout, gradients
from .openi_lengths import ReportLength, spread_lengths
from .synthetic_pairs import synthetic_batch

_VOCABULARY = 2000
_PROCESSES = 2


def build_model(args: argparse.Namespace) -> PRDModel:
    """Make a small dual encoder without anything random in a step; its image encoder gives one region a 16 pixels."""
    torch.manual_seed(0)
    vision = ResNetConfig(
        num_channels=1, embedding_size=16, hidden_sizes=[16, 32, 64], depths=[1, 1, 1], layer_type="basic"
    )
    text = bert_without_dropout(_VOCABULARY, args.width, args.layers, args.width // 32)
    config = PRDConfig(
        vision_config=vision, text_config=text, projection_dim=128, vision_pooling="mean", text_pooling="mean"
    )
    model = PRDModel(config).train().to(args.device)
    freeze_batch_norm(model)  # its statistics would be those of each process
    return model


def build_batch(args: argparse.Namespace, batch: int, perturbations: int, stretch: float = 1.0) -> dict[str, Tensor]:
    """Make a batch whose reports are `stretch` times as long as Open-I's."""
    lengths = [
        ReportLength(max(1, round(words * stretch)), max(3, round(tokens * stretch)))
        for words, tokens in spread_lengths(batch)
    ]
    pixels = (1, args.image_size, args.image_size)
    inputs = synthetic_batch(lengths, perturbations, pixels, _VOCABULARY, seed=0)
    return {name: tensor.to(args.device) for name, tensor in inputs.items()}


def step_gradients(model: nn.Module, batch: dict[str, Tensor]) -> list[Tensor]:
    """Run a step's forward and backward pass and return the gradients."""
    model.zero_grad()
    model(**batch).loss.backward()
    return gradients(model)


def _be_process(rank: int, args: argparse.Namespace, folder: str) -> None:
    """Be one of the processes: time steps on a share of the batch and save the times, the peak and the gradients."""
    torch.set_num_threads(args.threads)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=_PROCESSES)
    model = DistributedDataParallel(build_model(args))
    whole = build_batch(args, args.batch, args.perturbations)
    batch = {name: tensor[rank::_PROCESSES] for name, tensor in whole.items()}
    found = [gradient.clone() for gradient in step_gradients(model, batch)]  # also warms it up
    times = []
    for _ in range(args.repeats):
        dist.barrier()
        times.append(seconds(lambda: step_gradients(model, batch), args.device))
    model.zero_grad()
    peak_mb = peak_of(lambda: step_gradients(model, batch), args.device)  # last: it makes allocations slower
    torch.save((times, found, peak_mb), Path(folder) / f"process{rank}.pt")
    dist.destroy_process_group()


def compare_processes(args: argparse.Namespace) -> Comparison:
    """Time one process on the batch, then two on half of it each."""
    torch.set_num_threads(args.threads)
    model, batch = build_model(args), build_batch(args, args.batch, args.perturbations)
    expected = [gradient.clone() for gradient in step_gradients(model, batch)]
    alone = statistics.median(seconds(lambda: step_gradients(model, batch), args.device) for _ in range(args.repeats))
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.start_processes(
            _be_process, (args, folder), nprocs=_PROCESSES, start_method="forkserver"
        )
        shares = [torch.load(Path(folder) / f"process{rank}.pt") for rank in range(_PROCESSES)]
    # A step is done when the slowest is.
    together = statistics.median(max(times) for times in zip(*(share[0] for share in shares), strict=True))
    return Comparison(
        ratio=alone / together,
        bound=float(_PROCESSES),
        ours_seconds=together,
        peer_seconds=alone,
        ours_peak_mb=max(share[2] for share in shares),
        peer_peak_mb=peak_memory_mb(build_step, args, "peer", _small),
        max_relative_difference=relative_difference(shares[0][1], expected),
    )


def build_step(args: argparse.Namespace, side: str, seed: int) -> Any:
    """Make a step of one process, which is the peer, on the whole batch, for its memory."""
    model, batch = build_model(args), build_batch(args, args.batch, args.perturbations)
    return lambda: step_gradients(model, batch)


def _small(args: argparse.Namespace) -> argparse.Namespace:
    return argparse.Namespace(**(vars(args) | {"batch": 2, "perturbations": 1}))


def fit(rows: Sequence[Sequence[float]], values: Sequence[float]) -> tuple[list[float], float, float]:
    """Fit values by least squares of their relative errors.

    Args:
        rows: of every value, the terms that it is a sum of multiples of.
        values: above 0.

    Returns:
        The multiples, R^2, and the largest relative error.
    """
    terms, found = torch.tensor(rows, dtype=torch.float64), torch.tensor(values, dtype=torch.float64)
    multiples = torch.linalg.lstsq(terms / found[:, None], torch.ones(len(found), 1, dtype=torch.float64)).solution
    errors = (terms @ multiples).squeeze(1) - found
    r_squared = 1 - errors.square().sum() / (found - found.mean()).square().sum()
    return multiples.squeeze(1).tolist(), r_squared.item(), (errors / found).abs().max().item()


def measure_cost(args: argparse.Namespace) -> dict[str, Any]:
    """Time steps over batch sizes, perturbations and lengths, and the local loss alone over batch sizes."""
    torch.set_num_threads(args.threads)
    model = build_model(args)

    def step_seconds(batches: Sequence[dict[str, Tensor]]) -> list[float]:
        """Time the steps in turn, so that what slows the machine for a while slows all of them."""
        for batch in batches:
            step_gradients(model, batch)
        rounds = [
            [seconds(partial(step_gradients, model, batch), args.device) for batch in batches]
            for _ in range(args.repeats)
        ]
        return [statistics.median(times) for times in zip(*rounds, strict=True)]

    sizes = list(product(args.batches_of, args.perturbations_of))
    steps = step_seconds([build_batch(args, *size) for size in sizes])
    terms = [(1.0, batch, batch * (1 + perturbations)) for batch, perturbations in sizes]
    (fixed, of_image, of_text), r_squared, error = fit(terms, steps)
    local = [_local_seconds(args, batch) for batch in args.batches_of]
    (_, quadratic), _, _ = fit([(batch, batch**2) for batch in args.batches_of], local)
    most = max(args.batches_of)
    largest = steps[sizes.index((most, max(args.perturbations_of)))]
    stretches = (0.5, 1.0, 2.0)
    smallest, perturbations = min(args.batches_of), max(args.perturbations_of)
    lengths = step_seconds([build_batch(args, smallest, perturbations, stretch) for stretch in stretches])
    return {
        "steps": [
            {"batch": batch, "perturbations": perturbations, "seconds": found}
            for (batch, perturbations), found in zip(sizes, steps, strict=True)
        ],
        "fit": {
            "fixed_seconds": fixed,
            "seconds_per_image": of_image,
            "seconds_per_text": of_text,
            "r_squared": r_squared,
            "largest_relative_error": error,
        },
        "local_loss_seconds": dict(zip(args.batches_of, local, strict=True)),
        "local_loss_share": local[args.batches_of.index(most)] / largest,
        "quadratic_share": quadratic * most**2 / largest,
        "seconds_by_stretch_of_reports": dict(zip(stretches, lengths, strict=True)),
    }


def _local_seconds(args: argparse.Namespace, batch: int) -> float:
    words = [length.words for length in spread_lengths(batch)]
    mask = torch.arange(max(words)) < torch.tensor(words)[:, None]
    regions = torch.randn(batch, (args.image_size // 16) ** 2, 128, device=args.device, requires_grad=True)
    vectors = torch.randn(*mask.shape, 128, device=args.device, requires_grad=True)

    def run() -> list[Tensor]:
        similarity = local_similarity(regions, vectors, mask.to(args.device))
        score = similarity.diagonal().sum() - similarity.logsumexp(dim=1).sum()
        return list(torch.autograd.grad(score, [regions, vectors]))

    run()
    return statistics.median(seconds(run, args.device) for _ in range(args.repeats))


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, and write the numbers."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument(
        "--batch", type=positive, default=32, help="of the two processes together (default: %(default)s)"
    )
    parser.add_argument("--perturbations", type=positive, default=9, help="there (default: %(default)s)")
    parser.add_argument(
        "--batches_of", type=positive, nargs="+", default=[16, 32, 64], help="sizes whose cost is fitted"
    )
    parser.add_argument("--perturbations_of", type=positive, nargs="+", default=[3, 6, 9], help="likewise")
    parser.add_argument("--image_size", type=positive, default=112, help="pixels (default: %(default)s)")
    parser.add_argument("--layers", type=positive, default=2, help="of the text encoder (default: %(default)s)")
    parser.add_argument("--width", type=positive, default=128, help="of the text encoder (default: %(default)s)")
    add_run_flags(parser, repeats=5, threads=max(1, torch.get_num_threads() // _PROCESSES))
    parser.set_defaults(device="cpu")
    args = parse(parser, argv)
    if args.width % 32:
        parser.error(f"--width {args.width} does not split into heads of 32")
    if args.batch % _PROCESSES or args.batch < 2 * _PROCESSES:
        parser.error(f"--batch {args.batch} does not split into two processes with two images or more")
    for name in ("batches_of", "perturbations_of"):
        if len(set(getattr(args, name))) < 2:
            parser.error(f"--{name} has one size, to which no cost can be fitted")
    comparison = compare_processes(args)
    print(f"{_PROCESSES} processes, batch {args.batch}, {args.threads} threads each: {comparison.line()}")
    cost = measure_cost(args)
    found = cost["fit"]
    for step in cost["steps"]:
        print(f"batch {step['batch']:4}, {step['perturbations']} perturbations: {step['seconds']:.3f} s")
    print(
        f"seconds = {found['fixed_seconds']:.4f} + {found['seconds_per_image']:.5f} images + "
        f"{found['seconds_per_text']:.5f} texts: R^2 {found['r_squared']:.4f}, largest error "
        f"{found['largest_relative_error']:.1%}; local loss {cost['local_loss_share']:.1%} of the largest step, its "
        f"quadratic term {cost['quadratic_share']:.1%}"
    )
    by_length = cost["seconds_by_stretch_of_reports"]
    print("reports " + ", ".join(f"{stretch:g} times as long: {taken:.3f} s" for stretch, taken in by_length.items()))
    if args.json is not None:
        args.json.write_text(json.dumps(asdict(comparison) | {"cost": cost}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

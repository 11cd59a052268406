"""Images a second of the whole trainer, and where the time goes: `python -m benchmarks.throughput`.

`--data synthetic` draws batches in the shapes of the paper's recipe: ResNet-50 at 224 pixels, BERT-base, reports of
Open-I's lengths, nine perturbations, batches of 64. `--data DIR` runs the trainer of `train.py` on a perturbed-pairs
dataset by the recipe `--config`; keys of the recipe come after `--`, as in `-- --batch_size 32`.

The share of waiting is the time from asking the loader for a batch until it is there, over all time. The model FLOP
utilisation counts what both encoders must compute for real tokens of distinct texts, forward and backward, against
what the device can: recomputing, padding and the losses' own operations count as nothing.
"""

import argparse
import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.data_loader import DataLoaderShard
from torch.optim.lr_scheduler import LambdaLR
from transformers import BertConfig, ResNetConfig

from modeling_prd import PRDConfig, PRDModel
from training.batch_norm import freeze_batch_norm
from training.compilation import compile_parts
from training.step import Batch, TrainingStep

from .comparison import parse, positive, synchronize
from .model_flops import image_training_flops, peak_flops, text_training_flops
from .synthetic_pairs import SyntheticBatches

_PAPER_EPOCHS, _PAPER_PAIRS = 150, 6004
_TEXT_INPUTS = ("input_ids", "attention_mask", "word_ids", "perturbed_input_ids", "perturbed_attention_mask")
_SHAPES: dict[str, Any] = {
    "batch_size": 64,
    "perturbations": 9,
    "image_size": 224,
    "vision_embedding": 64,
    "vision_widths": [256, 512, 1024, 2048],
    "vision_depths": [3, 4, 6, 3],
    "text_width": 768,
    "text_layers": 12,
    "text_heads": 12,
    "vocabulary": 30522,
    "projection_dim": 128,
    "workers": 4,
    "micro_batch_size": None,
    "compile": False,
}
"""Flags of `--data synthetic` alone, with their defaults; `micro_batch_size` freezes batch normalisation."""


@dataclass(frozen=True)
class Trainer:
    """What is measured.

    Attributes:
        model: as prepared by the accelerator.
        plain: the same, not wrapped.
        step: called with each batch as the model sees it.
        run: trains on a batch of the loader, by `step`.
        batches: an endless loader, on the device.
        device: that trains.
    """

    model: Any
    plain: PRDModel
    step: "RecordedStep"
    run: Callable[[Batch], Any]
    batches: Iterator[Batch]
    device: torch.device


class RecordedStep:
    """A training step that keeps the text inputs of its batches."""

    def __init__(self, step: TrainingStep) -> None:
        self.step = step
        self.texts: list[Batch] = []
        self.pixels: torch.Size | None = None

    def __call__(self, batch: Batch, step: int) -> dict[str, float]:
        """Runs the step."""
        self.texts.append({name: batch[name] for name in _TEXT_INPUTS if name in batch})
        self.pixels = batch["pixel_values"].shape[1:]
        return self.step(batch, step)


@dataclass(frozen=True)
class Throughput:
    """What was measured.

    Attributes:
        images_per_second, tokens_per_second: tokens are real ones, of reports and perturbed reports.
        waiting_share: of the time, in which the loader was waited for.
        mfu_text: model FLOP utilisation of the text side alone, None where the device's peak is not known, and with
            micro-batches, as it is timed on whole batches.
        mfu_step: of whole steps, with all waiting.
        seconds_per_step: median.
        paper_epochs_minutes: what 150 epochs over 6,004 pairs would take at this rate.
        device: its name.
        peak_memory_mb: on a GPU what was allocated there, else what the process held.
    """

    images_per_second: float
    tokens_per_second: float
    waiting_share: float
    mfu_text: float | None
    mfu_step: float | None
    seconds_per_step: float
    paper_epochs_minutes: float
    device: str
    peak_memory_mb: float

    def line(self) -> str:
        """Return all of it in one line."""
        mfu = [f"{value:.1%}" if value is not None else "not known" for value in (self.mfu_text, self.mfu_step)]
        return (
            f"{self.images_per_second:.1f} images/s, {self.tokens_per_second:,.0f} tokens/s, "
            f"{self.seconds_per_step:.3f} s a step, {self.waiting_share:.1%} of the time waiting for input; "
            f"model FLOP utilisation: text {mfu[0]}, step {mfu[1]}; the paper's {_PAPER_EPOCHS} epochs: "
            f"{self.paper_epochs_minutes:,.1f} minutes; {self.peak_memory_mb:,.0f} MB on {self.device}"
        )


def measure(trainer: Trainer, warmup: int, steps: int, peak: float | None) -> Throughput:
    """Train for some steps and time those after the warm-up."""
    device = str(trainer.device)
    micro_batched = trainer.step.step.cache is not None
    waits, seconds, images = [], [], 0
    for number in range(warmup + steps):
        if number == warmup:
            trainer.step.texts.clear()
            synchronize(device)
            start = time.perf_counter()
        asked = time.perf_counter()
        batch = next(trainer.batches)
        there = time.perf_counter()
        trainer.run(batch)
        if number >= warmup:
            waits.append(there - asked)
            seconds.append(time.perf_counter() - asked)
            images += len(batch["pixel_values"])
    synchronize(device)
    total = time.perf_counter() - start
    memory = _peak_memory_mb(trainer.device)  # of training, before the text side is timed alone
    tokens = sum(sum(_lengths(texts)) for texts in trainer.step.texts)
    return Throughput(
        images_per_second=images / total,
        tokens_per_second=tokens / total,
        waiting_share=sum(waits) / total,
        mfu_text=peak and (None if micro_batched else _text_flops(trainer) / _text_seconds(trainer) / peak),
        mfu_step=peak and (_text_flops(trainer) + images * _image_flops(trainer)) / total / peak,
        seconds_per_step=statistics.median(seconds),
        paper_epochs_minutes=_PAPER_EPOCHS * _PAPER_PAIRS * total / images / 60,
        device=_device_name(trainer.device),
        peak_memory_mb=memory,
    )


def _lengths(texts: Batch, *, distinct: bool = False) -> list[int]:
    """Real tokens of each text of a batch."""
    rows = [
        tuple(ids[mask.bool()].tolist())
        for kind in ("", "perturbed_")
        if f"{kind}input_ids" in texts
        for ids, mask in zip(
            texts[f"{kind}input_ids"].flatten(0, -2), texts[f"{kind}attention_mask"].flatten(0, -2), strict=True
        )
    ]
    return [len(row) for row in (set(rows) if distinct else rows)]


def _text_flops(trainer: Trainer) -> float:
    lengths = [_lengths(texts, distinct=True) for texts in trainer.step.texts]
    return sum(text_training_flops(trainer.plain.text_model, each) for each in lengths)


def _image_flops(trainer: Trainer) -> float:
    return image_training_flops(trainer.plain.vision_model, trainer.step.pixels or ())


def _text_seconds(trainer: Trainer) -> float:
    """Time forward and backward pass of the text side on the batches of the measured steps."""
    device = str(trainer.device)

    def run(texts: Batch) -> None:
        output = trainer.model(**texts)
        vectors = [output[name] for name in ("text_embeds", "perturbed_embeds", "word_embeds") if name in output]
        torch.stack([vector.float().sum() for vector in vectors]).sum().backward()
        trainer.plain.zero_grad()

    run(trainer.step.texts[0])
    synchronize(device)
    start = time.perf_counter()
    for texts in trainer.step.texts:
        run(texts)
    synchronize(device)
    return time.perf_counter() - start


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{torch.get_num_threads()} CPU threads"


def _peak_memory_mb(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3


def synthetic_trainer(args: argparse.Namespace) -> Trainer:
    """Make a model in the shapes that the flags name, with the paper's heads and optimizer, and its batches."""
    vision = ResNetConfig(
        embedding_size=args.vision_embedding, hidden_sizes=args.vision_widths, depths=args.vision_depths
    )
    text = BertConfig(
        vocab_size=args.vocabulary,
        hidden_size=args.text_width,
        num_hidden_layers=args.text_layers,
        num_attention_heads=args.text_heads,
        intermediate_size=4 * args.text_width,
    )
    torch.manual_seed(0)
    config = PRDConfig(
        vision_config=vision,
        text_config=text,
        projection_dim=args.projection_dim,
        vision_pooling="projected_mean",
        vision_projection="biovil",
        text_projection="cxr_bert",
    )
    model = PRDModel(config).train()
    torch.nn.utils.convert_conv2d_weight_memory_format(model, torch.channels_last)
    if args.micro_batch_size is not None:
        freeze_batch_norm(model)  # as gradient caching needs it
    if args.compile:
        compile_parts(model)
    on_gpu = args.device != "cpu"
    precision = "bf16" if on_gpu and torch.cuda.is_bf16_supported() else "no"
    accelerator = Accelerator(cpu=not on_gpu, mixed_precision=precision)
    torch.set_num_threads(args.threads)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0015, momentum=0.9, weight_decay=5e-4)
    scheduler = LambdaLR(optimizer, lambda step: 1.0)
    prepared, prepared_optimizer = accelerator.prepare(model, optimizer)
    step = RecordedStep(TrainingStep(accelerator, prepared, prepared_optimizer, scheduler, 0.0, args.micro_batch_size))
    pixels = (vision.num_channels, args.image_size, args.image_size)
    dataset = SyntheticBatches(
        args.warmup + args.steps + 1, args.batch_size, args.perturbations, pixels, args.vocabulary
    )
    loader = DataLoaderShard(
        dataset,
        device=accelerator.device,
        batch_size=None,
        num_workers=args.workers,
        pin_memory=on_gpu,
        _non_blocking=True,
    )
    return Trainer(prepared, model, step, partial(step, step=1), iter(loader), accelerator.device)


def recipe_trainer(args: argparse.Namespace, output_dir: str) -> Trainer:
    """Make the trainer of `train.py` on a dataset, by a recipe."""
    from train import prepare
    from training.arguments import parse_recipe

    flags = {"config": args.config, "data": args.data, "output_dir": output_dir, "device": args.device}
    flags |= {"cpu_threads": args.threads, "num_train_epochs": args.warmup + args.steps}
    given = [part for flag, value in flags.items() for part in (f"--{flag}", str(value))]
    trainer, model, *_ = prepare(parse_recipe([*given, *args.recipe]))
    trainer.step = step = RecordedStep(trainer.step)  # type: ignore[assignment]
    trainer.set_train_mode()

    def endless() -> Iterator[Batch]:
        for epoch in count():
            trainer.batches.set_epoch(epoch)
            yield from trainer.batches

    return Trainer(trainer.model, model, step, trainer.run_batch, endless(), trainer.accelerator.device)


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; a flag of the other kind of data is an error."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.throughput",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", default="synthetic", help="synthetic, or a perturbed-pairs folder")
    parser.add_argument("--config", help="recipe of --data DIR (default: recipes/phantom.yaml)")
    parser.add_argument("--warmup", type=positive, default=5, help="steps that are not timed (default: %(default)s)")
    parser.add_argument("--steps", type=positive, default=30, help="timed steps (default: %(default)s)")
    parser.add_argument(
        "--device",
        choices=("cpu", "cuda", "mps"),
        default="cuda" if torch.cuda.is_available() else "cpu",
        help="default: %(default)s; CUDA_VISIBLE_DEVICES chooses among several GPUs",
    )
    parser.add_argument(
        "--threads", type=positive, default=torch.get_num_threads(), help="on a CPU (default: its cores)"
    )
    parser.add_argument("--peak_tflops", type=float, help="of the device, where it is not among those known")
    parser.add_argument("--json", type=Path, help="write the figures to this file, as one object")
    shapes = parser.add_argument_group("--data synthetic")
    for name, default in _SHAPES.items():
        kind: dict[str, Any] = (
            {"action": "store_true", "default": None}
            if default is False
            else {"type": partial(positive, least=int(name != "workers"))}
        )
        several: dict[str, Any] = {"nargs": "+"} if isinstance(default, list) else {}
        shapes.add_argument(f"--{name}", help=f"default: {default}", **kind, **several)
    parser.add_argument("recipe", nargs="*", help="keys of the recipe of --data DIR, after --")
    args = parse(parser, argv)
    given = [name for name in _SHAPES if getattr(args, name) is not None]
    if args.data != "synthetic" and given:
        parser.error(f"--{given[0]} is for --data synthetic; keys of the recipe come after --")
    if args.data == "synthetic" and (args.recipe or args.config):
        parser.error(f"{(args.recipe or ['--config'])[0]} is for --data DIR")
    for name, default in _SHAPES.items():
        if getattr(args, name) is None:
            setattr(args, name, default)
    args.config = args.config or "recipes/phantom.yaml"
    return args


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print one line, and write the figures."""
    args = parse_arguments(argv)
    with tempfile.TemporaryDirectory() as folder:
        trainer = synthetic_trainer(args) if args.data == "synthetic" else recipe_trainer(args, f"{folder}/run")
        name = _device_name(trainer.device)
        peak = args.peak_tflops * 1e12 if args.peak_tflops else peak_flops(name)
        throughput = measure(trainer, args.warmup, args.steps, peak)
    print(throughput.line())
    if args.json:
        args.json.write_text(json.dumps(asdict(throughput), indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

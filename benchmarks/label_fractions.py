"""How far pre-training spares labels: `python -m benchmarks.label_fractions --model DIR --data DIR`.

The classifier of `finetune.py --task chexpert` is trained on shares of the training images, whole studies drawn anew
by each seed, from the model's weights and from weights drawn anew. With one seed both see the same images.

The table has the mean AUROC of the labels on the reported split by share, and the gain of the pre-trained weights over
the random ones. Intervals allow for other seeds and for other studies: Student's t of the seeds' mean, and the
bootstrap over studies, which is paired in the gain, added as independent. A small share is trained for at least
`--min_steps` steps, and the best evaluation on the validation split is taken, which is whole for every share.
"""

import argparse
import json
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator
from numpy.typing import NDArray

from datasets_scripts.card import markdown_table
from evaluate_suite.structure_accuracy.structure_accuracy import group_indices, percentile_interval
from evaluate_suite.tables.numbers import interval_over_seeds
from evaluate_suite.tasks.zero_shot import from_scores
from training.arguments import AugmentationArguments
from training.devices import build_accelerator
from training.errors import one_line_errors
from training.finetuning.arguments import (
    ClassifierArguments,
    FineTuneOptimization,
    FineTuneRun,
    FineTuning,
    TaskArguments,
)
from training.finetuning.images import ImageTask, label_table, load_images

from .trained_classifiers import INITS, mean_areas, trained_logits, with_interval

ALL = "all"
_EVALUATIONS = 12  # of a training, on the validation split

Node = dict[str, Any]
Logits = dict[float, dict[str, list[NDArray[np.float64]]]]


def fine_tuning(args: argparse.Namespace, init: Any, fraction: float, steps: int | None, seed: int) -> FineTuning:
    """One training of the curve."""
    return FineTuning(
        task=TaskArguments(
            task="chexpert",
            data=args.data,
            labels=None if args.labels == ALL else args.labels,
            label_fraction=fraction,
        ),
        classifier=ClassifierArguments(model=args.model, init=init),
        optimization=FineTuneOptimization(
            batch_size=args.batch_size,
            learning_rate=args.learning_rate,
            max_steps=steps,
            eval_steps=None if steps is None else max(1, steps // _EVALUATIONS),
            augmentation=AugmentationArguments(translation=args.translation),
        ),
        run=FineTuneRun(seeds=seed, cpu_threads=args.cpu_threads, n_bootstrap=args.n_bootstrap),
    )


def answers(args: argparse.Namespace, task: ImageTask, accelerator: Accelerator) -> Logits:
    """The reported split's logits [N, L] by share and start, of each seed."""
    found: Logits = {}
    for fraction in args.fractions:
        images = len(task.splits.train) * fraction
        steps = max(args.min_steps, math.ceil(args.epochs * images / args.batch_size))
        part = ImageTask(task.splits, task.labels, args.n_bootstrap, fraction)
        found[fraction] = {
            init: [
                trained_logits(fine_tuning(args, init, fraction, steps, seed), accelerator, part, seed)
                for seed in args.seeds
            ]
            for init in INITS
        }
    return found


def measure(found: Logits, task: ImageTask, n_bootstrap: int) -> dict[str, dict[str, Node]]:
    """By share, each start's mean AUROC and the gain of the pre-trained one."""
    table = label_table(task.splits.test, list(task.labels))
    groups = group_indices(table.study_ids, len(table.study_ids))
    results: dict[str, dict[str, Node]] = {}
    for fraction, by_init in found.items():
        values: dict[str, list[float]] = {}
        areas: dict[str, list[NDArray[np.float64]]] = {}
        for init, of_seeds in by_init.items():
            values[init] = [
                from_scores(logits, table, {}, n_bootstrap=n_bootstrap)["auroc"]["mean"]["value"]
                for logits in of_seeds
            ]
            areas[init] = [mean_areas(logits, table, groups, n_bootstrap) for logits in of_seeds]
        gains = [own - other for own, other in zip(values["pretrained"], values["random"], strict=True)]
        gained = [own - other for own, other in zip(areas["pretrained"], areas["random"], strict=True)]
        results[f"{fraction:g}"] = {init: _area(_over_seeds(values[init], areas[init])) for init in INITS}
        results[f"{fraction:g}"]["gain"] = _over_seeds(gains, gained)
    return results


def _over_seeds(values: Sequence[float], resampled: Sequence[NDArray[np.float64]]) -> Node:
    intervals = [percentile_interval(each) for each in resampled]
    return {
        "value": statistics.fmean(values),
        "interval": list(interval_over_seeds(values, intervals)),
        "seeds": list(values),
    }


def _area(node: Node) -> Node:
    low, high = node["interval"]
    return node | {"interval": [max(0.0, low), min(1.0, high)]}


def render(results: Mapping[str, Mapping[str, Node]], images: int) -> str:
    """The numbers as a Markdown table."""
    lines = [
        [
            f"{100 * float(fraction):g} %",
            f"{images * float(fraction):,.0f}",
            *(with_interval(by_init[init], ".3f") for init in INITS),
            with_interval(by_init["gain"], "+.3f"),
        ]
        for fraction, by_init in results.items()
    ]
    return markdown_table(["labels", "images", "pre-trained", "random", "gain"], lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Train, measure, print a table, and write the numbers."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.label_fractions", description=__doc__)
    parser.add_argument("--model", required=True, help="folder of a pre-trained PRD model")
    parser.add_argument("--data", required=True, help="a build of chexpert, a folder or a Hub id")
    parser.add_argument("--labels", default="Consolidation,Pleural Effusion", help="with commas, or `all`")
    parser.add_argument("--fractions", type=_fraction, nargs="+", default=[0.01, 0.1, 1.0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--min_steps", type=int, default=240, help="of a training on a small share")
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--learning_rate", type=float, default=1e-3)
    parser.add_argument("--translation", type=float, default=0.02, help="augmentation, as a share of the side")
    parser.add_argument("--cpu_threads", type=int, default=1)
    parser.add_argument("--n_bootstrap", type=int, default=1000)
    parser.add_argument("--json", type=Path, help="write all numbers to this file")
    args = parser.parse_args(argv)
    with one_line_errors(ValueError, OSError):
        first = fine_tuning(args, "pretrained", 1.0, None, args.seeds[0])
        task = load_images(first)
        accelerator = build_accelerator(first.run, first.optimization, args.seeds[0])
        found = answers(args, task, accelerator)
    results = measure(found, task, args.n_bootstrap)
    splits = task.splits
    print(*splits.notes, f"{len(splits.test):,} images are reported; {len(args.seeds)} seeds.", sep="\n")
    print(f"\n{render(results, len(splits.train))}")
    if args.json:
        with one_line_errors(OSError):
            args.json.write_text(json.dumps(results, indent=2) + "\n")


def _fraction(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0 and at most 1")
    return value


if __name__ == "__main__":
    main()

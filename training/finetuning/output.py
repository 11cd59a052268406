"""The folder of a fine-tuning: whose it is, what its seeds came to, and the model that it becomes."""

import json
import os
import shutil
import statistics
from pathlib import Path
from typing import Any

import yaml

from ..checkpoint import write_whole
from ..errors import InputError
from ..lora import ADAPTER_FOLDER
from .arguments import FineTuning
from .task import Splits, Tree

_ARGUMENTS_FILE = "finetune.yaml"
_SEEDS_FOLDER = "seeds"
STAYS_LOCAL = (f"{_SEEDS_FOLDER}/*", _ARGUMENTS_FILE, "partial-*")
"""Glob patterns of what holds paths of the machine or is of no use to others."""

# Keys that may differ between a run and one that goes on with it.
_FREE_KEYS = frozenset(
    {
        "output_dir",
        "seeds",
        "overwrite",
        "device",
        "cpu_threads",
        "eval_batch_size",
        "dataloader_num_workers",
        "push_to_hub",
        "hub_public",
    }
)


def check_output_dir(arguments: FineTuning) -> None:
    """Refuses an `output_dir` that this run may not write to; writes nothing.

    Raises:
        ValueError: the folder holds files that are no fine-tuning, or another one, and `overwrite` is not given; or it
            is given, and the folder holds what this run starts from.
    """
    folder = Path(arguments.run.output_dir)
    if not folder.exists() or not any(folder.iterdir()):
        return
    if not (folder / _ARGUMENTS_FILE).is_file():
        raise ValueError(f"output_dir {str(folder)!r} holds files that are no fine-tuning: name another folder")
    if arguments.run.overwrite:
        _refuse_to_delete_inputs(arguments, folder.resolve())
        return
    before, now = yaml.safe_load((folder / _ARGUMENTS_FILE).read_text()) or {}, arguments.to_flat_dict()
    for key in now.keys() - _FREE_KEYS:
        if before.get(key) != now[key]:
            raise ValueError(
                f"output_dir {str(folder)!r} holds another fine-tuning: its {key} is {before.get(key)!r}, not "
                f"{now[key]!r}; name another folder, set it back, or --overwrite true"
            )


def _refuse_to_delete_inputs(arguments: FineTuning, folder: Path) -> None:
    task = arguments.task
    for key, place in (("model", arguments.classifier.model), ("data", task.data), ("train_data", task.train_data)):
        if place is not None and Path(place).exists() and Path(place).resolve().is_relative_to(folder):
            raise ValueError(f"overwrite: it would delete the {key} {place!r}, in output_dir: name another folder")


def claim_output_dir(arguments: FineTuning) -> None:
    """Makes `output_dir` this run's, by the arguments written into it; `overwrite` empties it first.

    Raises:
        InputError: the folder cannot be written to.
    """
    folder = Path(arguments.run.output_dir)
    try:
        if arguments.run.overwrite and folder.exists():
            shutil.rmtree(folder)
        (folder / _SEEDS_FOLDER).mkdir(parents=True, exist_ok=True)
        write_whole(folder / _ARGUMENTS_FILE, yaml.safe_dump(arguments.to_flat_dict(), sort_keys=False))
    except OSError as error:
        raise InputError(f"output_dir {str(folder)!r} cannot be written to: {error}") from error


def finished_seeds(arguments: FineTuning) -> dict[int, Tree]:
    """What earlier calls on this folder finished, by seed."""
    if arguments.run.overwrite:
        return {}
    files = (Path(arguments.run.output_dir) / _SEEDS_FOLDER).glob("seed-*.json")
    return {int(file.stem.removeprefix("seed-")): json.loads(file.read_text()) for file in files}


def save_seed(arguments: FineTuning, seed: int, results: Tree) -> None:
    """Keeps what a seed came to."""
    folder = Path(arguments.run.output_dir) / _SEEDS_FOLDER
    write_whole(folder / f"seed-{seed}.json", json.dumps(results, indent=2) + "\n")


def best_seed(results: dict[int, Tree]) -> int:
    """The seed that does best on the validation split; of equally good ones, the lowest, in whatever order."""
    return min(results, key=lambda seed: (-results[seed]["score"], seed))


def over_seeds(results: dict[int, Tree]) -> Tree:
    """Mean and sample deviation (None of one seed) of each number over the seeds, as a tree of leaves.

    A leaf is `{"mean", "deviation", "values", "n"}`, with as many values as seeds have that number.
    """
    trees = [results[seed] for seed in sorted(results)]
    return {split: _merged([tree[split] for tree in trees]) for split in ("validation", "test")}


def _merged(trees: list[Tree]) -> Tree:
    merged: Tree = {}
    for key in dict.fromkeys(key for tree in trees for key in tree):
        nodes = [tree[key] for tree in trees if isinstance(tree.get(key), dict)]
        if nodes and "value" in nodes[0]:
            values = [node["value"] for node in nodes]
            deviation = statistics.stdev(values) if len(values) > 1 else None
            merged[key] = {
                "mean": statistics.fmean(values),
                "deviation": deviation,
                "values": values,
                "n": len(values),
            }
        elif nodes and (inner := _merged(nodes)):
            merged[key] = inner
    return merged


def write_metrics(arguments: FineTuning, splits: Splits, results: dict[int, Tree]) -> Tree:
    """Writes `metrics.json`: the numbers of the folder's model, of each seed, and over the seeds.

    `n_train` and `n_synthetic` are the training split's rows, and how many of them a program made; `n_test` and
    `n_test_synthetic` those of the reported split.

    Returns:
        what was written.
    """
    best = best_seed(results)
    metrics = {
        "task": arguments.task.task,
        "n_train": len(splits.train),
        "n_synthetic": splits.n_synthetic,
        "n_test": len(splits.test),
        "n_test_synthetic": splits.n_test_synthetic,
        "seed": best,
        "validation": results[best]["validation"],
        "test": results[best]["test"],
        "over_seeds": over_seeds(results),
        "seeds": {str(seed): results[seed] for seed in sorted(results)},
    }
    write_whole(Path(arguments.run.output_dir) / "metrics.json", json.dumps(metrics, indent=2) + "\n")
    return metrics


def replace_model(partial: Path, folder: Path) -> None:
    """Moves the files of a whole model folder, and its adapter, to where they stay."""
    shutil.rmtree(folder / ADAPTER_FOLDER, ignore_errors=True)
    for file in partial.iterdir():
        os.replace(file, folder / file.name)
    partial.rmdir()


def portable_arguments(arguments: FineTuning) -> dict[str, Any]:
    """The keys that make the model, without its seeds and without where the run stood: for the card."""
    keys = {
        key: value for key, value in arguments.to_flat_dict().items() if value is not None and key not in _FREE_KEYS
    }
    for key in ("model", "data", "train_data"):
        if key in keys and Path(keys[key]).exists():
            keys[key] = Path(keys[key]).resolve().name
    return keys

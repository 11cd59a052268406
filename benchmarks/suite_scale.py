"""How `evaluate_suite` scales: `python -m benchmarks.suite_scale`.

Runs the tasks, with their controls, on made-up texts whose embeddings, like those of the images, are random unit
vectors: what is measured is everything but the model. Then it ranks all images among all candidate texts of the
structure task at once, which are ten times as many as the reports. A table shows the time and, as it grows from one
line to the next, the peak memory of the whole process.
"""

import argparse
import json
import resource
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray
from PIL import Image

from datasets_scripts.perturbations import PERTURBATIONS
from datasets_scripts.schema import CHEXPERT_LABELS, COUNTERFACTUAL_KINDS, features
from evaluate_suite.context import TaskContext
from evaluate_suite.embeddings import Embeddings
from evaluate_suite.tasks import TASKS, retrieval

SCORING_TASKS: tuple[str, ...] = ("structure", "counterfactual", "retrieval", "zero_shot")
"""The tasks that need nothing but embeddings; `robustness` is these again, for 15 times the images."""

_WORDS = np.array([f"word{number}" for number in range(400)])
_WORDS_OF_A_REPORT = 30
_EDITS_OF_A_REPORT = 2
_IMAGES_OF_A_STUDY = 2


class RandomEncoder:
    """Gives every image and every text a random unit vector of this width."""

    def __init__(self, width: int, seed: int) -> None:
        self.width = width
        self.generator = np.random.default_rng(seed)

    def encode_images(self, images: Sequence[Image.Image]) -> NDArray[np.float32]:
        """N vectors, [N, D]."""
        return self._unit_vectors(len(images))

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """N vectors, [N, D]."""
        return self._unit_vectors(len(texts))

    def _unit_vectors(self, count: int) -> NDArray[np.float32]:
        vectors = self.generator.standard_normal((count, self.width), dtype=np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def made_up_split(name: str, images: int, seed: int) -> Dataset:
    """A split of a perturbed-pairs dataset: every image with a report of its own, nine perturbations and two edits."""
    generator = np.random.default_rng([seed, *name.encode()])
    picture = Image.new("L", (1, 1))
    return Dataset.from_list([_row(name, number, picture, generator) for number in range(images)], features=features())


def _row(split: str, number: int, picture: Image.Image, generator: np.random.Generator) -> dict[str, Any]:
    words = generator.choice(_WORDS, _WORDS_OF_A_REPORT)
    report = " ".join(words)
    kinds = [COUNTERFACTUAL_KINDS[(number + edit) % len(COUNTERFACTUAL_KINDS)] for edit in range(_EDITS_OF_A_REPORT)]
    edits = {kind: _edit(words, generator) for kind in kinds}
    return {
        "image": picture,
        "image_id": f"{split}-{number}",
        "study_id": f"{split}-{number // _IMAGES_OF_A_STUDY}",
        "synthetic": True,
        "report": report,
        "tags": "",
        "findings": report,
        "impression": "",
        "perturbed": {name: " ".join(generator.permutation(words)) for name in PERTURBATIONS},
        "changed": dict.fromkeys(PERTURBATIONS, True),
        "counterfactual": {kind: edits.get(kind) for kind in COUNTERFACTUAL_KINDS},
        "labels": {label: float(generator.integers(2)) for label in CHEXPERT_LABELS},
        "boxes": [],
    }


def _edit(words: NDArray[np.str_], generator: np.random.Generator) -> dict[str, Any]:
    edited = words.copy()
    edited[generator.integers(len(words))] = generator.choice(_WORDS)
    return {"text": " ".join(edited), "start": 0, "end": 0, "replacement": ""}


def measure(images: int, width: int, n_bootstrap: int, tasks: Sequence[str], seed: int = 0) -> list[dict[str, Any]]:
    """Run the tasks one after the other.

    Args:
        images: number of images N of the evaluated split, and of the training split; a tenth of it for validation.
        width: of the vectors.
        n_bootstrap: resamples of every interval.
        tasks: names of `TASKS`.
        seed: of all that is made up.

    Returns:
        For each stage `stage`, `seconds`, `cpu_seconds` (of all threads), and the process's `peak_gigabytes` so far.
    """
    splits = {
        name: made_up_split(name, count, seed)
        for name, count in (("train", images), ("validation", max(1, images // 10)), ("test", images))
    }
    embeddings = Embeddings(RandomEncoder(width, seed))
    context = TaskContext(embeddings=embeddings, n_bootstrap=n_bootstrap, seed=seed, **splits)
    test = context.test
    candidates = [
        *test["report"],
        *(text for name in PERTURBATIONS for text in test.flatten()[f"perturbed.{name}"]),
    ]

    def rank_among_all() -> None:
        distinct = list(dict.fromkeys(candidates))
        vectors = embeddings.images(test), embeddings.texts(distinct)
        retrieval.from_embeddings(*vectors, np.arange(images), test["study_id"], n_bootstrap=n_bootstrap)

    def embed() -> None:
        embeddings.images(test)
        embeddings.texts(candidates)

    stages: dict[str, Callable[[], Any]] = {f"make {images} vectors of images, {len(candidates)} of texts": embed}
    stages |= {name: lambda name=name: TASKS[name](context) for name in tasks}  # type: ignore[misc]
    stages[f"retrieval of {images} images among {len(candidates)} texts"] = rank_among_all
    return [_timed(name, stage) for name, stage in stages.items()]


def _timed(name: str, stage: Callable[[], Any]) -> dict[str, Any]:
    began, cpu_began = time.perf_counter(), time.process_time()
    stage()
    return {
        "stage": name,
        "seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - cpu_began,
        "peak_gigabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print a table, and write the numbers."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.suite_scale", description=__doc__)
    parser.add_argument("--images", type=int, default=10_000, help="images; the candidate texts are ten times as many")
    parser.add_argument("--width", type=int, default=512, help="of the vectors; 512 is that of CLIP ViT-B")
    parser.add_argument("--n_bootstrap", type=int, default=1000, help="resamples of every interval")
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=SCORING_TASKS)
    parser.add_argument("--json", type=Path, help="write all numbers to this file")
    args = parser.parse_args(argv)
    stages = measure(args.images, args.width, args.n_bootstrap, args.tasks)
    scored = stages[1:]
    print(f"{'':58}{'seconds':>9}{'CPU s':>9}{'peak GB':>9}")
    for stage in stages:
        print("{stage:58}{seconds:9.1f}{cpu_seconds:9.1f}{peak_gigabytes:9.2f}".format(**stage))
    totals = {name: sum(stage[name] for stage in scored) for name in ("seconds", "cpu_seconds")}
    peak = stages[-1]["peak_gigabytes"]
    print("{:58}{seconds:9.1f}{cpu_seconds:9.1f}{:9.2f}".format("scoring, all together", peak, **totals))
    if args.json:
        args.json.write_text(json.dumps({"stages": stages, **totals, "peak_gigabytes": peak}, indent=2) + "\n")


if __name__ == "__main__":
    main()

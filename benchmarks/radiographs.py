"""Pre-training against random weights on real images: `python -m benchmarks.radiographs --model DIR --images DIR`.

The folder holds images and a `labels.csv` with the columns `image` and `label`, of a label an image. The images are
dealt into folds by patient where the name tells one: all of a patient, or of a publication, are in one. Each fold is
answered by models that were trained on the others, less a tenth of their patients to choose the step on. Four are
compared: linear probe and full fine-tuning, from the model's weights and from weights drawn anew.

The table has the AUROC of each label and their mean, over all folds' answers together, and the share of images whose
likeliest label is right. Intervals are of a bootstrap over patients, paired for the gain over random weights; they do
not hold for another training. `--figure` draws where the model's regions agree with a phrase, on an image a label.

Where the labels of a folder come from different sources, as in public collections of COVID-19 pictures, a model can
tell the source instead of the disease: the numbers then show that the code meets real images, and nothing clinical.
"""

import argparse
import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, Features, Value
from datasets import Image as ImageFeature
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from sklearn.model_selection import StratifiedGroupKFold

from datasets_scripts.card import markdown_table
from datasets_scripts.radiographs import UNREADABLE_IMAGE
from evaluate_suite.encoders import LocalMaps
from evaluate_suite.heat_maps import seen_box, to_pixels
from evaluate_suite.loading import load_encoder
from evaluate_suite.statistics import SHARE, measure_mean
from evaluate_suite.structure_accuracy.structure_accuracy import group_indices, percentile_interval
from evaluate_suite.tasks.zero_shot import from_scores
from training.devices import build_accelerator
from training.errors import one_line_errors
from training.finetuning.arguments import (
    ClassifierArguments,
    FineTuneOptimization,
    FineTuneRun,
    FineTuning,
    TaskArguments,
)
from training.finetuning.images import ImageTask, label_table
from training.finetuning.task import Splits, hold_out

from .trained_classifiers import INITS, mean_areas, trained_logits, with_interval

LEARNING_RATES: Mapping[str, float] = {"linear_probe": 1e-2, "full": 1e-3}
PHRASES = ("the heart is enlarged", "there is a left pleural effusion")

_NIH = re.compile(r"(\d{8})_\d{3}$")  # patient, follow-up
_FIGURE = re.compile(r"(\.pdf|[-_.](gr|g|fx|fig)\d|[-_]?[a-d]\d?$).*", re.IGNORECASE)


@dataclass(frozen=True)
class Settings:
    """How the models are trained.

    Attributes:
        model: the PRD folder to start from.
        epochs, batch_size, seed: of each training.
        cpu_threads: of torch.
        n_bootstrap: resamples of the intervals.
    """

    model: str
    epochs: int
    batch_size: int
    seed: int
    cpu_threads: int
    n_bootstrap: int

    def fine_tuning(self, init: Any, method: Any) -> FineTuning:
        """One of the four trainings."""
        return FineTuning(
            task=TaskArguments(task="chexpert", data="radiographs"),
            classifier=ClassifierArguments(model=self.model, init=init, method=method),
            optimization=FineTuneOptimization(
                batch_size=self.batch_size, num_train_epochs=self.epochs, learning_rate=LEARNING_RATES[method]
            ),
            run=FineTuneRun(seeds=self.seed, cpu_threads=self.cpu_threads),
        )


def patient_of(image: str) -> str:
    """Whose an image is, as its name tells: NIH's patient, or the publication without the number of its figure."""
    stem = Path(image).stem
    nih = _NIH.match(stem)
    return nih[1] if nih else _FIGURE.sub("", stem) or stem


def read_radiographs(folder: Path, image_size: int) -> Dataset:
    """The images of a folder as rows of `ImageTask`, their shorter side reduced to `image_size` once.

    Raises:
        ValueError: a column is missing, fewer than two labels are there, or an image is not there or does not open.
        OSError: there is no `labels.csv`.
    """
    table = folder / "labels.csv"
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for number, row in enumerate(rows, start=2):
        for column in ("image", "label"):
            if not row.get(column):
                raise ValueError(f"{table}:{number} has no {column!r}")
    labels = sorted({row["label"] for row in rows})
    if len(labels) < 2:
        raise ValueError(f"{table} has {len(labels)} labels, and a classifier needs two")
    features = Features(
        {
            "image": ImageFeature(decode=False),
            "image_id": Value("string"),
            "study_id": Value("string"),
            "labels": {label: Value("float32") for label in labels},
        }
    )
    return Dataset.from_list(
        [
            {
                "image": {"bytes": _reduced(folder / row["image"], image_size), "path": None},
                "image_id": row["image"],
                "study_id": patient_of(row["image"]),
                "labels": {label: float(label == row["label"]) for label in labels},
            }
            for row in rows
        ],
        features=features,
    )


def _reduced(path: Path, image_size: int) -> bytes:
    try:
        with Image.open(path) as image:
            grey = image.convert("L")
    except UNREADABLE_IMAGE as error:
        raise ValueError(f"{path} is no image that can be read: {error}") from error
    scale = image_size / min(grey.size)
    if scale < 1:
        grey = grey.resize((round(grey.width * scale), round(grey.height * scale)), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    grey.save(out, "PNG")
    return out.getvalue()


def answers(
    settings: Settings, rows: Dataset, fold_of: NDArray[np.int64]
) -> dict[str, dict[str, NDArray[np.float64]]]:
    """The logits [N, L] of all images from models that did not see their fold, by method and start."""
    names = list(rows.features["labels"])
    accelerator = build_accelerator(settings.fine_tuning("random", "full").run, FineTuneOptimization(), settings.seed)
    found: dict[str, dict[str, NDArray[np.float64]]] = {}
    for method in LEARNING_RATES:
        found[method] = {init: np.zeros((len(rows), len(names))) for init in INITS}
        for init, logits in found[method].items():
            for fold in np.unique(fold_of):
                own = np.flatnonzero(fold_of == fold)
                others = rows.select(np.flatnonzero(fold_of != fold))
                train, validation = hold_out(others, others["study_id"], 0.1)
                task = ImageTask(Splits(train, validation, rows.select(own)), names, settings.n_bootstrap)
                logits[own] = trained_logits(settings.fine_tuning(init, method), accelerator, task, settings.seed)
    return found


def deal(rows: Dataset, folds: int, seed: int) -> NDArray[np.int64]:
    """The fold of each image [N]: whole patients, with the labels in like shares."""
    table = label_table(rows, list(rows.features["labels"]))
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    fold_of = np.zeros(len(rows), dtype=np.int64)
    classes = table.values.argmax(axis=1)
    for fold, (_, own) in enumerate(splitter.split(classes, classes, table.study_ids)):
        fold_of[own] = fold
    return fold_of


def measure(
    found: Mapping[str, Mapping[str, NDArray[np.float64]]], rows: Dataset, n_bootstrap: int
) -> dict[str, dict[str, Any]]:
    """By method, each start's AUROC by label and share of right answers, and the gain of the mean AUROC."""
    table = label_table(rows, list(rows.features["labels"]))
    groups = group_indices(table.study_ids, len(rows))
    classes = table.values.argmax(axis=1)
    majority = float(np.bincount(classes).max() / len(classes))
    results: dict[str, dict[str, Any]] = {}
    for method, by_init in found.items():
        results[method] = {
            init: {
                "auroc": from_scores(logits, table, {}, n_bootstrap=n_bootstrap)["auroc"],
                "right": measure_mean(
                    (logits.argmax(axis=1) == classes).astype(np.float64), groups, majority, n_bootstrap, 0, SHARE
                ),
            }
            for init, logits in by_init.items()
        }
        means = {init: mean_areas(logits, table, groups, n_bootstrap) for init, logits in by_init.items()}
        values = {init: results[method][init]["auroc"]["mean"]["value"] for init in INITS}
        results[method]["gain"] = {
            "value": values["pretrained"] - values["random"],
            "interval": percentile_interval(means["pretrained"] - means["random"]),
        }
    return results


def render(results: Mapping[str, Mapping[str, Any]]) -> str:
    """The numbers as a Markdown table."""
    labels = list(results["full"]["random"]["auroc"])
    header = ["training", "weights", *(f"AUROC {label}" for label in labels), "right", "gain of the mean AUROC"]
    lines = []
    for method, by_init in results.items():
        for init in INITS:
            numbers = [by_init[init]["auroc"][label] for label in labels] + [by_init[init]["right"]]
            gain = with_interval(by_init["gain"], "+.3f") if init == "pretrained" else ""
            lines.append([method.replace("_", " "), init, *(with_interval(node, ".3f") for node in numbers), gain])
    return markdown_table(header, lines)


def draw_maps(model: str, rows: Dataset, phrases: Sequence[str], file: Path) -> None:
    """Draw the model's heat map of each phrase, as it was pre-trained, over the first image of each label.

    Raises:
        ValueError: the model has no heat maps.
    """
    encoder: Any = load_encoder(model)
    if not isinstance(encoder, LocalMaps):
        raise ValueError(f"{model!r} has no regions to draw maps of; leave --figure out")
    labels = list(rows.features["labels"])
    classes = label_table(rows, labels).values.argmax(axis=1)
    figure = Figure(figsize=(3 * (1 + len(phrases)), 3.2 * len(labels)), layout="constrained")
    axes = figure.subplots(len(labels), 1 + len(phrases), squeeze=False)
    for place, label in enumerate(labels):
        stored = rows[int(np.flatnonzero(classes == place)[0])]["image"]["bytes"]
        image = Image.open(io.BytesIO(stored))
        maps = encoder.phrase_maps([image] * len(phrases), list(phrases))
        for column, title in enumerate((label, *phrases)):
            cell = axes[place, column]
            cell.set_axis_off()
            cell.set_title(title, fontsize=9)
            cell.imshow(np.asarray(image), cmap="gray", vmin=0, vmax=255)
            if column:
                heat = to_pixels(maps[column - 1], *image.size, seen_box(encoder, *image.size))
                cell.imshow(heat, cmap="inferno", alpha=0.6 * heat, vmin=0, vmax=1)
    figure.savefig(file, dpi=120)


def main(argv: Sequence[str] | None = None) -> None:
    """Train, measure, print a table, and write the numbers and the picture."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.radiographs", description=__doc__)
    parser.add_argument("--model", required=True, help="folder of a pre-trained PRD model")
    parser.add_argument("--images", type=Path, required=True, help="folder with images and labels.csv")
    parser.add_argument("--image_size", type=int, default=96, help="the images' shorter side is reduced to it once")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cpu_threads", type=int, default=1)
    parser.add_argument("--n_bootstrap", type=int, default=1000)
    parser.add_argument("--phrases", nargs="+", default=PHRASES, help="of the heat maps")
    parser.add_argument("--figure", type=Path, help="draw heat maps into this file")
    parser.add_argument("--json", type=Path, help="write all numbers to this file")
    args = parser.parse_args(argv)
    settings = Settings(args.model, args.epochs, args.batch_size, args.seed, args.cpu_threads, args.n_bootstrap)
    with one_line_errors(ValueError, OSError):
        rows = read_radiographs(args.images, args.image_size)
        if args.figure:
            draw_maps(args.model, rows, args.phrases, args.figure)
        found = answers(settings, rows, deal(rows, args.folds, args.seed))
    results = measure(found, rows, args.n_bootstrap)
    patients = len(set(rows["study_id"]))
    print(f"{len(rows):,} images of {patients:,} patients or publications, {args.folds} folds\n\n{render(results)}\n")
    print("Labels may follow the source of a picture: this shows that the code meets real images, nothing clinical.")
    if args.json:
        with one_line_errors(OSError):
            args.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()

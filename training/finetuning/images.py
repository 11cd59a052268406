"""CheXpert, and any images with its labels: which of the fourteen observations does a radiograph show?"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from datasets import Dataset, Image, Value, load_dataset
from numpy.typing import NDArray
from tqdm.auto import tqdm

from datasets_scripts.chexpert_images import patient_of
from datasets_scripts.schema import CHEXPERT_LABELS
from evaluate_suite.data import check_columns, reading
from evaluate_suite.tasks.zero_shot import LabelTable, best_threshold, from_scores

from ..data import decode_image
from .arguments import FineTuning
from .models import ImagePreparation
from .task import Batch, Collator, Scores, Splits, Task, Tree, check_ids, draw_groups, first, hold_out, synthetic_note

_COLUMNS = ("image", "image_id", "study_id", "labels")


class ImageTask(Task):
    """Images with several labels at once, of which some are unknown; chosen by mean AUROC.

    Args:
        splits: rows of `chexpert_card.KIND` or of a perturbed-pairs dataset.
        labels: those that are learned.
        n_bootstrap: resamples of each interval; the images of one study are resampled together.
        label_fraction: share of the training images that a seed uses.
    """

    problem_type = "multi_label_classification"

    def __init__(self, splits: Splits, labels: Sequence[str], n_bootstrap: int, label_fraction: float = 1.0) -> None:
        super().__init__(splits, labels, n_bootstrap)
        self.label_fraction = label_fraction

    def targets(self, rows: Dataset) -> torch.Tensor:
        """1, 0, or NaN for uncertain and unknown, [N, K] float32."""
        return torch.tensor(_known(label_table(rows, self.labels).values), dtype=torch.float32)

    def collator(self, prepare: ImagePreparation) -> Collator:
        """Decodes, prepares and stacks images."""

        return partial(_collate, prepare=prepare, names=self.labels)

    def score(self, logits: Scores, rows: Dataset) -> float:
        """The mean AUROC over the labels that have both values."""
        return from_scores(logits, label_table(rows, self.labels), {}, n_bootstrap=1)["auroc"]["mean"]["value"]

    def measure(self, logits: dict[str, Scores]) -> Tree:
        """AUROC, average precision, accuracy at 0.5 and at the validation split's best threshold, each by label."""
        validation = label_table(self.splits.validation, self.labels)
        thresholds = _thresholds(logits["validation"], validation)
        return {name: self._measure(scores, getattr(self.splits, name), thresholds) for name, scores in logits.items()}

    def _measure(self, logits: Scores, rows: Dataset, thresholds: dict[str, float]) -> Tree:
        table = label_table(rows, self.labels)
        at_half = from_scores(logits, table, {}, n_bootstrap=self.n_bootstrap)
        if "auroc" not in at_half:
            return at_half
        at_best = from_scores(logits, table, thresholds, n_bootstrap=self.n_bootstrap)
        return {
            "auroc": at_half["auroc"],
            "average_precision": at_half["average_precision"],
            "accuracy": at_half["accuracy"],
            "accuracy_at_best_threshold": at_best["accuracy"],
            # Of probabilities, which pipelines give.
            "best_thresholds": {name: float(1 / (1 + np.exp(-value))) for name, value in thresholds.items()},
            "counts": at_half["counts"],
        } | ({"skipped": at_half["skipped"]} if "skipped" in at_half else {})

    def training_rows(self, seed: int) -> Dataset:
        """The rows that a seed trains on: whole studies, of which a larger share has all that a smaller one has."""
        rows = self.splits.train
        if self.label_fraction == 1:
            return rows
        return rows.select(np.flatnonzero(draw_groups(rows["study_id"], self.label_fraction, seed)))


def _collate(rows: Sequence[dict[str, Any]], prepare: ImagePreparation, names: Sequence[str]) -> Batch:
    values = [[_value(row["labels"], name) for name in names] for row in rows]
    labels = torch.tensor(_known(np.array(values)), dtype=torch.float32)
    return {**prepare([decode_image(row) for row in rows]), "labels": labels}


def load_images(arguments: FineTuning) -> ImageTask:
    """The task with its images.

    Raises:
        ValueError: the dataset, a split or a column is not there, a split is empty, a label is no number, or is never
            1 or never 0 in the training split, or every label is so in the validation split, or an image does not
            decode; the message names which and where.
    """
    task = arguments.task
    with reading(task.data):
        splits = dict(load_dataset(task.data))
    for name in ("train", "validation"):
        if not len(splits.get(name, ())):
            raise ValueError(
                f"data {task.data!r} has no images in a split {name!r}: it has {', '.join(map(str, splits))}"
            )
    for name, rows in splits.items():
        place = f"split {name!r} of {task.data!r}"
        check_columns(rows, _COLUMNS, place)
        check_ids(rows, ("image_id", "study_id"), place)
        _check_label_column(rows, place)
    train = splits["train"]
    notes: tuple[str, ...] = ()
    if len(splits.get("test", ())):
        validation, test = splits["validation"], splits["test"]
    else:
        test = splits["validation"]
        train, validation = hold_out(train, [patient_of(study_id) for study_id in train["study_id"]], task.held_out)
        notes = (f"Chosen on {len(validation):,} images held out of training; the validation split is reported.",)
    train, validation, test = (
        first(train, task.max_train),
        first(validation, task.max_eval),
        first(test, task.max_eval),
    )
    drawn, drawn_test = (
        sum(value is True for value in rows["synthetic"]) if "synthetic" in rows.column_names else 0
        for rows in (train, test)
    )
    for count, rows, split in ((drawn, train, "training"), (drawn_test, test, "reported")):
        notes += synthetic_note(count, len(rows), f"{split} images", "drawn by a program, not taken of patients")
    chosen = Splits(
        train=_encoded(train),
        validation=_encoded(validation),
        test=_encoded(test),
        notes=notes,
        n_synthetic=drawn,
        n_test_synthetic=drawn_test,
    )
    labels = _check_labels(chosen.train, arguments.labels)
    label_table(chosen.test, labels)  # its values are read before training, too
    if not label_table(chosen.validation, labels).has_both.any():
        raise ValueError("the images to choose on have no label that is 1 for one and 0 for another: enlarge them")
    for rows in (chosen.train, chosen.validation, chosen.test):
        for row in tqdm(rows.select_columns(["image", "image_id"]), "check images", unit="image", leave=False):
            decode_image(row)
    return ImageTask(chosen, labels, arguments.run.n_bootstrap, task.label_fraction)


def _check_label_column(rows: Dataset, place: str) -> None:
    values = rows.features["labels"]
    if not isinstance(values, dict):
        raise ValueError(
            f"{place}: column 'labels' is {values}; it holds a number for each label, by the label's name"
        )
    for name, value in values.items():
        if not isinstance(value, Value) or not value.dtype.startswith(("float", "int", "uint", "bool", "null")):
            raise ValueError(f"{place}: label {name!r} is {value}; it must be a number")


def _encoded(rows: Dataset) -> Dataset:
    return rows.cast_column("image", Image(decode=False))


def label_table(rows: Dataset, labels: Sequence[str]) -> LabelTable:
    """What is known of rows: 1, 0, -1 for uncertain, NaN for unknown.

    Raises:
        ValueError: a value is none of these; the image is named.
    """
    values = np.array([[_value(row, name) for name in labels] for row in rows["labels"]]).reshape(-1, len(labels))
    for row, column in np.argwhere(~(np.isnan(values) | np.isin(values, (-1, 0, 1))))[:1]:
        raise ValueError(
            f"image {rows['image_id'][int(row)]!r}: label {labels[column]!r} is {values[row, column]}; it is 1, 0, -1 "
            "for uncertain or null"
        )
    return LabelTable(list(labels), values, list(rows["image_id"]), list(rows["study_id"]))


def _value(labels: dict[str, float | None] | None, name: str) -> float:
    value = (labels or {}).get(name)
    return np.nan if value is None else value


def _known(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(values == -1, np.nan, values)


def _check_labels(train: Dataset, wanted: list[str] | None) -> list[str]:
    there = train.features["labels"]
    for name in wanted or ():
        if name not in there:
            raise ValueError(f"labels: {name!r} is not in the data, which has {', '.join(there)}")
    names = wanted or [name for name in CHEXPERT_LABELS if name in there]
    has_both = label_table(train, names).has_both
    if wanted is not None and not has_both.all():
        name = names[int(np.flatnonzero(~has_both)[0])]
        raise ValueError(f"labels: {name!r} is never 1, or never 0, in the training split: leave it out")
    if not has_both.any():
        raise ValueError("no label is 1 for one training image and 0 for another: build the data with --blank zeros")
    return [name for name, both in zip(names, has_both, strict=True) if both]


def _thresholds(logits: Scores, table: LabelTable) -> dict[str, float]:
    return {
        table.names[place]: best_threshold(
            logits[table.counted[:, place], place], table.positive[table.counted[:, place], place]
        )
        for place in np.flatnonzero(table.has_both)
    }

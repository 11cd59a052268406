"""MedNLI and RadNLI: which of three relations holds between two sentences."""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset, load_dataset

from datasets_scripts.mednli import MEDNLI
from datasets_scripts.nli import KIND, LABELS, STAND_IN_PREFIX, read_pairs
from datasets_scripts.radnli import RADNLI
from evaluate_suite.data import check_columns, reading

from .arguments import FineTuning
from .metrics import measure_classes
from .models import TextPreparation
from .task import Batch, Collator, Scores, Splits, Task, Tree, check_ids, first, hold_out, synthetic_note

_CORPORA = {"mednli": MEDNLI, "radnli": RADNLI}
_COLUMNS = ("premise", "hypothesis", "label", "pair_id")


class NLITask(Task):
    """Pairs of a premise and a hypothesis; chosen by accuracy.

    Args:
        splits: rows of `nli.KIND`.
        n_bootstrap: resamples of each interval; as `resampled_together`.
        hypothesis_only: leave the premise out.
    """

    problem_type = "single_label_classification"

    def __init__(self, splits: Splits, n_bootstrap: int, hypothesis_only: bool = False) -> None:
        super().__init__(splits, LABELS, n_bootstrap)
        self.hypothesis_only = hypothesis_only

    def targets(self, rows: Dataset) -> torch.Tensor:
        """The classes, [N] int64."""
        return torch.tensor(rows["label"][:])

    def collator(self, prepare: TextPreparation) -> Collator:
        """Tokenises pairs, or hypotheses alone, padded to the batch's longest."""

        return partial(_collate, prepare=prepare, hypothesis_only=self.hypothesis_only)

    def score(self, logits: Scores, rows: Dataset) -> float:
        """The accuracy."""
        return float((logits.argmax(axis=1) == np.array(rows["label"])).mean())

    def measure(self, logits: dict[str, Scores]) -> Tree:
        """Accuracy, macro F1 and the confusion matrix of each split, with the constant answer's.

        That is the commonest class of the validation split: MedNLI's training pairs, which RadNLI is trained on too,
        have all classes equally often.
        """
        majority = int(torch.bincount(self.targets(self.splits.validation), minlength=len(LABELS)).argmax())
        return {
            name: measure_classes(
                scores.argmax(axis=1),
                np.array(getattr(self.splits, name)["label"]),
                resampled_together(getattr(self.splits, name)),
                self.labels,
                majority,
                self.n_bootstrap,
            )
            for name, scores in logits.items()
        }


def _collate(rows: Sequence[dict[str, Any]], prepare: TextPreparation, hypothesis_only: bool) -> Batch:
    hypotheses = [row["hypothesis"] for row in rows]
    texts = (hypotheses,) if hypothesis_only else ([row["premise"] for row in rows], hypotheses)
    return {**prepare(*texts), "labels": torch.tensor([row["label"] for row in rows])}


def load_nli(arguments: FineTuning) -> NLITask:
    """The task with its pairs.

    Raises:
        ValueError: a dataset, a file, a split or a column is not there, a split is empty, or a pair has an empty
            sentence or no label of the three; the message names which and where.
    """
    task = arguments.task
    notes: list[str] = []
    own = _load(task.data, task.task, notes)
    if task.task == "mednli":
        train, validation = _split(own, "train", task.data), _split(own, "validation", task.data)
    elif task.direct:
        pairs = _split(own, "validation", task.data)
        train, validation = hold_out(pairs, resampled_together(pairs), task.held_out)
        notes.append(
            f"Trained on {len(train):,} pairs of the validation split and chosen on its other {len(validation):,}."
        )
    else:
        train = _split(_load(str(task.train_data), "mednli", notes), "train", str(task.train_data))
        validation = _split(own, "validation", task.data)
        notes.append("Trained on MedNLI, chosen on RadNLI's validation split.")
    test = _split(own, "test", task.data)
    train, validation, test = (
        first(train, task.max_train),
        first(validation, task.max_eval),
        first(test, task.max_eval),
    )
    written, written_test = _written_by_program(train), _written_by_program(test)
    for count, rows, split in ((written, train, "training"), (written_test, test, "reported")):
        notes += synthetic_note(count, len(rows), f"{split} pairs", "written by a program, not taken from records")
    splits = Splits(train, validation, test, tuple(notes), written, written_test)
    return NLITask(splits, arguments.run.n_bootstrap, task.hypothesis_only)


def _written_by_program(rows: Dataset) -> int:
    return sum(pair_id.startswith(STAND_IN_PREFIX) for pair_id in rows["pair_id"])


def resampled_together(rows: Dataset) -> list[str]:
    """The group of each pair: pairs of a group are not independent of each other.

    They are those of one premise, and of `phantom_nli`'s those of one block, which stands before the last dash.
    """
    return [
        pair_id.rpartition("-")[0] if pair_id.startswith(STAND_IN_PREFIX) else premise
        for pair_id, premise in zip(rows["pair_id"], rows["premise"], strict=True)
    ]


def _load(data: str, corpus: str, notes: list[str]) -> dict[str, Dataset]:
    files = {split: Path(data) / name for split, name in _CORPORA[corpus].files.items()}
    if any(path.is_file() for path in files.values()):
        left_out: Counter[str] = Counter()
        splits = {
            split: Dataset.from_list(read_pairs(path, left_out), features=KIND.features)
            for split, path in files.items()
            if path.is_file()
        }
        notes += [f"Left out: {count} pairs whose {reason}." for reason, count in left_out.items()]
        return splits
    with reading(data):
        return dict(load_dataset(data))


def _split(splits: dict[str, Dataset], name: str, data: str) -> Dataset:
    """A split whose labels stand in the order of `LABELS`."""
    if name not in splits:
        raise ValueError(f"data {data!r} has no split {name!r}: it has {', '.join(map(str, splits))}")
    rows, place = splits[name], f"split {name!r} of {data!r}"
    check_columns(rows, _COLUMNS, place)
    if not len(rows):
        raise ValueError(f"{place} has no pairs")
    check_ids(rows, ("pair_id",), place)
    for row in rows:
        for column in ("premise", "hypothesis"):
            if not isinstance(row[column], str) or not row[column].strip():
                raise ValueError(
                    f"{place}: the {column} of pair {row['pair_id']!r} is {row[column]!r}; it must be text"
                )
    names = getattr(rows.features["label"], "names", None)
    if names is not None and sorted(names) != sorted(LABELS):
        raise ValueError(f"{place} has the labels {', '.join(names)}; they are {', '.join(LABELS)}")
    known = dict(enumerate(names)) if names is not None else {label: label for label in LABELS}
    for pair_id, label in zip(rows["pair_id"], rows["label"], strict=True):
        if label not in list(known):  # a list has no hash
            raise ValueError(f"{place}: pair {pair_id!r} has the label {label!r}; it is one of {', '.join(LABELS)}")
    order = [LABELS.index(known[label]) for label in rows["label"]]
    return rows.remove_columns("label").add_column("label", order)

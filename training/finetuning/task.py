"""What every task gives the loop: its splits, its targets, its inputs and its numbers."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from datasets import Dataset
from numpy.typing import NDArray

Tree = dict[str, Any]
Scores = NDArray[np.float64]
Batch = dict[str, torch.Tensor]
Collator = Callable[[Sequence[dict[str, Any]]], Batch]


@dataclass(frozen=True)
class Splits:
    """The rows of a task.

    Attributes:
        train, validation, test: what is trained on, chosen on and reported.
        notes: where they come from and what was left out, a sentence each, for the terminal and the card.
        n_synthetic, n_test_synthetic: how many of the training and of the reported rows a program made.
    """

    train: Dataset
    validation: Dataset
    test: Dataset
    notes: tuple[str, ...] = ()
    n_synthetic: int = 0
    n_test_synthetic: int = 0


class Task(ABC):
    """A task with its data.

    Attributes:
        splits: its rows, checked.
        labels: names of the classifier's outputs, in their order.
        n_bootstrap: resamples of each interval.
    """

    problem_type: ClassVar[Literal["single_label_classification", "multi_label_classification"]]
    """Whether the labels exclude each other, as transformers names it."""

    def __init__(self, splits: Splits, labels: Sequence[str], n_bootstrap: int) -> None:
        self.splits = splits
        self.labels = tuple(labels)
        self.n_bootstrap = n_bootstrap

    @abstractmethod
    def targets(self, rows: Dataset) -> torch.Tensor:
        """What the classifier is to say: [N] int64, or [N, K] float32 with NaN where a label is unknown."""

    @abstractmethod
    def collator(self, prepare: Any) -> Collator:
        """Turns rows into a batch of the model's inputs and `labels`; `prepare` is a classifier's preparation.

        It can be pickled, as workers that are not forked need it.
        """

    @abstractmethod
    def score(self, logits: Scores, rows: Dataset) -> float:
        """The number that choosing goes by, of the logits [N, K] of rows."""

    @abstractmethod
    def measure(self, logits: dict[str, Scores]) -> Tree:
        """All numbers from the logits [N, K] of the splits `validation` and `test`, under these names."""

    def training_rows(self, seed: int) -> Dataset:
        """The rows that a seed trains on."""
        return self.splits.train


def first(rows: Dataset, most: int | None) -> Dataset:
    """The first rows of a split; all where `most` is None."""
    return rows if most is None else rows.take(min(most, len(rows)))


def check_ids(rows: Dataset, columns: Sequence[str], place: str) -> None:
    """Refuses rows without the ids by which they are named and grouped.

    Args:
        rows: of a split.
        columns: of ids.
        place: what to call the split.

    Raises:
        ValueError: an id is no text; the row is named.
    """
    for column in columns:
        for number, value in enumerate(rows[column], start=1):
            if not isinstance(value, str):
                raise ValueError(f"{place}: {column} of row {number} is {value!r}; it must be text")


def synthetic_note(synthetic: int, rows: int, what: str, how: str) -> tuple[str, ...]:
    """The sentence that says how many rows are synthetic; none where none is.

    Args:
        synthetic, rows: how many are, and how many there are.
        what: a name for the rows, with that of their split.
        how: how the synthetic ones were made.
    """
    share = "All" if synthetic == rows else f"{synthetic:,}"
    return (f"{share} of the {rows:,} {what} are synthetic: {how}.",) if synthetic else ()


def draw_groups(groups: Iterable[str], share: float, seed: int) -> NDArray[np.bool_]:
    """Draws whole groups until they hold a share of the rows, each group by a hash of its name.

    With the same seed, a larger share has all that a smaller one has; no machine and no order changes the draw.

    Args:
        groups: [N] the group of each row.
        share: of the rows, above 0 and at most 1; at least one group is drawn.
        seed: of the draw.

    Returns:
        [N] which rows are drawn.
    """
    names, of_row, sizes = np.unique(np.array(list(groups)), return_inverse=True, return_counts=True)
    order = sorted(range(len(names)), key=lambda place: hashlib.sha256(f"{seed}\0{names[place]}".encode()).digest())
    before = np.concatenate([[0], np.cumsum(sizes[order])[:-1]])
    drawn = np.zeros(len(names), dtype=bool)
    drawn[np.array(order)[before < share * len(of_row)]] = True
    return drawn[of_row]


def hold_out(rows: Dataset, groups: Sequence[str], share: float) -> tuple[Dataset, Dataset]:
    """Splits rows into what is left to train on and a share of whole groups to choose on, alike in every run.

    Raises:
        ValueError: there are too few groups for both.
    """
    held = draw_groups(groups, share, seed=0)
    if held.all():
        raise ValueError(f"held_out: {len(rows)} training rows are too few to hold {share:g} of them out")
    return rows.select(np.flatnonzero(~held)), rows.select(np.flatnonzero(held))

"""A training split that is read as it comes, from the Hub or from disk, and is never whole on this machine."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import datasets
from datasets.distributed import split_dataset_by_node
from huggingface_hub.errors import HTTPError
from torch.utils.data import IterableDataset

from .errors import InputError

Row = dict[str, Any]


class PairStream(IterableDataset):
    """Rows of a streamed split, in a new order each epoch, for a `DataLoader` with at most one worker.

    A run that is resumed within an epoch reads that epoch's stream again from its start, up to where it was.

    Args:
        rows: the split, as `datasets` streams it.
        length: how many of its rows an epoch has.
    """

    def __init__(self, rows: datasets.IterableDataset, length: int) -> None:
        self._rows = rows
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Row]:
        return islice(read(self._rows), self._length)

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch whose order the next iteration has."""
        self._rows.set_epoch(epoch)

    def select_columns(self, columns: Sequence[str]) -> "PairStream":
        """The same rows with these columns alone."""
        return PairStream(self._rows.select_columns(list(columns)), self._length)

    def share(self, process: int, num_processes: int, *, seed: int, buffer: int) -> "PairStream":
        """The rows of one process: every `num_processes`-th of the order that all of them draw.

        No row goes to two processes, and each has equally many, so that none waits for another at an epoch's end;
        the up to `num_processes` - 1 rows left over are others each epoch. Each process reads the whole stream: its
        shards could be dealt out instead, but one process might then have more rows than another.

        Args:
            process: from 0.
            num_processes: of the run.
            seed: of the order, with the epoch.
            buffer: rows that are held and mixed.

        Raises:
            ValueError: there are fewer rows than processes.
        """
        if self._length < num_processes:
            raise ValueError(f"the training split has {self._length} rows for {num_processes} processes")
        shuffled = self._rows.shuffle(seed=seed, buffer_size=buffer)
        rows = split_dataset_by_node(shuffled, process, num_processes, strategy="examples")
        return PairStream(rows, self._length // num_processes)


def read(rows: datasets.IterableDataset) -> Iterator[Row]:
    """The rows of a stream.

    Raises:
        InputError: the connection or a file failed, after the tries that `datasets` makes.
    """
    try:
        # In a worker of a `DataLoader` the stream's own iterator would draw another order; its batches do not.
        for batch in rows.iter(batch_size=1):
            yield {column: values[0] for column, values in batch.items()}
    except (OSError, HTTPError) as error:
        raise InputError(
            f"data: the stream broke off: {error}; a run that has a checkpoint goes on with --resume auto"
        ) from error


def gather(rows: datasets.IterableDataset) -> datasets.Dataset:
    """All rows of a stream, in memory."""
    return datasets.Dataset.from_list(list(read(rows)), features=rows.features)

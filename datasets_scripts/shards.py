"""The shards of a dataset: rows in, Parquet files out, each finished one remembered for a build that resumes."""

import hashlib
import io
import logging
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import islice
from operator import length_hint
from pathlib import Path
from typing import Any, Literal

from datasets import Features
from datasets.arrow_writer import ParquetWriter
from tqdm.auto import tqdm

from .card import SplitContents
from .image_file import HasFile
from .output_files import writing
from .partial_build import PartialBuild, Shard

UNREADABLE = "image unreadable"

TRAIN = "train"

_ROW_GROUP = 100  # rows that must be read to read one: 1 to 10 MB of radiographs
_IMAGES_AHEAD = 100  # images that are made ahead of the rows that are written

logger = logging.getLogger(__name__)

Row = Mapping[str, Any]
"""A row by column. What is a function is made when the row is written: `image` first, perhaps in another thread.

`image` returns a radiograph of mode L or RGB, and raises OSError (which names the file) when it cannot be read; where
it reads a file, it is an `image_file.HasFile`.
"""


class OtherRecords(Exception):
    """The shards of a build that is taken up are not of these records."""


class NamedFault(OSError):
    """An image that cannot be read, and that was named on standard error already."""


class PlainRows:
    """How what a builder gives becomes the rows of a dataset: here, it gives rows, and `default` is the one config.

    Attributes:
        configs: the names of the dataset's configs, `default` first.
    """

    configs: tuple[str, ...] = ("default",)

    def groups(self, split: str, config: str = "default") -> tuple[str, ...]:
        """The groups of shards that a split of a config is made of; those of `default` are all there are."""
        return (split,)

    def keeps_reports(self, split: str) -> bool:
        """Whether the build remembers which reports the split holds."""
        return False

    def row(self, record: Any) -> Row:
        """What is known of a record before it is written."""
        return record

    def assign(self, split: str, rows: Sequence[Row]) -> list[str]:
        """The group of each of these rows of a split.

        Raises:
            ValueError: a row does not belong into the split.
        """
        return [split] * len(rows)

    def complete(self, rows: Sequence[Row]) -> list[Row]:
        """The rows with all their columns."""
        return list(rows)


@dataclass(frozen=True)
class _PlacedRow:
    """A row on its way into a shard.

    Attributes:
        group: where it goes.
        row: the row.
        position: how many rows of the split end with this one.
        digest: of these rows, and those of the splits before.
    """

    group: "_ShardGroup"
    row: Row
    position: int
    digest: bytes


class ShardWriter:
    """Writes splits, and keeps count.

    Args:
        partial: the folder and memory of the build.
        features: the columns' types.
        rows: what records become.
        num_proc, rows_per_shard, on_unreadable, progress: as `write_dataset` takes them.

    Attributes:
        contents: what was written, by group.
        unreadable: images that were left out.
    """

    def __init__(
        self,
        partial: PartialBuild,
        features: Features,
        rows: PlainRows,
        num_proc: int,
        rows_per_shard: int,
        on_unreadable: Literal["raise", "skip"],
        progress: bool,
    ) -> None:
        self.partial = partial
        self.features = features
        self.rows = rows
        self.num_proc = num_proc
        self.rows_per_shard = rows_per_shard
        self.on_unreadable = on_unreadable
        self.progress = progress
        self.contents: dict[str, SplitContents] = {}
        self.unreadable = 0
        self._digest = b""  # of all rows so far

    def write_splits(self, splits: Mapping[str, Iterable[Any]]) -> None:
        """Write the shards that are not there yet, those of `train` after those of the splits that are evaluated.

        Raises:
            OtherRecords: the shards that are there hold other records than these.
            ValueError, OSError: as `write_dataset`.
        """
        self.contents, self.unreadable, self._digest = {}, 0, b""
        for split in sorted(splits, key=lambda split: split == TRAIN):
            self._write_split(split, splits[split])

    def _write_split(self, split: str, records: Iterable[Any]) -> None:
        """Into the groups of the split as its records come."""
        groups = {
            name: _ShardGroup(name, self.partial, self.features, self.rows_per_shard, self.rows.keeps_reports(split))
            for name in self.rows.groups(split)
        }
        total = length_hint(records, -1)
        hidden = not self.progress or total == 0
        with ExitStack() as stack:
            for group in groups.values():
                stack.callback(group.close)
            bar = stack.enter_context(
                tqdm(total=max(total, 0) or None, desc=f"write {split}", unit="row", disable=hidden)
            )
            for placed, image in self._images(self._place(split, groups, records, bar)):
                bar.update()
                placed.group.reach(placed.position, placed.digest)
                if not isinstance(image, OSError):
                    placed.group.add(_example(placed.row, image))
                elif self.on_unreadable == "skip":
                    placed.group.unreadable += 1
                    if not isinstance(image, NamedFault):
                        with bar.external_write_mode(sys.stderr):  # on a line of its own, not behind the bar
                            logger.warning("left out, %s: %s", UNREADABLE, image)
                else:
                    raise image
            for name, group in groups.items():
                self.contents[name] = group.finish()
                self.unreadable += group.unreadable

    def _place(
        self, split: str, groups: Mapping[str, "_ShardGroup"], records: Iterable[Any], bar: "tqdm[Any]"
    ) -> Iterator[_PlacedRow]:
        """The rows that are not in a finished shard, with all their columns."""
        stream = map(self.rows.row, records)
        position, digest = 0, self._digest
        while block := list(islice(stream, self.rows_per_shard)):
            waiting: list[_PlacedRow] = []
            for row, name in zip(block, self.rows.assign(split, block), strict=True):
                position, digest = position + 1, _digest(digest, row)
                for group in groups.values():
                    group.check_resumed(position, digest)
                if position > groups[name].resumed_after:
                    waiting.append(_PlacedRow(groups[name], row, position, digest))
            bar.update(len(block) - len(waiting))
            whole = self.rows.complete([placed.row for placed in waiting])
            yield from (replace(placed, row=row) for placed, row in zip(waiting, whole, strict=True))
        if any(position < group.resumed_after for group in groups.values()):
            raise OtherRecords
        self._digest = digest

    def _images(self, rows: Iterator[_PlacedRow]) -> Iterator[tuple[_PlacedRow, bytes | OSError | None]]:
        with ThreadPoolExecutor(self.num_proc) as pool:
            while chunk := list(islice(rows, _IMAGES_AHEAD)):
                yield from zip(chunk, pool.map(_encode_image, (placed.row for placed in chunk)), strict=True)


class _ShardGroup:
    """The shards `group-00000.parquet`, ... of a group, of which the first ones may be there already."""

    def __init__(
        self, name: str, partial: PartialBuild, features: Features, rows_per_shard: int, keeps_reports: bool
    ) -> None:
        self.name = name
        self.rows_per_shard = rows_per_shard
        self._partial = partial
        self._shards = partial.shards(name)
        self._features = features
        self._keeps_reports = keeps_reports
        self._writer: ParquetWriter | None = None
        self._reports: set[str] = set()
        last = self._shards[-1] if self._shards else Shard("", 0, 0, 0, 0, 0, b"")
        self.unreadable = last.unreadable
        self.resumed_after = last.records
        self._resumed_digest = last.digest
        self._position, self._digest = last.records, last.digest

    def check_resumed(self, position: int, digest: bytes) -> None:
        """Raises OtherRecords when the rows up to where the finished shards end are not theirs."""
        if position == self.resumed_after and digest != self._resumed_digest:
            raise OtherRecords

    def reach(self, position: int, digest: bytes) -> None:
        """Note that the split's rows up to `position` are used up."""
        self._position, self._digest = position, digest

    def add(self, example: dict[str, Any]) -> None:
        """Add a row; the shard is finished when it is full."""
        if self._writer is None:
            if self._shards and self._shards[-1].rows < self.rows_per_shard:
                raise OtherRecords  # that shard ended its group
            with writing(self._temporary):
                self._writer = ParquetWriter(
                    path=str(self._temporary), features=self._features, writer_batch_size=_ROW_GROUP
                )
            self._rows = 0
        encoded = self._features.encode_example(example)
        with writing(self._temporary):
            self._writer.write(encoded)
        if self._keeps_reports:
            self._reports.add(example["report"])
        self._rows += 1
        if self._rows == self.rows_per_shard:
            self._finish_shard(self._writer)

    def finish(self) -> SplitContents:
        """Finish the last shard.

        Returns:
            What all shards of the group hold.
        """
        if self._writer is not None:
            self._finish_shard(self._writer)
        # The digit keeps train-overlap-* out of the pattern of train-*.
        return SplitContents(
            (f"data/{self.name}-0*.parquet",) if self._shards else (),
            sum(shard.rows for shard in self._shards),
            sum(shard.arrow_bytes for shard in self._shards),
            sum(shard.file_bytes for shard in self._shards),
        )

    def close(self) -> None:
        """Give up a shard that is not finished."""
        if self._writer is not None:
            with writing(self._temporary):
                self._writer.close()

    @property
    def _temporary(self) -> Path:
        return self._partial.folder / f"{self.name}.parquet"

    def _finish_shard(self, writer: ParquetWriter) -> None:
        with writing(self._temporary):
            rows, arrow_bytes = writer.finalize()
            writer.close()
        self._writer = None
        shard = Shard(
            f"{self.name}-{len(self._shards):05d}.parquet",
            rows,
            arrow_bytes,
            self._temporary.stat().st_size,
            self.unreadable,
            self._position,
            self._digest,
        )
        self._partial.add_shard(self.name, shard, self._temporary, self._reports)
        self._shards.append(shard)
        self._reports.clear()


def _example(row: Row, image: bytes | None) -> dict[str, Any]:
    made = {name: value() for name, value in row.items() if callable(value) and name != "image"}
    return {**row, **made} if image is None else {**row, **made, "image": {"bytes": image, "path": None}}


def _encode_image(row: Row) -> bytes | OSError | None:
    """The row's image as PNG, None for a row without one; an OSError is returned: the caller decides what it means."""
    if "image" not in row:
        return None
    try:
        image = row["image"]()
    except OSError as error:
        return error
    if image.mode not in ("L", "RGB"):
        raise ValueError(f"image {row['image_id']} has mode {image.mode}; convert it to L (grey) or RGB, 8 bits")
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def _digest(before: bytes, row: Row) -> bytes:
    """Of a row and those before it; of what is made when it is written, which file that is from."""
    files = {name: value.identity() for name, value in row.items() if callable(value) and isinstance(value, HasFile)}
    stored = [(name, files.get(name, value)) for name, value in row.items() if name in files or not callable(value)]
    return hashlib.sha256(before + repr(stored).encode()).digest()

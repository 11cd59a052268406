"""The shards of a dataset: rows in, Parquet files out, each finished one remembered so that a killed build resumes."""

import hashlib
import io
import logging
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from operator import length_hint
from pathlib import Path
from typing import Any, Literal

from datasets import Features
from datasets.arrow_writer import ParquetWriter
from tqdm.auto import tqdm

from .card import SplitContents
from .partial_build import PartialBuild, Shard
from .perturbations import ReportPerturber
from .schema import CHEXPERT_LABELS, COUNTERFACTUAL_KINDS, Record, features
from .tagging import PartOfSpeechTagger, TaggingProcesses

TRAIN, OVERLAP = "train", "train-overlap"

_ROW_GROUP = 100  # rows that must be read to read one: 1 to 10 MB of radiographs
_IMAGES_AHEAD = 100  # images that are made ahead of the rows that are written

logger = logging.getLogger(__name__)


class OtherRecords(Exception):
    """The shards of a killed build are not of these records."""


@dataclass(frozen=True)
class _Row:
    """A record on its way into a shard of its group.

    Attributes:
        group: where it goes.
        record: the record.
        text: its `tags`, `perturbed` and `changed`.
        position: how many records of the split end with this one.
        digest: of these records.
    """

    group: "_ShardGroup"
    record: Record
    text: dict[str, Any]
    position: int
    digest: bytes


class ShardWriter:
    """Writes the splits, those that are evaluated before `train`, and keeps count.

    Args:
        partial: the folder and memory of the build.
        perturber, tagger: what makes the perturbed reports, and the tags for them.
        num_proc, rows_per_shard, on_unreadable, progress: as `write_dataset` takes them.

    Attributes:
        contents: what was written, by group: a split, or the training pairs whose report an evaluated split holds.
        unreadable: images that were left out.
    """

    def __init__(
        self,
        partial: PartialBuild,
        perturber: ReportPerturber,
        tagger: PartOfSpeechTagger | TaggingProcesses,
        num_proc: int,
        rows_per_shard: int,
        on_unreadable: Literal["raise", "skip"],
        progress: bool,
    ) -> None:
        self.partial = partial
        self.perturber = perturber
        self.tagger = tagger
        self.num_proc = num_proc
        self.rows_per_shard = rows_per_shard
        self.on_unreadable = on_unreadable
        self.progress = progress
        self.contents: dict[str, SplitContents] = {}
        self.unreadable = 0

    def write_split(self, split: str, records: Iterable[Record]) -> None:
        """Write the shards of a split that are not there yet; for `train`, into its two groups as its records come.

        Raises:
            OtherRecords: the shards that are there hold other records than these.
            ValueError, OSError: as `write_dataset`.
        """
        groups = {
            name: _ShardGroup(name, self.partial, self.rows_per_shard)
            for name in ((TRAIN, OVERLAP) if split == TRAIN else (split,))
        }
        total = length_hint(records, -1)
        hidden = not self.progress or total == 0
        with ExitStack() as stack:
            for group in groups.values():
                stack.callback(group.close)
            bar = stack.enter_context(
                tqdm(total=max(total, 0) or None, desc=f"write {split}", unit="image", disable=hidden)
            )
            for row, image in self._images(self._rows(split, groups, records, bar)):
                bar.update()
                row.group.reach(row.position, row.digest)
                if isinstance(image, bytes):
                    row.group.add(_example(row, image))
                elif self.on_unreadable == "skip":
                    row.group.unreadable += 1
                    with bar.external_write_mode(sys.stderr):  # on a line of its own, not behind the bar
                        logger.warning("left out, image unreadable: %s", image)
                else:
                    raise image
            for name, group in groups.items():
                self.contents[name] = group.finish()
                self.unreadable += group.unreadable

    def _rows(
        self, split: str, groups: dict[str, "_ShardGroup"], records: Iterable[Record], bar: "tqdm[Any]"
    ) -> Iterator[_Row]:
        """The rows that are not in a finished shard."""
        stream = iter(records)
        position, digest = 0, b""
        while block := list(islice(stream, self.rows_per_shard)):
            self.partial.check_studies(split, dict.fromkeys(record.study_id for record in block))
            waiting: list[tuple[_ShardGroup, Record, int, bytes]] = []
            for record in block:
                position, digest = position + 1, _digest(digest, record)
                for group in groups.values():
                    group.check_resumed(position, digest)
                overlaps = split == TRAIN and self.partial.is_evaluated(record.report)
                group = groups[OVERLAP if overlaps else split]
                if position > group.resumed_after:
                    waiting.append((group, record, position, digest))
            bar.update(len(block) - len(waiting))
            texts = self._perturb({record.report for _, record, _, _ in waiting})
            for group, record, position_of_row, digest_of_row in waiting:
                yield _Row(group, record, texts[record.report], position_of_row, digest_of_row)
        if any(position < group.resumed_after for group in groups.values()):
            raise OtherRecords

    def _perturb(self, reports: set[str]) -> dict[str, dict[str, Any]]:
        """The columns that follow from each report; tagged are only those that never were."""
        known = {report: self.partial.tags(report) for report in sorted(reports)}
        new = [report for report, tags in known.items() if tags is None]
        tagged = dict(zip(new, self.tagger.tag(report.split() for report in new), strict=True))
        self.partial.add_tags(tagged.items())
        return {report: self._text(report, tags or tagged[report]) for report, tags in known.items()}

    def _text(self, report: str, tags: list[str]) -> dict[str, Any]:
        perturbed = self.perturber.perturb_tagged(report, tags)
        changed = {name: text != report for name, text in perturbed.items()}
        return {"tags": " ".join(tags), "perturbed": perturbed, "changed": changed}

    def _images(self, rows: Iterator[_Row]) -> Iterator[tuple[_Row, bytes | OSError]]:
        with ThreadPoolExecutor(self.num_proc) as pool:
            while chunk := list(islice(rows, _IMAGES_AHEAD)):
                yield from zip(chunk, pool.map(_encode_image, (row.record for row in chunk)), strict=True)


class _ShardGroup:
    """The shards `group-00000.parquet`, ... of a group, of which the first ones may be there already."""

    def __init__(self, name: str, partial: PartialBuild, rows_per_shard: int) -> None:
        self.name = name
        self.rows_per_shard = rows_per_shard
        self._partial = partial
        self._shards = partial.shards(name)
        self._features: Features = features()
        self._writer: ParquetWriter | None = None
        self._reports: set[str] = set()
        last = self._shards[-1] if self._shards else Shard("", 0, 0, 0, 0, 0, b"")
        self.unreadable = last.unreadable
        self.resumed_after = last.records
        self._resumed_digest = last.digest
        self._position, self._digest = last.records, last.digest

    def check_resumed(self, position: int, digest: bytes) -> None:
        """Raises OtherRecords when the records up to where the finished shards end are not theirs."""
        if position == self.resumed_after and digest != self._resumed_digest:
            raise OtherRecords

    def reach(self, position: int, digest: bytes) -> None:
        """Note that the split's records up to `position` are used up."""
        self._position, self._digest = position, digest

    def add(self, example: dict[str, Any]) -> None:
        """Add a row; the shard is finished when it is full."""
        if self._writer is None:
            if self._shards and self._shards[-1].rows < self.rows_per_shard:
                raise OtherRecords  # that shard ended its group
            self._writer = ParquetWriter(
                path=str(self._temporary), features=self._features, writer_batch_size=_ROW_GROUP
            )
            self._rows = 0
        self._writer.write(self._features.encode_example(example))
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
            self._writer.close()

    @property
    def _temporary(self) -> Path:
        return self._partial.folder / f"{self.name}.parquet"

    def _finish_shard(self, writer: ParquetWriter) -> None:
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
        is_train = self.name in (TRAIN, OVERLAP)
        self._partial.add_shard(self.name, shard, self._temporary, () if is_train else self._reports)
        self._shards.append(shard)
        self._reports.clear()


def _example(row: _Row, image: bytes) -> dict[str, Any]:
    record = row.record
    boxes = record.boxes() if callable(record.boxes) else record.boxes
    return {
        "image": {"bytes": image, "path": None},
        "image_id": record.image_id,
        "study_id": record.study_id,
        "synthetic": record.synthetic,
        "report": record.report,
        "findings": record.findings,
        "impression": record.impression,
        **row.text,
        "counterfactual": {
            kind: vars(record.counterfactuals[kind]) if kind in record.counterfactuals else None
            for kind in COUNTERFACTUAL_KINDS
        },
        "labels": {name: record.labels.get(name) for name in CHEXPERT_LABELS},
        "boxes": [vars(box) for box in boxes],
    }


def _encode_image(record: Record) -> bytes | OSError:
    """The record's image as PNG; an OSError is returned, since the caller decides what it means."""
    try:
        image = record.image()
    except OSError as error:
        return error
    if image.mode not in ("L", "RGB"):
        raise ValueError(f"image {record.image_id} has mode {image.mode}; convert it to L (grey) or RGB, 8 bits")
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def _digest(before: bytes, record: Record) -> bytes:
    """Of a record and those before it; of its image and boxes only the id, for they are not made yet."""
    stored = (
        record.image_id,
        record.study_id,
        record.synthetic,
        record.findings,
        record.impression,
        record.report,
        sorted(record.labels.items()),
        sorted((kind, *vars(edit).values()) for kind, edit in record.counterfactuals.items()),
    )
    return hashlib.sha256(before + repr(stored).encode()).digest()

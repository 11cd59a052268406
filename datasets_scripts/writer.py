"""Records in, a perturbed-pairs dataset out: Parquet shards and a card that `datasets.load_dataset` reads."""

import io
import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from datasets import Features
from datasets.arrow_writer import ParquetWriter
from tqdm.auto import tqdm

from .card import MARKER, DatasetInfo, SplitContents, render_card, render_summary
from .perturbations import ReportPerturber
from .schema import Record, features

UNREADABLE = "image unreadable"

_ROW_GROUP = 100  # rows that must be read to read one: 1 to 10 MB of radiographs
_TRAIN, _OVERLAP = "train", "train-overlap"

logger = logging.getLogger(__name__)


def write_dataset(
    out: Path,
    splits: Mapping[str, Sequence[Record]],
    info: DatasetInfo,
    perturber: ReportPerturber,
    *,
    num_proc: int = 1,
    rows_per_shard: int = 1000,
    overwrite: bool = False,
    on_unreadable: Literal["raise", "skip"] = "raise",
    progress: bool = True,
) -> None:
    """Write a dataset that `datasets.load_dataset(str(out))` reads, with the configs `default` and `strict`.

    The folder is written beside `out` and moved to it when it is whole; two runs give the same bytes. A split that
    ends without rows is not listed in the card, which says so.

    Args:
        out: the folder to make.
        splits: the records of each split, in the order in which the card lists them; `train` and others.
        info: what the card says.
        perturber: makes the perturbed reports, each distinct report once.
        num_proc: processes of the perturber, and threads that draw or read images.
        rows_per_shard: rows of a Parquet file.
        overwrite: replace `out` where it is a dataset that this function wrote.
        on_unreadable: `skip` leaves out a pair whose image raises OSError, logs it and counts it under `UNREADABLE`.
        progress: show progress bars on standard error, and a summary on standard output.

    Raises:
        ValueError: no row to write; `rows_per_shard` or `num_proc` below 1; an image of a mode other than L and RGB;
            a study in two splits.
        FileExistsError: `out` is not empty, and `overwrite` is off or `out` is no dataset of ours.
        OSError: an image cannot be read, under `on_unreadable="raise"`.
    """
    if rows_per_shard < 1 or num_proc < 1:
        raise ValueError(f"rows_per_shard and num_proc must be at least 1, not {rows_per_shard} and {num_proc}")
    out = out.resolve()
    check_replaceable(out, overwrite)
    _check_studies(splits)
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.", suffix=".partial") as scratch:
        whole = Path(scratch) / "whole"
        shards = _ShardWriter(whole / "data", num_proc, rows_per_shard, on_unreadable, progress)
        shards.perturb(splits, perturber)
        contents = shards.write(splits)
        info = _with_outcome(info, splits, contents, shards.unreadable)
        if not contents["default"]:
            raise ValueError(f"no pair to write to {out}: {_reasons(info.left_out)}")
        card = render_card(info, contents, perturber.tagger, perturber.seed)
        (whole / "README.md").write_text(card, encoding="utf-8")
        _move_into_place(whole, out)
    if progress:
        print(render_summary(info, contents))


class _ShardWriter:
    """Writes the shards of every split into one folder, and keeps count."""

    def __init__(
        self, folder: Path, num_proc: int, rows_per_shard: int, on_unreadable: Literal["raise", "skip"], progress: bool
    ) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.num_proc = num_proc
        self.rows_per_shard = rows_per_shard
        self.on_unreadable = on_unreadable
        self.progress = progress
        self.features: Features = features()
        self.perturbed: dict[str, dict[str, str]] = {}
        self.unreadable = 0

    def perturb(self, splits: Mapping[str, Sequence[Record]], perturber: ReportPerturber) -> None:
        """Perturb each distinct report once."""
        reports = list(dict.fromkeys(record.report for records in splits.values() for record in records))
        results = perturber.perturb_batch(reports, num_proc=self.num_proc)
        bar = tqdm(results, "perturb reports", len(reports), unit="report", disable=not self.progress)
        self.perturbed = dict(zip(reports, bar, strict=True))

    def write(self, splits: Mapping[str, Sequence[Record]]) -> dict[str, dict[str, SplitContents]]:
        """Write all shards; training last, for its overlap counts only reports that were written to another split."""
        evaluated: set[str] = set()
        groups: dict[str, SplitContents] = {}
        for name, records in splits.items():
            if name != _TRAIN:
                groups[name] = self._write_group(name, records, evaluated)
        train = splits.get(_TRAIN, ())
        seen = [record for record in train if record.report in evaluated]
        unseen = [record for record in train if record.report not in evaluated]
        groups[_TRAIN] = self._write_group(_TRAIN, unseen)
        groups[_OVERLAP] = self._write_group(_OVERLAP, seen)
        strict = {name: groups[name] for name in splits if groups[name].rows}
        merged = {**groups, _TRAIN: _joined(groups[_TRAIN], groups[_OVERLAP])}
        return {"default": {name: merged[name] for name in splits if merged[name].rows}, "strict": strict}

    def _write_group(self, group: str, records: Sequence[Record], written: set[str] | None = None) -> SplitContents:
        """Write the shards `group-00000.parquet`, ...; add the reports of the rows to `written`."""
        rows = arrow_bytes = file_bytes = 0
        examples = self._examples(group, records)
        while (first := next(examples, None)) is not None:
            path = self.folder / f"{group}-{rows // self.rows_per_shard:05d}.parquet"
            with ParquetWriter(path=str(path), features=self.features, writer_batch_size=_ROW_GROUP) as writer:
                for example in chain([first], islice(examples, self.rows_per_shard - 1)):
                    writer.write(self.features.encode_example(example))
                    if written is not None:
                        written.add(example["report"])
                shard_rows, shard_bytes = writer.finalize()
            rows += shard_rows
            arrow_bytes += shard_bytes
            file_bytes += path.stat().st_size
        # The digit keeps train-overlap-* out of the pattern of train-*.
        return SplitContents((f"data/{group}-0*.parquet",) if rows else (), rows, arrow_bytes, file_bytes)

    def _examples(self, group: str, records: Sequence[Record]) -> Iterator[dict[str, Any]]:
        bar = tqdm(total=len(records), desc=f"write {group}", unit="image", disable=not self.progress or not records)
        with bar:
            for record, image in self._images(records):
                bar.update()
                if isinstance(image, bytes):
                    yield self._example(record, image)
                elif self.on_unreadable == "skip":
                    self.unreadable += 1
                    with bar.external_write_mode(sys.stderr):  # on a line of its own, not behind the bar
                        logger.warning("left out, image unreadable: %s", image)
                else:
                    raise image

    def _images(self, records: Sequence[Record]) -> Iterator[tuple[Record, bytes | OSError]]:
        with ThreadPoolExecutor(self.num_proc) as pool:
            for start in range(0, len(records), _ROW_GROUP):
                chunk = records[start : start + _ROW_GROUP]  # no more images than these wait in memory
                yield from zip(chunk, pool.map(_encode_image, chunk), strict=True)

    def _example(self, record: Record, image: bytes) -> dict[str, Any]:
        perturbed = self.perturbed[record.report]
        return {
            "image": {"bytes": image, "path": None},
            "image_id": record.image_id,
            "study_id": record.study_id,
            "synthetic": record.synthetic,
            "report": record.report,
            "findings": record.findings,
            "impression": record.impression,
            "perturbed": perturbed,
            "changed": {name: text != record.report for name, text in perturbed.items()},
            "counterfactual": {
                kind: vars(record.counterfactuals[kind]) if kind in record.counterfactuals else None
                for kind in self.features["counterfactual"]
            },
            "labels": {name: record.labels.get(name) for name in self.features["labels"]},
            "boxes": [vars(box) for box in record.boxes],
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


def _joined(first: SplitContents, second: SplitContents) -> SplitContents:
    return SplitContents(
        (*first.patterns, *second.patterns),
        first.rows + second.rows,
        first.arrow_bytes + second.arrow_bytes,
        first.file_bytes + second.file_bytes,
    )


def _with_outcome(
    info: DatasetInfo,
    splits: Mapping[str, Sequence[Record]],
    contents: Mapping[str, Mapping[str, SplitContents]],
    unreadable: int,
) -> DatasetInfo:
    """Add what only writing tells: images that could not be read, and splits that ended without rows."""
    left_out = {**info.left_out, UNREADABLE: unreadable} if unreadable else info.left_out
    missing = [
        f"Split `{name}` has no pair"
        + (f" in `{config}`" if name in contents["default"] else "")
        + ": it is not listed."
        for name in splits
        for config in contents
        if name not in contents[config] and (config == "default" or name in contents["default"])
    ]
    return replace(info, left_out=left_out, notes=(*info.notes, *missing))


def _reasons(left_out: Mapping[str, int]) -> str:
    return (
        ", ".join(f"{count} left out ({reason})" for reason, count in left_out.items() if count) or "no record given"
    )


def _check_studies(splits: Mapping[str, Sequence[Record]]) -> None:
    split_of: dict[str, str] = {}
    for name, records in splits.items():
        for record in records:
            if split_of.setdefault(record.study_id, name) != name:
                raise ValueError(
                    f"study {record.study_id} is in the splits {split_of[record.study_id]} and {name}; "
                    "put all images of a study into one"
                )


def check_replaceable(out: Path, overwrite: bool) -> None:
    """Raises FileExistsError where `write_dataset` would: for builders, before their work."""
    if out.is_file():
        raise FileExistsError(f"{out} is a file; name a folder to write to")
    if not out.exists() or not any(out.iterdir()):
        return
    card = out / "README.md"
    ours = card.is_file() and MARKER in card.read_text(encoding="utf-8", errors="replace")
    if not ours:
        raise FileExistsError(f"{out} is not empty and no dataset written by datasets_scripts; name another folder")
    if not overwrite:
        raise FileExistsError(f"{out} already holds a dataset; pass --overwrite to replace it, or name another folder")


def _move_into_place(whole: Path, out: Path) -> None:
    """Put the whole folder at `out`; what stood there goes into the scratch folder, to be removed with it."""
    replaced = whole.with_name("replaced")
    if out.exists():
        os.replace(out, replaced)
    try:
        os.replace(whole, out)
    except OSError:
        if replaced.exists():
            os.replace(replaced, out)
        raise

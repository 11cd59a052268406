"""Your own image-report pairs, from a CSV, JSONL or Parquet table, as a perturbed-pairs dataset.

A row that cannot be used is left out, named on standard error as `row N: REASON: FILE` (N counts the data rows from 1;
an indented line may follow and say more) and counted in the card. The exit status is 0 if pairs were built, whatever
was left out, and 2 if none was or if the table, a column or a folder cannot be used.
"""

import argparse
import hashlib
import os
from array import array
from collections import Counter
from collections.abc import Container, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from .build_arguments import add_image_size, add_perturbing, check_image_size
from .perturbations import ReportPerturber
from .report_counterfactuals import ReportEditor
from .schema import Record
from .table_card import classes_note, describe, few_studies_note
from .table_files import TableRow, read_table, table_columns
from .table_images import RowImage, is_readable, log_fault
from .table_rows import SPLITS, Layout, Pair, RowFault, bad_label, check_image_file, label_columns, read_pair
from .writer import check_replaceable, write_dataset

DUPLICATE = "duplicate of a row already built"
STUDY_SPLIT = "study is in another split already"

_LEFT_OUT = -1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `build table`."""
    parser.add_argument("--table", type=Path, required=True, help="a .csv, .jsonl or .parquet file, UTF-8")
    parser.add_argument(
        "--image_column",
        required=True,
        help="column with the path of the image's file, which is DICOM, PNG, JPEG, TIFF, BMP or WebP",
    )
    parser.add_argument(
        "--report_column", required=True, help="column with the report (up to 5,000 words and 100,000 characters)"
    )
    parser.add_argument(
        "--image_root", type=Path, required=True, help="folder under which all images are; paths start from it"
    )
    parser.add_argument("--out", type=Path, required=True, help="the folder to make")
    parser.add_argument(
        "--id_column", help="column with the image's id; a row whose id was built already is left out as a duplicate "
        "(default: path and row number, so that no row is one)"
    )  # fmt: skip
    parser.add_argument("--study_column", help="column with the study, which stays in one split (default: the path)")
    parser.add_argument("--split_column", help=f"column with {', '.join(SPLITS)} (also val, valid, validate, dev)")
    parser.add_argument("--label_column", help="column with the image's class; one of CheXpert's names (no_finding) "
                        "is a label, any other class none")  # fmt: skip
    labels = parser.add_mutually_exclusive_group()
    labels.add_argument("--labels_prefix", help="what stands before CheXpert's names in the label columns (default: "
                        "nothing; every column with the name of a label is one)")  # fmt: skip
    labels.add_argument("--no_labels", action="store_true",
                        help="take no column for a label because of its name")  # fmt: skip
    parser.add_argument(
        "--validation", type=float, default=0.1, help="share of the studies, without a split column (default 0.1); "
        "from 0 to less than 1; above 0, at least one study of two"
    )  # fmt: skip
    add_image_size(parser)
    parser.add_argument(
        "--licence", default="unknown", help="of the data, as the Hugging Face Hub names it; `other`: its terms decide"
    )  # fmt: skip
    parser.add_argument("--synthetic", action="store_true", help="the images were generated, not taken of patients")
    add_perturbing(parser, "splits, perturbations and counterfactuals")
    parser.add_argument("--overwrite", action="store_true", help="replace the dataset in --out")


def run(args: argparse.Namespace) -> None:
    """Build the dataset.

    Raises:
        ValueError, OSError: no row can be used, or something is wrong with what was given; the message says what.
    """
    check_image_size(args.image_size)
    if not 0 <= args.validation < 1:
        raise ValueError(f"--validation must be a share from 0 to less than 1, not {args.validation}")
    check_replaceable(args.out, args.overwrite)
    table = Table(args.table, layout_of(args), args.image_size, args.validation, args.seed, args.synthetic)
    left_out = table.scan()
    splits = table.splits()
    if not splits:
        reasons = ", ".join(f"{count} {reason}" for reason, count in left_out.items()) or "it has no row"
        bad_labels = left_out.keys() & map(bad_label, table.layout.labels.values())
        hint = "; --no_labels leaves columns with the name of a label alone" if bad_labels else ""
        raise ValueError(f"no row of {args.table} can be used: {reasons}{hint}")
    write_dataset(
        args.out,
        splits,
        describe(args, table.layout, left_out, table.notes),
        ReportPerturber(seed=args.seed, spacy_model=args.spacy_model),
        num_proc=args.num_proc,
        overwrite=args.overwrite,
        on_unreadable="skip",
    )


def layout_of(args: argparse.Namespace) -> Layout:
    """The meaning of the columns that the arguments name.

    Raises:
        ValueError, OSError: the table cannot be read, or lacks a column; the image root is no folder.
    """
    columns = table_columns(args.table)
    named = {
        f"--{name}": getattr(args, name)
        for name in ("image_column", "report_column", "id_column", "study_column", "split_column", "label_column")
    }
    for flag, column in named.items():
        if column is not None and column not in columns:
            raise ValueError(
                f"{args.table} has no column {column!r} ({flag}); its columns are {', '.join(map(repr, columns))}"
            )
        if columns.count(column) > 1:
            raise ValueError(f"{args.table} has two columns {column!r} ({flag}); rename one")
    others = [column for column in columns if column not in named.values()]
    return Layout(
        root=_image_root(args.image_root),
        image=args.image_column,
        report=args.report_column,
        image_id=args.id_column,
        study=args.study_column,
        split=args.split_column,
        label=args.label_column,
        labels={} if args.no_labels else label_columns(others, args.labels_prefix),
    )


def _image_root(folder: Path) -> Path:
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} (--image_root) is no folder; give the one that holds the images")
    # abspath keeps the links that absolute paths of the table may go through, but takes `LINK/..` for no step at all.
    return Path(os.path.realpath(folder) if ".." in folder.parts else os.path.abspath(folder))


class Table:
    """A table's rows, sorted into splits; the rows are read again whenever they are needed.

    Kept are a byte a row (8 more while few studies are shared out), the values of a label column that are no label,
    and, with an id or a split column, all ids and studies.

    Args:
        path: the table.
        layout: what its columns mean.
        image_size: shorter side of the stored images, in pixels; 0 for full size.
        validation: share of the studies that goes to validation where there is no split column.
        seed: of that choice, and of the counterfactuals.
        synthetic: whether the images were generated.

    Attributes:
        notes: what the card should say of the rows, after `scan`.
    """

    def __init__(
        self, path: Path, layout: Layout, image_size: int, validation: float, seed: int, synthetic: bool
    ) -> None:
        self.path = path
        self.layout = layout
        self.image_size = image_size
        self.validation = validation
        self.seed = seed
        self.synthetic = synthetic
        self.notes: list[str] = []
        self._split_of_row = array("b")
        self._repeated_ids: set[str] = set()
        self._torn_studies: set[str] = set()
        self._taken: set[str] = set()
        self._split_of_study: dict[str, int] = {}
        self._damaged: list[tuple[int, str]] = []
        self._other_classes: Counter[str] = Counter()

    def scan(self) -> dict[str, int]:
        """Judge every row: name the faults on standard error, and find each good row's split.

        A damaged image shows only when it is read, so that `write_dataset` leaves it out. Rows that share an id are
        the exception, and those of a study of two splits: the first one that is built decides about the others, so
        their images are read here.

        Returns:
            Fault to rows that have it.
        """
        left_out: Counter[str] = Counter()
        if self.layout.image_id is not None or self.layout.split is not None:
            self._find_contested()
        for row in tqdm(self._rows(), "check rows", unit="row", disable=None):
            try:
                self._split_of_row.append(self._judge(row))
            except RowFault as fault:
                reason = str(fault)
                left_out[reason] += 1
                log_fault(row.number, reason, row.cells.get(self.layout.image, "").strip() or self.path.name)
                self._split_of_row.append(_LEFT_OUT)
        for number, study_id in self._damaged:  # for the writer, which takes no study of two splits
            split = self._split_of_row[number - 1]
            self._split_of_row[number - 1] = self._split_of_study.setdefault(study_id, split)
        if self.layout.split is None and self.validation > 0:
            self._share_few_studies()
        if self._other_classes:
            self.notes.append(classes_note(self.layout, self._other_classes))
        return dict(left_out)

    def splits(self) -> dict[str, "SplitRecords"]:
        """The records of every split that has rows."""
        counts = Counter(self._split_of_row)
        return {name: SplitRecords(self, index, counts[index]) for index, name in enumerate(SPLITS) if counts[index]}

    def records(self, split_index: int) -> Iterator[Record]:
        """The records of one split, in the table's order.

        Raises:
            ValueError: the table has changed since `scan`.
        """
        for row, pair in self._pairs((split_index,)):
            yield Record(
                image_id=pair.image_id,
                study_id=pair.study_id,
                report=pair.report,
                findings=pair.findings,
                impression="",
                image=RowImage(row.number, pair.path, self.image_size, row.cells[self.layout.image]),
                synthetic=self.synthetic,
                counterfactuals=self._editor.edit(pair.findings, pair.report, pair.study_id),
                labels=pair.labels,
            )

    @cached_property
    def _editor(self) -> ReportEditor:
        return ReportEditor(self.seed)

    def _rows(self) -> Iterator[TableRow]:
        return read_table(self.path, self.layout.columns, self.layout.report)

    def _pairs(self, splits: Container[int]) -> Iterator[tuple[TableRow, Pair]]:
        """The rows of these splits, read again."""
        changed = ValueError(f"{self.path} has changed since its rows were checked; run the build again")
        for row, split in zip_longest(self._rows(), self._split_of_row):
            if row is None or split is None:
                raise changed
            if split in splits:
                try:
                    yield row, read_pair(row, self.layout)
                except RowFault as fault:
                    raise changed from fault

    def _find_contested(self) -> None:
        """Find the ids of several rows, and the studies of several splits."""
        ids: set[str] = set()
        split_of_study: dict[str, str] = {}
        for row in tqdm(self._rows(), "find repeated ids and studies", unit="row", disable=None):
            with suppress(RowFault):
                pair = read_pair(row, self.layout)
                if self.layout.image_id is not None:
                    (self._repeated_ids if pair.image_id in ids else ids).add(pair.image_id)
                if pair.split and split_of_study.setdefault(pair.study_id, pair.split) != pair.split:
                    self._torn_studies.add(pair.study_id)

    def _judge(self, row: TableRow) -> int:
        """The split of a row; of one whose image is damaged too, which the writer will leave out."""
        pair = read_pair(row, self.layout)
        check_image_file(pair.path)
        split = SPLITS.index(pair.split or self._split_by_hash(pair.study_id))
        if pair.image_id in self._repeated_ids or pair.study_id in self._torn_studies:
            if not is_readable(pair.path):
                self._damaged.append((row.number, pair.study_id))
                return split
            if pair.image_id in self._taken:
                raise RowFault(DUPLICATE)
            if self._split_of_study.setdefault(pair.study_id, split) != split:
                raise RowFault(STUDY_SPLIT)
            self._taken.add(pair.image_id)
        if pair.other_class:
            self._other_classes[pair.other_class] += 1
        return split

    def _share_few_studies(self) -> None:
        """Where the hash left training or validation without an image, part the studies anew, by their order in it.

        A damaged image is none: of every study, images are read until one is good.
        """
        train, validation = both = SPLITS.index("train"), SPLITS.index("validation")
        if all(self._has_readable(split) for split in both):
            return
        hashes = np.fromiter((self._hash(pair.study_id) for _, pair in self._pairs(both)), np.uint64)
        if len(np.unique(hashes)) < 2:  # before any image is read
            return
        studies = np.array(sorted(self._readable_studies(both)), np.uint64)
        if len(studies) < 2:
            return
        share = min(max(1, round(self.validation * len(studies))), len(studies) - 1)
        split_of_row = np.frombuffer(self._split_of_row, np.int8)
        split_of_row[split_of_row != _LEFT_OUT] = np.where(hashes <= studies[share - 1], validation, train)
        self.notes.append(few_studies_note(share, len(studies)))

    def _has_readable(self, split: int) -> bool:
        return split in self._split_of_row and any(is_readable(pair.path) for _, pair in self._pairs((split,)))

    def _readable_studies(self, splits: Container[int]) -> set[int]:
        """The hashes of the studies of which an image can be read."""
        readable: set[int] = set()
        for _, pair in tqdm(self._pairs(splits), "check images of few studies", unit="row", disable=None):
            study = self._hash(pair.study_id)
            if study not in readable and is_readable(pair.path):
                readable.add(study)
        return readable

    def _split_by_hash(self, study_id: str) -> str:
        return "validation" if self._hash(study_id) < self.validation * 2**64 else "train"

    def _hash(self, study_id: str) -> int:
        digest = hashlib.sha256(f"table\0{self.seed}\0{study_id}".encode()).digest()
        return int.from_bytes(digest[:8])


@dataclass(frozen=True)
class SplitRecords:
    """The records of a split: made anew from the table in every iteration."""

    table: Table
    split_index: int
    count: int

    def __iter__(self) -> Iterator[Record]:
        return self.table.records(self.split_index)

    def __len__(self) -> int:
        return self.count

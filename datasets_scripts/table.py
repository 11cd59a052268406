"""Your own image-report pairs, from a CSV, JSONL or Parquet table, as a perturbed-pairs dataset.

A row that cannot be used is left out, named on standard error as `row N: REASON: FILE` (N counts the data rows from 1)
and counted in the card. The exit status is 0 if pairs were built, whatever was left out, and 2 if none was or if the
table, a column or a folder cannot be used.
"""

import argparse
import hashlib
import sys
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from PIL import Image
from tqdm.auto import tqdm

from .build_arguments import add_image_size, add_perturbing, check_image_size
from .perturbations import ReportPerturber
from .radiographs import load_radiograph
from .report_counterfactuals import ReportEditor
from .schema import Record
from .shards import NamedFault
from .table_card import describe
from .table_files import TableRow, read_table, table_columns
from .table_rows import SPLITS, Layout, Pair, RowFault, check_image_file, label_columns, read_pair
from .writer import UNREADABLE, check_replaceable, write_dataset

DUPLICATE = "duplicate of a row already built"
STUDY_SPLIT = "study is in another split already"

_LEFT_OUT = -1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `build table`."""
    parser.add_argument("--table", type=Path, required=True, help="a .csv, .jsonl or .parquet file, UTF-8")
    parser.add_argument("--image_column", required=True, help="column with the image's path: PNG, JPEG, TIFF or DICOM")
    parser.add_argument("--report_column", required=True, help="column with the report (up to 5,000 words)")
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
    parser.add_argument("--labels_prefix", help="what stands before CheXpert's names in the label columns (default: "
                        "nothing; every column with the name of a label is one)")  # fmt: skip
    parser.add_argument(
        "--validation", type=float, default=0.1, help="share of the studies, without a split column (default 0.1)"
    )
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
        raise ValueError(f"no row of {args.table} can be used: {reasons}")
    write_dataset(
        args.out,
        splits,
        describe(args, table.layout, left_out),
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
        for name in ("image_column", "report_column", "id_column", "study_column", "split_column")
    }
    for flag, column in named.items():
        if column is not None and column not in columns:
            raise ValueError(
                f"{args.table} has no column {column!r} ({flag}); its columns are {', '.join(map(repr, columns))}"
            )
    if not args.image_root.is_dir():
        raise FileNotFoundError(f"{args.image_root} (--image_root) is no folder; give the one that holds the images")
    others = [column for column in columns if column not in named.values()]
    labels = label_columns(others, args.labels_prefix)
    return Layout(
        root=args.image_root.absolute(),
        image=args.image_column,
        report=args.report_column,
        image_id=args.id_column,
        study=args.study_column,
        split=args.split_column,
        labels=labels,
    )


class Table:
    """A table's rows, sorted into splits: one byte a row is kept, the rows are read again whenever they are needed.

    Args:
        path: the table.
        layout: what its columns mean.
        image_size: shorter side of the stored images, in pixels; 0 for full size.
        validation: share of the studies that goes to validation where there is no split column.
        seed: of that choice, and of the counterfactuals.
        synthetic: whether the images were generated.
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
        self._split_of_row = array("b")
        self._study_split: dict[str, str] = {}
        self._taken: set[str] = set()

    def scan(self) -> dict[str, int]:
        """Judge every row: name the faults on standard error, and find each good row's split.

        A damaged image shows only when it is read, so that `write_dataset` leaves it out. Rows that share an id are
        the exception: whether one is a duplicate depends on the earlier one's image, so their images are read here.

        Returns:
            Fault to rows that have it.
        """
        left_out: Counter[str] = Counter()
        repeated = self._repeated_ids()
        for row in tqdm(self._rows(), "check rows", unit="row", disable=None):
            try:
                split = self._judge(row, repeated)
            except RowFault as fault:
                reason = str(fault)
                left_out[reason] += 1
                log_fault(row.number, reason, row.cells.get(self.layout.image, "").strip() or self.path.name)
                self._split_of_row.append(_LEFT_OUT)
            else:
                self._split_of_row.append(SPLITS.index(split))
        return dict(left_out)

    def splits(self) -> dict[str, "SplitRecords"]:
        """The records of every split that has rows."""
        counts = Counter(self._split_of_row)
        return {name: SplitRecords(self, index, counts[index]) for index, name in enumerate(SPLITS) if counts[index]}

    def records(self, split_index: int) -> Iterator[Record]:
        """The records of one split, in the table's order."""
        for row, index in zip(self._rows(), self._split_of_row, strict=True):
            if index == split_index:
                pair = read_pair(row, self.layout)
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
        return read_table(self.path, self.layout.columns)

    def _repeated_ids(self) -> set[str]:
        column = self.layout.image_id
        if column is None:
            return set()
        seen: set[str] = set()
        repeated: set[str] = set()
        for row in read_table(self.path, [column]):
            image_id = row.cells.get(column, "").strip()
            (repeated if image_id in seen else seen).add(image_id)
        return repeated

    def _judge(self, row: TableRow, repeated: set[str]) -> str:
        """The split of a row; of one whose image is damaged too, which the writer will leave out."""
        pair = read_pair(row, self.layout)
        check_image_file(pair.path)
        holds_id = pair.image_id in repeated and _is_readable(pair.path)
        if holds_id and pair.image_id in self._taken:
            raise RowFault(DUPLICATE)
        split = pair.split or self._split_by_hash(pair)
        if pair.split and self._study_split.setdefault(pair.study_id, split) != split:
            raise RowFault(STUDY_SPLIT)
        if holds_id:
            self._taken.add(pair.image_id)
        return split

    def _split_by_hash(self, pair: Pair) -> str:
        digest = hashlib.sha256(f"table\0{self.seed}\0{pair.study_id}".encode()).digest()
        return "validation" if int.from_bytes(digest[:8]) < self.validation * 2**64 else "train"


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


@dataclass(frozen=True)
class RowImage:
    """Reads a row's image when the writer asks for it, and names the row if it cannot be read: the writer does not."""

    number: int
    path: Path
    image_size: int
    name: str

    def __call__(self) -> Image.Image:
        """Raises NamedFault: the file is damaged."""
        try:
            return load_radiograph(self.path, self.image_size)
        except OSError as error:
            log_fault(self.number, UNREADABLE, self.name, after_bar=True)
            raise NamedFault(f"row {self.number}: {error}") from error


def log_fault(number: int, reason: str, file: str, *, after_bar: bool = False) -> None:
    """Name a row that is left out, on a line of its own on standard error; `after_bar`: a bar may stand there."""
    shown = file if file.isprintable() else ascii(file)
    line = f"row {number}: {reason}: {shown}"
    if sys.stderr.isatty():
        tqdm.write(line, file=sys.stderr)  # above the bar
    else:
        print(f"\n{line}" if after_bar else line, file=sys.stderr)


def _is_readable(path: Path) -> bool:
    try:
        load_radiograph(path, None)
    except OSError:
        return False
    return True

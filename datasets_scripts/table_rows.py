"""What a row of a table means: an image file under the root, a report, ids, a split, labels; or the fault it has."""

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .perturbations import normalize_report
from .radiographs import is_image
from .schema import CHEXPERT_LABELS, LABEL_VALUES
from .table_files import TableRow

NO_IMAGE_NAMED = "no image file named"
ABSOLUTE_OUTSIDE = "absolute path outside the image root"
CLIMBS_OUT = "path climbs out of the image root"
MISSING = "image file missing"
NO_FILE = "image path is no file"
ZERO_BYTES = "image file of zero bytes"
NOT_IMAGE = "no PNG, JPEG, TIFF, BMP, WebP or DICOM"
NO_REPORT = "no report"
NO_WORDS = "report without words"
TOO_LONG = "report of more than 5,000 words or 100,000 characters"
NO_ID = "no id"
NO_STUDY = "no study id"
UNKNOWN_SPLIT = "split is none of train, validation, test"

MAX_WORDS = 5000
MAX_CHARACTERS = 100_000
"""A longer report is a fault: no radiologist dictates it, but a quote that is closed late makes it of many."""

SPLITS = ("train", "validation", "test")
_SPLIT_NAMES = {
    **{name: name for name in SPLITS},
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validate": "validation",
    "dev": "validation",
    "testing": "test",
}
_TRUTH = {"true": 1.0, "false": 0.0}
_UNKNOWN = ("", "nan", "null", "none", "na", "n/a")
_PATHOLOGIES = tuple(name for name in CHEXPERT_LABELS if name not in ("No Finding", "Support Devices"))


class RowFault(Exception):
    """Why a row is left out."""


@dataclass(frozen=True)
class Layout:
    """Which columns of a table mean what.

    Attributes:
        root: the folder under which all images are, absolute, without `..`.
        image, report: columns of the image's path and of the report.
        image_id, study, split: columns, or None.
        labels: column of a label's value to CheXpert's name.
        label: column whose value is the name of a label, or None.
    """

    root: Path
    image: str
    report: str
    image_id: str | None = None
    study: str | None = None
    split: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    label: str | None = None

    @property
    def columns(self) -> list[str]:
        """All columns that are read, each once."""
        named = (self.image, self.report, self.image_id, self.study, self.split, *self.labels, self.label)
        return list(dict.fromkeys(column for column in named if column is not None))


@dataclass(frozen=True, slots=True)
class Pair:
    """A row without a fault, as far as its cells tell.

    Attributes:
        path: the image file.
        image_id: the id column, or the image's path under the root and the row number, joined by a colon.
        study_id: the study column, or the image's path under the root, so that rows of one image share a split.
        report: normalised; `findings`: as written.
        split: by the split column; None without one.
        labels: CheXpert's name to 1, 0 or -1.
        other_class: what the label column has, where that is none of CheXpert's names; otherwise blank.
    """

    path: Path
    image_id: str
    study_id: str
    findings: str
    report: str
    split: str | None
    labels: dict[str, float]
    other_class: str


def read_pair(row: TableRow, layout: Layout) -> Pair:
    """Read the cells of a row; files are not looked at (`check_image_file`).

    Raises:
        RowFault: the row has a fault.
    """
    if row.fault is not None:
        raise RowFault(row.fault)
    path = image_path(row.cells[layout.image].strip(), layout.root)
    name = path.relative_to(layout.root).as_posix()
    findings = row.cells[layout.report].strip()
    named_class = "" if layout.label is None else row.cells[layout.label].strip()
    class_labels = labels_of_class(named_class)
    return Pair(
        path=path,
        image_id=f"{name}:{row.number}" if layout.image_id is None else _needed(row, layout.image_id, NO_ID),
        study_id=name if layout.study is None else _needed(row, layout.study, NO_STUDY),
        findings=findings,
        report=_report(findings),
        split=None if layout.split is None else _split(row.cells[layout.split]),
        labels={**class_labels, **_labels(row, layout)},
        other_class="" if class_labels or named_class.lower() in _UNKNOWN else named_class,
    )


def image_path(name: str, root: Path) -> Path:
    """The file that a row names: under the root, or absolute and in the root.

    A path is judged by its parts, `..` resolved: links within the root may lead anywhere, for who made the root made
    them.

    Raises:
        RowFault: no file is named, or it lies outside the root.
    """
    if not name:
        raise RowFault(NO_IMAGE_NAMED)
    path = Path(os.path.normpath(root / name))
    if path != root and path.is_relative_to(root):
        return path
    absolute = os.path.isabs(name)
    real_root = root.resolve()  # the root may have been given through a link, and the path without it
    if absolute and path != real_root and path.is_relative_to(real_root):
        return root / path.relative_to(real_root)
    raise RowFault(ABSOLUTE_OUTSIDE if absolute else CLIMBS_OUT)


def check_image_file(path: Path) -> None:
    """Look at the file as far as its first bytes; damage further inside shows only when it is read.

    Raises:
        RowFault: it is missing, no file, of zero bytes or no image.
    """
    try:
        status = path.stat()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise RowFault(MISSING) from error
    if not stat.S_ISREG(status.st_mode):
        raise RowFault(NO_FILE)
    if not status.st_size:
        raise RowFault(ZERO_BYTES)
    try:
        begins_as_image = is_image(path)
    except OSError:  # not to be opened: the writer, which reads it, says why
        return
    if not begins_as_image:
        raise RowFault(NOT_IMAGE)


def label_columns(columns: list[str], prefix: str | None) -> dict[str, str]:
    """The columns that are CheXpert's labels, to the label's name.

    A column is one if it has the label's name, after the prefix where there is one; case does not matter, nor whether
    a space, `_` or `-` parts the words (`pleural_effusion`).

    Raises:
        ValueError: two columns are one label, or a prefix is given and no column has it.
    """
    found: dict[str, str] = {}
    for column in columns:
        if column.startswith(prefix or "") and (label := _LABEL_NAMES.get(_plain(column[len(prefix or "") :]))):
            if label in found.values():
                raise ValueError(
                    f"two columns are the label {label!r}; tell them apart by --labels_prefix, or rename one"
                )
            found[column] = label
    if prefix and not found:
        raise ValueError(f"no column is {prefix!r} and the name of a label of CheXpert, as {prefix + 'Edema'!r} is")
    return found


def labels_of_class(name: str) -> dict[str, float]:
    """The labels of an image that is of a class, such as `pneumonia` or `no_finding`.

    The class's own label is 1. Under a pathology `No Finding` is 0, and under `No Finding` every pathology.

    Args:
        name: CheXpert's name, as freely written as in `label_columns`; any other has no label.
    """
    label = _LABEL_NAMES.get(_plain(name))
    if label is None:
        return {}
    absent = _PATHOLOGIES if label == "No Finding" else ("No Finding",) if label in _PATHOLOGIES else ()
    return {label: 1.0, **dict.fromkeys(absent, 0.0)}


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name).strip().lower()


_LABEL_NAMES = {_plain(name): name for name in CHEXPERT_LABELS}


def _needed(row: TableRow, column: str, fault: str) -> str:
    cell = row.cells[column].strip()
    if not cell:
        raise RowFault(fault)
    return cell


def _report(findings: str) -> str:
    if not findings:
        raise RowFault(NO_REPORT)
    if len(findings) > MAX_CHARACTERS:
        raise RowFault(TOO_LONG)
    report = normalize_report(findings)
    if not report:
        raise RowFault(NO_WORDS)
    if report.count(" ") >= MAX_WORDS:
        raise RowFault(TOO_LONG)
    return report


def _split(cell: str) -> str:
    split = _SPLIT_NAMES.get(cell.strip().lower())
    if split is None:
        raise RowFault(UNKNOWN_SPLIT)
    return split


def bad_label(label: str) -> str:
    """The fault of a row whose value for this label is none."""
    return f"label {label} is none of 1, 0, -1 and blank"


def _labels(row: TableRow, layout: Layout) -> dict[str, float]:
    labels = {}
    for column, label in layout.labels.items():
        text = row.cells[column].strip().lower()
        if text in _UNKNOWN:
            continue
        try:
            value = _TRUTH[text] if text in _TRUTH else float(text)
        except ValueError:
            value = None
        if value not in LABEL_VALUES:
            raise RowFault(bad_label(label))
        labels[label] = value
    return labels

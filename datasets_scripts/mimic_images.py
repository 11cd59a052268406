"""The tables of MIMIC-CXR-JPG: which images there are, their splits, views and labels."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .chexpert_labels import parse_labels
from .input_files import read_csv
from .schema import CHEXPERT_LABELS

SPLIT_TABLE = "mimic-cxr-2.0.0-split.csv"
VIEW_TABLE = "mimic-cxr-2.0.0-metadata.csv"
LABEL_TABLE = "mimic-cxr-2.0.0-chexpert.csv"

SPLITS: dict[str, str] = {"train": "train", "validate": "validation", "test": "test"}
"""The corpus's names of its splits, to ours."""

FRONTAL_VIEWS = ("AP", "PA")

_DICOM_ID = re.compile(r"[0-9A-Za-z-]+")


@dataclass(frozen=True)
class MimicImage:
    """An image; patient and study by their numbers, without the letter before them."""

    dicom_id: str
    subject: str
    study: str

    def path(self, root: Path) -> Path:
        """Its file in the folder of MIMIC-CXR-JPG: `files/p10/p10000032/s50414267/DICOM_ID.jpg`."""
        folder = root / "files" / f"p{self.subject[:2]}" / f"p{self.subject}"
        return folder / f"s{self.study}" / f"{self.dicom_id}.jpg"


def read_splits(path: Path) -> dict[str, list[MimicImage]]:
    """Read the split file: the images of `train`, `validation` and `test`.

    Raises:
        ValueError: a column is missing, an id is none, a split is unknown, an image stands twice, or a patient is in
            two splits; the file and the line are named.
    """
    splits: dict[str, list[MimicImage]] = {split: [] for split in SPLITS.values()}
    seen: set[str] = set()
    split_of: dict[str, str] = {}
    for where, row in read_csv(path, ("dicom_id", "study_id", "subject_id", "split")):
        image = MimicImage(row["dicom_id"], row["subject_id"], row["study_id"])
        _check_ids(image, where)
        if row["split"] not in SPLITS:
            raise ValueError(f"{where}: split is {row['split']!r}; it is one of {', '.join(SPLITS)}")
        if image.dicom_id in seen:
            raise ValueError(f"{where}: image {image.dicom_id} stands a second time; keep one of the two")
        if split_of.setdefault(image.subject, row["split"]) != row["split"]:
            raise ValueError(
                f"{where}: patient {image.subject} is in {row['split']} here and in {split_of[image.subject]} above; "
                "put all images of a patient into one split"
            )
        seen.add(image.dicom_id)
        splits[SPLITS[row["split"]]].append(image)
    return splits


def read_views(path: Path) -> dict[str, str]:
    """Read the metadata: the view of each image (`AP`, `PA`, `LATERAL`, ...), empty where it is not known."""
    return {row["dicom_id"]: row["ViewPosition"] for _, row in read_csv(path, ("dicom_id", "ViewPosition"))}


def read_labels(path: Path) -> dict[str, dict[str, float]]:
    """Read the labels of each study: 1, 0, -1 (uncertain); a blank is absent.

    Raises:
        ValueError: a column is missing or a value is another; the file and the line are named.
    """
    return {row["study_id"]: parse_labels(row, where) for where, row in read_csv(path, ("study_id", *CHEXPERT_LABELS))}


def by_study(images: Sequence[MimicImage]) -> dict[str, list[MimicImage]]:
    """The images of each study, studies in the order of their first image."""
    studies: dict[str, list[MimicImage]] = {}
    for image in images:
        studies.setdefault(image.study, []).append(image)
    return studies


def _check_ids(image: MimicImage, where: str) -> None:
    """What stands in the file becomes part of paths."""
    for name, value in (("subject_id", image.subject), ("study_id", image.study)):
        if not (value.isascii() and value.isdigit()):
            raise ValueError(f"{where}: {name} is {value!r}; it is a number such as 10000032")
    if not _DICOM_ID.fullmatch(image.dicom_id):
        raise ValueError(f"{where}: dicom_id is {image.dicom_id!r}; it is the name of an image without .jpg")

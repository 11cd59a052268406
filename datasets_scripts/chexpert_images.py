"""CheXpert's CSV files: one image a row, with its patient, study and labels; and the paper's split of them."""

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tqdm.auto import tqdm

from .chexpert_labels import parse_labels
from .input_files import read_csv
from .schema import CHEXPERT_LABELS

FILES: dict[str, str] = {"train": "train.csv", "validation": "valid.csv"}

PAPER_SPLIT: dict[str, int] = {"test": 500, "train": 20_596}
"""Images of the PRD paper's two splits; filled in this order."""

STAND_IN_ROOT = "PhantomCXR-chexpert"
"""With it begin the paths in `phantom_chexpert`'s CSV files, as CheXpert's with `CheXpert-v1.0`."""

_VIEW, _VIEWS = "Frontal/Lateral", ("Frontal", "Lateral")

CSV_COLUMNS: tuple[str, ...] = ("Path", "Sex", "Age", _VIEW, "AP/PA", *CHEXPERT_LABELS)
"""The header that Stanford publishes."""

_STUDY = r"(?P<study_id>(?P<patient>patient\d+)/study\d+)"
# The folder of the download (CheXpert-v1.0, CheXpert-v1.0-small) before it is not part of the match.
_PATH = re.compile(rf"(?:train|valid)/(?P<image_id>{_STUDY}/view\d+_\w+)\.\w+$")


@dataclass(frozen=True)
class CheXpertImage:
    """A row of `train.csv` or `valid.csv`: its image's file, and the labels as published (a blank is absent).

    `synthetic` ones are `phantom_chexpert`'s.
    """

    path: Path
    image_id: str
    study_id: str
    patient: str
    frontal: bool
    labels: Mapping[str, float]
    synthetic: bool = False


def read_images(path: Path, source: Path) -> list[CheXpertImage]:
    """Read `train.csv` or `valid.csv`.

    Args:
        path: the file.
        source: the folder whose `train` and `valid` hold the images.

    Raises:
        ValueError: a column is missing, a path is none of CheXpert's, a view is neither frontal nor lateral, a label
            is none of 1, 0, -1 and blank, or an image stands twice; the file and the line are named.
    """
    images: dict[str, CheXpertImage] = {}
    rows = read_csv(path, ("Path", _VIEW, *CHEXPERT_LABELS))
    for where, row in tqdm(rows, f"read {path.name}", unit="row", disable=None):
        match = _PATH.search(row["Path"])
        if match is None:
            raise ValueError(
                f"{where}: Path is {row['Path']!r}; CheXpert's end like train/patient00001/study1/view1_frontal.jpg"
            )
        if row[_VIEW] not in _VIEWS:
            raise ValueError(f"{where}: {_VIEW} is {row[_VIEW]!r}; it is one of {', '.join(_VIEWS)}")
        if match["image_id"] in images:
            raise ValueError(f"{where}: image {match['image_id']} stands a second time; keep one of the two")
        images[match["image_id"]] = CheXpertImage(
            path=source / match[0],
            image_id=match["image_id"],
            study_id=match["study_id"],
            patient=match["patient"],
            frontal=row[_VIEW] == "Frontal",
            labels=parse_labels(row, where),
            synthetic=row["Path"].startswith(f"{STAND_IN_ROOT}/"),
        )
    return list(images.values())


def patient_of(study_id: str) -> str:
    """The patient that a study of CheXpert names; another corpus's study, which names none, is its own."""
    match = re.fullmatch(_STUDY, study_id)
    return match["patient"] if match else study_id


def are_synthetic(splits: Mapping[str, Sequence[CheXpertImage]]) -> bool:
    """Whether the images are `phantom_chexpert`'s; ValueError where some are and others are not."""
    drawn = {image.synthetic: image.path for images in splits.values() for image in images}
    if len(drawn) > 1:
        raise ValueError(
            f"{drawn[True]} is PhantomCXR's and {drawn[False]} is not; keep the two in folders of their own"
        )
    return True in drawn


def check_patients(splits: Mapping[str, Sequence[CheXpertImage]]) -> None:
    """Raises ValueError where the splits, named as in `FILES`, share a patient."""
    split_of: dict[str, str] = {}
    for split, images in splits.items():
        for image in images:
            if split_of.setdefault(image.patient, split) != split:
                first, second = FILES[split_of[image.patient]], FILES[split]
                raise ValueError(f"{image.patient} is in {first} and in {second}; take it out of one of the two")


def draw_paper_split(images: Sequence[CheXpertImage], seed: int) -> dict[str, list[CheXpertImage]]:
    """Draw `PAPER_SPLIT` to the image, each patient into one split, whichever image files are at hand.

    The paper gives the sizes and not the way. Here, in the order of the hashes of seed and patient, each patient goes
    to the first split in which all its images still fit.

    Raises:
        ValueError: there are too few images.
    """
    by_patient = Counter(image.patient for image in images)
    room = dict(PAPER_SPLIT)
    split_of: dict[str, str] = {}
    for patient in sorted(by_patient, key=partial(_digest, seed)):
        split = next((name for name, left in room.items() if by_patient[patient] <= left), None)
        if split is not None:
            split_of[patient] = split
            room[split] -= by_patient[patient]
    if any(room.values()):
        raise ValueError(
            f"--paper_split draws {sum(PAPER_SPLIT.values()):,} images from train.csv, which has {len(images):,} of "
            f"{len(by_patient):,} patients to draw from; give the whole train.csv, or leave the flag out"
        )
    return {name: [image for image in images if split_of.get(image.patient) == name] for name in PAPER_SPLIT}


def _digest(seed: int, patient: str) -> bytes:
    return hashlib.sha256(f"chexpert\0{seed}\0{patient}".encode()).digest()

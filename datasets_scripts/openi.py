"""Open-I (Indiana University Chest X-ray Collection): its XML reports and PNG images as a perturbed-pairs dataset."""

import argparse
import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from .build_arguments import STORED_SIZE, add_perturbing
from .openi_card import PHANTOM, describe
from .openi_mesh import labels_from_mesh, state_from_mesh
from .openi_reports import OpenIReport, read_reports
from .perturbations import ReportPerturber, normalize_report
from .phantom_drawing import MAX_IMAGE_SIZE, MIN_IMAGE_SIZE, draw
from .radiographs import index_images, load_radiograph
from .report_counterfactuals import ReportEditor
from .schema import Record
from .writer import check_replaceable, write_dataset

# The paper's validation split: 469 of the corpus's 6,473 pairs.
_VALIDATION_PAIRS, _CORPUS_PAIRS = 469, 6473

_PHANTOM_SIZE = 128
_MIN_FILE_SIZE, _MAX_FILE_SIZE = 16, 4096

ImageSource = Callable[[OpenIReport, str], Callable[[], Image.Image] | None]
"""From a report and the id of one of its images to what reads or draws that image; None if there is no such image."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `build openi`."""
    parser.add_argument(
        "--reports", type=Path, required=True, help="NLMCXR_reports.tgz, or a folder with its XML files"
    )
    parser.add_argument(
        "--images",
        required=True,
        help="a folder with the PNG images or some of them, under the names of the NLM or of Kaggle; or `phantom`, to "
        "draw stand-ins from each report's MeSH codes",
    )
    parser.add_argument("--out", type=Path, required=True, help="the folder to make")
    add_perturbing(parser, "splits, perturbations, counterfactuals and drawn images")
    parser.add_argument(
        "--image_size",
        type=int,
        help=f"pixels of an image's shorter side; larger images are reduced to it (default {STORED_SIZE}; "
        f"{_PHANTOM_SIZE} for drawn ones)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the dataset in --out")


def run(args: argparse.Namespace) -> None:
    """Build the dataset.

    Raises:
        ValueError, OSError: something is wrong with what was given; the message says what and names the file.
    """
    drawn = args.images == PHANTOM
    image_size = (_PHANTOM_SIZE if drawn else STORED_SIZE) if args.image_size is None else args.image_size
    smallest, largest = (MIN_IMAGE_SIZE, MAX_IMAGE_SIZE) if drawn else (_MIN_FILE_SIZE, _MAX_FILE_SIZE)
    if not smallest <= image_size <= largest:
        raise ValueError(f"--image_size must be {smallest} to {largest} pixels, not {image_size}")
    check_replaceable(args.out, args.overwrite)
    corpus = read_reports(args.reports)
    images = _drawn_images(args.seed, image_size) if drawn else _image_files(Path(args.images), corpus, image_size)
    editor = ReportEditor(args.seed)
    splits = {
        name: [record for report in reports for record in to_records(report, images, editor, synthetic=drawn)]
        for name, reports in split_reports(corpus, args.seed).items()
    }
    write_dataset(
        args.out,
        splits,
        describe(args, corpus, splits, image_size),
        ReportPerturber(seed=args.seed, spacy_model=args.spacy_model),
        num_proc=args.num_proc,
        overwrite=args.overwrite,
        on_unreadable="skip",
    )


def to_records(report: OpenIReport, images: ImageSource, editor: ReportEditor, synthetic: bool) -> list[Record]:
    """The pairs of one report: one for each of its images that `images` has; none if it has no findings."""
    text = normalize_report(report.findings)
    if not text:
        return []
    edits = editor.edit(report.findings, text, report.study_id)
    labels = labels_from_mesh(report.mesh)
    return [
        Record(image_id, report.study_id, text, report.findings, report.impression, image, synthetic, edits, labels)
        for image_id in report.image_ids
        if (image := images(report, image_id)) is not None
    ]


def split_reports(reports: Sequence[OpenIReport], seed: int) -> dict[str, list[OpenIReport]]:
    """Split the reports that have findings into `train` and `validation`, whichever images are at hand.

    Validation takes the paper's share of the pairs, 469 of 6,473, to the pair: in the order of the hashes of seed and
    study id, each study goes there if all its images still fit.
    """
    usable = [report for report in reports if normalize_report(report.findings)]
    room = round(sum(len(report.image_ids) for report in usable) * _VALIDATION_PAIRS / _CORPUS_PAIRS)
    validation: set[str] = set()
    for report in sorted(usable, key=lambda report: _digest(seed, report.study_id)):
        if 0 < len(report.image_ids) <= room:
            validation.add(report.study_id)
            room -= len(report.image_ids)
    return {
        "train": [report for report in usable if report.study_id not in validation],
        "validation": [report for report in usable if report.study_id in validation],
    }


def image_id_of_file(name: str) -> str:
    """The id for a file name of the NLM (`CXR1000_IM-0003-1001.png`) or of Kaggle (`1000_IM-0003-1001.dcm.png`)."""
    stem = name[: -len(".png")].removesuffix(".dcm")
    if stem.startswith("CXR"):
        return stem
    # The NLM writes the number of study 1, and of no other, twice: CXR1_1_IM-0001-3001.
    return f"CXR1_{stem}" if stem.startswith("1_") else f"CXR{stem}"


def _image_files(folder: Path, corpus: Sequence[OpenIReport], image_size: int) -> ImageSource:
    image_ids = {image_id for report in corpus for image_id in report.image_ids}
    paths = index_images(folder, image_ids, image_id_of_file)

    def read(report: OpenIReport, image_id: str) -> Callable[[], Image.Image] | None:
        return partial(load_radiograph, paths[image_id], image_size) if image_id in paths else None

    return read


def _drawn_images(seed: int, image_size: int) -> ImageSource:
    return lambda report, image_id: partial(draw_stand_in, report, image_id, seed, image_size)


def draw_stand_in(report: OpenIReport, image_id: str, seed: int, image_size: int) -> Image.Image:
    """Draw a stand-in for an image: what it shows is the same in all images of a study, the pose is not."""
    state = state_from_mesh(report.mesh, _generator(seed, report.study_id))
    pixels, _ = draw(state, image_size, _generator(seed, image_id))
    return Image.fromarray(pixels)


def _generator(seed: int, key: str) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(_digest(seed, key)))


def _digest(seed: int, key: str) -> int:
    return int.from_bytes(hashlib.sha256(f"openi\0{seed}\0{key}".encode()).digest()[:16], "big")

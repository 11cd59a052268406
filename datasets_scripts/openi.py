"""Open-I (Indiana University Chest X-ray Collection): its XML reports and PNG images as a perturbed-pairs dataset.

Memory grows with the corpus, for all reports and their counterfactuals are held; images are not.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from tqdm.auto import tqdm

from .build_arguments import STORED_SIZE, add_perturbing, check_image_size
from .openi_card import PHANTOM, describe
from .openi_download import download_images, download_reports
from .openi_images import ImageSource, drawn_images, image_files, only, seeded_number
from .openi_mesh import labels_from_mesh
from .openi_reports import OpenIReport, read_reports
from .openi_views import FRONTAL, read_views
from .perturbations import ReportPerturber, normalize_report
from .phantom_drawing import MAX_IMAGE_SIZE, MIN_IMAGE_SIZE
from .report_counterfactuals import ReportEditor
from .schema import Record
from .writer import check_replaceable, write_dataset

# The paper's validation split: 469 of the corpus's 6,473 pairs.
_VALIDATION_PAIRS, _CORPUS_PAIRS = 469, 6473

_PHANTOM_SIZE = 128


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `build openi`."""
    parser.add_argument("--reports", type=Path, help="NLMCXR_reports.tgz, or a folder with its XML files")
    parser.add_argument(
        "--images",
        help="a folder with the PNG images or some of them, under the names of the NLM or of Kaggle; or `phantom`, to "
        "draw stand-ins from each report's MeSH codes",
    )
    parser.add_argument(
        "--download",
        type=Path,
        metavar="DIR",
        help="download what --reports and --images do not give (1 MB and 1.3 GB) from the NLM to DIR, unless it is "
        "there; a download that broke off is taken up",
    )
    parser.add_argument("--projections", type=Path, help="Kaggle's indiana_projections.csv, for --views")
    parser.add_argument(
        "--views",
        choices=("all", "frontal"),
        default="all",
        help="which images (default %(default)s); frontal ones are those that --projections calls so",
    )
    parser.add_argument("--out", type=Path, required=True, help="the folder to make")
    add_perturbing(parser, "splits, perturbations, counterfactuals and drawn images")
    parser.add_argument(
        "--image_size",
        type=int,
        help=f"pixels of an image's shorter side; a larger image is reduced (default {STORED_SIZE}; 0: full size; "
        f"{_PHANTOM_SIZE} by default for drawn ones)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the dataset in --out")


def run(args: argparse.Namespace) -> None:
    """Build the dataset.

    Raises:
        ValueError, OSError: something is wrong with what was given; the message says what and names the file.
    """
    drawn = args.images == PHANTOM
    image_size = (_PHANTOM_SIZE if drawn else STORED_SIZE) if args.image_size is None else args.image_size
    if not drawn:
        check_image_size(image_size)
    elif not MIN_IMAGE_SIZE <= image_size <= MAX_IMAGE_SIZE:
        raise ValueError(f"--image_size must be {MIN_IMAGE_SIZE} to {MAX_IMAGE_SIZE} pixels, not {image_size}")
    if args.views == "frontal" and args.projections is None:
        raise ValueError("--views frontal needs --projections, Kaggle's indiana_projections.csv")
    check_replaceable(args.out, args.overwrite)
    views = None if args.projections is None else read_views(args.projections)
    _download_missing(args)
    corpus = read_reports(args.reports)
    images = _images(args, corpus, image_size, views or {})
    editor = ReportEditor(args.seed)
    splits = {
        name: [
            record
            for report in tqdm(reports, f"edit {name}", unit="report", disable=None)
            for record in to_records(report, images, editor, synthetic=drawn)
        ]
        for name, reports in split_reports(corpus, args.seed).items()
    }
    write_dataset(
        args.out,
        splits,
        describe(args, corpus, splits, image_size, views),
        ReportPerturber(seed=args.seed, spacy_model=args.spacy_model),
        num_proc=args.num_proc,
        overwrite=args.overwrite,
        on_unreadable="skip",
    )


def _download_missing(args: argparse.Namespace) -> None:
    if args.download is None and (args.reports is None or args.images is None):
        raise ValueError("give --reports and --images, or --download DIR to get them from the NLM")
    args.reports = args.reports or download_reports(args.download)
    args.images = args.images or str(download_images(args.download))


def _images(
    args: argparse.Namespace, corpus: Sequence[OpenIReport], image_size: int, views: Mapping[str, str]
) -> ImageSource:
    image_ids = {image_id for report in corpus for image_id in report.image_ids}
    drawn = args.images == PHANTOM
    images = drawn_images(args.seed, image_size) if drawn else image_files(Path(args.images), image_ids, image_size)
    if args.views == "all":
        return images
    return only({image_id for image_id, view in views.items() if view == FRONTAL}, images)


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
    for report in sorted(usable, key=lambda report: seeded_number(seed, report.study_id)):
        if 0 < len(report.image_ids) <= room:
            validation.add(report.study_id)
            room -= len(report.image_ids)
    return {
        "train": [report for report in usable if report.study_id not in validation],
        "validation": [report for report in usable if report.study_id in validation],
    }

"""CheXpert: its CSV files and radiographs as a dataset of images with labels, to fine-tune on; it has no reports.

Memory grows with the corpus, for the ids, paths and labels of all its images are held; their pixels are not.
"""

import argparse
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from tqdm.auto import tqdm

from .build_arguments import add_image_size, check_image_size
from .chexpert_card import KIND, LATERAL, NOT_DRAWN, NOT_FOUND, describe, describe_labels
from .chexpert_images import (
    FILES,
    PAPER_SPLIT,
    CheXpertImage,
    are_synthetic,
    check_patients,
    draw_paper_split,
    read_images,
)
from .chexpert_labels import BlankPolicy, UncertainPolicy, apply_policies
from .image_file import ImageFile
from .input_files import require_csv
from .shards import Row
from .writer import check_replaceable, write_rows

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `build chexpert`."""
    parser.add_argument(
        "--source", type=Path, required=True, help="the folder CheXpert-v1.0 or CheXpert-v1.0-small, with train.csv"
    )
    parser.add_argument("--out", type=Path, required=True, help="the folder to make")
    parser.add_argument(
        "--uncertain",
        choices=("ones", "zeros", "ignore"),
        default="ignore",
        help="what an uncertain label (-1) becomes: 1, 0 or null (default %(default)s)",
    )
    parser.add_argument(
        "--blank",
        choices=("zeros", "ignore"),
        default="ignore",
        help="what a label that the report does not mention becomes: 0, as the CheXpert paper counts it, or null "
        "(default %(default)s)",
    )
    parser.add_argument(
        "--views", choices=("frontal", "all"), default="frontal", help="which images (default %(default)s)"
    )
    parser.add_argument(
        "--paper_split",
        action="store_true",
        help=f"draw {PAPER_SPLIT['train']:,} training and {PAPER_SPLIT['test']} test images, as many as in the PRD "
        "paper, from the patients of train.csv",
    )
    parser.add_argument("--seed", type=int, default=0, help="of --paper_split")
    parser.add_argument("--num_proc", type=int, default=1, help="threads that read images")
    add_image_size(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace the dataset in --out")


def run(args: argparse.Namespace) -> None:
    """Build the dataset.

    Raises:
        ValueError, OSError: something is wrong with what was given; the message says what and names the file.
    """
    if args.num_proc < 1:
        raise ValueError(f"--num_proc must be at least 1, not {args.num_proc}")
    check_image_size(args.image_size)
    check_replaceable(args.out, args.overwrite)
    csv_files = {split: require_csv(args.source, name) for split, name in FILES.items()}
    left_out: Counter[str] = Counter()
    images = _select_images(args, csv_files, left_out)
    splits = {
        split: ImageRows(selected, args.image_size, args.uncertain, args.blank) for split, selected in images.items()
    }
    write_rows(
        args.out,
        splits,
        describe(args, csv_files, left_out, synthetic=are_synthetic(images)),
        KIND,
        describe_shards=lambda shards: {"Labels": describe_labels(args, shards)},
        num_proc=args.num_proc,
        overwrite=args.overwrite,
        on_unreadable="skip",
    )


def _select_images(
    args: argparse.Namespace, csv_files: dict[str, Path], left_out: Counter[str]
) -> dict[str, list[CheXpertImage]]:
    """The images of each split that are wanted and there; the others are counted, and the first missing one logged."""
    splits = {split: read_images(path, args.source) for split, path in csv_files.items()}
    check_patients(splits)
    if args.views == "frontal":
        left_out[LATERAL] = sum(not image.frontal for images in splits.values() for image in images)
        splits = {split: [image for image in images if image.frontal] for split, images in splits.items()}
    if args.paper_split:
        drawn = draw_paper_split(splits["train"], args.seed)
        left_out[NOT_DRAWN] = len(splits["train"]) - sum(len(images) for images in drawn.values())
        splits = {"train": drawn["train"], "validation": splits["validation"], "test": drawn["test"]}
    wanted = list(chain(*splits.values()))
    missing = [image for image in tqdm(wanted, "check files", unit="image", disable=None) if not image.path.is_file()]
    if missing:
        left_out[NOT_FOUND] = len(missing)
        logger.warning("left out, %s: %s is the first", NOT_FOUND, missing[0].path)
    absent = {image.image_id for image in missing}
    return {split: [image for image in images if image.image_id not in absent] for split, images in splits.items()}


class ImageRows:
    """The rows of a split, made anew whenever they are iterated.

    Args:
        images: the split's.
        image_size: pixels of the shorter side; 0 for full size.
        uncertain, blank: as `apply_policies` takes them.
    """

    def __init__(
        self, images: Sequence[CheXpertImage], image_size: int, uncertain: UncertainPolicy, blank: BlankPolicy
    ) -> None:
        self._images = images
        self._image_size = image_size
        self._uncertain = uncertain
        self._blank = blank

    def __len__(self) -> int:
        return len(self._images)

    def __iter__(self) -> Iterator[Row]:
        return map(self._row, self._images)

    def _row(self, image: CheXpertImage) -> Row:
        return {
            "image": ImageFile(image.path, self._image_size),
            "image_id": image.image_id,
            "study_id": image.study_id,
            "synthetic": image.synthetic,
            "labels": apply_policies(image.labels, self._uncertain, self._blank),
        }

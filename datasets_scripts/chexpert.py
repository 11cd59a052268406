"""CheXpert: its CSV files and radiographs as a dataset of images with labels, to fine-tune on; it has no reports."""

import argparse
import io
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from datasets import Features

from .build_arguments import add_image_size, check_image_size
from .chexpert_card import COLUMNS, LATERAL, NOT_DRAWN, NOT_FOUND, describe
from .chexpert_images import FILES, PAPER_SPLIT, CheXpertImage, check_patients, draw_paper_split, read_images
from .chexpert_labels import BlankPolicy, UncertainPolicy, apply_policies
from .input_files import require_csv
from .plain_dataset import Row, write_plain_dataset
from .radiographs import load_radiograph
from .schema import CHEXPERT_LABELS, features
from .writer import UNREADABLE, check_replaceable

_CHUNK = 100  # no more images than these wait in memory

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
    rows = {
        split: _ImageRows(images, args, left_out)
        for split, images in _select_images(args, csv_files, left_out).items()
    }
    write_plain_dataset(
        args.out,
        rows,
        image_label_features(),
        COLUMNS,
        lambda: describe(args, csv_files, left_out, {split: part.counts for split, part in rows.items()}),
        "image-classification",
        overwrite=args.overwrite,
    )


def image_label_features() -> Features:
    """The columns of a dataset of images with labels: those of a perturbed-pairs dataset that need no report."""
    return Features({name: feature for name, feature in features().items() if name in COLUMNS})


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
    missing = [image for images in splits.values() for image in images if not image.path.is_file()]
    if missing:
        left_out[NOT_FOUND] = len(missing)
        logger.warning("left out, %s: %s is the first", NOT_FOUND, missing[0].path)
    absent = {image.image_id for image in missing}
    return {split: [image for image in images if image.image_id not in absent] for split, images in splits.items()}


class _ImageRows:
    """The rows of a split, read from the image files as they are drawn; counts their labels and what is unreadable."""

    def __init__(self, images: Sequence[CheXpertImage], args: argparse.Namespace, left_out: Counter[str]) -> None:
        self.images = images
        self.num_proc: int = args.num_proc
        self.image_size: int = args.image_size
        self.uncertain: UncertainPolicy = args.uncertain
        self.blank: BlankPolicy = args.blank
        self.left_out = left_out
        self.counts: dict[str, Counter[float | None]] = {label: Counter() for label in CHEXPERT_LABELS}

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[Row]:
        read = partial(_read_png, shorter_side=self.image_size)
        with ThreadPoolExecutor(self.num_proc) as pool:
            for start in range(0, len(self.images), _CHUNK):
                chunk = self.images[start : start + _CHUNK]
                for image, png in zip(chunk, pool.map(read, chunk), strict=True):
                    if isinstance(png, bytes):
                        yield self._row(image, png)
                    else:
                        self.left_out[UNREADABLE] += 1
                        logger.warning("left out, %s: %s", UNREADABLE, png)

    def _row(self, image: CheXpertImage, png: bytes) -> Row:
        labels = apply_policies(image.labels, self.uncertain, self.blank)
        for label, value in labels.items():
            self.counts[label][value] += 1
        return {
            "image": {"bytes": png, "path": None},
            "image_id": image.image_id,
            "study_id": image.study_id,
            "synthetic": False,
            "labels": labels,
        }


def _read_png(image: CheXpertImage, shorter_side: int) -> bytes | OSError:
    """The image at its stored size; an OSError is returned, for the caller to count."""
    buffer = io.BytesIO()
    try:
        load_radiograph(image.path, shorter_side).save(buffer, format="PNG")
    except OSError as error:
        return error
    return buffer.getvalue()

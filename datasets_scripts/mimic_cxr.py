"""MIMIC-CXR-JPG with the reports of MIMIC-CXR: a perturbed-pairs dataset with the corpus's own splits.

Memory grows with the corpus, for the ids, reports and labels of all its studies are held; its images are not.
"""

import argparse
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from tqdm.auto import tqdm

from .build_arguments import add_image_size, add_perturbing, check_image_size
from .image_file import ImageFile
from .input_files import bare_name, find_csv, hash_file, require_csv
from .mimic_card import NO_REPORT, NO_TEXT, NOT_FOUND, NOT_FRONTAL, describe
from .mimic_images import (
    FRONTAL_VIEWS,
    LABEL_TABLE,
    SPLIT_TABLE,
    VIEW_TABLE,
    MimicImage,
    by_study,
    read_labels,
    read_splits,
    read_views,
)
from .mimic_reports import ARCHIVE, SECTIONED, find_reports, read_reports
from .mimic_sections import SECTIONS, ReportSections
from .perturbations import ReportPerturber, normalize_report
from .report_counterfactuals import ReportEditor
from .schema import Counterfactual, Record
from .writer import check_replaceable, write_dataset

_BLOCK = 200  # studies whose reports are edited at a time

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `build mimic_cxr`."""
    parser.add_argument(
        "--source",
        type=Path,
        required=True,
        help=f"the folder of MIMIC-CXR-JPG, with files/ and {SPLIT_TABLE} (.gz or not); {LABEL_TABLE} is read too "
        "where it is there",
    )
    parser.add_argument(
        "--reports",
        type=Path,
        help=f"{SECTIONED}, {ARCHIVE}, or the folder of the texts (default: the first of these that is in --source)",
    )
    parser.add_argument("--out", type=Path, required=True, help="the folder to make")
    parser.add_argument(
        "--sections",
        nargs="+",
        choices=SECTIONS,
        default=list(SECTIONS),
        help="a pair's report is the first of these that has text (default: %(default)s)",
    )
    parser.add_argument(
        "--views",
        choices=("all", "frontal"),
        default="all",
        help=f"which images (default %(default)s); frontal ones are {' and '.join(FRONTAL_VIEWS)} in {VIEW_TABLE}",
    )
    add_perturbing(parser, "the perturbations and counterfactuals")
    add_image_size(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace the dataset in --out")


def run(args: argparse.Namespace) -> None:
    """Build the dataset.

    Raises:
        ValueError, OSError: something is wrong with what was given; the message says what and names the file.
    """
    check_image_size(args.image_size)
    check_replaceable(args.out, args.overwrite)
    corpus = read_corpus(args.source, args.reports, with_views=args.views == "frontal")
    left_out: Counter[str] = Counter()
    splits = {split: _usable(split, corpus, args, left_out) for split in corpus.splits}
    used = tqdm(list(chain(*splits.values())), "count sections", unit="image", disable=None)
    by_section = Counter(_choose(corpus.reports[image.study], args.sections)[0] for image in used)
    write_dataset(
        args.out,
        {
            split: MimicPairs(images, corpus, args.sections, args.image_size, args.seed)
            for split, images in splits.items()
        },
        describe(args, left_out, corpus.inputs, {section: by_section[section] for section in args.sections}),
        ReportPerturber(seed=args.seed, spacy_model=args.spacy_model),
        num_proc=args.num_proc,
        overwrite=args.overwrite,
        on_unreadable="skip",
    )


@dataclass(frozen=True)
class MimicCorpus:
    """What the files say, but for the pixels.

    Attributes:
        root: the folder of MIMIC-CXR-JPG.
        splits: all images, by split.
        views: by image, where they were asked for.
        reports, labels: by study; a study without is absent.
        inputs: file name to SHA-256 of what was read.
    """

    root: Path
    splits: Mapping[str, Sequence[MimicImage]]
    views: Mapping[str, str]
    reports: Mapping[str, ReportSections]
    labels: Mapping[str, Mapping[str, float]]
    inputs: Mapping[str, str]


def read_corpus(root: Path, report_source: Path | None, with_views: bool) -> MimicCorpus:
    """Read the split file, the reports of its studies, and the labels where they are.

    Args:
        root: the folder of MIMIC-CXR-JPG.
        report_source: as `mimic_reports.read_reports` takes it; by default what `find_reports` finds in `root`.
        with_views: read the metadata too.

    Raises:
        ValueError, OSError: a file is missing, or as `read_splits`, `read_reports`, `read_views` and `read_labels`.
    """
    split_file, label_file = require_csv(root, SPLIT_TABLE), find_csv(root, LABEL_TABLE)
    view_file = require_csv(root, VIEW_TABLE) if with_views else None
    splits = read_splits(split_file)
    subject_of = {image.study: image.subject for images in splits.values() for image in images}
    report_source = report_source or find_reports(root)
    reports, sha256 = read_reports(report_source, subject_of)
    report_name = "the texts of the reports" if report_source.is_dir() else bare_name(report_source)
    tables = [path for path in (split_file, view_file, label_file) if path is not None]
    return MimicCorpus(
        root=root,
        splits=splits,
        views=read_views(view_file) if view_file else {},
        reports=reports,
        labels=read_labels(label_file) if label_file else {},
        inputs={**{path.name: hash_file(path) for path in tables}, report_name: sha256},
    )


class MimicPairs:
    """The pairs of a split, made anew whenever they are iterated, a block of studies at a time.

    Args:
        images: those to make pairs of, each with a report and a file.
        corpus: what the files say.
        sections: a report is the first of these that has text.
        image_size: pixels of the shorter side; 0 for full size.
        seed: of the counterfactuals.
    """

    def __init__(
        self, images: Sequence[MimicImage], corpus: MimicCorpus, sections: Sequence[str], image_size: int, seed: int
    ) -> None:
        self._images = images
        self._corpus = corpus
        self._sections = sections
        self._image_size = image_size
        self._editor = ReportEditor(seed)

    def __len__(self) -> int:
        return len(self._images)

    def __iter__(self) -> Iterator[Record]:
        studies = iter(by_study(self._images).items())
        while block := list(islice(studies, _BLOCK)):
            texts = [_choose(self._corpus.reports[study], self._sections)[1] for study, _ in block]
            edited = self._editor.edit_batch(
                (f"s{study}", text) for (study, _), text in zip(block, texts, strict=True)
            )
            for (_, images), text, edits in zip(block, texts, edited, strict=True):
                for image in images:
                    yield self._record(image, text, edits)

    def _record(self, image: MimicImage, text: str, edits: dict[str, Counterfactual]) -> Record:
        return Record(
            image_id=image.dicom_id,
            study_id=f"s{image.study}",
            report=normalize_report(text),
            findings=text,
            impression=self._corpus.reports[image.study].impression,
            image=ImageFile(image.path(self._corpus.root), self._image_size),
            synthetic=False,
            counterfactuals=edits,
            labels=dict(self._corpus.labels.get(image.study, {})),
        )


def _usable(split: str, corpus: MimicCorpus, args: argparse.Namespace, left_out: Counter[str]) -> list[MimicImage]:
    """The images of a split that make pairs; the others are counted under their reason, whose first one is logged."""
    usable, first = [], {}
    for image in tqdm(corpus.splits[split], f"check {split}", unit="image", disable=None):
        reason = _reason_against(image, corpus, args)
        if reason is None:
            usable.append(image)
            continue
        if reason not in left_out:
            first[reason] = image
        left_out[reason] += 1
    for reason, image in first.items():
        logger.warning("left out, %s: %s is the first", reason, image.path(corpus.root))
    return usable


def _reason_against(image: MimicImage, corpus: MimicCorpus, args: argparse.Namespace) -> str | None:
    """The first reason why an image makes no pair."""
    report = corpus.reports.get(image.study)
    if args.views == "frontal" and corpus.views.get(image.dicom_id) not in FRONTAL_VIEWS:
        return NOT_FRONTAL
    if report is None:
        return NO_REPORT
    if not _choose(report, args.sections)[1]:
        return NO_TEXT
    return None if image.path(corpus.root).is_file() else NOT_FOUND


def _choose(report: ReportSections, sections: Sequence[str]) -> tuple[str, str]:
    """The first of the sections that has a word, and its text; both empty if none has."""
    texts = ((section, getattr(report, section)) for section in sections)
    return next(((section, text) for section, text in texts if normalize_report(text)), ("", ""))

"""PhantomCXR: synthetic frontal chest radiographs with synthetic reports, the embedded default dataset.

`python -m datasets_scripts build phantom --out DIR` writes it. A study is sampled (`phantom_state`), drawn
(`phantom_drawing`), reported (`phantom_report`) and given counterfactual reports (`phantom_counterfactual`). Study i
of a split depends on (seed, split, i, difficulty) alone, its pixels on the image size besides: a larger split begins
with the studies of a smaller one.
"""

import argparse
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from .card import DatasetInfo
from .perturbations import ReportPerturber
from .phantom_counterfactual import make_counterfactuals
from .phantom_drawing import draw
from .phantom_report import Choices, PhantomReport, write_report
from .phantom_state import (
    DIFFICULTIES,
    FINDINGS,
    GENERATOR_VERSION,
    PhantomState,
    chexpert_labels,
    get_difficulty,
    heart_distribution,
    prevalence,
    sample_state,
)
from .schema import COUNTERFACTUAL_KINDS, Box, Record
from .writer import check_replaceable, write_dataset

SPLITS: tuple[str, ...] = ("train", "validation", "test")
DEFAULT_TRAIN, DEFAULT_VALIDATION, DEFAULT_TEST = 6000, 500, 1000
DEFAULT_IMAGE_SIZE = 96
PixelBoxes = dict[str, tuple[int, int, int, int]]
_STREAMS: tuple[str, ...] = ("state", "image", "report", "counterfactual", "labels")


def generator(seed: int, split: str, index: int, stream: str) -> np.random.Generator:
    """The random numbers of one stream (a name of `_STREAMS`) of study `index` of a split."""
    key = [seed, SPLITS.index(split), index, _STREAMS.index(stream)]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))


def study_state(seed: int, split: str, index: int, difficulty: str) -> PhantomState:
    """The state of a study."""
    return sample_state(generator(seed, split, index, "state"), difficulty)


def study_image(seed: int, split: str, index: int, difficulty: str, image_size: int) -> tuple[Image.Image, PixelBoxes]:
    """The radiograph of a study, grey, and its boxes as `draw` gives them."""
    state = study_state(seed, split, index, difficulty)
    pixels, boxes = draw(state, image_size, generator(seed, split, index, "image"), difficulty)
    return Image.fromarray(pixels), boxes


def study_record(seed: int, split: str, index: int, difficulty: str, image_size: int) -> Record:
    """One study as a row to be written; its image is drawn when it is asked for."""
    state = study_state(seed, split, index, difficulty)
    choices = Choices(generator(seed, split, index, "report"))
    report = write_report(state, choices)
    name = f"phantom-{difficulty}-{seed}-{split}-{index:06d}"
    drawing = _Drawing(partial(study_image, seed, split, index, difficulty, image_size), report)
    return Record(
        image_id=name,
        study_id=name,
        report=report.report,
        findings=report.findings,
        impression=report.impression,
        image=drawing.image,
        synthetic=True,
        counterfactuals=make_counterfactuals(
            state, choices, generator(seed, split, index, "counterfactual"), difficulty
        ),
        labels=chexpert_labels(state),
        boxes=drawing.boxes,
    )


class _Drawing:
    """A study's image and boxes, drawn together; the boxes are kept, the image is not."""

    def __init__(self, draw_study: Callable[[], tuple[Image.Image, PixelBoxes]], report: PhantomReport) -> None:
        self._draw_study = draw_study
        self._report = report
        self._boxes: tuple[Box, ...] | None = None

    def image(self) -> Image.Image:
        image, boxes = self._draw_study()
        self._boxes = _boxes(boxes, self._report)
        return image

    def boxes(self) -> tuple[Box, ...]:
        if self._boxes is None:
            self._boxes = _boxes(self._draw_study()[1], self._report)
        return self._boxes


class StudyRecords:
    """The studies of a split as rows to be written, made anew whenever they are iterated.

    Args:
        seed, split, difficulty, image_size: as `study_record` takes them.
        count: studies.
    """

    def __init__(self, seed: int, split: str, count: int, difficulty: str, image_size: int) -> None:
        self._count = count
        self._record = partial(study_record, seed, split, difficulty=difficulty, image_size=image_size)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Record]:
        return (self._record(index) for index in range(self._count))


def _boxes(boxes: PixelBoxes, report: PhantomReport) -> tuple[Box, ...]:
    labels = {"heart": "Cardiomegaly"} | {name: spec.label for name, spec in FINDINGS.items() if spec.label}
    return tuple(
        Box(labels[name], report.phrases[name], (float(x0), float(y0), float(x1), float(y1)))
        for name, (x0, y0, x1, y1) in boxes.items()
        if name in labels
    )


def check_counts(counts: Mapping[str, int], seed: int, least: int = 0) -> None:
    """Refuse a split that is too small, or a negative seed.

    Raises:
        ValueError: a count is below `least`, or the seed below 0; the values are named.
    """
    wrong = {name: count for name, count in counts.items() if count < least} | ({"seed": seed} if seed < 0 else {})
    if wrong:
        raise ValueError(f"splits must be at least {least}, and the seed at least 0: {wrong}")


def build(
    out: Path,
    train: int = DEFAULT_TRAIN,
    image_size: int = DEFAULT_IMAGE_SIZE,
    seed: int = 0,
    difficulty: str = "default",
    *,
    validation: int = DEFAULT_VALIDATION,
    test: int = DEFAULT_TEST,
    num_proc: int = 1,
    overwrite: bool = False,
    progress: bool = True,
) -> None:
    """Write PhantomCXR to a folder that `datasets.load_dataset(str(out))` reads.

    Args:
        out: the folder to make.
        train, validation, test: studies of each split, one image each.
        image_size: side of the square images in pixels.
        seed: of everything that is random, the perturbed reports included.
        difficulty: a key of `phantom_state.DIFFICULTIES`.
        num_proc: processes that perturb the reports.
        overwrite: replace `out` where it holds a dataset written before.
        progress: show progress bars and a summary.

    Raises:
        ValueError: an unknown difficulty, a negative count or seed, too small an image; what `write_dataset` raises.
    """
    counts = dict(zip(SPLITS, (train, validation, test), strict=True))
    check_counts(counts, seed)
    get_difficulty(difficulty)
    check_replaceable(out, overwrite)
    splits = {
        split: StudyRecords(seed, split, count, difficulty, image_size) for split, count in counts.items() if count
    }
    command = (
        f"python -m datasets_scripts build phantom --out DIR --train {train} --validation {validation} --test {test} "
        f"--image_size {image_size} --seed {seed} --difficulty {difficulty}"
    )
    info = DatasetInfo(
        name=f"PhantomCXR ({difficulty})",
        source=f"Generated by PhantomCXR, version {GENERATOR_VERSION}, from no patient's data.",
        licence="apache-2.0",
        description=_DESCRIPTION,
        command=command,
        synthetic_images=True,
        sections={
            "Generator": _generator_section(difficulty, image_size, seed),
            "Counterfactuals": _counterfactual_section(splits),
        },
        tags=("phantom",),
    )
    write_dataset(
        out, splits, info, ReportPerturber(seed=seed), num_proc=num_proc, overwrite=overwrite, progress=progress
    )


_DESCRIPTION = (
    "Frontal chest radiographs drawn by a program from sampled states, with reports that a grammar writes from the "
    "same states in the manner of real ones. It serves to train and compare vision-language methods on any machine, "
    "and to measure whether a model reads the image: the counterfactual reports cannot be told from the original "
    "without it. It says nothing about how a model does on radiographs of patients, and is of no clinical use."
)


def _generator_section(difficulty: str, image_size: int, seed: int) -> str:
    level = DIFFICULTIES[difficulty]
    hearts = heart_distribution(difficulty)
    rows = [("enlarged heart", 1.0 - hearts["normal"])]
    rows += [(name.replace("_", " "), prevalence(name, difficulty)) for name in FINDINGS]
    table = "\n".join(f"| {name} | {100 * share:.1f} % |" for name, share in rows)
    return (
        f"Generator version {GENERATOR_VERSION}, difficulty `{difficulty}` (contrast {level.contrast}, noise "
        f"{level.noise} grey levels, clutter {level.clutter}, prevalence times {level.prevalence}), "
        f"{image_size} x {image_size} pixels, seed {seed}. Study *i* of a split depends on seed, split, *i* and "
        "difficulty alone. Findings are independent of each other; a study has each with this probability:\n\n"
        f"| finding | probability |\n| --- | --- |\n{table}"
    )


def _counterfactual_section(splits: Mapping[str, Iterable[Record]]) -> str:
    studies = dict.fromkeys(splits, 0)
    kept: dict[str, Counter[str]] = {split: Counter() for split in splits}
    for split, records in splits.items():
        for record in records:
            studies[split] += 1
            kept[split].update(list(record.counterfactuals))
    header = " | ".join(splits)
    lines = [
        f"| {kind} | "
        + " | ".join(f"{kept[split][kind]} ({studies[split] - kept[split][kind]})" for split in splits)
        + " |"
        for kind in COUNTERFACTUAL_KINDS
    ]
    return (
        "For each kind one edit of the state is proposed and kept with the probability that makes the pair of the "
        "state and its edit as likely as the reverse; there is no second try. Both are reported with the same random "
        "choices. A kind whose edit was rejected, or that had nothing to edit, is null. Kept (null):\n\n"
        f"| kind | {header} |\n| --- |{' --- |' * len(splits)}\n" + "\n".join(lines)
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `build phantom`."""
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--train", type=int, default=DEFAULT_TRAIN, help="training studies")
    parser.add_argument("--validation", type=int, default=DEFAULT_VALIDATION, help="validation studies")
    parser.add_argument("--test", type=int, default=DEFAULT_TEST, help="test studies")
    parser.add_argument("--image_size", type=int, default=DEFAULT_IMAGE_SIZE, help="side of the images in pixels")
    parser.add_argument("--seed", type=int, default=0, help="of everything that is random")
    parser.add_argument("--difficulty", choices=tuple(DIFFICULTIES), default="default")
    parser.add_argument("--num_proc", type=int, default=1, help="processes that perturb the reports")
    parser.add_argument("--overwrite", action="store_true", help="replace a dataset written to the folder before")


def run(args: argparse.Namespace) -> None:
    """Build PhantomCXR as the parsed arguments say."""
    build(
        args.out,
        args.train,
        args.image_size,
        args.seed,
        args.difficulty,
        validation=args.validation,
        test=args.test,
        num_proc=args.num_proc,
        overwrite=args.overwrite,
    )

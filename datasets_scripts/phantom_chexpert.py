"""PhantomCXR in CheXpert's layout: its CSV files and JPEG files, a stand-in where CheXpert is not at hand.

`python -m datasets_scripts build phantom_chexpert --out SOURCE` writes what `build chexpert --source SOURCE --out DIR`
reads, which marks every image as synthetic. Patients have one frontal view each. As in CheXpert, the labels of
train.csv are those that the report states: 1 for what it affirms, 0 for what it denies, blank for what it does not
mention, and some uncertain (-1); those of valid.csv are the state's. Study i depends on (seed, split, i, difficulty)
alone.
"""

import argparse
import csv
import io
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from .card import MARKER
from .chexpert_images import CSV_COLUMNS, FILES, STAND_IN_ROOT
from .output_files import writing
from .phantom import DEFAULT_IMAGE_SIZE, check_counts, generator, study_image, study_state
from .phantom_report import CLEAR_PROBABILITY, Choices
from .phantom_state import (
    DIFFICULTIES,
    FINDINGS,
    GENERATOR_VERSION,
    PhantomState,
    chexpert_labels,
    get_difficulty,
)
from .schema import CHEXPERT_LABELS
from .writer import check_replaceable

DEFAULT_TRAIN, DEFAULT_VALIDATION = 4000, 500
DEFAULT_SEED = 1
DEFAULT_UNCERTAIN = 0.05
NO_FINDING = "No Finding"
_ARGUMENTS = "arguments.json"
_QUALITY = 95

_README = """{marker}

# PhantomCXR in CheXpert's layout

**The images are synthetic: drawn by a program, not taken of a patient. This is not CheXpert.** It stands in for its
files where a program is to be run or tested without them, and is of no clinical use. Generator version {version}.

```
{command}
```

`python -m datasets_scripts build chexpert --source THIS_FOLDER --out DIR` makes a dataset of it.
"""


def reported_labels(
    state: PhantomState, choices: Choices, rng: np.random.Generator, uncertain: float
) -> dict[str, float]:
    """CheXpert's labels as a program would read them from the report; what it does not mention is left out.

    Args:
        state, choices: of the report.
        rng: draws what is uncertain, as many numbers whatever the state.
        uncertain: the probability with which a label that the report states is -1; "No Finding", instead, is left out
            where a finding is uncertain.
    """
    denied = {FINDINGS[name].label for name in FINDINGS if choices.denial_stated(name)}
    denied.add("Cardiomegaly")  # the heart's size is always stated
    if choices.says("clear.said", CLEAR_PROBABILITY):
        denied.add("Lung Opacity")
    stated = {name: value for name, value in chexpert_labels(state).items() if value == 1.0 or name in denied}
    unsure = rng.random(len(CHEXPERT_LABELS)) < uncertain
    doubted = {name for name, doubt in zip(CHEXPERT_LABELS, unsure, strict=True) if doubt and name != NO_FINDING}
    doubted &= stated.keys()
    if doubted:
        stated.pop(NO_FINDING, None)
    return stated | dict.fromkeys(doubted, -1.0)


def build(
    out: Path,
    train: int = DEFAULT_TRAIN,
    validation: int = DEFAULT_VALIDATION,
    image_size: int = DEFAULT_IMAGE_SIZE,
    seed: int = DEFAULT_SEED,
    difficulty: str = "default",
    *,
    uncertain: float = DEFAULT_UNCERTAIN,
    overwrite: bool = False,
) -> None:
    """Write PhantomCXR in CheXpert's layout.

    It is written beside `out`, in the hidden `.NAME.partial`, and moved there when it is whole. A call that did not
    end is taken up by the same call, which keeps the images that are there.

    Args:
        out: the folder to make.
        train, validation: images in train.csv and valid.csv.
        image_size: side of the square images in pixels.
        seed: of everything that is random; by default another than `build phantom`'s, so that no image is in both.
        difficulty: a key of `phantom_state.DIFFICULTIES`.
        uncertain: share of the labels of train.csv that are uncertain.
        overwrite: replace `out` where it was written by datasets_scripts.

    Raises:
        ValueError: a count below 1, a negative seed, an unknown difficulty, a share that is none, too small an image.
        FileExistsError: `out` is not empty, and `overwrite` is off or `out` is none of ours; or the hidden folder is
            none of ours.
        OSError: something cannot be written.
    """
    counts = {"train": train, "validation": validation}
    check_counts(counts, seed, least=1)
    if not 0.0 <= uncertain <= 1.0:
        raise ValueError(f"--uncertain must be between 0 and 1, not {uncertain}")
    get_difficulty(difficulty)
    check_replaceable(out, overwrite)
    arguments = {**counts, "image_size": image_size, "seed": seed, "difficulty": difficulty, "uncertain": uncertain}
    partial = _open_partial(out, {**arguments, "version": GENERATOR_VERSION})
    first = 1
    for split, count in counts.items():
        studies = StandInStudies(split, first, count, image_size, seed, difficulty, uncertain)
        studies.write(partial)
        first += count
    flags = " ".join(f"--{name} {value}" for name, value in arguments.items())
    command = f"python -m datasets_scripts build phantom_chexpert --out DIR {flags}"
    _write_text(partial / "README.md", _README.format(marker=MARKER, version=GENERATOR_VERSION, command=command))
    (partial / _ARGUMENTS).unlink()
    with writing(out):
        if out.exists():
            shutil.rmtree(out)
        os.replace(partial, out)


@dataclass(frozen=True)
class StandInStudies:
    """The studies of one CSV file.

    Attributes:
        split: `train` or `validation`.
        first: number of the first patient.
        count: patients.
        image_size, seed, difficulty, uncertain: as in `build`.
    """

    split: str
    first: int
    count: int
    image_size: int
    seed: int
    difficulty: str
    uncertain: float

    def write(self, folder: Path) -> None:
        """Write the images that are not there yet, then the CSV file."""
        name = FILES[self.split]
        for index in tqdm(range(self.count), f"draw for {name}", unit="image", disable=None):
            path = folder / self._image(index)
            if not path.exists():
                self._draw(path, index)
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(CSV_COLUMNS)
        rows.writerows(map(self._row, range(self.count)))
        _write_text(folder / name, text.getvalue())

    def _image(self, index: int) -> str:
        return f"{Path(FILES[self.split]).stem}/patient{self.first + index:05d}/study1/view1_frontal.jpg"

    def _draw(self, path: Path, index: int) -> None:
        image, _ = study_image(self.seed, self.split, index, self.difficulty, self.image_size)
        part = path.with_suffix(".part")
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            image.save(part, "JPEG", quality=_QUALITY)
            os.replace(part, path)

    def _row(self, index: int) -> list[str]:
        state = study_state(self.seed, self.split, index, self.difficulty)
        labels = chexpert_labels(state)
        if self.split == "train":
            choices = Choices(generator(self.seed, self.split, index, "report"))
            labels = reported_labels(state, choices, generator(self.seed, self.split, index, "labels"), self.uncertain)
        # A phantom has neither sex nor age: as CheXpert writes what it does not know.
        patient = ["Unknown", "0", "Frontal", "AP" if state.get("portable") else "PA"]
        values = [str(labels[name]) if name in labels else "" for name in CHEXPERT_LABELS]
        return [f"{STAND_IN_ROOT}/{self._image(index)}", *patient, *values]


def _open_partial(out: Path, arguments: Mapping[str, Any]) -> Path:
    """The hidden folder beside `out`, emptied where it was begun with other arguments."""
    partial = out.resolve().with_name(f".{out.resolve().name}.partial")
    known, now = partial / _ARGUMENTS, json.dumps(arguments, sort_keys=True)
    if partial.exists() and any(partial.iterdir()):
        if not known.is_file():
            raise FileExistsError(f"{partial} is in the way and none of ours; move it, or name another folder")
        if known.read_text(encoding="utf-8") != now:
            shutil.rmtree(partial)
    with writing(partial):
        partial.mkdir(parents=True, exist_ok=True)
    _write_text(known, now)
    return partial


def _write_text(path: Path, text: str) -> None:
    with writing(path):
        path.write_text(text, encoding="utf-8")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `build phantom_chexpert`."""
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--train", type=int, default=DEFAULT_TRAIN, help="images of train.csv")
    parser.add_argument("--validation", type=int, default=DEFAULT_VALIDATION, help="images of valid.csv")
    parser.add_argument("--image_size", type=int, default=DEFAULT_IMAGE_SIZE, help="side of the images in pixels")
    parser.add_argument(
        "--seed", type=int, default=DEFAULT_SEED, help="of everything that is random (default %(default)s)"
    )
    parser.add_argument("--difficulty", choices=tuple(DIFFICULTIES), default="default")
    parser.add_argument(
        "--uncertain",
        type=float,
        default=DEFAULT_UNCERTAIN,
        help="share of the labels that train.csv states which are uncertain, -1 (default %(default)s)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace what was written to the folder before")


def run(args: argparse.Namespace) -> None:
    """Write the files as the parsed arguments say."""
    build(
        args.out,
        args.train,
        args.validation,
        args.image_size,
        args.seed,
        args.difficulty,
        uncertain=args.uncertain,
        overwrite=args.overwrite,
    )

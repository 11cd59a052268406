"""What the card of a CheXpert dataset says: labels and policies with their counts, splits, licence, the command."""

import argparse
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pyarrow.parquet as pq
from datasets import Features

from .card import DatasetInfo, DatasetKind, markdown_table
from .chexpert_images import PAPER_SPLIT
from .input_files import bare_name, hash_file
from .schema import CHEXPERT_LABELS, features

LATERAL = "lateral view"
NOT_FOUND = "image not found"
NOT_DRAWN = "not drawn for the paper's split"

_COLUMNS: dict[str, str] = {
    "image": "the radiograph, 8-bit grey",
    "image_id": "patient, study and view, such as `patient00001/study1/view1_frontal`",
    "study_id": "patient and study",
    "synthetic": "false: the images were taken, not drawn",
    "labels": "CheXpert's fourteen observations: 1 present, 0 absent, null where a loss must pass over them",
}

KIND = DatasetKind(
    # Those of a perturbed-pairs dataset that need no report.
    features=Features({name: feature for name, feature in features().items() if name in _COLUMNS}),
    columns=[(f"`{name}`", meaning) for name, meaning in _COLUMNS.items()],
    task_categories=("image-classification",),
    tags=("chest-x-ray", "radiology"),
    row="image",
)
"""A dataset of images with labels."""

_DESCRIPTION = "Chest radiographs with fourteen labels, to fine-tune image classifiers on. There are no reports."

_SOURCE = (
    "CheXpert v1.0, https://stanfordmlgroup.github.io/competitions/chexpert (Irvin et al., *CheXpert: A Large Chest"
    " Radiograph Dataset with Uncertainty Labels and Expert Comparison*, AAAI 2019). Shared under the Stanford"
    " University Dataset Research Use Agreement, for research by those who signed it: neither the data nor this"
    " dataset, which is made of them, may be shared with others."
)

_LICENCE_NAME = "stanford-university-dataset-research-use-agreement"
_LICENCE_LINK = "https://stanfordmlgroup.github.io/competitions/chexpert/"  # it stands on the page of the data

_SPLITS = (
    "`train` is train.csv, whose labels a program read from reports; `validation` is valid.csv, read by radiologists."
)

_PAPER_SPLIT = (
    f"`train` and `test` are {PAPER_SPLIT['train']:,} and {PAPER_SPLIT['test']} images of train.csv, as many as in the"
    " PRD paper, which does not say how it drew them: here whole patients, in the order of a hash of seed and patient."
    " The labels of both were read from reports by a program. `validation` is valid.csv, read by radiologists."
)

_UNCERTAIN = {"ones": "became 1 (U-Ones)", "zeros": "became 0 (U-Zeros)", "ignore": "is null (U-Ignore)"}
_BLANK = {"zeros": "became 0, as the CheXpert paper counts it", "ignore": "is null"}


def describe(args: argparse.Namespace, csv_files: Mapping[str, Path], left_out: Mapping[str, int]) -> DatasetInfo:
    """Describe a build, from its arguments, the CSV files and what was left out before images are read."""
    return DatasetInfo(
        name="CheXpert images and labels",
        source=_SOURCE,
        licence="other",
        description=_DESCRIPTION,
        command=_command(args),
        synthetic_images=False,
        left_out=left_out,
        inputs={path.name: hash_file(path) for path in csv_files.values()},
        notes=((_PAPER_SPLIT if args.paper_split else _SPLITS) + " No patient is in two splits.",),
        tags=("chexpert",),
        licence_name=_LICENCE_NAME,
        licence_link=_LICENCE_LINK,
    )


def describe_labels(args: argparse.Namespace, shards: Mapping[str, Sequence[Path]]) -> str:
    """What became of the labels, and how often each stands in the finished shards of each split."""
    counts = {split: _count_labels(paths) for split, paths in shards.items()}
    header = ["label", *(f"`{split}` {value}" for split in counts for value in ("1", "0", "null"))]
    rows = [
        [label, *(f"{counts[split][label, value]:,}" for split in counts for value in (1.0, 0.0, None))]
        for label in CHEXPERT_LABELS
    ]
    return (
        f"A label that is uncertain (-1 in the CSV file) {_UNCERTAIN[args.uncertain]}; one that the report does not"
        f" mention (blank) {_BLANK[args.blank]}. Images by label:\n\n{markdown_table(header, rows)}"
    )


def _command(args: argparse.Namespace) -> str:
    """The command less its folders and what does not change the result."""
    paper_split = f" --paper_split --seed {args.seed}" if args.paper_split else ""
    return (
        f"python -m datasets_scripts build chexpert --source {bare_name(args.source)} --out DIR"
        f" --uncertain {args.uncertain} --blank {args.blank} --views {args.views}{paper_split}"
        f" --image_size {args.image_size}"
    )


def _count_labels(shards: Iterable[Path]) -> Counter[tuple[str, float | None]]:
    """How many images have a label at a value; read from the shards, some of which an earlier run may have written."""
    counts: Counter[tuple[str, float | None]] = Counter()
    for shard in shards:
        for labels in pq.read_table(shard, columns=["labels"])["labels"].to_pylist():
            counts.update(labels.items())
    return counts

"""What the card of a dataset made of a table says: the columns it was made of, how rows were split, the command."""

import argparse
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence

from .card import DatasetInfo
from .input_files import bare_name, hash_file
from .table_rows import Layout

_DESCRIPTION = (
    "Radiographs and their reports, each report with nine perturbations, in pairs of image and report. Images are"
    " 8-bit grey{size}. A row of the table that could not be used was left out, and is counted below under its reason."
)

_FLAGS = (
    "image_column",
    "report_column",
    "id_column",
    "study_column",
    "split_column",
    "label_column",
    "labels_prefix",
)
_CLASSES_NAMED = 10
_LONGEST_CLASS = 40  # characters


def describe(
    args: argparse.Namespace, layout: Layout, left_out: Mapping[str, int], notes: Sequence[str]
) -> DatasetInfo:
    """Describe the dataset that `build table` makes with these arguments."""
    size = f", their shorter side at most {args.image_size} pixels" if args.image_size else ", at full size"
    return DatasetInfo(
        name=f"{args.table.stem} perturbed pairs",
        source=f"The table `{args.table.name}` and the image files it names.",
        licence=args.licence,
        description=_DESCRIPTION.format(size=size),
        command=_command(args),
        synthetic_images=args.synthetic,
        left_out=left_out,
        inputs={args.table.name: hash_file(args.table)},
        notes=tuple(notes),
        sections={"Columns of the table": _columns(args, layout)},
    )


def few_studies_note(validation: int, studies: int) -> str:
    """Say that these many of the studies went to validation because the hash had parted none from the others."""
    return (
        f"The hash put all {studies} studies with a readable image into one split, so validation was given the"
        f" {validation} of lowest hash: more studies may change which ones."
    )


def classes_note(layout: Layout, classes: Counter[str]) -> str:
    """Name the values of the label column that gave no label, the most frequent first, with their rows."""
    named = [
        f"{' '.join(value.split())[:_LONGEST_CLASS]} {rows:,}" for value, rows in classes.most_common(_CLASSES_NAMED)
    ]
    more = [f"{len(classes) - _CLASSES_NAMED:,} others"] if len(classes) > _CLASSES_NAMED else []
    return (
        f"Values of the label column `{layout.label}` that are none of CheXpert's fourteen labels:"
        f" {', '.join([*named, *more])}."
    )


def _command(args: argparse.Namespace) -> str:
    """The command less its folders and what does not change the result."""
    flags = "".join(
        f" --{flag} {shlex.quote(getattr(args, flag))}" for flag in _FLAGS if getattr(args, flag) is not None
    )
    labels = " --no_labels" if args.no_labels else ""
    split = "" if args.split_column else f" --validation {args.validation}"
    return (
        f"python -m datasets_scripts build table --table {shlex.quote(args.table.name)} --image_root"
        f" {shlex.quote(bare_name(args.image_root))} --out DIR{flags}{labels}{split} --image_size {args.image_size}"
        f" --licence {shlex.quote(args.licence)}{' --synthetic' if args.synthetic else ''} --seed {args.seed}"
        f" --spacy_model {shlex.quote(bare_name(args.spacy_model))}"
    )


def _columns(args: argparse.Namespace, layout: Layout) -> str:
    image_id = f"`{layout.image_id}`" if layout.image_id else "the image's path and the row number"
    study = f"`{layout.study}`" if layout.study else "the image's path"
    split = f"`{layout.split}`" if layout.split else f"{args.validation:.0%} of the studies, by a hash, to validation"
    named = [f"`{layout.label}` (the name of one)"] if layout.label else []
    labels = ", ".join([*named, *(f"`{column}` ({label})" for column, label in layout.labels.items())]) or "none"
    return (
        f"Image: `{layout.image}`. Report: `{layout.report}`. Id: {image_id}. Study: {study}. Split: {split}."
        f" Labels: {labels}."
    )

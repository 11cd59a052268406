"""What the card of a dataset made of a table says: the columns it was made of, how rows were split, the command."""

import argparse
import shlex
from collections.abc import Mapping

from .card import DatasetInfo
from .input_files import bare_name, hash_file
from .table_rows import Layout

_DESCRIPTION = (
    "Radiographs and their reports, each report with nine perturbations, in pairs of image and report. Images are"
    " 8-bit grey{size}. A row of the table that could not be used was left out, and is counted below under its reason."
)

_FLAGS = ("image_column", "report_column", "id_column", "study_column", "split_column", "labels_prefix")


def describe(args: argparse.Namespace, layout: Layout, left_out: Mapping[str, int]) -> DatasetInfo:
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
        sections={"Columns of the table": _columns(args, layout)},
    )


def _command(args: argparse.Namespace) -> str:
    """The command less its folders and what does not change the result."""
    flags = "".join(
        f" --{flag} {shlex.quote(getattr(args, flag))}" for flag in _FLAGS if getattr(args, flag) is not None
    )
    split = "" if args.split_column else f" --validation {args.validation}"
    return (
        f"python -m datasets_scripts build table --table {shlex.quote(args.table.name)} --image_root"
        f" {shlex.quote(bare_name(args.image_root))} --out DIR{flags}{split} --image_size {args.image_size}"
        f" --licence {shlex.quote(args.licence)}{' --synthetic' if args.synthetic else ''} --seed {args.seed}"
        f" --spacy_model {shlex.quote(bare_name(args.spacy_model))}"
    )


def _columns(args: argparse.Namespace, layout: Layout) -> str:
    image_id = f"`{layout.image_id}`" if layout.image_id else "the image's path and the row number"
    study = f"`{layout.study}`" if layout.study else "the image's path"
    split = f"`{layout.split}`" if layout.split else f"{args.validation:.0%} of the studies, by a hash, to validation"
    labels = ", ".join(f"`{column}` ({label})" for column, label in layout.labels.items()) or "none"
    return (
        f"Image: `{layout.image}`. Report: `{layout.report}`. Id: {image_id}. Study: {study}. Split: {split}."
        f" Labels: {labels}."
    )

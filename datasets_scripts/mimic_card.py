"""What the card of a MIMIC-CXR dataset says: where the reports come from, labels, licence, the command."""

import argparse
import shlex
from collections.abc import Mapping

from .card import DatasetInfo
from .input_files import bare_name
from .mimic_images import LABEL_TABLE
from .physionet import PHYSIONET_LICENCE, PHYSIONET_TERMS, licence_page

NOT_FRONTAL = "view is not AP or PA"
NO_REPORT = "no report of its study"
NO_TEXT = "its report has no text in the sections that were asked for"
NOT_FOUND = "image not found"

_DESCRIPTION = (
    "Chest radiographs and their reports, each report with nine perturbations, in pairs of image and report. The"
    " splits are the corpus's own (`validation` is its `validate`); no patient is in two."
)

_SOURCE = (
    "Images of MIMIC-CXR-JPG 2.0.0, https://physionet.org/content/mimic-cxr-jpg/, and reports of MIMIC-CXR 2.0.0,"
    " https://physionet.org/content/mimic-cxr/ (Johnson et al., *MIMIC-CXR, a de-identified publicly available"
    f" database of chest radiographs with free-text reports*, Scientific Data 2019). {PHYSIONET_TERMS}"
)

_LABELS = (
    f"Labels are those of the CheXpert labeler in `{LABEL_TABLE}`: 1, 0, -1 uncertain; one that the"
    " report does not mention is null."
)

_NO_LABELS = f"`{LABEL_TABLE}` was not there, so all labels are null."

_BLANKS = (
    " What was taken out of a report to hide who it is about stands as `___` in `findings` and `impression`, and"
    " leaves no trace in `report`."
)


def describe(
    args: argparse.Namespace,
    left_out: Mapping[str, int],
    inputs: Mapping[str, str],
    pairs_by_section: Mapping[str, int],
) -> DatasetInfo:
    """Describe a build, from its arguments, what it left out and read, and the section that reports were made of."""
    return DatasetInfo(
        name="MIMIC-CXR perturbed pairs",
        source=_SOURCE,
        licence="other",
        description=_DESCRIPTION,
        command=_command(args),
        synthetic_images=False,
        left_out=left_out,
        inputs=inputs,
        sections={
            "Reports": _reports(pairs_by_section),
            "Labels": _LABELS if inputs.keys() & {LABEL_TABLE, f"{LABEL_TABLE}.gz"} else _NO_LABELS,
        },
        tags=("mimic-cxr",),
        licence_name=PHYSIONET_LICENCE,
        licence_link=licence_page("mimic-cxr-jpg", "2.0.0"),
    )


def _command(args: argparse.Namespace) -> str:
    """The command less its folders and what does not change the result."""
    reports = "" if args.reports is None else f" --reports {shlex.quote(bare_name(args.reports))}"
    return (
        f"python -m datasets_scripts build mimic_cxr --source {shlex.quote(bare_name(args.source))}{reports} --out DIR"
        f" --sections {' '.join(args.sections)} --views {args.views} --image_size {args.image_size} --seed {args.seed}"
        f" --spacy_model {shlex.quote(bare_name(args.spacy_model))}"
    )


def _reports(pairs_by_section: Mapping[str, int]) -> str:
    counts = ", ".join(f"`{section}` for {count:,} pairs" for section, count in pairs_by_section.items())
    return (
        "`report` is made of the first of these sections that has text, and `findings` holds that section as written:"
        f" {counts}. `last_paragraph` is what follows the first paragraph of the last section in a report with neither"
        f" findings nor impression, as in the corpus's own `create_section_files.py` (without its list of 54"
        f" studies cut by hand).{_BLANKS}"
    )

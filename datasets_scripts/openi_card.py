"""What the card of an Open-I dataset says: counts of the corpus, labels, licence, the command, stand-in images."""

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence

from .card import DatasetInfo
from .input_files import bare_name, hash_file
from .openi_reports import OpenIReport, hash_reports
from .openi_views import FRONTAL, LATERAL
from .perturbations import normalize_report
from .schema import Record

PHANTOM = "phantom"
"""What `--images` says to have stand-ins drawn."""

NO_FINDINGS = "the report has no findings"
NOT_FOUND = "image not found"
NOT_FRONTAL = "not frontal, or not among the projections"

_DESCRIPTION = "Findings of chest radiographs, each with nine perturbations, in pairs of image and report."

_PHANTOM = (
    " The images of Open-I were not at hand. Each image stands in for one: PhantomCXR drew it from the MeSH codes"
    " of the report, with what they leave open (side, zone, size) drawn at random, and another pose for each image"
    " of a study; all are frontal. They show roughly what the codes say and nothing else of the report. A finding of"
    " both sides is drawn on one. Nothing measured on them holds for radiographs."
)

_LABELS = (
    "Labels come from the MeSH codes that indexers gave by hand, as far as these settle them. A finding that a"
    " code names is 1, with its parents in CheXpert's hierarchy, and `No Finding` is 0; a finding coded"
    " `borderline` is -1. A report coded `normal` has `No Finding` 1 and every pathology 0. All else is null."
)

_SOURCE = (
    "Reports and images of the Indiana University Chest X-ray Collection, as the National Library of Medicine"
    " publishes them at https://openi.nlm.nih.gov (Demner-Fushman et al., *Preparing a collection of radiology"
    " examinations for distribution and retrieval*, JAMIA 2016). Their licence, Creative Commons"
    " Attribution-NonCommercial-NoDerivatives 4.0, lets nobody share adaptations: `perturbed` and `counterfactual`"
    " hold derivatives of the reports, so keep this dataset to yourself."
)


def describe(
    args: argparse.Namespace,
    corpus: Sequence[OpenIReport],
    splits: Mapping[str, Sequence[Record]],
    image_size: int,
    views: Mapping[str, str] | None = None,
) -> DatasetInfo:
    """Describe a build: its arguments, all reports, the pairs whose image was found or is drawn, views by image."""
    drawn = args.images == PHANTOM
    images = sum(len(report.image_ids) for report in corpus)
    pairs = [image_id for report in corpus if normalize_report(report.findings) for image_id in report.image_ids]
    of_view = pairs
    if args.views == "frontal" and views is not None:
        of_view = [image_id for image_id in pairs if views.get(image_id) == FRONTAL]
    missing = len(of_view) - sum(len(records) for records in splits.values())
    note = "The splits were made before images were looked up: these are parts of those of the whole corpus."
    return DatasetInfo(
        name="Open-I perturbed pairs" + (" (real reports, drawn images)" if drawn else ""),
        source=_SOURCE,
        licence="cc-by-nc-nd-4.0",
        description=_DESCRIPTION + (_PHANTOM if drawn else ""),
        command=_command(args, image_size),
        synthetic_images=drawn,
        left_out={
            NO_FINDINGS: images - len(pairs),
            NOT_FRONTAL: len(pairs) - len(of_view),
            NOT_FOUND: missing,
        },
        inputs=_inputs(args),
        notes=(note,) if missing else (),
        sections={
            "Corpus": _corpus(corpus),
            **({} if views is None else {"Views": _views(pairs, views)}),
            "Labels": _LABELS,
        },
        tags=("open-i",),
    )


def _command(args: argparse.Namespace, image_size: int) -> str:
    """The command less its folders and what does not change the result."""
    images = PHANTOM if args.images == PHANTOM else bare_name(args.images)
    views = "" if args.projections is None else f" --projections {bare_name(args.projections)} --views {args.views}"
    return (
        f"python -m datasets_scripts build openi --reports {bare_name(args.reports)} --images {images} --out DIR"
        f" --seed {args.seed} --spacy_model {bare_name(args.spacy_model)} --image_size {image_size}{views}"
    )


def _inputs(args: argparse.Namespace) -> dict[str, str]:
    projections = {} if args.projections is None else {bare_name(args.projections): hash_file(args.projections)}
    return {bare_name(args.reports): hash_reports(args.reports), **projections}


def _views(pairs: Sequence[str], views: Mapping[str, str]) -> str:
    count = Counter(views.get(image_id) for image_id in pairs)
    return (
        f"Of the pairs' images {count[FRONTAL]:,} are frontal and {count[LATERAL]:,} lateral by the projections, which"
        f" do not name {count[None]:,}."
    )


def _corpus(corpus: Sequence[OpenIReport]) -> str:
    usable = [report for report in corpus if normalize_report(report.findings)]
    images = sum(len(report.image_ids) for report in corpus)
    pairs = sum(len(report.image_ids) for report in usable)
    without_image = sum(not report.image_ids for report in usable)
    distinct = len({report.findings for report in usable})
    normalized = len({normalize_report(report.findings) for report in usable})
    return (
        f"{len(corpus):,} reports with {images:,} images. {len(usable):,} reports have findings ({without_image:,} of"
        f" them no image), which make {pairs:,} pairs with their images; of these findings {distinct:,} are distinct"
        f" as written, {normalized:,} normalised."
    )

"""What image-report pairs become in a perturbed-pairs dataset: its columns, and its groups of shards."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from .card import DatasetKind
from .partial_build import PartialBuild
from .perturbations import ReportPerturber
from .schema import CHEXPERT_LABELS, COUNTERFACTUAL_KINDS, Box, Record, features
from .shards import TRAIN, PlainRows, Row
from .tagging import PartOfSpeechTagger, TaggingProcesses

OVERLAP = "train-overlap"

PAIRS = DatasetKind(
    features=features(),
    columns=(
        ("`image`", "the radiograph"),
        ("`image_id`, `study_id`", "identifiers; all images of a study are in one split"),
        ("`synthetic`", "true where the image was drawn, not taken"),
        ("`report`", "the findings, normalised: lower case, words of letters and digits, single spaces"),
        ("`tags`", "the Penn Treebank tag of each word of `report`, joined by single spaces"),
        ("`findings`, `impression`", "as written"),
        ("`perturbed`", "nine perturbed versions of `report`, one field a perturbation"),
        ("`changed`", "for each perturbation, whether it differs from `report`"),
        (
            "`counterfactual`",
            "by kind, a fluent edit that contradicts the image: `text`, and the span it replaced; or null",
        ),
        ("`labels`", "CheXpert's fourteen: 1 present, 0 absent, -1 uncertain, null unknown"),
        ("`boxes`", "visible findings: `label`, the `phrase` that mentions it, `box` in pixels of `image`"),
    ),
    task_categories=("zero-shot-image-classification", "image-to-text"),
    tags=("chest-x-ray", "radiology", "perturbed-report-discrimination"),
    row="pair",
    splits_text=(
        "`default` holds every pair. `strict` is made of the same files, less the training pairs whose normalised "
        "report also stands in another split, so that no evaluated report was read in training."
    ),
)


class PairRows(PlainRows):
    """Adds `tags`, `perturbed` and `changed`; `strict` lacks the training pairs whose report an evaluated split holds.

    Args:
        memory: of the build, which holds tags, studies and evaluated reports; evaluated splits are written first.
        perturber, tagger: what makes the perturbed reports, and the tags for them.
    """

    configs = ("default", "strict")

    def __init__(
        self, memory: PartialBuild, perturber: ReportPerturber, tagger: PartOfSpeechTagger | TaggingProcesses
    ) -> None:
        self._memory = memory
        self._perturber = perturber
        self._tagger = tagger

    def groups(self, split: str, config: str = "default") -> tuple[str, ...]:
        """`train` is of two groups; the second is not in `strict`."""
        return (TRAIN, OVERLAP) if (split, config) == (TRAIN, "default") else (split,)

    def keeps_reports(self, split: str) -> bool:
        """Those of evaluated splits are, for `strict`."""
        return split != TRAIN

    def row(self, record: Record) -> Row:
        """The columns of a record, but for those that `complete` adds."""
        return {
            "image": record.image,
            "image_id": record.image_id,
            "study_id": record.study_id,
            "synthetic": record.synthetic,
            "report": record.report,
            "findings": record.findings,
            "impression": record.impression,
            "counterfactual": {
                kind: vars(record.counterfactuals[kind]) if kind in record.counterfactuals else None
                for kind in COUNTERFACTUAL_KINDS
            },
            "labels": {name: record.labels.get(name) for name in CHEXPERT_LABELS},
            "boxes": partial(_boxes, record.boxes),
        }

    def assign(self, split: str, rows: Sequence[Row]) -> list[str]:
        """Tell training pairs whose report an evaluated split holds from others; raises where a study is in two."""
        self._memory.check_studies(split, dict.fromkeys(row["study_id"] for row in rows))
        if split != TRAIN:
            return super().assign(split, rows)
        return [OVERLAP if self._memory.is_evaluated(row["report"]) else TRAIN for row in rows]

    def complete(self, rows: Sequence[Row]) -> list[Row]:
        """Add the columns that follow from each report; tagged are only those that never were."""
        known = {report: self._memory.tags(report) for report in sorted({row["report"] for row in rows})}
        new = [report for report, tags in known.items() if tags is None]
        tagged = dict(zip(new, self._tagger.tag(report.split() for report in new), strict=True))
        self._memory.add_tags(tagged.items())
        texts = {report: self._text(report, tags or tagged[report]) for report, tags in known.items()}
        return [{**row, **texts[row["report"]]} for row in rows]

    def _text(self, report: str, tags: list[str]) -> dict[str, Any]:
        perturbed = self._perturber.perturb_tagged(report, tags)
        changed = {name: text != report for name, text in perturbed.items()}
        return {"tags": " ".join(tags), "perturbed": perturbed, "changed": changed}


def _boxes(boxes: tuple[Box, ...] | Callable[[], tuple[Box, ...]]) -> list[dict[str, Any]]:
    return [vars(box) for box in (boxes() if callable(boxes) else boxes)]

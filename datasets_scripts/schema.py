"""The columns of a perturbed-pairs dataset: one row an image, whatever the corpus."""

from collections.abc import Callable
from dataclasses import dataclass, field

from datasets import Features, Image, List, Value
from PIL import Image as PILImage

from .perturbations import PERTURBATIONS, normalize_report

COUNTERFACTUAL_KINDS: tuple[str, ...] = ("negation", "laterality", "location", "severity", "heart_size", "finding")

CHEXPERT_LABELS: tuple[str, ...] = (
    "No Finding",
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
)

LABEL_VALUES: tuple[float, ...] = (1.0, 0.0, -1.0)


@dataclass(frozen=True)
class Counterfactual:
    """A fluent edit of a report that contradicts its image.

    Attributes:
        text: the edited report, normalised.
        start, end: character span of the edit in the original normalised `report`.
        replacement: what stands in `text` in place of `report[start:end]`.
    """

    text: str
    start: int
    end: int
    replacement: str


@dataclass(frozen=True)
class Box:
    """A visible finding: its label, the phrase of the report that mentions it, `(x0, y0, x1, y1)` in stored pixels."""

    label: str
    phrase: str
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class Record:
    """One image-report pair as a builder hands it to the writer, which adds `tags`, `perturbed` and `changed`.

    Attributes:
        image_id, study_id: identifiers; all images of a study go to one split.
        report: the normalised findings (`normalize_report(findings)`), at least one word.
        findings, impression: as written; impression may be empty.
        image: called once, when the row is written, perhaps from another thread; returns the radiograph, mode L or
            RGB, and raises OSError (which names the file) when it cannot be read.
        synthetic: whether the image was drawn and not taken.
        counterfactuals: by kind (`COUNTERFACTUAL_KINDS`); a kind that is absent is stored as null.
        labels: CheXpert's names to 1, 0, -1 (uncertain); an absent name is stored as null (unknown).
        boxes: the visible findings; or what finds them, called once, after `image`.

    Raises:
        ValueError: `report` is empty or not normalised, a kind, label or label value is unknown, or a counterfactual's
            span and replacement do not give its text.
    """

    image_id: str
    study_id: str
    report: str
    findings: str
    impression: str
    image: Callable[[], PILImage.Image]
    synthetic: bool
    counterfactuals: dict[str, Counterfactual] = field(default_factory=dict)
    labels: dict[str, float] = field(default_factory=dict)
    boxes: tuple[Box, ...] | Callable[[], tuple[Box, ...]] = ()

    def __post_init__(self) -> None:
        if not self.report:
            raise ValueError(f"image {self.image_id}: its report is empty; leave the pair out and count it")
        if self.report != normalize_report(self.report):
            raise ValueError(f"image {self.image_id}: report {self.report!r} is not normalised; use normalize_report")
        for kind, edit in self.counterfactuals.items():
            self._check_counterfactual(kind, edit)
        for label, value in self.labels.items():
            if label not in CHEXPERT_LABELS or value not in LABEL_VALUES:
                raise ValueError(
                    f"image {self.image_id}: label {label!r} = {value!r} is none of CheXpert's fourteen at 1, 0 or -1;"
                    " leave out what is unknown"
                )

    def _check_counterfactual(self, kind: str, edit: Counterfactual) -> None:
        if kind not in COUNTERFACTUAL_KINDS:
            raise ValueError(
                f"image {self.image_id}: counterfactual kind {kind!r} is none of {', '.join(COUNTERFACTUAL_KINDS)}"
            )
        if self.report[: edit.start] + edit.replacement + self.report[edit.end :] != edit.text:
            raise ValueError(
                f"image {self.image_id}: the {kind} counterfactual {edit.text!r} is not the report with characters "
                f"{edit.start}:{edit.end} replaced by {edit.replacement!r}"
            )


def features() -> Features:
    """The `datasets.Features` of a perturbed-pairs dataset."""
    counterfactual = {
        "text": Value("string"),
        "start": Value("int32"),
        "end": Value("int32"),
        "replacement": Value("string"),
    }
    return Features(
        {
            "image": Image(),
            "image_id": Value("string"),
            "study_id": Value("string"),
            "synthetic": Value("bool"),
            "report": Value("string"),
            "tags": Value("string"),
            "findings": Value("string"),
            "impression": Value("string"),
            "perturbed": {name: Value("string") for name in PERTURBATIONS},
            "changed": {name: Value("bool") for name in PERTURBATIONS},
            "counterfactual": {kind: dict(counterfactual) for kind in COUNTERFACTUAL_KINDS},
            "labels": {name: Value("float32") for name in CHEXPERT_LABELS},
            "boxes": List(
                {"label": Value("string"), "phrase": Value("string"), "box": List(Value("float32"), length=4)}
            ),
        }
    )

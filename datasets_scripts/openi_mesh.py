"""What Open-I's MeSH codes say: labels under CheXpert's names, and a state that PhantomCXR can draw.

A code is a heading with qualifiers, such as `Pleural Effusion/left/small`. The codes were given by hand to the whole
report; `normal` is the only code of a report without an abnormal finding.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from .phantom_state import FINDINGS, HEART_SIZES, Finding, PhantomState, draw_value
from .schema import CHEXPERT_LABELS

NORMAL = "normal"


@dataclass(frozen=True)
class _Rule:
    """A code of this heading means `target` if it has one of `qualifiers` (where there are any) and none of `without`.

    `size` is the finding's, where the code's own qualifiers give none.
    """

    heading: str
    target: str
    qualifiers: frozenset[str] = frozenset()
    without: frozenset[str] = frozenset()
    size: str | None = None

    def applies(self, heading: str, qualifiers: frozenset[str]) -> bool:
        wanted = not self.qualifiers or self.qualifiers & qualifiers
        return heading == self.heading and bool(wanted) and not self.without & qualifiers


def _any(*qualifiers: str) -> frozenset[str]:
    return frozenset(qualifiers)


_LUNG, _ENLARGED = _any("lung"), _any("enlarged")
_SHOULDER = _any("humerus", "shoulder")
_NO_PACEMAKER = _SHOULDER | _any("cervical vertebrae", "thoracic vertebrae", "abdomen", "aortic valve", "mitral valve")

_LABEL_RULES: tuple[_Rule, ...] = (
    _Rule("Mediastinum", "Enlarged Cardiomediastinum", _ENLARGED),
    _Rule("Cardiomegaly", "Cardiomegaly"),
    _Rule("Cardiac Shadow", "Cardiomegaly", _ENLARGED),
    _Rule("Opacity", "Lung Opacity", _LUNG),
    _Rule("Infiltrate", "Lung Opacity", _LUNG),
    _Rule("Airspace Disease", "Lung Opacity", _LUNG),
    _Rule("Nodule", "Lung Lesion", _LUNG),
    _Rule("Mass", "Lung Lesion", _LUNG),
    _Rule("Pulmonary Edema", "Edema"),
    _Rule("Consolidation", "Consolidation"),
    _Rule("Pneumonia", "Pneumonia"),
    _Rule("Pulmonary Atelectasis", "Atelectasis"),
    _Rule("Pneumothorax", "Pneumothorax"),
    _Rule("Hydropneumothorax", "Pneumothorax"),
    _Rule("Hemopneumothorax", "Pneumothorax"),
    _Rule("Pleural Effusion", "Pleural Effusion"),
    _Rule("Hydropneumothorax", "Pleural Effusion"),
    _Rule("Hemopneumothorax", "Pleural Effusion"),
    _Rule("Hemothorax", "Pleural Effusion"),
    _Rule("Thickening", "Pleural Other", _any("pleura")),
    _Rule("Fractures, Bone", "Fracture"),
    _Rule("Catheters, Indwelling", "Support Devices"),
    _Rule("Tube, Inserted", "Support Devices"),
    _Rule("Implanted Medical Device", "Support Devices"),
    _Rule("Medical Device", "Support Devices"),
)

# CheXpert's hierarchy (Irvin et al. 2019, figure 1): a child that is present makes its parent present.
_PARENTS: dict[str, str] = {
    "Cardiomegaly": "Enlarged Cardiomediastinum",
    "Edema": "Lung Opacity",
    "Consolidation": "Lung Opacity",
    "Pneumonia": "Lung Opacity",
    "Lung Lesion": "Lung Opacity",
    "Atelectasis": "Lung Opacity",
}

_NO_PATHOLOGY = ("No Finding", "Support Devices")

# The first rule that applies to a code decides; codes of no rule are not drawn.
_FINDING_RULES: tuple[_Rule, ...] = (
    _Rule("Pleural Effusion", "effusion"),
    _Rule("Hemothorax", "effusion"),
    _Rule("Costophrenic Angle", "effusion", _any("blunted"), size="small"),
    _Rule("Pneumothorax", "pneumothorax"),
    _Rule("Hydropneumothorax", "pneumothorax"),
    _Rule("Hemopneumothorax", "pneumothorax"),
    _Rule("Consolidation", "consolidation", size="large"),
    _Rule("Pneumonia", "consolidation"),
    _Rule("Airspace Disease", "consolidation"),
    _Rule("Nodule", "nodule", _LUNG, size="small"),
    _Rule("Mass", "nodule", _LUNG, size="large"),
    _Rule("Granuloma", "granuloma", _LUNG),
    _Rule("Calcified Granuloma", "granuloma", _LUNG),
    _Rule("Opacity", "nodule", _any("round"), size="small"),
    _Rule("Density", "nodule", _any("round"), size="small"),
    _Rule("Pulmonary Atelectasis", "atelectasis"),
    _Rule("Cicatrix", "atelectasis", _LUNG, size="small"),
    _Rule("Opacity", "atelectasis", _any("streaky"), size="small"),
    _Rule("Opacity", "edema", _any("interstitial"), size="mild"),
    _Rule("Opacity", "consolidation", _LUNG),
    _Rule("Infiltrate", "consolidation", _LUNG),
    _Rule("Density", "consolidation", _LUNG),
    _Rule("Pulmonary Edema", "edema"),
    _Rule("Pulmonary Congestion", "edema", size="mild"),
    _Rule("Catheters, Indwelling", "central_line"),
    _Rule("Tube, Inserted", "endotracheal_tube", _any("trachea", "trachea, carina")),
    _Rule("Tube, Inserted", "enteric_tube", _any("abdomen")),
    _Rule("Implanted Medical Device", "shoulder_prosthesis", _SHOULDER),
    _Rule("Implanted Medical Device", "pacemaker", without=_NO_PACEMAKER),
    _Rule("Surgical Instruments", "sternal_wires", _any("mediastinum")),
    # The phantom has clips in the right upper abdomen only.
    _Rule("Surgical Instruments", "surgical_clips", _any("abdomen"), without=_any("left")),
    _Rule("Spinal Fusion", "spinal_hardware"),
    _Rule("Fractures, Bone", "rib_fracture", _any("ribs")),
    _Rule("Aorta", "tortuous_aorta", _any("tortuous")),
    _Rule("Aorta, Thoracic", "tortuous_aorta", _any("tortuous")),
    _Rule("Scoliosis", "scoliosis"),
    _Rule("Diaphragm", "raised_diaphragm", _any("elevated")),
    _Rule("Diaphragmatic Eventration", "raised_diaphragm"),
)

_ZONE_OF: dict[str, str] = {
    "apex": "upper",
    "upper lobe": "upper",
    "hilum": "mid",
    "middle lobe": "mid",
    "lingula": "mid",
    "lower lobe": "lower",
    "base": "lower",
    "costophrenic angle": "lower",
    "retrocardiac": "lower",
    "trachea": "trachea",
    "trachea, carina": "trachea",
}
_SIDE_OF: dict[str, str] = {"left": "left", "right": "right", "lingula": "left", "middle lobe": "right"}
# A grade stands for the first of these sizes that the finding can have.
_SIZES_OF: dict[str, tuple[str, ...]] = {
    "small": ("small", "mild"),
    "mild": ("mild", "small"),
    "moderate": ("moderate", "large", "severe"),
    "large": ("large", "severe"),
    "severe": ("severe", "large"),
}


def labels_from_mesh(codes: Iterable[str]) -> dict[str, float]:
    """CheXpert's labels as far as the codes settle them; what they leave open is absent (unknown).

    A finding that a code names is 1 with its parents in CheXpert's hierarchy, and `No Finding` 0; a `borderline` one
    is -1. A report coded `normal` has `No Finding` 1 and every pathology 0; support devices stay open.
    """
    labels: dict[str, float] = {}
    normal = False
    for heading, qualifiers in _parsed(codes):
        normal |= heading == NORMAL
        for rule in _LABEL_RULES:
            if rule.applies(heading, qualifiers):
                value = -1.0 if "borderline" in qualifiers else 1.0
                labels[rule.target] = max(value, labels.get(rule.target, value))
    if normal:
        absent = {name: 0.0 for name in CHEXPERT_LABELS if name not in _NO_PATHOLOGY}
        labels = {"No Finding": 1.0, **absent, **labels}
    for child, parent in _PARENTS.items():
        if labels.get(child) == 1.0:
            labels[parent] = 1.0
    if any(value == 1.0 for name, value in labels.items() if name not in _NO_PATHOLOGY):
        labels["No Finding"] = 0.0
    return labels


def state_from_mesh(codes: Iterable[str], rng: np.random.Generator) -> PhantomState:
    """The state that a stand-in radiograph shows for a report's codes.

    Args:
        codes: the report's; those that the phantom cannot draw are passed over.
        rng: draws, from the phantom's prior, the side, zone or size that the codes leave open. A finding of both sides
            is drawn on one: the phantom has each finding once.
    """
    parsed = list(_parsed(codes))
    found: dict[str, Finding] = {}
    for heading, qualifiers in parsed:
        rule = next((rule for rule in _FINDING_RULES if rule.applies(heading, qualifiers)), None)
        if rule is not None and rule.target not in found:
            found[rule.target] = _finding(rule, qualifiers, rng)
    return PhantomState(_heart_size(parsed, rng), _lung_volume(parsed), tuple(found.values()))


def _parsed(codes: Iterable[str]) -> Iterator[tuple[str, frozenset[str]]]:
    for code in codes:
        heading, *qualifiers = (part.strip() for part in code.split("/"))
        yield heading, frozenset(qualifier.lower() for qualifier in qualifiers)


def _finding(rule: _Rule, qualifiers: frozenset[str], rng: np.random.Generator) -> Finding:
    coded: dict[str, set[str | None]] = {
        "side": {_SIDE_OF[qualifier] for qualifier in qualifiers & _SIDE_OF.keys()},
        "zone": {_ZONE_OF[qualifier] for qualifier in qualifiers & _ZONE_OF.keys()},
        "size": {_coded_size(rule, qualifiers)},
    }
    drawn = {name: _draw(prior, coded[name], rng) for name, prior in FINDINGS[rule.target].attributes.items()}
    return Finding(rule.target, **drawn)


def _coded_size(rule: _Rule, qualifiers: frozenset[str]) -> str | None:
    grades = sorted(qualifiers & _SIZES_OF.keys())
    sizes = (size for grade in grades for size in _SIZES_OF[grade] if size in FINDINGS[rule.target].size)
    return next(sizes, rule.size)


def _draw(prior: Mapping[str, float], coded: Collection[str | None], rng: np.random.Generator) -> str | None:
    """One of the coded values, by the prior among them; of all values, where none is coded that the prior knows."""
    allowed = {value: probability for value, probability in prior.items() if value in coded} or prior
    total = sum(allowed.values())
    return draw_value({value: probability / total for value, probability in allowed.items()}, rng)


def _heart_size(parsed: Iterable[tuple[str, frozenset[str]]], rng: np.random.Generator) -> str:
    enlarged = {size: probability for size, probability in HEART_SIZES.items() if size != NORMAL}
    for heading, qualifiers in parsed:
        if any(rule.applies(heading, qualifiers) for rule in _LABEL_RULES if rule.target == "Cardiomegaly"):
            coded = {"mild"} if "borderline" in qualifiers else qualifiers
            return str(_draw(enlarged, coded, rng))
    return NORMAL


def _lung_volume(parsed: Iterable[tuple[str, frozenset[str]]]) -> str:
    qualifiers = frozenset().union(*(found for heading, found in parsed if heading == "Lung"))
    return "low" if "hypoinflation" in qualifiers else "high" if "hyperdistention" in qualifiers else NORMAL

"""The states that PhantomCXR draws and reports, and their exact prior.

A state is what a radiograph shows: the size of the heart, the volume of the lungs, and findings, each with a side, a
zone and a size where it has them. The prior is a product: every finding is present independently of the others, and
its side, zone and size are independent given that it is present. So the probability of a state is known exactly, which
is what makes counterfactuals exchangeable (see `phantom_counterfactual`).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

GENERATOR_VERSION = "4"
"""Changes whenever a state, an image or a report of the same seed changes."""

SIDES: tuple[str, str] = ("left", "right")
ZONES: tuple[str, str, str] = ("upper", "mid", "lower")


@dataclass(frozen=True)
class Finding:
    """One thing seen on a radiograph.

    Attributes:
        name: a key of `FINDINGS`.
        side: the patient's "left" or "right", None where the finding has no side.
        zone: one of the finding's zones, None where it has none.
        size: one of the finding's sizes, None where it has none.
    """

    name: str
    side: str | None = None
    zone: str | None = None
    size: str | None = None

    def __post_init__(self) -> None:
        if self.name not in FINDINGS:
            raise ValueError(f"unknown finding {self.name!r}; known are {', '.join(FINDINGS)}")
        for attribute, allowed in FINDINGS[self.name].attributes.items():
            value = getattr(self, attribute)
            if value not in (tuple(allowed) or (None,)):
                options = ", ".join(allowed) or "None"
                raise ValueError(f"{self.name} has no {attribute} {value!r}; it takes {options}")


@dataclass(frozen=True)
class PhantomState:
    """What a radiograph shows; pose, exposure and noise belong to the drawing, so one state can have many views.

    Attributes:
        heart: one of `HEART_SIZES`.
        lung_volume: one of `LUNG_VOLUMES`.
        findings: at most one of each name, kept in the order of `FINDINGS`.
    """

    heart: str = "normal"
    lung_volume: str = "normal"
    findings: tuple[Finding, ...] = ()

    def __post_init__(self) -> None:
        if self.heart not in HEART_SIZES:
            raise ValueError(f"unknown heart size {self.heart!r}; known are {', '.join(HEART_SIZES)}")
        if self.lung_volume not in LUNG_VOLUMES:
            raise ValueError(f"unknown lung volume {self.lung_volume!r}; known are {', '.join(LUNG_VOLUMES)}")
        names = [finding.name for finding in self.findings]
        if len(set(names)) < len(names):
            raise ValueError(f"a state holds each finding once, got {', '.join(names)}")
        ordered = tuple(sorted(self.findings, key=lambda finding: FINDING_NAMES.index(finding.name)))
        object.__setattr__(self, "findings", ordered)

    def get(self, name: str) -> Finding | None:
        """The finding of that name, or None where the state lacks it."""
        return next((finding for finding in self.findings if finding.name == name), None)

    def without(self, name: str) -> "PhantomState":
        """The state less the finding of that name."""
        return PhantomState(self.heart, self.lung_volume, tuple(f for f in self.findings if f.name != name))

    def including(self, finding: Finding) -> "PhantomState":
        """The state with this finding, in place of one of the same name."""
        return PhantomState(self.heart, self.lung_volume, (*self.without(finding.name).findings, finding))


@dataclass(frozen=True)
class FindingSpec:
    """What a finding is and how often it is there.

    Attributes:
        label: CheXpert's name, None for a lesser fact without one.
        group: "finding", "device" or "lesser".
        prevalence: probability that a study has it at difficulty `default`.
        side, zone, size: each value the attribute may take, with its probability given the finding.
    """

    label: str | None
    group: str
    prevalence: float
    side: Mapping[str, float] = field(default_factory=dict)
    zone: Mapping[str, float] = field(default_factory=dict)
    size: Mapping[str, float] = field(default_factory=dict)

    @property
    def attributes(self) -> dict[str, Mapping[str, float]]:
        """`side`, `zone` and `size`, each with its distribution, empty where the finding has no such attribute."""
        return {"side": self.side, "zone": self.zone, "size": self.size}


_EITHER_SIDE = {"left": 0.5, "right": 0.5}
_SMALL_LARGE = {"small": 0.5, "large": 0.5}

FINDINGS: Mapping[str, FindingSpec] = MappingProxyType(
    {
        "effusion": FindingSpec(
            "Pleural Effusion", "finding", 0.065, _EITHER_SIDE, size={"small": 0.4, "moderate": 0.3, "large": 0.3}
        ),
        "pneumothorax": FindingSpec("Pneumothorax", "finding", 0.04, _EITHER_SIDE, size=_SMALL_LARGE),
        "consolidation": FindingSpec(
            "Consolidation", "finding", 0.065, _EITHER_SIDE, {"upper": 0.3, "mid": 0.3, "lower": 0.4}, _SMALL_LARGE
        ),
        "nodule": FindingSpec(
            "Lung Lesion", "finding", 0.055, _EITHER_SIDE, {"upper": 0.4, "mid": 0.3, "lower": 0.3}, _SMALL_LARGE
        ),
        "atelectasis": FindingSpec(
            "Atelectasis", "finding", 0.06, _EITHER_SIDE, {"mid": 0.4, "lower": 0.6}, _SMALL_LARGE
        ),
        "edema": FindingSpec("Edema", "finding", 0.04, size={"mild": 0.5, "severe": 0.5}),
        "central_line": FindingSpec(
            "Support Devices", "device", 0.06, {"left": 0.4, "right": 0.6}, {"vena cava": 0.6, "atrium": 0.4}
        ),
        "endotracheal_tube": FindingSpec("Support Devices", "device", 0.04, zone={"trachea": 0.6, "bronchus": 0.4}),
        "enteric_tube": FindingSpec("Support Devices", "device", 0.03),
        "pacemaker": FindingSpec("Support Devices", "device", 0.04, {"left": 0.7, "right": 0.3}),
        "sternal_wires": FindingSpec("Support Devices", "device", 0.08),
        "monitoring_leads": FindingSpec("Support Devices", "device", 0.25),
        "surgical_clips": FindingSpec("Support Devices", "device", 0.12),
        "spinal_hardware": FindingSpec("Support Devices", "device", 0.08),
        "shoulder_prosthesis": FindingSpec("Support Devices", "device", 0.05, _EITHER_SIDE),
        "portable": FindingSpec(None, "lesser", 0.40),
        "habitus": FindingSpec(None, "lesser", 0.30),
        "rotation": FindingSpec(None, "lesser", 0.20, _EITHER_SIDE),
        "rib_fracture": FindingSpec(
            "Fracture", "lesser", 0.10, _EITHER_SIDE, {"upper": 0.3, "mid": 0.4, "lower": 0.3}
        ),
        "granuloma": FindingSpec(None, "lesser", 0.10, _EITHER_SIDE, {"upper": 0.4, "mid": 0.3, "lower": 0.3}),
        "tortuous_aorta": FindingSpec(None, "lesser", 0.12, size=_SMALL_LARGE),
        "scoliosis": FindingSpec(None, "lesser", 0.12, _EITHER_SIDE, size=_SMALL_LARGE),
        "raised_diaphragm": FindingSpec(None, "lesser", 0.10, {"left": 0.4, "right": 0.6}, size=_SMALL_LARGE),
    }
)
FINDING_NAMES: tuple[str, ...] = tuple(FINDINGS)

HEART_SIZES: Mapping[str, float] = MappingProxyType({"normal": 0.88, "mild": 0.05, "moderate": 0.04, "severe": 0.03})
LUNG_VOLUMES: Mapping[str, float] = MappingProxyType({"normal": 0.62, "low": 0.20, "high": 0.18})


@dataclass(frozen=True)
class Difficulty:
    """How hard the facts are to see and how rare they are.

    Attributes:
        contrast: factor on the density of the findings in group "finding"; bones, vessels, granulomas and devices keep
            theirs, and the heart its size.
        noise: standard deviation of the grain, in grey levels of 255.
        clutter: factor on the normal structures that overlap the findings (ribs, vessels, uneven exposure).
        prevalence: factor on the prevalence of every finding, and on the probability of an enlarged heart.
    """

    contrast: float
    noise: float
    clutter: float
    prevalence: float


DIFFICULTIES: Mapping[str, Difficulty] = MappingProxyType(
    {
        "easy": Difficulty(contrast=1.2, noise=4.0, clutter=0.9, prevalence=1.8),
        "default": Difficulty(contrast=0.9, noise=6.0, clutter=1.0, prevalence=0.85),
        "hard": Difficulty(contrast=0.55, noise=10.0, clutter=1.3, prevalence=0.7),
    }
)


def get_difficulty(name: str) -> Difficulty:
    """The level of that name; ValueError for an unknown one."""
    if name not in DIFFICULTIES:
        raise ValueError(f"unknown difficulty {name!r}; known are {', '.join(DIFFICULTIES)}")
    return DIFFICULTIES[name]


def prevalence(name: str, difficulty: str = "default") -> float:
    """The probability that a study at that difficulty has the finding."""
    return FINDINGS[name].prevalence * get_difficulty(difficulty).prevalence


def heart_distribution(difficulty: str = "default") -> dict[str, float]:
    """The probability of each heart size at that difficulty."""
    factor = get_difficulty(difficulty).prevalence
    enlarged = {size: p * factor for size, p in HEART_SIZES.items() if size != "normal"}
    return {"normal": 1.0 - sum(enlarged.values()), **enlarged}


def draw_value(distribution: Mapping[str, float], rng: np.random.Generator) -> str | None:
    """One value of a distribution (None if it is empty), from exactly one uniform number."""
    remaining = rng.random()
    value = None
    for value, probability in distribution.items():  # noqa: B007 - the last value takes what rounding leaves over
        remaining -= probability
        if remaining < 0:
            break
    return value


def sample_finding(name: str, rng: np.random.Generator) -> Finding:
    """A finding of that name, its side, zone and size drawn from the prior."""
    spec = FINDINGS[name]
    return Finding(name, draw_value(spec.side, rng), draw_value(spec.zone, rng), draw_value(spec.size, rng))


def sample_state(rng: np.random.Generator, difficulty: str = "default") -> PhantomState:
    """A state drawn from the prior at that difficulty; takes the same count of random numbers whatever it draws."""
    heart = draw_value(heart_distribution(difficulty), rng)
    lung_volume = draw_value(LUNG_VOLUMES, rng)
    candidates = [(rng.random() < prevalence(name, difficulty), sample_finding(name, rng)) for name in FINDING_NAMES]
    findings = tuple(finding for present, finding in candidates if present)
    return PhantomState(str(heart), str(lung_volume), findings)


def log_attribute_prior(finding: Finding) -> float:
    """log p(side, zone, size | the finding is present)."""
    attributes = FINDINGS[finding.name].attributes.items()
    return sum(math.log(values[getattr(finding, attribute)]) for attribute, values in attributes if values)


def log_prior(state: PhantomState, difficulty: str = "default") -> float:
    """log p(state), exactly: the distribution that `sample_state` draws from."""
    total = math.log(heart_distribution(difficulty)[state.heart]) + math.log(LUNG_VOLUMES[state.lung_volume])
    for name in FINDING_NAMES:
        finding = state.get(name)
        if finding is None:
            total += math.log(1.0 - prevalence(name, difficulty))
        else:
            total += math.log(prevalence(name, difficulty)) + log_attribute_prior(finding)
    return total


def chexpert_labels(state: PhantomState) -> dict[str, float]:
    """The state under CheXpert's names, 1 or 0; a name the phantom cannot show is left out.

    A consolidation, an atelectasis, an oedema or a nodule is a `Lung Opacity` too, as in CheXpert's hierarchy; a
    device alone leaves `No Finding` at 1, as CheXpert has it.
    """
    names = {spec.label for spec in FINDINGS.values() if spec.label} | {"Cardiomegaly", "Lung Opacity", "No Finding"}
    present = {FINDINGS[finding.name].label for finding in state.findings}
    if state.heart != "normal":
        present.add("Cardiomegaly")
    if present & {"Consolidation", "Atelectasis", "Edema", "Lung Lesion"}:
        present.add("Lung Opacity")
    if not present - {None, "Support Devices"}:
        present.add("No Finding")
    return {name: float(name in present) for name in sorted(names)}

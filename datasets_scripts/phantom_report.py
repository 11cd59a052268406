"""Writes the report of a `PhantomState`: a grammar whose every random choice is fixed beforehand.

`Choices` holds one uniform number for each decision the grammar can ever take, drawn without regard to the state. So a
report is a function r(s, u) of the state and the choices alone, and a state and its edit are reported with the same u:
what differs between the two texts is what the state makes differ.

Each fact is stated once: the heart's size always; a finding where it is present, denied or passed over where it is
absent. The denials of one sentence are grouped as radiologists group them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from .perturbations import normalize_report
from .phantom_phrases import (
    ABSENT_LESSER,
    CLEAR_SENTENCES,
    DENIAL_FRAMES,
    DENIAL_GROUPS,
    DENIED_WORDS,
    FILLERS,
    FRAMES,
    HEART_SENTENCES,
    IMPRESSIONS,
    NOUN_PHRASES,
    SIZE_WORDS,
    VOLUME_SENTENCES,
    ZONE_WORDS,
)
from .phantom_state import FINDING_NAMES, FINDINGS, Finding, PhantomState

T = TypeVar("T")

MIN_SENTENCES, MAX_SENTENCES = 3, 8

LUNG_FINDINGS: tuple[str, ...] = ("consolidation", "nodule", "atelectasis", "edema")
"""What "the lungs are clear" denies."""

DENIAL_PROBABILITY: Mapping[str, float] = {
    "effusion": 0.95,
    "pneumothorax": 0.95,
    "consolidation": 0.90,
    "nodule": 0.60,
    "atelectasis": 0.50,
    "edema": 0.60,
}
CLEAR_PROBABILITY = 0.35
VOLUME_PROBABILITY = 0.25
ABSENT_LESSER_PROBABILITY: Mapping[str, float] = {"tortuous_aorta": 0.4, "scoliosis": 0.1, "raised_diaphragm": 0.1}
FILLER_PROBABILITY: Mapping[str, float] = {"technique": 0.15, "bones": 0.4, "trachea": 0.1, "soft_tissue": 0.1}
FILLER_CONFLICTS: Mapping[str, str] = {"technique": "portable", "trachea": "rotation", "soft_tissue": "surgical_clips"}
"""The finding beside which a filler would repeat or contradict what the report says."""

_SECTIONS = ("technique", "heart", "lungs", "pleura", "bones", "devices")
_SECTION_ORDERS: tuple[tuple[str, ...], ...] = (
    _SECTIONS,
    ("technique", "lungs", "pleura", "heart", "devices", "bones"),
    ("technique", "devices", "heart", "lungs", "pleura", "bones"),
    ("technique", "devices", "lungs", "pleura", "heart", "bones"),
    ("technique", "heart", "devices", "pleura", "lungs", "bones"),
    ("technique", "pleura", "lungs", "bones", "heart", "devices"),
)
_SECTION_OF: Mapping[str, str] = {
    **{name: "devices" for name, spec in FINDINGS.items() if spec.group == "device"},
    **dict.fromkeys(LUNG_FINDINGS, "lungs"),
    **dict.fromkeys(("effusion", "pneumothorax", "raised_diaphragm"), "pleura"),
    **dict.fromkeys(("volume", "clear", "granuloma"), "lungs"),
    **dict.fromkeys(("heart", "tortuous_aorta", "trachea"), "heart"),
    **dict.fromkeys(("scoliosis", "rib_fracture", "habitus", "bones", "soft_tissue"), "bones"),
    **dict.fromkeys(("technique", "portable", "rotation"), "technique"),
}

_SLOTS: tuple[str, ...] = (
    *("sections", "groups", "clear.said", "clear", "heart", "volume.said", "volume", "impression"),
    *(f"place.{name}" for name in _SECTION_OF),
    *(f"{name}.{part}" for name in FINDING_NAMES for part in ("phrase", "frame", "zone", "size")),
    *(f"{name}.{part}" for name in DENIED_WORDS for part in ("denied", "denied.word", "denied.order")),
    *(f"group.{number}" for number in range(3)),
    *(f"{name}.{part}" for name in ABSENT_LESSER for part in ("absent.said", "absent")),
    *(f"{name}.{part}" for name in FILLERS for part in ("said", "filler")),
)


class Choices:
    """The decisions of one report, one uniform number each, drawn from `rng` whatever the state."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._values = dict(zip(_SLOTS, rng.random(len(_SLOTS)).tolist(), strict=True))

    def value(self, slot: str) -> float:
        """The number in [0, 1) of a decision."""
        return self._values[slot]

    def pick(self, slot: str, options: Sequence[T]) -> T:
        """One of the options, all equally likely."""
        return options[int(self._values[slot] * len(options))]

    def says(self, slot: str, probability: float) -> bool:
        """Whether an event of that probability happens."""
        return self._values[slot] < probability

    def denial_stated(self, name: str) -> bool:
        """Whether the report denies the finding where it is absent."""
        if name not in DENIED_WORDS:
            return False
        if name in LUNG_FINDINGS and self.says("clear.said", CLEAR_PROBABILITY):
            return True
        return self.says(f"{name}.denied", DENIAL_PROBABILITY[name])


@dataclass(frozen=True)
class PhantomReport:
    """A report of a state.

    Attributes:
        findings: the sentences, as written.
        impression: as written.
        phrases: the normalised words that mention each finding present, and the "heart", by name.
    """

    findings: str
    impression: str
    phrases: Mapping[str, str]

    @property
    def report(self) -> str:
        """The findings, normalised."""
        return normalize_report(self.findings)


def write_report(state: PhantomState, choices: Choices) -> PhantomReport:
    """The report r(s, u): three to eight sentences (`MIN_SENTENCES`, `MAX_SENTENCES`) that state each fact once."""
    stated: dict[str, str] = {"heart": choices.pick("heart", HEART_SENTENCES[state.heart])}  # place -> sentence
    phrases = {"heart": stated["heart"]}
    for finding in state.findings:
        phrases[finding.name] = noun_phrase(finding, choices)
        stated[finding.name] = affirmation(finding, phrases[finding.name], choices)
    stated.update(_denials(state, choices))
    stated.update(_lesser_sentences(state, choices))
    stated.update(_fillers(state, len(stated), choices))
    sections = choices.pick("sections", _SECTION_ORDERS)

    def rank(place: str) -> tuple[int, float]:
        last = 1.0 if place == "clear" else 0.0  # "otherwise clear" closes its section
        return sections.index(_SECTION_OF[place]), last + choices.value(f"place.{place}")

    sentences = _fuse([stated[place] for place in sorted(stated, key=rank)])
    normalised = {name: normalize_report(_without_determiner(phrase)) for name, phrase in phrases.items()}
    return PhantomReport(" ".join(sentences), _impression(state, phrases, choices), normalised)


def noun_phrase(finding: Finding, choices: Choices) -> str:
    """The words that name a finding present, after their article or, where they are plural, after "some"."""
    name = finding.name
    words = {"side": finding.side}
    if finding.zone is not None:
        words["zone"] = choices.pick(f"{name}.zone", ZONE_WORDS.get(name, ZONE_WORDS["lungs"])[finding.zone])
    if finding.size is not None:
        words["size"] = choices.pick(f"{name}.size", SIZE_WORDS[name][finding.size])
    phrase = choices.pick(f"{name}.phrase", NOUN_PHRASES[name]).format(**words)
    if phrase.startswith("a ") and phrase[2] in "aeiou8":
        phrase = f"an {phrase[2:]}"
    return phrase


def _without_determiner(phrase: str) -> str:
    determiner, _, rest = phrase.partition(" ")
    return rest if determiner in ("a", "an", "some") else phrase


def affirmation(finding: Finding, phrase: str, choices: Choices) -> str:
    """The sentence that states a finding present, of its `noun_phrase`."""
    bare = _without_determiner(phrase)
    determiner = phrase[: len(phrase) - len(bare)]
    plural = determiner == "some "
    words = {"article": "" if plural else determiner, "be": "are" if plural else "is", "phrase": bare}
    return _capitalised(choices.pick(f"{finding.name}.frame", FRAMES).format(**words))


def _capitalised(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]


def _denials(state: PhantomState, choices: Choices) -> dict[str, str]:
    """The sentences that deny absent findings, each at the place of its first finding."""
    absent = {name for name in DENIED_WORDS if state.get(name) is None and choices.denial_stated(name)}
    sentences = {}
    if choices.says("clear.said", CLEAR_PROBABILITY):
        otherwise = "otherwise " if any(state.get(name) for name in (*LUNG_FINDINGS, "granuloma")) else ""
        template = choices.pick("clear", CLEAR_SENTENCES)
        clear = template.format(otherwise=otherwise, Otherwise=otherwise)
        if absent & set(LUNG_FINDINGS):
            sentences["clear"] = _capitalised(clear)
        absent -= set(LUNG_FINDINGS)
    for number, group in enumerate(choices.pick("groups", DENIAL_GROUPS)):
        members = sorted(absent & set(group), key=lambda name: choices.value(f"{name}.denied.order"))
        if members:
            sentences[members[0]] = denial(members, choices, number)
    return sentences


def denial(names: Sequence[str], choices: Choices, group: int) -> str:
    """The sentence that denies findings, in their order; `group` numbers the denials of a report."""
    words = [choices.pick(f"{name}.denied.word", DENIED_WORDS[name]) for name in names]
    return choices.pick(f"group.{group}", DENIAL_FRAMES).format(list=_listing(words))


def _listing(words: Sequence[str]) -> str:
    if len(words) < 3:
        return " or ".join(words)
    return f"{', '.join(words[:-1])}, or {words[-1]}"


def _lesser_sentences(state: PhantomState, choices: Choices) -> dict[str, str]:
    sentences = {}
    if state.lung_volume != "normal" or choices.says("volume.said", VOLUME_PROBABILITY):
        sentences["volume"] = choices.pick("volume", VOLUME_SENTENCES[state.lung_volume])
    for name, probability in ABSENT_LESSER_PROBABILITY.items():
        if name == "raised_diaphragm" and state.lung_volume != "normal":
            continue  # the diaphragm moves with the volume
        if state.get(name) is None and choices.says(f"{name}.absent.said", probability):
            sentences[name] = choices.pick(f"{name}.absent", ABSENT_LESSER[name])
    return sentences


def _fillers(state: PhantomState, stated: int, choices: Choices) -> dict[str, str]:
    """Sentences that are true of every image without `FILLER_CONFLICTS`, as many as choices and length allow."""
    allowed = [name for name in FILLERS if name not in FILLER_CONFLICTS or state.get(FILLER_CONFLICTS[name]) is None]
    by_wish = sorted(allowed, key=lambda name: choices.value(f"{name}.said") / FILLER_PROBABILITY[name])
    wished = sum(choices.says(f"{name}.said", FILLER_PROBABILITY[name]) for name in by_wish)
    count = min(max(wished, MIN_SENTENCES - stated), max(MAX_SENTENCES - stated, 0))
    return {name: choices.pick(f"{name}.filler", FILLERS[name]) for name in by_wish[:count]}


def _fuse(sentences: list[str]) -> list[str]:
    """Join what exceeds `MAX_SENTENCES` to the last sentence by semicolons."""
    kept, surplus = sentences[: MAX_SENTENCES - 1], sentences[MAX_SENTENCES - 1 :]
    return [*kept, "; ".join([*(sentence[:-1] for sentence in surplus[:-1]), *surplus[-1:]])] if surplus else kept


def _impression(state: PhantomState, phrases: Mapping[str, str], choices: Choices) -> str:
    named = [name for name in phrases if name in FINDINGS and FINDINGS[name].group == "finding"]
    lines = [_capitalised(_without_determiner(phrases[name])) + "." for name in named]
    if state.heart != "normal":
        lines.insert(0, "Cardiomegaly.")
    if not lines:
        return choices.pick("impression", IMPRESSIONS)
    return lines[0] if len(lines) == 1 else " ".join(f"{number}. {line}" for number, line in enumerate(lines, start=1))

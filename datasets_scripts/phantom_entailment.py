"""Sentence pairs in which neither sentence tells the label: premise and hypothesis by Phantom's grammar.

A block is made of two states s and s' that contradict each other in two facts a and b (the heart's size, or one of six
findings), each in one attribute. Each of the four facts is written as a premise, and once more as a hypothesis:

    hypothesis      entailed by     contradicted by     neutral to
    s(a)            s(a)            s'(a)               s(b)
    s'(a)           s'(a)           s(a)                s'(b)
    s(b)            s(b)            s'(b)               s(a)
    s'(b)           s'(b)           s(b)                s'(a)

In the twelve pairs each premise and each hypothesis has each label once. So whatever reads one of the two alone is
right four times in twelve, exactly, whichever way it answers and however it was trained. As in
`phantom_counterfactual`, the two values of a fact are exchangeable: knowing what a premise and a hypothesis are about,
but not what one of them says of it, does not tell whether they agree.

A finding is there once at most, so a left effusion contradicts a right one. Each sentence is written with random
choices of its own: what agrees is seldom said in the same words.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from .phantom_phrases import DENIED_WORDS, HEART_SENTENCES
from .phantom_report import Choices, affirmation, denial, noun_phrase
from .phantom_state import FINDINGS, HEART_SIZES, Finding, draw_value, sample_finding

HEART = "heart"
SUBJECTS: tuple[str, ...] = (HEART, *DENIED_WORDS)
"""What a fact may be about: the findings are those whose absence the grammar can state."""

# Of the facts s(a), s'(a), s(b), s'(b): the premise for each of them as a hypothesis, by label.
_PREMISE_OF: Mapping[str, tuple[int, ...]] = {
    "entailment": (0, 1, 2, 3),
    "contradiction": (1, 0, 3, 2),
    "neutral": (2, 3, 0, 1),
}
PAIRS_IN_BLOCK = 12


@dataclass(frozen=True)
class Fact:
    """What a state shows of one subject: a size of the heart, a finding, or None for a finding that is absent."""

    subject: str
    value: str | Finding | None


@dataclass(frozen=True)
class SentencePair:
    """A premise and a hypothesis as written, and whether the first entails the second."""

    premise: str
    hypothesis: str
    label: str


def make_block(rng: np.random.Generator) -> list[SentencePair]:
    """The twelve pairs of a block; each three in their order have one hypothesis and the three labels."""
    subjects = [SUBJECTS[place] for place in rng.permutation(len(SUBJECTS))[:2]]
    facts = [fact for subject in subjects for fact in contradicting_facts(subject, rng)]
    premises = [write_fact(fact, Choices(rng)) for fact in facts]
    hypotheses = [write_fact(fact, Choices(rng)) for fact in facts]
    return [
        SentencePair(premises[premise_of[place]], hypothesis, label)
        for place, hypothesis in enumerate(hypotheses)
        for label, premise_of in _PREMISE_OF.items()
    ]


def contradicting_facts(subject: str, rng: np.random.Generator) -> tuple[Fact, Fact]:
    """Two facts of a subject that cannot both be so; they differ in one attribute, and are exchangeable.

    What differs is one of: a finding's presence, its side, its zone, its size, each as likely; the heart's size.
    """
    if subject == HEART:
        one, another = _two_values(HEART_SIZES, rng)
        return Fact(subject, one), Fact(subject, another)
    attributes = [name for name, values in FINDINGS[subject].attributes.items() if values]
    finding = sample_finding(subject, rng)
    kind = (None, *attributes)[int(rng.random() * (1 + len(attributes)))]
    if kind is None:
        present, absent = Fact(subject, finding), Fact(subject, None)
        return (present, absent) if rng.random() < 0.5 else (absent, present)
    first, second = _two_values(FINDINGS[subject].attributes[kind], rng)
    return Fact(subject, replace(finding, **{kind: first})), Fact(subject, replace(finding, **{kind: second}))


def _two_values(distribution: Mapping[str, float], rng: np.random.Generator) -> tuple[str, str]:
    """Two different values; both are drawn again where they are equal, or the pair would not be exchangeable."""
    first = second = ""
    while first == second:
        first, second = (str(draw_value(distribution, rng)) for _ in range(2))
    return first, second


def write_fact(fact: Fact, choices: Choices) -> str:
    """The sentence that states a fact."""
    if isinstance(fact.value, Finding):
        return affirmation(fact.value, noun_phrase(fact.value, choices), choices)
    if fact.value is not None:
        return choices.pick(HEART, HEART_SENTENCES[fact.value])
    return denial([fact.subject], choices, group=0)

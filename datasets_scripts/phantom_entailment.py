"""Sentence pairs in which neither sentence tells the label: premise and hypothesis by Phantom's grammar.

A block is made of two states s and s' that contradict each other in three facts a, b, c (the heart's size, or one of
six findings), each in one attribute. Its hypotheses state s(a), s(b) and s(c); its premises state two facts each:

    premise            says            s(a)            s(b)            s(c)
    1                  s(a), s'(b)     entailment      contradiction   neutral
    2                  s'(a), s(c)     contradiction   neutral         entailment
    3                  s(b), s'(c)     neutral         entailment      contradiction

The table is a Latin square: in the nine pairs each premise and each hypothesis has each label once. So whatever reads
one of the two alone is right three times in nine, exactly, whichever way it answers and however it was trained. As in
`phantom_counterfactual`, the two values of a fact are exchangeable, so that even knowing which fact is asked for, the
premise does not tell whether the hypothesis agrees with it.

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

_FACTS_IN_BLOCK = 3
_PREMISES = (((0, True), (1, False)), ((0, False), (2, True)), ((1, True), (2, False)))  # facts, and whether of s
_AGREEMENT: Mapping[bool | None, str] = {True: "entailment", False: "contradiction", None: "neutral"}
PAIRS_IN_BLOCK = len(_PREMISES) * _FACTS_IN_BLOCK


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
    """The nine pairs of a block; each three in their order have one hypothesis and the three labels."""
    subjects = [SUBJECTS[place] for place in rng.permutation(len(SUBJECTS))[:_FACTS_IN_BLOCK]]
    facts = [contradicting_facts(subject, rng) for subject in subjects]
    premises = [write_premise([facts[place][0 if agrees else 1] for place, agrees in said], rng) for said in _PREMISES]
    hypotheses = [write_fact(fact, Choices(rng)) for fact, _ in facts]
    return [
        SentencePair(premise, hypothesis, _AGREEMENT[dict(said).get(place)])
        for place, hypothesis in enumerate(hypotheses)
        for said, premise in zip(_PREMISES, premises, strict=True)
    ]


def contradicting_facts(subject: str, rng: np.random.Generator) -> tuple[Fact, Fact]:
    """Two facts of a subject that cannot both be so; they differ in one attribute, and are exchangeable.

    What differs is one of: a finding's presence, its side, its zone, its size, each as likely; the heart's size.
    """
    if subject == HEART:
        return Fact(subject, (sizes := _two_values(HEART_SIZES, rng))[0]), Fact(subject, sizes[1])
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


def write_premise(facts: list[Fact], rng: np.random.Generator) -> str:
    """The facts in an order of their own; the findings that are absent in one sentence, as radiologists deny them."""
    choices = Choices(rng)
    facts = [facts[place] for place in rng.permutation(len(facts))]
    absent = [fact.subject for fact in facts if fact.value is None]
    sentences = [write_fact(fact, choices) for fact in facts if fact.value is not None]
    if absent:
        place = 0 if facts[0].value is None else len(sentences)
        sentences.insert(place, denial(absent, choices))
    return " ".join(sentences)


def write_fact(fact: Fact, choices: Choices) -> str:
    """The sentence that states a fact."""
    if isinstance(fact.value, Finding):
        return affirmation(fact.value, noun_phrase(fact.value, choices), choices)
    if fact.value is not None:
        return choices.pick(HEART, HEART_SENTENCES[fact.value])
    return denial([fact.subject], choices)

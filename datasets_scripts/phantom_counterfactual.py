"""Edits of a `PhantomState` that contradict its image and cannot be told from the original without it.

If pleural effusions are rare, a model that has only learned how rare they are wins most presence flips. So each kind
proposes one edit s -> s' and keeps it with the Metropolis-Hastings probability

    min(1, p(s') q(s | s') / (p(s) q(s' | s)))

where p is the exact prior of states and q the proposal; then p(s) P(s -> s') = p(s') P(s' -> s), so the pairs (s, s')
and (s', s) are equally likely. Every proposal is symmetric (q cancels) but for one thing: the side, zone and size of a
finding that comes in are drawn from their prior given the finding, as if they had stood there unseen all along; they
cancel between p and q, so that a presence flip is kept with min(1, the odds of being present against absent).

Both states are reported with the same `Choices` u, drawn independently of the state, and q may depend on u: given u,
the pair of reports (r(s, u), r(s', u)) is exchangeable. There is no second try; a rejected kind has no counterfactual.
"""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from .phantom_phrases import DENIED_WORDS
from .phantom_report import Choices, write_report
from .phantom_state import (
    FINDINGS,
    HEART_SIZES,
    Finding,
    PhantomState,
    log_attribute_prior,
    log_prior,
    sample_finding,
)
from .schema import COUNTERFACTUAL_KINDS, Counterfactual

Proposal = Callable[[PhantomState, Choices, np.random.Generator], PhantomState | None]


def edit_state(
    kind: str, state: PhantomState, choices: Choices, rng: np.random.Generator, difficulty: str = "default"
) -> PhantomState | None:
    """One edit of that kind, or None where there was nothing to edit or the edit was rejected.

    Raises:
        ValueError: a kind that is not one of `COUNTERFACTUAL_KINDS`.
    """
    if kind not in PROPOSALS:
        raise ValueError(f"unknown kind {kind!r}; known are {', '.join(PROPOSALS)}")
    edited = PROPOSALS[kind](state, choices, rng)
    if edited is None:
        return None
    probability = acceptance(state, edited, difficulty)
    return edited if probability == 1.0 or rng.random() < probability else None


def acceptance(state: PhantomState, edited: PhantomState, difficulty: str = "default") -> float:
    """The probability with which a proposed edit is kept: min(1, p(s') q(s | s') / (p(s) q(s' | s))).

    Of the proposal q, only the attributes of findings that come in are drawn from the prior; the rest is symmetric.
    """
    log_ratio = log_prior(edited, difficulty) - _log_entered(state, edited)
    log_ratio -= log_prior(state, difficulty) - _log_entered(edited, state)
    return 1.0 if log_ratio > -1e-9 else math.exp(log_ratio)  # rounding must not decide about a ratio of one


def _log_entered(before: PhantomState, after: PhantomState) -> float:
    """log q of the attributes of the findings that an edit brings in."""
    return sum(log_attribute_prior(finding) for finding in after.findings if before.get(finding.name) is None)


def make_counterfactuals(
    state: PhantomState, choices: Choices, rng: np.random.Generator, difficulty: str = "default"
) -> dict[str, Counterfactual]:
    """The counterfactual reports of a state by kind, less the kinds that have none."""
    report = write_report(state, choices).report
    counterfactuals = {}
    for kind in COUNTERFACTUAL_KINDS:
        edited = edit_state(kind, state, choices, rng, difficulty)
        if edited is not None:
            counterfactuals[kind] = edit_span(report, write_report(edited, choices).report)
    return counterfactuals


def edit_span(report: str, edited: str) -> Counterfactual:
    """The one contiguous span of whole words whose replacement turns one normalised report into the other.

    What the two share at the start and at the end is left out of the span, but for one word where the span or its
    replacement would otherwise be empty.
    """
    before, after = report.split(" "), edited.split(" ")
    shorter = min(len(before), len(after)) - 1  # at least one word stays on both sides
    head = 0
    while head < shorter and before[head] == after[head]:
        head += 1
    tail = 0
    while tail < shorter - head and before[-1 - tail] == after[-1 - tail]:
        tail += 1
    start = sum(len(word) + 1 for word in before[:head])
    replaced = " ".join(before[head : len(before) - tail])
    return Counterfactual(edited, start, start + len(replaced), " ".join(after[head : len(after) - tail]))


def _one_of(items: list[Finding], rng: np.random.Generator) -> Finding | None:
    return items[int(rng.random() * len(items))] if items else None


def _next_value(values: Mapping[str, float], current: str, rng: np.random.Generator) -> str | None:
    """A neighbouring value: of two, the other; of more, the one above or below, None where they end there."""
    ordered = list(values)
    if len(ordered) == 2:
        return ordered[1 - ordered.index(current)]
    place = ordered.index(current) + (1 if rng.random() < 0.5 else -1)
    return ordered[place] if 0 <= place < len(ordered) else None


def _replaced(finding: Finding, **changes: str) -> Finding:
    attributes = {"side": finding.side, "zone": finding.zone, "size": finding.size} | changes
    return Finding(finding.name, **attributes)


def _flip_presence(state: PhantomState, choices: Choices, rng: np.random.Generator) -> PhantomState | None:
    """Flip one of the findings whose absence this report would state, each as likely in every state."""
    names = [name for name in DENIED_WORDS if choices.denial_stated(name)]
    if not names:
        return None
    name = names[int(rng.random() * len(names))]
    return state.without(name) if state.get(name) else state.including(sample_finding(name, rng))


def _editable(finding: Finding) -> tuple[str, ...]:
    # The side of a device or of a curved spine is plain to see: it would only make the measurement easier.
    spec = FINDINGS[finding.name]
    allowed = ("side", "zone", "size") if spec.group == "finding" else ("zone", "size")
    return tuple(attribute for attribute, values in spec.attributes.items() if values and attribute in allowed)


def _change_attribute(attribute: str) -> Proposal:
    """Change the side, zone or size of one of those that have it (`_editable`); the edit keeps how many there are."""

    def propose(state: PhantomState, choices: Choices, rng: np.random.Generator) -> PhantomState | None:
        finding = _one_of([finding for finding in state.findings if attribute in _editable(finding)], rng)
        if finding is None:
            return None
        value = _next_value(FINDINGS[finding.name].attributes[attribute], getattr(finding, attribute), rng)
        return None if value is None else state.including(_replaced(finding, **{attribute: value}))

    return propose


def _change_heart(state: PhantomState, choices: Choices, rng: np.random.Generator) -> PhantomState | None:
    heart = _next_value(HEART_SIZES, state.heart, rng)
    return None if heart is None else PhantomState(heart, state.lung_volume, state.findings)


def _swap_finding(state: PhantomState, choices: Choices, rng: np.random.Generator) -> PhantomState | None:
    """Put an absent finding in the place of a present one; the edit keeps how many there are."""
    present = [name for name in DENIED_WORDS if state.get(name)]
    absent = [name for name in DENIED_WORDS if not state.get(name)]
    if not present or not absent:
        return None
    leaving = present[int(rng.random() * len(present))]
    entering = absent[int(rng.random() * len(absent))]
    return state.without(leaving).including(sample_finding(entering, rng))


PROPOSALS: Mapping[str, Proposal] = MappingProxyType(
    {
        "negation": _flip_presence,
        "laterality": _change_attribute("side"),
        "location": _change_attribute("zone"),
        "severity": _change_attribute("size"),
        "heart_size": _change_heart,
        "finding": _swap_finding,
    }
)

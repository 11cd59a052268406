"""Counterfactuals of PhantomCXR contradict the image and cannot be told from the original without it."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets_scripts.phantom_counterfactual import PROPOSALS, acceptance, edit_span, edit_state, make_counterfactuals
from datasets_scripts.phantom_report import Choices, write_report
from datasets_scripts.phantom_state import (
    DIFFICULTIES,
    FINDINGS,
    HEART_SIZES,
    Finding,
    PhantomState,
    log_prior,
    sample_state,
)
from datasets_scripts.schema import COUNTERFACTUAL_KINDS

WORDS = st.lists(st.sampled_from("abc"), min_size=1, max_size=8).map(" ".join)


def sampled_edits(kind: str, count: int) -> list[tuple[PhantomState, PhantomState]]:
    pairs = []
    for seed in range(count):
        rng = np.random.Generator(np.random.PCG64([seed, 7]))
        state, choices = sample_state(rng), Choices(rng)
        edited = edit_state(kind, state, choices, rng)
        if edited is not None:
            pairs.append((state, edited))
    return pairs


@pytest.mark.parametrize("kind", COUNTERFACTUAL_KINDS)
def test_the_exact_prior_cannot_tell_a_state_from_its_edit(kind: str):
    """The best guess without the image is the likelier state; it is right half the time."""
    gaps = [log_prior(state) - log_prior(edited) for state, edited in sampled_edits(kind, 5000)]
    wins = np.mean([0.5 if abs(gap) < 1e-9 else gap > 0 for gap in gaps])
    assert len(gaps) > 400
    assert wins == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(len(gaps)))


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
@pytest.mark.parametrize("kind", COUNTERFACTUAL_KINDS)
def test_a_pair_is_exactly_as_likely_as_its_reverse(kind: str, difficulty: str):
    """Detailed balance, with the proposal's probability written down here a second time."""
    proposed = 0
    for seed in range(300):
        rng = np.random.Generator(np.random.PCG64([seed, 9]))
        state, choices = sample_state(rng, difficulty), Choices(rng)
        edited = PROPOSALS[kind](state, choices, rng)
        if edited is None:
            continue
        proposed += 1
        flow, reverse = (
            math.exp(log_prior(before, difficulty)) * entering(before, after) * acceptance(before, after, difficulty)
            for before, after in ((state, edited), (edited, state))
        )
        assert flow == pytest.approx(reverse, rel=1e-9)
    assert proposed > 20


def entering(before: PhantomState, after: PhantomState) -> float:
    """The probability of the side, zone and size that an edit gives to a finding it brings in."""
    new = [finding for finding in after.findings if before.get(finding.name) is None]
    return math.prod(
        values[getattr(finding, attribute)]
        for finding in new
        for attribute, values in FINDINGS[finding.name].attributes.items()
        if values
    )


def test_findings_come_in_as_often_as_they_go_out():
    flows: Counter[str] = Counter()
    for state, edited in sampled_edits("negation", 8000):
        flows["in" if len(edited.findings) > len(state.findings) else "out"] += 1
    assert flows["in"] == pytest.approx(flows["out"], abs=4 * math.sqrt(flows.total()))


def test_swaps_go_both_ways_equally_often():
    flows: Counter[tuple[str, str]] = Counter()
    for state, edited in sampled_edits("finding", 8000):
        (gone,) = {finding.name for finding in state.findings} - {finding.name for finding in edited.findings}
        (come,) = {finding.name for finding in edited.findings} - {finding.name for finding in state.findings}
        flows[gone, come] += 1
    for (gone, come), count in flows.items():
        back = flows[come, gone]
        assert abs(count - back) <= 4.5 * math.sqrt(count + back)


CHANGES = {
    "laterality": ("side",),
    "location": ("zone",),
    "severity": ("size",),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_an_edit_changes_one_attribute_of_one_finding(kind: str):
    for state, edited in sampled_edits(kind, 300):
        (changed,) = [
            (before, after) for before, after in zip(state.findings, edited.findings, strict=True) if before != after
        ]
        before, after = (vars(finding) for finding in changed)
        assert tuple(name for name in before if before[name] != after[name]) == CHANGES[kind]
        assert (state.heart, state.lung_volume) == (edited.heart, edited.lung_volume)


def test_heart_edits_change_the_heart_alone():
    for state, edited in sampled_edits("heart_size", 300):
        assert state.heart != edited.heart
        assert (state.lung_volume, state.findings) == (edited.lung_volume, edited.findings)


def test_ordered_values_move_to_a_neighbour():
    hearts, sizes = list(HEART_SIZES), list(FINDINGS["effusion"].size)
    for state, edited in sampled_edits("heart_size", 300):
        assert abs(hearts.index(state.heart) - hearts.index(edited.heart)) == 1
    for state, edited in sampled_edits("severity", 600):
        before, after = state.get("effusion"), edited.get("effusion")
        if before is not None and after is not None and before != after:
            assert abs(sizes.index(str(before.size)) - sizes.index(str(after.size))) == 1


def test_sides_are_edited_of_findings_alone():
    groups_of_kind = {
        "laterality": {"finding"},
        "severity": {"finding", "lesser"},
        "location": {"finding", "device", "lesser"},
    }
    for kind, groups in groups_of_kind.items():
        changed = {
            FINDINGS[after.name].group
            for state, edited in sampled_edits(kind, 1000)
            for before, after in zip(state.findings, edited.findings, strict=True)
            if before != after
        }
        assert changed == groups


def test_a_state_without_findings_has_no_side_zone_size_or_swap():
    rng = np.random.default_rng(0)
    for kind in ("laterality", "location", "severity", "finding"):
        assert edit_state(kind, PhantomState(), Choices(rng), rng) is None


def test_a_presence_flip_is_of_a_finding_whose_absence_the_report_states():
    for seed in range(400):
        rng = np.random.Generator(np.random.PCG64(seed))
        state, choices = sample_state(rng), Choices(rng)
        edited = edit_state("negation", state, choices, rng)
        if edited is not None:
            (name,) = {f.name for f in state.findings} ^ {f.name for f in edited.findings}
            assert choices.denial_stated(name)


@given(st.integers(0, 10**9))
def test_the_span_turns_the_report_into_the_counterfactual(seed: int):
    rng = np.random.Generator(np.random.PCG64(seed))
    state, choices = sample_state(rng, "easy"), Choices(rng)
    report = write_report(state, choices).report
    for counterfactual in make_counterfactuals(state, choices, rng, "easy").values():
        start, end = counterfactual.start, counterfactual.end
        assert counterfactual.text != report
        assert report[:start] + counterfactual.replacement + report[end:] == counterfactual.text
        assert f" {report[start:end]} " in f" {report} "


@given(WORDS, WORDS)
def test_a_span_is_whole_words_and_never_empty(before: str, after: str):
    edit = edit_span(before, after)
    assert before[: edit.start] + edit.replacement + before[edit.end :] == after
    assert edit.replacement
    assert before[edit.start : edit.end]
    assert before[: edit.start].endswith(" ") or edit.start == 0
    assert before[edit.end :].startswith(" ") or edit.end == len(before)


def test_a_flipped_side_is_a_span_of_one_word():
    state = PhantomState(findings=(Finding("nodule", "left", "upper", "small"),))
    rng = np.random.default_rng(0)
    choices = Choices(rng)
    edit = make_counterfactuals(state, choices, rng)["laterality"]
    assert write_report(state, choices).report[edit.start : edit.end] == "left"
    assert edit.replacement == "right"


def test_an_unknown_kind_is_named():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="unknown kind 'colour'"):
        edit_state("colour", PhantomState(), Choices(rng), rng)

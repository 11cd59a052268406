"""States of PhantomCXR and their exact prior."""

import itertools
import math

import numpy as np
import pytest

from datasets_scripts.phantom_state import (
    DIFFICULTIES,
    FINDING_NAMES,
    FINDINGS,
    HEART_SIZES,
    LUNG_VOLUMES,
    Finding,
    PhantomState,
    chexpert_labels,
    draw_value,
    heart_distribution,
    log_prior,
    prevalence,
    sample_finding,
    sample_state,
)


def variants(name: str) -> list[Finding]:
    values = [tuple(distribution) or (None,) for distribution in FINDINGS[name].attributes.values()]
    return [Finding(name, *combination) for combination in itertools.product(*values)]


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_probabilities_of_a_finding_and_the_heart_sum_to_one(difficulty: str):
    absent = sum(math.log(1 - prevalence(name, difficulty)) for name in FINDING_NAMES)
    for name in FINDING_NAMES:
        rest = absent - math.log(1 - prevalence(name, difficulty))
        states = [PhantomState(heart, volume) for heart in HEART_SIZES for volume in LUNG_VOLUMES]
        states += [state.including(finding) for state in list(states) for finding in variants(name)]
        total = sum(math.exp(log_prior(state, difficulty) - rest) for state in states)
        assert total == pytest.approx(1.0)


def test_states_come_as_often_as_the_prior_says():
    rng = np.random.default_rng(0)
    states = [sample_state(rng) for _ in range(6000)]
    for name in FINDING_NAMES:
        share = np.mean([state.get(name) is not None for state in states])
        assert share == pytest.approx(prevalence(name), abs=4 * math.sqrt(prevalence(name) / 6000))
    for size, probability in heart_distribution().items():
        assert np.mean([state.heart == size for state in states]) == pytest.approx(probability, abs=0.025)


def test_most_studies_are_normal_or_have_one_finding():
    rng = np.random.default_rng(1)
    counts = [
        sum(FINDINGS[finding.name].group == "finding" for finding in state.findings) + (state.heart != "normal")
        for state in (sample_state(rng) for _ in range(2000))
    ]
    assert np.mean(np.array(counts) <= 1) > 0.8


def test_draw_value_covers_a_distribution_and_takes_one_number():
    rng, same = np.random.default_rng(2), np.random.default_rng(2)
    drawn = {draw_value({"a": 0.5, "b": 0.5}, rng) for _ in range(40)}
    assert drawn == {"a", "b"}
    same.random(40)
    assert rng.random() == same.random()
    assert draw_value({}, rng) is None


def test_a_state_orders_its_findings_and_refuses_one_twice():
    effusion, nodule = Finding("effusion", "left", None, "small"), Finding("nodule", "left", "upper", "small")
    assert PhantomState(findings=(nodule, effusion)) == PhantomState(findings=(effusion, nodule))
    with pytest.raises(ValueError, match="each finding once"):
        PhantomState(findings=(nodule, nodule))


def test_including_replaces_and_without_removes():
    state = PhantomState(findings=(Finding("effusion", "left", None, "small"),))
    moved = state.including(Finding("effusion", "right", None, "small"))
    assert [finding.side for finding in moved.findings] == ["right"]
    assert moved.without("effusion") == PhantomState()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fracture",), "unknown finding 'fracture'"),
        (("effusion", "both", None, "small"), "no side 'both'"),
        (("effusion", "left", "upper", "small"), "no zone 'upper'"),
        (("nodule", "left", "upper"), "no size None"),
    ],
)
def test_an_impossible_finding_is_named(arguments: tuple[str, ...], message: str):
    with pytest.raises(ValueError, match=message):
        Finding(*arguments)


def test_unknown_heart_volume_and_difficulty_are_named():
    with pytest.raises(ValueError, match="heart size 'huge'"):
        PhantomState(heart="huge")
    with pytest.raises(ValueError, match="lung volume 'tiny'"):
        PhantomState(lung_volume="tiny")
    with pytest.raises(ValueError, match="difficulty 'extreme'"):
        log_prior(PhantomState(), "extreme")


def test_labels_follow_chexpert():
    rng = np.random.default_rng(3)
    assert chexpert_labels(PhantomState())["No Finding"] == 1.0
    device = chexpert_labels(PhantomState(findings=(sample_finding("pacemaker", rng),)))
    assert (device["No Finding"], device["Support Devices"]) == (1.0, 1.0)
    nodule = chexpert_labels(PhantomState("mild", findings=(sample_finding("nodule", rng),)))
    assert {name for name, value in nodule.items() if value == 1.0} == {
        "Lung Lesion",
        "Lung Opacity",
        "Cardiomegaly",
    }
    assert "Enlarged Cardiomediastinum" not in nodule  # the mediastinum may be normal beside an enlarged heart

"""The grammar of PhantomCXR's reports."""

import hashlib
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets_scripts.phantom_phrases import DENIAL_FRAMES, DENIED_WORDS, HEART_SENTENCES, NOUN_PHRASES, SIZE_WORDS
from datasets_scripts.phantom_report import CLEAR_PROBABILITY, LUNG_FINDINGS, Choices, write_report
from datasets_scripts.phantom_state import FINDING_NAMES, Finding, PhantomState, sample_finding, sample_state

SEEDS = st.integers(0, 10**9)


def choices(seed: int) -> Choices:
    return Choices(np.random.Generator(np.random.PCG64(seed)))


def random_state(seed: int, difficulty: str = "default") -> PhantomState:
    return sample_state(np.random.Generator(np.random.PCG64([seed, 1])), difficulty)


def test_texts_are_pinned():
    reports = [write_report(random_state(seed), choices(seed)) for seed in range(50)]
    text = "\n".join(f"{report.findings}\n{report.impression}" for report in reports)
    assert (
        hashlib.sha256(text.encode()).hexdigest() == "74e3d22d113e02671c3497ba41761292d4628c5ba47d0f1b223a7d64d956047f"
    )


@given(SEEDS)
def test_no_sentence_contradicts_or_repeats_what_the_state_shows(seed: int):
    state = random_state(seed, "easy")
    report = write_report(state, choices(seed)).report
    if state.get("granuloma"):
        assert not re.search(r"(?<!otherwise )\b(lungs|lung fields) are clear", report)
    if state.lung_volume != "normal":
        assert "diaphragm is normal" not in report
        assert "hemidiaphragms are in normal" not in report
    if state.get("rotation"):
        assert not re.search(r"trachea is midline|midline trachea|patent and midline", report)
    if state.get("portable"):
        assert not re.search(r"frontal (view|radiograph)", report)
    if state.get("surgical_clips"):
        assert not re.search(r"abdomen is (within normal limits|unremarkable)", report)


@given(SEEDS)
def test_a_report_has_three_to_eight_sentences(seed: int):
    findings = write_report(random_state(seed), choices(seed)).findings
    sentences = re.split(r"(?<=\.) (?=[A-Z0-9])", findings)
    assert 3 <= len(sentences) <= 8
    assert all(sentence.endswith(".") and not sentence[0].islower() for sentence in sentences)


def test_a_state_with_everything_fits_into_eight_sentences():
    everything = PhantomState(
        "severe", "low", tuple(sample_finding(name, np.random.default_rng(0)) for name in FINDING_NAMES)
    )
    report = write_report(everything, choices(0))
    assert report.findings.count(". ") <= 7
    assert all(phrase in report.report for phrase in report.phrases.values())


@given(SEEDS)
def test_the_phrase_of_each_finding_stands_once_in_the_normalised_report(seed: int):
    state = random_state(seed, "easy")
    report = write_report(state, choices(seed))
    assert set(report.phrases) == {"heart", *(finding.name for finding in state.findings)}
    for phrase in report.phrases.values():
        assert f" {report.report} ".count(f" {phrase} ") == 1


def denied_words(findings: str) -> list[str]:
    """The words for a finding that stand in a denial, sentence by sentence."""
    frames = sorted(DENIAL_FRAMES, key=len, reverse=True)  # "No X is seen." before "No X."
    denials = [re.compile(re.escape(frame[:-1]).replace(r"\{list\}", "(.+)")) for frame in frames]
    words = []
    for sentence in re.split(r"(?:\.|;) (?=[A-Z0-9])", findings.removesuffix(".")):
        match = next(filter(None, (denial.fullmatch(sentence) for denial in denials)), None)
        if match:
            listed = re.split(r",? or |, ", match[1].replace("nodule or mass", "nodule/mass"))
            words += [word.replace("/", " or ") for word in listed]
    known = {word for words in DENIED_WORDS.values() for word in words}
    return [word for word in words if word in known]  # a filler denies other things ("no acute osseous abnormality")


@given(SEEDS)
def test_a_denied_finding_is_denied_once_and_a_present_one_never(seed: int):
    state, taken = random_state(seed, "easy"), choices(seed)
    findings = write_report(state, taken).findings
    absent = [name for name in DENIED_WORDS if state.get(name) is None]
    clear = taken.says("clear.said", CLEAR_PROBABILITY) and not set(absent).isdisjoint(LUNG_FINDINGS)
    expected = [
        taken.pick(f"{name}.denied.word", DENIED_WORDS[name])
        for name in absent
        if taken.denial_stated(name) and not (clear and name in LUNG_FINDINGS)
    ]
    assert sorted(denied_words(findings)) == sorted(expected)
    assert len(re.findall(r"\blungs.* clear\b|\blung fields.* clear\b|clear lungs", findings, re.IGNORECASE)) == clear


def test_the_heart_is_stated_once_whatever_its_size():
    said = {sentence for sentences in HEART_SENTENCES.values() for sentence in sentences}
    for seed in range(100):
        sentences = re.split(r"(?:\.|;) (?=[A-Z0-9])", write_report(random_state(seed), choices(seed)).findings)
        assert sum(f"{sentence.removesuffix('.')}." in said for sentence in sentences) == 1


def test_the_same_choices_change_only_the_words_of_what_changed():
    before = PhantomState(findings=(Finding("nodule", "left", "upper", "small"),))
    after = PhantomState(findings=(Finding("nodule", "right", "upper", "small"),))
    for seed in range(30):
        first = write_report(before, choices(seed)).report
        assert write_report(after, choices(seed)).report == first.replace("left", "right")


def test_phrasings_orders_and_words_are_many():
    reports = [write_report(random_state(seed), choices(seed)).report for seed in range(2000)]
    assert len(set(reports)) > 1990
    assert len({word for report in reports for word in report.split()}) > 250
    assert 25 < np.mean([len(report.split()) for report in reports]) < 60


@pytest.mark.parametrize("name", SIZE_WORDS)
def test_no_word_means_two_sizes_of_one_finding(name: str):
    words = [word for options in SIZE_WORDS[name].values() for word in options]
    assert len(set(words)) == len(words)


@settings(deadline=None)
@given(SEEDS)
def test_articles_fit_their_words(seed: int):
    findings = write_report(random_state(seed, "easy"), choices(seed)).findings
    for article, word in re.findall(r"\b([Aa]n?) (\w+)", findings):
        assert (article.lower() == "an") == (word[0] in "aeiou8")


@given(SEEDS)
def test_verbs_agree_with_their_subjects(seed: int):
    for name, word, wrong in (("surgical_clips", "clips", "is"), ("enteric_tube", "tube", "are")):
        findings = write_report(PhantomState(findings=(Finding(name),)), choices(seed)).findings
        (sentence,) = [sentence for sentence in findings.split(".") if word in sentence]
        assert f" {wrong} " not in f" {sentence} ".replace("There is evidence", "").replace("Note is made", "")


def test_impression_names_the_findings_or_denies_disease():
    normal = write_report(PhantomState(), choices(0)).impression
    assert "No" in normal
    nodule = write_report(PhantomState("mild", findings=(Finding("nodule", "left", "upper", "small"),)), choices(0))
    assert nodule.impression.startswith("1. Cardiomegaly. 2. ")


def test_every_finding_has_phrases():
    assert set(NOUN_PHRASES) == set(FINDING_NAMES)

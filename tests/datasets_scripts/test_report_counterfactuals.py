"""Counterfactuals of reports: spans, determinism, and how many of Open-I's reports have one."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets_scripts.openi_reports import read_reports
from datasets_scripts.perturbations import normalize_report
from datasets_scripts.report_counterfactuals import ReportEditor
from datasets_scripts.schema import COUNTERFACTUAL_KINDS, Counterfactual

SENTENCES = (
    "No pneumothorax or pleural effusion is seen.",
    "There is a SMALL left pleural effusion.",
    "Heart size, mediastinum are normal..",
    "The heart is normal in size.",
    "Mild degenerative changes of the thoracic spine",
    "XXXX opacity in the left upper lobe, 2.5 cm.",
    "Lungs are clear; no focal consolidation.",
    "Stable cardiomegaly.",
    "T-spine osteophytes\nare  noted.",
    "1. Calcified granuloma in the right lower lobe.",
    "½ naïve — non-words…",
    "There are no effusions.",
    "Cannot exclude a small right pneumothorax.",
    "Lungs: No focal consolidation.",
)
FINDINGS = st.lists(st.sampled_from(SENTENCES), min_size=1, max_size=5).map(" ".join)
WORDS = st.sampled_from(" ".join(SENTENCES).split(" "))


EDITOR = ReportEditor(seed=0)


def edit(findings: str, study_id: str = "CXR1") -> dict[str, Counterfactual]:
    return EDITOR.edit(findings, normalize_report(findings), study_id)


def check_span(report: str, counterfactual: Counterfactual) -> None:
    """The text is the report with whole words from `start` to `end` replaced, and is another report."""
    before, after = report[: counterfactual.start], report[counterfactual.end :]
    assert before + counterfactual.replacement + after == counterfactual.text
    assert counterfactual.text == normalize_report(counterfactual.text) != report
    assert not before or before.endswith(" ")
    assert not after or after.startswith(" ")
    assert report[counterfactual.start : counterfactual.end].strip()
    assert counterfactual.replacement.strip()


def test_one_edit_of_each_kind_that_the_report_allows() -> None:
    found = edit("Mild scarring in the left upper lobe. Heart size is normal. No effusion.")

    assert set(found) == set(COUNTERFACTUAL_KINDS)
    assert found["heart_size"] == Counterfactual(
        text="mild scarring in the left upper lobe heart size is enlarged no effusion",
        start=51,
        end=57,
        replacement="enlarged",
    )


def test_a_report_that_states_nothing_has_no_edit() -> None:
    assert edit("XXXX. Comparison with XXXX.") == {}


@settings(max_examples=60, deadline=None)
@given(findings=FINDINGS | st.lists(WORDS, min_size=1, max_size=25).map(" ".join))
def test_every_span_gives_its_text_in_whole_words_and_keeps_all_others(findings: str) -> None:
    report = normalize_report(findings)

    for counterfactual in edit(findings).values():
        check_span(report, counterfactual)


@settings(max_examples=60, deadline=None)
@given(findings=FINDINGS)
def test_case_and_line_breaks_change_no_edit(findings: str) -> None:
    expected = edit(findings)

    assert edit(findings.upper()) == expected
    assert edit(findings.replace(" ", "\n")) == expected


def test_capitals_are_negated_too() -> None:
    assert edit("There are NO effusions.")["negation"].text == "there are effusions"
    assert edit("THERE IS NO PNEUMOTHORAX.")["negation"].text == "there is a pneumothorax"


def test_a_phrase_that_a_line_break_divides_is_found() -> None:
    assert edit("No pleural\neffusion. Heart\nsize is normal.").keys() == {"negation", "heart_size"}


def test_the_sentences_of_a_structured_report_are_edited() -> None:
    found = edit("Lungs: Clear. Pleura: No effusion. Heart: Normal size.")

    assert {kind: counterfactual.text for kind, counterfactual in found.items()} == {
        "negation": "lungs clear pleura there is an effusion heart normal size",
        "heart_size": "lungs clear pleura no effusion heart enlarged",
    }


@settings(max_examples=25, deadline=None)
@given(batch=st.lists(FINDINGS, min_size=1, max_size=4))
def test_an_edit_depends_on_its_own_report_and_not_on_the_batch(batch: list[str]) -> None:
    together = list(ReportEditor(seed=0).edit_batch((str(number), text) for number, text in enumerate(batch)))

    assert together == [edit(text, str(number)) for number, text in enumerate(batch)]


def test_seed_and_study_choose_among_the_edits() -> None:
    findings = "No pneumothorax, pleural effusion or focal consolidation."
    report = normalize_report(findings)

    by_study = {edit(findings, f"CXR{number}")["negation"].text for number in range(30)}
    by_seed = {ReportEditor(seed).edit(findings, report, "CXR1")["negation"].text for seed in range(10)}

    assert len(by_study) == 3
    assert len(by_seed) > 1


def test_a_report_of_other_findings_is_an_error() -> None:
    with pytest.raises(ValueError, match="study CXR7: report 'lungs clear' is not normalize_report of the findings"):
        EDITOR.edit("Heart normal.", "lungs clear", "CXR7")


@pytest.mark.skipif("PRD_OPENI_REPORTS" not in os.environ, reason="PRD_OPENI_REPORTS names no NLMCXR_reports.tgz")
def test_at_least_95_percent_of_openi_s_reports_have_a_counterfactual() -> None:
    corpus = read_reports(Path(os.environ["PRD_OPENI_REPORTS"]))
    studies = [(report.study_id, report.findings) for report in corpus if normalize_report(report.findings)]
    assert len(studies) == 3425

    counterfactuals = list(EDITOR.edit_batch(studies))

    assert sum(map(bool, counterfactuals)) >= 0.95 * len(studies)
    assert counterfactuals == list(EDITOR.edit_batch((study_id, findings.upper()) for study_id, findings in studies))
    for (_, findings), found in zip(studies, counterfactuals, strict=True):
        for counterfactual in found.values():
            check_span(normalize_report(findings), counterfactual)

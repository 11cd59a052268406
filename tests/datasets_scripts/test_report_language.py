"""Findings of a report as written, and what of them is denied."""

import pytest

from datasets_scripts.report_language import ReportParser, terms


@pytest.fixture(scope="module")
def parser() -> ReportParser:
    return ReportParser()


def denied(parser: ReportParser, text: str) -> dict[str, bool]:
    return {mention.term.text: mention.denied for mention in next(parser.parse([text])).mentions}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("No pneumothorax or pleural effusion.", {"pneumothorax": True, "pleural effusion": True}),
        ("Small effusion. No pneumothorax.", {"effusion": False, "pneumothorax": True}),
        ("There is a mass without effusion.", {"mass": False, "effusion": True}),
        ("No effusion but there is a nodule.", {"effusion": True, "nodule": False}),
        ("Lungs are free of infiltrates.", {"infiltrates": True}),
        ("Negative for pneumonia.", {"pneumonia": True}),
        ("Scarring is present and no free air.", {"scarring": False, "free air": True}),
        ("No change in the left effusion.", {"effusion": False}),
    ],
)
def test_negation_scope_ends_with_the_clause(parser: ReportParser, text: str, expected: dict[str, bool]) -> None:
    assert denied(parser, text) == expected


def test_the_longest_term_is_found(parser: ReportParser) -> None:
    assert list(denied(parser, "Calcified granuloma, Pleural Effusion.")) == [
        "calcified granuloma",
        "pleural effusion",
    ]


def test_spans_are_characters_of_the_report_as_written(parser: ReportParser) -> None:
    report = next(parser.parse(["Lungs clear.. NO  Pneumothorax."]))

    assert [report.text[mention.start : mention.end] for mention in report.mentions] == ["Pneumothorax"]
    assert [report.text[start:end] for start, end in report.sentences] == ["Lungs clear..", "NO  Pneumothorax."]


def test_a_statement_begins_after_its_label(parser: ReportParser) -> None:
    report = next(parser.parse(["LUNGS: Clear. Heart and mediastinum: Normal. Seen at 3:30."]))

    assert [report.text[start:end] for start, end in report.statements] == ["Clear.", "Normal.", "Seen at 3:30."]


def test_plurals_are_terms_that_take_no_article() -> None:
    assert terms()["nodule"].takes_article
    assert not terms()["nodules"].takes_article
    assert not terms()["pneumonia"].takes_article
    assert terms()["nodules"].fact == terms()["nodule"].fact

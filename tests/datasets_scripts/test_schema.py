import pytest
from dataset_helpers import record

from datasets_scripts.perturbations import PERTURBATIONS
from datasets_scripts.schema import CHEXPERT_LABELS, COUNTERFACTUAL_KINDS, Counterfactual, features


def test_features_have_one_field_per_perturbation_kind_and_label() -> None:
    columns = features()

    assert list(columns["perturbed"]) == list(columns["changed"]) == list(PERTURBATIONS)
    assert list(columns["counterfactual"]) == list(COUNTERFACTUAL_KINDS)
    assert list(columns["labels"]) == list(CHEXPERT_LABELS)


def test_a_record_takes_a_counterfactual_whose_span_gives_its_text() -> None:
    edit = Counterfactual("a small effusion", start=2, end=7, replacement="small")

    assert record("a", "a large effusion", counterfactuals={"severity": edit}).counterfactuals["severity"] is edit


@pytest.mark.parametrize("span", [(2, 6), (1, 7), (0, 7)])
def test_a_counterfactual_whose_span_does_not_give_its_text_is_refused(span: tuple[int, int]) -> None:
    edit = Counterfactual("a small effusion", *span, replacement="small")

    with pytest.raises(ValueError, match="image a: the severity counterfactual 'a small effusion'"):
        record("a", "a large effusion", counterfactuals={"severity": edit})


def test_an_unknown_kind_of_counterfactual_is_refused() -> None:
    edit = Counterfactual("a small effusion", start=2, end=7, replacement="small")

    with pytest.raises(ValueError, match="image a: counterfactual kind 'size' is none of negation, laterality"):
        record("a", "a large effusion", counterfactuals={"size": edit})


@pytest.mark.parametrize("report", ["Clear lungs", "clear  lungs", "clear lungs."])
def test_a_report_that_is_not_normalised_is_refused(report: str) -> None:
    with pytest.raises(ValueError, match=r"image a: report .* is not normalised"):
        record("a", report)


def test_an_empty_report_is_refused() -> None:
    with pytest.raises(ValueError, match="image a: its report is empty"):
        record("a", "")


@pytest.mark.parametrize("labels", [{"Edema": 0.5}, {"Oedema": 1.0}])
def test_a_label_beyond_chexpert_is_refused(labels: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"image a: label '{next(iter(labels))}'"):
        record("a", "clear", labels=labels)

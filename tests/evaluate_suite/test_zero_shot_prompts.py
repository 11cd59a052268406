from datasets_scripts.perturbations import normalize_report
from datasets_scripts.schema import CHEXPERT_LABELS
from evaluate_suite.prompts import PROMPTS


def test_every_label_of_chexpert_has_prompts_in_its_order():
    assert tuple(PROMPTS) == CHEXPERT_LABELS


def test_every_ensemble_says_what_it_says_in_at_least_five_ways():
    for prompts in PROMPTS.values():
        for ensemble in (prompts.positive, prompts.negative):
            assert len(set(ensemble)) == len(ensemble) >= 5


def test_prompts_are_normalised_as_reports_are():
    for prompts in PROMPTS.values():
        assert all(normalize_report(text) == text for text in prompts.positive + prompts.negative)


def test_no_prompt_both_affirms_and_denies_a_label():
    assert not any(set(prompts.positive) & set(prompts.negative) for prompts in PROMPTS.values())

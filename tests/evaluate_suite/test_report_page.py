"""The page of a report: every number with interval, chance and n, controls on its line, warnings in words."""

import re
from typing import Any

import pytest
from datasets import Dataset
from planted_encoders import constant, oracle, stranger

from evaluate_suite.formatting import full_text, number_text
from evaluate_suite.report import flags, markdown
from evaluate_suite.runner import run
from evaluate_suite.statistics import Measurement


def number(value: float, low: float, high: float, chance: float = 0.5, n: int = 100) -> Measurement:
    return Measurement(value=value, interval=[low, high], chance=chance, n=n)


def page_of(tasks: dict[str, Any], **changes: Any) -> str:
    report = {
        "model": "ours",
        "data": "phantom",
        "sources": {"model": "runs/ours", "data": "cache/e7e577af"},
        "split": "test",
        "n_images": 1200,
        "n_studies": 900,
        "n_reports": 800,
        "n_synthetic": 0,
        "texts": {"distinct": 5000, "truncated": 7},
        "seed": 3,
        "n_bootstrap": 1000,
        "versions": {"torch": "2"},
        "tasks": tasks,
        "figures": {task: [] for task in tasks},
        "skipped": {},
    }
    return markdown({**report, **changes})


def row_of(page: str, name: str) -> list[str]:
    found = [line for line in page.splitlines() if line.startswith(f"| {name} |")]
    assert len(found) == 1, name
    return [cell.strip() for cell in found[0].strip("|").split("|")]


CONTROLLED = {
    "accuracy": number(0.9, 0.85, 0.95),
    "by_kind": {"heart_size": number(0.8, 0.7, 0.9, n=40)},
    "blind": {**number(0.51, 0.4, 0.6), "by_kind": {"heart_size": number(0.52, 0.4, 0.6, n=40)}},
    "wrong_image": {**number(0.5, 0.45, 0.55), "by_kind": {}},
    "gain_over_blind": number(0.39, 0.3, 0.45, chance=0.0),
    "gain_over_wrong_image": number(0.4, 0.35, 0.45, chance=0.0),
    "needs_image": True,
}


def test_controls_stand_on_the_line_of_their_number() -> None:
    assert row_of(page_of({"counterfactual": CONTROLLED}), "accuracy") == [
        "accuracy",
        "90.0 % [85.0, 95.0]",
        "51.0 % [40.0, 60.0]",
        "50.0 % [45.0, 55.0]",
        "+39.0 points [+30.0, +45.0]",
        "+40.0 points [+35.0, +45.0]",
        "50.0 %",
        "100",
    ]


def test_a_part_has_its_own_controls_and_a_dash_where_there_is_none() -> None:
    row = row_of(page_of({"counterfactual": CONTROLLED}), "heart size")
    assert row == ["heart size", "80.0 % [70.0, 90.0]", "52.0 % [40.0, 60.0]", "–", "–", "–", "50.0 %", "40"]


def test_a_control_with_another_chance_or_n_says_so() -> None:
    tree = {**CONTROLLED, "blind": number(0.51, 0.4, 0.6, chance=0.25, n=90)}
    assert row_of(page_of({"counterfactual": tree}), "accuracy")[2] == "51.0 % [40.0, 60.0] (chance 25.0 %, n 90)"


def test_each_blind_model_has_a_line_of_its_own() -> None:
    blind = {**CONTROLLED["blind"], "models": {"trigram": number(0.49, 0.4, 0.58)}}
    row = row_of(page_of({"counterfactual": {**CONTROLLED, "blind": blind}}), "blind: trigram")
    assert row == ["blind: trigram", "", "49.0 % [40.0, 58.0]", "", "", "", "50.0 %", "100"]


def test_a_part_of_a_task_with_controls_of_its_own_is_a_section() -> None:
    page = page_of({"counterfactual": {**CONTROLLED, "balanced": CONTROLLED}})
    assert page.index("## Counterfactual") < page.index("### Balanced")
    assert page.count("| accuracy | 90.0 % [85.0, 95.0] | 51.0 % [40.0, 60.0] |") == 2


@pytest.mark.parametrize(
    "needs_image", [False, True], ids=["a wrong image does as well", "a blind model does as well"]
)
def test_a_test_that_a_control_passes_as_well_is_flagged_on_top_in_words(needs_image: bool) -> None:
    tree = {**CONTROLLED, "needs_image": needs_image, "note": "So it is."}
    page = page_of({"structure": CONTROLLED, "counterfactual": {**CONTROLLED, "balanced": tree}})
    assert "- **counterfactual: balanced**: So it is." in page
    assert page.count("So it is.") == 1
    assert page.index("## Results that say little about the image") < page.index("## Structure")
    assert "Results that say little" not in page_of({"counterfactual": CONTROLLED})


def test_what_is_noted_of_a_control_is_flagged_too() -> None:
    fitted = {**number(0.7, 0.6, 0.8), "note": "It is not at chance."}
    page = page_of({"counterfactual": {**CONTROLLED, "blind_fitted_on_train": fitted}})
    assert "- **counterfactual: blind fitted on train**: It is not at chance." in page
    assert page.count("It is not at chance.") == 1


def test_grounding_that_gains_nothing_over_wrong_maps_is_flagged() -> None:
    page = page_of({"grounding": {"pointing_game": number(0.5, 0.4, 0.6), "needs_image": False, "note": "So it is."}})
    assert "- **grounding**: So it is." in page
    assert page.count("So it is.") == 1


def test_a_note_on_how_something_was_measured_is_no_flag() -> None:
    page = page_of({"zero_shot": {"auroc": {"mean": number(0.8, 0.7, 0.9)}, "note": "at the best thresholds"}})
    assert "at the best thresholds" in page
    assert "Results that say little" not in page


def test_a_constant_model_is_flagged_and_an_oracle_on_counterfactuals_is_not(pairs: Dataset) -> None:
    splits = {"train": pairs, "test": pairs}
    flagged = dict(flags(run(constant(), splits, ["counterfactual"], n_bootstrap=50)["tasks"]))
    assert ("counterfactual",) in flagged
    trusted = dict(flags(run(oracle(pairs), splits, ["counterfactual"], n_bootstrap=50)["tasks"]))
    assert ("counterfactual",) not in trusted


def test_what_is_left_out_stands_with_its_reason_and_whole_path() -> None:
    tasks = {
        "grounding": {"skipped": {"grounding": "not supported"}},
        "structure": {**CONTROLLED, "skipped": {"by_perturbation.reverse_sentence": "changes none"}},
    }
    page = page_of(tasks, skipped={"zero_shot": "the data has no column 'labels'"})
    assert "- `zero_shot`: the data has no column 'labels'" in page
    assert "- `grounding`: not supported" in page
    assert "- `structure.by_perturbation.reverse_sentence`: changes none" in page


def test_the_title_and_the_cases_stand_on_top_and_what_was_run_below() -> None:
    page = page_of({"counterfactual": CONTROLLED})
    assert page.startswith("# ours on phantom\n\n1,200 images of 900 studies with 800 distinct reports, split `test`.")
    facts = page[page.index("## What was run") :]
    assert "## Counterfactual" not in facts
    assert row_of(facts, "model")[1] == "`runs/ours`"
    assert row_of(facts, "data")[1] == "`cache/e7e577af`, split `test`"
    assert "7 truncated (of 5,000 distinct texts)" in facts
    assert "1,000 resamples of studies, seed 3" in facts
    assert "not told by the model" in page_of({}, texts={"distinct": 3, "truncated": None})


def test_each_task_s_main_number_stands_in_the_first_table_with_its_controls() -> None:
    def condition(value: float) -> dict[str, Any]:
        return {"counterfactual_accuracy": number(value, 0.4, 0.6), "structure_accuracy": number(0.1, 0.0, 0.2)}

    # Of balanced pairs, the blind models that did not choose them.
    balanced = {**CONTROLLED, "blind_fitted_on_train": number(0.55, 0.5, 0.6)}
    page = page_of(
        {
            "counterfactual": {**CONTROLLED, "balanced": balanced},
            "retrieval": {"image_to_text": {"recall_at_1": number(0.4, 0.3, 0.5, 0.01)}},
            "zero_shot": {"auroc": {"mean": number(0.8, 0.7, 0.9), "Edema": number(0.7, 0.6, 0.8)}},
            "grounding": {
                "pointing_game": number(0.6, 0.5, 0.7, 0.2),
                "wrong_map": number(0.2, 0.1, 0.3, 0.2),
                "gain_over_wrong_map": {"pointing_game": number(0.4, 0.3, 0.5, 0.0)},
            },
            "robustness": {"clean": condition(0.3), "jpeg": {"1": condition(0.5), "3": condition(0.45)}},
        }
    )
    lines = page.splitlines()
    first = lines.index("| --- | --- | --- | --- | --- | --- | --- | --- |")
    rows = [line.split(" | ") for line in lines[first + 1 : lines.index("", first)]]
    assert [(row[0].removeprefix("| "), *row[1:4]) for row in rows] == [
        ("counterfactual: accuracy", "90.0 % [85.0, 95.0]", "51.0 % [40.0, 60.0]", "50.0 % [45.0, 55.0]"),
        ("counterfactual: balanced: accuracy", "90.0 % [85.0, 95.0]", "55.0 % [50.0, 60.0]", "50.0 % [45.0, 55.0]"),
        ("retrieval: image to text: recall at 1", "40.0 % [30.0, 50.0]", "–", "–"),
        ("zero shot: AUROC: mean", "0.800 [0.700, 0.900]", "–", "–"),
        ("grounding: pointing game", "60.0 % [50.0, 70.0]", "–", "20.0 % [10.0, 30.0]"),
        ("robustness: counterfactual accuracy, lowest (JPEG 3)", "45.0 % [40.0, 60.0]", "–", "–"),
    ]
    assert rows[4][5] == "+40.0 points [+30.0, +50.0]"
    assert first < lines.index("## Counterfactual")


def test_the_tables_of_a_task_are_folded_under_its_pictures() -> None:
    figures = {"counterfactual": [{"file": "figures/counterfactual.png", "caption": "How often."}]}
    page = page_of({"counterfactual": CONTROLLED}, figures=figures)
    order = ["## Counterfactual", "figures/counterfactual.png", "<details>\n<summary>", "| accuracy |", "</details>"]
    places = [page.index(text) for text in order]
    assert places == sorted(places)


def test_a_part_of_a_gain_stands_on_the_line_of_its_part() -> None:
    gain = {**CONTROLLED["gain_over_blind"], "by_kind": {"heart_size": number(0.28, 0.1, 0.4, chance=0.0, n=40)}}
    row = row_of(page_of({"counterfactual": {**CONTROLLED, "gain_over_blind": gain}}), "heart size")
    assert row[4] == "+28.0 points [+10.0, +40.0]"


def test_counts_and_settings_stand_under_the_numbers() -> None:
    tree = {
        "auroc": {"mean": number(0.8, 0.7, 0.9), "Edema": number(0.8, 0.7, 0.9)},
        "counts": {name: {"positive": 4, "negative": 6} for name in ("Edema", "Fracture", "Pneumonia")},
        "thresholds": {"Edema": 0.12345},
        "note": "at the best thresholds",
    }
    page = page_of({"zero_shot": tree})
    assert row_of(page, "counts") == ["counts", "Edema", "Fracture", "Pneumonia"]  # the shorter way round
    assert row_of(page, "positive") == ["positive", "4", "4", "4"]
    assert row_of(page, "negative") == ["negative", "6", "6", "6"]
    assert "thresholds: Edema 0.123" in page
    assert "at the best thresholds" in page


def test_names_of_two_parts_make_a_table_and_deeper_ones_too() -> None:
    recall = number(0.1, 0.05, 0.2, chance=0.01)
    retrieval = {way: {"recall_at_1": recall, "median_rank": number(3, 2, 5, 60.5)} for way in ("there", "back")}
    page = page_of(
        {
            "retrieval": retrieval,
            "robustness": {"clean": {"structure_accuracy": recall}, "blur": {"1": {"structure_accuracy": recall}}},
        }
    )
    text = "10.0 % [5.0, 20.0] (chance 1.0 %, n 100)"
    assert row_of(page, "recall at 1") == ["recall at 1", text, text]
    assert row_of(page, "median rank")[1] == "3.0 [2.0, 5.0] (chance 60.5, n 100)"
    assert "|  | structure accuracy (chance 1.0 %, n 100) |" in page  # which are the same for the whole column
    assert row_of(page, "clean") == ["clean", "10.0 % [5.0, 20.0]"]
    assert row_of(page, "blur: 1") == ["blur: 1", "10.0 % [5.0, 20.0]"]


def test_no_number_of_a_real_report_stands_without_interval_chance_and_n(pairs: Dataset) -> None:
    report = run(stranger(), {"train": pairs, "test": pairs}, n_bootstrap=20)
    page = markdown(report)
    shown, in_heading = 0, 0
    for line in page.splitlines():
        intervals = len(re.findall(r"-?[\d.]+(?: %| points)? \[[^\]]+\]", line))
        chances = len(re.findall(r"\(chance [^,]+, n [\d,]+\)", line))
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|  |"):  # a table's heading
            in_heading = chances
        on_the_line = len(cells) == 8 and re.fullmatch(r"[\d.]+( %)?", cells[6]) and re.fullmatch(r"[\d,]+", cells[7])
        assert not intervals or intervals == chances + in_heading or on_the_line, line
        shown += intervals
    assert shown > 50


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (["structure", "accuracy"], "12.3 % [4.0, 50.0] (chance 10.0 %, n 1,234)"),
        (["counterfactual", "by_kind", "finding"], "12.3 % [4.0, 50.0] (chance 10.0 %, n 1,234)"),
        (["structure", "mean_reciprocal_rank"], "0.123 [0.040, 0.500] (chance 0.100, n 1,234)"),
        (["zero_shot", "auroc", "Edema"], "0.123 [0.040, 0.500] (chance 0.100, n 1,234)"),
        (["retrieval", "image_to_text", "median_rank"], "0.1 [0.0, 0.5] (chance 0.1, n 1,234)"),
        (["structure", "blind", "by_perturbation", "x"], "12.3 % [4.0, 50.0] (chance 10.0 %, n 1,234)"),
        (["zero_shot", "auroc", "blind spot"], "0.123 [0.040, 0.500] (chance 0.100, n 1,234)"),
        (["grounding", "by_label", "Edema", "cnr"], "0.123 [0.040, 0.500] (chance 0.100, n 1,234)"),
        (["structure", "blind", "mean_reciprocal_rank"], "0.123 [0.040, 0.500] (chance 0.100, n 1,234)"),
    ],
)
def test_shares_are_printed_in_per_cent_and_other_numbers_as_they_are(path: list[str], text: str) -> None:
    assert full_text(number(0.123, 0.04, 0.5, chance=0.1, n=1234), path) == text


def test_differences_carry_their_sign() -> None:
    assert number_text(number(-0.123, -0.2, 0.01), ["x", "accuracy"], signed=True) == "-12.3 points [-20.0, +1.0]"


def test_drawn_images_are_said_at_the_head() -> None:
    assert "synthetic" not in page_of({}).splitlines()[2]
    assert "**7 of the images are synthetic: drawn by a program" in page_of({}, n_synthetic=7).splitlines()[2]
    assert "**All of the images are synthetic" in page_of({}, n_synthetic=1200).splitlines()[2]

"""Every number of a report against an independent computation in float64, from the data and the encoder's vectors.

The data and the encoder are such that scores tie, reports stand twice, a study has two images, and labels, boxes and
perturbations are missing. A number that is new in the report, and that nothing here recomputes, fails with its path.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from coarse_encoder import CoarseEncoder, IndifferentEncoder, coarse_splits
from datasets import Dataset
from recomputed import Leaf, LeafPath, Model, Plan, dot, leaves, numbers_in
from recomputed_controls import derangements
from recomputed_counterfactual import counterfactual, pair_wins, read_edits
from recomputed_grounding import cases_of, grounding, to_pixels
from recomputed_retrieval import retrieval
from recomputed_robustness import robustness
from recomputed_structure import structure
from recomputed_zero_shot import label_scores, zero_shot

from evaluate_suite.controls import wrong_image
from evaluate_suite.prompts import PROMPTS
from evaluate_suite.runner import run

PLAN = Plan(n_bootstrap=50, seed=3)
TASKS = ["structure", "counterfactual", "retrieval", "zero_shot", "grounding", "robustness"]
TOLERANCE = 1e-9


@pytest.fixture(scope="module")
def all_splits(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Dataset]:
    return coarse_splits(tmp_path_factory.mktemp("coarse"))


@pytest.fixture(scope="module", params=["guessing", "knowing", "indifferent and alone"])
def evaluated(request: pytest.FixtureRequest, all_splits: dict[str, Dataset]) -> tuple[Any, dict[str, Dataset]]:
    """An encoder and the splits: one that knows nothing, one that knows two test images in three, and one that has the
    same vector for all, with the test split alone."""
    if request.param == "indifferent and alone":
        return IndifferentEncoder(), {"test": all_splits["test"]}
    known = [(row["image"], row["report"]) for row in all_splits["test"]] if request.param == "knowing" else []
    return CoarseEncoder(known), all_splits


@pytest.fixture(scope="module")
def report(evaluated: tuple[Any, dict[str, Dataset]], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The report as its file has it."""
    encoder, splits = evaluated
    out = tmp_path_factory.mktemp("report") / "out"
    run(encoder, splits, TASKS, out, n_bootstrap=PLAN.n_bootstrap, seed=PLAN.seed)
    return json.loads((out / "report.json").read_text())


@pytest.fixture(scope="module")
def recomputed(evaluated: tuple[Any, dict[str, Dataset]]) -> dict[str, Any]:
    encoder, splits = evaluated
    test, train, validation = (splits.get(name) for name in ("test", "train", "validation"))
    model = Model(encoder, test)
    others = [split for split in (train, validation) if split is not None]
    return {
        "structure": structure(model, test, train, PLAN),
        "counterfactual": counterfactual(model, test, train, others, PLAN),
        "retrieval": retrieval(model, test, PLAN),
        "zero_shot": zero_shot(model, test, validation, PLAN),
        "grounding": grounding(encoder, test, validation, PLAN),
        "robustness": robustness(model, test, PLAN),
    }


@pytest.mark.parametrize("task", TASKS)
def test_every_number_is_recomputed_and_every_recomputed_number_is_there(
    task: str, report: dict[str, Any], recomputed: dict[str, Any]
) -> None:
    found, expected = leaves(report["tasks"][task]), leaves(recomputed[task])
    assert _names(set(found) - set(expected)) == [], "in the report, and recomputed by nothing"
    assert _names(set(expected) - set(found)) == [], "recomputed, and not in the report"


@pytest.mark.parametrize("task", TASKS)
def test_every_number_is_as_recomputed(task: str, report: dict[str, Any], recomputed: dict[str, Any]) -> None:
    found, expected = leaves(report["tasks"][task]), leaves(recomputed[task])
    assert _differences(found, expected) == []


COUNTS = ("n_images", "n_studies", "n_reports", "n_synthetic", "seed", "n_bootstrap")


def test_the_counts_at_the_head_are_recomputed(
    report: dict[str, Any], evaluated: tuple[Any, dict[str, Dataset]]
) -> None:
    test = evaluated[1]["test"]
    texts = set(test["report"])
    for perturbed, changed, edits in zip(test["perturbed"], test["changed"], test["counterfactual"], strict=True):
        texts |= {perturbed[name] for name in perturbed if changed[name]}
        texts |= {edit["text"] for edit in edits.values() if edit is not None}
    for prompts in PROMPTS.values():
        texts |= {*prompts.positive, *prompts.negative}
    assert {key: report[key] for key in COUNTS} == {
        "n_images": len(test),
        "n_synthetic": len(test),
        "n_studies": len(set(test["study_id"])),
        "n_reports": len(set(test["report"])),
        "seed": PLAN.seed,
        "n_bootstrap": PLAN.n_bootstrap,
    }
    assert report["texts"] == {"distinct": len(texts), "truncated": None}


def test_scores_tie_in_every_task(all_splits: dict[str, Dataset]) -> None:
    test = all_splits["test"].remove_columns("image")
    model = Model(CoarseEncoder(), all_splits["test"])
    own = [dot(image, model.text(row["report"])) for image, row in zip(model.images, test, strict=True)]
    rivals = [set(row["perturbed"].values()) - {row["report"]} for row in test]
    others = [set(test["report"]) - {row["report"]} for row in test]
    for texts in (rivals, others):
        assert any(
            dot(image, model.text(text)) == score
            for image, score, of_row in zip(model.images, own, texts, strict=True)
            for text in of_row
        )
    assert 0.5 in pair_wins(model.images, model, read_edits(test), range(len(test)))
    scores = [round(score, 9) for score in label_scores(model, model.images, "Support Devices")]
    assert len(set(scores)) < len({tuple(image) for image in model.images}), "of different images"
    heats = [to_pixels(case.grid, 32, 32) for case in cases_of(model.encoder, all_splits["test"])]
    highest = [sum(line.count(1.0) for line in heat) for heat in heats]
    assert min(highest) == 0, "a flat map"
    assert max(highest) > 1, "several pixels are the maximum"


def test_no_row_is_given_an_image_of_its_own_study_or_report(all_splits: dict[str, Dataset]) -> None:
    studies, reports = all_splits["test"]["study_id"][:], all_splits["test"]["report"][:]
    orders = wrong_image.derangements(studies, reports, seed=PLAN.seed).tolist()
    assert orders == derangements(studies, reports, PLAN.seed)
    assert len({tuple(order) for order in orders}) == len(orders) == 20
    for order in orders:
        assert sorted(order) == list(range(len(studies)))
        for row, image in enumerate(order):
            assert studies[image] != studies[row]
            assert reports[image] != reports[row]


def _names(paths: set[LeafPath]) -> list[str]:
    return sorted(map(".".join, paths))


def _differences(found: Mapping[LeafPath, Leaf], expected: Mapping[LeafPath, Leaf]) -> list[str]:
    return [
        f"{'.'.join(path)}: the report has {found[path]!r}, recomputed {expected[path]!r}"
        for path in sorted(set(found) & set(expected))
        if not _agree(found[path], expected[path])
    ]


def _agree(found: Leaf, expected: Leaf) -> bool:
    if isinstance(found, str):
        return isinstance(expected, str) and _same_numbers(numbers_in(found), numbers_in(expected))
    if type(found) is not type(expected):
        return False
    return found == expected if isinstance(found, bool | int) else found == pytest.approx(expected, rel=TOLERANCE)


def _same_numbers(found: Sequence[str], expected: Sequence[str]) -> bool:
    # A text rounds its numbers to as many decimals as it shows.
    return len(found) == len(expected) and all(
        abs(float(told) - float(exact)) <= 0.5 * 10.0 ** -len(told.partition(".")[2]) + TOLERANCE
        for told, exact in zip(found, expected, strict=True)
    )

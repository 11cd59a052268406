"""Every number of a report against an independent computation in float64, from the data and the encoder's vectors.

The data and the encoder are such that scores tie, reports stand twice, a study has two images, and labels, boxes and
perturbations are missing. A number that is new in the report, and that nothing here recomputes, fails with its path.
"""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from coarse_encoder import CoarseEncoder, coarse_splits
from datasets import Dataset
from recomputed import Leaf, LeafPath, Model, Plan, leaves, numbers_in
from recomputed_controls import derangements
from recomputed_counterfactual import counterfactual
from recomputed_grounding import grounding
from recomputed_retrieval import retrieval
from recomputed_robustness import robustness
from recomputed_structure import structure
from recomputed_zero_shot import zero_shot

from evaluate_suite.controls import wrong_image
from evaluate_suite.runner import run

PLAN = Plan(n_bootstrap=50, seed=3)
TASKS = ["structure", "counterfactual", "retrieval", "zero_shot", "grounding", "robustness"]
TOLERANCE = 1e-9
DECIMALS = 0.051  # a note gives numbers to one decimal


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Dataset]:
    return coarse_splits(tmp_path_factory.mktemp("coarse"))


@pytest.fixture(scope="module", params=["guessing", "knowing"])
def encoder(request: pytest.FixtureRequest, splits: dict[str, Dataset]) -> CoarseEncoder:
    """One encoder that knows nothing, and one that knows two test images in three."""
    known = [(row["image"], row["report"]) for row in splits["test"]] if request.param == "knowing" else []
    return CoarseEncoder(known)


@pytest.fixture(scope="module")
def report(
    encoder: CoarseEncoder, splits: dict[str, Dataset], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """The report as its file has it."""
    out = tmp_path_factory.mktemp("report") / "out"
    run(encoder, splits, TASKS, out, n_bootstrap=PLAN.n_bootstrap, seed=PLAN.seed)
    return json.loads((out / "report.json").read_text())


@pytest.fixture(scope="module")
def recomputed(encoder: CoarseEncoder, splits: dict[str, Dataset]) -> dict[str, Any]:
    test, train, validation = (splits[name] for name in ("test", "train", "validation"))
    model = Model(encoder, test)
    return {
        "structure": structure(model, test, train, PLAN),
        "counterfactual": counterfactual(model, test, train, [train, validation], PLAN),
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


def test_no_row_is_given_an_image_of_its_own_study_or_report(splits: dict[str, Dataset]) -> None:
    studies, reports = splits["test"]["study_id"][:], splits["test"]["report"][:]
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
        return isinstance(expected, str) and numbers_in(found) == pytest.approx(numbers_in(expected), abs=DECIMALS)
    if type(found) is not type(expected):
        return False
    return found == expected if isinstance(found, bool | int) else found == pytest.approx(expected, rel=TOLERANCE)

"""A model's outcomes beside those of its controls."""

import numpy as np
import pytest

from evaluate_suite.controls import NotComputable
from evaluate_suite.controls.gains import Cases, computed, measure_controls

GENERATOR = np.random.default_rng(0)
STUDIES = GENERATOR.integers(0, 20, 60)
STUDIES = np.unique(STUDIES, return_inverse=True)[1]
CASES = Cases(
    group="by_kind",
    names=["one", "other", "none"],
    counted=np.column_stack(
        [np.ones(60, dtype=bool), np.arange(60) < 40, np.arange(60) >= 40, np.zeros(60, dtype=bool)]
    ),
    studies=STUDIES,
    chances=[0.5] * 4,
    n_bootstrap=200,
    seed=7,
)


def outcomes(share: float) -> np.ndarray:
    return np.repeat((GENERATOR.random(60) < share).astype(np.float64)[:, None], 4, axis=1)


def test_the_gain_is_the_difference_of_means_with_the_interval_of_whole_studies_drawn_for_both() -> None:
    right, control = outcomes(0.9), outcomes(0.5)
    tree = measure_controls(CASES, right, {"blind": control})
    assert tree["blind"]["value"] == pytest.approx(control[:, 0].mean())
    assert tree["gain_over_blind"]["value"] == pytest.approx(right[:, 0].mean() - control[:, 0].mean())
    assert (tree["gain_over_blind"]["chance"], tree["gain_over_blind"]["n"]) == (0, 60)

    n_studies = STUDIES.max() + 1
    replicates = []
    for drawn in np.random.default_rng(7).integers(n_studies, size=(200, n_studies)):
        rows = [row for study in drawn for row in np.flatnonzero(study == STUDIES)]
        replicates.append(np.mean([right[row, 0] for row in rows]) - np.mean([control[row, 0] for row in rows]))
    assert tree["gain_over_blind"]["interval"] == pytest.approx(list(np.percentile(replicates, [2.5, 97.5])))


def test_parts_are_means_over_their_cases_and_a_part_without_cases_is_left_out() -> None:
    control = outcomes(0.5)
    tree = measure_controls(CASES, outcomes(0.9), {"blind": control})
    assert list(tree["blind"]["by_kind"]) == ["one", "other"]
    assert tree["blind"]["by_kind"]["one"]["value"] == pytest.approx(control[:40, 0].mean())
    assert tree["blind"]["by_kind"]["other"]["value"] == pytest.approx(control[40:, 0].mean())
    assert tree["blind"]["by_kind"]["other"]["n"] == 20


def test_a_test_that_wrong_images_do_as_well_on_is_said_not_to_need_the_image() -> None:
    right = outcomes(0.8)
    same = measure_controls(CASES, right, {"wrong_image": right})
    assert same["needs_image"] is False
    assert "does not need the image" in same["note"]
    assert "a gain of 0.0 points" in same["note"]
    hardly_worse = right.copy()
    hardly_worse[np.flatnonzero(right[:, 0])[0]] = 0
    hardly = measure_controls(CASES, right, {"wrong_image": hardly_worse})
    assert hardly["gain_over_wrong_image"]["value"] > 0
    assert hardly["needs_image"] is False
    worse = measure_controls(CASES, np.ones((60, 4)), {"wrong_image": outcomes(0.5)})
    assert worse["needs_image"] is True
    assert "note" not in worse


def test_a_control_that_cannot_be_computed_is_skipped_with_its_reason() -> None:
    def refuse() -> np.ndarray:
        raise NotComputable("no other image")

    tree = measure_controls(CASES, outcomes(0.5), {"blind": outcomes(0.5), "wrong_image": computed(refuse)})
    assert set(tree) == {"blind", "gain_over_blind", "skipped"}
    assert tree["skipped"] == dict.fromkeys(["wrong_image", "gain_over_wrong_image", "needs_image"], "no other image")

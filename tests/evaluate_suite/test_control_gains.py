"""A model's outcomes beside those of its controls."""

from dataclasses import replace

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


def test_a_gain_that_is_above_zero_by_rounding_alone_is_none() -> None:
    # In twentieths, the gains are 3, 3, 2, 3 and -2, and the lower bound of their mean is 0; in float64, 6e-18.
    right = np.array([[1.0], [1.0], [1.0], [1.0], [0.0]])
    wrong_image = np.array([[17.0], [17.0], [18.0], [17.0], [2.0]]) / 20
    counted = np.ones((5, 1), dtype=bool)
    cases = Cases("by_kind", [], counted, np.arange(5), chances=[0.5], n_bootstrap=50, seed=0)
    twentieths = cases.gain(20 * right, np.rint(20 * wrong_image))
    tree = measure_controls(cases, right, {"wrong_image": wrong_image})
    assert twentieths["interval"][0] == 0
    assert tree["gain_over_wrong_image"]["interval"][0] > 0
    assert tree["needs_image"] is False


def test_a_test_that_a_blind_model_does_as_well_on_is_said_to_be_so() -> None:
    tree = measure_controls(CASES, ones := np.ones((60, 4)), {"blind": ones, "wrong_image": outcomes(0.5)})
    assert tree["gain_over_blind"]["value"] == 0
    assert tree["needs_image"] is True
    assert "A model that sees no image does as well" in tree["note"]
    assert "100.0 %, this model with the right images 100.0 %, a gain of 0.0 points" in tree["note"]
    assert "does not need the image" not in tree["note"]
    without_wrong_images = measure_controls(CASES, ones, {"blind": ones})
    assert without_wrong_images["note"] == tree["note"]


def test_where_neither_gain_is_certain_the_note_says_both() -> None:
    right = outcomes(0.8)
    note = measure_controls(CASES, right, {"blind": np.ones((60, 4)), "wrong_image": right})["note"]
    assert "does not need the image" in note
    assert "A model that sees no image does as well" in note


def test_a_gain_has_the_parts_of_its_task_paired_and_from_the_same_resamples() -> None:
    right, control = outcomes(0.9), outcomes(0.4)
    tree = measure_controls(CASES, right, {"blind": control, "wrong_image": 0.5 * control})
    for gain, other in (("gain_over_blind", control), ("gain_over_wrong_image", 0.5 * control)):
        assert list(tree[gain]["by_kind"]) == ["one", "other"]
        for name, rows in (("one", range(40)), ("other", range(40, 60))):
            differences = right[rows, 0] - other[rows, 0]
            number = tree[gain]["by_kind"][name]
            assert number["value"] == pytest.approx(differences.mean())
            assert (number["chance"], number["n"]) == (0, len(rows))
            replicates = []
            for drawn in np.random.default_rng(7).integers(STUDIES.max() + 1, size=(200, STUDIES.max() + 1)):
                cases = [place for study in drawn for place in np.flatnonzero(STUDIES[rows] == study)]
                replicates += [differences[cases].mean()] if cases else []
            assert number["interval"] == pytest.approx(list(np.percentile(replicates, [2.5, 97.5])))


def test_one_study_shows_no_gain_whatever_it_scores() -> None:
    cases = replace(CASES, studies=np.zeros(60, dtype=np.int64))
    tree = measure_controls(cases, np.ones((60, 4)), {"wrong_image": np.zeros((60, 4)) + 0.5})
    low, high = tree["gain_over_wrong_image"]["interval"]
    assert -1 < low < 0 < high < 1
    assert tree["needs_image"] is False


def test_a_control_that_cannot_be_computed_is_skipped_with_its_reason() -> None:
    def refuse() -> np.ndarray:
        raise NotComputable("no other image")

    tree = measure_controls(CASES, np.ones((60, 4)), {"blind": outcomes(0.5), "wrong_image": computed(refuse)})
    assert set(tree) == {"blind", "gain_over_blind", "skipped"}
    assert tree["skipped"] == dict.fromkeys(["wrong_image", "gain_over_wrong_image", "needs_image"], "no other image")

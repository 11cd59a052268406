"""The structure accuracy metric, against loops written here, and as `evaluate` runs it."""

import ast
import doctest
import runpy
import shutil
from pathlib import Path
from typing import Any

import evaluate
import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from evaluate_suite.structure_accuracy import structure_accuracy as script
from evaluate_suite.structure_accuracy.structure_accuracy import (
    bootstrap_ratios,
    bounded_interval,
    group_indices,
    percentile_interval,
    resampled_group_counts,
    structure_scores,
)

FOLDER = Path(script.__file__).parent
NAMES = ["original", "reversed", "shuffled"]


@pytest.fixture(scope="module")
def metric() -> evaluate.Metric:
    return evaluate.load(str(FOLDER))


def loop_scores(rows: list[list[float]], references: list[int], masks: list[list[bool]]) -> dict[str, Any]:
    """The metric's point values, one row and one candidate at a time."""
    hits, shared, reciprocal, chances, reciprocal_chances = [], [], [], [], []
    without_rival = 0
    for scores, reference, mask in zip(rows, references, masks, strict=True):
        rivals = [s for j, s in enumerate(scores) if j != reference and mask[j]]
        if not rivals:
            without_rival += 1
            continue
        own, size = scores[reference], len(rivals) + 1
        as_high = sum(rival >= own for rival in rivals)
        higher = sum(rival > own for rival in rivals)
        hits.append(1.0 if as_high == 0 else 0.0)
        shared.append(1.0 / (1 + as_high) if higher == 0 else 0.0)
        reciprocal.append(1.0 / (1 + as_high))
        chances.append(1.0 / size)
        reciprocal_chances.append(sum(1.0 / rank for rank in range(1, size + 1)) / size)
    if not hits:
        return {"n": 0, "n_without_rival": without_rival}
    return {
        "accuracy": sum(hits) / len(hits),
        "accuracy_ties_shared": sum(shared) / len(hits),
        "mean_reciprocal_rank": sum(reciprocal) / len(hits),
        "chance": sum(chances) / len(hits),
        "mean_reciprocal_rank_chance": sum(reciprocal_chances) / len(hits),
        "n": len(hits),
        "n_without_rival": without_rival,
    }


@st.composite
def candidate_rows(draw: st.DrawFn, equal_lengths: bool = False) -> tuple[list, list, list]:
    """Rows of scores with many ties, the position of each original, and masks that keep it."""
    length = st.just(draw(st.integers(1, 5))) if equal_lengths else st.integers(1, 5)
    rows, references, masks = [], [], []
    for size in draw(st.lists(length, min_size=1, max_size=8)):
        reference = draw(st.integers(0, size - 1))
        mask = draw(st.lists(st.booleans(), min_size=size, max_size=size))
        rows.append([float(score) for score in draw(st.lists(st.integers(0, 3), min_size=size, max_size=size))])
        references.append(reference)
        masks.append([keep or place == reference for place, keep in enumerate(mask)])
    return rows, references, masks


@given(candidate_rows())
@settings(deadline=None, max_examples=150)
def test_values_equal_a_loop_over_rows_and_candidates(case: tuple[list, list, list]) -> None:
    rows, references, masks = case
    expected = loop_scores(rows, references, masks)
    if expected["n"] == 0:
        with pytest.raises(ValueError, match="has a rival"):
            structure_scores(rows, references, masks, n_bootstrap=2)
        return
    results = structure_scores(rows, references, masks, n_bootstrap=2)
    assert {name: results[name] for name in expected} == pytest.approx(expected, abs=1e-12)


@given(candidate_rows(equal_lengths=True), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=50)
def test_the_order_of_the_candidates_does_not_matter(case: tuple[list, list, list], random: Any) -> None:
    rows, references, masks = case
    rows.append([1.0] * len(rows[0]) + [2.0])  # keeps one row with a rival
    rows[:-1] = [[*row, 0.0] for row in rows[:-1]]
    masks = [[*mask, True] for mask in masks] + [[True] * len(rows[0])]
    references = [*references, 0]
    columns = list(range(len(rows[0])))
    random.shuffle(columns)
    names = [f"candidate {column}" for column in range(len(columns))]
    straight = structure_scores(rows, references, masks, names, n_bootstrap=20)
    shuffled = structure_scores(
        [[row[column] for column in columns] for row in rows],
        [columns.index(reference) for reference in references],
        [[mask[column] for column in columns] for mask in masks],
        [names[column] for column in columns],
        n_bootstrap=20,
    )
    assert shuffled == straight


def test_a_tie_is_a_miss_and_takes_the_worst_rank() -> None:
    results = structure_scores([[1.0, 1.0, 1.0, 0.0]], [0])
    assert results["accuracy"] == 0
    assert results["accuracy_ties_shared"] == pytest.approx(1 / 3)
    assert results["mean_reciprocal_rank"] == pytest.approx(1 / 3)


def test_equal_scores_are_wrong_everywhere_but_right_by_chance_when_ties_are_shared() -> None:
    masks = np.ones((6, 10), dtype=bool)
    masks[2, 4:] = masks[5, 8:] = False
    results = structure_scores(np.full((6, 10), 0.25), np.zeros(6, dtype=int), masks)
    assert results["accuracy"] == 0
    assert results["accuracy_ties_shared"] == pytest.approx(results["chance"])


@pytest.mark.parametrize("as_type", [list, np.array])
def test_scores_are_compared_in_float64(as_type: Any) -> None:
    assert structure_scores(as_type([[0.5 + 1e-12, 0.5]]), [0])["accuracy"] == 1


def test_a_masked_candidate_is_as_if_it_were_not_there() -> None:
    masked = structure_scores(
        [[0.5, np.nan, 0.1], [0.5, 0.9, 0.6]], [0, 2], [[True, False, True], [True, False, True]]
    )
    absent = structure_scores([[0.5, 0.1], [0.5, 0.6]], [0, 1])
    assert masked == absent


def test_a_row_with_nothing_but_its_original_is_counted_out() -> None:
    results = structure_scores([[0.1], [0.1, 0.2], [0.3, 0.2]], [0, 0, 0], groups=["a", "b", "c"])
    assert (results["n"], results["n_without_rival"]) == (2, 1)
    assert (results["accuracy"], results["chance"]) == (0.5, 0.5)


def test_by_perturbation_compares_the_original_with_one_candidate() -> None:
    results = structure_scores(
        [[0.5, 0.5, 0.1], [0.5, 0.1, 0.9], [0.2, 0.1, 0.3]],
        [0, 0, 2],
        [[True, True, True], [True, True, False], [True, True, True]],
        NAMES,
    )["by_perturbation"]
    # reversed: a tie, a win, a win; shuffled: a win, left out, itself the original; original: a rival in row 2 only.
    assert {name: (result["value"], result["n"]) for name, result in results.items()} == {
        "original": (1.0, 1),
        "reversed": (pytest.approx(2 / 3), 3),
        "shuffled": (1.0, 1),
    }
    assert {result["chance"] for result in results.values()} == {0.5}


def test_a_name_that_is_never_a_rival_is_left_out_of_by_perturbation() -> None:
    results = structure_scores([[0.5, 0.4, 0.1]], [0], [[True, False, True]], NAMES)
    assert list(results["by_perturbation"]) == ["shuffled"]


def test_the_interval_is_that_of_a_loop_which_draws_whole_studies() -> None:
    generator = np.random.default_rng(3)
    scores, studies = generator.random((40, 3)), generator.integers(0, 9, 40)
    masks = generator.random((40, 3)) < 0.8
    masks[:, 0] = True
    results = structure_scores(scores, [0] * 40, masks, NAMES, groups=studies, n_bootstrap=200, seed=5)

    distinct = sorted({int(study) for study, mask in zip(studies, masks, strict=True) if mask[1:].any()})
    replicates: dict[str, list[float]] = {"accuracy": [], "reciprocal": [], "reversed": []}
    for drawn in np.random.default_rng(5).integers(len(distinct), size=(200, len(distinct))):
        hits, reciprocal, beats = [], [], []
        for study in [distinct[place] for place in drawn]:
            for row in np.flatnonzero(studies == study):
                rivals = [scores[row, column] for column in (1, 2) if masks[row, column]]
                if not rivals:
                    continue
                rank = 1 + sum(rival >= scores[row, 0] for rival in rivals)
                hits.append(rank == 1)
                reciprocal.append(1 / rank)
                if masks[row, 1]:
                    beats.append(scores[row, 0] > scores[row, 1])
        for name, values in zip(replicates, (hits, reciprocal, beats), strict=True):
            replicates[name].append(sum(values) / len(values))
    intervals = {name: list(np.percentile(values, [2.5, 97.5])) for name, values in replicates.items()}
    assert results["interval"] == pytest.approx(intervals["accuracy"])
    assert results["mean_reciprocal_rank_interval"] == pytest.approx(intervals["reciprocal"])
    assert results["by_perturbation"]["reversed"]["interval"] == pytest.approx(intervals["reversed"])


@pytest.mark.parametrize(("own", "right"), [(0.5, True), (0.0, False)])
@pytest.mark.parametrize("n_studies", [1, 2, 30])
def test_where_all_are_right_or_all_wrong_the_interval_is_the_exact_binomial_one_over_studies(
    own: float, right: bool, n_studies: int
) -> None:
    scores, studies = [[own, 0.1, 0.2]] * (2 * n_studies), [row // 2 for row in range(2 * n_studies)]
    results = structure_scores(scores, [0] * len(scores), names=NAMES, groups=studies, n_bootstrap=20)
    exact = binomtest(n_studies if right else 0, n_studies).proportion_ci(method="exact")
    assert results["accuracy"] == right
    assert results["interval"] == pytest.approx([exact.low, exact.high])
    assert results["by_perturbation"]["reversed"]["interval"] == pytest.approx([exact.low, exact.high])
    if right:
        assert results["mean_reciprocal_rank_interval"] == pytest.approx([exact.low, exact.high])


def test_of_one_study_with_right_and_wrong_rows_nothing_is_known() -> None:
    results = structure_scores([[0.5, 0.1], [0.1, 0.5]], [0, 0], groups=["one", "one"])
    assert (results["accuracy"], results["interval"]) == (0.5, [0, 1])


@pytest.mark.parametrize(("value", "bounds"), [(1.0, (-1.0, 1.0)), (0.0, (-1.0, 1.0)), (0.5, (0.0, 1.0))])
def test_of_equal_values_the_interval_is_what_groups_not_seen_could_move_them_by(
    value: float, bounds: tuple[float, float]
) -> None:
    values, ones, groups = np.full(4, value), np.ones(4), np.arange(4)
    unseen = binomtest(0, 4).proportion_ci(method="exact").high
    expected = [(1 - unseen) * value + unseen * bound for bound in bounds]
    assert bounded_interval(values, values, ones, groups, bounds) == pytest.approx(expected)


def test_only_the_groups_that_count_make_the_exact_interval() -> None:
    numerators = np.array([1.0, 1.0, 0.0, 0.0])
    interval = bounded_interval(np.ones(5), numerators, np.array([1.0, 1.0, 0.0, 0.0]), np.arange(4))
    assert interval == pytest.approx([0.025**0.5, 1])


def test_the_same_image_twice_in_its_study_does_not_narrow_the_interval() -> None:
    scores = np.random.default_rng(0).random((30, 2))
    once = structure_scores(scores, [0] * 30)
    twice = structure_scores(np.repeat(scores, 2, axis=0), [0] * 60, groups=np.repeat(np.arange(30), 2))
    unaware = structure_scores(np.repeat(scores, 2, axis=0), [0] * 60)
    assert twice["interval"] == once["interval"]
    assert np.ptp(unaware["interval"]) < np.ptp(once["interval"])


def test_the_bootstrap_depends_on_its_seed_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = np.random.default_rng(1).random((50, 3))
    whole = structure_scores(scores, [0] * 50, seed=1)
    assert structure_scores(scores, [0] * 50, seed=2)["interval"] != whole["interval"]
    monkeypatch.setattr(script, "_RESAMPLES_IN_MEMORY", 120)  # two resamples a block
    assert structure_scores(scores, [0] * 50, seed=1) == whole


def test_a_resample_draws_as_many_studies_as_there_are() -> None:
    counts = np.concatenate(list(resampled_group_counts(7, 50, seed=0)))
    assert counts.shape == (50, 7)
    assert (counts.sum(axis=1) == 7).all()
    with pytest.raises(ValueError, match="no group to resample"):
        next(resampled_group_counts(0, 50, seed=0))


def test_a_ratio_without_rows_in_a_resample_is_left_out_of_its_interval() -> None:
    ones = np.ones((4, 2))
    numerators, denominators = ones * [0.5, 0.25], ones.copy()
    numerators[1:, 1] = denominators[1:, 1] = 0  # the second ratio stands on the first row alone
    replicates = bootstrap_ratios(numerators, denominators, np.arange(4), 50, seed=0)
    assert np.isnan(replicates[:, 1]).any()
    assert not np.isnan(replicates[:, 0]).any()
    assert percentile_interval(replicates[:, 1]) == [0.25, 0.25]
    with pytest.raises(ValueError, match="raise n_bootstrap"):
        percentile_interval(np.array([np.nan, np.nan]))


def test_groups_may_be_of_any_kind_and_are_every_rows_own_without_names() -> None:
    assert group_indices(["b", "a", "b"], 3).tolist() == [1, 0, 1]
    assert group_indices([1, "1", 1], 3).tolist() == [0, 1, 0]
    assert group_indices([("a", 1), ("a", 2), ("a", 1)], 3).tolist() == [0, 1, 0]
    assert group_indices(None, 3).tolist() == [0, 1, 2]


GOOD: dict[str, Any] = {"scores": [[0.5, 0.1], [0.5, 0.1]], "references": [0, 0]}


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"scores": [[0.5, 0.1], [0.5, np.nan]]}, "row 1: the score of candidate 1 is NaN"),
        ({"scores": [[0.5, 0.1], [None, 0.1]]}, "row 1: the score of candidate 0 is NaN"),
        ({"scores": [[0.5, 0.1], [[0.5, 0.1]]]}, "row 1 of predictions has 2 dimensions"),
        ({"scores": [[0.5], [0.5]]}, "none of the 2 rows has a rival"),
        ({"scores": []}, "references has shape"),
        ({"scores": [], "references": []}, "none of the 0 rows"),
        ({"references": [0]}, "references has shape"),
        ({"references": [0, 2]}, "row 1: reference 2 is no position among 2 candidates"),
        ({"references": [-1, 0]}, "row 0: reference -1"),
        ({"references": [0.0, 1.0]}, "whole numbers"),
        ({"scores": [[0.5, 0.1, 0.2], [0.5, 0.1]], "references": [0, 2]}, "row 1: the original at position 2"),
        ({"mask": [[True, True], [False, True]]}, "row 1: the original at position 0 is missing or masked"),
        ({"mask": [[True, True]]}, "mask has 1 rows for 2"),
        ({"mask": [[True, True], [True]]}, "row 1 has 2 predictions and 1 mask values"),
        ({"names": ["original"]}, "names holds 1 names for the 2 candidates of row 0"),
        ({"names": ["copy", "copy"]}, "'copy' stands twice"),
        ({"scores": [[0.5, 0.1], [0.5]], "names": ["a", "b"]}, "names holds 2 names for the 1 candidates of row 1"),
        ({"groups": ["a"]}, "groups holds 1 identifiers for 2 rows"),
        ({"groups": ["a", None]}, "row 1: its group is None; give every row an identifier"),
        ({"groups": [1.0, float("nan")]}, "row 1: its group is nan; give every row an identifier"),
        ({"n_bootstrap": 0}, "n_bootstrap is 0"),
    ],
)
def test_bad_input_is_named(bad: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        structure_scores(**{**GOOD, **bad})


def test_the_loaded_metric_gives_what_the_function_gives(metric: evaluate.Metric) -> None:
    generator = np.random.default_rng(2)
    scores, studies = generator.random((12, 3)), [f"study {row // 2}" for row in range(12)]
    masks = np.ones((12, 3), dtype=bool)
    masks[4, 1] = False
    options = {"mask": masks, "names": NAMES, "groups": studies, "n_bootstrap": 30, "seed": 4}
    loaded = metric.compute(predictions=scores, references=[0] * 12, **options)
    assert loaded == structure_scores(scores, [0] * 12, **options)


@pytest.mark.parametrize("as_type", [list, np.array, torch.tensor])
def test_the_loaded_metric_takes_lists_arrays_and_tensors(metric: evaluate.Metric, as_type: Any) -> None:
    results = metric.compute(predictions=as_type([[0.5, 0.25], [0.0, 0.5]]), references=as_type([0, 0]))
    assert results["accuracy"] == 0.5


def test_the_loaded_metric_takes_rows_of_different_lengths(metric: evaluate.Metric) -> None:
    assert metric.compute(predictions=[[0.5, 0.25], [0.0, 0.5, 0.2]], references=[0, 1])["accuracy"] == 1


def test_the_loaded_metric_adds_up_batches(metric: evaluate.Metric) -> None:
    scores = np.random.default_rng(6).random((10, 3))
    for start in (0, 4, 8):
        metric.add_batch(predictions=scores[start : start + 4], references=[0] * len(scores[start : start + 4]))
    groups = [row // 2 for row in range(10)]
    assert metric.compute(names=NAMES, groups=groups) == structure_scores(scores, [0] * 10, None, NAMES, groups)


def test_the_loaded_metric_raises_on_nan(metric: evaluate.Metric) -> None:
    with pytest.raises(ValueError, match="row 1: the score of candidate 0 is NaN"):
        metric.compute(predictions=[[0.1, 0.2], [float("nan"), 0.2]], references=[0, 0])


def test_the_script_stands_alone(tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path / "structure_accuracy")
    imported = list(ast.walk(ast.parse((FOLDER / "structure_accuracy.py").read_text())))
    plain = [node for node in imported if isinstance(node, ast.Import)]
    froms = [node for node in imported if isinstance(node, ast.ImportFrom)]
    assert all(len(node.names) == 1 for node in plain)  # evaluate's dependency reader wants one a line
    assert all(node.level == 0 for node in froms)
    libraries = {node.names[0].name for node in plain} | {str(node.module).split(".")[0] for node in froms}
    assert libraries == {"collections", "dataclasses", "typing", "datasets", "evaluate", "numpy"}
    required = (FOLDER / "requirements.txt").read_text()
    assert all(library in required for library in ("datasets", "evaluate", "numpy"))
    loaded = evaluate.load(str(tmp_path / "structure_accuracy"))
    assert loaded.compute(predictions=[[0.5, 0.1]], references=[0])["accuracy"] == 1


def test_the_space_launches_the_widget_of_this_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    launched: list[evaluate.Metric] = []
    monkeypatch.setattr("evaluate.utils.launch_gradio_widget", launched.append)
    runpy.run_path(str(FOLDER / "app.py"))
    assert [module.name for module in launched] == ["structure_accuracy"]


def test_the_card_has_the_front_matter_of_a_metric() -> None:
    front_matter = yaml.safe_load((FOLDER / "README.md").read_text().split("---")[1])
    assert front_matter["title"] == "Structure Accuracy"
    assert front_matter["sdk"] == "gradio"
    assert front_matter["app_file"] == "app.py"
    assert {"evaluate", "metric"} <= set(front_matter["tags"])


def test_the_cards_and_the_docstrings_examples_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FOLDER.parent.parent)
    parser, runner = doctest.DocTestParser(), doctest.DocTestRunner()
    for number, text in enumerate([(FOLDER / "README.md").read_text(), "import evaluate", script._KWARGS_DESCRIPTION]):
        runner.run(parser.get_doctest(text, {"evaluate": evaluate}, f"example {number}", None, None))
    assert runner.summarize().failed == 0
    assert runner.summarize().attempted >= 9

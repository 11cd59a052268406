"""Areas under curves of weighted cases, ties included."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from evaluate_suite.ranking import (
    bootstrap_ranking,
    certain_interval,
    chance_average_precision,
    mean_interval,
    ranking_scores,
)
from evaluate_suite.structure_accuracy.structure_accuracy import resampled_group_counts


def auroc_by_pairs(scores, positive) -> float:
    pairs = [
        1.0 if high > low else 0.5 if high == low else 0.0 for high in scores[positive] for low in scores[~positive]
    ]
    return sum(pairs) / len(pairs)


def average_precision_by_thresholds(scores, positive) -> float:
    total, found = 0.0, 0
    for threshold in sorted(set(scores), reverse=True):
        taken = scores >= threshold
        total += ((positive & taken).sum() - found) * (positive & taken).sum() / taken.sum()
        found = (positive & taken).sum()
    return total / positive.sum()


cases = st.lists(st.tuples(st.integers(-3, 3), st.booleans(), st.integers(0, 3)), min_size=2, max_size=30).filter(
    lambda rows: {label for _, label, weight in rows if weight} == {True, False}
)


@given(cases)
def test_weighted_areas_are_those_of_the_cases_repeated(rows):
    scores, positive, weights = (np.array(column) for column in zip(*rows, strict=True))
    areas = ranking_scores(scores.astype(np.float64), positive, weights[None])
    repeated = np.repeat(scores, weights), np.repeat(positive, weights)
    assert areas.auroc[0] == pytest.approx(auroc_by_pairs(*repeated), abs=1e-12)
    assert areas.average_precision[0] == pytest.approx(average_precision_by_thresholds(*repeated), abs=1e-12)


@given(cases)
def test_the_areas_are_scikit_learns(rows):
    scores, positive, weights = (np.array(column) for column in zip(*rows, strict=True))
    areas = ranking_scores(scores.astype(np.float64), positive, weights[None])
    assert areas.auroc[0] == pytest.approx(roc_auc_score(positive, scores, sample_weight=weights))
    expected = average_precision_score(positive, scores, sample_weight=weights)
    assert areas.average_precision[0] == pytest.approx(expected)


def test_scores_that_are_all_tied_have_half_the_pairs_right_and_the_prevalence_as_precision():
    positive = np.array([True] * 3 + [False] * 7)
    areas = ranking_scores(np.full(10, 0.1), positive, np.ones((1, 10), dtype=np.int64))
    assert areas.auroc[0] == 0.5
    assert areas.average_precision[0] == pytest.approx(0.3, abs=1e-15)


@pytest.mark.parametrize(("n_positive", "n_cases"), [(1, 2), (1, 6), (2, 5), (3, 12), (11, 12)])
def test_chance_of_average_precision_is_the_mean_over_random_orders(n_positive, n_cases):
    generator, n_orders = np.random.default_rng(0), 20_000
    positive, ones = np.arange(n_cases) < n_positive, np.ones((1, n_cases), dtype=np.int64)
    found = [ranking_scores(generator.random(n_cases), positive, ones).average_precision[0] for _ in range(n_orders)]
    error = np.std(found) / np.sqrt(n_orders)
    assert chance_average_precision(n_positive, n_cases) == pytest.approx(np.mean(found), abs=4 * error)


def test_chance_of_average_precision_is_above_the_prevalence_and_nears_it():
    above = [chance_average_precision(n // 10, n) - 0.1 for n in (10, 100, 1000, 10_000)]
    assert above == sorted(above, reverse=True)
    assert above[0] == pytest.approx(0.1 * 2.9289682539682538 - 0.1)  # one among ten: H_10 / 10
    assert 0 < above[-1] < 0.001


def test_a_weighting_without_one_of_the_classes_has_no_area():
    areas = ranking_scores(np.array([1.0, 2.0, 3.0]), np.array([True, True, False]), np.array([[1, 1, 0], [0, 0, 1]]))
    assert np.isnan(areas.auroc).all()
    assert np.isnan(areas.average_precision).all()


def test_the_bootstrap_draws_whole_groups_and_leaves_out_what_does_not_count():
    generator = np.random.default_rng(0)
    scores, positive = np.round(generator.standard_normal(40), 1), generator.random(40) < 0.4
    counted, groups = generator.random(40) < 0.8, np.repeat(np.arange(10), 4)
    areas = bootstrap_ranking(scores, positive, counted, groups, 50, seed=3)
    assert areas.auroc.shape == (50,)
    for resample, drawn in enumerate(np.concatenate(list(resampled_group_counts(10, 50, 3)))):
        rows = [row for row in range(40) for _ in range(drawn[groups[row]]) if counted[row]]
        assert areas.auroc[resample] == pytest.approx(auroc_by_pairs(scores[rows], positive[rows]))


def of_order(area, order, groups=None):
    """`certain_interval` of classes from the highest score to the lowest, a group each."""
    positive = np.array([letter == "p" for letter in order])
    return certain_interval(area, -np.arange(len(order), dtype=float), positive, np.array(groups or range(len(order))))


def test_a_perfect_auroc_is_as_sure_as_the_class_of_fewer_groups():
    assert of_order("auroc", "ppnnnnn") == pytest.approx([0.025 ** (1 / 2), 1.0])
    assert of_order("auroc", "pppppnnn") == pytest.approx([0.025 ** (1 / 3), 1.0])
    assert of_order("auroc", "pppnnnn", [0, 0, 1, 2, 3, 4, 5]) == pytest.approx([0.025 ** (1 / 2), 1.0])
    assert of_order("auroc", "nnnpp") == pytest.approx([0.0, 1 - 0.025 ** (1 / 2)])


def test_an_auroc_below_the_interval_of_a_perfect_one_is_seldom_perfect():
    generator, n_positive, n_negative, n_draws = np.random.default_rng(0), 5, 8, 20_000
    low = of_order("auroc", "p" * n_positive + "n" * n_negative)[0]
    misplaced = generator.random((n_draws, n_positive)) < 1 - low  # the positives below all negatives: AUROC is `low`
    assert (~misplaced.any(axis=1)).mean() == pytest.approx(0.025, abs=0.004)


def test_a_perfect_average_precision_is_as_sure_as_negatives_first_or_positives_last_leave_it():
    few = of_order("average_precision", "pp" + "n" * 50)
    assert few == pytest.approx([0.025 ** (1 / 2), 1.0])
    first = 10 * (1 - 0.025 ** (1 / 10))
    many = of_order("average_precision", "p" * 10 + "n" * 10)
    assert many == pytest.approx([np.mean([rank / (rank + first) for rank in range(1, 11)]), 1.0])


def test_scores_that_all_tie_leave_an_auroc_between_its_ends():
    positive = np.array([True] * 3 + [False] * 4)
    low, high = certain_interval("auroc", np.zeros(7), positive, np.arange(7))
    assert (low, high) == pytest.approx((0.5 * 0.025 ** (1 / 3), 1 - 0.5 * 0.025 ** (1 / 3)))


def test_a_class_of_one_group_says_nothing_and_other_orders_are_left_to_the_bootstrap():
    for area in ("auroc", "average_precision"):
        assert of_order(area, "npnnn") == [0.0, 1.0]
        assert of_order(area, "npnpnn") is None


def test_in_the_mean_what_resamples_say_too_much_of_comes_in_with_its_own_ends():
    undefined = np.full((100, 2), np.nan)
    assert mean_interval(undefined, [[0.2, 1.0], [0.4, 1.0]]) == pytest.approx([0.3, 1.0])
    replicates = np.column_stack([np.ones(101), np.linspace(0.4, 0.5, 101), np.linspace(0.6, 0.7, 101)])
    low, high = (0.4025 + 0.6025) / 2, (0.4975 + 0.6975) / 2
    assert mean_interval(replicates, [None, None, None]) == pytest.approx([(1 + 2 * low) / 3, (1 + 2 * high) / 3])
    assert mean_interval(replicates, [[0.7, 1.0], None, None]) == pytest.approx(
        [(0.7 + 2 * low) / 3, (1 + 2 * high) / 3]
    )

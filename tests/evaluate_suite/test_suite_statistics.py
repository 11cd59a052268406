"""Chance levels against enumeration, and bootstrap intervals against loops."""

import itertools
from fractions import Fraction
from statistics import median

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluate_suite.statistics import (
    SHARE,
    bootstrap_medians,
    chance_median_rank,
    chance_rank_distribution,
    chance_recall,
    measure_mean,
    measure_median,
    measure_parts,
)


def first_right_ranks(n_candidates: int, n_right: int) -> list[int]:
    """The rank of the first right one in every placement of the right ones, all equally likely."""
    return [places[0] + 1 for places in itertools.combinations(range(n_candidates), n_right)]


@given(st.integers(1, 6).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.integers(1, n), min_size=1, max_size=4))))
@settings(deadline=None, max_examples=60)
def test_chance_recall_is_the_share_of_all_orders_that_find_a_right_one(case: tuple[int, list[int]]) -> None:
    n_candidates, right = case
    distribution = chance_rank_distribution(n_candidates, np.array(right))
    for k in (1, 2, 5, 10):
        shares = []
        for n_right in right:
            ranks = first_right_ranks(n_candidates, n_right)
            shares.append(Fraction(sum(rank <= k for rank in ranks), len(ranks)))
        assert chance_recall(distribution, k) == pytest.approx(float(sum(shares) / len(shares)), abs=1e-12)


@pytest.mark.parametrize("n_candidates", [1, 2, 3, 4, 7, 100_000])
def test_chance_median_rank_of_one_right_among_n_is_the_middle(n_candidates: int) -> None:
    distribution = chance_rank_distribution(n_candidates, np.array([1, 1]))
    assert chance_median_rank(distribution) == (n_candidates + 1) / 2


@pytest.mark.parametrize(("n_candidates", "n_right"), [(6, 2), (6, 3), (7, 2), (9, 4), (5, 5)])
def test_chance_median_rank_of_several_right_is_the_median_over_all_orders(n_candidates: int, n_right: int) -> None:
    distribution = chance_rank_distribution(n_candidates, np.array([n_right]))
    assert chance_median_rank(distribution) == median(first_right_ranks(n_candidates, n_right))


@pytest.mark.parametrize("n_rows", [1, 8, 13])
def test_the_bootstrapped_medians_are_those_of_a_loop_over_drawn_groups(n_rows: int) -> None:
    generator = np.random.default_rng(n_rows)
    values = generator.integers(1, 6, n_rows).astype(float)
    groups = np.unique(generator.integers(0, 5, n_rows), return_inverse=True)[1]
    n_groups = groups.max() + 1
    expected = [
        median([value for place in drawn for value in values[groups == place]])
        for drawn in np.random.default_rng(9).integers(n_groups, size=(40, n_groups))
    ]
    assert bootstrap_medians(values, groups, 40, seed=9).tolist() == expected


def test_a_measurement_carries_value_interval_chance_and_n() -> None:
    values, groups = np.array([0.0, 1.0, 1.0, 1.0]), np.array([0, 0, 1, 1])
    mean = measure_mean(values, groups, 0.1, n_bootstrap=500, seed=0)
    assert (mean["value"], mean["chance"], mean["n"]) == (0.75, 0.1, 4)
    assert mean["interval"] == [0.5, 1.0]
    middle = measure_median(np.array([1.0, 9.0, 2.0]), np.arange(3), 50.0, n_bootstrap=500, seed=0)
    assert middle == {"value": 2.0, "interval": [1.0, 9.0], "chance": 50.0, "n": 3}


def test_a_share_that_is_always_right_is_not_certain_but_equal_values_without_bounds_are() -> None:
    ones, groups = np.ones(6), np.array([0, 0, 1, 1, 2, 2])
    share = measure_mean(ones, groups, 0.5, n_bootstrap=50, seed=0, bounds=SHARE)
    assert share["interval"] == pytest.approx([0.025 ** (1 / 3), 1])
    assert measure_mean(ones, groups, 0.5, n_bootstrap=50, seed=0)["interval"] == [1, 1]
    assert measure_median(ones, groups, 0.5, n_bootstrap=50, seed=0)["interval"] == [1, 1]


def test_a_part_counts_its_own_studies_alone() -> None:
    values, groups = np.ones((6, 2)), np.array([0, 0, 1, 1, 2, 2])
    counted = np.column_stack([np.ones(6, dtype=bool), groups == 1])
    whole, part = measure_parts(values, counted, groups, [0.5, 0.5], n_bootstrap=50, seed=0, bounds=SHARE)
    assert whole is not None
    assert part is not None
    assert whole["interval"] == pytest.approx([0.025 ** (1 / 3), 1])
    assert part["interval"] == pytest.approx([0.025, 1])

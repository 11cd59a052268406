"""Rows of like length share a rectangle, at the least cost there is."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeling_prd.grouping_prd import group_by_length

LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=30)


def _cost(lengths: list[int], groups: list[list[int]], overhead: int) -> int:
    return sum(len(group) * max(lengths[row] for row in group) + overhead for group in groups)


@given(LENGTHS, st.integers(0, 100), st.one_of(st.none(), st.integers(1, 8)))
def test_every_row_is_in_one_group_and_the_longest_come_first(
    lengths: list[int], overhead: int, most_rows: int | None
) -> None:
    groups = group_by_length(lengths, overhead, most_rows)
    rows = [row for group in groups for row in group]
    assert sorted(rows) == list(range(len(lengths)))
    assert [lengths[row] for row in rows] == sorted(lengths, reverse=True)
    assert all(len(group) <= (most_rows or len(lengths)) for group in groups)


@given(st.lists(st.integers(1, 12), min_size=1, max_size=7), st.integers(0, 20))
def test_no_split_of_the_sorted_rows_costs_less(lengths: list[int], overhead: int) -> None:
    order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    splits = [cut for size in range(len(order)) for cut in combinations(range(1, len(order)), size)]
    least = min(
        _cost(
            lengths,
            [order[a:b] for a, b in zip((0, *cut), (*cut, len(order)), strict=True)],
            overhead,
        )
        for cut in splits
    )
    assert _cost(lengths, group_by_length(lengths, overhead), overhead) == least


@pytest.mark.parametrize(("overhead", "groups"), [(0, [[1], [0, 2], [3]]), (1000, [[1, 0, 2, 3]])])
def test_a_group_is_split_where_that_saves_more_than_it_costs(overhead: int, groups: list[list[int]]) -> None:
    assert group_by_length([5, 9, 5, 2], overhead) == groups

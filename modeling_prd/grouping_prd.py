"""Groups of like length: ragged rows computed as a few rectangles with little padding."""

from collections import Counter
from collections.abc import Sequence


def group_by_length(lengths: Sequence[int], overhead: float, most_rows: int | None = None) -> list[list[int]]:
    """Split rows into groups, each padded to its longest, at the least cost.

    The cost of a group is its rows times its longest length, padding included, plus `overhead`. Equal lengths stay
    together, and the groups of least cost are runs of the sorted lengths, found by dynamic programming over the
    distinct lengths.

    Args:
        lengths: of the rows, each at least 1.
        overhead: what a group costs beside its padded area, in units of length.
        most_rows: split groups that have more rows than this; None sets no limit.

    Returns:
        The rows of each group, longest rows first.
    """
    counts = sorted(Counter(lengths).items(), reverse=True)  # distinct lengths, longest first
    best = [0.0] * (len(counts) + 1)  # cost of the shortest distinct lengths from here on
    end_of = [0] * len(counts)
    for start in reversed(range(len(counts))):
        longest, rows = counts[start][0], 0
        best[start] = float("inf")
        for end in range(start, len(counts)):
            rows += counts[end][1]
            cost = rows * longest + overhead + best[end + 1]
            if cost < best[start]:
                best[start], end_of[start] = cost, end + 1
    order = sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True)
    groups, place, taken = [], 0, 0
    while place < len(counts):
        rows = sum(count for _, count in counts[place : end_of[place]])
        group = order[taken : taken + rows]
        size = most_rows or rows
        groups += [group[first : first + size] for first in range(0, rows, size)]
        taken += rows
        place = end_of[place]
    return groups

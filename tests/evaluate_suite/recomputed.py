"""What the recomputation of a report rests on: cosines, means, the cluster bootstrap and percentiles, in plain loops.

Nothing here or in the modules `recomputed_TASK` comes from the suite; they follow its definitions. A number of the
report is a leaf, and a text is one too: it is known by the numbers that stand in it.
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from datasets import Dataset

Leaf = float | bool | str | None
LeafPath = tuple[str, ...]
Tree = dict[str, Any]

SHARE, GAIN = (0.0, 1.0), (-1.0, 1.0)
"""The bounds of what is right or wrong, and of the difference of two such."""

TIE = 1e-12
"""Scores this close are equal: what differs is the order in which they were summed."""


@dataclass(frozen=True)
class Plan:
    """The number of the bootstrap's resamples, and the seed of all that is drawn."""

    n_bootstrap: int
    seed: int


class Model:
    """The raw vectors of an encoder, as lists of Python floats; asked for once a text."""

    def __init__(self, encoder: Any, test: Dataset):
        self.encoder = encoder
        self.images = vectors(encoder.encode_images(test["image"][:]))
        self._texts: dict[str, list[float]] = {}

    def text(self, text: str) -> list[float]:
        if text not in self._texts:
            (self._texts[text],) = vectors(self.encoder.encode_texts([text]))
        return self._texts[text]


def vectors(encoded: np.ndarray) -> list[list[float]]:
    return [[float(number) for number in vector] for vector in encoded]


def dot(left: Sequence[float], right: Sequence[float]) -> float:
    return math.fsum(a * b for a, b in zip(left, right, strict=True))


def mean(values: Iterable[float]) -> float:
    listed = list(values)
    return math.fsum(listed) / len(listed)


def win(own: float, other: float) -> float:
    """1 where `own` is the higher, 0.5 where they tie, 0 where it is the lower."""
    return 0.5 if abs(own - other) <= TIE else float(own > other)


def resampled(studies: Sequence[str], plan: Plan, among: Iterable[str] | None = None) -> Iterator[list[int]]:
    """The cases of each resample, as often as they were drawn.

    A resample draws as many studies as there are, with replacement, and all cases of each: row b of
    `default_rng(seed).integers(G, size=(B, G))`, the studies numbered in the order of their names.

    Args:
        studies: of each case.
        among: the studies that are drawn, where these are more than those of the cases.
    """
    names = sorted(set(studies if among is None else among))
    cases_of = {name: [case for case, study in enumerate(studies) if study == name] for name in names}
    drawn = np.random.default_rng(plan.seed).integers(len(names), size=(plan.n_bootstrap, len(names)))
    for resample in drawn.tolist():
        yield [case for number in resample for case in cases_of[names[number]]]


def percentile(values: Sequence[float], share: float) -> float:
    """Linear between the two nearest of the sorted values, the least being at 0 and the largest at 1."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def interval(replicates: Iterable[float | None]) -> list[float]:
    """The 95 % percentile interval of the resamples that have the number."""
    defined = [replicate for replicate in replicates if replicate is not None]
    return [percentile(defined, 0.025), percentile(defined, 0.975)]


def measured(
    values: Sequence[float],
    studies: Sequence[str],
    chance: float,
    plan: Plan,
    *,
    among: Iterable[str] | None = None,
    statistic: Callable[[list[float]], float] = mean,
    bounds: tuple[float, float] | None = None,
) -> Tree:
    """A measurement of the report: value, interval, chance, n.

    Args:
        values, studies: of each case.
        chance: as the report has it.
        plan: of the bootstrap.
        among: as `resampled` takes it.
        statistic: what of the values is the number.
        bounds: of the values, where they have any: see `certain_interval`.
    """
    replicates = (
        statistic([values[case] for case in cases]) if cases else None for cases in resampled(studies, plan, among)
    )
    of_bounds = certain_interval(values, studies, *bounds) if bounds else None
    return {
        "value": statistic(list(values)),
        "interval": of_bounds or interval(replicates),
        "chance": chance,
        "n": len(values),
    }


def certain_interval(values: Sequence[float], studies: Sequence[str], low: float, high: float) -> list[float] | None:
    """The interval where a bootstrap would be certain: all values the same, or all of one study.

    Where G of G studies have one value, at most a share 1 - 0.025 ** (1 / G) of all studies have another (Clopper and
    Pearson), at a bound at worst; with one study of several values, nothing is known of how studies vary.
    """
    n_studies = len(set(studies))
    if max(values) - min(values) < 1e-12:
        seen = 0.025 ** (1 / n_studies)
        return [seen * values[0] + (1 - seen) * bound for bound in (low, high)]
    return [low, high] if n_studies == 1 else None


def told(*numbers: float) -> str:
    """A text of these numbers alone, in their order."""
    return " ".join(f"{number:.12f}" for number in numbers)


def numbers_in(text: str) -> list[str]:
    return re.findall(r"-?\d+(?:\.\d+)?", text)


def leaves(node: Any, path: LeafPath = ()) -> dict[LeafPath, Leaf]:
    """All leaves of a tree by their paths; a list's are known by their places."""
    if isinstance(node, Mapping):
        children = [(str(key), child) for key, child in node.items()]
    elif isinstance(node, list):
        children = [(str(place), child) for place, child in enumerate(node)]
    else:
        return {path: node}
    return {found: leaf for key, child in children for found, leaf in leaves(child, (*path, key)).items()}
